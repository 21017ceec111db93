# SPDX-License-Identifier: Apache-2.0
"""Networks of one step of time, whose states are inputs and outputs -> Stream: a pass a step.

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
from myoedge.streaming.pass_builder import Parts, network
from myoedge.streaming.recurrent import add_recurrent
from myoedge.streaming.stream import Stream

States = Mapping[str, str]  # output of the model that an input will be in the next step
AS_IT_IS = (("affine", 1.0, 0.0),)


def without_states(graph: Graph, states: States) -> Graph:
    """The graph whose outputs are not states. Errors: E239 where these are anything but what its
    recurrent layers begin with, and what they leave, in the same places."""
    outputs = dict(zip(graph.output_names or graph.outputs, graph.outputs, strict=True))
    for name, left in states.items():
        if name not in graph.inputs or left not in outputs:
            known = f"inputs {', '.join(graph.inputs)}; outputs {', '.join(outputs)}"
            raise _refused(f"there is no state {name} = {left}", known)
    given, found = _places(graph, states)
    for name, left in states.items():
        if not np.array_equal(found.get(outputs[left], np.empty(0)), given[name]):
            raise _refused(f"{left} is not what comes of {name}", "h and c of recurrent layers")
    _check_batches(graph, states)
    shown = [name for name in outputs if name not in states.values()]
    if not shown:
        raise _refused("all outputs are states", "another one")
    return prune(
        replace(graph, outputs=tuple(outputs[n] for n in shown), output_names=tuple(shown))
    )


def _check_batches(graph: Graph, states: States) -> None:
    """A frame is an input without its first axis."""
    for name in graph.inputs:
        if name not in states and graph.shape(name)[:1] != (1,):
            raise _refused(f"{name} is not a batch of one", "1 as the first extent of all inputs")


Places = dict[str, Array]  # of a tensor's numbers: which of the states' they are


def _places(graph: Graph, states: States) -> tuple[Places, Places]:
    """Where states are moved to before recurrent layers begin with them, and where what these leave
    is moved to. Errors: E239 another reader of a state."""
    given, left, lasts = _numbered(graph, states), Places(), dict(_lasts(graph))
    for node in graph.nodes:
        carries, inputs = _carries(graph, node), set(node.inputs)
        begin = carries[0].operand if carries else lasts.get((node.op, node.inputs))
        if len({node.inputs[state.operand] in given for state in carries}) > 1:
            raise _refused(f"{node.where} begins with a constant", "all that it begins with")
        if begin is not None and node.inputs[begin] in given:
            left[node.name] = given[node.inputs[begin]].reshape(graph.shape(node.name))
        elif _moves(node) and (given.keys() >= inputs or left.keys() >= inputs):
            places = given if given.keys() >= inputs else left
            values = [places[name] for name in node.inputs]
            places[node.name] = np.asarray(OPS[node.op].real(node.attrs, *values))
        elif begin is None and not given.keys().isdisjoint(inputs):
            raise _refused(f"{node.where} reads a state", "recurrent layers of one step alone")
    return given, left


def _numbered(graph: Graph, states: States) -> Places:
    found, first = Places(), 0
    for name in states:
        size = graph.tensors[name].size
        found[name] = np.arange(first, first + size, dtype=np.float64).reshape(graph.shape(name))
        first += size
    return found


def _lasts(graph: Graph) -> list[tuple[tuple[str, tuple[str, ...]], int]]:
    """Operators that give what is left behind the last step, with the operand they begin with."""
    rows = [(node, state) for node in graph.nodes for state in _carries(graph, node)]
    return [((state.last, node.inputs), state.operand) for node, state in rows if state.last]


def _carries(graph: Graph, node: Node) -> tuple[StreamState, ...]:
    move = _rule(graph, node)
    one_step = move is not None and bool(node.inputs) and graph.shape(node.inputs[0])[:1] == (1,)
    return move.carries if move is not None and one_step else ()


def _rule(graph: Graph, node: Node) -> StreamingRule | None:
    shapes = [graph.shape(x) for x in node.inputs]
    return OPS[node.op].streaming_rule(node.attrs, shapes, 0, 0) if shapes and shapes[0] else None


def _moves(node: Node) -> bool:
    return OPS[node.op].is_data_movement or node.attrs.get("chain") == AS_IT_IS


def stated(q: QuantGraph, states: States) -> Stream:
    """The network a pass a step, its states 0 at first.

    q   of `without_states`
    """
    whole, (places, _) = q.graph, _places(q.graph, states)
    inputs = tuple(name for name in whole.inputs if name not in states)
    zeros = {name: np.full(whole.shape(name), _zero(q, name)) for name in places}
    given = replace(q, graph=replace(whole, inputs=inputs), constants={**q.constants, **zeros})
    parts = Parts(given, dict.fromkeys(whole.tensors, 0))
    for name in inputs:
        parts.tensor(name, whole.shape(name), name)
    for step in q.steps:
        _add(parts, whole, step, places)
    made = replace(network(parts, whole.outputs), constants=q.constants)
    ports = [tuple(parts.port(x, x) for x in names) for names in (inputs, whole.outputs)]
    return Stream(made, ports[0], ports[1], tuple(parts.states), early=0, warmup=0, stride=1)


def _zero(q: QuantGraph, name: str) -> int:
    return q.params[name].zero_point


def _add(parts: Parts, graph: Graph, step: QuantizedNode, places: Places) -> None:
    node, move = step.node, _rule(graph, step.node)
    if move is not None and _carries(graph, node) and not places.keys().isdisjoint(node.inputs):
        add_recurrent(parts, step, node.inputs, move, 0)
    elif node.name not in places:
        parts.add_on(step, node.inputs, node.attrs)


def _refused(title: str, needs: str) -> MyoedgeError:
    tries = ["[stream] states = { state = 'stateN' }: an input = the output that it will be"]
    return MyoedgeError("E239", title, {"needs": needs}, tries)
