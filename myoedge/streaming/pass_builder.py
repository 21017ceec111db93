# SPDX-License-Identifier: Apache-2.0
"""The network of a pass as it grows, from its inputs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from myoedge.graph.ir import Attrs, Node, Shape, Tensor
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS, QuantizedNode, QuantizedParams
from myoedge.operators.checks import enforce
from myoedge.quantization.checks import QUANTIZED
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.shared_scales import operand_names
from myoedge.streaming.stream import Port, State
from myoedge.streaming.time_axis import Axes


@dataclass
class Parts:
    """Steps, tensors and states so far.

    axis   of time, of tensors of `q`
    like   the tensor of `q` whose integers a new one has     params   of those that are like none
    """

    q: QuantGraph
    axis: Axes
    tensors: dict[str, Tensor] = field(default_factory=dict)
    steps: list[QuantizedNode] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    like: dict[str, str] = field(default_factory=dict)
    params: dict[str, QuantParams] = field(default_factory=dict)

    def shape(self, name: str) -> Shape:
        known = self.tensors.get(name)
        return self.q.graph.shape(name) if known is None else known.shape

    def with_frames(self, name: str, frames: int) -> Shape:
        """The shape of a tensor of `q` with another number of frames."""
        shape, axis = self.q.graph.shape(name), self.axis[name]
        return (*shape[:axis], frames, *shape[axis + 1 :])

    def tensor(self, name: str, shape: Shape, like: str) -> None:
        self.tensors[name] = Tensor(name, shape, self.q.graph.tensors[like].dtype)
        self.like[name] = like

    def add(self, step: QuantizedNode, like: str) -> None:
        self.tensor(step.node.name, step.out, like)
        self.steps.append(step)

    def plain(self, name: str, shape: Shape, params: QuantParams) -> None:
        """A tensor with parameters of its own."""
        self.tensors[name] = Tensor(name, shape)
        self.params[name] = params

    def add_on(self, step: QuantizedNode, inputs: Sequence[str], attrs: Attrs) -> QuantizedNode:
        """A step of `q` on other tensors, in the order of its node's inputs."""
        node = step.node.but(inputs=tuple(inputs), attrs=attrs)
        operands = operand_names(node)
        shapes = tuple(map(self.shape, operands))
        out = OPS[node.op].shape(attrs, *map(self.shape, inputs))
        made = replace(step, node=node, operands=operands, shapes=shapes, out=out)
        self.add(made, node.name)
        return made

    def behind(self, like: str, x: str, count: int, fill: int, begins: int | None) -> str:
        """The last `count` frames of the passes before, and behind them those of x."""
        if count == 0:
            return x
        axis, frames = self.axis[like], self.shape(x)[self.axis[like]]
        past = self._free(f"{like}_past")
        self.tensor(past, self.with_frames(like, count), like)
        joined = self._move(like, "concat", (past, x), {"axis": axis}, f"{like}_joined")
        kept = self._slice(like, joined, frames, count, f"{like}_kept")
        self.states.append(State(past, kept, fill, begins or 0))
        return joined

    def cut(self, like: str, x: str, first: int, count: int) -> str:
        """So many frames of x from one on; x itself where that is all of it."""
        if count == self.shape(x)[self.axis[like]]:
            return x
        return self._slice(like, x, first, count, f"{like}_part")

    def _slice(self, like: str, x: str, first: int, count: int, name: str) -> str:
        whole = [(0, n, 1) for n in self.shape(x)]
        whole[self.axis[like]] = (first, first + count, 1)
        return self._move(like, "slice", (x,), {"cuts": tuple(whole)}, name)

    def _move(self, like: str, op: str, operands: Sequence[str], attrs: Attrs, wanted: str) -> str:
        """A step that moves integers of `like`, under a name that is free."""
        name, made = self._free(wanted), self.q.graph.producer.get(like)
        node = Node(op, tuple(operands), (name,), attrs, () if made is None else made.origin)
        shapes = tuple(map(self.shape, operands))
        element = self.q.element_type(like)
        step = QuantizedNode(
            node,
            node.inputs,
            shapes,
            OPS[op].shape(attrs, *shapes),
            QuantizedParams(),
            element_type=element,
        )
        self.add(step, like)
        return name

    def _free(self, name: str) -> str:
        while name in self.tensors or name in self.q.graph.tensors:
            name += "_"
        return name

    def last(self, like: str, name: str) -> str:
        """The last frame, without the axis of time."""
        shape, axis = self.shape(like), self.axis[like]
        one = self._slice(like, like, shape[axis] - 1, 1, f"{name}_frame")
        return self._move(
            like, "reshape", (one,), {"shape": shape[:axis] + shape[axis + 1 :]}, name
        )

    def fill(self, name: str) -> int:
        """The integer of 0.0."""
        params = self.q.params.get(name)
        return 0 if params is None else params.zero_point

    def port(self, like: str, name: str) -> Port:
        axis = self.axis[like]
        return Port(name, axis, self.shape(name)[axis], self.fill(like))


def network(parts: Parts, outputs: Sequence[str]) -> QuantGraph:
    """What has been gathered, as a network with states at its border."""
    q, states = parts.q, parts.states
    kept = tuple(state.output for state in states)
    graph = replace(
        q.graph,
        inputs=(*q.graph.inputs, *(state.input for state in states)),
        outputs=(*outputs, *kept),
        output_names=(*q.graph.output_names, *kept),
        nodes=tuple(step.node for step in parts.steps),
        tensors=parts.tensors,
    )
    params = {new: q.params[old] for new, old in parts.like.items() if old in q.params}
    found = replace(
        q, graph=graph, steps=tuple(parts.steps), params={**q.params, **params, **parts.params}
    )
    enforce(QUANTIZED, found, graph, "cut into frames")
    return found
