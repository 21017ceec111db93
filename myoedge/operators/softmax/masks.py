# SPDX-License-Identifier: Apache-2.0
"""Masks of a softmax: decided here for all front ends, whatever form a network gives them.

A key is hidden by a constant that is added to its score and lies GAP below those of the other keys
of its row, or by an input of ones and zeros times GAP and more. Scores without either, and the mask
as truth values, are what softmax and attention read.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.attention.graph_form import attend, window_of
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.softmax.addends import (
    ALL,
    Addends,
    Expression,
    Moved,
    Sum,
    Term,
    emit,
    full,
    narrow,
    once,
    shape_of,
)

GAP = 50.0  # exp(-50) is 2e-22
SURE = -1e3  # no score reaches what is added as less: nothing is to be checked when calibrating
LOST = 2.0**20  # float32 loses scores in what is added as more: their row has equal shares
HIDDEN = -1e4  # a row of constants that are all below it hides all of its keys
NO_KEY = "a query that may look at no key"
MIXED = "a mask that is an input and hides some keys where it is 1, others where it is 0"
POINTWISE = ("add", "sub", "mul", "table")


@dataclass(frozen=True, slots=True)
class Masked:
    """Scores of a softmax, and which of its keys are seen.

    scores   what is left of them; "" where an attention adds nothing to its own
    visible  bool, by constants       given   tensors of ones and zeros, 1: seen
    attrs    fill: how far below its row's largest constant the nearest hidden key is, where scores
             might reach that far; flat: a row of hidden keys has equal shares, not those of scores
    """

    scores: str
    visible: Array = field(default_factory=lambda: ALL)
    given: tuple[str, ...] = ()
    attrs: dict[str, Any] = field(default_factory=dict)


def masked_softmax(d: GraphBuilder, x: str, axis: int) -> str:
    """softmax of a tensor along an axis, with a mask as its second operand where there is one."""
    shape = d.shape(x)
    found = decide(d, Addends.of(d, x), shape, axis)
    if found is None:
        return d.add("softmax", x, axis=axis)
    scores = emit(d, full(d, found.scores, shape))
    mask = mask_operand(d, found, shape)
    return d.add("softmax", scores, mask, axis=axis, masked=True, **found.attrs)


def masked_attention(
    d: GraphBuilder, q: str, k: str, v: str, scale: float, found: Masked, shape: Shape
) -> str:
    """Attention of heads with scores [.., H, N, M]; keys that constants leave may be a window."""
    hides = not found.visible.all()
    window = window_of(np.atleast_2d(found.visible), *shape[-2:]) if hides else None
    if window is not None:
        found = replace(found, visible=ALL)
    mask = mask_operand(d, found, shape) if found.given or not found.visible.all() else ""
    parts = {"window": window, "bias": found.scores, "mask": mask, **found.attrs}
    return attend(d, q, k, v, scale=scale, **parts)


def mask_operand(d: GraphBuilder, found: Masked, shape: Shape) -> str:
    """One tensor of ones and zeros: 1 along leading axes, then as the scores are."""
    known = found.visible.astype(np.float32)
    if not found.given:
        return d.constant(trailing(known, shape))
    parts = [full(d, x, _ranked(shape_of(d, x), shape)) for x in found.given]
    parts += [] if known.all() else [trailing(known, shape)]
    both = functools.reduce(functools.partial(d.add, "mul"), (emit(d, x) for x in parts))
    return emit(d, full(d, both, trailing(np.empty(d.shape(both), bool), shape).shape))


def trailing(value: Array, shape: Shape) -> Array:
    """A mask of full rank, whole from the first axis on along which it differs."""
    ranked = _ranked(value.shape, shape)
    first = next((axis for axis, n in enumerate(ranked) if n > 1), len(shape))
    return np.broadcast_to(value, (1,) * first + shape[first:])


def _ranked(own: Shape, shape: Shape) -> Shape:
    return (1,) * (len(shape) - len(own)) + tuple(own)


def decide(
    d: GraphBuilder, total: Sum, shape: Shape, axis: int, *, bare: bool = False
) -> Masked | None:
    """Splits a sum into scores and the mask of hidden keys; None where nothing hides a key.

    bare     whether all of it is added to scores that it does not contain
    Errors: Unsupported where a row has no key left, or where an input hides in two ways.
    """
    terms = [term for term in total.terms if _varies(d, term, len(shape), axis)]
    masks = [term for term in terms if _is_mask(d, term)]
    scores = [term for term in terms if term not in masks]
    if not (scores or bare):
        return None
    with np.errstate(invalid="ignore"):
        seen = sum((np.where(m.kept, np.maximum(m.factor, 0.0), 0.0) for m in masks), total.known)
    seen = np.asarray(seen).reshape(_ranked(np.shape(seen), shape))
    if np.isnan(seen).any() or np.isposinf(seen).any():
        return None
    best = seen.max(axis=axis, keepdims=True)
    if np.ndim(total.known) and (best < HIDDEN).any():
        raise Unsupported(NO_KEY)
    hidden = _below_gap(seen, axis)
    if not (hidden.any() or masks):
        return None
    bias = _left(seen - np.where(np.abs(best) >= GAP, best, 0.0), hidden)
    truths, attrs = tuple(_truth(d, m) for m in masks), _attrs(masks, seen, hidden, best)
    return Masked(_added(d, scores, bias, hidden), narrow(~hidden), truths, attrs)


def _varies(d: GraphBuilder, term: Term, rank: int, axis: int) -> bool:
    """Whether it differs along the axis; what does not changes no share of a softmax."""
    shapes = (shape_of(d, term.tensor), term.factor.shape, term.kept.shape)
    return any(((1,) * (rank - len(shape)) + tuple(shape))[axis] > 1 for shape in shapes)


def _is_mask(d: GraphBuilder, term: Term) -> bool:
    return float(np.abs(term.factor).max()) >= GAP and _is_given(d, term.tensor)


def _is_given(d: GraphBuilder, x: Expression) -> bool:
    """Whether inputs of the network alone decide it, element by element."""
    if isinstance(x, Moved):
        return all(_is_given(d, each) for each in x.inputs)
    if not isinstance(x, str) or x in d.inputs or x in d.constants:
        return True
    node = next(node for node in d.nodes if node.name == x)
    pointwise = node.op in POINTWISE or OPS[node.op].is_data_movement
    return pointwise and all(_is_given(d, each) for each in node.inputs)


def _below_gap(seen: Array, axis: int) -> Array:
    """bool: below the first gap of a row that is GAP wide."""
    falling, n = -np.sort(-seen, axis=axis), seen.shape[axis]
    above, below = falling.take(range(n - 1), axis), falling.take(range(1, n), axis)
    with np.errstate(invalid="ignore"):
        edges = np.where(above - below >= GAP, above, -math.inf)
    return np.asarray(seen < edges.max(axis=axis, keepdims=True, initial=-math.inf))


def _left(bias: Array, hidden: Array) -> Array:
    """Addend of visible keys; inside their range where a key is hidden."""
    seen = bias[np.broadcast_to(~hidden, bias.shape)]
    return narrow(np.where(hidden, np.clip(0.0, seen.min(), seen.max()), bias))


def _added(d: GraphBuilder, terms: Sequence[Term], bias: Array, hidden: Array) -> str:
    """The tensor that terms and a bias add up to; "" for none."""
    parts = [_product(d, term, hidden) for term in terms]
    parts += [d.constant(bias)] if bias.any() else []
    return functools.reduce(functools.partial(d.add, "add"), parts) if parts else ""


def _product(d: GraphBuilder, term: Term, hidden: Array) -> str:
    x, numbers = emit(d, term.tensor), np.unique(term.factor)
    if numbers.size > 1:
        x = d.add("mul", x, d.constant(term.factor))
    elif numbers[0] != 1.0:
        x = once(d, "table", x, chain=(("affine", float(numbers[0]), 0.0),))
    if (hidden | term.kept).all():
        return x
    return d.add("mul", x, d.constant(term.kept.astype(np.float32)))


def _truth(d: GraphBuilder, mask: Term) -> str:
    """The tensor that is 1 where a mask leaves keys."""
    factors = np.broadcast_to(mask.factor, np.broadcast_shapes(mask.factor.shape, mask.kept.shape))
    factors = factors[np.broadcast_to(mask.kept, factors.shape)]
    if len(np.unique(np.sign(factors))) > 1 or float(np.abs(factors).min()) < GAP:
        raise Unsupported(MIXED)
    x, reversed_ = emit(d, mask.tensor), (("affine", -1.0, 1.0),)
    if mask.kept.all():
        return x if factors[0] > 0.0 else once(d, "table", x, chain=reversed_)
    hides = once(d, "table", x, chain=reversed_) if factors[0] > 0.0 else x
    hides = d.add("mul", hides, d.constant(mask.kept.astype(np.float32)))
    return d.add("table", hides, chain=reversed_)


def _attrs(masks: Sequence[Term], seen: Array, hidden: Array, best: Array) -> dict[str, Any]:
    with np.errstate(invalid="ignore"):
        below = np.where(hidden, seen - best, -math.inf).max()
    fill = max((float(below), *(-float(np.abs(m.factor).min()) for m in masks)))
    flat = any(float(np.abs(m.factor).max()) >= LOST for m in masks)
    return ({"fill": fill} if fill > SURE else {}) | ({"flat": True} if flat else {})
