# SPDX-License-Identifier: Apache-2.0
"""Masks of a softmax or attention, recognised at import in any form.

Scores are written as a sum: tensors times constants, plus one constant. A constant hides a key if
it is MASK_GAP below the other constants of its row; a boolean input does if its factor is that
large. Softmax and attention then read the mask as a boolean operand and the scores without it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from myoedge.graph.ir import Node, Shape, ranked
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.library.known_values import NOT, is_truth, producer

MASK_GAP = 50.0  # exp(-50) is 2e-22: a score this far below its row's largest has probability 0
LOST = 2.0**20  # an addend this large erases the scores in float32, as a selection would
NO_KEY = "a query that may look at no key"
MIXED = "an input mask that hides some keys with 1 and other keys with 0"
POINTWISE = ("add", "sub", "mul", "table")
TERMS_MAX = 8  # a sum with more terms is not analysed
ONE, NOWHERE = np.ones(()), np.zeros((), bool)

Term = tuple[str, Array]  # a tensor and its float64 factor, which may be 0 for some elements


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum of tensors times constants, plus a constant, all broadcast.

    terms   (tensor, factor) pairs
    known   the constant, float64
    """

    terms: tuple[Term, ...] = ()
    known: Array = field(default_factory=lambda: np.zeros(()))

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.terms + other.terms, self.known + other.known)

    def times(self, factor: Array) -> Sum:
        """Return the sum with all terms multiplied by a constant array; 0 times infinity is 0."""
        known = np.where(factor != 0.0, self.known, 0.0) * factor
        return Sum(tuple((x, f * factor) for x, f in self.terms), known)


def masked_softmax(d: GraphBuilder, x: str, axis: int, added: Sum | None = None) -> str:
    """Add the softmax of x, or of x plus `added`; a mask found in the sum becomes an operand.

    Errors: Unsupported as of `decide`, or if a row of a mask alone has no visible key.
    """
    shape, total = d.shape(x), addends(d, x) + (added or Sum())
    if not any(factor.any() for _, factor in total.terms) and np.isneginf(total.known).any():
        known = np.broadcast_to(total.known, shape)  # a mask alone: its scores have the factor 0
        if not np.isfinite(known.max(axis=axis)).all():
            raise Unsupported(NO_KEY)
        return d.constant(np.asarray(OPS["softmax"].real({"axis": axis}, known), np.float32))
    found = decide(d, total, shape, axis)
    if found is None:
        x = full(d, unmasked(d, total.terms, total.known), shape) if added else x
        return d.add("softmax", x, axis=axis)
    scores, mask, attrs = found
    return d.add("softmax", full(d, scores, shape), mask, axis=axis, masked=True, **attrs)


def decide(
    d: GraphBuilder, total: Sum, shape: Shape, axis: int, *, bare: bool = False
) -> tuple[str, str, dict[str, Any]] | None:
    """Split masked scores into scores, mask and attributes; return None if no key is hidden.

    The mask is 1 for visible keys; scores are "" if nothing is left to add to an attention's own
    scores.
    attributes   fill: distance of the nearest hidden key below the row's largest constant, if
                 float32 sums keep the scores' digits; flat: rows without visible keys get equal
                 probabilities
    bare         whether `total` is without the scores to which it is added
    Errors: Unsupported if a row has no visible key, or if one input hides keys in two ways.
    """
    masks, scores = _split_masks_and_scores(d, total.terms, len(shape), axis)
    if not (scores or bare):  # only inputs: they are the scores, not masks
        masks, scores = [], masks
        if not scores:
            return None
    most = _maximum_of_masks(masks, total.known, len(shape))
    if not (most < np.inf).all():  # infinite, or NaN
        return None
    best = most.max(axis=axis, keepdims=True)
    if np.ndim(total.known) and (best <= -LOST).any():
        raise Unsupported(NO_KEY)
    hidden = _find_masked_elements(most, axis)
    if not (hidden.any() or masks):
        return None
    seen = [_visible_keys(d, mask) for mask in masks]
    bias = most - np.where(np.abs(best) >= MASK_GAP, best, 0.0)
    left = unmasked(d, scores, bias, hidden)
    with np.errstate(invalid="ignore"):
        below = float(np.where(hidden, most - best, -math.inf).max())
    return left, _mask_operand(d, narrow(~hidden), seen, shape), _fill_attributes(below, masks)


def _fill_attributes(below: float, masks: Sequence[Term]) -> dict[str, Any]:
    """Return the attributes "fill" and "flat" of masked scores whose constants at hidden keys are
    at least `below` lower than at visible keys."""
    sizes = [np.abs(factor[factor != 0.0]) for _, factor in masks]
    fill = max([below, *(-float(size.min()) for size in sizes)])
    attrs: dict[str, Any] = {"fill": fill} if fill > -LOST else {}
    return attrs | ({"flat": True} if any(size.max() >= LOST for size in sizes) else {})


