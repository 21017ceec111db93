# SPDX-License-Identifier: Apache-2.0
"""Softmax, log-softmax and argmax over one axis, integer only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import SumRequant, choose_sum_requant
from myoedge.operators.base import (
    OpDef,
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    outer_inner,
    register,
)
from myoedge.operators.common_rules import (
    all_beside_axis,
    as_in_floats,
    axis_permuted,
    beside_axis,
    elementwise,
    masked_scores,
    same_shape,
    stored_bound,
)
from myoedge.operators.elementwise.tiling import Loop, axes_of, rows_tile
from myoedge.operators.kernel import OUT, Dim, Operand, TiledKernel, on_cluster
from myoedge.operators.pool import reduce
from myoedge.targets.chip import Engine

EXP_ONE = 2**15  # exp(0) in the table of exponentials
ROW_MAX = 2**15  # elements of a row: their sum stays below 2**31
LOG_ONE = 2**12  # ln is kept in Q12: at most 15 ln 2 = 42,587


def softmax_real(attrs: Attrs, x: Array, *mask: Array) -> Array:
    """mask   1 where a row sees an element, 0 where not: alike along leading axes, then as x
    attrs["flat"]   a row that sees nothing has equal shares, not those of x
    """
    x = masked_scores(attrs, x, mask[0]) if mask else x
    shifted = np.exp(x - x.max(axis=attrs["axis"], keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=attrs["axis"], keepdims=True))


def log_softmax_real(attrs: Attrs, x: Array) -> Array:
    shifted = x - x.max(axis=attrs["axis"], keepdims=True)
    total = np.exp(shifted).sum(axis=attrs["axis"], keepdims=True)
    return np.asarray(shifted - np.log(total))


def exp_table(scale: float) -> Array:
    """int32 [256]: exp(-scale * d) in Q15 for the distances d = 0 .. 255 from the row's maximum."""
    return np.asarray(np.rint(EXP_ONE * np.exp(-scale * np.arange(256.0))), np.int32)


def _rows(step: QuantizedNode, x: Array) -> Array:
    """x with the axis last, as int64."""
    return np.moveaxis(x, step.attrs["axis"], -1).astype(np.int64)


def _exponentials(
    step: QuantizedNode, rows: Array, seen: Array
) -> tuple[Array, Array, Array, Array]:
    """Distances from the maximum, exponentials, sum >> halvings in [2**15, 2**16), halvings.

    rows   int64 [.., n]      seen   bool, broadcast: elsewhere the exponential is 0
    """
    distance = np.where(seen, rows, -128).max(axis=-1, keepdims=True) - rows
    e = np.where(seen, step["exp"].astype(np.int64)[np.maximum(distance, 0)], 0)
    total = e.sum(axis=-1, keepdims=True)
    halvings = np.frexp(total.astype(np.float64))[1].astype(np.int64) - 16
    return distance, e, total >> halvings, halvings


def softmax_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    return QuantizedParams(
        {"acc_bound": EXP_ONE * inputs.shapes[0][inputs.attrs["axis"]]},
        {"exp": exp_table(inputs.params(0).scale)},
    )


def softmax_integer(step: QuantizedNode, x: Array, *mask: Array) -> Array:
    """x int8, mask int8: below 0 where hidden -> int8 with scale 1/256 and zero point -128;
    unsigned 32-bit arithmetic."""
    rows, seen = _rows(step, x), np.ones((), bool)
    if mask:
        seen = _rows(step, np.broadcast_to(mask[0], x.shape)) >= 0
        blind = ~seen.any(axis=-1, keepdims=True)
        seen, rows = seen | blind, np.where(blind & bool(step.attrs.get("flat")), 0, rows)
    _, e, mantissa, halvings = _exponentials(step, rows, seen)
    inverse = 2**31 // mantissa
    probability = (((e * inverse) >> 15) + (1 << (7 + halvings))) >> (8 + halvings)
    y = np.minimum(probability - 128, 127).astype(np.int8)
    return np.moveaxis(y, -1, step.attrs["axis"])


