# SPDX-License-Identifier: Apache-2.0
"""Patterns that roll loops that the exporter unrolled.

Equal operators of all iterations become one operator on stacked operands, down to slices of one
tensor; a chain of states h = a h + b becomes the operator `scan`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from myoedge.graph.ir import Attrs, Graph, Node, Shape, ranked
from myoedge.graph.match import (
    NoMatch,
    attempt,
    both_orders,
    first_match,
    found,
    made_by,
    require,
    writer,
)
from myoedge.graph.rewrite import Rewrite, rewrite_pattern
from myoedge.operators.graph_builder import GraphBuilder, expand, reshape, slice_axis, transpose
from myoedge.passes.forms import is_zeros, times_zeros

FEWEST = 4  # minimum number of steps
PAIRS = ("add", "sub", "mul")
ROWS = ("linear", "table", "layer_norm")  # of the last axis or of elements, whatever the others are
MOVES = ("slice", "reshape", "transpose")
Cuts = tuple[tuple[int, int, int], ...]  # (start, stop, step) of a slice per axis


@rewrite_pattern("concat")
def roll_unrolled_loop(graph: Graph, node: Node) -> Rewrite:
    """Replace a concat of the results of an unrolled loop by operators on all iterations at once,
    with a scan for the states."""
    return _roll_concat(graph, node, lambda ops: "scan" in ops)


@rewrite_pattern("concat")
def join_steps(graph: Graph, node: Node) -> Rewrite:
    """Replace a concat of the results of equal layers on consecutive rows of a tensor by one layer
    on all rows; without layers, by the rows themselves."""
    return _roll_concat(graph, node, {*MOVES, *ROWS, *PAIRS, "softmax", "log_softmax"}.issuperset)


def _roll_concat(graph: Graph, node: Node, accepts: Callable[[set[str]], bool]) -> Rewrite:
    """Replace a concat of the results of all iterations by operators on all iterations at once.

    accepts   set of operators needed -> whether to replace the concat
    """
    axis, shape = node.attrs["axis"], graph.shape(node.inputs[0])
    require(len(node.inputs) >= FEWEST, all(graph.shape(x)[axis] == 1 for x in node.inputs))
    patch = GraphBuilder(graph, node)
    steps = stacked(patch, node.inputs)
    patch.drop_unread([steps])
    require(accepts({made.op for made in patch.nodes}))
    rank = len(shape) + 1
    order = (*range(1, axis + 1), 0, *range(axis + 1, rank))
    moved = transpose(patch, steps, order)
    return patch.last("reshape", moved, shape=graph.shape(node.name))


@rewrite_pattern("add")
def roll_last_state(graph: Graph, node: Node) -> Rewrite:
    """Replace an unrolled loop by a scan and a slice, if only its final state is read."""
    chain = _match_state_chain(graph, node)
    beginnings = ((graph, [*begun, *chain]) for begun in _first_state_candidates(graph, chain[0]))
    return first_match(_slice_last_state, beginnings)


def _slice_last_state(graph: Graph, chain: Sequence[Node]) -> Rewrite:
    require(len(chain) >= FEWEST)
    patch = GraphBuilder(graph, chain[-1])
    states = _replace_states_by_scan(patch, chain)
    last = slice_axis(patch, states, 0, len(chain) - 1, len(chain))
    return patch.last("reshape", last, shape=graph.shape(chain[-1].name))


def _match_state_chain(graph: Graph, node: Node) -> list[Node]:
    """Return the chain of states that ends in this node, first state first; each is read only by
    the next.

    Errors: NoMatch if another state follows, or if the chain is too short.
    """
    follower = graph.only_user(node.name)
    further = graph.only_user(follower.name) if follower and follower.op == "mul" else None
    require(further is None or further.op != "add")
    found = [node]
    while (state := next(_previous_state_candidates(graph, found[-1]), None)) is not None:
        found.append(state)
    require(len(found) >= FEWEST - 1, len({graph.shape(state.name) for state in found}) == 1)
    return found[::-1]


def _previous_state_candidates(graph: Graph, node: Node) -> Iterator[Node]:
    """Yield candidates for the preceding state h, where `node` computes h' = a * h + b."""
    for decayed in node.inputs:
        product = made_by(graph, decayed, "mul", reader=node)
        for name in () if product is None else product.inputs:
            before = made_by(graph, name, "add", reader=product)
            if before is not None and any(
                made_by(graph, x, "mul") is not None or times_zeros(graph, x) != ""
                for x in before.inputs
            ):
                yield before


