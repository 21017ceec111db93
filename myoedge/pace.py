# SPDX-License-Identifier: Apache-2.0
"""How many frames of a stream are computed at once, and the plan for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myoedge.budget import Budget, plan_within
from myoedge.config import StreamTable
from myoedge.errors import MyoedgeError
from myoedge.ir import Graph
from myoedge.quant.choose import QuantGraph
from myoedge.streaming.carry import streamed
from myoedge.streaming.paths import find_axes, paths
from myoedge.streaming.pushed import Stream
from myoedge.target import Chip

if TYPE_CHECKING:
    from myoedge.plan.planned import Plan


def check_app(app: str | None) -> None:
    """Errors: E237 an application that runs the network on whole samples."""
    if app is not None:
        facts = {"needs": "--stream alone: src/ has me_push for an application of your own"}
        raise MyoedgeError("E237", f"--app {app} does not push frames", facts)


def examine(graph: Graph, table: StreamTable) -> None:
    """Before anything takes time. Errors: E131 not causal, E235 which axis, E236 frames."""
    _frames(graph, find_axes(graph, table.axis), table)


def plan(q: QuantGraph, table: StreamTable, chip: Chip, budget: Budget) -> tuple[Stream, Plan]:
    """The network in passes, and their plan. Errors: as examine, plan_within, E306."""
    axes = find_axes(q.graph, table.axis)
    stream = streamed(q, axes, _frames(q.graph, axes, table))
    found = plan_within(stream.network, chip, budget)
    if any(found.where[n].kind == "far" for n in (*found.graph_inputs, *found.graph_outputs)):
        raise MyoedgeError(
            "E306",
            "frames and states of the stream do not fit L2",
            {"needs": f"{stream.state_bytes:,} B twice, besides frames, weights and activations"},
            ["[stream] frames = ..., fewer of them", "shorter kernels, fewer channels"],
        )
    return stream, found


def _frames(graph: Graph, axes: dict[str, int], table: StreamTable) -> int:
    """Of a pass: those that are asked for, else as few as give a frame of the outputs."""
    most = paths(graph, axes).most()
    if table.frames is not None and table.frames % most:
        facts = {"needs": f"a multiple of {most}: the strides along time", "has": table.frames}
        tries = [f"[stream] frames = {-(-table.frames // most) * most}"]
        raise MyoedgeError("E236", "a pass is not a whole number of frames", facts, tries)
    return table.frames or most
