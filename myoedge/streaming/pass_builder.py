# SPDX-License-Identifier: Apache-2.0
"""Construction of a stream's network of one pass; recurrent layers keep their states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from myoedge.graph.ir import Attrs, Node, Shape, Tensor
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import ElementType
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS, QuantizedNode, QuantizedParams
from myoedge.operators.checks import Spec, enforce
from myoedge.operators.streaming_rule import StreamingRule, StreamState
from myoedge.operators.turns import LAST, NEXT, STATE
from myoedge.quantization.consistency import QUANTIZED
from myoedge.quantization.formats import operand_names
from myoedge.quantization.scales import QuantGraph
from myoedge.streaming.frame_reads import Read
from myoedge.streaming.padding import Padding
from myoedge.streaming.stream import Port, State
from myoedge.streaming.time_axis import Axes, not_causal


@dataclass
class PassBuilder:
    """Builder of the network of one pass of a stream.

    q        the whole network
    axis     time axis of each tensor of `q`
    tensors, steps, states   contents of the pass so far
    read     (tensor, frames read, integers before the first) -> tensor that holds these frames
    like     new tensor -> tensor of `q` with the same quantisation
    params   quantisation parameters of other new tensors
    same     tensor of `q` that the pass lacks -> the tensor with these frames
    """

    q: QuantGraph
    axis: Axes
    tensors: dict[str, Tensor] = field(default_factory=dict)
    steps: list[QuantizedNode] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    read: dict[tuple[str, Read, tuple[int, ...]], str] = field(default_factory=dict)
    like: dict[str, str] = field(default_factory=dict)
    params: dict[str, QuantParams] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)

    def shape(self, name: str) -> Shape:
        tensor = self.tensors.get(name)
        return self.q.graph.shape(name) if tensor is None else tensor.shape

    def element_type(self, name: str) -> ElementType:
        """Return the element type of a tensor of the pass."""
        if name in self.params:
            return self.params[name].element_type
        return self.q.element_type(self.like.get(name, name))

    def with_frames(self, name: str, frames: int) -> Shape:
        """Return the shape of a tensor of `q` with `frames` frames along time."""
        shape, axis = self.q.graph.shape(name), self.axis[name]
        return (*shape[:axis], frames, *shape[axis + 1 :])

    def add_input(self, name: str, shape: Shape) -> None:
        """Add an input of `q` with another number of frames."""
        self.tensors[name] = replace(self.q.graph.tensors[name], shape=shape)
        self.like[name] = name

    def tensor(self, name: str, shape: Shape, like: str) -> None:
        self.tensors[name] = Tensor(name, shape, self.q.graph.tensors[like].dtype)
        self.like[name] = like

    def add(self, step: QuantizedNode, like: str) -> None:
        self.tensor(step.node.name, step.out, like)
        self.steps.append(step)

    def add_tensor(self, name: str, shape: Shape, params: QuantParams) -> None:
        """Add a tensor with quantisation parameters of its own."""
        self.tensors[name] = Tensor(name, shape)
        self.params[name] = params

    def add_step(self, step: QuantizedNode, inputs: Sequence[str], attrs: Attrs) -> QuantizedNode:
        """Add an operator of `q` to the pass, with other inputs and attributes; return its step."""
        node = step.node.but(inputs=tuple(inputs), attrs=attrs)
        operands = operand_names(node)
        shapes = tuple(map(self.shape, operands))
        out = OPS[node.op].shape(attrs, *map(self.shape, inputs))
        types = tuple(map(self.element_type, operands))
        placed = replace(
            step, node=node, operands=operands, shapes=shapes, out=out, operand_types=types
        )
        self.add(placed, node.name)
        return placed

    def with_past(
        self, like: str, x: str, count: int, fill: tuple[int, ...], begins: int | None
    ) -> str:
        """Return the name of a tensor with the last `count` frames of earlier passes, followed by
        the frames of x.

        like     tensor of `q` with the same quantisation
        fill     initial integers of the past frames, as in State
        begins   pass before which the past frames are set to `fill` again
        """
        if count == 0:
            return x
        axis, frames = self.axis[like], self.shape(x)[self.axis[like]]
        past = self._unused_name(f"{like}_past")
        self.tensor(past, self.with_frames(like, count), like)
        joined = self._add_movement(like, "concat", (past, x), {"axis": axis}, f"{like}_joined")
        kept = self._add_slice(like, joined, frames, count, f"{like}_kept")
        self.states.append(State(past, kept, fill, begins or 0))
        return joined

    def frames_of(self, name: str, read: Read, before: Padding) -> str:
        """Return the name of a tensor with the frames of the tensor `name` that an operator reads.

        read     the frames, relative to those of the pass
        before   the frames before the first one
        """
        name = self.same.get(name, name)
        values = before.values
        if values.ndim:
            values = before.expanded(read.history, self.shape(name), self.axis[name])
        fill = tuple(values.ravel().tolist())
        key = (name, read, fill)
        if key not in self.read:
            count = self.shape(name)[self.axis[name]]
            with_past = self.with_past(name, name, read.delay, fill[:1], None)
            delayed = self.part(name, with_past, 0, count)
            with_history = self.with_past(name, delayed, read.history, fill, read.begins)
            self.read[key] = self.part(name, with_history, 0, read.taken)
        return self.read[key]

    def part(self, like: str, x: str, first: int, count: int) -> str:
        """Return the name of a tensor that holds frames first .. first + count - 1 of x; x itself
        if these are all.

        like   tensor of `q` with the same quantisation
        """
        if count == self.shape(x)[self.axis[like]]:
            return x
        return self._add_slice(like, x, first, count, f"{like}_part")

    def _add_slice(self, like: str, x: str, first: int, count: int, name: str) -> str:
        cuts = [(0, n, 1) for n in self.shape(x)]
        cuts[self.axis[like]] = (first, first + count, 1)
        return self._add_movement(like, "slice", (x,), {"cuts": tuple(cuts)}, name)

    def _add_movement(
        self, like: str, op: str, operands: Sequence[str], attrs: Attrs, stem: str
    ) -> str:
        """Add a data-movement step with the quantisation of `like`; return its result's name."""
        name, producer = self._unused_name(stem), self.q.graph.producer.get(like)
        node = Node(
            op, tuple(operands), (name,), attrs, () if producer is None else producer.origin
        )
        shapes = tuple(map(self.shape, operands))
        *types, element = (*map(self.element_type, operands), self.q.element_type(like))
        step = QuantizedNode(
            node,
            node.inputs,
            shapes,
            OPS[op].shape(attrs, *shapes),
            QuantizedParams(),
            element_type=element,
            operand_types=tuple(types),
        )
        self.add(step, like)
        return name

    def _unused_name(self, name: str) -> str:
        while name in self.tensors or name in self.q.graph.tensors:
            name += "_"
        return name

    def past_of(self, like: str) -> str:
        """Add a tensor like one of `q` for its value at the end of the previous pass; return its
        name."""
        past = self._unused_name(f"{like}_past")
        self.tensor(past, self.q.graph.shape(like), like)
        return past

    def last(self, like: str, name: str) -> str:
        """Return the name of a tensor that holds the last frame of `like`, without the time axis.

        like   tensor of `q`
        """
        shape, axis = self.shape(like), self.axis[like]
        frame = self._add_slice(like, like, shape[axis] - 1, 1, f"{name}_frame")
        return self._add_movement(
            like, "reshape", (frame,), {"shape": shape[:axis] + shape[axis + 1 :]}, name
        )

    def fill(self, name: str) -> int:
        """Return the integer that represents 0.0 in a tensor."""
        params = self.q.params.get(name)
        return 0 if params is None else params.zero_point

    def port(self, like: str, name: str) -> Port:
        axis = self.axis[like]
        return Port(name, axis, self.shape(name)[axis], self.fill(like))


