# SPDX-License-Identifier: Apache-2.0
"""Tiling of softmax and log-softmax, masked or not, along the axes before and after the softmax
axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from myoedge.nest.flat import Loop
from myoedge.numerics.arrays import Array, outer_inner
from myoedge.operators.base import QuantizedNode
from myoedge.operators.elementwise.channels import rows_tile
from myoedge.operators.elementwise.tiling import axes_of
from myoedge.operators.kernel import OUT, AffineExpr, Operand, TiledKernel
from myoedge.targets.chip import Engine


def rows_in_tiles(
    step: QuantizedNode,
    engine: Engine,
    kernel: str,
    op: Mapping[str, int | str],
    arrays: Mapping[str, Array],
    per_row: int = 6,
) -> TiledKernel:
    """Return the tiled kernel of a softmax or similar; tiles divide the axes before and after the
    softmax axis.

    kernel    C function
    op        fields of its op struct
    arrays    its tables
    per_row   overhead of a row, in elements
    """
    outer, length, inner = outer_inner(step.shapes[0], step.attrs["axis"])
    axes, (inside,) = axes_of((Loop(inner, (1,)),))
    around: AffineExpr = (("o", 1),)
    index: tuple[AffineExpr, ...] = (around, (), inside)
    x = Operand("x", 0, (outer, length, inner), index, itemsize=step.read_type(0).size_bytes)
    y = Operand("y", OUT, (outer, length, inner), index, itemsize=step.element_type.size_bytes)
    tables = (Operand.whole(name, array) for name, array in arrays.items())
    return TiledKernel(
        function=kernel,
        axes={"o": outer, **axes},
        split=("o", "i0"),
        operands=(x, *tables, y),
        op={"length": length, **op},
        tile=rows_tile,
        work=lambda sizes: (
            -(-x.footprint(sizes) // (x.itemsize * length) // engine.cores) * (length + per_row)
        ),
    )


def softmax_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    exp = step.integers.exp.astype(np.uint16)
    if len(step.shapes) > 1:
        return _masked_in_tiles(step, engine, exp)
    return rows_in_tiles(step, engine, "me_softmax_s8", {"exp": "@exp"}, {"exp": exp}, 14)


def _masked_in_tiles(step: QuantizedNode, engine: Engine, exp: Array) -> TiledKernel:
    """Return the tiled kernel of a masked softmax; tiles divide the rows of the mask, and the
    groups of rows that share the mask (it is broadcast along leading axes).

    exp   table of exponentials

    Without a mask, all rows are one group.
    """
    outer, length, inner = outer_inner(step.shapes[0], step.attrs["axis"])
    masks = step.shapes[1:]
    rows = math.prod(masks[0][: step.attrs["axis"] % len(step.out)]) if masks else outer
    axes, (inside,) = axes_of((Loop(inner, (1,)),))
    index: tuple[AffineExpr, ...] = ((("repeat", 1),), (("row", 1),), (), inside)
    whole = (outer // rows, rows, length, inner)
    x = Operand("x", 0, whole, index)
    return TiledKernel(
        function="me_masked_softmax_s8",
        axes={"repeat": outer // rows, "row": rows, **axes},
        split=("repeat", "row", "i0"),
        operands=(
            x,
            *(Operand("mask", 1, whole[1:], index[1:]) for _ in masks),
            Operand.whole("exp", exp),
            Operand("y", OUT, whole, index),
        ),
        op={"length": length, "exp": "@exp", "flat": int(bool(step.attrs.get("flat")))},
        tile=lambda regions: {
            **{name: f"@{name}" for name in regions if name in ("x", "mask", "y")},
            **dict(zip(("repeats", "rows"), regions["x"].extent[:2], strict=True)),
            "inner": regions["x"].extent[3],
        },
        work=lambda sizes: -(-x.footprint(sizes) // length // engine.cores) * (2 * length + 6),
    )


def wide_softmax_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a softmax with int16 input or result, with the loops of the masked
    one."""
    tables = {name: getattr(step.integers, name).astype(np.uint16) for name in ("exp", "exp_far")}
    masked = _masked_in_tiles(step, engine, tables["exp"])
    x, *_, y = masked.operands
    mask = masked.operands[1:-2]
    flags, names = step.wide_flags("x", "y"), ("zero", "mult", "shift")
    op = {**flags, **step.integers.named(names), "low": step.low, "high": step.high}
    return replace(
        masked,
        function="me_softmax_s16",
        operands=(
            replace(x, itemsize=step.read_type(0).size_bytes),
            *mask,
            *(Operand.whole(name, array) for name, array in tables.items()),
            replace(y, itemsize=step.element_type.size_bytes),
        ),
        op={
            **op,
            **{name: value for name, value in masked.op.items() if name != "exp"},
            "exp.near": "@exp",
            "exp.far": "@exp_far",
        },
    )


def log_softmax_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    arrays = {"exp": step.integers.exp.astype(np.uint16), "log": step.integers.log.astype(np.int16)}
    numbers = step.integers.named(("ln2", "mult", "log_mult", "offset", "shift"))
    op = {"log": "@log", **numbers, "low": step.low, "high": step.high}
    if not step.has_int16:
        return rows_in_tiles(step, engine, "me_log_softmax_s8", {"exp": "@exp", **op}, arrays)
    op = {**step.wide_flags("x", "y"), "exp.near": "@exp", "exp.far": "@exp_far", **op}
    arrays["exp_far"] = step.integers.exp_far.astype(np.uint16)
    return rows_in_tiles(step, engine, "me_log_softmax_s16", op, arrays)
