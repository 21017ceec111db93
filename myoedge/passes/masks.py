# SPDX-License-Identifier: Apache-2.0
"""Rules that bring what hides keys together, right in front of the softmax that sees them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import Rewrite, Rule
from myoedge.numerics.arrays import Array
from myoedge.operators.attention.definition import FAINT, LOWEST, UNSEEN
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.passes.matching import feeds_only, joined, made_by

IDLE = {"add": 0.0, "mul": 1.0}  # what they change nothing with
ONE, ALL = np.ones(()), np.ones((), bool)  # factor and kept of what is as it is


@dataclass(frozen=True, slots=True)
class Term:
    """What a sum has of a tensor: it times a factor that is nowhere 0, and 0 where not kept."""

    name: str
    factor: Array
    kept: Array

    def behind(self, hidden: Array) -> Term:
        """Kept everywhere, if all that is not is hidden."""
        return Term(self.name, self.factor, ALL) if (hidden | self.kept).all() else self


Terms = tuple[Term, ...]


def join_masks(graph: Graph, node: Node) -> Rewrite | None:
    """softmax((((x + mask) * kept) + fill + bias) * c) is softmax(x * c * kept + one constant)."""
    if node.op != "softmax":
        return None
    terms, known = _sum(graph, node.inputs[0], node)
    shift = _shift(known)
    known = np.clip(known - shift, LOWEST, -LOWEST)
    hidden = known <= UNSEEN
    mixed = _is_mixed(graph, node.inputs[0], node, terms)
    if not terms or not ((known <= FAINT).any() or shift or mixed):
        return None
    whole = tuple(term.behind(hidden) for term in terms)
    same = all(a.kept.all() == b.kept.all() for a, b in zip(whole, terms, strict=True))
    if same and not shift and not mixed and _is_joined(graph, node.inputs[0]):
        return None
    patch = GraphBuilder(graph, node)
    return patch.last("softmax", _added_up(patch, whole, known, shift), **node.attrs)


def _shift(known: Array) -> float:
    """What all numbers of a softmax are far from 0 by, which changes no share."""
    low, high = float(known.min()), float(known.max())
    return high if high <= FAINT else max(low, 0.0) if low >= -FAINT else 0.0


def join_before_moves(graph: Graph, node: Node) -> Rewrite | None:
    """The same in front of what is moved on its way into a softmax; nothing more is done there."""
    if not _moves_into_softmax(graph, node):
        return None
    patch = GraphBuilder(graph, node)
    inputs = tuple(_put_together(patch, name) for name in node.inputs)
    return None if inputs == node.inputs else patch.last(node.op, *inputs, **node.attrs)


def _put_together(patch: GraphBuilder, name: str) -> str:
    terms, known = _sum(patch.graph, name, patch.node)
    mixed = _is_mixed(patch.graph, name, patch.node, terms)
    if not mixed and (not terms or not _hides(known) or _is_joined(patch.graph, name)):
        return name
    most = np.finfo(np.float32).max
    return _added_up(patch, terms, np.clip(known, -most, most))


def move_masks(graph: Graph, node: Node) -> Rewrite | None:
    """move(x + mask) is move(x) + move(mask) on the way into a softmax; the same of x * kept."""
    if not _moves_into_softmax(graph, node):
        return None
    return _moved(graph, node, "add") or _moved(graph, node, "mul")


def _moved(graph: Graph, node: Node, op: str) -> Rewrite | None:
    patch = GraphBuilder(graph, node)
    parts = [_parted(patch, name, op) for name in node.inputs]
    if all(rest == name for (rest, _), name in zip(parts, node.inputs, strict=True)):
        return None
    rest = patch.add(node.op, *(x for x, _ in parts), **node.attrs)
    attrs = {**node.attrs, "value": IDLE[op]}  # which a pad puts around
    value = OPS[node.op].real(attrs, *(c for _, c in parts))
    made = (graph.producer[x] for x in node.inputs if x in graph.producer)
    return patch.last(op, rest, patch.constant(_narrow(value)), origin=joined(*made, node))


def _parted(patch: GraphBuilder, name: str, op: str) -> tuple[str, Array]:
    """(x, mask) of what is x + mask; (itself, what changes nothing) of all else."""
    graph, shape = patch.graph, patch.graph.shape(name)
    if op == "add" and graph.is_const(name) and _hides(graph.constants[name]):
        return patch.constant(np.zeros(shape)), graph.constants[name]
    made = made_by(graph, name, op)
    if made is not None and "act" not in made.attrs:
        x, c = sorted(made.inputs, key=graph.is_const)
        if graph.shape(x) == shape and graph.is_const(c) and MASKS_BY[op](graph.constants[c]):
            return x, np.broadcast_to(graph.constants[c], shape)
    return name, np.full(shape, IDLE[op])


def _hides(added: Array) -> bool:
    """Whether it may hide keys when it comes into a softmax, perhaps with another sign."""
    return bool((np.abs(added) >= -FAINT).any())


def _keeps(factors: Array) -> bool:
    """Whether they make zeros of what is to be filled, and change nothing else."""
    return bool(np.isin(factors, (0.0, 1.0)).all() and (factors == 0.0).any())


MASKS_BY: Mapping[str, Callable[[Array], bool]] = {"add": _hides, "mul": _keeps}


def _narrow(value: Array) -> Array:
    """Axes along which all is alike are as long as they need to be."""
    for axis in range(value.ndim):
        first = value.take([0], axis)
        value = first if (value == first).all() else value
    return value


def _moves_into_softmax(graph: Graph, node: Node) -> bool:
    """Whether it moves what a softmax alone reads, also where that is changed once more before."""
    return OPS[node.op].is_data_movement and _only_softmax_reads(graph, node, *IDLE, "sub", "table")


def _only_softmax_reads(graph: Graph, node: Node, *through: str) -> bool:
    """Whether it comes to a softmax alone, moved and through these operators."""
    reader = graph.only_user(node.name)
    while reader is not None and (OPS[reader.op].is_data_movement or reader.op in through):
        reader = graph.only_user(reader.name)
    return reader is not None and reader.op == "softmax"


def constant_last(graph: Graph, node: Node) -> Rewrite | None:
    """mask + x is x + mask, mask * x is x * mask."""
    mask = graph.constants.get(node.inputs[0]) if node.op in IDLE else None
    if mask is None or graph.is_const(node.inputs[1]) or not (_hides(mask) or _keeps(mask)):
        return None
    return GraphBuilder(graph, node).last(node.op, *reversed(node.inputs), **node.attrs)


def add_negated(graph: Graph, node: Node) -> Rewrite | None:
    """x - mask is x + -mask, mask - x is -x + mask: one form for all rules."""
    if node.op != "sub":
        return None
    patch, (x, y) = GraphBuilder(graph, node), node.inputs
    if graph.is_const(x) and _hides(graph.constants[x]):
        return patch.last("add", _line_of(patch, y, -ONE, 0.0), x, **node.attrs)
    negated = _negated(patch, y)
    return None if negated is None else patch.last("add", x, negated, **node.attrs)


def _negated(patch: GraphBuilder, name: str) -> str | None:
    """-y of what is constant or a line of what is computed, perhaps moved; None if none hides."""
    graph = patch.graph
    if graph.is_const(name):
        value = graph.constants[name]
        return patch.constant(-value) if _hides(value) else None
    node = graph.producer.get(name)
    if node is not None and OPS[node.op].is_data_movement and len(node.inputs) == 1:
        inner = _negated(patch, node.inputs[0])
        attrs = {k: -v if k == "value" else v for k, v in node.attrs.items()}  # around a pad
        return None if inner is None else patch.add(node.op, inner, **attrs)
    line = None if node is None or "act" in node.attrs else _line(graph, node)
    if node is None or line is None or not any(map(_hides, line)):
        return None
    return _line_of(patch, node.inputs[0], -line[0], -float(line[1]))


def drop_floor(graph: Graph, node: Node) -> Rewrite | None:
    """softmax(max(x, -1e9)) is softmax(x): what is below has no share, as has what is there."""
    if node.op != "table" or len(node.attrs["chain"]) > 1:
        return None
    name, *edges = node.attrs["chain"][0]
    if name != "clamp" or edges[0] > UNSEEN or edges[1] != np.inf:
        return None
    return (
        GraphBuilder(graph, node).same_as(node.inputs[0])
        if _only_softmax_reads(graph, node)
        else None
    )


def _sum(
    graph: Graph, name: str, reader: Node, factor: Array = ONE, kept: Array = ALL
) -> tuple[Terms, Array]:
    """(what is computed, the sum of what is constant) of what one reader alone sees.

    Large offsets stay with what is as large, as (1 - mask) * -1e9: it takes them away.
    """
    if graph.is_const(name):
        return (), np.asarray(factor * kept * graph.constants[name].astype(np.float64))
    node = graph.producer.get(name)
    if node is not None and feeds_only(graph, name, reader) and "act" not in node.attrs:
        signs = {"add": 1.0, "sub": -1.0}
        if node.op in signs and len({*node.inputs}) == 2:
            left = _sum(graph, node.inputs[0], node, factor, kept)
            right = _sum(graph, node.inputs[1], node, factor * signs[node.op], kept)
            return left[0] + right[0], left[1] + right[1]
        scale, offset = _line(graph, node) or (None, np.zeros(()))
        if scale is not None and not (_hides(factor * offset) and _hides(factor * scale)):
            by = factor * _nonzero(scale), kept & (scale != 0.0)
            terms, known = _sum(graph, node.inputs[0], node, *by)
            return terms, known + factor * kept * offset
    return (Term(name, factor, kept),), np.zeros(())


def _line(graph: Graph, node: Node) -> tuple[Array, Array] | None:
    """(scale, offset) where that is what is done to the first input."""
    if node.op == "table" and [step[0] for step in node.attrs["chain"]] == ["affine"]:
        ((_, scale, offset),) = node.attrs["chain"]
        return np.asarray(scale), np.asarray(offset)
    scales = graph.constants.get(node.inputs[1]) if node.op == "mul" else None
    return None if scales is None else (scales.astype(np.float64), np.zeros(()))


def _nonzero(scale: Array) -> Array:
    """A factor that is nowhere 0 and the same elsewhere; one number, if there is no other."""
    numbers = np.unique(scale[scale != 0.0])
    return numbers.reshape(()) if numbers.size == 1 else np.where(scale == 0.0, 1.0, scale)


def _is_mixed(graph: Graph, name: str, reader: Node, terms: Terms) -> bool:
    """Whether one factor is of a sum of a mask that is computed and of what is none."""
    masks = [is_mask(graph, term.name, term.factor) for term in terms]
    return any(masks) and not all(masks) and not _is_spread(graph, name, reader)


def is_mask(graph: Graph, name: str, factor: Array = ONE) -> bool:
    """Whether a tensor times a factor is a line with factors that hide."""
    node = graph.producer.get(name)
    while node is not None and OPS[node.op].is_data_movement:
        node = graph.producer.get(node.inputs[0])
    scale, _ = (None if node is None else _line(graph, node)) or (ONE, ONE)
    return _hides(factor) or _hides(factor * np.abs(scale).max())


def _is_spread(graph: Graph, name: str, reader: Node) -> bool:
    """Whether factors are of single terms."""
    if len(_sum(graph, name, reader)[0]) < 2:
        return True
    total = made_by(graph, name, "add", "sub")
    return total is not None and all(_is_spread(graph, x, total) for x in total.inputs)


def _is_joined(graph: Graph, name: str) -> bool:
    total = made_by(graph, name, "add")
    if total is None or not graph.is_const(total.inputs[1]):
        return False
    return not _sum(graph, total.inputs[0], total)[1].any()


def _added_up(patch: GraphBuilder, terms: Terms, known: Array, shift: float = 0.0) -> str:
    """shift   goes where a mask that is computed may take it away; without one it is left out"""
    largest = max(terms, key=lambda term: float(np.abs(term.factor).max()))
    at = largest.name if shift and _hides(largest.factor) else ""
    parts = (_product(patch, term, shift * (term.name == at)) for term in terms)
    total = functools.reduce(functools.partial(patch.add, "add"), parts)
    return patch.add("add", total, patch.constant(known)) if known.any() else total


def _product(patch: GraphBuilder, term: Term, offset: float) -> str:
    line = _line_of(patch, term.name, term.factor, offset)
    if term.kept.all():
        return line
    return patch.add("mul", line, patch.constant(term.kept.astype(np.float32)))


def _line_of(patch: GraphBuilder, name: str, factor: Array, offset: float) -> str:
    if factor.ndim:
        name, factor = patch.add("mul", name, patch.constant(factor)), ONE
    if factor == 1.0 and offset == 0.0:
        return name
    return patch.add("table", name, chain=(("affine", float(factor), offset),))


MASKS: tuple[Rule, ...] = (
    constant_last,
    add_negated,
    drop_floor,
    join_masks,
    join_before_moves,
    move_masks,
)