def built_network(builder: PassBuilder, outputs: Sequence[str]) -> QuantGraph:
    """Return the network of the pass; states are its last inputs and outputs."""
    q, states = builder.q, builder.states
    next_states = tuple(state.output for state in states)
    graph = replace(
        q.graph,
        inputs=(*q.graph.inputs, *(state.input for state in states)),
        outputs=(*outputs, *next_states),
        output_names=(*q.graph.output_names, *next_states),
        nodes=tuple(step.node for step in builder.steps),
        tensors=builder.tensors,
    )
    params = {new: q.params[old] for new, old in builder.like.items() if old in q.params}
    pass_network = replace(
        q, graph=graph, steps=tuple(builder.steps), params={**q.params, **params, **builder.params}
    )
    enforce(QUANTIZED, pass_network, graph, "cut into frames")
    enforce(_port_check(q), pass_network, graph, "cut into frames")
    return pass_network


def _port_check(q: QuantGraph) -> Spec[QuantGraph]:
    """Return the check that the integers at the ports of a pass mean what those of the network
    mean."""

    def other(made: QuantGraph) -> Iterator[str]:
        for name in q.graph.inputs:
            if not made.input_port(name).means_the_same(q.input_port(name)):
                yield name
        for whole, part in zip(q.graph.outputs, made.graph.outputs, strict=False):  # then states
            if not made.output_port(part).means_the_same(q.output_port(whole)):
                yield part

    return ((other, "an input or output differs from the network's in more than its frames"),)