def _rows_in_tiles(
    step: QuantizedNode,
    engine: Engine,
    kernel: str,
    op: Mapping[str, int | str],
    arrays: Mapping[str, Array],
) -> TiledKernel:
    """Cut around and within the axis."""
    outer, length, inner = outer_inner(step.shapes[0], step.attrs["axis"])
    axes, (inside,) = axes_of((Loop(inner, (1,)),))
    around: Dim = (("o", 1),)
    index: tuple[Dim, ...] = (around, (), inside)
    x = Operand("x", 0, (outer, length, inner), index)
    y = Operand("y", OUT, (outer, length, inner), index)
    if kernel == "me_argmax_s8":
        y = Operand("y", OUT, (outer, inner), (around, inside), itemsize=4)
    tables = (Operand.whole(name, array) for name, array in arrays.items())
    return TiledKernel(
        function=kernel,
        axes={"o": outer, **axes},
        split=("o", "i0"),
        operands=(x, *tables, y),
        op={"length": length, **op},
        tile=rows_tile,
        work=lambda sizes: -(-x.footprint(sizes) // length // engine.cores) * (length + 6),
    )


def softmax_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    exp = step["exp"].astype(np.uint16)
    if len(step.shapes) > 1:
        return _masked_in_tiles(step, engine, exp)
    return _rows_in_tiles(step, engine, "me_softmax_s8", {"exp": "@exp"}, {"exp": exp})


def _masked_in_tiles(step: QuantizedNode, engine: Engine, exp: Array) -> TiledKernel:
    """Rows by repetition of the mask and by its own rows."""
    outer, length, inner = outer_inner(step.shapes[0], step.attrs["axis"])
    rows = math.prod(step.shapes[1][: step.attrs["axis"] % len(step.out)])
    axes, (inside,) = axes_of((Loop(inner, (1,)),))
    index: tuple[Dim, ...] = ((("repeat", 1),), (("row", 1),), (), inside)
    whole = (outer // rows, rows, length, inner)
    x = Operand("x", 0, whole, index)
    return TiledKernel(
        function="me_masked_softmax_s8",
        axes={"repeat": outer // rows, "row": rows, **axes},
        split=("repeat", "row", "i0"),
        operands=(
            x,
            Operand("mask", 1, whole[1:], index[1:]),
            Operand.whole("exp", exp),
            Operand("y", OUT, whole, index),
        ),
        op={"length": length, "exp": "@exp", "flat": int(bool(step.attrs.get("flat")))},
        tile=lambda regions: {
            **{name: f"@{name}" for name in ("x", "mask", "y")},
            **dict(zip(("repeats", "rows"), regions["x"].extent[:2], strict=True)),
            "inner": regions["x"].extent[3],
        },
        work=lambda sizes: -(-x.footprint(sizes) // length // engine.cores) * (2 * length + 6),
    )


SOFTMAX = register(
    OpDef(
        name="softmax",
        doc="softmax over one axis of up to 32,768 elements, masked; output in steps of 1/256",
        shape=same_shape,
        nest=elementwise,
        real=softmax_real,
        integer=softmax_integer,
        quantize=softmax_quantize,
        acc_bound=stored_bound,
        kernels=on_cluster(softmax_in_tiles),
        fixed_params=QuantParams(2.0**-8, -128),
        broadcast_inputs={1: None},
        # a mask is alike along leading axes, which a permutation may move
        permute_rule=lambda a, perm: None if a.get("masked") else axis_permuted(a, perm),
        streaming_rule=all_beside_axis,
    )
)


def log_softmax_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    """y = (distance * mult + ln(sum) * log_mult + offset) >> shift.

    log   int32 [256]: ln(1 + (i + 1/2) / 256) in Q12
    """
    x, y = inputs.params(0), inputs.target
    real = (-x.scale / y.scale, -1.0 / (LOG_ONE * y.scale))
    c = choose_sum_requant(real, (255, 16 * LOG_ONE), (0, 0), y.zero_point)
    scalars = {"mult": c.mult[0], "log_mult": c.mult[1], "offset": c.offset, "shift": c.shift}
    bound = max(
        EXP_ONE * inputs.shapes[0][inputs.attrs["axis"]],
        255 * -c.mult[0] + 16 * LOG_ONE * -c.mult[1] + abs(c.offset),
    )
    log_table = np.rint(LOG_ONE * np.log1p((np.arange(256) + 0.5) / 256))
    arrays = {"exp": exp_table(x.scale), "log": log_table.astype(np.int32)}
    return QuantizedParams(
        {**scalars, "ln2": round(LOG_ONE * math.log(2.0)), "acc_bound": bound}, arrays
    )


def log_softmax_integer(step: QuantizedNode, x: Array) -> Array:
    """x int8 -> int8."""
    distance, _, mantissa, halvings = _exponentials(step, _rows(step, x), np.ones((), bool))
    log_sum = step["log"][(mantissa >> 7) - 256] + halvings * step["ln2"]
    c = SumRequant((step["mult"], step["log_mult"]), step["offset"], step["shift"])
    y = c.apply((distance, np.broadcast_to(log_sum, distance.shape)), step.low, step.high)
    return np.moveaxis(y, -1, step.attrs["axis"])


def log_softmax_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    arrays = {"exp": step["exp"].astype(np.uint16), "log": step["log"].astype(np.int16)}
    numbers = {n: step[n] for n in ("ln2", "mult", "log_mult", "offset", "shift")}
    op = {"exp": "@exp", "log": "@log", **numbers, "low": step.low, "high": step.high}
    return _rows_in_tiles(step, engine, "me_log_softmax_s8", op, arrays)


LOG_SOFTMAX = register(
    OpDef(
        name="log_softmax",
        doc="log-softmax over one axis of up to 32,768 elements",
        shape=same_shape,
        nest=elementwise,
        real=log_softmax_real,
        integer=log_softmax_integer,
        quantize=log_softmax_quantize,
        acc_bound=stored_bound,
        kernels=on_cluster(log_softmax_in_tiles),
        permute_rule=axis_permuted,
        streaming_rule=beside_axis,
    )
)


def argmax_real(attrs: Attrs, x: Array) -> Array:
    """int32 index of the first maximum."""
    y = np.argmax(x, axis=attrs["axis"], keepdims=attrs["keepdim"])
    return np.asarray(y, np.int32)


ARGMAX = register(
    OpDef(
        name="argmax",
        doc="index of the first maximum over one axis, int32; an output of the network",
        shape=reduce.shape,
        nest=reduce.nest,
        real=argmax_real,
        integer=as_in_floats(argmax_real),
        kernels=on_cluster(partial(_rows_in_tiles, kernel="me_argmax_s8", op={}, arrays={})),
        out_dtype="int32",
        streaming_rule=reduce.streaming_rule,
    )
)
