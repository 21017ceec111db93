# SPDX-License-Identifier: Apache-2.0
"""Masks of a softmax: decided here for all front ends, whatever form a network gives them.

Scores are taken as a sum: tensors times constants, plus one constant. A key is hidden by a constant
that lies GAP below those of the other keys of its row, or by an input of ones and zeros times GAP
and more. Scores without either, and the mask as truth values, are what softmax and attention read.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Node, Shape, ranked
from myoedge.numerics.arrays import Array
from myoedge.operators.attention.graph_form import attend, window_of
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.integers.numbers import is_truth

GAP = 50.0  # exp(-50) is 2e-22
SURE = -1e3  # no score reaches what is added as less: nothing is to be checked when calibrating
LOST = 2.0**20  # float32 loses scores in what is added as more: their row has equal shares
HIDDEN = -1e4  # a row of constants that are all below it hides all of its keys
NO_KEY = "a query that may look at no key"
MIXED = "a mask that is an input and hides some keys where it is 1, others where it is 0"
POINTWISE = ("add", "sub", "mul", "table")
TERMS_MAX = 8  # of a sum; one with more is a tensor like any other
ONE, ALL = np.ones(()), np.ones((), bool)
REVERSED = (("affine", -1.0, 1.0),)


@dataclass(frozen=True, slots=True)
class Term:
    """A tensor times a factor that is nowhere 0; nothing of it where not kept."""

    tensor: str
    factor: Array = field(default_factory=lambda: ONE)
    kept: Array = field(default_factory=lambda: ALL)


@dataclass(frozen=True, slots=True)
class Sum:
    """terms plus a known array of float64, all broadcast."""

    terms: tuple[Term, ...]
    known: Array = field(default_factory=lambda: np.zeros(()))

    def times(self, factor: Array) -> Sum:
        nonzero = factor != 0.0
        numbers = np.unique(factor[nonzero])
        by = numbers.reshape(()) if numbers.size == 1 else np.where(nonzero, factor, 1.0)
        kept = ALL if nonzero.all() else nonzero
        terms = (Term(t.tensor, t.factor * by, t.kept & kept) for t in self.terms)
        return Sum(tuple(terms), np.where(nonzero, self.known, 0.0) * factor)


@dataclass(frozen=True, slots=True)
class Masked:
    """Scores of a softmax, and which of its keys are seen.

    scores   tensor without what hides keys; "" where an attention adds nothing to its own
    visible  bool, by constants       inputs   tensors of ones and zeros, 1: seen
    attrs    fill: how far below its row's largest constant the nearest hidden key is, where scores
             might reach that far; flat: a row of hidden keys has equal shares, not those of scores
    """

    scores: str
    visible: Array = field(default_factory=lambda: ALL)
    inputs: tuple[str, ...] = ()
    attrs: dict[str, Any] = field(default_factory=dict)


def masked_softmax(d: GraphBuilder, x: str, axis: int) -> str:
    """softmax of a tensor along an axis, with a mask as its second operand where there is one."""
    shape = d.shape(x)
    masked = decide(d, addends(d, x), shape, axis)
    if masked is None:
        return d.add("softmax", x, axis=axis)
    scores, mask = _full(d, masked.scores, shape), _mask_operand(d, masked, shape)
    return d.add("softmax", scores, mask, axis=axis, masked=True, **masked.attrs)


def masked_attention(
    d: GraphBuilder, q: str, k: str, v: str, scale: float, masked: Masked, shape: Shape
) -> str:
    """Attention of heads with scores [.., H, N, M]; keys that constants leave may be a window."""
    hides = not masked.visible.all()
    window = window_of(np.atleast_2d(masked.visible), *shape[-2:]) if hides else None
    if window is not None:
        masked = replace(masked, visible=ALL)
    hides = bool(masked.inputs) or not masked.visible.all()
    mask = _mask_operand(d, masked, shape) if hides else ""
    parts = {"window": window, "bias": masked.scores, "mask": mask, **masked.attrs}
    return attend(d, q, k, v, scale=scale, **parts)


def _mask_operand(d: GraphBuilder, masked: Masked, shape: Shape) -> str:
    """Ones and zeros of full rank, broadcast from the first axis on along which they differ."""

    def broadcast_shape(own: Shape) -> Shape:
        first = next((len(shape) - len(own) + at for at, n in enumerate(own) if n > 1), len(shape))
        return (1,) * first + shape[first:]

    visible = masked.visible.astype(np.float32)
    visible = np.broadcast_to(visible, broadcast_shape(visible.shape))
    masks = [_full(d, x, ranked(d.shape(x), len(shape))) for x in masked.inputs]
    masks += [] if masks and visible.all() else [d.constant(visible)]
    product = functools.reduce(functools.partial(d.add, "mul"), masks)
    return _full(d, product, broadcast_shape(d.shape(product)))


def decide(
    d: GraphBuilder, total: Sum, shape: Shape, axis: int, *, bare: bool = False
) -> Masked | None:
    """Splits a sum into scores and the mask of hidden keys; None where nothing hides a key.

    bare     whether all of it is added to scores that it does not contain
    Errors: Unsupported where a row has no key left, or where an input hides in two ways.
    """
    masks, scores, gap = *_split(d, total.terms, len(shape), axis), GAP
    if not (scores or bare):  # scores that are an input's own: they may reach what lies near
        masks, scores, gap = [], masks, -SURE
    if not (scores or bare):
        return None
    with np.errstate(invalid="ignore"):
        most = sum((np.where(m.kept, np.maximum(m.factor, 0.0), 0.0) for m in masks), total.known)
    most = np.reshape(most, ranked(np.shape(most), len(shape)))
    if np.isnan(most).any() or np.isposinf(most).any():
        return None
    best = most.max(axis=axis, keepdims=True)
    if np.ndim(total.known) and (best < HIDDEN).any():
        raise Unsupported(NO_KEY)
    hidden = _below_gap(most, axis, gap)
    if not (hidden.any() or masks):
        return None
    inputs = tuple(_visible(d, mask) for mask in masks)
    unmasked = _unmasked(d, scores, most - np.where(np.abs(best) >= GAP, best, 0.0), hidden)
    with np.errstate(invalid="ignore"):
        below = float(np.where(hidden, most - best, -math.inf).max())
    fill = max([below, *(-float(np.abs(m.factor).min()) for m in masks)])
    flat = any(float(np.abs(m.factor).max()) >= LOST for m in masks)
    attrs = ({"fill": fill} if fill > SURE else {}) | ({"flat": True} if flat else {})
    return Masked(unmasked, narrow(~hidden), inputs, attrs)


def _unmasked(d: GraphBuilder, scores: Sequence[Term], bias: Array, hidden: Array) -> str:
    """Scores and a bias, which stays in its range where a key is hidden; "" for neither."""
    seen = bias[np.broadcast_to(~hidden, bias.shape)]
    bias = narrow(np.where(hidden, np.clip(0.0, seen.min(), seen.max()), bias))
    parts = [_product(d, term, hidden) for term in scores]
    parts += [d.constant(bias)] if bias.any() else []
    return functools.reduce(functools.partial(d.add, "add"), parts) if parts else ""


def _split(
    d: GraphBuilder, terms: Sequence[Term], rank: int, axis: int
) -> tuple[list[Term], list[Term]]:
    """(masks, scores) of terms that differ along the axis: others change no share of a softmax."""
    masks: list[Term] = []
    scores: list[Term] = []
    for term in terms:
        shapes = (d.shape(term.tensor), term.factor.shape, term.kept.shape)
        if any(ranked(shape, rank)[axis] > 1 for shape in shapes):
            is_mask = float(np.abs(term.factor).max()) >= GAP and _is_input(d, term.tensor)
            (masks if is_mask else scores).append(term)
    return masks, scores


def _is_input(d: GraphBuilder, x: str) -> bool:
    """Whether a tensor holds truth values, or inputs of the network alone decide it, element by
    element."""
    node = next((node for node in d.nodes if node.name == x), None)
    if node is None or is_truth(d, x):
        return True
    pointwise = node.op in POINTWISE or OPS[node.op].is_data_movement
    return pointwise and all(_is_input(d, name) for name in node.inputs)


def _below_gap(added: Array, axis: int, gap: float) -> Array:
    """bool: below the first gap of a row that is so wide."""
    falling, n = -np.sort(-added, axis=axis), added.shape[axis]
    above, below = falling.take(range(n - 1), axis), falling.take(range(1, n), axis)
    with np.errstate(invalid="ignore"):
        edges = np.where(above - below >= gap, above, -math.inf)
    return np.asarray(added < edges.max(axis=axis, keepdims=True, initial=-math.inf))


def _product(d: GraphBuilder, term: Term, hidden: Array) -> str:
    x, numbers = term.tensor, np.unique(term.factor)
    if numbers.size > 1:
        x = d.add("mul", x, d.constant(term.factor))
    elif numbers[0] != 1.0:
        x = _once(d, "table", x, chain=(("affine", float(numbers[0]), 0.0),))
    if (hidden | term.kept).all():
        return x
    return d.add("mul", x, d.constant(term.kept.astype(np.float32)))


def _visible(d: GraphBuilder, mask: Term) -> str:
    """The tensor that is 1 where a mask leaves keys."""
    factors = np.broadcast_to(mask.factor, np.broadcast_shapes(mask.factor.shape, mask.kept.shape))
    factors = factors[np.broadcast_to(mask.kept, factors.shape)]
    if len(np.unique(np.sign(factors))) > 1 or float(np.abs(factors).min()) < GAP:
        raise Unsupported(MIXED)
    if mask.kept.all() and factors[0] > 0.0:
        return mask.tensor
    hides = mask.tensor
    if mask.kept.all() or factors[0] > 0.0:
        hides = _once(d, "table", hides, chain=REVERSED)
    if mask.kept.all():
        return hides
    hides = d.add("mul", hides, d.constant(mask.kept.astype(np.float32)))
    return d.add("table", hides, chain=REVERSED)


def addends(d: GraphBuilder, name: str) -> Sum:
    """A tensor in normal form, however a network writes it: terms plus one constant."""
    needed = {name}
    for node in reversed(d.nodes):
        follows = node.op in POINTWISE or OPS[node.op].is_data_movement
        needed.update(node.inputs if follows and node.name in needed else ())
    sums = {x: Sum((), c.astype(np.float64)) for x, c in d.arrays.items() if x in needed}
    for node in [node for node in d.nodes if node.name in needed]:
        with np.errstate(all="ignore"):
            total = _sum_of(d, node, sums)
        if total is not None and len(total.terms) <= TERMS_MAX:
            sums[node.name] = total
    return sums.get(name, Sum((Term(name),)))


def _sum_of(d: GraphBuilder, node: Node, sums: Mapping[str, Sum]) -> Sum | None:
    """None: the node does more than to add, to scale by constants and to move."""
    parts = [sums.get(x, Sum((Term(x),))) for x in node.inputs]
    if node.op in ("add", "sub"):
        a, b = parts[0], parts[1].times(-ONE) if node.op == "sub" else parts[1]
        return Sum(a.terms + b.terms, a.known + b.known)
    if node.op == "mul":
        x, c = sorted(node.inputs, key=lambda name: name in d.constants)
        factor = d.find_array(c)
        return None if factor is None else sums.get(x, Sum((Term(x),))).times(factor.astype(float))
    if node.op == "table" and len(node.attrs["chain"]) == 1:
        name, *numbers = node.attrs["chain"][0]
        if name == "affine":
            scaled = parts[0].times(np.float64(numbers[0]) * ONE)
            return Sum(scaled.terms, scaled.known + numbers[1])
        if name == "clamp" and numbers[0] <= SURE and numbers[1] == np.inf:  # changes no softmax
            return Sum(parts[0].terms, np.maximum(parts[0].known, numbers[0]))
    return _moved(d, node, parts) if OPS[node.op].is_data_movement else None


def _moved(d: GraphBuilder, node: Node, parts: Sequence[Sum]) -> Sum | None:
    """Layout operators move every term; several inputs have one term each, or none."""
    shapes = [d.shape(x) for x in node.inputs]
    known = _move(node, [part.known for part in parts], shapes, node.attrs.get("value", 0.0))
    rows: list[tuple[Term, ...]] = [(term,) for term in parts[0].terms]
    if len(parts) > 1 and max(len(part.terms) for part in parts) == 1:
        none = [Term(d.constant(np.zeros(shape)), ONE, ~ALL) for shape in shapes]
        rows = [tuple((*part.terms, n)[0] for part, n in zip(parts, none, strict=True))]
    elif len(parts) > 1 and any(part.terms for part in parts):
        return None
    terms = []
    for row in rows:
        tensors = [_full(d, term.tensor, s) for term, s in zip(row, shapes, strict=True)]
        attrs = {**node.attrs, **({"value": 0.0} if "value" in node.attrs else {})}
        factor = _move(node, [term.factor for term in row], shapes, 1.0)
        kept = _move(node, [term.kept for term in row], shapes, 0.0)
        terms.append(Term(_once(d, node.op, *tensors, **attrs), factor, kept != 0))
    return Sum(tuple(terms), known)


def _move(node: Node, arrays: Sequence[Array], shapes: Sequence[Shape], around: float) -> Array:
    """Constants as an operator moves them, along axes where they are alike of extent 1."""
    first = arrays[0]
    alike = all(x.ndim == 0 and x == first for x in arrays)
    if alike and ("value" not in node.attrs or float(first) == around):
        return first
    operands = (np.broadcast_to(x, shape) for x, shape in zip(arrays, shapes, strict=True))
    return narrow(np.asarray(OPS[node.op].real({**node.attrs, "value": around}, *operands)))


def narrow(value: Array) -> Array:
    """Axes along which all elements are alike get the extent 1."""
    for axis in range(value.ndim):
        first = value.take([0], axis)
        value = first if (value == first).all() else value
    return value


def _full(d: GraphBuilder, x: str, shape: Shape) -> str:
    """A tensor broadcast to a shape."""
    full = ranked(d.shape(x), len(shape))
    x = x if d.shape(x) == full else _once(d, "reshape", x, shape=full)
    return x if full == shape else _once(d, "expand", x, shape=shape)


def _once(d: GraphBuilder, op: str, *inputs: str, **attrs: Any) -> str:
    """A node of the builder, or the one that is equal to it."""
    equal = (n.name for n in d.nodes if (n.op, n.inputs, n.attrs) == (op, inputs, attrs))
    return next(equal, None) or d.add(op, *inputs, **attrs)
