# SPDX-License-Identifier: Apache-2.0
"""Recurrences that the exporter unrolled become loops: their body stands once in the graph.

A column is the tensors of all steps in one place of the body, one a step. Columns are followed from
the results of all steps, or from a last state, to the operands: equal operators are the body's, a
column that is another one a step earlier is a state, slices that advance are rows of a sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from myoedge.graph.ir import Graph, Node, prune
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, reshape, slice_axis, transpose
from myoedge.operators.loop.turns import LAST, NEXT, READ, STATE, WRITE, has_loops, in_order
from myoedge.passes.steps import FEWEST, stacked

Column = tuple[str, ...]
MOST_PEELED = 3  # steps that run before the loop, as a first step may lack operations
MOST_DELAYED = 3  # steps that a state may be older than the last one
FARTHEST = 600  # nodes of a step that are searched for the state of the step before
MOST_LOOPS = 64
FEWEST_SAVED = 24  # layers that a loop saves at least


def roll_recurrences(graph: Graph) -> Graph:
    """Replace recurrences of at least FEWEST equal steps by loops, as long as there are any."""
    for _ in range(MOST_LOOPS):
        rolled = next(_rolled(_Unrolled(graph)), None)
        if rolled is None:
            break
        graph = rolled
    return graph


def in_loop_order(graph: Graph) -> Graph:
    """Return the graph with the body of each loop in one piece."""
    if not has_loops(graph):
        return graph
    return replace(graph, nodes=in_order(graph.nodes, (*graph.inputs, *graph.constants)))


@dataclass(frozen=True)
class _Unrolled:
    """A graph with the kinds of its nodes: equal for nodes that may be one node in two steps."""

    graph: Graph

    @cached_property
    def kinds(self) -> dict[str, str]:
        return {node.name: self._kind(node) for node in self.graph.nodes}

    def _kind(self, node: Node) -> str:
        tensor = self.graph.tensors[node.name]
        shapes = [self.graph.shape(x) for x in node.inputs]
        kind = (sorted(node.attrs.items()), shapes, tensor.shape, tensor.dtype, tensor.q)
        return f"{node.op} {kind} {tensor.pre_q}"

    def is_regular(self, column: Column) -> bool:
        """Return whether the same operator computes a column in every step."""
        kinds = {self.kinds.get(name, "") for name in column}
        return len(kinds) == 1 and "" not in kinds and len({*column}) == len(column)

    def inputs(self, column: Column) -> list[Column]:
        read = (self.graph.producer[name].inputs for name in column)
        return [*zip(*read, strict=True)]


def _rolled(unrolled: _Unrolled) -> Iterator[Graph]:
    """Yield the graph with a loop for one of its recurrences."""
    for starts in _starts(unrolled):
        for first in range(MOST_PEELED + 1):
            columns = [column[first:] for column in starts]
            if min(map(len, columns)) < FEWEST:
                break
            body = _body(unrolled, columns)
            if body is not None and body.states and (made := _with_loop(body)) is not None:
                yield made
                break


def _starts(unrolled: _Unrolled) -> Iterator[list[Column]]:
    """Yield sets of columns that a loop may give: joined results of steps, or one last state."""
    joins = [*_joined(unrolled)]
    by_steps: dict[int, list[Column]] = {}
    for column in joins:
        by_steps.setdefault(len(column), []).append(column)
    for alike in by_steps.values():
        yield from ([alike] if len(alike) > 1 else [])
        yield from ([column] for column in alike)
        yield from ([column[::-1]] for column in alike)
    yield from ([column] for column in _last_states(unrolled))


def _joined(unrolled: _Unrolled) -> Iterator[Column]:
    """Yield the inputs of concats that the same operator computes, but for the first ones."""
    for node in unrolled.graph.nodes:
        if node.op == "concat" and len(node.inputs) >= FEWEST:
            for first in range(min(MOST_PEELED, len(node.inputs) - FEWEST) + 1):
                if unrolled.is_regular(node.inputs[first:]):
                    yield node.inputs[first:]
                    break


def _last_states(unrolled: _Unrolled) -> Iterator[Column]:
    """Yield chains of nodes that are each computed from the one before along the same path, the
    longest for each last node."""
    counts: dict[str, int] = {}
    for kind in unrolled.kinds.values():
        counts[kind] = counts.get(kind, 0) + 1
    seen: set[str] = set()
    for node in reversed(unrolled.graph.nodes):
        kind = unrolled.kinds[node.name]
        if counts[kind] >= FEWEST and kind not in seen:
            seen.add(kind)
            chains = [_chain(unrolled, node.name, path) for path in _paths(unrolled, node)]
            longest = max(chains, key=len, default=())
            if len(longest) >= FEWEST:
                yield longest


def _paths(unrolled: _Unrolled, node: Node) -> Iterator[tuple[int, ...]]:
    """Yield the input numbers that lead from a node to nearest ancestors of its kind."""
    kind, producer = unrolled.kinds[node.name], unrolled.graph.producer
    pending: list[tuple[Node, tuple[int, ...]]] = [(node, ())]
    seen = {node.name}
    for current, path in pending:
        for number, name in enumerate(current.inputs):
            before = producer.get(name)
            if before is None or name in seen or len(seen) > FARTHEST:
                continue
            seen.add(name)
            if unrolled.kinds[name] == kind:
                yield (*path, number)
            else:
                pending.append((before, (*path, number)))


def _chain(unrolled: _Unrolled, name: str, path: Sequence[int]) -> Column:
    """Return the nodes of one kind that a path leads to, from node to node, first step first."""
    kind, found = unrolled.kinds[name], [name]
    while True:
        for number in path:
            node = unrolled.graph.producer.get(name)
            if node is None or number >= len(node.inputs):
                return tuple(found[::-1])
            name = node.inputs[number]
        if unrolled.kinds.get(name) != kind:
            return tuple(found[::-1])
        found.append(name)


@dataclass
class _Body:
    """The columns of a loop's body.

    columns  computed in every step, in the order in which they were found
    states   column of operands -> column that it is a step later, and the first step's operand
    given    columns that are computed outside: constants, rows of sequences
    """

    unrolled: _Unrolled
    starts: Sequence[Column]
    columns: dict[Column, None] = field(default_factory=dict)
    states: dict[Column, tuple[Column, str]] = field(default_factory=dict)
    given: dict[Column, None] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        return self.unrolled.graph

    @cached_property
    def stateful(self) -> dict[Column, None]:
        """Columns that depend on a state, operands first."""
        order = {node.name: at for at, node in enumerate(self.graph.nodes)}
        found: dict[Column, None] = {}
        for column in sorted(self.columns, key=lambda column: order[column[-1]]):
            inputs = self.unrolled.inputs(column)
            if any(x in self.states or x in found for x in inputs):
                found[column] = None
        return found


class _NotAlike(Exception):
    """Steps differ."""


def _body(unrolled: _Unrolled, starts: Sequence[Column]) -> _Body | None:
    """Return the body whose results these columns are; None if the steps differ."""
    later: dict[str, Column] = {}  # by its first tensor, a column that may be a step later
    while True:
        body, known = _Body(unrolled, starts), {**later}
        try:
            found = _follow(body, later)
        except _NotAlike:
            return None
        if found:
            return body
        if len(later) == len(known):
            return None


def _follow(body: _Body, later: dict[str, Column]) -> bool:
    """Follow the columns of a body to its operands; return whether no column was followed before
    it was known to be a state."""
    pending, second = [*body.starts], dict[str, Column]()
    while pending:
        column = pending.pop()
        if column in body.columns or column in body.given or column in body.states:
            continue
        if _is_operand(body, column, later):
            pending += [body.states[column][0]] if column in body.states else []
        else:
            body.columns[column] = None
            later[column[0]], second[column[1]] = column, column
            before = second.get(column[0])
            if before is not None and before[1:] == column[:-1]:
                return False
            pending += reversed(body.unrolled.inputs(column))
    return True


def _is_operand(body: _Body, column: Column, later: dict[str, Column]) -> bool:
    """Note a column that is a state or is given; return False for one that the body computes.

    Errors: _NotAlike if the first step differs from the others.
    """
    unrolled, graph = body.unrolled, body.graph
    if len({*column}) == 1 or all(map(graph.is_const, column)):
        body.given[column] = None
        return True
    behind = _a_step_later(later, column)
    if behind:
        if graph.shape(column[0]) != graph.shape(column[1]):
            raise _NotAlike
        body.states[column] = behind, column[0]
        return True
    if unrolled.is_regular(column):
        return False
    if any(graph.shape(x) != graph.shape(column[0]) for x in column):
        raise _NotAlike
    if unrolled.is_regular(column[1:]):
        raise _NotAlike
    body.given[column] = None
    return True


def _a_step_later(later: dict[str, Column], column: Column) -> Column:
    """Return the column that a state becomes, which may be another state; () if it is none."""
    for steps in range(1, MOST_DELAYED + 1):
        behind = later.get(column[steps], ())
        if behind[:-steps] == column[steps:]:
            return (*column[1:], behind[-steps])
    return ()


@dataclass
class _Emitted:
    """The nodes of a loop while they are made.

    names   columns of the body -> tensor in the loop
    nodes   of the body, operands first
    """

    body: _Body
    patch: GraphBuilder
    attrs: dict[str, Any]
    names: dict[Column, str] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def operand(self, column: Column) -> str:
        """Return the tensor in the loop that a column is. Errors: _NotAlike."""
        if column not in self.names:
            self.names[column] = self._made(column)
        return self.names[column]

    def _made(self, column: Column) -> str:
        if column in self.body.stateful:
            return self._computed(column, column[0])
        if len({*column}) == 1 or _is_one_constant(self.body.graph, column):
            return column[0]
        sequence = stacked(self.patch, column)
        if sequence is not None:
            return self.patch.add(READ, sequence, **self.attrs)
        if column not in self.body.columns:
            raise _NotAlike
        if not self._has_one_set_of_weights(column):
            return self.patch.add(READ, self._rows(column), **self.attrs)
        name = f"{column[0]}.step"
        self.patch.tensors[name] = replace(self.body.graph.tensors[column[0]], name=name)
        return self._computed(column, name)

    def _rows(self, column: Column) -> str:
        """[steps, ...] of tensors that are computed outside, one by one."""
        shape = (1, *self.patch.shape(column[0]))
        return self.patch.add("concat", *(reshape(self.patch, x, shape) for x in column), axis=0)

    def _has_one_set_of_weights(self, column: Column) -> bool:
        inputs, graph = self.body.unrolled.inputs(column), self.body.graph
        weights = OPS[graph.producer[column[0]].op].weights
        return all(_is_one_constant(graph, x) for i, x in enumerate(inputs) if i in weights)

    def _computed(self, column: Column, name: str) -> str:
        """Add a node of the body. Errors: _NotAlike if its weights change from step to step."""
        if not self._has_one_set_of_weights(column):
            raise _NotAlike
        node, columns = self.body.graph.producer[column[0]], self.body.unrolled.inputs(column)
        inputs = tuple(map(self.operand, columns))
        self.nodes.append(node.but(inputs=inputs, outputs=(name,)))
        return name

    def named(self, column: Column) -> str:
        """Return the tensor of a column that is read behind a step. Errors: _NotAlike for a view of
        a state, whose bytes are the next step's then."""
        made = {node.name: node for node in self.nodes}
        name = self.names[column]
        while (node := made.get(name)) is not None and OPS[node.op].view:
            name = node.inputs[0]
        if node is None and name != self.names[column]:
            raise _NotAlike
        return self.names[column]


