# SPDX-License-Identifier: Apache-2.0
"""What a build is for: a chip, its operating point, what it must keep to; and the plan for that."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from myoedge.building import budget
from myoedge.building import stream_rate as pace
from myoedge.building.budget import Budget
from myoedge.building.config import Config, StreamTable
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.quantization.scales import QuantGraph
from myoedge.targets import Chip, find_chip

if TYPE_CHECKING:
    from myoedge.building.stream_rate import Paced
    from myoedge.errors import Notice
    from myoedge.plan.plan import Plan
    from myoedge.power.model import Coefficients
    from myoedge.quantization.sqnr import Fidelity
    from myoedge.streaming.stream import Stream

DEFAULT_CHIP = "gap9"
L2_TRIES = 3  # plans, to name a budget of L2 that would do


@dataclass(frozen=True)
class Goal:
    """What was asked for.

    chip     at its first operating point
    limits   of memories, latency, energy, SQNR
    point    operating point, "auto", or None
    app      "gap-sdk", or None
    frames   how they come; None for a network over whole samples
    """

    chip: Chip
    limits: Budget
    point: str | None = None
    app: str | None = None
    frames: StreamTable | None = None

    def examine(self, graph: Graph) -> Graph:
        """What of the network is built, before anything takes time. Errors: as pace.examine."""
        return graph if self.frames is None else pace.examine(graph, self.frames)


@dataclass(frozen=True)
class Planned:
    """The plan, and the stream that it is of, where that is not the network over whole samples."""

    plan: Plan
    paced: Paced | None = None

    @property
    def stream(self) -> Stream | None:
        return None if self.paced is None else self.paced.stream

    @property
    def warnings(self) -> tuple[Notice, ...]:
        return (*self.plan.warnings, *(self.paced.warnings if self.paced else ()))


def goal(
    settings: Config,
    target: str | None,
    sizes: Mapping[str, str | int | None],
    operating_point: str | None,
    app: str | None,
    stream: bool,
) -> Goal:
    """What the arguments and myoedge.toml ask for together; `sizes` of l1, l2 and l3.

    What cannot be is told here, before the long part. Errors: E201 target, E204 operating point or
    application, E232, E234, E302 limits.
    """
    described = find_chip(target or settings.target.chip or DEFAULT_CHIP)
    asked = possible(described, budget.given(settings.budget, **sizes))
    limits = budget.for_app(app, described, asked)
    found = Goal(described, limits, operating_point, app, settings.stream if stream else None)
    _named(found)
    budget.within(described, limits)
    return found


def possible(chip: Chip, limits: budget.Budget) -> budget.Budget:
    """The limits. Errors: E232 more of a memory than the chip has, where it has any."""
    for name in budget.MEMORIES:
        limit, most = (getattr(x, f"{name}_bytes") for x in (limits, chip))
        if limit is not None and 0 < most < limit:
            title = f"{name}: {limit:,} B are more than {chip.name} has"
            facts = {"has": f"{most:,} B of {name.upper()}"}
            tries = [f"--{name} {most // budget.KIB}KiB", "without a limit all of it is used"]
            raise MyoedgeError("E232", title, facts, tries)
    return limits


def _named(wanted: Goal) -> Chip:
    """The chip at the operating point, where one is named."""
    fixed = wanted.point is not None and wanted.point != budget.AUTO
    return wanted.chip.at(str(wanted.point)) if fixed else wanted.chip


def planned(
    network: QuantGraph,
    wanted: Goal,
    by: Coefficients,
    fidelity: Fidelity,
    reused: bool = False,
) -> Planned:
    """The plan that keeps to all limits; `reused`: whether its 16 bits are an older build's.

    Errors: E236, E301 does not fit the chip, E302 over budget: every one that is, E304, E306.
    """
    try:
        found, short = _planned(network, wanted, by), None
    except MyoedgeError as error:
        names = _limited(wanted) if error.exit_code == pace.TOO_LARGE else []
        if not names:
            raise
        found = _planned(network, _freed(wanted, names), by)  # else the chip itself is too small
        short = _short(network, wanted, by, error.notice, found.plan)
    budget.check(wanted.limits, found.plan, fidelity, by, short, reused)
    return found


def _planned(network: QuantGraph, wanted: Goal, by: Coefficients) -> Planned:
    """The plan that keeps to the memories. Errors: E236, E301, E304, E306."""
    if wanted.frames is None:
        plan = budget.plan_within(network, wanted.chip, wanted.limits)
        return Planned(budget.at_point(plan, wanted.point, wanted.limits, by))
    paced = pace.plan(network, wanted.frames, _named(wanted), wanted.limits)
    plan = budget.at_point(paced.plan, wanted.point, wanted.limits, by)
    return Planned(plan, replace(paced, plan=plan))


# --- memories that are too small ------------------------------------------------------------------


def _limited(wanted: Goal) -> list[str]:
    """Memories of which a person leaves less than there is for the application."""
    most = _freed(wanted, budget.MEMORIES).limits.l1_bytes
    spared = most is not None and wanted.limits.l1_bytes == most
    names = budget.memories(wanted.limits, wanted.chip)
    return [name for name in names if not (spared and name == "l1")]


def _freed(wanted: Goal, names: Iterable[str]) -> Goal:
    """With all that there is of these memories."""
    limits = budget.without(wanted.limits, names)
    return replace(wanted, limits=budget.for_app(wanted.app, wanted.chip, limits))


def _short(
    network: QuantGraph, wanted: Goal, by: Coefficients, told: Notice, free: Plan
) -> budget.Broken:
    """The memory to blame: more of it alone would do; all that are limited, where none would.

    free   the plan with all that there is of them
    """
    if told.code == budget.NO_TILE:
        return budget.Broken("l1", dict(told.facts), told.tries, told.code, told.title)
    names = _limited(wanted)
    cures = [n for n in names if len(names) == 1 or _fits(network, _freed(wanted, [n]), by)]
    if cures == ["l2"] and (enough := _enough_l2(network, wanted, by, free)):
        more = [f"--l2 {enough}KiB"]
    else:
        more = [f"a larger --{name} or [budget] {name}" for name in cures or names]
    tries = more if cures else [", and ".join(more)]
    l3_bytes = wanted.limits.l3_bytes
    l3 = {} if l3_bytes is None else {"l3": f"{l3_bytes:,} B at most for what L2 has no room for"}
    name = " or ".join(cures) or " and ".join(names)
    return budget.Broken(name, {**dict(told.facts), **l3}, [*tries, *told.tries[:1]])


def _enough_l2(network: QuantGraph, wanted: Goal, by: Coefficients, free: Plan) -> int | None:
    """KiB of L2 that would do, looked for between what there is and what the free plan has; None
    where none of the plans does, or each would be a search for a pace."""
    if wanted.frames is not None and wanted.frames.rate is not None:
        return None
    low = max((wanted.limits.l2_bytes or 0) // budget.KIB, 1)
    high, found = max(-(-free.l2_bytes // budget.KIB), low), None
    for _ in range(L2_TRIES):
        middle = math.isqrt(low * high) + 1
        limits = replace(wanted.limits, l2_bytes=middle * budget.KIB)
        if _fits(network, replace(wanted, limits=limits), by):
            high = found = middle
        else:
            low = middle
    return found


def _fits(network: QuantGraph, wanted: Goal, by: Coefficients) -> bool:
    try:
        _planned(network, wanted, by)
    except MyoedgeError as error:
        if error.exit_code == pace.TOO_LARGE:
            return False
        raise
    return True
