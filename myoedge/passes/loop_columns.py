# SPDX-License-Identifier: Apache-2.0
"""Recognition of the body of a loop that the exporter unrolled.

A column is the list of tensors that play the same role in all iterations, one per iteration.
Columns are followed from the results, or from the final state, to their operands. Columns of equal
operators belong to the body. A column that equals another column one iteration earlier is a state.
A column of consecutive slices reads the rows of a sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import NoMatch, require
from myoedge.operators.base import OPS
from myoedge.passes.steps import FEWEST

Column = tuple[str, ...]
MOST_PEELED = 3  # steps before the loop that may differ: a first step may lack operations
MOST_DELAYED = 3  # steps by which a state may be older than the last one
MOST_INNER = 8  # equal parts within a step, such as integrator steps between two samples
FARTHEST = 600  # nodes that are searched for the state of the preceding step


@dataclass(frozen=True)
class Unrolled:
    """A graph with unrolled loops, and the kind of each node: operator, attributes and shapes.

    graph   the graph; two nodes of equal kind may be the same node of the body in two iterations
    """

    graph: Graph

    @cached_property
    def kinds(self) -> dict[str, str]:
        kinds = {}
        for node in self.graph.nodes:
            tensor = self.graph.tensors[node.name]
            shapes = [self.graph.shape(x) for x in node.inputs]
            kind = (sorted(node.attrs.items()), shapes, tensor.shape, tensor.dtype, tensor.q)
            kinds[node.name] = f"{node.op} {kind} {tensor.pre_q}"
        return kinds

    def viewed_kinds(self, name: str) -> tuple[str, ...]:
        """Return the kinds of the node that computes a tensor and of its operands, through
        views."""
        found = [self.kinds.get(name, "")]
        while (node := self.graph.producer.get(name)) is not None and OPS[node.op].view:
            name = node.inputs[0]
            found.append(self.kinds.get(name, ""))
        return tuple(found)

    def is_regular(self, column: Column) -> bool:
        """Return whether a column's tensors, one per iteration, are results of the same
        operator."""
        kinds = {self.kinds.get(name, "") for name in column}
        return len(kinds) == 1 and "" not in kinds and len({*column}) == len(column)

    def is_float(self, column: Column) -> bool:
        """Return whether a column's tensors are constants or float32: only these can be states."""
        tensors = (self.graph.tensors.get(name) for name in column)
        return all(x is None or x.dtype == "float32" for x in tensors)

    def is_one_constant(self, column: Column) -> bool:
        """Return whether a column's tensors are constants with equal values."""
        if not all(map(self.graph.is_const, column)):
            return False
        first = self.graph.array(column[0])
        return all(np.array_equal(first, self.graph.array(name)) for name in column[1:])

    def inputs(self, column: Column) -> list[Column]:
        read = (self.graph.producer[name].inputs for name in column)
        return [*zip(*read, strict=True)]


def loop_results(unrolled: Unrolled) -> Iterator[list[Column]]:
    """Yield candidates for the results of a loop, as columns: concatenated results of all
    iterations, or a final state."""
    joins = [*_concatenated_runs(unrolled)]
    by_steps: dict[int, list[Column]] = {}
    for column in joins:
        by_steps.setdefault(len(column), []).append(column)
    for alike in by_steps.values():
        yield from ([alike] if len(alike) > 1 else [])
        yield from ([column] for column in alike)
        yield from ([column[::-1]] for column in alike)
    chains = [*_last_state_candidates(unrolled)]
    yield from ([column] for column in chains)
    for inner in range(2, MOST_INNER + 1):
        yield from ([column[::-inner][::-1]] for column in chains if len(column) >= inner * FEWEST)


def _concatenated_runs(unrolled: Unrolled) -> Iterator[Column]:
    """Yield the runs of consecutive inputs of each concat that the same kinds of nodes compute: one
    run per loop whose results are concatenated."""
    for node in unrolled.graph.nodes:
        if node.op == "concat" and len(node.inputs) >= FEWEST:
            for _, run in groupby(node.inputs, unrolled.viewed_kinds):
                column = tuple(run)
                if len(column) >= FEWEST and unrolled.is_regular(column):
                    yield column


def _last_state_candidates(unrolled: Unrolled) -> Iterator[Column]:
    """Yield candidates for states of which only the final value is read: chains of nodes of one
    kind, each computed from the preceding one; for each final node, the longest chain."""
    counts: dict[str, int] = {}
    for kind in unrolled.kinds.values():
        counts[kind] = counts.get(kind, 0) + 1
    seen: set[str] = set()
    for node in reversed(unrolled.graph.nodes):
        kind = unrolled.kinds[node.name]
        if counts[kind] >= FEWEST and kind not in seen:
            seen.add(kind)
            chains = [
                _follow_chain(unrolled, node.name, path) for path in _paths_to_kind(unrolled, node)
            ]
            longest = max(chains, key=len, default=())
            if len(longest) >= FEWEST:
                yield longest


def _paths_to_kind(unrolled: Unrolled, node: Node) -> Iterator[tuple[int, ...]]:
    """Yield paths (input positions) from a node back to its nearest ancestors of the same kind."""
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


