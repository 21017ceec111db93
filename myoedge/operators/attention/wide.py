# SPDX-License-Identifier: Apache-2.0
"""Attention with int16 operands: int32 sums of products, 15-bit exponentials, results scaled in
int64."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, round_up
from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import INT32_MAX, exact_matmul, shifted_right
from myoedge.operators.attention.operands import added, in_window, seen, sizes_of
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs
from myoedge.operators.kernel import Operand, Sizes, TiledKernel
from myoedge.targets.chip import Engine

EXP_BITS = 15
EXP_ONE = 2**EXP_BITS - 1  # exponential of a row's largest score
EXP_STEP = 2.0**-12  # step of the table "exp" in exponents; 256 times that for "exp_far"
ENTRY_MAX = 2**16 - 1
SUM_BITS, BIAS_BITS = 30, 29  # bits of a sum of products and of a bias, without the sign
VALUE_BITS, SHARES_BITS = 12, 19  # bits of a value without the sign, and of a sum of exponentials
DISTANCE_BITS = 15  # fraction bits of the factor from distances to table indices
RATIO_MAX = 2.0**14
ACC_BOUND = 2**31 - 2**VALUE_BITS
NAMES = ("q", "k", "v", "bias")  # operands that may be int16
DROPS = ("q_drop", "k_drop", "v_drop")
# Cycles per word of 4 x 4 sums; words per block; cycles per key, result, row, copied element.
WORD, BLOCK, EXPONENTIAL, SCALED, ROW, COPY = 26.0, 3.0, 27.0, 14.0, 250.0, 4.7


@dataclass(frozen=True, slots=True, kw_only=True)
class WideAttentionParams(QuantizedParams):
    """Integer constants of attention if an operand or the result is int16.

    q_drop, k_drop, v_drop   low bits dropped from the operands before they are multiplied
    bias_mult, bias_shift   conversion of a bias to score steps
    distance_drop, mult, most   table index of a score: min(distance >> distance_drop, most) * mult,
                                in Q15, with the distance from the row's largest score
    share, out_shift   scaling of the weighted sums of values to output steps
    v_zero, zero       zero points of v and of the result
    exp, exp_far       uint16 [256], exponentials by the lower and by the upper eight bits of the
                       index
    """

    q_drop: int
    k_drop: int
    v_drop: int
    bias_mult: int
    bias_shift: int
    distance_drop: int
    mult: int
    most: int
    share: int
    out_shift: int
    v_zero: int
    zero: int
    acc_bound: int
    exp: Array
    exp_far: Array


def is_wide(step: QuantizedNode) -> bool:
    return isinstance(step.integers, WideAttentionParams)


def quantize(inputs: QuantizeInputs) -> WideAttentionParams | None:
    """Return the integer constants of attention with int16 operands; None if all operands are int8.

    A score step is the product of the scales of q and k, times 2 for every dropped low bit.
    """
    q, k, v = (inputs.params(i) for i in range(3))
    at, y = added(inputs.attrs, inputs.shapes), inputs.target
    bias = inputs.params(at["bias"]) if "bias" in at else QuantParams(0.0, 0)
    if all(x.element_type != INT16 for x in (q, k, v, bias)):
        return None
    bias_bits = BIAS_BITS - (bias.element_type.bits - 1)
    least, product = bias.scale / 2**bias_bits, q.scale * k.scale * inputs.attrs["scale"]
    q_drop, k_drop = _dropped_bits(q, k, inputs.shapes[0][3], least / max(product, 2.0**-100))
    v_drop = max((v.reach - 1).bit_length() - VALUE_BITS, 0)
    unit = max(math.ldexp(product, q_drop + k_drop), least, 2.0**-100)
    ratio = bias.scale / unit
    shift = int(np.clip(bias_bits - math.frexp(ratio)[1], 0, 30))
    # Constants for index = min(distance >> distance_drop, most) * mult + half >> DISTANCE_BITS;
    # `most` gives the last entry
    factor = unit / EXP_STEP
    drop = int(np.clip(-2 - math.frexp(factor)[1], 0, 31))
    largest = ENTRY_MAX << DISTANCE_BITS
    mult = min(max(round(math.ldexp(factor, DISTANCE_BITS + drop)), 1), largest)
    # Constants for q = ((acc >> (top - 14)) * (share / sum') >> 16) + half >> out_shift, with the
    # sum of exponentials sum' in 16 bits
    share = min(math.ldexp(v.scale / y.scale, v_drop), RATIO_MAX)
    out_shift = int(np.clip(14 - math.frexp(share)[1], 0, 30))
    numbers: dict[str, Any] = {
        **dict(zip(DROPS, (q_drop, k_drop, v_drop), strict=True)),
        "bias_mult": min(round(math.ldexp(ratio, shift)), 2**bias_bits),
        "bias_shift": shift,
        "distance_drop": drop,
        "mult": mult,
        "most": -(-largest // mult),
        "share": min(round(math.ldexp(share, out_shift + 17)), INT32_MAX),
        "out_shift": out_shift,
        "v_zero": v.zero_point,
        "zero": y.zero_point,
    }
    return WideAttentionParams(**numbers, acc_bound=ACC_BOUND, **exp_tables())


def _dropped_bits(q: QuantParams, k: QuantParams, width: int, least: float) -> tuple[int, int]:
    """Return the numbers of low bits to drop from q and k, so that sums fit SUM_BITS.

    least   minimum size of a score step, in products of one step of q and k
    """
    whole = [x.element_type.bits - 1 for x in (q, k)]
    bits = [*whole]
    while sum(bits) + (width - 1).bit_length() > SUM_BITS or (
        2.0 ** (sum(whole) - sum(bits)) < least and any(bits)
    ):
        bits[bits[1] >= bits[0]] -= 1
    return whole[0] - bits[0], whole[1] - bits[1]


def exp_tables() -> dict[str, Any]:
    """Return the tables "exp" and "exp_far", uint16 [256]: exponentials by the lower and by the
    upper 8 bits of a table index; the product of two entries is the exponential."""
    at = np.arange(256.0) * EXP_STEP
    return {
        "exp": np.asarray(np.rint(EXP_ONE * np.exp(-at)), np.uint16),
        "exp_far": np.asarray(np.rint((EXP_ONE + 1) * np.exp(-256 * at)), np.uint16),
    }


def integer(step: QuantizedNode, q: Array, k: Array, v: Array, *more: Array) -> Array:
    """Compute attention with int16 operands -> int8 or int16 [B, N, H, E].

    Operands have the shapes of `definition.shape`; a mask is int8, negative for a hidden key.
    """
    q, k = _drop_bits(q, step.integers.q_drop), _drop_bits(k, step.integers.k_drop)
    scores = exact_matmul(q.swapaxes(1, 2), k.transpose(0, 2, 3, 1))
    if "bias" in added(step.attrs, step.shapes):
        scores = scores + (
            more[0].astype(np.int64) * step.integers.bias_mult >> step.integers.bias_shift
        )
    e = _compute_exponentials(step, scores, *(more[-1:] if step.attrs.get("masked") else ()))
    e = e >> np.maximum(_highest_bit(e.sum(axis=-1, keepdims=True)) + 1 - SHARES_BITS, 0)
    total = e.sum(axis=-1, keepdims=True)
    values = _drop_bits(v[..., : k.shape[1]], step.integers.v_drop, step.integers.v_zero)
    sums = exact_matmul(e, values.swapaxes(2, 3)) >> (_highest_bit(total) - 14)
    half = (1 << step.integers.out_shift) >> 1
    factor = step.integers.share // shifted_right(total, _highest_bit(total) - 15)
    y = ((sums * factor >> 16) + half >> step.integers.out_shift) + step.integers.zero
    limited = np.clip(y, step.low, step.high).astype(step.element_type.dtype)
    return np.ascontiguousarray(limited.swapaxes(1, 2))


def _drop_bits(x: Array, drop: int, zero: int = 0) -> Array:
    return (x.astype(np.int64) + (((1 << drop) >> 1) - zero)) >> drop


def _highest_bit(x: Array) -> Array:
    """Return the index of each element's highest set bit."""
    return np.frexp(x.astype(np.float64))[1].astype(np.int64) - 1


