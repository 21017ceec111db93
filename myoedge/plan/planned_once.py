# SPDX-License-Identifier: Apache-2.0
"""Plans that a precision search made, kept for the build."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from myoedge.errors import MyoedgeError
from myoedge.plan.l1.tile_choice import TileRanks
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.quantization.scales import QuantGraph
from myoedge.targets.chip import Chip


@dataclass(frozen=True, eq=False, slots=True)
class PlanInputs:
    """Inputs of a plan; equal for the same network and an equal chip.

    network      the quantised network
    chip         the chip, with its memories reduced to the limits
    tile_ranks, by_bytes   as for make_plan
    """

    network: QuantGraph
    chip: Chip
    tile_ranks: TileRanks
    by_bytes: bool | None

    def __hash__(self) -> int:
        return hash((id(self.network), self.chip.l2_bytes, self.chip.l2_reserved_bytes))

    def __eq__(self, other: object) -> bool:
        """Return whether the network is the same object, and the other inputs are equal."""
        if not isinstance(other, PlanInputs) or self.network is not other.network:
            return False
        own, others = ((x.chip, x.tile_ranks, x.by_bytes) for x in (self, other))
        return own == others


def planned_once(inputs: PlanInputs) -> Plan:
    """Return the plan of a network, from the last that were made where it is among them.

    Errors: as make_plan.
    """
    plan = _plan_or_error(inputs)
    if isinstance(plan, MyoedgeError):
        raise plan.with_traceback(None)
    return plan


@lru_cache(maxsize=128)  # searches plan networks before builds do, and refusals try remedies
def _plan_or_error(inputs: PlanInputs) -> Plan | MyoedgeError:
    ranks, by_bytes = inputs.tile_ranks, inputs.by_bytes
    try:
        return make_plan(inputs.network, inputs.chip, tile_ranks=ranks, by_bytes=by_bytes)
    except MyoedgeError as error:
        return error
