# SPDX-License-Identifier: Apache-2.0
"""Patterns that roll loops that the exporter unrolled.

Equal operators of all iterations become one operator on stacked operands, down to slices of one
tensor; a chain of states h = a h + b becomes the operator `scan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from myoedge.graph.ir import Attrs, Graph, Node, Shape, ranked
from myoedge.graph.rewrite import Rewrite, made_by, rewrite_pattern
from myoedge.operators.graph_builder import GraphBuilder, expand, reshape, slice_axis, transpose
from myoedge.passes.zeros import times_zeros

FEWEST = 4  # steps
PAIRS = ("add", "sub", "mul")


@rewrite_pattern("concat")
def roll_unrolled_loop(graph: Graph, node: Node) -> Rewrite | None:
    """Replace a concat of the results of an unrolled loop by operators on all iterations at once,
    and a scan for its states."""
    return _rolled(graph, node, lambda ops: "scan" in ops)


@rewrite_pattern("concat")
def join_steps(graph: Graph, node: Node) -> Rewrite | None:
    """Replace a concat of the slices of a tensor by that tensor."""
    return _rolled(graph, node, {"slice", "reshape", "transpose"}.issuperset)


def _rolled(graph: Graph, node: Node, accepts: Callable[[set[str]], bool]) -> Rewrite | None:
    """Replace a concat by operators on all steps at once.

    accepts   operators that this needs -> whether it is worth it
    """
    axis, shape = node.attrs["axis"], graph.shape(node.inputs[0])
    if len(node.inputs) < FEWEST or any(graph.shape(x)[axis] != 1 for x in node.inputs):
        return None
    patch = GraphBuilder(graph, node)
    steps = stacked(patch, node.inputs)
    if steps is None or not accepts({made.op for made in patch.nodes}):
        return None
    rank = len(shape) + 1
    order = (*range(1, axis + 1), 0, *range(axis + 1, rank))
    moved = transpose(patch, steps, order)
    return patch.last("reshape", moved, shape=graph.shape(node.name))


@rewrite_pattern("add")
def roll_last_state(graph: Graph, node: Node) -> Rewrite | None:
    """Replace an unrolled loop of which only the final state is read by a scan and a slice."""
    chain, shape = _chain(graph, node), graph.shape(node.name)
    if len(chain) < FEWEST - 1 or any(graph.shape(state.name) != shape for state in chain):
        return None
    for begun in _beginnings(graph, chain[0]):
        patch = GraphBuilder(graph, node)
        states = _states(patch, [*begun, *chain])
        if states is not None and len(begun) + len(chain) >= FEWEST:
            steps = patch.shape(states)[0]
            last = slice_axis(patch, states, 0, steps - 1, steps)
            return patch.last("reshape", last, shape=shape)
    return None


def _chain(graph: Graph, node: Node) -> list[Node]:
    """Return the chain of states up to this one, each read only by the next; empty if another state
    follows."""
    follower = graph.only_user(node.name)
    if follower is not None and follower.op == "mul":
        further = graph.only_user(follower.name)
        if further is not None and further.op == "add":
            return []
    found: list[Node] = []
    state: Node | None = node
    while state is not None:
        found.append(state)
        state = _state_before(graph, state)
    return found[::-1]


def _state_before(graph: Graph, node: Node) -> Node | None:
    """Return the state h of the step before: in h' = a * h + b, `node` is h'; None if it is not."""
    for decayed in node.inputs:
        product = made_by(graph, decayed, "mul", reader=node)
        for name in () if product is None else product.inputs:
            before = made_by(graph, name, "add", reader=product)
            if before is not None and any(_is_decayed(graph, x) for x in before.inputs):
                return before
    return None


def _is_decayed(graph: Graph, name: str) -> bool:
    return made_by(graph, name, "mul") is not None or times_zeros(graph, name) != ""


def _beginnings(graph: Graph, node: Node) -> Iterator[list[Node]]:
    """Yield possible starts of a chain: zeros, a factor of its first product, its first state."""
    if _factor_and_term(graph, node, "") is None:
        for decayed in node.inputs:
            product = made_by(graph, decayed, "mul")
            factors = () if product is None else product.inputs
            yield from ([graph.producer[name]] for name in factors if name in graph.producer)
    yield []


def stacked(patch: GraphBuilder, names: Sequence[str]) -> str | None:
    """Return a tensor [steps, *shape] with the tensors of all iterations, computed by one operator
    if they have a common one; None if the iterations are not equal."""
    graph, shape = patch.graph, patch.graph.shape(names[0])
    if all(map(graph.is_const, names)):
        return patch.constant(np.stack([graph.array(name) for name in names]))
    nodes = [node for node in map(graph.producer.get, names) if node is not None]
    if len(nodes) < len(names) or any(graph.shape(name) != shape for name in names):
        return None
    if (states := _states(patch, nodes)) is not None:
        return states
    if len({(node.op, len(node.inputs)) for node in nodes}) > 1:
        return None
    return _slices(patch, nodes) if nodes[0].op == "slice" else _alike(patch, nodes, shape)


def _alike(patch: GraphBuilder, nodes: Sequence[Node], shape: Shape) -> str | None:
    """Merge equal nodes of all steps into one operator; None if they differ."""
    first, columns = nodes[0], list(zip(*(node.inputs for node in nodes), strict=True))
    attrs = _with_steps(first, (len(nodes), *shape))
    if attrs is None or any(node.attrs != first.attrs for node in nodes):
        return None
    if first.op in PAIRS:
        pair = [_operand(patch, column, len(shape)) for column in columns]
        return None if None in pair else patch.add(first.op, *filter(None, pair), **attrs)
    read = [stacked(patch, column) for column in columns[: 1 + (first.op == "matmul")]]
    rest = columns[len(read) :]
    if None in read or any(len({*column}) > 1 for column in rest):
        return None
    return patch.add(first.op, *filter(None, read), *first.inputs[len(read) :], **attrs)


def _with_steps(node: Node, shape: Shape) -> Attrs | None:
    """The attributes with a leading axis of steps; None if the operator does not allow one."""
    attrs = node.attrs
    by_op: dict[str, Attrs] = {
        **dict.fromkeys((*PAIRS, "table", "linear", "matmul"), attrs),
        "reshape": {"shape": shape},
        "transpose": {**attrs, "perm": (0, *(axis + 1 for axis in attrs.get("perm", ())))},
    }
    if node.op in ("sum", "mean"):
        return {**attrs, "axes": tuple(axis + 1 for axis in attrs["axes"])}
    return by_op.get(node.op)


def _operand(patch: GraphBuilder, names: Sequence[str], rank: int) -> str | None:
    """Return an operand of all steps as [steps, ...], or as [1, ...] if all steps share it."""
    shape = ranked(patch.shape(names[0]), rank)
    if len({*names}) > 1:
        rows = stacked(patch, names)
        return None if rows is None else reshape(patch, rows, (len(names), *shape))
    value = patch.graph.find_array(names[0])
    if value is not None:
        return patch.constant(value.reshape(1, *shape))
    return reshape(patch, names[0], (1, *shape))


def _slices(patch: GraphBuilder, nodes: Sequence[Node]) -> str | None:
    """Return the tensor whose consecutive slices along one axis these nodes are; None otherwise."""
    source, cuts = nodes[0].inputs[0], [node.attrs["cuts"] for node in nodes]
    axes = [axis for axis in range(len(cuts[0])) if any(c[axis] != cuts[0][axis] for c in cuts)]
    if len(axes) != 1 or any(node.inputs[0] != source for node in nodes):
        return None
    (axis,) = axes
    cut = _joined_cut([c[axis] for c in cuts])
    if cut is None:
        return None
    y = patch.add("slice", source, cuts=(*cuts[0][:axis], cut, *cuts[0][axis + 1 :]))
    y = transpose(patch, y, (axis, *(d for d in range(len(cuts[0])) if d != axis)))
    return reshape(patch, y, (len(nodes), *patch.graph.shape(nodes[0].name)))


def _joined_cut(cuts: Sequence[tuple[int, int, int]]) -> tuple[int, int, int] | None:
    """Return the cut whose single elements these are, in order; None if there is none."""
    first, step = cuts[0][0], cuts[1][0] - cuts[0][0]
    expected = [(at, at + 1, 1) for at in (first + t * step for t in range(len(cuts)))]
    if not step or [*cuts] != expected:
        return None
    return first, cuts[-1][0] + (1 if step > 0 else -1), step


def _states(patch: GraphBuilder, nodes: Sequence[Node]) -> str | None:
    """Return the states h = a h + b of a loop that begins with zeros or its first element; None if
    it has none."""
    graph, shape, factors, terms = patch.graph, patch.graph.shape(nodes[0].name), [], []
    for number, node in enumerate(nodes):
        before = nodes[number - 1].name if number else ""
        found = _factor_and_term(graph, node, before)
        if found is None and number:
            return None
        factor, term = found or ("", _without_zeros(graph, node))
        factors += [factor] if factor else []
        terms.append(term)
    a, b = _operand(patch, factors, len(shape)), _operand(patch, terms, len(shape))
    if b is None:
        b = _after_the_first(patch, terms, shape)
    if a is None or b is None:
        return None
    steps = (len(nodes), *shape)
    if patch.shape(a)[0] not in (1, len(nodes)):  # a factor of the zeros before all
        a = expand(patch, a, (len(factors), *shape))
        a = patch.add("concat", patch.constant(np.zeros((1, *shape))), a, axis=0)
    return patch.add("scan", expand(patch, a, steps), expand(patch, b, steps), axis=0)


def _after_the_first(patch: GraphBuilder, names: Sequence[str], shape: Shape) -> str | None:
    """Stack step tensors to [steps, *shape], if all but the first are computed alike; None
    otherwise."""
    first, rest = (_operand(patch, some, len(shape)) for some in (names[:1], names[1:]))
    if first is None or rest is None:
        return None
    return patch.add("concat", first, expand(patch, rest, (len(names) - 1, *shape)), axis=0)


def _without_zeros(graph: Graph, node: Node) -> str:
    """Return a tensor without additions of zeros."""
    is_sum = node.op == "add" and "act" not in node.attrs
    for zeros, term in (node.inputs, node.inputs[::-1]) if is_sum else ():
        if graph.is_const(zeros) and not graph.array(zeros).any():
            return term
    return node.name


def _factor_and_term(graph: Graph, node: Node, state: str) -> tuple[str, str] | None:
    """Return (a, b) of a state a h + b; the first state has h = 0."""
    if node.op != "add" or "act" in node.attrs:
        return None
    for decayed, term in (node.inputs, node.inputs[::-1]):
        factor = "" if state else times_zeros(graph, decayed)
        if factor:
            return factor, term
        product = made_by(graph, decayed, "mul")
        is_whole = product is not None and "act" not in product.attrs
        for factor, h in (product.inputs, product.inputs[::-1]) if product and is_whole else ():
            zeros = not state and graph.is_const(h) and not graph.array(h).any()
            if h == state or zeros:
                return factor, term
    return None
