# SPDX-License-Identifier: Apache-2.0
"""Goals of the precision search: SQNR of the outputs, limits on cycles and memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import ROUNDED_DB, WEAK_DB, judged_tensors

AIM_DB = 25.0  # default SQNR of every output
ACCURATE_DB = 30.0  # SQNR of every output with --accurate
MARGIN_DB = 3.0  # loss expected on samples outside the calibration set
LEAST_GAIN_DB = 1.0  # minimum gain of a move: smaller ones depend on the choice of samples
EVERY_MOVE = frozenset(
    {"inner", "equalize", "observer", "int16", "exponentials", "engine", "round"}
)


@dataclass(frozen=True, slots=True)
class CycleBudget:
    """Limit of the extra cycles of int16 tensors while an output is below an SQNR.

    It also limits a move that reaches the goal if an output of the int8 network is below that SQNR.
    share      maximum extra cycles, as a fraction of the int8 network's
    below_db   SQNR in dB
    """

    share: float
    below_db: float = math.inf


# Simulated cycles then grow by less than 15 and 40 %: the sum of the layers' estimates exceeds the
# network's cycles by up to a sixth. For weak outputs, three quarters more cycles are allowed.
USUAL = (CycleBudget(0.13), CycleBudget(0.34, AIM_DB), CycleBudget(0.75, WEAK_DB))
UNLIMITED = (CycleBudget(math.inf),)
NEARLY_FREE, ROUNDED = (CycleBudget(0.015),), (CycleBudget(0.34),)  # of quantised model files


@dataclass(frozen=True)
class Goal:
    """Goal of a precision search: required SQNR of the outputs, and allowed cost.

    db               SQNR in dB for outputs that outputs_db does not name, before and after a final
                     softmax or sigmoid
    outputs_db       output -> its SQNR in dB
    budgets          cycle budgets, ascending; a larger one applies if an output stays below its
                     `below_db` within the smaller one
    margin_db        dB required on the calibration samples in addition to `db`
    floor            measured tensor -> noise of low-bit weights, which moves cannot reduce
    planned_cycles   network -> cycles of its plan, infinity if it does not fit; None: sum of layers
    moves            names of the allowed kinds of moves
    """

    db: float = AIM_DB
    outputs_db: Mapping[str, float] = field(default_factory=dict)
    budgets: tuple[CycleBudget, ...] = USUAL
    margin_db: float = MARGIN_DB
    floor: Mapping[str, float] = field(default_factory=dict)
    planned_cycles: Callable[[QuantGraph], float] | None = None
    moves: frozenset[str] = EVERY_MOVE

    def needs_db(self, outputs: Iterable[str]) -> dict[str, float]:
        """Return output -> its SQNR in dB, without the margin."""
        return {output: self.outputs_db.get(output, self.db) for output in outputs}

    def limits(self, network: QuantGraph) -> Array:
        """Return the allowed noise power relative to the signal, [measured tensors]."""
        rows = judged_rows(network)
        needs_db = self.needs_db(output for output, _ in rows)
        every_db = (needs_db[output] + self.margin_db for output, _ in rows)
        allowed = np.array([10 ** (-db / 10) for db in every_db])
        floor = np.array([self.floor.get(name, 0.0) for _, name in rows])
        return np.asarray(np.maximum(allowed + floor, 10 ** (LEAST_GAIN_DB / 20) * floor))

    @property
    def of_file(self) -> tuple[Goal, ...]:
        """Goals for a network quantised by its model file: to stay close to the file's own
        rounding, which no samples determine.

        Tensors that the file leaves in float become int16 if that costs hardly any cycles.
        """
        near = replace(self, db=max(self.db, ROUNDED_DB), margin_db=0.0)
        budgets = (self.budgets,) * 2 if self.budgets == UNLIMITED else (NEARLY_FREE, ROUNDED)
        kinds = (frozenset({"int16"}), frozenset({"exponentials"}))
        pairs = zip(budgets, kinds, strict=True)
        return tuple(replace(near, budgets=cycles, moves=moves) for cycles, moves in pairs)


def judged_rows(network: QuantGraph) -> list[tuple[str, str]]:
    """Return the measured tensors, in a fixed order, as (output, tensor on which the output's SQNR
    is measured)."""
    outputs = dict.fromkeys(network.graph.outputs)
    return [(output, name) for output in outputs for name in judged_tensors(network, output)]