def _is_one_constant(graph: Graph, column: Column) -> bool:
    if not all(map(graph.is_const, column)):
        return False
    first = graph.array(column[0])
    return all(np.array_equal(first, graph.array(name)) for name in column[1:])


def _with_loop(body: _Body) -> Graph | None:
    """Return the graph with a loop in place of a recurrence; None if it is not worth one."""
    graph, steps = body.graph, len(body.starts[0])
    computed = [x for x in body.stateful if not OPS[graph.producer[x[0]].op].view]
    if len(computed) * (steps - 1) < FEWEST_SAVED:
        return None
    first = graph.producer[body.starts[0][0]]
    attrs: dict[str, Any] = {"loop": first.name, "steps": steps}
    patch = GraphBuilder(graph, replace(first, outputs=(f"{first.name}.loop",)))
    made, live = _Emitted(body, patch, attrs), _live_states(body)
    for operands in live:
        made.names[operands] = patch.add(STATE, body.states[operands][1], **attrs)
    try:
        for column in body.stateful:
            made.operand(column)
        return _joined_graph(made, live)
    except (_NotAlike, ValueError):
        return None


def _live_states(body: _Body) -> list[Column]:
    """Return the states that the body reads, and those that become them."""
    read = {x for column in body.stateful for x in body.unrolled.inputs(column)}
    live = [operands for operands in body.states if operands in read]
    for operands in live:
        behind = body.states[operands][0]
        live += [behind] if behind in body.states and behind not in live else []
    return live


