# SPDX-License-Identifier: Apache-2.0
"""Recognition of rotary embeddings in any form.

Slices, stacks, halves and complex products are all linear in the elements of one tensor. The
pattern expresses each result as a weighted sum of elements of that tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.graph.ir import Graph, Node, Shape, ranked
from myoedge.graph.match import attempt, first_match, floats, found, require
from myoedge.graph.rewrite import Rewrite, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.attention.rotary import real
from myoedge.operators.graph_builder import GraphBuilder, reshape
from myoedge.operators.layout.definition import slice_real
from myoedge.passes.forms import factor_of

MOST_NODES = 48  # nodes that one decomposed embedding may have; complex numbers need the most


@dataclass(frozen=True, slots=True)
class Terms:
    """A tensor whose elements are weighted sums of elements of another tensor.

    places    flat indices in the other tensor, int64 [terms, *shape]
    factors   weights, float64 [terms, *shape]
    """

    places: Array
    factors: Array

    def times(self, factor: Array | float) -> Terms:
        return Terms(self.places, self.factors * factor)

    def filled(self, count: int) -> Terms:
        """Return the same sums written with `count` terms; added terms have factor 0."""
        more = ((0, count - len(self.places)), *[(0, 0)] * (self.places.ndim - 1))
        return Terms(np.pad(self.places, more), np.pad(self.factors, more))


@dataclass(frozen=True, slots=True)
class Turns:
    """Rotations of pairs of elements by constant angles.

    distance   index of a pair's second element minus that of its first
    rows       the tensor's shape, whose last axis holds the pairs
    cos, sin   float64 [*leading axes, pairs]
    """

    distance: int
    rows: Shape
    cos: Array
    sin: Array


@rewrite_pattern("add", "concat", "reshape")
def find_rotary(graph: Graph, node: Node) -> Rewrite:
    """Fuse rotations of pairs of elements by constant angles into one rotary embedding."""
    reader = graph.only_user(node.name)
    require(reader is None or reader.op != "reshape")  # otherwise it is part of the embedding
    return first_match(
        _match_rotated_source, ((graph, node, x) for x in _candidate_sources(graph, node))
    )


def _match_rotated_source(graph: Graph, node: Node, source: str) -> Rewrite:
    shapes = graph.shape(node.name), graph.shape(source)
    turns = _pairwise_rotations(_express_terms(graph, node.name, source, {}), shapes)
    patch, (axis, *tables) = GraphBuilder(graph, node), _rotation_tables(turns)
    names = [patch.constant(table) for table in tables]
    attrs: dict[str, Any] = {"axis": axis, **({"halves": True} if turns.distance > 1 else {})}
    x = reshape(patch, source, turns.rows)
    if turns.rows == graph.shape(node.name):
        return patch.last("rotary", x, *names, **attrs)
    y = patch.add("rotary", x, *names, **attrs)
    return patch.last("reshape", y, shape=graph.shape(node.name))


# --- linear maps ----------------------------------------------------------------------------------

SIGNS = {"add": (1.0, 1.0), "sub": (1.0, -1.0)}  # operator -> signs of its operands
MOVES = ("reshape", "transpose", "slice", "expand", "concat")


def _linear_operands(graph: Graph, name: str) -> tuple[str, ...] | None:
    """Return the non-constant operands of a tensor's producer if linear in them, else None."""
    node = graph.producer.get(name)
    if node is None or "act" in node.attrs:
        return None
    computed = tuple(x for x in node.inputs if not graph.is_const(x))
    linear = {
        "mul": len(computed) == 1,
        "table": attempt(factor_of, node.attrs.get("chain", ())) is not None,
        "rotary": True,
    }
    sums = node.op in (*MOVES, *SIGNS) and len(computed) == len(node.inputs)
    return computed if linear.get(node.op, sums) else None


def _candidate_sources(graph: Graph, node: Node) -> Iterator[str]:
    """Yield candidate inputs of a rotary embedding: tensors of the result's size from which it is
    computed linearly, nearest first."""
    reads: dict[str, tuple[str, ...]] = {}
    reached = [node.name]
    for name in reached:  # `reached` grows in the loop
        if (read := _linear_operands(graph, name)) is not None:
            reads[name] = read
            reached += [x for x in dict.fromkeys(read) if x not in reached]
        if len(reads) > MOST_NODES:
            return
    size = math.prod(graph.shape(node.name))
    for name in reached[1:]:
        shows = name in reads and graph.producer[name].op == "reshape"
        same = not shows and math.prod(graph.shape(name)) == size
        between = _tensors_between(reads, node.name, name) if same else ()
        ops = {graph.producer[x].op for x in between}
        if ("mul" in ops and not ops.isdisjoint(("add", "sub"))) or {"rotary", "concat"} <= ops:
            yield name


def _tensors_between(reads: Mapping[str, tuple[str, ...]], name: str, source: str) -> set[str]:
    """Return the names of the tensors between `source` and `name`; empty if `name` also depends on
    other tensors."""
    seen, pending = set[str](), [name]
    while pending:
        name = pending.pop()
        if name != source and name not in reads:
            return set()
        pending += reads[name] if name != source and name not in seen else ()
        seen.add(name)
    return seen - {source}


def _express_terms(graph: Graph, name: str, source: str, known: dict[str, Terms]) -> Terms:
    """Express a tensor as weighted sums of the source's elements."""
    if name == source:
        shape = graph.shape(name)
        return Terms(np.arange(math.prod(shape)).reshape(1, *shape), np.ones((1, *shape)))
    if name not in known:
        node, read = graph.producer[name], _linear_operands(graph, name) or ()
        parts = [_express_terms(graph, x, source, known) for x in read]
        known[name] = _add_rotary(graph, node, parts)
    return known[name]


