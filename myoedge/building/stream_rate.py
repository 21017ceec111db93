# SPDX-License-Identifier: Apache-2.0
"""Number of frames per pass of a stream: as requested, or the fewest that run in real time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

from myoedge.building.budget import Budget
from myoedge.building.config_tables import StreamTable
from myoedge.building.plan_within import plan_within
from myoedge.building.quantities import seconds
from myoedge.catalogue import warning
from myoedge.errors import MyoedgeError, Notice, named_input
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import round_up
from myoedge.plan.cost.network import energy_bytes, modelled_cycles
from myoedge.plan.l1.tile_choice import NO_RANKS, TileRanks
from myoedge.quantization.scales import QuantGraph
from myoedge.streaming.causal import causal_stream
from myoedge.streaming.convert import (
    explicit_state_stream,
    infer_time_axes,
    window_axes,
    windowed_stream,
    without_states,
)
from myoedge.streaming.loops import with_sequences_of_states, with_skip_factors
from myoedge.streaming.stream import Stream
from myoedge.streaming.time_axis import Axes, follow_time
from myoedge.targets import Chip

if TYPE_CHECKING:
    from myoedge.plan.plan import Plan
    from myoedge.reports.report_json import Report

MOST_FRAMES = 512  # maximum frames per pass that are tried
DOUBLED = 4  # number of pass lengths that are estimated
TOO_LARGE = 3  # exit code for a network that does not fit

PlanT = TypeVar("PlanT")
Pass = tuple[Stream, "Plan"]
PlanFor = Callable[[int], Pass]  # frames per pass -> stream and plan


@dataclass(frozen=True, slots=True)
class PassCost:
    """Estimated cost of a pass of a stream.

    frames     frames per pass
    cycles     cycles
    l3_bytes, mram_bytes   bytes moved to and from L3, and from the flash on the chip
    """

    frames: int
    cycles: int
    l3_bytes: int
    mram_bytes: int = 0


@dataclass(frozen=True)
class StreamPlan:
    """A stream with the plan of its pass, and the rate of its frames.

    stream, plan   the stream and the plan of one pass
    frame_hz       frames per second; None if unknown
    window_s       duration of the signal that a frame covers, in seconds
    least_frames   operating point -> fewest frames per pass that run in real time by the estimate;
                   None: no number does
    passes         estimates for longer and shorter passes
    """

    stream: Stream
    plan: Plan
    frame_hz: float | None = None
    window_s: float | None = None
    least_frames: dict[str, int | None] = field(default_factory=dict)
    passes: tuple[PassCost, ...] = ()


def if_it_fits(make: Callable[[], PlanT]) -> PlanT | None:
    """Return a plan; None if it does not fit the memories. Errors: the others of `make`."""
    try:
        return make()
    except MyoedgeError as error:
        if error.exit_code != TOO_LARGE:
            raise
        return None


def keeps_up(report: Report) -> bool:
    """Return whether a stream runs in real time by its report; True if its rate is unknown."""
    point = _chosen_point(report)
    return point is None or bool(point["keeps_up"])


def slow_stream(report: Report) -> Notice | None:
    """Return W302 if a stream does not run in real time; otherwise None."""
    point = _chosen_point(report)
    if point is None or point["keeps_up"]:
        return None
    frames = report["stream"]["pass_frames"]
    least = point["least_frames"] or 0
    times_ms = {"period_ms": point["period_s"] * 1e3, "pass_ms": point["pass_s"] * 1e3}
    longer = {"longer": least} if least > frames else {}
    of = {"frames": frames, "source": report["cycles"]["source"]}
    return warning("W302", {**of, **times_ms, **longer})


def _chosen_point(report: Report) -> Mapping[str, Any] | None:
    """Return the stream's figures at the build's operating point; None if the rate is unknown."""
    name = report["target"]["operating_point"]
    points = (report.get("stream") or {}).get("points", ())
    return next((point for point in points if point["name"] == name), None)


def check_stream(graph: Graph, table: StreamTable) -> Graph:
    """Check before quantisation that the network can be streamed; return the part of it that runs
    on the chip.

    Errors: E131 not causal, E232 no such axis, E235 ambiguous time axis, E236 frames, E239 states.
    """
    if table.states:
        return without_states(graph, table.states)
    _check_axis(graph, table.axis)
    if in_windows(table):
        _context_around_pass(graph, window_axes(graph, table.axis), table)
    else:
        graph = with_sequences_of_states(with_skip_factors(graph))
        _frames_per_pass(graph, infer_time_axes(graph, table.axis), table)
    return graph


def _check_axis(graph: Graph, axis: int | None) -> None:
    """Raise E232 for an axis that an input does not have."""
    for name in graph.inputs:
        rank = len(graph.shape(name))
        if axis is not None and rank and not -rank <= axis < rank:
            title = f"[stream] axis = {axis}: {named_input(name)} has no such axis"
            facts = {"needs": f"{-rank} .. {rank - 1}", "has": str(list(graph.shape(name)))}
            raise MyoedgeError("E232", title, facts, ["without axis it is found"])


def in_windows(table: StreamTable) -> bool:
    """Return whether the network runs on overlapping windows because its outputs need future
    frames."""
    return table.past is not None or table.future is not None


def shortest_pass(q: QuantGraph, table: StreamTable, chip: Chip, budget: Budget) -> Pass:
    """Return the shortest pass, for comparisons of networks. Errors: check_stream, plan_within."""
    if table.states:
        stream = explicit_state_stream(q, table.states)
    elif in_windows(table):
        axes = window_axes(q.graph, table.axis)
        stream = windowed_stream(q, axes, *_context_around_pass(q.graph, axes, table))
    else:
        axes = infer_time_axes(q.graph, table.axis)
        stream = causal_stream(q, axes, _frames_per_pass(q.graph, axes, table))
    return stream, plan_stream(stream, chip, budget)


def stream_plans(
    q: QuantGraph, table: StreamTable, chip: Chip, budget: Budget
) -> Iterator[StreamPlan]:
    """Yield plans of the stream: one if [stream] sets the frames per pass; otherwise first the
    fewest frames that run in real time by the estimate, then more and more. Errors: as
    check_stream, plan_within; E306."""
    is_whole = table.states or in_windows(table)
    if is_whole or table.frame_hz is None or not chip.point.clock_hz:
        rate = (table.frame_hz, table.window_s) if is_whole else ()
        yield StreamPlan(*shortest_pass(q, table, chip, budget), *rate)
        return
    axes = infer_time_axes(q.graph, table.axis)

    @cache
    def plan_for(frames: int) -> Pass:
        stream = causal_stream(q, axes, frames)
        return stream, plan_stream(stream, chip, budget)

    step = follow_time(q.graph, axes).pass_multiple()
    yield from _plans_in_time(plan_for, table, chip, _frames_per_pass(q.graph, axes, table), step)


def _plans_in_time(
    plan_for: PlanFor, table: StreamTable, chip: Chip, least: int, step: int
) -> Iterator[StreamPlan]:
    """Yield plans of passes that keep up with the frame rate, shortest pass first.

    least   frames per pass if none keeps up
    step    the frames per pass are a multiple of it
    """
    frame_hz = table.frame_hz
    assert frame_hz is not None

    def plan_at(name: str, frames: int) -> Pass:
        stream, plan = plan_for(frames)
        return stream, replace(plan, chip=plan.chip.at(name))

    fewest = {
        p.name: least_frames(partial(plan_at, p.name), p.clock_hz / frame_hz, step)
        for p in chip.points
    }
    at = chip.point.name

    def plan(frames: int, counts: dict[str, int | None]) -> StreamPlan:
        passes = tuple(_pass_costs(plan_for, fewest[at] or least, frames))
        return StreamPlan(*plan_for(frames), frame_hz, table.window_s, counts, passes)

    first = table.frames or fewest[at] or least
    yield plan(first, fewest)
    if table.frames or fewest[at] is None:
        return
    frames = first  # each next number is larger by an eighth
    while (frames := frames + step * max(frames // (8 * step), 1)) <= MOST_FRAMES:
        longer = if_it_fits(partial(plan, frames, {**fewest, at: frames}))
        if longer is None:
            return
        yield longer


def _pass_costs(plan_for: PlanFor, least: int, chosen: int) -> Iterator[PassCost]:
    """Yield the costs of passes with 1, 2, 4 and 8 times the least frames and of the chosen pass,
    if they fit."""
    for frames in sorted({chosen, *(least << doubled for doubled in range(DOUBLED))}):
        planned = if_it_fits(partial(plan_for, frames))
        if planned is None:
            return
        _, plan = planned
        yield PassCost(frames, round(modelled_cycles(plan)), *energy_bytes(plan))


def frame_axes(graph: Graph, table: StreamTable) -> Axes:
    """Return the time axis of each input; {} if the states are explicit. Errors: E131 none, E235
    several."""
    if table.states:
        return {}
    return axes_of_windows(graph, table) or infer_time_axes(graph, table.axis)


def axes_of_windows(graph: Graph, table: StreamTable) -> dict[str, int]:
    """Return the time axis of each input of a stream of overlapping windows; {} for other
    streams."""
    return window_axes(graph, table.axis) if in_windows(table) else {}


def plan_stream(
    stream: Stream, chip: Chip, budget: Budget, tile_ranks: TileRanks = NO_RANKS
) -> Plan:
    """Plan one pass of a stream. Errors: as plan_within; E306 frames or states that are not in
    L2."""
    plan = plan_within(stream.network, chip, budget, tile_ranks)
    if any(plan.where[n].in_level for n in (*plan.graph_inputs, *plan.graph_outputs)):
        raise MyoedgeError(
            "E306",
            "frames and states of the stream do not fit L2",
            {"needs": f"{stream.state_bytes:,} B twice, plus frames, weights and activations"},
            [
                "[stream] frames = ..., fewer of them; of windows: a shorter one in the export",
                "shorter kernels, fewer channels",
            ],
        )
    return plan


def least_frames(plan_for: PlanFor, frame_cycles: float, step: int) -> int | None:
    """Return the smallest number of frames per pass with at most `frame_cycles` cycles per frame;
    None if there is none.

    plan_for   frames -> plan, or None if it does not fit
    step       the result is a multiple of it
    Longer passes load weights less often but need more memory. The number is doubled until it is
    enough or does not fit, then bisected.
    """

    @cache
    def answer(times: int) -> str:
        planned = if_it_fits(partial(plan_for, times * step))
        if planned is None:
            return "large"
        cycles = modelled_cycles(planned[1])
        return "slow" if cycles > frame_cycles * times * step else "enough"

    high = 1
    while answer(high) == "slow":
        high *= 2
        if high * step > MOST_FRAMES:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if answer(middle) == "slow" else (low, middle)
    return high * step if answer(high) == "enough" else None


def _frames_per_pass(graph: Graph, axes: Axes, table: StreamTable) -> int:
    """Return the frames per pass: the requested number, else the smallest that gives an output."""
    most = follow_time(graph, axes).pass_multiple()
    if table.frames is not None and table.frames % most:
        facts = {"needs": f"a multiple of {most}: the strides along time", "has": table.frames}
        tries = [f"[stream] frames = {round_up(table.frames, most)}"]
        raise MyoedgeError("E236", "a pass is not a whole number of frames", facts, tries)
    return table.frames or most


def _context_around_pass(graph: Graph, axes: Axes, table: StreamTable) -> tuple[int, int]:
    """Return the context before and after a pass, in frames. Errors: E236 no frames remain."""
    past, future = (_context_in_frames(x, table.frame_hz) for x in (table.past, table.future))
    window = graph.shape(graph.inputs[0])[axes[graph.inputs[0]]]
    if past + future >= window:
        facts = {"needs": f"past + future < {window}", "has": f"{past} + {future}"}
        raise MyoedgeError("E236", "no frame of the window is left for outputs", facts)
    return past, future


def _context_in_frames(asked: int | str | None, frame_hz: float | None) -> int:
    """Return a context in frames; a time such as "900 ms" is converted. Errors: E236 a time without
    a rate."""
    if not isinstance(asked, str):
        return asked or 0
    if frame_hz is None:
        tries = ["[stream] rate = 2000, hop = 16, or past and future in frames"]
        raise MyoedgeError("E236", f"how many frames {asked} are is not known", tries=tries)
    return round(seconds(asked, "[stream] past and future") * frame_hz)