def _compute_exponentials(step: QuantizedNode, scores: Array, *mask: Array) -> Array:
    """Return 15-bit exponentials, int64 [B, H, N, M]; a fully masked row sees all keys."""
    window = in_window(step.attrs, *scores.shape[-2:])
    shown = window & (mask[0] >= 0) if mask else window
    blind = ~shown.any(axis=-1, keepdims=True)
    shown = shown | (blind & window)
    scores = np.where(blind & bool(step.attrs.get("flat")), 0, scores)
    largest = np.where(shown, scores, -INT32_MAX).max(axis=-1, keepdims=True)
    distance = (
        np.clip((largest - scores) >> step.integers.distance_drop, 0, step.integers.most)
        * step.integers.mult
    )
    at = np.minimum((distance + (1 << (DISTANCE_BITS - 1))) >> DISTANCE_BITS, ENTRY_MAX)
    near, far = (getattr(step.integers, name).astype(np.int64) for name in ("exp", "exp_far"))
    return np.where(shown, (near[at & 255] * far[at >> 8] + 2**14) >> 15, 0)


def element_types(step: QuantizedNode) -> dict[str, ElementType]:
    """Return the element types of the operands and of the result, by field name of the C struct."""
    at = {"q": 0, "k": 1, "v": 2, **added(step.attrs, step.shapes)}
    kinds = {name: step.read_type(at[name]) if name in at else INT8 for name in NAMES}
    return {**kinds, "y": step.element_type}


