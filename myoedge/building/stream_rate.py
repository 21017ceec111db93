# SPDX-License-Identifier: Apache-2.0
"""How many frames of a stream are computed at once: as asked for, or as few as keep up with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from myoedge.building.budget import Budget, plan_within
from myoedge.building.config import StreamTable, seconds
from myoedge.errors import MyoedgeError, Notice, notice
from myoedge.graph.ir import Graph
from myoedge.plan.cost.network import modelled_cycles
from myoedge.quantization.scales import QuantGraph
from myoedge.streaming.convert import causal_stream
from myoedge.streaming.explicit_state import explicit_state_stream, without_states
from myoedge.streaming.stream import Stream
from myoedge.streaming.time_axis import Axes, find_axes, follow_time
from myoedge.streaming.windows import window_axes, windowed_stream
from myoedge.targets import Chip

if TYPE_CHECKING:
    from myoedge.plan.plan import Plan

MOST_FRAMES = 512  # of a pass that is looked for
TOO_LARGE = 3  # exit code of what does not fit

Planned = Callable[[int], tuple[Stream, "Plan"]]  # for a number of frames


@dataclass(frozen=True)
class Paced:
    """A stream, its plan, and how it keeps up.

    frame_hz   frames a second; None where nobody has said
    window_s   what a frame is made of
    least      by operating point the fewest frames of a pass that keep up; None: no number does
    """

    stream: Stream
    plan: Plan
    frame_hz: float | None = None
    window_s: float | None = None
    least: dict[str, int | None] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """W302 where the frames come faster than they are computed."""
        clock_hz, cycles = self.plan.chip.point.clock_hz, modelled_cycles(self.plan)
        if not self.frame_hz or not clock_hz or _keeps_up(self, cycles, clock_hz):
            return ()
        period_s, pass_s = self.stream.frames / self.frame_hz, cycles / clock_hz
        facts = {
            "frames": f"{self.stream.frames} in a pass, which come in {period_s * 1e3:.3g} ms",
            "pass": f"{pass_s * 1e3:.3g} ms, modelled",
        }
        found = self.least.get(self.plan.chip.point.name)
        tries = [f"[stream] frames = {found}"] if found else []
        return (notice("W302", "the stream does not keep up", facts, tries),)


def _keeps_up(paced: Paced, cycles: float, clock_hz: float) -> bool:
    return cycles * (paced.frame_hz or 0.0) <= clock_hz * paced.stream.frames


def examine(graph: Graph, table: StreamTable) -> Graph:
    """What of the network runs on the stream, before anything takes time.

    Errors: E131 not causal, E235 which axis, E236 frames, E239 states.
    """
    if table.states:
        return without_states(graph, table.states)
    if in_windows(table):
        _overlap(graph, window_axes(graph, table.axis), table)
    else:
        _asked(graph, find_axes(graph, table.axis), table)
    return graph


def in_windows(table: StreamTable) -> bool:
    """Whether the whole network runs on windows, as it needs frames to come."""
    return table.past is not None or table.future is not None


def plan(q: QuantGraph, table: StreamTable, chip: Chip, budget: Budget) -> Paced:
    """The network in passes, and their plan. Errors: as examine, plan_within; E306."""
    frame_hz = None if table.rate is None else table.rate / table.hop
    window_s = None if table.rate is None else (table.window or table.hop) / table.rate
    if table.states:
        stream = explicit_state_stream(q, table.states)
        return Paced(stream, _planned(stream, chip, budget), frame_hz, window_s)
    if in_windows(table):
        axes = window_axes(q.graph, table.axis)
        stream = windowed_stream(q, axes, *_overlap(q.graph, axes, table))
        return Paced(stream, _planned(stream, chip, budget), frame_hz, window_s)
    axes = find_axes(q.graph, table.axis)
    least = _asked(q.graph, axes, table)

    @cache
    def of(frames: int) -> tuple[Stream, Plan]:
        stream = causal_stream(q, axes, frames)
        return stream, _planned(stream, chip, budget)

    if frame_hz is None or not chip.point.clock_hz:
        return Paced(*of(least))
    most = follow_time(q.graph, axes).pass_multiple()
    found = {p.name: least_frames(of, p.clock_hz / frame_hz, most) for p in chip.points}
    frames = table.frames or found[chip.point.name] or least
    return Paced(*of(frames), frame_hz, window_s, found)


def _planned(stream: Stream, chip: Chip, budget: Budget) -> Plan:
    found = plan_within(stream.network, chip, budget)
    if any(found.where[n].kind == "far" for n in (*found.graph_inputs, *found.graph_outputs)):
        raise MyoedgeError(
            "E306",
            "frames and states of the stream do not fit L2",
            {"needs": f"{stream.state_bytes:,} B twice, besides frames, weights and activations"},
            [
                "[stream] frames = ..., fewer of them; of windows: a shorter one in the export",
                "shorter kernels, fewer channels",
            ],
        )
    return found


def least_frames(of: Planned, frame_cycles: float, most: int) -> int | None:
    """The fewest frames of a pass, a multiple of `most`, that take so many cycles each or fewer.

    Cycles of a frame fall with the frames of a pass, as weights come once, and their memory grows:
    doubled until it is enough or does not fit, then halved between.
    """

    @cache
    def answer(times: int) -> str:
        try:
            cycles = modelled_cycles(of(times * most)[1])
        except MyoedgeError as error:
            if error.exit_code == TOO_LARGE:
                return "large"
            raise
        return "slow" if cycles > frame_cycles * times * most else "enough"

    high = 1
    while answer(high) == "slow":
        high *= 2
        if high * most > MOST_FRAMES:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if answer(middle) == "slow" else (low, middle)
    return high * most if answer(high) == "enough" else None


def _asked(graph: Graph, axes: Axes, table: StreamTable) -> int:
    """Frames of a pass: those that are asked for, else as few as give a frame of the outputs."""
    most = follow_time(graph, axes).pass_multiple()
    if table.frames is not None and table.frames % most:
        facts = {"needs": f"a multiple of {most}: the strides along time", "has": table.frames}
        tries = [f"[stream] frames = {-(-table.frames // most) * most}"]
        raise MyoedgeError("E236", "a pass is not a whole number of frames", facts, tries)
    return table.frames or most


def _overlap(graph: Graph, axes: Axes, table: StreamTable) -> tuple[int, int]:
    """Frames of past and of future. Errors: E236 nothing is left between them."""
    frame_hz = None if table.rate is None else table.rate / table.hop
    past, future = (_context(x, frame_hz) for x in (table.past, table.future))
    window = graph.shape(graph.inputs[0])[axes[graph.inputs[0]]]
    if past + future >= window:
        facts = {"needs": f"past + future < {window}", "has": f"{past} + {future}"}
        raise MyoedgeError("E236", "no frame of the window is left for outputs", facts)
    return past, future


def _context(asked: int | str | None, frame_hz: float | None) -> int:
    """Frames of past or future; "900 ms" of them. Errors: E236 a time without a rate."""
    if not isinstance(asked, str):
        return asked or 0
    if frame_hz is None:
        tries = ["[stream] rate = 2000, hop = 16, or past and future in frames"]
        raise MyoedgeError("E236", f"how many frames {asked} are is not known", tries=tries)
    return round(seconds(asked) * frame_hz)
