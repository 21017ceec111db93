# SPDX-License-Identifier: Apache-2.0
"""Conversion of a whole quantised network to a stream: on overlapping windows, or with explicit
states.

A window is as long as the network's input: past frames, the new frames whose outputs are needed,
and future frames, which delay the outputs. A network of one time step with states as inputs and
outputs runs one step per pass; its recurrent states keep their own precision between passes, not
that of the model's states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node, prune
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import IDENTITY
from myoedge.operators.base import OPS
from myoedge.operators.streaming_rule import StreamingRule, StreamState
from myoedge.quantization.scales import QuantGraph
from myoedge.streaming.pass_builder import PassBuilder, add_recurrent, built_network
from myoedge.streaming.stream import Stream
from myoedge.streaming.time_axis import (
    Axes,
    TimeAxisMap,
    changing_factors,
    common_axes,
    follow_time,
    has_factors_along,
    no_frames,
    rule_along,
    rules_in_order,
    stream_error,
)


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


States = Mapping[str, str]  # input -> output with its next value


# --- overlapping windows --------------------------------------------------------------------------


def window_axes(graph: Graph, axis: int | None = None) -> dict[str, int]:
    """Return the time axis of every input and output; all must have equal lengths along it.

    axis   time axis of the inputs; None: the only possible one
    Errors: E131 outputs without an element per frame; E235 several possible axes.
    """
    shape = graph.shape(graph.inputs[0])
    candidates = range(len(shape)) if axis is None else [axis % len(shape)]
    fit = {axis: axes for axis in candidates if (axes := common_axes(graph, axis)) is not None}
    if len(fit) == 1:
        return next(iter(fit.values()))
    if fit:
        raise ambiguous_axes([*fit])
    title = "the outputs have no frame for every frame of the inputs"
    raise stream_error(graph, {}, title, "one axis that is as long in all inputs and outputs")


def windowed_stream(q: QuantGraph, axes: Axes, past: int, future: int) -> Stream:
    """Return a stream that runs the whole network on overlapping windows.

    axes           input or output -> time axis
    past, future   frames of context before and after the frames whose outputs are returned
    Frames before the first one have the integer of 0.0. Errors: E131 an input normalization that
    varies along time.
    """
    for name in q.graph.inputs:
        if has_factors_along(q.graph, name, axes[name]):
            raise changing_factors(name)
    window = q.graph.shape(q.graph.inputs[0])[axes[q.graph.inputs[0]]]
    hop = window - past - future
    assert hop > 0, (window, past, future)
    builder = PassBuilder(q, axes)
    joined = {}
    for name in q.graph.inputs:  # frames of a window, of which `hop` are new
        builder.add_input(name, builder.with_frames(name, hop))
        joined[name] = builder.with_past(name, name, window - hop, (builder.fill(name),), None)
    for step in q.steps:
        builder.add_step(step, [joined.get(name, name) for name in step.node.inputs], step.attrs)
    outputs = [builder.part(name, name, past, hop) for name in q.graph.outputs]
    pairs = zip(q.graph.outputs, outputs, strict=True)
    return Stream(
        built_network(builder, outputs),
        tuple(builder.port(name, name) for name in q.graph.inputs),
        tuple(builder.port(source, name) for source, name in pairs),
        tuple(builder.states),
        early=0,
        warmup=future,
        future=future,
    )


# --- states as inputs and outputs -----------------------------------------------------------------


def without_states(graph: Graph, states: States) -> Graph:
    """Return the graph without its state outputs.

    states   input -> output with its next value
    Errors: E239 a state that is not the initial and final state of recurrent layers, unchanged.
    """
    outputs = dict(zip(graph.output_labels, graph.outputs, strict=True))
    for name, output in states.items():
        if name not in graph.inputs or output not in outputs:
            ports = f"inputs {', '.join(graph.inputs)}; outputs {', '.join(outputs)}"
            raise _state_error(f"there is no state {name} = {output}", ports)
    starts, ends = _state_places(graph, states)
    for name, output in states.items():
        if not np.array_equal(ends.get(outputs[output], np.empty(0)), starts[name]):
            raise _state_error(
                f"{output} is not the next value of {name}", "h and c of recurrent layers"
            )
    for name in graph.inputs:  # an input's first axis counts frames
        if name not in states and graph.shape(name)[:1] != (1,):
            raise _state_error(
                f"{name} is not a batch of one", "1 as the first extent of all inputs"
            )
    for output in states.values():
        outputs.pop(output, None)
    if not outputs:
        raise _state_error("all outputs are states", "another one")
    return prune(replace(graph, outputs=tuple(outputs.values()), output_names=tuple(outputs)))


Places = dict[str, Array]  # tensor -> index, among all state elements, of each of its elements


def _state_places(graph: Graph, states: States) -> tuple[Places, Places]:
    """Return, by tensor, the state elements that reach the initial states of recurrent layers, and
    those in their final states (`_element_numbers`). Errors: E239 another reader of a state."""
    starts, ends = _element_numbers(graph, states), Places()
    last_operators = _last_operators(graph)
    for node in graph.nodes:
        inputs = set(node.inputs)
        operand = _state_operand(graph, node, starts)
        if operand is None:
            operand = last_operators.get((node.op, node.inputs))
        moved = next((p for p in (starts, ends) if p.keys() >= inputs and _moves_data(node)), None)
        if operand is not None and node.inputs[operand] in starts:
            ends[node.name] = starts[node.inputs[operand]].reshape(graph.shape(node.name))
        elif moved is not None:
            values = map(moved.__getitem__, node.inputs)
            moved[node.name] = np.asarray(OPS[node.op].real(node.attrs, *values))
        elif operand is None and not starts.keys().isdisjoint(inputs):
            raise _state_error(f"{node.where} reads a state", "only recurrent layers of one step")
    return starts, ends


def _last_operators(graph: Graph) -> dict[tuple[str, tuple[str, ...]], int]:
    """Return the operators that output only the final state, by name and inputs, each with the
    operand index of its initial state."""
    rows = [(node, state) for node in graph.nodes for state in _carried_states(graph, node)]
    return {(state.last, node.inputs): state.operand for node, state in rows if state.last}


def _state_operand(graph: Graph, node: Node, starts: Places) -> int | None:
    """Return the index of the first operand that is an initial state of a recurrent layer; None for
    other nodes. Errors: E239 only some of its initial states are states of the stream."""
    carries = _carried_states(graph, node)
    if len({node.inputs[state.operand] in starts for state in carries}) > 1:
        raise _state_error(
            f"{node.where} begins with a constant", "states for all of its initial values"
        )
    return carries[0].operand if carries else None


def _element_numbers(graph: Graph, states: States) -> Places:
    """Return arrays in the shapes of the states that number all their elements, in order."""
    starts, first = Places(), 0
    for name in states:
        size = graph.tensors[name].size
        starts[name] = np.arange(first, first + size, dtype=np.float64).reshape(graph.shape(name))
        first += size
    return starts


def _moves_data(node: Node) -> bool:
    return OPS[node.op].is_data_movement or node.attrs.get("chain") == IDENTITY


def _carried_states(graph: Graph, node: Node) -> tuple[StreamState, ...]:
    rule = _streaming_rule(graph, node)
    return rule.carries if rule and graph.shape(node.inputs[0])[:1] == (1,) else ()


def _streaming_rule(graph: Graph, node: Node) -> StreamingRule | None:
    has_axes = node.inputs and graph.shape(node.inputs[0])
    return rule_along(graph, node, 0, 0) if has_axes else None


def explicit_state_stream(q: QuantGraph, states: States) -> Stream:
    """Return a stream of a network whose states are inputs and outputs, with one time step per pass
    and initial states of 0.

    q        network from a graph of `without_states`
    states   input -> output with its next value
    """
    graph, (places, _) = q.graph, _state_places(q.graph, states)
    inputs = tuple(name for name in graph.inputs if name not in states)
    zeros = {n: np.full(graph.shape(n), q.params[n].zero_point) for n in places}
    constant_states = replace(
        q, graph=replace(graph, inputs=inputs), constants={**q.constants, **zeros}
    )
    builder = PassBuilder(constant_states, dict.fromkeys(graph.tensors, 0))
    for name in inputs:
        builder.add_input(name, graph.shape(name))
    for step in q.steps:
        node, rule = step.node, _streaming_rule(graph, step.node)
        if rule and _carried_states(graph, node) and not places.keys().isdisjoint(node.inputs):
            add_recurrent(builder, step, node.inputs, rule, 0)
        elif node.name not in places:
            builder.add_step(step, node.inputs, node.attrs)
    pass_network = replace(built_network(builder, graph.outputs), constants=q.constants)
    ports = tuple(map(builder.port, inputs, inputs))
    results = tuple(map(builder.port, graph.outputs, graph.outputs))
    return Stream(pass_network, ports, results, tuple(builder.states), early=0, warmup=0)


def _state_error(title: str, needs: str) -> MyoedgeError:
    tries = ["[stream] states = { state = 'stateN' }: an input = the output that it will be"]
    return MyoedgeError("E239", title, {"needs": needs}, tries)
