# SPDX-License-Identifier: Apache-2.0
"""Plans that satisfy a build request, or that exceed its limits of memories if none does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from myoedge.building import budget
from myoedge.building.plan_within import plan_within
from myoedge.building.request import BuildRequest
from myoedge.building.stream_rate import TOO_LARGE, if_it_fits, shortest_pass, stream_plans
from myoedge.codegen.made_with import for_sources
from myoedge.errors import MyoedgeError
from myoedge.plan.cost.network import modelled_cycles
from myoedge.quantization.scales import QuantGraph
from myoedge.targets.chip import Chip

if TYPE_CHECKING:
    from myoedge.building.stream_rate import StreamPlan
    from myoedge.errors import Notice
    from myoedge.plan.plan import Plan
    from myoedge.streaming.stream import Stream


ChosenAgain = Callable[[QuantGraph, Chip], QuantGraph]
NEAR = 64  # a limit of n is searched to n / NEAR,
STEP_BYTES = 64  # or to this


@dataclass(frozen=True)
class BuildPlan:
    """A plan, with its stream; stream_plan is None for a network on whole samples."""

    plan: Plan
    stream_plan: StreamPlan | None = None

    @property
    def stream(self) -> Stream | None:
        return None if self.stream_plan is None else self.stream_plan.stream

    @property
    def warnings(self) -> tuple[Notice, ...]:
        return self.plan.warnings

    def on(self, **changes: Any) -> BuildPlan:
        """Return the plan with a chip of which some memories differ."""
        chip = replace(self.plan.chip, **changes)
        return replace(self, plan=replace(self.plan, chip=chip))

    def at(self, point_name: str) -> BuildPlan:
        """Return the plan for another operating point of its chip, to which generated C sets the
        clock."""
        chip = self.plan.chip
        if not chip.point.clock_hz or point_name == chip.point.name:
            return self
        return replace(self, plan=replace(self.plan, chip=chip.at(point_name)))


@dataclass(frozen=True)
class Planned:
    """Candidate plans of a build.

    candidates   the plans, fastest estimate first
    short        the error if limits of memories are too small for any plan; the only candidate then
                 has no such limits
    """

    candidates: Iterator[BuildPlan]
    short: MyoedgeError | None = None


def planned(network: QuantGraph, request: BuildRequest, *, advises: bool = True) -> Planned:
    """Plan a network within the memory limits. If only the estimated code is too large beside a
    plan, that plan is returned: linking gives the code's size.

    advises   whether to plan without limits of memories if no plan fits
    Errors: E236, E301 does not fit the chip, E304, E306.
    """
    try:
        return Planned(_candidate_plans(network, request))
    except MyoedgeError as error:
        is_large = error.exit_code == TOO_LARGE
        if is_large and request.estimates_code and fits(network, request.with_least_code):
            return Planned(_candidate_plans(network, request.with_least_code))
        if not (is_large and advises):
            raise
        _check_clock(network, request, error.notice)
        if not (names := limited_memories(request)):
            raise
        return Planned(_candidate_plans(network, drop_limits(request, names)), error)


def _check_clock(network: QuantGraph, request: BuildRequest, notice: Notice) -> None:
    """Raise E302 if a plan fits the memories that the chip has at a higher clock."""
    chip, there = request.chip, request.chip_at_point
    lost = sorted({x.name for x in chip.levels} - {x.name for x in there.levels})
    name = f"{chip.least_hz(dict.fromkeys(lost, 1)) / 1e6:g} MHz"
    if lost and fits(network, replace(request, point=name)):
        without = " and ".join(x.upper() for x in lost)
        slow = f"{there.point.clock_hz / 1e6:g} MHz, without {without}"
        facts, tries = {**dict(notice.facts), "clock": slow}, [f'--operating-point "{name}"']
        title = "the clock is too slow for the memories that the network needs"
        raise MyoedgeError("E302", title, facts, tries)


def _candidate_plans(network: QuantGraph, request: BuildRequest) -> Iterator[BuildPlan]:
    """Return an iterator over candidate plans; the first is computed at once. Errors: E236, E301,
    E304, E306."""
    chip, limits = request.chip_at_point, request.limits
    network = for_sources(network, request.of_sources)
    if request.frames is None:
        return iter([BuildPlan(plan_within(network, chip, limits))])
    plans = stream_plans(network, request.frames, chip, limits)
    first = next(plans)
    return (BuildPlan(one.plan, one) for one in chain([first], plans))


def memory_costs(
    on_engines: ChosenAgain, network: QuantGraph, request: BuildRequest, plan: Plan
) -> dict[str, float]:
    """Return, per memory with a limit, the extra cycles that the limit causes as a fraction of all
    cycles, where a plan without it is found; {} for streams.

    on_engines   (network, chip) -> the network with engines chosen anew for the chip
    plan         plan within the limits
    """
    if request.frames is not None:
        return {}
    shares = {}
    for name in filter(budget.MEMORIES.__contains__, limited_memories(request)):
        freed = drop_limits(request, [name])
        again = on_engines(network, freed.chip_in_limits)
        free = first_plan(again, freed)  # None: not beside code as it is estimated
        if free is not None:
            shares[name] = modelled_cycles(plan) / modelled_cycles(free) - 1.0
    return shares


def limited_memories(request: BuildRequest) -> list[str]:
    """Return the memories with a limit below the chip's size; an L1 limit that only reserves the
    application's runtime does not count."""
    most = drop_limits(request, budget.MEMORIES).limits.l1_bytes
    spared = most is not None and request.limits.l1_bytes == most
    names = budget.memories(request.limits, request.chip)
    return [name for name in names if not (spared and name == "l1")]