def _maximum_of_masks(masks: Sequence[Term], known: Array, rank: int) -> Array:
    """Return, per score, the maximum constant over all mask values, as an array of rank `rank`."""
    with np.errstate(invalid="ignore"):
        most = sum((np.maximum(factor, 0.0) for _, factor in masks), known)
    return np.reshape(most, ranked(np.shape(most), rank))


def _split_masks_and_scores(
    d: GraphBuilder, terms: Sequence[Term], rank: int, axis: int
) -> tuple[list[Term], list[Term]]:
    """Split terms that vary along the axis into (masks, scores); other terms do not change a
    softmax."""
    masks: list[Term] = []
    scores: list[Term] = []
    for x, factor in terms:
        differs = any(ranked(s, rank)[axis] > 1 for s in (d.shape(x), factor.shape))
        if differs and factor.any():
            is_mask = float(np.abs(factor).max()) >= MASK_GAP and _is_input(d, x)
            (masks if is_mask else scores).append((x, factor))
    return masks, scores


def _is_input(d: GraphBuilder, x: str) -> bool:
    """Return whether a tensor is boolean, or computed elementwise from network inputs only."""
    node = producer(d, x)
    if node is None or is_truth(d, x):
        return True
    pointwise = node.op in POINTWISE or OPS[node.op].is_data_movement
    return pointwise and all(_is_input(d, name) for name in node.inputs)


def _find_masked_elements(added: Array, axis: int) -> Array:
    """Return bool per element: whether it is below the first MASK_GAP in its sorted row."""
    falling, n = -np.sort(-added, axis=axis), added.shape[axis]
    above, below = falling.take(range(n - 1), axis), falling.take(range(1, n), axis)
    with np.errstate(invalid="ignore"):
        edges = np.where(above - below >= MASK_GAP, above, -math.inf)
    return np.asarray(added < edges.max(axis=axis, keepdims=True, initial=-math.inf))


def _mask_operand(d: GraphBuilder, visible: Array, inputs: Sequence[str], shape: Shape) -> str:
    """Return a mask operand of ones and zeros with full rank, of extent 1 along leading axes if
    possible."""

    def broadcast_shape(own: Shape) -> Shape:
        first = next((len(shape) - len(own) + at for at, n in enumerate(own) if n > 1), len(shape))
        return (1,) * first + shape[first:]

    constant = np.broadcast_to(visible.astype(np.float32), broadcast_shape(visible.shape))
    masks = [full(d, x, ranked(d.shape(x), len(shape))) for x in inputs]
    masks += [] if masks and visible.all() else [d.constant(constant)]
    product = functools.reduce(functools.partial(d.add, "mul"), masks)
    return full(d, product, broadcast_shape(d.shape(product)))


def _visible_keys(d: GraphBuilder, mask: Term) -> str:
    """Return a tensor that is 1 for keys that a mask leaves visible."""
    x, factor = mask
    there = factor != 0.0
    numbers = factor[there]
    if len(np.unique(np.sign(numbers))) > 1 or float(np.abs(numbers).min()) < MASK_GAP:
        raise Unsupported(MIXED)
    if there.all():
        return x if numbers[0] > 0.0 else once(d, "table", x, chain=NOT)
    hides = once(d, "table", x, chain=NOT) if numbers[0] > 0.0 else x
    hides = d.add("mul", hides, d.constant(there.astype(np.float32)))
    return d.add("table", hides, chain=NOT)


def unmasked(d: GraphBuilder, scores: Sequence[Term], bias: Array, hidden: Array = NOWHERE) -> str:
    """Add up scores and a bias, which is clipped to its range over visible keys; return the sum's
    name, "" if there is neither.

    scores   (tensor, factor) pairs
    hidden   positions of hidden keys
    """
    left = bias[np.broadcast_to(~hidden, bias.shape)]
    bias = narrow(np.where(hidden, np.clip(0.0, left.min(), left.max()), bias))
    parts = [_add_term(d, term, hidden) for term in scores if term[1].any()]
    parts += [d.constant(bias)] if bias.any() else []
    return functools.reduce(functools.partial(d.add, "add"), parts) if parts else ""


def _add_term(d: GraphBuilder, term: Term, hidden: Array) -> str:
    """Return a term as a tensor, tensor * factor; its values at hidden keys are arbitrary."""
    x, factor = term
    there = factor != 0.0
    numbers = np.unique(factor[there])
    if numbers.size > 1:
        return d.add("mul", x, d.constant(factor))
    if numbers[0] != 1.0:
        x = once(d, "table", x, chain=(("affine", float(numbers[0]), 0.0),))
    return x if (hidden | there).all() else d.add("mul", x, d.constant(there.astype(np.float32)))