def _first_state_candidates(graph: Graph, node: Node) -> Iterator[list[Node]]:
    """Yield candidates for the nodes before a chain: a first state that is a factor of the first
    product; or none."""
    if attempt(factor_and_term, graph, node, "") is None:
        for decayed in node.inputs:
            product = made_by(graph, decayed, "mul")
            factors = () if product is None else product.inputs
            yield from ([graph.producer[name]] for name in factors if name in graph.producer)
    yield []


@dataclass
class _StackedColumns:
    """Columns, tuples of one tensor per iteration, that a patch has stacked or is stacking.

    made     column -> the tensor that stacks it; None if its iterations are not equal
    readers  tensors of the columns that are being stacked, each of which reads the next
    """

    made: dict[tuple[str, ...], str | None] = field(default_factory=dict)
    readers: set[str] = field(default_factory=set)


def stacked(patch: GraphBuilder, names: Sequence[str]) -> str:
    """Return a tensor [steps, *shape] that stacks the tensors of all iterations, computed by one
    operator. Each column is stacked once, so the work grows with the number of nodes.

    names   one tensor per iteration
    Errors: NoMatch if the iterations are not equal, or if an iteration reads an earlier one by
    anything other than h = a h + b.
    """
    graph, shape = patch.graph, patch.graph.shape(names[0])
    if all(map(graph.is_const, names)):
        return patch.constant(np.stack([graph.array(name) for name in names]))
    if len({*names}) == 1:
        return expand(patch, reshape(patch, names[0], (1, *shape)), (len(names), *shape))
    column = tuple(names)
    known: _StackedColumns = patch.analyses.setdefault(_StackedColumns, _StackedColumns())
    if column not in known.made:
        known.made[column] = None
        require(known.readers.isdisjoint(column))
        known.readers.update(column)
        try:
            known.made[column] = attempt(_stack_results, patch, column)
        finally:
            known.readers.difference_update(column)
    return found(known.made[column])


def _stack_results(patch: GraphBuilder, names: Sequence[str]) -> str:
    """Return a tensor that stacks the results of nodes, one per iteration. Errors: NoMatch."""
    graph, shape = patch.graph, patch.graph.shape(names[0])
    nodes = [writer(graph, name) for name in names]
    require(all(graph.shape(name) == shape for name in names))
    with patch.made_from(names[-1]):  # the first state may be a term alone
        if (states := attempt(_replace_states_by_scan, patch, nodes)) is not None:
            return states
        require(len({(node.op, len(node.inputs)) for node in nodes}) == 1)
        return (
            _merge_slices(patch, nodes)
            if nodes[0].op == "slice"
            else _merge_equal_nodes(patch, nodes, shape)
        )


def _merge_equal_nodes(patch: GraphBuilder, nodes: Sequence[Node], shape: Shape) -> str:
    """Replace equal nodes of all iterations by one operator. Errors: NoMatch if they differ."""
    graph, first = patch.graph, nodes[0]
    columns = list(zip(*(node.inputs for node in nodes), strict=True))
    attrs = with_steps(first, (len(nodes), *shape))
    require(all(node.attrs == first.attrs for node in nodes))
    if first.op in PAIRS:
        pair = [_stack_operands(patch, column, len(shape)) for column in columns]
        return expand(patch, patch.add(first.op, *pair, **attrs), (len(nodes), *shape))
    read = [stacked(patch, column) for column in columns[: 1 + (first.op == "matmul")]]
    pairs = ((column[0], other) for column in columns[len(read) :] for other in column[1:])
    require(all(is_equal(graph, *names) for names in pairs))
    return patch.add(first.op, *read, *first.inputs[len(read) :], **attrs)


def is_equal(graph: Graph, a: str, b: str) -> bool:
    """Return whether two names are one tensor, or constants of the same values."""
    x, y = graph.find_array(a), graph.find_array(b)
    return a == b or (x is not None and y is not None and np.array_equal(x, y))


def with_steps(node: Node, shape: Shape) -> Attrs:
    """Return a node's attributes for operands with a leading axis of iterations. Errors: NoMatch if
    its operator does not allow one."""
    attrs = node.attrs
    perm, axes = (tuple(axis + 1 for axis in attrs.get(name, ())) for name in ("perm", "axes"))
    along = {**attrs, "axis": attrs.get("axis", 0) + 1}
    by_op: dict[str, Attrs] = {
        **dict.fromkeys((*PAIRS, *ROWS, "matmul"), attrs),
        **dict.fromkeys(("softmax", "log_softmax"), along),
        "sum": {**attrs, "axes": axes},
        "mean": {**attrs, "axes": axes},
        "reshape": {"shape": shape},
        "transpose": {**attrs, "perm": (0, *perm)},
    }
    require(node.op in by_op)
    return by_op[node.op]


