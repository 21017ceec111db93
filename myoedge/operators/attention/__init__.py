# SPDX-License-Identifier: Apache-2.0
"""Attention as one operator: the scores stay in L1, exponentials have 8 or 12 bits, and the
division by their sum comes last."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import INT32_MAX, exact_matmul, shifted_right
from myoedge.operators.attention import wide
from myoedge.operators.attention.ne16 import on_ne16, resident_on_ne16, sees_all_keys
from myoedge.operators.attention.operands import (
    FINE_BITS,
    added,
    distance_numbers,
    exponentials_of,
    in_window,
    is_fine,
    looked_up,
    units_apart,
)
from myoedge.operators.attention.rotary import split
from myoedge.operators.attention.tiling import in_tiles
from myoedge.operators.attributes import (
    ANY_NUMBER,
    FLAG,
    POSITIVE,
    NodeSite,
    Values,
    are_whole,
    optional,
)
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs, add_operator
from myoedge.operators.common_rules import masked_scores
from myoedge.operators.elementwise import scaled
from myoedge.operators.format import EITHER, INT8_ALONE, Format
from myoedge.operators.kernel_formats import is_large, on_nine_cores
from myoedge.operators.library.ne16_rules import sums_on_ne16
from myoedge.operators.qdq import Write, Writer, reshaped, sliced, transposed, whole
from myoedge.operators.softmax import masked
from myoedge.operators.traits import ByHand, Constants, Operands

KEYS_MAX = 4096  # keys per row, so that sums of 12-bit exponentials fit 24 bits
BELOW = 2**29  # subtracted from the score of a hidden key
TOP = 7  # bits, after the first, of the divisor: the sum of exponentials, at least 255


def shape(attrs: Attrs, q: Shape, k: Shape, v: Shape, *more: Shape) -> Shape:
    """Return the result shape [B, N, H, E] of attention.

    q, k, v             shapes [B, N, H, D], [B, M, H, D] and [B, H, E, M padded to a multiple of 4]
    more                shapes of a bias, a mask, or both: [B or 1, H or 1, N, M]
    attrs["masked"]     whether the last operand is a mask: 1 for a visible key, 0 for a hidden one
    attrs["flat"]       whether a row whose keys are all hidden gets equal weights instead of the
                        softmax of its scores
    attrs["exp_bits"]   bits of exponentials if all operands are int8: 12, or 8
    Errors: ValueError if rows of v are not padded to words, or have fewer keys than k; if batch,
    heads or features of q, k and v differ, or a bias or mask has another shape.
    """
    if (q[0], *q[2:]) != (k[0], *k[2:]) or (q[0], q[2]) != v[:2]:
        raise ValueError(f"queries {list(q)}, keys {list(k)} and values {list(v)}")
    for x in more:
        if x[0] not in (1, q[0]) or x[1] not in (1, q[2]) or x[2:] != (q[1], k[1]):
            raise ValueError(f"a bias or mask {list(x)} beside {q[1]} rows and {k[1]} keys")
    if v[3] % 4 or v[3] < k[1]:
        raise ValueError(f"values in rows of {v[3]} beside {k[1]} keys")
    return (*q[:3], v[2])


def _is_window(value: Any, site: NodeSite) -> bool:
    return value is None or are_whole(value, 2, 0, INT32_MAX // 2)


ATTRIBUTES = {
    "scale": POSITIVE,
    "window": Values("keys before and after a row, or nothing", _is_window),
    "masked": optional(FLAG),
    "flat": optional(FLAG),
    "fill": optional(ANY_NUMBER),
    "exp_bits": Values("8 or 12", lambda value, _: value in (8, FINE_BITS), optional=True),
    "widths": Values(
        "two widths", lambda value, _: are_whole(value, 2, 1, INT32_MAX), optional=True
    ),
}


def products(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> int:
    """Return the number of multiply-accumulates for scores and values; masked ones count too.

    attrs["widths"]   features per head of (q and k, v), without the padding to words
    """
    (b, n, h, d), m = shapes[0], shapes[1][1]
    return b * n * h * m * sum(attrs.get("widths", (d, out[3])))


def scores_of(attrs: Attrs, q: Array, k: Array) -> Array:
    """Return the scores q k^T, float [B, H, N, M], before bias and mask; minus infinity outside the
    window."""
    scores = np.matmul(q.swapaxes(1, 2), k.transpose(0, 2, 3, 1))
    scores *= np.float32(attrs["scale"])
    if attrs["window"] is None:
        return np.asarray(scores)
    return np.where(in_window(attrs, q.shape[1], k.shape[1]), scores, -np.inf)


def real(attrs: Attrs, q: Array, k: Array, v: Array, *more: Array) -> Array:
    scores, at = scores_of(attrs, q, k), added(attrs, [q.shape] * (3 + len(more)))
    scores = scores + more[0] if "bias" in at else scores
    scores = masked_scores(attrs, scores, more[-1]) if "mask" in at else scores
    shares = scores - scores.max(axis=-1, keepdims=True)
    np.exp(shares, out=shares)
    shares /= shares.sum(axis=-1, keepdims=True)
    y = np.matmul(shares, v[..., : k.shape[1]].swapaxes(2, 3))
    return np.ascontiguousarray(y.swapaxes(1, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionParams(QuantizedParams):
    """Integer constants of attention with int8 operands.

    half, most, mult, shift   table index of a key's score, min(max - score + half, most) * mult >>
                              shift, where max is the row's largest score
    bias_mult, bias_shift   conversion of a bias to score steps
    share, offset, out_shift   scaling of the weighted sums of values to output steps
    acc_bound   largest |int32 intermediate|
    exp         table of exponentials, uint8 (12-bit entries as lower bytes, then upper bytes)
    units       score steps between table entries with 12-bit exponentials; None with 8-bit ones
    """

    half: int
    most: int
    mult: int
    shift: int
    bias_mult: int
    bias_shift: int
    share: int
    offset: int
    out_shift: int
    acc_bound: int
    exp: Array
    units: int | None = None


def quantize(inputs: QuantizeInputs) -> QuantizedParams:
    """Return the integer constants of attention.

    One score step is the product of the scales of q and k. The zero point of k adds the same number
    to all scores of a row, so that the softmax does not depend on it.
    """
    of_16_bits = wide.quantize(inputs)
    if of_16_bits is not None:
        return of_16_bits
    q, k, v = (inputs.params(i) for i in range(3))
    (_, _, _, width), keys = inputs.shapes[0], inputs.shapes[1][1]
    unit = q.scale * k.scale * inputs.attrs["scale"]
    exponentials = exponentials_of(inputs.attrs)
    at = added(inputs.attrs, inputs.shapes)
    bias_scale = inputs.params(3).scale if "bias" in at else 0.0
    if "mask" in at:  # hidden keys are past the end of the table
        unit = max(unit, exponentials.end / (BELOW / 4), bias_scale / 2**20)
    bias = 0, 0  # (multiplier, shift) from bias to score steps; 128 * multiplier fits 29 bits
    if "bias" in at:
        shift = int(np.clip(21 - math.frexp(bias_scale / unit)[1], 0, 30))
        bias = min(round(math.ldexp(bias_scale / unit, shift)), 2**21), shift
    hidden = BELOW if "mask" in at else 0
    bound = width * 128 * 128 + (128 * bias[0] >> bias[1]) + hidden
    units = exponentials.units(unit)
    distances = distance_numbers(units, exponentials.first_zero(units * unit), 2 * bound)
    numbers: dict[str, Any] = {**distances, **_probability_constants(v, inputs.target)}
    return AttentionParams(
        **numbers,
        bias_mult=bias[0],
        bias_shift=bias[1],
        acc_bound=max(2 * bound + 2**20, keys * exponentials.one * 128),
        units=units_apart(distances, units) if exponentials.is_fine else None,
        exp=exponentials.table(units * unit),
    )


def _probability_constants(v: QuantParams, y: QuantParams) -> dict[str, int]:
    """Return constants for q = ((acc >> h) * (share / sum') + offset) >> out_shift, with the sum of
    exponentials sum' in int16."""
    ratio = min(v.scale / y.scale, 2.0**14)
    for shift in range(23, -1, -1):
        share = round(math.ldexp(ratio, shift + 8))
        moved = y.zero_point - v.zero_point * ratio
        offset = round(math.ldexp(moved, shift)) + ((1 << shift) >> 1)
        if share <= 2**29 and abs(offset) <= 3 * 2**29:
            return {"share": share, "offset": offset, "out_shift": shift}
    raise AssertionError("a shift of 0 always fits")


def integer(step: QuantizedNode, q: Array, k: Array, v: Array, *more: Array) -> Array:
    """Compute attention in integers; return int8 or int16 [B, N, H, E].

    q, k, v   int8 or int16, with the shapes of `shape`
    more      a bias (int8 or int16), a mask (int8, negative for a hidden key), or both
    """
    if wide.is_wide(step):
        return wide.integer(step, q, k, v, *more)
    keys = k.shape[1]
    scores = exact_matmul(q.swapaxes(1, 2), k.transpose(0, 2, 3, 1), np.int32)
    at = added(step.attrs, step.shapes)
    if "bias" in at:
        scores = scores + (
            more[0].astype(np.int64) * step.integers.bias_mult >> step.integers.bias_shift
        )
    if "mask" in at:
        below = (0 if step.attrs.get("flat") else scores) - BELOW
        scores = np.where(more[-1] < 0, below, scores)
    e = _row_exponentials(step, scores.astype(np.int32, copy=False), q.shape[1])
    acc = exact_matmul(e, v[..., :keys].swapaxes(2, 3))
    total = e.sum(axis=-1, keepdims=True, dtype=np.int64)
    top = np.frexp(total.astype(np.float64))[1].astype(np.int64) - 1
    share = step.integers.share // shifted_right(total, top - 15)
    acc = acc + (1 << (top - TOP) >> 1) * is_fine(step)
    y = ((acc >> (top - TOP)) * share + step.integers.offset) >> step.integers.out_shift
    limited = np.clip(y, step.low, step.high).astype(step.element_type.dtype)
    return np.ascontiguousarray(limited.swapaxes(1, 2))


def _row_exponentials(step: QuantizedNode, scores: Array, rows: int) -> Array:
    """Return the exponentials of a row's scores, int32 [B, H, N, M]; differences of scores fit in
    int32 (acc_bound)."""
    if step.attrs["window"] is None:
        most, shown = scores.max(axis=-1, keepdims=True), scores
    else:
        visible = in_window(step.attrs, rows, scores.shape[-1])
        most = np.where(visible, scores, -INT32_MAX).max(axis=-1, keepdims=True)
        shown = np.where(visible, scores, most)
    distance = np.asarray(most + step.integers.half - shown)
    np.minimum(distance, step.integers.most, out=distance)
    distance *= step.integers.mult
    distance >>= step.integers.shift
    e = looked_up(step.integers.exp, distance, is_fine=is_fine(step))
    return e if step.attrs["window"] is None else np.where(visible, e, 0)


def _is_large(step: QuantizedNode) -> bool:
    return not wide.is_wide(step) and is_large(products(step.attrs, step.shapes, step.out))


ATTENTION = add_operator(
    name="attention",
    attributes=ATTRIBUTES,
    doc="softmax(q k^T * scale + bias) v for all heads; windows of keys, causal ones too",
    shape=shape,
    real=real,
    integer=ByHand(integer),
    constants=Constants(quantize, kinds=(AttentionParams, wide.WideAttentionParams)),
    kernels=(
        *on_nine_cores(in_tiles, _is_large, Format((EITHER,), EITHER, together=(0, 1, 2))),
        sums_on_ne16(
            lambda step, engine: on_ne16(in_tiles(step, engine), step), INT8_ALONE, sees_all_keys
        ),
        sums_on_ne16(
            lambda step, engine: resident_on_ne16(in_tiles(step, engine), step),
            INT8_ALONE,
            sees_all_keys,
        ),
    ),
    operands=Operands(symmetric=(0,), broadcast={3: 2, 4: 2}),
    macs=products,
)


def _write_attention(w: Writer, step: QuantizedNode, *xs: str) -> str:
    """Write the products and the softmax as ONNX nodes; masked keys get a large negative bias."""
    (_, rows, _, _), (_, keys, _, _) = step.shapes[:2]
    left, right = transposed(w, xs[0], 0, 2, 1, 3), transposed(w, xs[1], 0, 2, 3, 1)
    scores = scaled(w, w.node("MatMul", left, right), step.attrs["scale"], 0.0)
    at = added(step.attrs, step.shapes)
    scores = w.node("Add", scores, xs[at["bias"]]) if "bias" in at else scores
    scores = masked(w, step, scores, xs[at["mask"]]) if "mask" in at else scores
    if step.attrs["window"]:
        hidden = np.where(in_window(step.attrs, rows, keys), 0.0, -1e9)
        scores = w.node("Add", scores, w.constant(hidden.astype(np.float32)))
    v = sliced(w, xs[2], 0, keys, 3)
    shares = w.node("Softmax", scores, axis=-1)
    return transposed(w, w.node("MatMul", shares, transposed(w, v, 0, 1, 3, 2)), 0, 2, 1, 3)


def _write_rotary(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write a rotary embedding as ONNX nodes: split the pairs, rotate, concatenate."""
    cos, sin = (w.floats[n].astype(np.float32) for n in step.node.inputs[1:])
    shape, side = split(step.attrs, step.out, len(cos))
    both = reshaped(w, x, *shape)
    even, odd = (w.node("Gather", both, whole(w, i), axis=side) for i in (0, 1))
    c, s = (w.constant(np.expand_dims(t[None, :, None], side)) for t in (cos, sin))
    first = w.node("Sub", w.node("Mul", even, c), w.node("Mul", odd, s))
    second = w.node("Add", w.node("Mul", odd, c), w.node("Mul", even, s))
    return reshaped(w, w.node("Concat", first, second, axis=side), *step.out)


WRITE: Mapping[str, Write] = {"attention": _write_attention, "rotary": _write_rotary}
