# SPDX-License-Identifier: Apache-2.0
"""Hoisting of a loop's computations: one operator computes the results of all iterations.

Tensors that depend on no state are computed outside the loop, with a leading axis of iterations.
Three kinds of states are hoisted too: linear recurrences h = a h + b, states of a recurrent cell,
and values of earlier iterations. A loop without other states is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from myoedge.graph.ir import Attrs, Graph, Node, Shape, prune, ranked
from myoedge.graph.match import attempt, behind, found, require, writer
from myoedge.operators.graph_builder import GraphBuilder, concat, expand, reshape, slice_axis
from myoedge.operators.turns import IN_LOOPS, LAST, NEXT, READ, WRITE
from myoedge.passes.cells import EVERY_STEP, INPUTS, LAST_C, all_steps
from myoedge.passes.forms import is_zeros
from myoedge.passes.loops import in_operand_order, with_patch
from myoedge.passes.steps import PAIRS, factor_and_term, with_steps

MOVES_ROWS: Mapping[str, Callable[[Attrs, Shape], Attrs]] = {  # in addition to those of with_steps
    "slice": lambda attrs, shape: {**attrs, "cuts": ((0, shape[0], 1), *attrs["cuts"])},
    "concat": lambda attrs, shape: {**attrs, "axis": attrs["axis"] + 1},
    "expand": lambda attrs, shape: {**attrs, "shape": shape},
}


def compute_rows_at_once(graph: Graph) -> Graph:
    """Hoist the tensors of each loop that do not depend on sequential states: compute them for all
    iterations at once, before the loop."""
    for loop in dict.fromkeys(n.attrs["loop"] for n in graph.nodes if n.op in IN_LOOPS):
        graph = compute_rows_of_loop(graph, loop)
    return graph


def compute_rows_of_loop(graph: Graph, loop: str) -> Graph:
    """Hoist the tensors of one loop, as above."""
    return attempt(_HoistedLoop.of(graph, loop).outside) or graph


def body_of_loop(graph: Graph, loop: str) -> dict[str, Node]:
    """Return the nodes of a loop by name, in execution order: those that begin and end an
    iteration, and those that depend on it."""
    body, iterated = dict[str, Node](), set[str]()
    for node in graph.nodes:
        is_own = node.op in IN_LOOPS and node.attrs["loop"] == loop
        if node.op != LAST and (is_own or not iterated.isdisjoint(node.inputs)):
            body[node.name] = node
            iterated.update(() if node.op == WRITE else node.outputs)
    return body


def states_of_loop(body: Mapping[str, Node]) -> dict[str, Node]:
    """Return state -> the `loop_next` node that updates it."""
    return {node.inputs[1]: node for node in body.values() if node.op == NEXT}


@dataclass
class _HoistedLoop:
    """A loop and its hoisted tensors.

    attrs   attributes of the loop's operators
    patch   builder of the nodes outside the loop
    body    nodes that depend on the iteration, in execution order
    nexts   state -> `loop_next` node that updates it
    known   tensor of the body -> hoisted tensor with its values in all iterations, [steps, *shape]
    last    tensor of the body -> its value in the last iteration, if only this one is known
    """

    graph: Graph
    attrs: Attrs
    patch: GraphBuilder
    body: dict[str, Node]
    nexts: dict[str, Node]
    known: dict[str, str] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph, loop: str) -> _HoistedLoop:
        body = body_of_loop(graph, loop)
        nexts = states_of_loop(body)
        first = next(iter(body.values()))
        patch = GraphBuilder(graph, replace(first, outputs=(f"{loop}.rows",)))
        return cls(graph, first.attrs, patch, body, nexts)

    @property
    def steps(self) -> int:
        return int(self.attrs["steps"])

    @property
    def states(self) -> dict[str, Node]:
        """States that remain in the loop, with the nodes that update them."""
        return {
            state: node
            for state, node in self.nexts.items()
            if state not in self.known and node.inputs[0] not in self.last
        }

    def outside(self) -> Graph:
        """Hoist tensors and states until no more can be hoisted; return the new graph."""
        while True:
            for name, node in self.body.items():
                with self.patch.made_from(name):
                    attempt(self._hoist_node, node)
            if not any(map(self._try_hoist_state, self.states)):
                break
        return self._graph_with_hoisted_tensors()

    def _hoist_node(self, node: Node) -> None:
        """Hoist a node of the body, if its operands are hoisted. Errors: NoMatch."""
        require(node.name not in self.known)
        if node.op == READ:
            self.known[node.name] = node.inputs[0]
            return
        require(node.op not in IN_LOOPS, any(x in self.known for x in node.inputs))
        shape = (self.steps, *self.graph.shape(node.name))
        by_op = MOVES_ROWS.get(node.op)
        attrs = with_steps(node, shape) if by_op is None else by_op(node.attrs, shape)
        read = self._iterated_operands(node, len(shape))
        name = f"{node.name}.rows"
        self.known[node.name] = self.patch.add(
            node.op, *read, name=name, origin=node.origin, **attrs
        )

    def _iterated_operands(self, node: Node, rank: int) -> list[str]:
        """Return a node's operands with a leading axis of iterations. Errors: NoMatch if an operand
        is not hoisted."""
        if node.op in PAIRS:
            return [self._broadcast_operand(x, rank) for x in node.inputs]
        many = {"concat": len(node.inputs), "matmul": 2}.get(node.op, 1)
        require(self.body.keys().isdisjoint(node.inputs[many:]))
        return [*(found(self.known.get(x)) for x in node.inputs[:many]), *node.inputs[many:]]

    def _broadcast_operand(self, name: str, rank: int) -> str:
        """Return an operand shaped for broadcasting: [steps, 1, .., *shape], or [1, 1, .., *shape]
        if it is the same in all iterations. Errors: NoMatch if it is not hoisted."""
        require(name in self.known or name not in self.body)
        steps, shape = self.steps if name in self.known else 1, self.graph.shape(name)
        whole = (steps, *ranked(shape, rank - 1))
        return reshape(self.patch, self.known.get(name, name), whole)

    def _values_in_all_iterations(self, name: str, shape: Shape) -> str:
        """Return a tensor's values in all iterations, broadcast to [steps, *shape]. Errors: NoMatch
        if it is not hoisted."""
        return expand(
            self.patch, self._broadcast_operand(name, len(shape) + 1), (self.steps, *shape)
        )

    def _values_before_iterations(self, state: str, values: str) -> str:
        """Return the values of a state that the iterations read, [steps, *shape]: the initial
        value, then the values after all iterations except the last.

        Errors: NoMatch if the initial value is a constant of several numbers: a stream, which pads
        frames with one number, computes the state in the loop.
        """
        patch, shape, initial = self.patch, self.graph.shape(state), self._initial_value(state)
        begun = self.graph.find_array(initial)
        if self.steps == 1:
            return reshape(patch, initial, (1, *shape))
        earlier = slice_axis(patch, values, 0, 0, self.steps - 1)
        if begun is None:
            return concat(patch, [reshape(patch, initial, (1, *shape)), earlier], 0)
        require(np.all(begun == begun.flat[0]))
        pads = ((1, 0), *((0, 0) for _ in shape))
        return patch.add("pad", earlier, pads=pads, value=float(begun.flat[0]))

    def _initial_value(self, state: str) -> str:
        return self.graph.producer[state].inputs[0]

    # ---- results

    def _graph_with_hoisted_tensors(self) -> Graph:
        """Return the graph with the hoisted tensors computed outside the loop."""
        graph, became = self.graph, self._map_results()
        kept = [n.reading(became) for n in graph.nodes if n.name not in (*self.known, *became)]
        left = []
        for node in kept:
            own = node.inputs if node.name in self.body else ()
            rows = {x: self._row_of_iteration(x) for x in own if x in self.known}
            left.append(node.reading(rows))
        outputs = tuple(became.get(name, name) for name in graph.outputs)
        joined = with_patch(graph, self.patch, (*left, *self.patch.nodes), outputs)
        return prune(in_operand_order(joined))

    def _map_results(self) -> dict[str, str]:
        """Map each result of the loop to the tensor that nodes after the loop read instead."""
        ends, became = {node.name: node for node in self.nexts.values()}, dict[str, str]()
        for node in self.graph.nodes:
            if node.op == WRITE and node.name in self.body:
                with self.patch.made_from(node.inputs[0]):
                    became[node.name] = self._written_values(node.inputs[0])
            elif node.op == LAST and node.inputs[0] in ends:
                with self.patch.made_from(node.inputs[0]):
                    became[node.name] = self._final_value(ends[node.inputs[0]])
        return became

    def _row_of_iteration(self, name: str) -> str:
        """Return a tensor of the body that reads this iteration's row of a hoisted tensor."""
        made = f"{name}.row"
        if made not in self.patch.tensors:
            with self.patch.made_from(name):
                self.patch.add(READ, self.known[name], name=made, **self.attrs)
        return made

    def _written_values(self, name: str) -> str:
        """Return the values in all iterations of a tensor that the loop writes to a sequence,
        [steps, *shape].

        For a view of a state they come from the values that update the state, because its buffer is
        overwritten by the next state before the loop writes.
        """
        if name in self.known or name not in self.body:
            return self._values_in_all_iterations(name, self.graph.shape(name))
        state = behind(self.graph, name, "reshape")
        if state not in self.nexts:
            alive = (node.name for node in self.states.values())
            return self.patch.add(WRITE, name, *alive, **self.attrs)
        values = self._values_before_iterations(
            state, self._written_values(self.nexts[state].inputs[0])
        )
        return reshape(self.patch, values, (self.steps, *self.graph.shape(name)))

    def _final_value(self, end: Node) -> str:
        """Return the final value of a state, after the last iteration.

        end   `loop_next` node of the state
        """
        value, shape = end.inputs[0], self.graph.shape(end.name)
        if value in self.last or value not in self.body:
            return self.last.get(value, value)
        if value in self.known:
            last = slice_axis(self.patch, self.known[value], 0, self.steps - 1, self.steps)
            return reshape(self.patch, last, shape)
        others = (node.name for node in self.states.values() if node is not end)
        return self.patch.add(LAST, end.name, *others, **self.attrs)

    # ---- states

    def _try_hoist_state(self, state: str) -> bool:
        """Hoist a state; return whether the state could leave the loop."""
        with self.patch.made_from(self.nexts[state].inputs[0]):
            return attempt(self._hoist_state, state) or False

    def _hoist_state(self, state: str) -> bool:
        """Hoist a state: compute its values in all iterations; return True. Errors: NoMatch if it
        has to stay in the loop."""
        value = self.nexts[state].inputs[0]
        shape = self.graph.shape(state)
        if value in self.body and value not in self.known:
            if (cell := attempt(self._match_state_cell, state)) is not None:
                self._hoist_cell(cell)
                return True
            self.known[value] = self._compute_recurrence(state, writer(self.graph, value))
        self.known[state] = self._values_before_iterations(
            state, self._values_in_all_iterations(value, shape)
        )
        return True

    def _compute_recurrence(self, state: str, node: Node) -> str:
        """Compute all states h = a h + b with a `scan`, [steps, *shape]. Errors: NoMatch."""
        shape = self.graph.shape(state)
        factor, term = factor_and_term(self.graph, node, state)
        a = self._values_in_all_iterations(factor, shape)
        b = self._values_in_all_iterations(term, shape)
        initial = self._initial_value(state)
        if not is_zeros(self.graph, initial):
            require(not self.graph.is_const(initial))  # a stream begins a scan with zeros
            b = self._add_initial_state(a, b, initial)
        return self.patch.add("scan", a, b, axis=0, origin=node.origin)

    def _add_initial_state(self, a: str, b: str, initial: str) -> str:
        """Add the product of the first factor a and the initial state to the first term b; return
        the terms."""
        patch, steps = self.patch, self.steps
        row = reshape(patch, initial, (1, *patch.shape(initial)))
        first = patch.add("mul", slice_axis(patch, a, 0, 0, 1), row)
        first = patch.add("add", first, slice_axis(patch, b, 0, 0, 1))
        return patch.add("concat", first, slice_axis(patch, b, 0, 1, steps), axis=0)

    def _match_state_cell(self, state: str) -> Node:
        """Return the recurrent cell in the body that updates a state. Errors: NoMatch."""
        graph = self.graph
        h = writer(graph, behind(graph, self.nexts[state].inputs[0], "reshape"), *EVERY_STEP)
        states = [behind(graph, x, "reshape") for x in h.inputs[1 : 2 + (h.op in LAST_C)]]
        require(states[0] == state, graph.shape(h.name)[0] == 1)
        if h.op in LAST_C:
            c = self.nexts[states[1]].inputs[0]
            own = writer(graph, behind(graph, c, "reshape"), LAST_C[h.op])
            require(own.inputs == h.inputs)
            others = [n for x in (states[1], own.name) for n in self._readers_through_reshapes(x)]
            require(all(n in (h, own, self.nexts[states[1]]) for n in others))
        return h

    def _readers_through_reshapes(self, name: str) -> Iterator[Node]:
        """Yield the nodes that read a tensor or a reshape of it."""
        for node in self.graph.users.get(name, ()):
            yield from (
                self._readers_through_reshapes(node.name) if node.op == "reshape" else (node,)
            )

    def _hoist_cell(self, h: Node) -> None:
        """Hoist a recurrent cell: add a recurrent layer over all iterations. Errors: NoMatch."""
        graph, patch = self.graph, self.patch
        source = writer(graph, h.inputs[0], *INPUTS)
        rows = found(self.known.get(source.inputs[0]))
        names = [behind(graph, x, "reshape") for x in h.inputs[1 : 2 + (h.op in LAST_C)]]
        first = [
            reshape(patch, self._initial_value(state), graph.shape(x))
            for state, x in zip(names, h.inputs[1:], strict=False)
        ]
        inputs = (*first, *h.inputs[1 + len(first) :])
        gates, steps = all_steps(patch, source, h.but(inputs=(h.inputs[0], *inputs)), rows)
        self.known[h.name] = reshape(patch, steps, (self.steps, *graph.shape(h.name)))
        if h.op in LAST_C:
            c = self.nexts[names[1]].inputs[0]
            made = patch.add(LAST_C[h.op], gates, *inputs, **h.attrs)
            self.last[c] = reshape(patch, made, graph.shape(c))