def addends(d: GraphBuilder, name: str) -> Sum:
    """Return a tensor as a sum of scaled tensors and a constant, looking through the operators that
    compute it."""
    needed = {name}
    nodes: list[Node] = []
    for node in reversed(d.nodes):
        if node.name in needed:
            nodes.append(node)
            follows = node.op in POINTWISE or OPS[node.op].is_data_movement
            needed.update(node.inputs if follows else ())
    sums = {x: Sum((), c.astype(np.float64)) for x, c in d.arrays.items() if x in needed}
    for node in reversed(nodes):
        with np.errstate(all="ignore"):
            total = _sum_of_node(d, node, sums)
        if total is not None and len(total.terms) <= TERMS_MAX:
            sums[node.name] = total
    return sums.get(name, Sum(((name, ONE),)))


def _sum_of_node(d: GraphBuilder, node: Node, sums: Mapping[str, Sum]) -> Sum | None:
    """Return the sum that a node computes; None if it does more than add, scale by constants or
    move."""
    parts = [sums.get(x, Sum(((x, ONE),))) for x in node.inputs]
    if node.op in ("add", "sub"):
        return parts[0] + (parts[1] if node.op == "add" else parts[1].times(-ONE))
    if node.op == "mul":
        x, factor = sorted(node.inputs, key=lambda name: name in d.constants)
        by = d.find_array(factor)
        return None if by is None else sums.get(x, Sum(((x, ONE),))).times(by.astype(float))
    if node.op == "table" and len(node.attrs["chain"]) == 1:
        return _sum_after_function(node.attrs["chain"][0], parts[0])
    return _move_terms(d, node, parts) if OPS[node.op].is_data_movement else None


def _sum_after_function(step: tuple[Any, ...], x: Sum) -> Sum | None:
    """Return a sum after a function that scales, shifts or limits it from below like a mask; None
    for other functions."""
    name, *numbers = step
    if name == "affine":
        return x.times(np.float64(numbers[0]) * ONE) + Sum((), numbers[1] * ONE)
    if name == "clamp" and numbers[0] <= -MASK_GAP and numbers[1] == np.inf:
        return Sum(x.terms, np.maximum(x.known, numbers[0]))
    return None


def _move_terms(d: GraphBuilder, node: Node, parts: Sequence[Sum]) -> Sum | None:
    """Move every term through a layout operator; several inputs must have at most one term each."""
    shapes = [d.shape(x) for x in node.inputs]
    known = _move_constants(
        node, [part.known for part in parts], shapes, node.attrs.get("value", 0.0)
    )
    rows: list[tuple[Term, ...]] = [(term,) for term in parts[0].terms]
    if len(parts) > 1 and any(part.terms for part in parts):
        if max(len(part.terms) for part in parts) > 1:
            return None
        none = [(d.constant(np.zeros(shape)), 0.0 * ONE) for shape in shapes]
        rows = [tuple((*part.terms, n)[0] for part, n in zip(parts, none, strict=True))]
    return Sum(tuple(_moved_term(d, node, row, shapes) for row in rows), known)


def _moved_term(d: GraphBuilder, node: Node, row: Sequence[Term], shapes: Sequence[Shape]) -> Term:
    """Return the term after a layout operator, from one term per input."""
    tensors = [full(d, x, shape) for (x, _), shape in zip(row, shapes, strict=True)]
    attrs = {**node.attrs, "value": 0.0} if "value" in node.attrs else node.attrs
    factor = _move_constants(node, [factor for _, factor in row], shapes, 0.0)
    return once(d, node.op, *tensors, **attrs), factor


def _move_constants(
    node: Node, arrays: Sequence[Array], shapes: Sequence[Shape], around: float
) -> Array:
    """Apply a layout operator to constants, keeping extent 1 along axes without variation."""
    first = arrays[0]
    alike = all(x.ndim == 0 and x == first for x in arrays)
    if alike and ("value" not in node.attrs or float(first) == around):
        return first
    operands = (np.broadcast_to(x, shape) for x, shape in zip(arrays, shapes, strict=True))
    return narrow(np.asarray(OPS[node.op].real({**node.attrs, "value": around}, *operands)))


def narrow(value: Array) -> Array:
    """Reduce axes of an array along which all elements are equal to size 1."""
    for axis in range(value.ndim):
        first = value.take([0], axis)
        value = first if (value == first).all() else value
    return value


def full(d: GraphBuilder, x: str, shape: Shape) -> str:
    """Broadcast a tensor to a shape."""
    full = ranked(d.shape(x), len(shape))
    x = x if d.shape(x) == full else once(d, "reshape", x, shape=full)
    return x if full == shape else once(d, "expand", x, shape=shape)


def once(d: GraphBuilder, op: str, *inputs: str, **attrs: Any) -> str:
    """Add a node, or return an existing equal one."""
    equal = (n.name for n in d.nodes if (n.op, n.inputs, n.attrs) == (op, inputs, attrs))
    return next(equal, None) or d.add(op, *inputs, **attrs)
