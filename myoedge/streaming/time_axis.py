# SPDX-License-Identifier: Apache-2.0
"""Time axis of every tensor of a graph, and streaming rule of every operator along it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from myoedge.errors import MyoedgeError, named_input
from myoedge.graph.ir import Graph, Node, Shape
from myoedge.operators.base import OPS
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.turns import IN_LOOPS, READ, STATE, WRITE
from myoedge.streaming.frame_reads import (
    SINGLE,
    constants_that_change,
    drops_time_axis,
    joins_windows,
)
from myoedge.streaming.loops import SequenceLoop, loops_of

Axes = Mapping[str, int]  # tensor -> axis


T = TypeVar("T")
FACTORS = "factors of input {} change from frame to frame"  # title of E131
TIMES = "brings frames of different times together"  # reasons in E131
RATES = "joins tensors of different rates"


@dataclass(frozen=True)
class TimeAxisMap:
    """Time axes, rates and streaming rules of a graph that runs on frames.

    axis    tensor -> time axis
    rate    tensor -> input frames per frame of the tensor; less than 1 after an upsampling
    rules   node -> operand -> streaming rule along the axis
    """

    axis: Axes
    rate: Mapping[str, Fraction]
    rules: Mapping[str, Mapping[str, StreamingRule]]

    def pass_multiple(self) -> int:
        """Return the number of which the frames per pass must be a multiple, so that a pass has
        whole frames of every tensor."""
        return math.lcm(*(rate.numerator for rate in self.rate.values()))


def follow_time(graph: Graph, axes: Axes) -> TimeAxisMap:
    """Propagate the time axes of the inputs through the graph.

    axes   input -> time axis
    Errors: E131 if an operator needs all frames at once.
    """
    axis, rate = dict(axes), dict.fromkeys(graph.inputs, Fraction(1))
    rules = dict(rules_in_order(graph, axis, rate))
    if len({rate[name] for name in graph.outputs}) > 1:
        title = "the outputs come at different rates"
        raise stream_error(graph, axis, title, "one rate for all outputs")
    paths = TimeAxisMap(axis, rate, rules)
    _check_joined_frames(graph, paths)
    return paths


def _check_joined_frames(graph: Graph, paths: TimeAxisMap) -> None:
    """Raise E131 for single frames of different times that are joined along an axis which may be
    that of time: among axes of one element it is not known which one time is."""
    first = dict.fromkeys(paths.axis, Fraction(0))  # tensor -> input frame of its first frame
    for node in graph.nodes:
        rules = paths.rules[node.name].items()
        firsts = {first[name] - rule.before * paths.rate[name] for name, rule in rules}
        first[node.name] = max(firsts, default=Fraction(0))
        if node.op == "concat" and len(firsts) > 1:
            name = next(name for name in node.inputs if name in paths.axis)
            first_axis, last_axis = sorted((paths.axis[name], node.attrs["axis"]))
            if {*graph.shape(name)[first_axis : last_axis + 1]} == {1}:
                raise _one_by_one(graph, paths.axis, node)


def rules_in_order(
    graph: Graph, axis: dict[str, int], rate: dict[str, Fraction]
) -> Iterator[tuple[str, Mapping[str, StreamingRule]]]:
    """Yield (node, its streaming rules by operand) in order; fill `axis` and `rate`."""
    _check_frames(graph, axis)
    loops = loops_of(graph)
    for node in graph.nodes:
        loop = loops.get(node.name)
        if loop is not None and loop.is_over_time(axis):
            yield node.name, _follow_loop(graph, node, loop, axis, rate)
            continue
        rules = {
            name: _causal_rule(graph, node, name, axis) for name in node.inputs if name in axis
        }
        along = {rule.axis for rule in rules.values()}
        axis[node.name] = _only_candidate(along, graph, axis, node, TIMES)
        rates = {rate[name] * rule.rate for name, rule in rules.items()}
        rate[node.name] = _only_candidate(rates, graph, axis, node, RATES)
        if any(x in graph.constants for x in operands_per_frame(graph, node, axis[node.name])):
            raise _changing_constants(graph, axis, node)
        yield node.name, rules


def _check_frames(graph: Graph, axis: Axes) -> None:
    """Raise E131 for an input without frames, or with a normalisation that varies along time."""
    for name in graph.inputs:
        shape, along = graph.shape(name), axis.get(name, 0)
        if not 0 <= along < len(shape) or shape[along] < 2:
            raise no_frames(name, along, shape)
        if has_factors_along(graph, name, along):
            raise stream_error(graph, axis, FACTORS.format(name), "the same ones")


def _follow_loop(
    graph: Graph, node: Node, loop: SequenceLoop, axis: dict[str, int], rate: dict[str, Fraction]
) -> Mapping[str, StreamingRule]:
    """Return the rules of a node of a loop over time; its results have no time axis, only the
    sequences that it writes."""
    if any(axis.get(name) != 0 for name in loop.sequences):
        raise _beside_time(graph, axis, node, loop)
    if node.op == READ:
        return loop.rules()
    if node.op == WRITE:
        axis[node.name] = 0
        rates = {rate[name] for name in loop.sequences}
        rate[node.name] = _only_candidate(rates, graph, axis, node, RATES)
    elif node.op == STATE and not graph.is_const(node.inputs[0]):
        reason = "begins with a state that it computes from the first frames"
        raise not_causal(graph, axis, node, reason)
    elif any(name in axis for name in node.inputs):
        raise not_causal(graph, axis, node, "reads all frames in every iteration of a loop")
    return {}


def _beside_time(graph: Graph, axis: Axes, node: Node, loop: SequenceLoop) -> MyoedgeError:
    """Return error E131 for a loop that reads other sequences than frames."""
    is_constant = any(map(graph.is_const, loop.sequences))
    if is_constant:
        return _changing_constants(graph, axis, node)
    reason = "reads sequences of which not all are along time"
    return not_causal(graph, axis, node, reason)


def changing_factors(name: str) -> MyoedgeError:
    """Return error E131 for an input normalization that varies along time, which overlapping
    windows do not support."""
    tries = ["without --stream a window has these factors"]
    return MyoedgeError("E131", FACTORS.format(name), {"needs": "the same ones"}, tries)


def has_factors_along(graph: Graph, name: str, axis: int) -> bool:
    """Return whether an input normalization varies along the time axis."""
    border = graph.input_normalization.get(name)
    return border is not None and border.axis == axis and len(border.scale) > 1


def rule_along(graph: Graph, node: Node, operand: int, axis: int) -> StreamingRule | None:
    """Return a node's streaming rule along an axis of an operand; None if it needs the whole axis
    at once."""
    shapes = [graph.shape(x) for x in node.inputs]
    return OPS[node.op].streaming_rule(OperandAxis(node.attrs, shapes, operand, axis))


def _causal_rule(graph: Graph, node: Node, name: str, axes: Axes) -> StreamingRule:
    rule = rule_along(graph, node, node.inputs.index(name), axes[name])
    if rule is None and node.op == "attention" and axes[name] != 0:
        raise _attention_error(graph, axes, node)
    if rule is None:
        if graph.shape(graph.inputs[0])[0] > 1 and drops_time_axis(graph, name, axes):
            raise _one_by_one(graph, axes, node)
        raise not_causal(graph, axes, node, *_explain_refusal(graph, node, name, axes))
    return rule


def _one_by_one(graph: Graph, axes: Axes, node: Node) -> MyoedgeError:
    """Return error E131 for a concat of single frames."""
    if (changing := constants_that_change(graph, node)) is not None:
        return _changing_constants(graph, axes, changing)
    return not_causal(graph, axes, node, *SINGLE)


def _changing_constants(graph: Graph, axes: Axes, node: Node) -> MyoedgeError:
    """Return error E131 for a node with constants of each frame."""
    title = f"{node.where} cannot run on a stream: it has constants that change from frame to frame"
    needs = "the same constants in all frames, as a stream has no end"
    return stream_error(graph, axes, title, needs, "the constants to which they converge")


def _explain_refusal(graph: Graph, node: Node, name: str, axes: Axes) -> tuple[str, ...]:
    """Return the reason why a node has no streaming rule along an operand's time axis, then
    remedies."""
    if node.op in IN_LOOPS:
        return ("runs in a loop over another axis than time",)
    first = graph.shape(graph.inputs[0])
    if joins_windows(graph, node, name, axes[name]):
        reason = f"joins the frames of {first[0]} windows along one axis"
        return reason, f"export it with an input of {[1, *first[1:]]}: one window"
    is_behind = node.op == "concat" and node.attrs["axis"] == axes[name]
    return (TIMES if is_behind else "takes all frames at once",)


def _only_candidate(
    candidates: Iterable[T], graph: Graph, axes: Axes, node: Node, otherwise: str
) -> T:
    """Return the only candidate. Errors: E131 with the reason `otherwise` if there are several."""
    values = list(candidates)
    if len(values) != 1:
        raise not_causal(graph, axes, node, otherwise)
    return values[0]


def operands_per_frame(graph: Graph, node: Node, axis: int) -> Iterator[str]:
    """Yield the operands, weights apart, that have several elements along an axis of the result."""
    for index, name in enumerate(node.inputs):
        extents = [*enumerate(graph.shape(name))] * (index not in OPS[node.op].weights.at)
        rules = (rule_along(graph, node, index, at) for at, extent in extents if extent > 1)
        if any(rule is not None and rule.axis == axis for rule in rules):
            yield name


def not_causal(graph: Graph, axes: Axes, node: Node, reason: str, *tries: str) -> MyoedgeError:
    """Return error E131 for a node that cannot be streamed.

    axes     input -> time axis
    reason   explanation
    tries    remedies
    """
    needs = "a bounded number of frames, which slide along time"
    title = f"{node.where} cannot run on a stream: it {reason}"
    return stream_error(graph, axes, title, needs, *tries)


def _attention_error(graph: Graph, axes: Axes, node: Node) -> MyoedgeError:
    """Return error E131 for attention that cannot be streamed."""
    window = graph.shape(graph.inputs[0])[axes[graph.inputs[0]]]
    past, future = node.attrs["window"] or (window, window)
    reason = "stores no keys and values of earlier frames"
    if future > 0:
        reason = "attends to future frames"
    elif past >= window - 1:
        reason = "attends to all earlier frames, an unlimited number"
    facts = {
        "needs": "earlier frames in a state of constant size",
        "has": f"keys and values of {min(past, window - 1) + 1} frames, as it was exported",
    }
    overlapping = (
        f"[stream] past = {window - 1} runs the network on the last {window} frames, as it was "
        "exported, for every new one; a smaller past for several new ones at once",
        "export it over the frames that it looks back: cycles grow with the frames of a window",
    )
    tries = [
        *(overlapping if _window_frames(graph, axes) else _window_remedies(graph)),
        "an LSTM, a GRU or causal convolutions instead, whose state is small",
    ]
    return MyoedgeError("E131", f"{node.where} cannot run on a stream: it {reason}", facts, tries)


def no_frames(name: str, axis: int, shape: Shape) -> MyoedgeError:
    """Return error E131 for an input that lacks this axis, or has only one frame along it."""
    facts = {"needs": "at least two frames along the time axis", "has": list(shape)}
    tries = ["[stream] axis counts from 0, the batch axis included"] * any(n > 1 for n in shape)
    tries += ["export the network with some frames of input: how many does not matter"]
    tries += [
        f'[stream] states = {{ {name} = "output" }}, if it is a state that the next step reads'
    ]
    return MyoedgeError(
        "E131", f"{named_input(name)} has no frames along axis {axis}", facts, tries
    )


def stream_error(graph: Graph, axes: Axes, title: str, needs: str, *tries: str) -> MyoedgeError:
    """Return error E131 for a network that cannot be streamed; its remedies are `tries`, then
    overlapping or whole windows, if the outputs allow these.

    axes    input -> time axis; {}: there is none
    needs   the requirement
    """
    window = _window_frames(graph, axes)
    frames = f"past = {window * 3 // 4}, future = {window // 8}"
    overlapping = f"[stream] {frames} runs the whole network on windows that overlap so"
    remedies = [overlapping] if window else _window_remedies(graph)
    return MyoedgeError("E131", title, {"needs": needs}, [*tries, *remedies])


def _window_remedies(graph: Graph) -> list[str]:
    batch = ", ".join(map(str, (4, *graph.shape(graph.inputs[0])[1:])))
    batched = f"export it over some windows as a batch, [{batch}] say: each is a frame then"
    single = "build without --stream: a call of the network then takes a window"
    return [single, batched] if is_batched(graph) else [single]


def _window_frames(graph: Graph, axes: Axes) -> int:
    """Return the number of input frames, the window length for running the whole network; 0 if
    outputs have another number of frames."""
    axis = axes.get(graph.inputs[0])
    if axis is None or common_axes(graph, axis) is None:
        return 0
    return graph.shape(graph.inputs[0])[axis]


def is_batched(graph: Graph) -> bool:
    """Return whether the first axis is a batch axis: every operator treats its entries
    independently."""
    axes = dict.fromkeys(graph.inputs, 0)
    for node in graph.nodes:
        rules = [
            rule_along(graph, node, index, axes[name])
            for index, name in enumerate(node.inputs)
            if name in axes
        ]
        # Whether a result frame reads only the same operand frame
        along = {
            rule.axis if rule and rule.is_by_frame and not rule.anchored else None for rule in rules
        }
        if len(along) != 1 or (axis := along.pop()) is None:
            return False
        axes[node.name] = axis
    return True


def common_axes(graph: Graph, axis: int) -> dict[str, int] | None:
    """Return the time axis of each input and output, if all inputs have `axis` and each output has
    an axis of equal length; otherwise None."""
    frames = graph.shape(graph.inputs[0])[axis]
    axes = dict.fromkeys(graph.inputs, axis)
    for name in graph.outputs:
        equal_axes = [d for d, n in enumerate(graph.shape(name)) if n == frames]
        if frames < 2 or len(equal_axes) != 1:
            return None
        axes[name] = equal_axes[0]
    return axes if all(graph.shape(n)[axis : axis + 1] == (frames,) for n in graph.inputs) else None