def _joined_graph(made: _Emitted, live: Sequence[Column]) -> Graph:
    """Return the graph with a loop; what read a step reads the loop's results.

    Errors: ValueError for loops that need results of their own.
    """
    body, patch, graph = made.body, made.patch, made.body.graph
    columns = {name: (column, at) for column in body.stateful for at, name in enumerate(column)}
    nexts: dict[Column, str] = {}
    for operands in live:
        behind = body.states[operands][0]
        nexts[behind] = patch.add(NEXT, made.named(behind), made.names[operands], **made.attrs)
    results = _Results(made, columns, nexts)
    readers = [results.read(node) for node in graph.nodes if node.name not in columns]
    outputs = tuple(results.tensor(x) if x in columns else x for x in graph.outputs)
    whole = replace(
        graph,
        outputs=outputs,
        nodes=(*readers, *made.nodes, *patch.nodes),
        tensors={**graph.tensors, **patch.tensors},
        constants={**graph.constants, **patch.constants},
    )
    return prune(in_loop_order(prune(_sorted(whole))))


def _sorted(graph: Graph) -> Graph:
    """Return the graph with every node behind its operands. Errors: ValueError if there is none."""
    known, waiting, made = {*graph.inputs, *graph.constants}, [*graph.nodes], list[Node]()
    while waiting:
        left: list[Node] = []
        for node in waiting:
            if known.issuperset(node.inputs):
                made.append(node)
                known.add(node.name)
            else:
                left.append(node)
        if len(left) == len(waiting):
            raise ValueError("operands that need their results")
        waiting = left
    return replace(graph, nodes=tuple(made))


