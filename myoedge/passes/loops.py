# SPDX-License-Identifier: Apache-2.0
"""Conversion of unrolled recurrences into loops, whose body appears in the graph once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from myoedge.graph.ir import Graph, Node, prune
from myoedge.graph.match import NoMatch, attempt, require
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, reshape, slice_axis, transpose
from myoedge.operators.turns import LAST, NEXT, READ, STATE, WRITE, has_loops, in_order
from myoedge.passes.loop_columns import (
    MOST_PEELED,
    Column,
    Unrolled,
    UnrolledBody,
    loop_results,
    unrolled_body,
    without_repeats,
)
from myoedge.passes.loop_start import from_first_step
from myoedge.passes.steps import FEWEST, stacked

MOST_LOOPS = 64
FEWEST_SAVED = 24  # minimum number of layers that a loop must save


def roll_recurrences(graph: Graph) -> Graph:
    """Replace recurrences of at least FEWEST equal iterations by loops, repeatedly."""
    for _ in range(MOST_LOOPS):
        rolled = next(_roll_one_recurrence(Unrolled(graph)), None)
        if rolled is None:
            break
        graph = rolled
    return graph


def in_loop_order(graph: Graph) -> Graph:
    """Return the graph with each loop body as consecutive nodes."""
    if not has_loops(graph):
        return graph
    return replace(graph, nodes=in_order(graph.nodes, (*graph.inputs, *graph.constants)))


def _roll_one_recurrence(unrolled: Unrolled) -> Iterator[Graph]:
    """Yield graphs in which one unrolled recurrence is replaced by a loop."""
    for starts in loop_results(unrolled):
        for first in range(MOST_PEELED + 1):
            columns = [column[first:] for column in starts]
            if min(map(len, columns)) < FEWEST:
                break
            body = unrolled_body(unrolled, columns)
            if body is None or not body.states:
                continue
            if (made := _replace_by_loop(without_repeats(body))) is not None:
                whole = from_first_step(body, first)
                longer = None if whole is None else _replace_by_loop(without_repeats(whole))
                yield longer or made
                break


@dataclass
class _LoopBuilder:
    """The nodes of a loop under construction.

    names   column of the unrolled body -> tensor of the loop's body
    nodes   nodes of the loop's body, operands first
    """

    body: UnrolledBody
    patch: GraphBuilder
    attrs: dict[str, Any]
    names: dict[Column, str] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def operand(self, column: Column) -> str:
        """Return the tensor in the loop's body for a column. Errors: NoMatch."""
        if column not in self.names:
            with self.patch.made_from(column[0]):
                self.names[column] = self._emit_column(column)
        return self.names[column]

    def _emit_column(self, column: Column) -> str:
        if column in self.body.stateful:
            return self._emit_node(column, column[0])
        if len({*column}) == 1 or self.body.unrolled.is_one_constant(column):
            return column[0]
        sequence = attempt(stacked, self.patch, column)
        if sequence is not None:
            return self.patch.add(READ, sequence, **self.attrs)
        require(column in self.body.columns)
        if not self._weights_are_equal(column):
            shape = (1, *self.patch.shape(column[0]))
            return self.patch.add(
                READ,
                self.patch.add("concat", *(reshape(self.patch, x, shape) for x in column), axis=0),
                **self.attrs,
            )
        name = f"{column[0]}.step"
        self.patch.tensors[name] = replace(self.body.graph.tensors[column[0]], name=name)
        return self._emit_node(column, name)

    def _weights_are_equal(self, column: Column) -> bool:
        unrolled = self.body.unrolled
        weights = OPS[self.body.graph.producer[column[0]].op].weights.at
        inputs = enumerate(unrolled.inputs(column))
        return all(unrolled.is_one_constant(x) for i, x in inputs if i in weights)

    def _emit_node(self, column: Column, name: str) -> str:
        """Add the node that computes a column to the loop's body. Errors: NoMatch if its weights
        change between iterations."""
        require(self._weights_are_equal(column))
        node, columns = self.body.graph.producer[column[0]], self.body.unrolled.inputs(column)
        inputs = tuple(map(self.operand, columns))
        self.nodes.append(node.but(inputs=inputs, outputs=(name,)))
        return name

    def named(self, column: Column) -> str:
        """Return the tensor for a column that is read after an iteration.

        Errors: NoMatch for a view of a state, whose buffer then holds the next iteration's state.
        """
        made = {node.name: node for node in self.nodes}
        name = self.operand(column)
        while (node := made.get(name)) is not None and OPS[node.op].view:
            name = node.inputs[0]
        require(node is not None or name == self.names[column])
        return self.names[column]


def _replace_by_loop(body: UnrolledBody) -> Graph | None:
    """Return the graph with a loop instead of the unrolled recurrence; None if it saves too few
    nodes."""
    graph, steps = body.graph, len(body.starts[0])
    computed = [x for x in body.stateful if not OPS[graph.producer[x[0]].op].view]
    if len(computed) * (steps - 1) < FEWEST_SAVED:
        return None
    first = graph.producer[body.starts[0][0]]
    attrs: dict[str, Any] = {"loop": first.name, "steps": steps}
    patch = GraphBuilder(graph, replace(first, outputs=(f"{first.name}.loop",)))
    return attempt(_emit_loop, _LoopBuilder(body, patch, attrs))


def _emit_loop(made: _LoopBuilder) -> Graph:
    """Return the graph with a loop whose nodes are still to be emitted. Errors: NoMatch."""
    live = _states_read_by_body(made.body)
    for operands in live:
        behind, initial = made.body.states[operands]
        with made.patch.made_from(behind[0]):
            made.names[operands] = made.patch.add(STATE, initial, **made.attrs)
    for column in made.body.stateful:
        made.operand(column)
    return _connect_loop(made, live)


