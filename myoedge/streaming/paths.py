# SPDX-License-Identifier: Apache-2.0
"""How time goes through a graph: the axis of every tensor, and what operators make of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from myoedge.errors import MyoedgeError
from myoedge.ir import Graph, Node, Shape
from myoedge.op import OPS, InTime

Axes = Mapping[str, int]  # of tensors, by name


@dataclass(frozen=True)
class Paths:
    """Time in a graph that may be cut into frames.

    axis     of every tensor     stride   frames of the input from frame to frame of a tensor
    moves    of every node, by operand: what it does along the axis
    """

    axis: Axes
    stride: Mapping[str, int]
    moves: Mapping[str, Mapping[str, InTime]]

    def most(self) -> int:
        """Frames that a pass is a multiple of."""
        return max(self.stride.values())


def paths(graph: Graph, axes: Axes) -> Paths:
    """Follows time from the inputs, whose axes are given, to all outputs.

    Errors: E131 where an operator needs frames to come, or all of them at once.
    """
    axis, stride = dict(axes), dict.fromkeys(graph.inputs, 1)
    moves = dict(_followed(graph, axis, stride))
    if len({stride[name] for name in graph.outputs}) > 1:
        raise refused("the outputs come at different rates", "one rate for all outputs")
    return Paths(axis, stride, moves)


def _followed(
    graph: Graph, axis: dict[str, int], stride: dict[str, int]
) -> Iterator[tuple[str, Mapping[str, InTime]]]:
    """Node by node what it does in time; `axis` and `stride` grow with it."""
    _check_inputs(graph, axis)
    for node in graph.nodes:
        found = {name: _move(graph, node, name, axis) for name in node.inputs if name in axis}
        axis[node.name] = _one({move.axis for move in found.values()}, node)
        stride[node.name] = _one({stride[n] * m.stride for n, m in found.items()}, node)
        _check_constants(graph, node, axis[node.name])
        yield node.name, found


def _check_inputs(graph: Graph, axes: Axes) -> None:
    for name in graph.inputs:
        shape, border = graph.shape(name), graph.borders.get(name)
        axis = axes.get(name, 0)
        if not 0 <= axis < len(shape) or shape[axis] < 2:
            raise no_frames(name, axis, shape)
        if border is not None and border.axis == axis and len(border.scale) > 1:
            raise refused(f"factors of input {name} change from frame to frame", "the same ones")


def _move(graph: Graph, node: Node, name: str, axes: Axes) -> InTime:
    shapes = [graph.shape(x) for x in node.inputs]
    move = OPS[node.op].in_time(node.attrs, shapes, node.inputs.index(name), axes[name])
    if move is None and node.op == "attention" and axes[name] != 0:
        raise _attends(node, graph.shape(graph.inputs[0])[axes[graph.inputs[0]]])
    if move is None:
        raise not_causal(node, "takes all frames at once")
    if move.behind:
        raise not_causal(node, f"reaches {move.behind} frames into the future")
    return move


def _one(found: Iterable[int], node: Node) -> int:
    values = list(found)
    if len(values) != 1:
        raise not_causal(node, "brings frames of different times together")
    return values[0]


def _check_constants(graph: Graph, node: Node, axis: int) -> None:
    """Constant operands that have a value for every frame of the network as it was exported."""
    shapes = [graph.shape(x) for x in node.inputs]
    for index, name in enumerate(node.inputs):
        if name not in graph.constants or index in OPS[node.op].weights:
            continue
        for own, extent in enumerate(shapes[index]):
            move = OPS[node.op].in_time(node.attrs, shapes, index, own)
            if extent > 1 and move is not None and move.axis == axis:
                raise not_causal(node, "has constants that change from frame to frame")


def not_causal(node: Node, reason: str) -> MyoedgeError:
    """E131 of a node."""
    title = f"{node.where} cannot run on a stream: it {reason}"
    return refused(title, "what is known of a frame when it comes, and of those before it")


def _attends(node: Node, window: int) -> MyoedgeError:
    """E131 of attention in a network that was exported over so many frames."""
    before, after = node.attrs["window"] or (window, window)
    reason = "keeps no keys and values of frames before"
    if after > 0:
        reason = "attends to frames to come"
    elif before >= window - 1:
        reason = "attends to all frames before, however many these become"
    facts = {
        "needs": "what can be kept of the frames before in a state that does not grow",
        "has": f"keys and values of {min(before, window - 1) + 1} frames, as it was exported",
    }
    tries = [
        f"[stream] past = {window - 1} runs the network on the last {window} frames, as it was "
        "exported, for every new one; a smaller past for several new ones at once",
        "export it over as many frames as it looks back: a window takes as long as it has frames",
        "an LSTM, a GRU or causal convolutions in its place, which keep little",
    ]
    return MyoedgeError("E131", f"{node.where} cannot run on a stream: it {reason}", facts, tries)


def no_frames(name: str, axis: int, shape: Shape) -> MyoedgeError:
    """E131 of an input: it has no such axis, or a single frame along it."""
    facts = {"needs": "two frames at least along the axis of time", "has": list(shape)}
    tries = ["[stream] axis counts from 0, the batch axis included"] * any(n > 1 for n in shape)
    tries += ["export the network with some frames of input: how many does not matter"]
    tries += [f'[stream] states = {{ {name} = "output" }}, where it is a state that comes back']
    return MyoedgeError("E131", f"input {name} has no frames along axis {axis}", facts, tries)


def refused(title: str, needs: str) -> MyoedgeError:
    """E131 with what to do about it."""
    return MyoedgeError(
        "E131",
        title,
        {"needs": needs},
        [
            "pad in front only: F.pad(x, (k - 1, 0)), then a convolution without padding",
            "[stream] past = 112, future = 12 runs the whole network on windows that overlap so",
        ],
    )


def find_axes(graph: Graph, named: int | None = None) -> dict[str, int]:
    """The axis of time of every input: the one named, or the only one that frames can go along.

    Errors: E131 there is none; E235 there are several.
    """
    if not graph.shape(graph.inputs[0]):
        raise no_frames(graph.inputs[0], named or 0, ())
    if named is not None:
        axes = {name: named % max(len(graph.shape(name)), 1) for name in graph.inputs}
        paths(graph, axes)
        return axes
    tried = [dict.fromkeys(graph.inputs, d) for d in range(len(graph.shape(graph.inputs[0])))]
    fit = [axes for axes in tried if _reached(graph, axes) == len(graph.nodes)]
    if len(fit) > 1:
        raise several([axes[graph.inputs[0]] for axes in fit])
    if not fit:  # the axis that gets farthest, of those the longest, is the one that a person means
        shape, name = graph.shape(graph.inputs[0]), graph.inputs[0]
        fit = [max(tried, key=lambda axes: (_reached(graph, axes), shape[axes[name]]))]
    paths(graph, fit[0])
    return fit[0]


def _reached(graph: Graph, axes: Axes) -> int:
    """How many nodes frames along these axes go through."""
    axis, stride = dict(axes), dict.fromkeys(graph.inputs, 1)
    count = 0
    try:
        for _ in _followed(graph, axis, stride):
            count += 1
    except MyoedgeError:
        return count - (count == 0)
    return count


def several(fit: Sequence[int]) -> MyoedgeError:
    """E235 with what to write."""
    facts = {"has": f"frames could go along axes {', '.join(map(str, fit))} of the input"}
    tries = [f"[stream] axis = {axis}" for axis in fit]
    return MyoedgeError("E235", "which axis is time?", facts, tries)
