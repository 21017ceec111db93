# SPDX-License-Identifier: Apache-2.0
"""Networks of one time step with states as inputs and outputs -> Stream, a pass a step.

What a recurrent layer leaves goes from pass to pass in its own bits, not in those of the tensors
that the model packs it into.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node, prune
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS, QuantizedNode, StreamingRule, StreamState
from myoedge.quantization.scales import QuantGraph
from myoedge.streaming.pass_builder import PassBuilder, built_network
from myoedge.streaming.recurrent import add_recurrent
from myoedge.streaming.stream import Stream

States = Mapping[str, str]  # output of the model that an input will be in the next step
IDENTITY = (("affine", 1.0, 0.0),)


def without_states(graph: Graph, states: States) -> Graph:
    """The graph without its state outputs. Errors: E239 a state that is not the initial and final
    state of recurrent layers, element by element."""
    outputs = dict(zip(graph.output_names or graph.outputs, graph.outputs, strict=True))
    for name, output in states.items():
        if name not in graph.inputs or output not in outputs:
            ports = f"inputs {', '.join(graph.inputs)}; outputs {', '.join(outputs)}"
            raise _refused(f"there is no state {name} = {output}", ports)
    starts, ends = _state_places(graph, states)
    for name, output in states.items():
        if not np.array_equal(ends.get(outputs[output], np.empty(0)), starts[name]):
            raise _refused(f"{output} is not what comes of {name}", "h and c of recurrent layers")
    _check_batches(graph, states)
    remaining = [name for name in outputs if name not in states.values()]
    if not remaining:
        raise _refused("all outputs are states", "another one")
    return prune(
        replace(graph, outputs=tuple(outputs[n] for n in remaining), output_names=tuple(remaining))
    )


def _check_batches(graph: Graph, states: States) -> None:
    """Checks that every input's first axis is 1: a frame is an input without that axis."""
    for name in graph.inputs:
        if name not in states and graph.shape(name)[:1] != (1,):
            raise _refused(f"{name} is not a batch of one", "1 as the first extent of all inputs")


Places = dict[str, Array]  # of a tensor's numbers: which of the states' they are


def _state_places(graph: Graph, states: States) -> tuple[Places, Places]:
    """Permutations of the states: where the recurrent layers' initial states and their final states
    are moved to. Errors: E239 another reader of a state."""
    starts, ends, last_operators = (
        _numbered_states(graph, states),
        Places(),
        dict(_last_state_operators(graph)),
    )
    for node in graph.nodes:
        carries, inputs = _carries(graph, node), set(node.inputs)
        operand = carries[0].operand if carries else last_operators.get((node.op, node.inputs))
        if len({node.inputs[state.operand] in starts for state in carries}) > 1:
            raise _refused(f"{node.where} begins with a constant", "all that it begins with")
        if operand is not None and node.inputs[operand] in starts:
            ends[node.name] = starts[node.inputs[operand]].reshape(graph.shape(node.name))
        elif _moves(node) and (starts.keys() >= inputs or ends.keys() >= inputs):
            places = starts if starts.keys() >= inputs else ends
            values = [places[name] for name in node.inputs]
            places[node.name] = np.asarray(OPS[node.op].real(node.attrs, *values))
        elif operand is None and not starts.keys().isdisjoint(inputs):
            raise _refused(f"{node.where} reads a state", "recurrent layers of one step alone")
    return starts, ends


def _numbered_states(graph: Graph, states: States) -> Places:
    places, first = Places(), 0
    for name in states:
        size = graph.tensors[name].size
        places[name] = np.arange(first, first + size, dtype=np.float64).reshape(graph.shape(name))
        first += size
    return places


def _last_state_operators(graph: Graph) -> list[tuple[tuple[str, tuple[str, ...]], int]]:
    """Operators that output the state after the last step, with the index of their initial
    state."""
    rows = [(node, state) for node in graph.nodes for state in _carries(graph, node)]
    return [((state.last, node.inputs), state.operand) for node, state in rows if state.last]


def _carries(graph: Graph, node: Node) -> tuple[StreamState, ...]:
    rule = _rule(graph, node)
    has_one_step = (
        rule is not None and bool(node.inputs) and graph.shape(node.inputs[0])[:1] == (1,)
    )
    return rule.carries if rule is not None and has_one_step else ()


def _rule(graph: Graph, node: Node) -> StreamingRule | None:
    shapes = [graph.shape(x) for x in node.inputs]
    return OPS[node.op].streaming_rule(node.attrs, shapes, 0, 0) if shapes and shapes[0] else None


def _moves(node: Node) -> bool:
    return OPS[node.op].is_data_movement or node.attrs.get("chain") == IDENTITY


def explicit_state_stream(q: QuantGraph, states: States) -> Stream:
    """The network as a stream, a pass a step, with states of 0 at first.

    q   of `without_states`
    """
    graph, (places, _) = q.graph, _state_places(q.graph, states)
    inputs = tuple(name for name in graph.inputs if name not in states)
    zeros = {name: np.full(graph.shape(name), _zero(q, name)) for name in places}
    constant_states = replace(
        q, graph=replace(graph, inputs=inputs), constants={**q.constants, **zeros}
    )
    builder = PassBuilder(constant_states, dict.fromkeys(graph.tensors, 0))
    for name in inputs:
        builder.tensor(name, graph.shape(name), name)
    for step in q.steps:
        _add(builder, graph, step, places)
    pass_network = replace(built_network(builder, graph.outputs), constants=q.constants)
    ports = [tuple(builder.port(x, x) for x in names) for names in (inputs, graph.outputs)]
    return Stream(
        pass_network, ports[0], ports[1], tuple(builder.states), early=0, warmup=0, stride=1
    )


def _zero(q: QuantGraph, name: str) -> int:
    return q.params[name].zero_point


def _add(builder: PassBuilder, graph: Graph, step: QuantizedNode, places: Places) -> None:
    node, rule = step.node, _rule(graph, step.node)
    if rule is not None and _carries(graph, node) and not places.keys().isdisjoint(node.inputs):
        add_recurrent(builder, step, node.inputs, rule, 0)
    elif node.name not in places:
        builder.add_step(step, node.inputs, node.attrs)


def _refused(title: str, needs: str) -> MyoedgeError:
    tries = ["[stream] states = { state = 'stateN' }: an input = the output that it will be"]
    return MyoedgeError("E239", title, {"needs": needs}, tries)