def _states_read_by_body(body: UnrolledBody) -> list[Column]:
    """Return the state columns that the body reads, directly or as a later value of another
    state."""
    read = {x for column in body.stateful for x in body.unrolled.inputs(column)}
    live = [operands for operands in body.states if operands in read]
    for operands in live:
        behind = body.states[operands][0]
        live += [behind] if behind in body.states and behind not in live else []
    return live


def _connect_loop(made: _LoopBuilder, live: Sequence[Column]) -> Graph:
    """Return the graph with the finished loop; readers of single iterations read the loop's
    results.

    Errors: NoMatch if a result of one iteration is read that the loop cannot provide.
    """
    body, patch, graph = made.body, made.patch, made.body.graph
    columns = {name: (column, at) for column in body.stateful for at, name in enumerate(column)}
    nexts: dict[Column, str] = {}
    for operands in live:
        behind = body.states[operands][0]
        with patch.made_from(behind[0]):
            named = made.named(behind)
            nexts[operands] = patch.add(NEXT, named, made.names[operands], **made.attrs)
    results = _LoopResults(made, columns, nexts)
    readers = [results.read(node) for node in graph.nodes if node.name not in columns]
    outputs = tuple(results.tensor(x) if x in columns else x for x in graph.outputs)
    whole = with_patch(graph, patch, (*readers, *made.nodes, *patch.nodes), outputs)
    try:
        return prune(in_loop_order(prune(in_operand_order(whole))))
    except ValueError as no_order:
        raise NoMatch from no_order


def with_patch(
    graph: Graph, patch: GraphBuilder, nodes: tuple[Node, ...], outputs: tuple[str, ...]
) -> Graph:
    """Return the graph with other nodes and outputs, plus the tensors and constants of `patch`."""
    return replace(
        graph,
        outputs=outputs,
        nodes=nodes,
        tensors={**graph.tensors, **patch.tensors},
        constants={**graph.constants, **patch.constants},
    )


def in_operand_order(graph: Graph) -> Graph:
    """Return the graph sorted topologically. Errors: NoMatch if it has a cycle."""
    known, waiting, made = {*graph.inputs, *graph.constants}, [*graph.nodes], list[Node]()
    while waiting:
        left: list[Node] = []
        for node in waiting:
            if known.issuperset(node.inputs):
                made.append(node)
                known.add(node.name)
            else:
                left.append(node)
        require(len(left) < len(waiting))  # otherwise the graph has a cycle
        waiting = left
    return replace(graph, nodes=tuple(made))


@dataclass
class _LoopResults:
    """The results of a loop for the nodes outside it.

    columns  tensor of one iteration -> (its column, the number of the iteration)
    nexts    column of a state -> tensor of its next value in the loop
    """

    made: _LoopBuilder
    columns: dict[str, tuple[Column, int]]
    nexts: dict[Column, str]
    written: dict[Column, str] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)

    def read(self, node: Node) -> Node:
        """Return a node that reads the loop's results instead of the tensors of single
        iterations."""
        if not any(name in self.columns for name in node.inputs):
            return node
        if node.op == "concat":
            return node.but(inputs=tuple(self._concat_inputs_after_loop(node)))
        inputs = (self.tensor(x) if x in self.columns else x for x in node.inputs)
        return node.but(inputs=tuple(inputs))

    def _concat_inputs_after_loop(self, node: Node) -> Iterator[str]:
        """Yield the inputs of a concat after the loop: one sequence in place of the tensors of all
        iterations, in order or reversed; other inputs one by one."""
        at, inputs = 0, node.inputs
        while at < len(inputs):
            column, step = self.columns.get(inputs[at], ((), 0))
            way = 1 if step == 0 else -1
            if (
                column
                and step in (0, len(column) - 1)
                and (inputs[at : at + len(column)] == column[::way])
            ):
                yield self._concatenate_results(column, node.attrs["axis"], way)
                at += len(column)
            else:
                yield self.tensor(inputs[at]) if column else inputs[at]
                at += 1

    def _concatenate_results(self, column: Column, axis: int, way: int) -> str:
        """Concatenate the results of all iterations along an axis: [.., steps * extent, ..]; way
        -1: last iteration first."""
        patch, rows = self.made.patch, self._result_sequence(column)
        steps, *shape = patch.shape(rows)
        if way < 0:
            rows = slice_axis(patch, rows, 0, steps - 1, -1, -1)
        rows = transpose(patch, rows, (*range(1, axis + 1), 0, *range(axis + 1, len(shape) + 1)))
        return reshape(patch, rows, [n * (steps if d == axis else 1) for d, n in enumerate(shape)])

    def tensor(self, name: str) -> str:
        """Return the loop's result for a tensor of one iteration."""
        if name not in self.tensors:
            with self.made.patch.made_from(name):
                self.tensors[name] = self._result_of_iteration(*self.columns[name])
        return self.tensors[name]

    def _result_of_iteration(self, column: Column, step: int) -> str:
        patch = self.made.patch
        became = [x for state, x in self.nexts.items() if self.made.body.states[state][0] == column]
        if step == len(column) - 1 and became:
            others = (x for x in self.nexts.values() if x != became[0])
            return patch.add(LAST, became[0], *others, **self.made.attrs)
        row = slice_axis(patch, self._result_sequence(column), 0, step, step + 1)
        return reshape(patch, row, patch.shape(row)[1:])

    def _result_sequence(self, column: Column) -> str:
        if column not in self.written:
            made, nexts = self.made, self.nexts.values()
            with made.patch.made_from(column[0]):
                name = made.named(column)
                self.written[column] = made.patch.add(WRITE, name, *nexts, **made.attrs)
        return self.written[column]
