# SPDX-License-Identifier: Apache-2.0
"""Choice of the time axis of the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.streaming.time_axis import TimeAxisMap, follow_time, no_frames, rules_in_order


def infer_time_axes(graph: Graph, axis: int | None = None) -> dict[str, int]:
    """Return the time axis of every input.

    axis   time axis of all inputs; None: the only possible one, or the only one along which the
           network reads frames in order
    Errors: E131 there is none; E235 there are several.
    """
    if not graph.shape(graph.inputs[0]):
        raise no_frames(graph.inputs[0], axis or 0, ())
    if axis is not None:
        axes = {name: axis % max(len(graph.shape(name)), 1) for name in graph.inputs}
        follow_time(graph, axes)
        return axes
    axes = dict.fromkeys(graph.inputs, _likely_axis(graph))
    follow_time(graph, axes)
    return axes


def _likely_axis(graph: Graph) -> int:
    """Return the only possible axis; otherwise the axis that reaches farthest, and of those the
    longest. Errors: E235 there are several."""
    shape = graph.shape(graph.inputs[0])
    counts = [_reachable_count(graph, d) for d in range(len(shape))]
    fit = [d for d, count in enumerate(counts) if count == len(graph.nodes)]
    fit = [d for d in fit if _reads_in_order(graph, d)] or fit
    if len(fit) > 1:
        raise ambiguous_axes(fit)
    return fit[0] if fit else max(range(len(shape)), key=lambda d: (counts[d], shape[d]))


def _reachable_count(graph: Graph, axis: int) -> int:
    """Return the number of nodes that can be streamed, in order, if frames lie along an axis."""
    count = 0
    axes, rates = dict.fromkeys(graph.inputs, axis), dict.fromkeys(graph.inputs, Fraction(1))
    try:
        for _ in rules_in_order(graph, axes, rates):
            count += 1
    except MyoedgeError:
        return count - (count == 0)
    return count


def _reads_in_order(graph: Graph, axis: int) -> bool:
    """Return whether along an axis no output needs frames behind those of the exported network, and
    no reshape changes the number of frames."""
    paths = follow_time(graph, dict.fromkeys(graph.inputs, axis))
    late = frames_at_the_end(graph, paths)
    reshapes = (node.name for node in graph.nodes if node.op == "reshape")
    rules = (rule for name in reshapes for rule in paths.rules[name].values())
    return not any(late[x] for x in graph.outputs) and all(rule.rate == 1 for rule in rules)


def frames_at_the_end(graph: Graph, paths: TimeAxisMap) -> dict[str, int]:
    """Return, for each tensor, its number of last frames that depend on where the exported network
    ends: padding stands for frames that a stream has."""
    late = dict.fromkeys(graph.tensors, 0)
    for node in graph.nodes:
        for name, rule in paths.rules[node.name].items():
            if node.name in paths.axis:
                known = graph.shape(name)[paths.axis[name]] - late[name]
                frames = graph.shape(node.name)[paths.axis[node.name]]
                # How many result frames need no more than the first `frames` frames of an operand
                groups = (known + rule.before - rule.taps) // rule.stride + 1
                late[node.name] = max(late[node.name], frames - max(groups, 0) * rule.up)
    return late


def ambiguous_axes(fit: Sequence[int]) -> MyoedgeError:
    """Return error E235 with the possible time axes.

    fit   axes that are possible
    """
    facts = {"has": f"frames could go along axes {', '.join(map(str, fit))} of the input"}
    tries = [f"[stream] axis = {axis}" for axis in fit]
    return MyoedgeError("E235", "which axis is time?", facts, tries)
