# SPDX-License-Identifier: Apache-2.0
"""Tiling of integer functions by elements, and of cumulative sums by whole signals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from myoedge.numerics.arrays import outer_inner
from myoedge.operators.base import QuantizedNode
from myoedge.operators.elementwise.channels import rows_tile
from myoedge.operators.kernel import OUT, AffineExpr, Operand, Sizes, TiledKernel
from myoedge.targets.chip import Engine

BYTES = {"int32": 4, "uint8": 1, "truth": 1}
TYPES = {"int32": 4, "uint8": 1, "truth": 0}  # ME_INT32, ME_UINT8, ME_TRUTH
NUMBERS = ("add", "sub", "mul", "min", "max", "floor_div", "mod")  # numbered as in me_integers.h
# Work relative to a result of int32 operands: with other types, with a division.
OF_OTHER_TYPES, OF_QUOTIENTS = 2.8, 4.1
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")


def math_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    return _pairs(step, engine, "me_integer_math_s32", NUMBERS, 4, {})


def compare_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    made = step.integers.named(("no", "yes"))
    return _pairs(step, engine, "me_integer_compare_s8", COMPARISONS, 1, made)


def _pairs(
    step: QuantizedNode,
    engine: Engine,
    function: str,
    names: tuple[str, ...],
    out_bytes: int,
    numbers: dict[str, int],
) -> TiledKernel:
    """Return the tiled kernel of a function of two integer tensors a, b -> y [n]; b may be
    constant, or a single value."""
    n, along = math.prod(step.out), ((("i", 1),),)
    a_kind, b_kind = step.attrs["kinds"]
    share = 1.0 if {a_kind, b_kind} == {"int32"} else OF_OTHER_TYPES
    share = OF_QUOTIENTS if step.attrs["function"] in ("floor_div", "mod") else share
    b = Operand("b", 1, (n,), along, itemsize=BYTES[b_kind])
    single = False
    if len(step.operands) == 1:
        value = step.integers.b
        single = value.size == 1
        whole = Operand.whole("b", value)
        b = whole if single else Operand("b", "b", (n,), along, itemsize=4, array=value)
    return TiledKernel(
        function=function,
        axes={"i": n},
        split=("i",),
        operands=(
            Operand("a", 0, (n,), along, itemsize=BYTES[a_kind]),
            b,
            Operand("y", OUT, (n,), along, itemsize=out_bytes),
        ),
        op={
            "function": names.index(step.attrs["function"]),
            "a_type": TYPES[a_kind],
            "b_type": TYPES[b_kind],
            "a_zero": step.integers.a_zero,
            "b_zero": step.integers.b_zero,
            "b_step": int(not single),
            **numbers,
        },
        tile=lambda regions: {"a": "@a", "b": "@b", "y": "@y", "n": regions["y"].extent[0]},
        work=lambda sizes: np.ceil(sizes["i"] / engine.cores) * share,
    )


def cumsum_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel for x and y [outer, n, inner]; tiles divide outer and inner, but
    never the summed axis n."""
    outer, n, inner = outer_inner(step.out, step.attrs["axis"])
    shape, dims = (outer, n, inner), tuple[AffineExpr, ...](((("o", 1),), (), (("i", 1),)))
    (kind,) = step.attrs["kinds"]
    first = Operand("first", 1, (outer, inner), (dims[0], dims[2]), itemsize=4)
    carried = len(step.operands) > 1  # on streams

    def work(sizes: Sizes) -> Any:
        """Return the number of elements on the core with the most signals."""
        return np.ceil(sizes["o"] * sizes["i"] / engine.cores) * n

    return TiledKernel(
        function="me_integer_cumsum_s32",
        axes={"o": outer, "i": inner},
        split=("o", "i"),
        operands=(
            Operand("x", 0, shape, dims, itemsize=BYTES[kind]),
            *((first,) if carried else ()),
            Operand("y", OUT, shape, dims, itemsize=4),
        ),
        op={"n": n, "x_type": TYPES[kind], "x_zero": step.integers.a_zero},
        tile=lambda regions: {**rows_tile(regions), **({"first": "@first"} if carried else {})},
        work=work,
    )
