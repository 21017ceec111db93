# SPDX-License-Identifier: Apache-2.0
"""Attention of operands of 16 bits: products in 64 bits, exponentials in 15."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, round_up
from myoedge.numerics.element_type import INT16
from myoedge.numerics.fixed_point import INT32_MAX, exact_matmul, shifted_right
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.attention.geometry import added, in_window, seen, sizes_of
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs
from myoedge.operators.kernel import Operand, Sizes, TiledKernel
from myoedge.targets.chip import Engine

EXP_ONE = 2**15 - 1  # the exponential of the largest score of a row
EXP_STEP = 2.0**-12  # between entries of the table; of its far part 256 of them
ENTRY_MAX = 2**16 - 1
SUM_BITS, BIAS_BITS = 29, 28  # of a sum of products and of a bias, besides the sign
DROP_MAX = 47
DISTANCE_BITS = 15  # behind the point of the factor from distances to entries
RATIO_MAX = 2.0**14
FACTOR_MAX = 2**15  # of values less their zero point, which kernels keep in 16 bits
TOO_LARGE = 2**32  # bound where these do not: E117
WIDTHS = ("q_wide", "k_wide", "v_wide", "bias_wide", "y_wide")
# Words of two taps that take as long as what is around a sum, an exponential, a row
AROUND, EXPONENTIAL, ROW = 8.0, 6.0, 20.0


def is_wide(step: QuantizedNode) -> bool:
    return "drop" in step.integers.scalars


def quantize(inputs: QuantizeInputs) -> QuantizedParams | None:
    """Scores in units that the exponentials' table and 31 bits allow; None where all operands have
    8 bits."""
    q, k, v = (inputs.params(i) for i in range(3))
    at, y = added(inputs.attrs, inputs.shapes), inputs.target
    bias = inputs.params(at["bias"]) if "bias" in at else QuantParams(0.0, 0)
    widths = [int(x.element_type == INT16) for x in (q, k, v, bias)]
    if not any(widths):
        return None
    bias_bits = BIAS_BITS - (bias.element_type.bits - 1)
    unit = q.scale * k.scale * inputs.attrs["scale"]
    bound = inputs.shapes[0][3] << (q.element_type.bits + k.element_type.bits - 2)
    coarse = max(EXP_STEP / 8, bias.scale / 2**bias_bits) / max(unit, 2.0**-100)
    drop = min(max(bound.bit_length() - SUM_BITS, math.ceil(math.log2(coarse)), 0), DROP_MAX)
    unit *= 2.0**drop
    numbers = {
        "drop": drop,
        **_bias(bias.scale / unit, bias_bits),
        **_distance(unit / EXP_STEP),
        **_share(v, y),
        "v_zero": v.zero_point,
        "zero": y.zero_point,
        **dict(zip(WIDTHS, (*widths, int(y.element_type == INT16)), strict=True)),
    }
    reach = v.reach if v.element_type == INT16 else 0
    numbers["acc_bound"] = (
        TOO_LARGE if reach > FACTOR_MAX else 2 ** (SUM_BITS + 1) + 2 ** (BIAS_BITS + 1)
    )
    return QuantizedParams(numbers, exp_tables())


def exp_tables() -> dict[str, Array]:
    """uint16 [256] each, exponentials of distances by their lower and their upper eight bits."""
    at = np.arange(256.0) * EXP_STEP
    return {
        "exp": np.asarray(np.rint(EXP_ONE * np.exp(-at)), np.uint16),
        "exp_far": np.asarray(np.rint((EXP_ONE + 1) * np.exp(-256 * at)), np.uint16),
    }


def _bias(ratio: float, bits: int) -> dict[str, int]:
    """(multiplier, shift) to scores: the multiplier has so many bits at most."""
    shift = int(np.clip(bits - math.frexp(ratio)[1], 0, 30))
    return {"bias_mult": min(round(math.ldexp(ratio, shift)), 2**bits), "bias_shift": shift}


def _distance(factor: float) -> dict[str, int]:
    """entry = (min(distance, most) * mult + half >> DISTANCE_BITS), the last one for `most`."""
    largest = ENTRY_MAX << DISTANCE_BITS
    mult = min(max(round(math.ldexp(factor, DISTANCE_BITS)), 1), largest)
    return {"mult": mult, "most": -(-largest // mult)}


def _share(v: QuantParams, y: QuantParams) -> dict[str, int]:
    """q = ((acc >> (top - 14)) * (share / sum') >> 16) + half >> out_shift, where sum' has 16
    bits."""
    ratio = min(v.scale / y.scale, RATIO_MAX)
    shift = int(np.clip(14 - math.frexp(ratio)[1], 0, 30))
    return {"share": min(round(math.ldexp(ratio, shift + 17)), INT32_MAX), "out_shift": shift}


def integer(step: QuantizedNode, q: Array, k: Array, v: Array, *more: Array) -> Array:
    """q, k, v, bias int8 or int16, mask int8: below 0 where hidden -> int8 or int16."""
    scores = exact_matmul(q.swapaxes(1, 2), k.transpose(0, 2, 3, 1)) >> step["drop"]
    if "bias" in added(step.attrs, step.shapes):
        scores = scores + (more[0].astype(np.int64) * step["bias_mult"] >> step["bias_shift"])
    e = _exponentials(step, scores, *(more[-1:] if step.attrs.get("masked") else ()))
    values = v[..., : k.shape[1]].astype(np.int64) - step["v_zero"]
    total = e.sum(axis=-1, keepdims=True)
    top = np.frexp(total.astype(np.float64))[1].astype(np.int64) - 1
    sums = exact_matmul(e, values.swapaxes(2, 3)) >> (top - 14)
    half = (1 << step["out_shift"]) >> 1
    y = (sums * (step["share"] // shifted_right(total, top - 15)) >> 16) + half >> step["out_shift"]
    limited = np.clip(y + step["zero"], step.low, step.high).astype(step.element_type.dtype)
    return np.ascontiguousarray(limited.swapaxes(1, 2))


def _exponentials(step: QuantizedNode, scores: Array, *mask: Array) -> Array:
    """int64 [B, H, N, M] in 15 bits; a row of which the mask hides all keys sees all of them."""
    window = in_window(step.attrs, *scores.shape[-2:])
    shown = window & (mask[0] >= 0) if mask else window
    blind = ~shown.any(axis=-1, keepdims=True)
    shown = shown | (blind & window)
    scores = np.where(blind & bool(step.attrs.get("flat")), 0, scores)
    largest = np.where(shown, scores, -INT32_MAX).max(axis=-1, keepdims=True)
    distance = np.clip(largest - scores, 0, step["most"]) * step["mult"]
    at = np.minimum((distance + (1 << (DISTANCE_BITS - 1))) >> DISTANCE_BITS, ENTRY_MAX)
    near, far = (step[name].astype(np.int64) for name in ("exp", "exp_far"))
    return np.where(shown, (near[at & 255] * far[at >> 8] + 2**14) >> 15, 0)


def in_tiles(step: QuantizedNode, engine: Engine, tiled: TiledKernel) -> TiledKernel:
    """tiled   loops and operands, as all kernels have them"""
    sizes = {name.removesuffix("_wide"): 1 + step[name] for name in WIDTHS}
    numbers = ("drop", "bias_mult", "bias_shift", "mult", "most", "share", "out_shift", "zero")
    tables = [Operand.whole(name, step[name]) for name in ("exp", "exp_far")]
    *read, y = (replace(x, itemsize=sizes.get(x.name, x.itemsize)) for x in tiled.operands)
    return replace(
        tiled,
        function="me_attention_s16",
        operands=(*read, *tables, y),
        op={
            **tiled.op,
            **{name: step[name] for name in (*WIDTHS, *numbers, "v_zero")},
            "low": step.low,
            "high": step.high,
            "exp.near": "@exp",
            "exp.far": "@exp_far",
        },
        scratch=lambda tile: _scratch(step, tile),
        work=lambda tile: _work(step, engine.cores, tile),
    )


def _scratch(step: QuantizedNode, tile: Sizes) -> Any:
    """Bytes: scores, then exponentials and sums in their place; divisors; copies of what has 8 bits
    or a zero point."""
    sizes = sizes_of(step)
    filled, width, columns = round_up(sizes["keys"], 4), sizes["width"], sizes["out_width"]
    keys = tile["h"] * np.minimum(4 * tile["keys"], filled)
    own = {"q": tile["h"] * tile["row"] * width, "k": keys * width, "v": keys * columns}
    is_copied = {**{name: not step[f"{name}_wide"] for name in "qk"}, "v": copies_values(step)}
    copies = sum(2 * own[name] for name in own if is_copied[name])
    return tile["h"] * tile["row"] * (max(4 * filled, 2 * filled + 8 * columns) + 8) + copies


def copies_values(step: QuantizedNode) -> bool:
    return not step["v_wide"] or bool(step["v_zero"])


def _work(step: QuantizedNode, cores: int, tile: Sizes) -> Any:
    """Words of two taps of the sums of a core, of the keys that its rows see, and exponentials."""
    sizes = sizes_of(step)
    first, end = seen(step.attrs, sizes["rows"], sizes["keys"])
    keys = float(np.mean(end - first))
    rows, part = (
        -(-tile["h"] * tile["row"] // cores),
        tile["keys"] / (round_up(sizes["keys"], 4) // 2),
    )
    scores = keys * (sizes["width"] / 2 + AROUND)
    values = sizes["out_width"] * (keys / 2 + AROUND)
    return rows * (scores + values + keys * EXPONENTIAL + ROW) * part