def in_tiles(step: QuantizedNode, engine: Engine, tiled: TiledKernel) -> TiledKernel:
    """Return the kernel for int16 operands, with the loops and operands of the int8 kernel
    `tiled`."""
    kinds = element_types(step)
    tables = [Operand.whole(name, getattr(step.integers, name)) for name in ("exp", "exp_far")]
    *read, y = (
        replace(x, itemsize=kinds[x.name].size_bytes) if x.name in kinds else x
        for x in tiled.operands
    )
    return replace(
        tiled,
        function="me_attention_s16",
        operands=(*read, *tables, y),
        op={
            **tiled.op,
            **{n: value for n, value in step.integers.scalars.items() if n != "acc_bound"},
            **{f"{name}_wide": int(kind == INT16) for name, kind in kinds.items()},
            "low": step.low,
            "high": step.high,
            "exp.near": "@exp",
            "exp.far": "@exp_far",
        },
        scratch=lambda tile: _tile_scratch_bytes(step, tile),
        work=lambda tile: _tile_work(step, engine.cores, tile),
    )


def _tile_scratch_bytes(step: QuantizedNode, tile: Sizes) -> Any:
    """Return the scratch bytes: scores, overwritten by exponentials and sums; divisors; converted
    copies of operands."""
    sizes = sizes_of(step)
    filled = round_up(sizes["keys"], 4)
    row_bytes = max(4 * filled, 2 * filled + 4 * sizes["out_width"]) + 8
    return tile["h"] * round_up(tile["row"], 4) * row_bytes + 2 * _copied_elements(step, tile)


def _copied_elements(step: QuantizedNode, tile: Sizes) -> Any:
    """Return how many elements of q, k and v a tile copies to another format: int8 operands, and
    operands with a zero point or dropped bits."""
    sizes = sizes_of(step)
    keys = tile["h"] * np.minimum(4 * tile["keys"], round_up(sizes["keys"], 4))
    own = {"q": tile["h"] * tile["row"] * sizes["width"], "k": keys * sizes["width"]}
    own["v"] = keys * sizes["out_width"]
    kinds = element_types(step)
    is_copied = {
        name: kinds[name] != INT16 or getattr(step.integers, f"{name}_drop") > 0 for name in own
    }
    return sum(
        own[name] for name in own if is_copied[name] or (name == "v" and step.integers.v_zero)
    )


def _tile_work(step: QuantizedNode, cores: int, tile: Sizes) -> Any:
    """Return a tile's work in cycles: words of 4 x 4 sums for the visible keys, exponentials,
    converted copies."""
    sizes = sizes_of(step)
    first, end = seen(step.attrs, sizes["rows"], sizes["keys"])
    keys, filled = float(np.mean(end - first)), round_up(sizes["keys"], 4)
    groups, part = tile["h"] * -(-tile["row"] // 4), tile["keys"] / (filled // 2)
    groups = np.where(groups < 24, -(-groups * 4 // cores) / 4, -(-groups // cores))
    words = keys / 4 * (sizes["width"] / 2 + BLOCK) + sizes["out_width"] / 4 * (keys / 2 + BLOCK)
    rows = -(-tile["h"] * tile["row"] // cores) * (
        keys * EXPONENTIAL + sizes["out_width"] * SCALED + ROW
    )
    return (groups * words * WORD + rows) * part + COPY * _copied_elements(step, tile) / cores