def add_last_states(builder: PassBuilder, nodes: Sequence[Node], count: int, begins: int) -> None:
    """Add the states after the last iteration of a loop as those of the stream.

    nodes    the loop's nodes in the whole network
    count    iterations of a pass
    begins   pass before which the states are reset
    """
    made = {step.node.name: step for step in builder.steps}
    first = {node.name: node.inputs[0] for node in nodes if node.op == STATE}
    ends = [made[node.name] for node in nodes if node.op == NEXT]
    for step in ends:
        state = step.node.inputs[1]
        others = (x.node.name for x in ends if x is not step)
        attrs = {"loop": step.attrs["loop"], "steps": count}
        node = Node(LAST, (step.node.name, *others), (f"{state}_kept",), attrs, step.node.origin)
        operands = operand_names(node)
        kept = replace(
            step, node=node, operands=operands, shapes=tuple(map(builder.shape, operands)),
            operand_types=tuple(map(builder.element_type, operands)),
        )  # fmt: skip
        builder.add(kept, state)
        fill = repeated(builder.q.constants[first[state]])
        builder.states.append(State(made[state].node.inputs[0], node.name, fill, begins))


def add_recurrent(
    builder: PassBuilder,
    step: QuantizedNode,
    inputs: Sequence[str],
    rule: StreamingRule,
    begins: int,
) -> None:
    """Add a recurrent layer on the frames of a pass; its initial states are those at the end of the
    previous pass.

    inputs   inputs of the layer in the pass, without states
    begins   pass before which the states are reset
    Errors: E131 an initial state that is computed.
    """
    carries = [state.of(step) for state in rule.carries]
    fills = [_initial_integers(builder, step, state) for state in carries]
    numbers, pasts = dict[str, Any](), dict[int, str]()
    for state in carries:
        pasts[state.operand] = past = f"{step.node.name}_{state.name}_past"
        if state.params is None:
            builder.tensor(past, state.shape, step.node.name)
        else:
            builder.add_tensor(past, state.shape, state.params)
        numbers |= state.scalars
    count = max(len(inputs), *(at + 1 for at in pasts))
    operands = [pasts[at] if at in pasts else inputs[at] for at in range(count)]
    stateful = replace(step, integers=replace(step.integers, **numbers))
    added = builder.add_step(stateful, operands, step.attrs)
    for state, fill in zip(carries, fills, strict=True):
        next_state = _next_state(builder, added, state)
        builder.states.append(State(operands[state.operand], next_state, fill, begins))


def _initial_integers(
    builder: PassBuilder, step: QuantizedNode, state: StreamState
) -> tuple[int, ...]:
    """Return the initial integers of a state. Errors: E131 if they are computed."""
    if state.operand >= len(step.node.inputs):
        return (state.fill(step),)
    constant = builder.q.constants.get(step.node.inputs[state.operand])
    if constant is None:
        reason = f"begins with a {state.name} that it computes from the input"
        raise not_causal(builder.q.graph, builder.axis, step.node, reason)
    return repeated(state.first(step, constant))


def repeated(values: Array) -> tuple[int, ...]:
    """Return the integers of a state as in State: one, if all are equal."""
    numbers = tuple(values.ravel().tolist())
    return numbers[:1] if len(set(numbers)) == 1 else numbers


def _next_state(builder: PassBuilder, step: QuantizedNode, state: StreamState) -> str:
    """Return the name of the state after the last frame, without the step's activation function."""
    name = f"{step.node.name}_{state.name}_kept"
    if not state.last or state.params is None:
        return builder.last(step.node.name, name)
    builder.add_tensor(name, state.shape, state.params)
    attrs = {key: value for key, value in step.attrs.items() if key != "act"}
    node = step.node.but(op=state.last, outputs=(name,), attrs=attrs)
    integers = replace(step.integers, table=None)
    low, high = state.params.low, state.params.high
    element = state.params.element_type
    last_step = replace(step, node=node, out=state.shape, low=low, high=high, element_type=element)
    builder.steps.append(replace(last_step, integers=integers))
    return name
