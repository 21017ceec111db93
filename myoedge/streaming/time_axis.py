# SPDX-License-Identifier: Apache-2.0
"""How time goes through a graph: the axis of every tensor, and what operators make of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node, Shape
from myoedge.operators.base import OPS, StreamingRule

Axes = Mapping[str, int]  # of tensors, by name


@dataclass(frozen=True)
class Paths:
    """Time in a graph that may be cut into frames.

    axis     of every tensor     stride   frames of the input from frame to frame of a tensor
    moves    of every node, by operand: what it does along the axis
    """

    axis: Axes
    stride: Mapping[str, int]
    moves: Mapping[str, Mapping[str, StreamingRule]]

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
        raise refused(graph, "the outputs come at different rates", "one rate for all outputs")
    return Paths(axis, stride, moves)


def _followed(
    graph: Graph, axis: dict[str, int], stride: dict[str, int]
) -> Iterator[tuple[str, Mapping[str, StreamingRule]]]:
    """Node by node what it does in time; `axis` and `stride` grow with it."""
    _check_inputs(graph, axis)
    for node in graph.nodes:
        found = {name: _move(graph, node, name, axis) for name in node.inputs if name in axis}
        axis[node.name] = _one({move.axis for move in found.values()}, graph, node)
        stride[node.name] = _one({stride[n] * m.stride for n, m in found.items()}, graph, node)
        _check_constants(graph, node, axis[node.name])
        yield node.name, found


def _check_inputs(graph: Graph, axes: Axes) -> None:
    for name in graph.inputs:
        shape, border = graph.shape(name), graph.borders.get(name)
        axis = axes.get(name, 0)
        if not 0 <= axis < len(shape) or shape[axis] < 2:
            raise no_frames(name, axis, shape)
        if border is not None and border.axis == axis and len(border.scale) > 1:
            title = f"factors of input {name} change from frame to frame"
            raise refused(graph, title, "the same ones")


def _move(graph: Graph, node: Node, name: str, axes: Axes) -> StreamingRule:
    shapes = [graph.shape(x) for x in node.inputs]
    move = OPS[node.op].streaming_rule(node.attrs, shapes, node.inputs.index(name), axes[name])
    if move is None and node.op == "attention" and axes[name] != 0:
        raise _attends(graph, node, graph.shape(graph.inputs[0])[axes[graph.inputs[0]]])
    if move is None:
        raise not_causal(graph, node, "takes all frames at once")
    if move.behind:
        ahead = "1 frame" if move.behind == 1 else f"{move.behind} frames"
        raise not_causal(graph, node, f"reaches {ahead} into the future", PAD)
    return move


def _one(found: Iterable[int], graph: Graph, node: Node) -> int:
    values = list(found)
    if len(values) != 1:
        raise not_causal(graph, node, "brings frames of different times together")
    return values[0]


def _check_constants(graph: Graph, node: Node, axis: int) -> None:
    """Constant operands that have a value for every frame of the network as it was exported."""
    shapes = [graph.shape(x) for x in node.inputs]
    for index, name in enumerate(node.inputs):
        if name not in graph.constants or index in OPS[node.op].weights:
            continue
        for own, extent in enumerate(shapes[index]):
            move = OPS[node.op].streaming_rule(node.attrs, shapes, index, own)
            if extent > 1 and move is not None and move.axis == axis:
                raise not_causal(graph, node, "has constants that change from frame to frame")


def not_causal(graph: Graph, node: Node, reason: str, *tries: str) -> MyoedgeError:
    """E131 of a node."""
    title = f"{node.where} cannot run on a stream: it {reason}"
    needs = "what is known of a frame when it comes, and of those before it"
    return refused(graph, title, needs, *tries)


def _attends(graph: Graph, node: Node, window: int) -> MyoedgeError:
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
    overlapping = (
        f"[stream] past = {window - 1} runs the network on the last {window} frames, as it was "
        "exported, for every new one; a smaller past for several new ones at once",
        "export it over as many frames as it looks back: a window takes as long as it has frames",
    )
    tries = [
        *(overlapping if _window(graph) else _by_window(graph)),
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


PAD = "pad in front only: F.pad(x, (k - 1, 0)), then a convolution without padding"


def refused(graph: Graph, title: str, needs: str, *tries: str) -> MyoedgeError:
    """E131 with what to do about it: `tries`, then what fits outputs with a frame for every frame
    of the inputs, or those of whole windows."""
    window = _window(graph)
    last = [_overlapping(window)] if window else _by_window(graph)
    return MyoedgeError("E131", title, {"needs": needs}, [*tries, *last])


def _overlapping(window: int) -> str:
    parts = f"past = {window * 3 // 4}, future = {window // 8}"
    return f"[stream] {parts} runs the whole network on windows that overlap so"


def _by_window(graph: Graph) -> list[str]:
    batch = ", ".join(map(str, (4, *graph.shape(graph.inputs[0])[1:])))
    many = f"export it over some windows as a batch, [{batch}] say: each is a frame then"
    alone = "build without --stream: me_run takes a window each time"
    return [alone, many] if _is_batched(graph) else [alone]


def _window(graph: Graph) -> int:
    """Frames of the windows that the network could run on whole; 0: it gives no frame for each."""
    shape = graph.shape(graph.inputs[0])
    return max((n for axis, n in enumerate(shape) if alike(graph, axis) is not None), default=0)


def _is_batched(graph: Graph) -> bool:
    """Whether every operator takes what lies along the first axis one after the other."""
    axes = dict.fromkeys(graph.inputs, 0)
    for node in graph.nodes:
        shapes = [graph.shape(x) for x in node.inputs]
        found = [
            OPS[node.op].streaming_rule(node.attrs, shapes, index, axes[name])
            for index, name in enumerate(node.inputs)
            if name in axes
        ]
        along = {None if move is None else move.axis for move in found}
        if len(along) != 1 or (axis := along.pop()) is None:
            return False
        axes[node.name] = axis
    return True


def alike(graph: Graph, axis: int) -> dict[str, int] | None:
    """The axes of all ports, where the inputs have this one and each output one as long."""
    frames = graph.shape(graph.inputs[0])[axis]
    found = dict.fromkeys(graph.inputs, axis)
    for name in graph.outputs:
        same = [d for d, n in enumerate(graph.shape(name)) if n == frames]
        if frames < 2 or len(same) != 1:
            return None
        found[name] = same[0]
    return (
        found if all(graph.shape(n)[axis : axis + 1] == (frames,) for n in graph.inputs) else None
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