def _follow_chain(unrolled: Unrolled, name: str, path: Sequence[int]) -> Column:
    """Return the chain of nodes of one kind that repeated steps along a path reach, earliest
    iteration first."""
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
class UnrolledBody:
    """The body of an unrolled loop as columns: lists of tensors, one per iteration.

    unrolled   the graph
    starts     columns from which the search for the body begins: the loop's results
    columns    columns computed in the body, in the order in which they were found
    states     column of a state as it is read -> (column of its next values, initial value)
    given      columns computed outside the loop: constants, rows of sequences
    """

    unrolled: Unrolled
    starts: Sequence[Column]
    columns: dict[Column, None] = field(default_factory=dict)
    states: dict[Column, tuple[Column, str]] = field(default_factory=dict)
    given: dict[Column, None] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        return self.unrolled.graph

    def in_order(self) -> list[Column]:
        """Return the columns in topological order."""
        order = {node.name: at for at, node in enumerate(self.graph.nodes)}
        return sorted(self.columns, key=lambda column: order[column[-1]])

    @cached_property
    def stateful(self) -> dict[Column, None]:
        """Columns that depend on a state, in topological order."""
        found: dict[Column, None] = {}
        for column in self.in_order():
            inputs = self.unrolled.inputs(column)
            if any(x in self.states or x in found for x in inputs):
                found[column] = None
        return found


def unrolled_body(unrolled: Unrolled, starts: Sequence[Column]) -> UnrolledBody | None:
    """Return the loop body that computes the columns `starts`; None if its iterations are not
    equal."""
    later: dict[str, Column] = {}  # first tensor -> a column that may be one step later
    while True:
        body, known = UnrolledBody(unrolled, starts), {**later}
        try:
            found = _collect_operands(body, later)
        except NoMatch:
            return None
        if found:
            return body
        if len(later) == len(known):
            return None


def _collect_operands(body: UnrolledBody, later: dict[str, Column]) -> bool:
    """Follow the columns of a body to its operands; return False if a column was followed before it
    turned out to be a state, so that the search has to be repeated."""
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


def _is_operand(body: UnrolledBody, column: Column, later: dict[str, Column]) -> bool:
    """Record a column that is a state or an operand from outside the loop; return False if the body
    computes it.

    Errors: NoMatch if the first iteration differs from the others.
    """
    unrolled, graph = body.unrolled, body.graph
    if len({*column}) == 1 or all(map(graph.is_const, column)):
        body.given[column] = None
        return True
    behind = _next_value_column(later, column) if unrolled.is_float(column) else ()
    if behind:
        require(graph.shape(column[0]) == graph.shape(column[1]))
        body.states[column] = behind, column[0]
        return True
    if unrolled.is_regular(column):
        return False
    require(len({*map(graph.shape, column)}) == 1, not unrolled.is_regular(column[1:]))
    body.given[column] = None
    return True


def _next_value_column(later: dict[str, Column], column: Column) -> Column:
    """Return the column of a state's next values, given the column of its values as they are read;
    () if the column is no state."""
    for steps in range(1, min(MOST_DELAYED + 1, len(column))):
        behind = later.get(column[steps], ())
        if behind[:-steps] == column[steps:]:
            return (*column[1:], behind[-steps])
    return ()


Later = dict[Column, Column]  # column -> the same one iteration later


def without_repeats(body: UnrolledBody) -> UnrolledBody:
    """Return the body with the results that are computed from a repeated column as states; the body
    itself if it repeats none."""
    later = _columns_of_next_values(body)
    starts = [after for column, after in later.items() if body.unrolled.is_float(column)]
    if not starts:
        return body
    whole = _graph_with_next_values(body, later)
    return unrolled_body(Unrolled(whole), [*body.starts, *starts]) or body


def _columns_of_next_values(body: UnrolledBody) -> Later:
    """Return the repeated columns that cannot be states, and the columns computed from them."""
    unrolled, later = body.unrolled, Later()
    by_first = {column[0]: column for column in body.columns}
    for column in body.stateful:
        again = by_first.get(column[1], ())
        if again[:-1] == column[1:]:
            later[column] = again
        elif any(x in later and not unrolled.is_float(x) for x in unrolled.inputs(column)):
            inputs = _operands_one_iteration_later(body, column, later)
            if inputs is not None:
                later[column] = (*column[1:], _find_last_result(unrolled, column[-1], inputs))
    return later


def _operands_one_iteration_later(
    body: UnrolledBody, column: Column, later: Later
) -> list[str] | None:
    """Return the operands of a column's last tensor one iteration later; None if the body does not
    know one."""
    found = []
    for operand in body.unrolled.inputs(column):
        if operand in later:
            found.append(later[operand][-1])
        elif operand in body.states:
            found.append(body.states[operand][0][-1])
        elif body.unrolled.is_one_constant(operand):
            found.append(operand[-1])
        else:
            return None
    return found


def _find_last_result(unrolled: Unrolled, name: str, inputs: Sequence[str]) -> str:
    """Return the tensor that the node of `name` would compute from other operands: one of the
    graph, or a new one."""
    graph = unrolled.graph
    for node in graph.users.get(inputs[0], ()):
        if unrolled.kinds[node.name] == unrolled.kinds[name] and all(
            x == y or unrolled.is_one_constant((x, y))
            for x, y in zip(node.inputs, inputs, strict=True)
        ):
            return node.name
    return f"{name}.next"


def _graph_with_next_values(body: UnrolledBody, later: Later) -> Graph:
    """Return the graph with the last tensors of columns one iteration later, as far as it has none
    of them."""
    graph, nodes, tensors = body.graph, list[Node](), {}
    for column, after in later.items():
        last, name = column[-1], after[-1]
        if name not in graph.tensors:
            inputs = _operands_one_iteration_later(body, column, later)
            assert inputs is not None
            nodes.append(graph.producer[last].but(inputs=(*inputs,), outputs=(name,)))
            tensors[name] = replace(graph.tensors[last], name=name)
    return replace(graph, nodes=(*graph.nodes, *nodes), tensors={**graph.tensors, **tensors})
