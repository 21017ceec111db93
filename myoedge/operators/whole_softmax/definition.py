# SPDX-License-Identifier: Apache-2.0
"""Softmax of whole numbers over the last axis, as Deeploy's iSoftmax, ITAMax and ITAPartialMax."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.stated_requant import LEVELS_MAX
from myoedge.operators.base import (
    OpDef,
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    register,
)
from myoedge.operators.common_rules import (
    beside_last,
    elementwise,
    last_axis_kept,
    same_shape,
    stored_bound,
)
from myoedge.operators.kernel import on_cluster
from myoedge.operators.whole_softmax.tiling import integer_in_tiles, shift_in_tiles

UNSIGNED = QuantParams(1.0, -128)  # 0 .. 255 in steps of 1
ONE = 256  # the share of a row's largest, before the division
WIDEST = 2**32 - 1


def exponentials(attrs: Attrs) -> Array:
    """int64 [256]: (a (p + b)^2 + c) >> z at distances z * log2 - p below the row's largest."""
    distance = np.arange(256)
    z = np.minimum(distance // attrs["log2"], 31)
    square = (z * attrs["log2"] - distance + attrs["b"]) ** 2
    return np.asarray((attrs["a"] * square + attrs["c"]) >> z)


def fits(attrs: Attrs, length: int) -> bool:
    """Whether 32 bits without a sign hold what rows of a length add up to."""
    exp, most = exponentials(attrs), max(attrs["levels"] - 1, length)
    return bool(exp.min() >= 0 and exp[0] >= 1 and int(exp.max()) * most <= WIDEST)


def integer_shares(attrs: Attrs, x: Array) -> Array:
    """x int64 [..., n], at most 255 apart in a row -> shares, rounded down."""
    e = exponentials(attrs)[x.max(axis=-1, keepdims=True) - x]
    return np.asarray(e * (attrs["levels"] - 1) // e.sum(axis=-1, keepdims=True))


def _halvings(most: Array, x: Array) -> Array:
    """Halvings of a share: one for 32 steps below the largest, rounded."""
    return (most - x + 16) >> 5


def shift_shares(attrs: Attrs, x: Array) -> Array:
    """x int64 [..., n] -> shares. The sum is taken group by group, and halved where a group has a
    larger number than those before it."""
    group, total = attrs["group"], np.zeros((*x.shape[:-1], 1), np.int64)
    most = x[..., :group].max(axis=-1, keepdims=True)
    for start in range(0, x.shape[-1], group):
        part = x[..., start : start + group]
        larger = np.maximum(most, part.max(axis=-1, keepdims=True))
        added = (ONE >> _halvings(larger, part)).sum(axis=-1, keepdims=True)
        total, most = (total >> _halvings(larger, most)) + added, larger
    return np.asarray((attrs["most"] * ONE // total) >> _halvings(most, x))


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeSoftmaxParams(QuantizedParams):
    """exp   int64 exponentials by distance, where they are no shifts"""

    acc_bound: int
    exp: Array | None = None


def _quantize(inputs: QuantizeInputs) -> WholeSoftmaxParams:
    """Products and sums have 32 bits and no sign: half of them is the bound."""
    exp = exponentials(inputs.attrs)
    largest = int(exp.max()) * max(inputs.attrs["levels"] - 1, inputs.shapes[0][-1])
    return WholeSoftmaxParams(acc_bound=-(-largest // 2), exp=exp)


def _shift_quantize(inputs: QuantizeInputs) -> WholeSoftmaxParams:
    return WholeSoftmaxParams(acc_bound=ONE * max(inputs.attrs["most"], inputs.shapes[0][-1]))


def _integer_real(attrs: Attrs, x: Array) -> Array:
    """Errors: ValueError for coefficients that 32 bits have no room for."""
    numbers = [attrs[name] for name in ("a", "b", "c", "log2", "levels")]
    if any(type(n) is not int or abs(n) > INT32_MAX for n in numbers):
        raise ValueError(f"coefficients {numbers}")
    if attrs["log2"] < 2 or not 2 <= attrs["levels"] <= LEVELS_MAX or not fits(attrs, x.shape[-1]):
        raise ValueError(f"exponentials of {numbers}")
    return integer_shares(attrs, np.rint(x).astype(np.int64)).astype(x.dtype)


def _shift_real(attrs: Attrs, x: Array) -> Array:
    """Errors: ValueError for groups that do not make up a row, and shares beyond 8 bits."""
    group, most = attrs["group"], attrs["most"]
    if type(group) is not int or type(most) is not int or group < 1 or x.shape[-1] % group:
        raise ValueError(f"groups of {group} in rows of {x.shape[-1]}")
    if not 0 <= most < LEVELS_MAX:
        raise ValueError(f"shares of up to {most}")
    return shift_shares(attrs, np.rint(x).astype(np.int64)).astype(x.dtype)


def integer(step: QuantizedNode, x: Array) -> Array:
    """x int8 -> int8 with the zero point -128."""
    shares = integer_shares if step.node.op == "whole_softmax" else shift_shares
    return (shares(step.attrs, x.astype(np.int64)) + UNSIGNED.zero_point).astype(np.int8)


WHOLE_SOFTMAX = register(
    OpDef(
        name="whole_softmax",
        doc="softmax of whole numbers over the last axis, exponentials by a polynomial",
        shape=same_shape,
        nest=elementwise,
        real=_integer_real,
        integer=integer,
        quantize=_quantize,
        params=(WholeSoftmaxParams,),
        acc_bound=stored_bound,
        kernels=on_cluster(integer_in_tiles),
        fixed_params=UNSIGNED,
        permute_rule=last_axis_kept,
        streaming_rule=beside_last,
    )
)

SHIFT_SOFTMAX = register(
    replace(
        WHOLE_SOFTMAX,
        name="shift_softmax",
        doc="softmax of whole numbers over the last axis, exponentials by powers of two",
        real=_shift_real,
        quantize=_shift_quantize,
        params=(WholeSoftmaxParams,),
        kernels=on_cluster(shift_in_tiles),
    )
)