@dataclass
class _Results:
    """Results of a loop as nodes outside of it read them.

    columns  tensor of a step -> its column, and number of the step
    nexts    column -> the state that it becomes
    """

    made: _Emitted
    columns: dict[str, tuple[Column, int]]
    nexts: dict[Column, str]
    written: dict[Column, str] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)

    def read(self, node: Node) -> Node:
        """Return a node that reads the loop's results instead of those of single steps."""
        if not any(name in self.columns for name in node.inputs):
            return node
        if node.op == "concat":
            return node.but(inputs=tuple(self._runs(node)))
        inputs = (self.tensor(x) if x in self.columns else x for x in node.inputs)
        return node.but(inputs=tuple(inputs))

    def _runs(self, node: Node) -> Iterator[str]:
        """Yield the inputs of a concat with all steps of a column as one."""
        at, inputs = 0, node.inputs
        while at < len(inputs):
            column, step = self.columns.get(inputs[at], ((), 0))
            way = 1 if step == 0 else -1
            if (
                column
                and step in (0, len(column) - 1)
                and (inputs[at : at + len(column)] == column[::way])
            ):
                yield self._joined(column, node.attrs["axis"], way)
                at += len(column)
            else:
                yield self.tensor(inputs[at]) if column else inputs[at]
                at += 1

    def _joined(self, column: Column, axis: int, way: int) -> str:
        """[..., steps * extent, ...] of a column, along an axis; way -1: the last step first."""
        patch, rows = self.made.patch, self._sequence(column)
        steps, *shape = patch.shape(rows)
        if way < 0:
            rows = slice_axis(patch, rows, 0, steps - 1, -1, -1)
        rows = transpose(patch, rows, (*range(1, axis + 1), 0, *range(axis + 1, len(shape) + 1)))
        return reshape(patch, rows, [n * (steps if d == axis else 1) for d, n in enumerate(shape)])

    def tensor(self, name: str) -> str:
        """Return the tensor of a single step."""
        if name not in self.tensors:
            self.tensors[name] = self._of_step(*self.columns[name])
        return self.tensors[name]

    def _of_step(self, column: Column, step: int) -> str:
        patch = self.made.patch
        if step == len(column) - 1 and column in self.nexts:
            others = (x for x in self.nexts.values() if x != self.nexts[column])
            return patch.add(LAST, self.nexts[column], *others, **self.made.attrs)
        row = slice_axis(patch, self._sequence(column), 0, step, step + 1)
        return reshape(patch, row, patch.shape(row)[1:])

    def _sequence(self, column: Column) -> str:
        if column not in self.written:
            made, nexts = self.made, self.nexts.values()
            self.written[column] = made.patch.add(WRITE, made.named(column), *nexts, **made.attrs)
        return self.written[column]