def drop_limits(request: BuildRequest, names: Iterable[str]) -> BuildRequest:
    """Return the request without the limits of these memories."""
    limits = budget.without(request.limits, names)
    return replace(request, limits=budget.for_app(request.app, request.chip, limits))


def estimated(plan: Plan) -> str:
    """Return the price of a remedy: "123,456 cycles, estimated"; for a host, which has no clock,
    "planned"."""
    if not plan.chip.point.clock_hz:
        return "planned"
    return f"{modelled_cycles(plan):,.0f} cycles, estimated"


def small_plans(network: QuantGraph, request: BuildRequest) -> list[BuildPlan]:
    """Return plans with ever less data in L2, the last with the least, to n / NEAR; the same for
    all limits of L2. Those by cycles, whose code may be smaller, come with those by bytes. [] as
    for `_least_l2_bytes`."""
    of_data = replace(request, limits=replace(request.limits, l2_code_bytes=0))
    l2_bytes, found = request.chip_in_limits.l2_bytes, list[BuildPlan]()

    def has_plan(limited: BuildRequest) -> bool:
        made = if_it_fits(lambda: next(_candidate_plans(network, limited)))
        if made is None:
            return False
        plans = [made]
        if not made.plan.is_tight:
            by_bytes = replace(limited, limits=replace(limited.limits, by_bytes=True))
            tight = if_it_fits(lambda: next(_candidate_plans(network, by_bytes)))
            plans += filter(None, [tight])
        found.extend(one.on(l2_bytes=l2_bytes) for one in plans)
        return True

    _least_l2_bytes(of_data, STEP_BYTES, has_plan, NEAR)
    return sorted(found, key=lambda x: x.plan.l2_bytes, reverse=True)


def plans_without_transfers(network: QuantGraph, request: BuildRequest) -> Iterator[BuildPlan]:
    """Yield plans within a limit of L2 that read no memory behind it and take no more cycles than
    the plan that does: their programs are smaller. First the one beside code of the known size, or
    else of the smallest; then the one with the least data. None of streams with a rate."""
    alone = replace(request, chip=replace(request.chip, levels=()))
    if _has_rate(request) or not fits(network, alone.with_least_code):
        return
    plan = first_plan(network, request)
    if plan is None or not plan.transfers:
        return
    beside_code = alone.with_least_code if alone.estimates_code else alone
    known = if_it_fits(lambda: next(_candidate_plans(network, beside_code)))
    for found in chain(filter(None, [known]), small_plans(network, alone)[-1:]):
        if modelled_cycles(found.plan) <= modelled_cycles(plan):
            yield found.on(levels=plan.chip.levels)


def least_limit_by_cycles(network: QuantGraph, request: BuildRequest) -> int | None:
    """Return the least L2 limit in KiB above the given one with which a plan by cycles fits; None
    as for `_least_l2_bytes`."""
    by_cycles = replace(request, limits=replace(request.limits, by_bytes=False))
    above_bytes = request.limits.l2_bytes or 0

    def has_plan(limited: BuildRequest) -> bool:
        return (limited.limits.l2_bytes or 0) > above_bytes and fits(network, limited)

    found = _least_l2_bytes(by_cycles, budget.KIB, has_plan)
    return None if found is None else found // budget.KIB


def _least_l2_bytes(
    request: BuildRequest,
    step_bytes: int,
    has_plan: Callable[[BuildRequest], bool],
    near: int | None = None,
) -> int | None:
    """Return the least L2 limit with which a plan fits, in whole steps; None if there is none.
    Halves of the chip's L2 are searched, so that the same is found from all limits below, if more
    L2 never takes away a plan.

    Streams with a rate are not searched (None), because each trial would also search the number of
    frames per pass.

    has_plan   whether a plan of the request with a limit fits
    near       a limit of n steps is searched to n / near; None: to a step
    """
    if _has_rate(request):
        return None
    low, most = 0, request.chip.l2_bytes // step_bytes
    high = most + 1
    while high - low > (1 if near is None else max(high // near, 1)):
        steps = (low + high) // 2
        limits = replace(request.limits, l2_bytes=steps * step_bytes)
        is_enough = has_plan(replace(request, limits=limits))
        low, high = (low, steps) if is_enough else (steps, high)
    return high * step_bytes if high <= most else None


def _has_rate(request: BuildRequest) -> bool:
    return request.frames is not None and request.frames.rate is not None


def fits(network: QuantGraph, request: BuildRequest) -> bool:
    """Return whether a plan of the network fits in the memories."""
    return first_plan(network, request) is not None


def planned_cycles(network: QuantGraph, request: BuildRequest) -> float:
    """Return the estimated cycles of a planned network, or of the shortest pass of a stream;
    infinite if no plan fits."""
    plan, table = first_plan(network, request), request.frames
    if plan is not None and table is not None:
        parts = network, table, request.chip_at_point, request.limits
        plan = if_it_fits(lambda: shortest_pass(*parts)[1])
    return math.inf if plan is None else float(modelled_cycles(plan))


def first_plan(network: QuantGraph, request: BuildRequest) -> Plan | None:
    """Return the fastest plan by the estimate; None if none fits the memories."""
    return if_it_fits(lambda: next(_candidate_plans(network, request)).plan)