def _add_rotary(graph: Graph, node: Node, parts: Sequence[Terms]) -> Terms:
    out, first = graph.shape(node.name), parts[0]
    if node.op in SIGNS:
        signed = zip(parts, SIGNS[node.op], strict=True)
        return _join_parts([_expand_terms(part, out).times(sign) for part, sign in signed], 0)
    if node.op == "mul":
        (factors,) = floats(graph, filter(graph.is_const, node.inputs))
        return _expand_terms(first, out).times(factors)
    if node.op == "table":
        return first.times(factor_of(node.attrs["chain"]))
    if node.op == "rotary":
        return _rotate_terms(graph, node, first)
    if node.op == "concat":
        most = max(len(part.places) for part in parts)
        return _join_parts([part.filled(most) for part in parts], node.attrs["axis"] + 1)
    if node.op == "expand":
        return _expand_terms(first, out)
    return Terms(_move_terms(node, out, first.places), _move_terms(node, out, first.factors))


def _move_terms(node: Node, out: Shape, x: Array) -> Array:
    """Apply a layout operator to x [terms, *shape], term by term."""
    if node.op == "transpose":
        return x.transpose(0, *(axis + 1 for axis in node.attrs["perm"]))
    if node.op == "slice":
        return slice_real({"cuts": ((0, len(x), 1), *node.attrs["cuts"])}, x)
    return x.reshape(len(x), *out)


def _expand_terms(terms: Terms, out: Shape) -> Terms:
    def expanded(x: Array) -> Array:
        return np.broadcast_to(x.reshape(len(x), *ranked(x.shape[1:], len(out))), (len(x), *out))

    return Terms(expanded(terms.places), expanded(terms.factors))


def _join_parts(parts: Sequence[Terms], axis: int) -> Terms:
    places, factors = ([getattr(p, name) for p in parts] for name in ("places", "factors"))
    return Terms(np.concatenate(places, axis), np.concatenate(factors, axis))


def _rotate_terms(graph: Graph, node: Node, x: Terms) -> Terms:
    """Compose an already fused rotary embedding with weighted sums."""
    cos, sin = floats(graph, node.inputs[1:])
    one = np.ones(graph.shape(node.name))
    own, other = real(node.attrs, one, cos, 0 * sin), real(node.attrs, one, 0 * cos, sin)
    at = np.arange(one.shape[-1])
    beside = np.roll(at, len(at) // 2) if node.attrs.get("halves") else at ^ 1
    partner = Terms(x.places.take(beside, -1), x.factors.take(beside, -1))
    return _join_parts([x.times(own), partner.times(other)], 0)


# --- the embedding --------------------------------------------------------------------------------


def _pairwise_rotations(terms: Terms, shapes: Sequence[Shape]) -> Turns:
    """Return the pairwise rotations that weighted sums represent; unchanged pairs have angle 0.
    Errors: NoMatch.

    shapes   candidate shapes for the rotation; the smallest tables win, then the first shape
    """
    count = math.prod(shapes[0])
    places, factors = (x.reshape(len(x), count) for x in (terms.places, terms.factors))
    at = np.arange(count)
    rest = np.where(places == at, 0.0, factors)
    own, partner = (factors - rest).sum(0), places[np.abs(rest).argmax(0), at]
    other = np.where(places == partner, rest, 0.0).sum(0)
    turned = np.flatnonzero(other)
    require(turned.size, not rest[places != partner].any())
    distance = int(abs(partner[turned[0]] - turned[0]))
    beside = at + np.where(at // distance % 2, -distance, distance)
    require(count % (2 * distance) == 0, (partner == beside)[turned].all())
    (c, d), (s, t) = (np.moveaxis(x.reshape(-1, 2, distance), 1, 0) for x in (own, other))
    require(np.array_equal(c, d), np.array_equal(s, -t))
    made = (_rotations_along_axis(shape, distance, c, t) for shape in shapes)
    return found(min(filter(None, made), key=lambda x: _rotation_tables(x)[1].size, default=None))


def _rotations_along_axis(shape: Shape, distance: int, cos: Array, sin: Array) -> Turns | None:
    """Return rotations whose angles vary along at most one axis of a reshaped tensor; None if there
    is no such shape.

    cos, sin   [..., distance], for pairs in memory order
    """
    for axis in reversed(range(len(shape))):
        width = math.prod(shape[axis:])
        row = 2 * distance if distance > 1 else width
        if width % row == 0 and row % 2 == 0:
            lead = (*shape[:axis], *((width // row,) if width > row else ()))
            turns = Turns(distance, (*lead, row), *(x.reshape(*lead, row // 2) for x in (cos, sin)))
            if len(_varying_axes(turns)) <= 1:
                return turns
    return None


def _varying_axes(turns: Turns) -> list[int]:
    """Return the axes along which the angles vary; the axis of the pairs is not counted."""
    both = np.stack([turns.cos, turns.sin])
    axes = range(len(turns.rows) - 1)
    return [axis for axis in axes if (both != both.take([0], axis + 1)).any()]


def _rotation_tables(turns: Turns) -> tuple[int, Array, Array]:
    """Return (axis, cosines, sines), tables [positions, pairs] with as few positions as
    possible."""
    axis = next(iter(_varying_axes(turns)), 0)
    index = tuple(slice(None) if d == axis else 0 for d in range(len(turns.rows) - 1))
    rows = np.stack([x[index].reshape(-1, x.shape[-1]) for x in (turns.cos, turns.sin)])
    count = rows.shape[1]
    periods = (n for n in range(1, count + 1) if count % n == 0)
    period = next(
        n for n in periods if np.array_equal(rows, np.tile(rows[:, :n], (1, count // n, 1)))
    )
    return axis, rows[0, :period], rows[1, :period]
