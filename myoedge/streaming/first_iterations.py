# SPDX-License-Identifier: Apache-2.0
"""Loops over time from frame 0 on: a first iteration that was folded apart, as its state is
constant, is put back.

A recurrence that begins with zeros has a shorter first iteration: products with zero are gone.
Import leaves it in front of the loop, and joins its result with those of the loop. A stream
computes every frame the same, so that the loop has to begin with the constant state instead. Which
one it was is not in the graph any more: zeros and the graph's constants are tried, and one is taken
only if the floats of the whole network stay the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from myoedge.graph.constants import as_constants
from myoedge.graph.ir import Graph, Node, Tensor, prune
from myoedge.graph.match import attempt, require
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.operators.turns import IN_LOOPS, LAST, READ, STATE, WRITE
from myoedge.quantization.no_samples import at_random
from myoedge.streaming.loops import SequenceLoop, loops_of, with_sequences_of_states
from myoedge.streaming.time_axis import operands_per_frame, rule_along

LOOP_OPERATORS = (*IN_LOOPS, LAST)
MOST_TRIED = 64  # combinations of constants as states
SAMPLES = 2  # on which the network has to stay the same
SAME = 1e-4  # largest difference of outputs, of their largest value


def from_first_frame(graph: Graph) -> Graph:
    """Return the graph with loops that begin with constant states, where these give the same
    floats, and that write the states of all frames where the last one is read."""
    loops = {loop.name: loop for loop in loops_of(graph).values()}
    for loop in loops.values():
        if not all(graph.is_const(node.inputs[0]) for node in loop.nodes if node.op == STATE):
            tried = (
                attempt(_extend_loop, graph, loop, first) for first in _first_states(graph, loop)
            )
            same = (made for made in tried if made is not None and _is_same(graph, made))
            graph = next(same, graph)
    return with_sequences_of_states(graph)


def _first_states(graph: Graph, loop: SequenceLoop) -> Iterator[Sequence[Array]]:
    """Yield values for the states of a loop before the first frame: zeros first, then constants of
    as many elements."""
    shapes = [graph.shape(node.name) for node in loop.nodes if node.op == STATE]
    constants = [c.array for c in graph.constants.values() if c.array.dtype == np.float32]
    each = [
        [np.zeros(s, np.float32), *(x.reshape(s) for x in constants if x.size == np.prod(s))]
        for s in shapes
    ]
    return itertools.islice(itertools.product(*each), MOST_TRIED)


def _is_same(graph: Graph, other: Graph) -> bool:
    """Return whether two graphs compute the same floats of random samples."""
    inputs = at_random(graph, SAMPLES).inputs
    for at in range(SAMPLES):
        sample = {name: x[at] for name, x in inputs.items()}
        before, after = run_float(graph, sample), run_float(other, sample)
        for of_before, of_after in zip(graph.outputs, other.outputs, strict=True):
            x, y = before[of_before], after[of_after]
            if x.shape != y.shape or not np.abs(x - y).max() <= SAME * max(np.abs(x).max(), SAME):
                return False
    return True


def _extend_loop(graph: Graph, loop: SequenceLoop, first: Sequence[Array]) -> Graph:
    """Return the graph in which a loop runs over all frames.

    first   its states before the first frame, in order
    Errors: NoMatch if the loop reads or writes other rows than those after the first.
    """
    states = [node.name for node in loop.nodes if node.op == STATE]
    made = _ExtendedLoop(
        graph, loop, {f"{name}.first": x for name, x in zip(states, first, strict=True)}
    )
    for node in graph.nodes:
        made.add(node)
    require(made.axis.keys().isdisjoint(graph.outputs))
    longer = replace(
        graph,
        nodes=tuple(made.nodes),
        outputs=tuple(made.same.get(name, name) for name in graph.outputs),
        tensors={**graph.tensors, **made.tensors},
        constants={**graph.constants, **as_constants(made.first)},
    )
    return prune(longer)


@dataclass
class _ExtendedLoop:
    """The nodes of a graph in which a loop has one iteration more.

    first     constant -> initial state of the loop
    axis      tensor that gets one frame more -> its axis of frames
    same      tensor that is gone -> the one in its place
    nodes, tensors   what is made so far; tensors: the longer ones
    """

    graph: Graph
    loop: SequenceLoop
    first: Mapping[str, Array]
    axis: dict[str, int] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def add(self, node: Node) -> None:
        """Add a node of the graph, over all frames if it is one of the rest. Errors: NoMatch."""
        rest = _axis_without_first(self.graph, node)
        if node.op in LOOP_OPERATORS and node.attrs["loop"] == self.loop.name:
            self._add_loop_operator(node)
        elif rest is not None and self._is_read_by_loop(node.name):
            self.axis[node.name] = rest
            self.same[node.name] = self.same.get(node.inputs[0], node.inputs[0])
        elif self.axis.keys().isdisjoint(node.inputs):
            self.nodes.append(node.reading(self.same))
        elif self._prepends_frame(node):
            self.same[node.name] = self.same.get(node.inputs[1], node.inputs[1])
        else:
            self._add_longer(node)

    def _is_read_by_loop(self, name: str) -> bool:
        if name in self.loop.sequences:
            return True
        return any(self._is_read_by_loop(user.name) for user in self.graph.users.get(name, ()))

    def _prepends_frame(self, node: Node) -> bool:
        """Return whether a node puts one frame before the frames of the loop."""
        if node.op != "concat" or len(node.inputs) != 2 or node.inputs[1] not in self.axis:
            return False
        axis, (first, rest) = node.attrs["axis"], node.inputs
        return axis == self.axis[rest] and self.graph.shape(first)[axis] == 1

    def _add_loop_operator(self, node: Node) -> None:
        attrs, inputs = {**node.attrs, "steps": node.attrs["steps"] + 1}, node.inputs
        if node.op == STATE:
            inputs = (f"{node.name}.first",)
        elif node.op == READ:
            require(self.axis.get(inputs[0]) == 0)
        elif node.op == WRITE:
            self._lengthen_tensor(node.name, 0)
        self.nodes.append(node.but(attrs=attrs, inputs=inputs).reading(self.same))

    def _add_longer(self, node: Node) -> None:
        """Add a node that runs frame by frame."""
        names = [x for x in node.inputs if x in self.axis]
        require(len(names) == 1)
        (name,) = names
        rule = rule_along(self.graph, node, node.inputs.index(name), self.axis[name])
        require(rule is not None and rule.is_by_frame and rule.before == 0)
        assert rule is not None
        require({*operands_per_frame(self.graph, node, rule.axis)} <= {name})
        self._lengthen_tensor(node.name, rule.axis)
        frames = self.tensors[node.name].shape[rule.axis]
        attrs = rule.resized(frames) if rule.resized else node.attrs
        self.nodes.append(node.but(attrs=attrs).reading(self.same))

    def _lengthen_tensor(self, name: str, axis: int) -> None:
        tensor = self.graph.tensors[name]
        shape = (*tensor.shape[:axis], tensor.shape[axis] + 1, *tensor.shape[axis + 1 :])
        self.axis[name], self.tensors[name] = axis, replace(tensor, shape=shape)


def _axis_without_first(graph: Graph, node: Node) -> int | None:
    """Return the axis along which a node leaves out the first element of its operand, and only
    that; None for other nodes."""
    if node.op != "slice":
        return None
    pairs = enumerate(zip(node.attrs["cuts"], graph.shape(node.inputs[0]), strict=True))
    cut = [(axis, cut == (1, n, 1)) for axis, (cut, n) in pairs if cut != (0, n, 1)]
    return cut[0][0] if len(cut) == 1 and cut[0][1] else None