def _stack_operands(patch: GraphBuilder, names: Sequence[str], rank: int) -> str:
    """Return the stacked operands of all iterations, [steps, ...]; [1, ...] if all iterations share
    one operand."""
    shape = ranked(patch.shape(names[0]), rank)
    if not all(is_equal(patch.graph, names[0], name) for name in names):
        return reshape(patch, stacked(patch, names), (len(names), *shape))
    value = patch.graph.find_array(names[0])
    if value is not None:
        return patch.constant(value.reshape(1, *shape))
    return reshape(patch, names[0], (1, *shape))


def _merge_slices(patch: GraphBuilder, nodes: Sequence[Node]) -> str:
    """Return one tensor for consecutive slices, one per iteration, along an axis, stacked to
    [steps, ...]. Errors: NoMatch."""
    source, cuts = nodes[0].inputs[0], [node.attrs["cuts"] for node in nodes]
    require(all(node.inputs[0] == source for node in nodes))
    axis, joined = joined_cuts(cuts)
    y = patch.add("slice", source, cuts=joined)
    y = transpose(patch, y, (axis, *(d for d in range(len(cuts[0])) if d != axis)))
    return reshape(patch, y, (len(nodes), *patch.graph.shape(nodes[0].name)))


def joined_cuts(cuts: Sequence[Cuts]) -> tuple[int, Cuts]:
    """Return the axis along which slices are consecutive, and the cuts of the slice that selects
    their elements in order. Errors: NoMatch."""
    axes = [axis for axis in range(len(cuts[0])) if any(c[axis] != cuts[0][axis] for c in cuts)]
    require(len(axes) == 1)
    (axis,) = axes
    along = [c[axis] for c in cuts]
    first, step = along[0][0], along[1][0] - along[0][0]
    expected = [(at, at + 1, 1) for at in (first + t * step for t in range(len(cuts)))]
    require(step, along == expected)
    cut = first, along[-1][0] + (1 if step > 0 else -1), step
    return axis, (*cuts[0][:axis], cut, *cuts[0][axis + 1 :])


def _replace_states_by_scan(patch: GraphBuilder, nodes: Sequence[Node]) -> str:
    """Replace the states h = a h + b of all iterations by a `scan`; the first state is 0 or the
    first term b.

    Errors: NoMatch for other nodes.
    """
    graph, shape = patch.graph, patch.graph.shape(nodes[0].name)
    begun = _first_factor_and_term(graph, nodes[0])
    pairs = itertools.pairwise(nodes)
    later = [factor_and_term(graph, node, before.name) for before, node in pairs]
    terms = [term for _, term in (begun, *later)]
    factors = [factor for factor, _ in (begun, *later) if factor]
    a = _stack_operands(patch, factors, len(shape))
    b = attempt(_stack_operands, patch, terms, len(shape))
    if b is None:  # those behind the first are the same tensor, or computed by equal nodes
        first, rest = (_stack_operands(patch, x, len(shape)) for x in (terms[:1], terms[1:]))
        b = patch.add("concat", first, expand(patch, rest, (len(terms) - 1, *shape)), axis=0)
    steps = (len(nodes), *shape)
    if patch.shape(a)[0] not in (1, len(nodes)):  # the first step has no factor
        a = expand(patch, a, (len(factors), *shape))
        a = patch.add("concat", patch.constant(np.zeros((1, *shape))), a, axis=0)
    return patch.add("scan", expand(patch, a, steps), expand(patch, b, steps), axis=0)


def _first_factor_and_term(graph: Graph, node: Node) -> tuple[str, str]:
    """Return (factor, term) of a first state; ("", term) if it is the term, to which zeros may be
    added."""
    known = attempt(factor_and_term, graph, node, "")
    if known is not None:
        return known
    is_sum = node.op == "add" and "act" not in node.attrs
    orders = both_orders(node) if is_sum else ()
    return "", next((term for zeros, term in orders if is_zeros(graph, zeros)), node.name)


def factor_and_term(graph: Graph, node: Node, state: str) -> tuple[str, str]:
    """Match h' = a h + b; return (a, b). The first one matches with h = 0. Errors: NoMatch."""
    require(node.op == "add", "act" not in node.attrs)
    for decayed, term in both_orders(node):
        if (factor := attempt(_match_state_factor, graph, decayed, state)) is not None:
            return factor, term
    raise NoMatch


def _match_state_factor(graph: Graph, decayed: str, state: str) -> str:
    """Match `decayed` as a product a h with a state h; return a. Errors: NoMatch.

    state   name of h; "": zeros
    """
    if not state and (factor := times_zeros(graph, decayed)):
        return factor
    for factor, h in both_orders(writer(graph, decayed, "mul", plain=True)):
        if h == state or (not state and is_zeros(graph, h)):
            return factor
    raise NoMatch
