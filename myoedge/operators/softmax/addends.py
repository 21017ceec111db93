# SPDX-License-Identifier: Apache-2.0
"""Sums in normal form: tensors times constants plus one constant, however a network writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Node, Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder

TERMS_MAX = 8  # of a sum; one with more is a tensor like any other
DEPTH_MAX = 64  # operators that are followed upwards
FLOOR = -1e3  # a clamp at or below it changes no softmax
ZERO, ONE, ALL = np.zeros(()), np.ones(()), np.ones((), bool)


@dataclass(frozen=True, slots=True)
class Moved:
    """A layout operator that is not in the builder yet."""

    op: str
    inputs: tuple[Expression, ...]
    attrs: Attrs
    shape: Shape


Expression = str | Array | Moved  # a tensor's name, a constant, or what becomes of these


@dataclass(frozen=True, slots=True)
class Term:
    """A tensor times a factor that is nowhere 0; nothing of it where not kept."""

    tensor: Expression
    factor: Array = field(default_factory=lambda: ONE)
    kept: Array = field(default_factory=lambda: ALL)


@dataclass(frozen=True, slots=True)
class Sum:
    """terms plus a known array of float64, all broadcast."""

    terms: tuple[Term, ...]
    known: Array = field(default_factory=lambda: ZERO)

    def times(self, factor: Array) -> Sum:
        nonzero = factor != 0.0
        numbers = np.unique(factor[nonzero])
        by = numbers.reshape(()) if numbers.size == 1 else np.where(nonzero, factor, 1.0)
        kept = ALL if nonzero.all() else nonzero
        terms = (Term(t.tensor, t.factor * by, t.kept & kept) for t in self.terms)
        return Sum(tuple(terms), np.where(nonzero, self.known, 0.0) * factor)


@dataclass(frozen=True)
class Addends:
    """The sums that tensors of a builder are."""

    builder: GraphBuilder
    producers: Mapping[str, Node]
    found: dict[tuple[str, int], Sum] = field(default_factory=dict)

    @staticmethod
    def of(builder: GraphBuilder, name: str) -> Sum:
        producers = {node.name: node for node in builder.nodes}
        with np.errstate(all="ignore"):
            return Addends(builder, producers)._sum(name, DEPTH_MAX)

    def _sum(self, name: str, depth: int) -> Sum:
        value = self.builder.constants.get(name)
        if value is not None:
            return Sum((), value.astype(np.float64))
        if (name, depth) not in self.found:
            node = self.producers.get(name)
            known = None if node is None or depth == 0 else self._of_node(node, depth - 1)
            opaque = known is None or len(known.terms) > TERMS_MAX
            self.found[name, depth] = Sum((Term(name),)) if opaque or known is None else known
        return self.found[name, depth]

    def _of_node(self, node: Node, depth: int) -> Sum | None:
        """None: the node does more than to add, to scale by constants and to move."""
        if node.op in ("add", "sub"):
            a, b = (self._sum(name, depth) for name in node.inputs)
            b = b.times(-ONE) if node.op == "sub" else b
            return Sum(a.terms + b.terms, a.known + b.known)
        if node.op == "mul":
            x, c = sorted(node.inputs, key=lambda name: name in self.builder.constants)
            factor = self.builder.constants.get(c)
            return None if factor is None else self._sum(x, depth).times(factor.astype(np.float64))
        if node.op == "table" and len(node.attrs["chain"]) == 1:
            return _applied(node.attrs["chain"][0], self._sum(node.inputs[0], depth))
        if OPS[node.op].is_data_movement:
            parts = [self._sum(name, depth) for name in node.inputs]
            return _moved(node, parts, [*map(self.builder.shape, node.inputs)], self.builder)
        return None


def _applied(step: tuple[Any, ...], x: Sum) -> Sum | None:
    name, *numbers = step
    if name == "affine":
        scaled = x.times(np.float64(numbers[0]) * ONE)
        return Sum(scaled.terms, scaled.known + numbers[1])
    if name == "clamp" and numbers[0] <= FLOOR and numbers[1] == np.inf:
        return Sum(x.terms, np.maximum(x.known, numbers[0]))
    return None


def _moved(
    node: Node, parts: Sequence[Sum], shapes: Sequence[Shape], d: GraphBuilder
) -> Sum | None:
    """Layout operators move every term; several inputs have one term each, or none."""
    known = _move(node, [part.known for part in parts], shapes, node.attrs.get("value", 0.0))
    rows: list[tuple[Term, ...]]
    if len(parts) == 1:
        rows = [(term,) for term in parts[0].terms]
    elif max(len(part.terms) for part in parts) == 1:
        empty = [Term(np.zeros(shape), ONE, ~ALL) for shape in shapes]
        rows = [tuple((*part.terms, none)[0] for part, none in zip(parts, empty, strict=True))]
    else:
        return None if any(part.terms for part in parts) else Sum((), known)
    return Sum(tuple(_moved_term(node, row, shapes, d) for row in rows), known)


def _moved_term(
    node: Node, terms: Sequence[Term], shapes: Sequence[Shape], d: GraphBuilder
) -> Term:
    attrs = {**node.attrs, **({"value": 0.0} if "value" in node.attrs else {})}
    whole = tuple(full(d, term.tensor, s) for term, s in zip(terms, shapes, strict=True))
    factor = _move(node, [term.factor for term in terms], shapes, 1.0)
    kept = _move(node, [term.kept for term in terms], shapes, 0.0)
    return Term(Moved(node.op, whole, attrs, d.shape(node.name)), factor, kept != 0)


def _move(node: Node, arrays: Sequence[Array], shapes: Sequence[Shape], around: float) -> Array:
    """Constants as an operator moves them, along axes where they are alike of extent 1."""
    first = arrays[0]
    alike = all(x.ndim == 0 and x == first for x in arrays)
    if alike and ("value" not in node.attrs or float(first) == around):
        return first
    whole = (np.broadcast_to(x, shape) for x, shape in zip(arrays, shapes, strict=True))
    return narrow(np.asarray(OPS[node.op].real({**node.attrs, "value": around}, *whole)))


def narrow(value: Array) -> Array:
    """Axes along which all elements are alike get the extent 1."""
    for axis in range(value.ndim):
        first = value.take([0], axis)
        value = first if (value == first).all() else value
    return value


def shape_of(d: GraphBuilder, x: Expression) -> Shape:
    return d.shape(x) if isinstance(x, str) else tuple(x.shape)


def full(d: GraphBuilder, x: Expression, shape: Shape) -> Expression:
    """An expression broadcast to a shape."""
    own = shape_of(d, x)
    if own == shape:
        return x
    ranked = (1,) * (len(shape) - len(own)) + own
    x = x if ranked == own else Moved("reshape", (x,), {"shape": ranked}, ranked)
    return x if ranked == shape else Moved("expand", (x,), {"shape": shape}, shape)


def emit(d: GraphBuilder, x: Expression) -> str:
    """The name of an expression; a node that the builder has already is taken."""
    if isinstance(x, str):
        return x
    if not isinstance(x, Moved):
        return d.constant(x)
    return once(d, x.op, *(emit(d, each) for each in x.inputs), **x.attrs)


def once(d: GraphBuilder, op: str, *inputs: str, **attrs: Any) -> str:
    """A node of the builder, or the one that is equal to it."""
    equal = (n.name for n in d.nodes if (n.op, n.inputs, n.attrs) == (op, inputs, attrs))
    return next(equal, None) or d.add(op, *inputs, **attrs)
