# SPDX-License-Identifier: Apache-2.0
"""Softmax, log-softmax and argmax over one axis, in integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.ir import Nest, Reduced
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16, INT32
from myoedge.numerics.quant_params import QuantParams, ResultParams
from myoedge.numerics.requant import INT32_MAX, MULT_MAX, TERM_FACTOR_MAX, choose_sum_requant
from myoedge.operators.attributes import ANY_NUMBER, AXIS, FLAG, optional
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs, add_operator
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import (
    all_beside_axis,
    axis_permuted,
    masked_scores,
    same_shape,
    stream_except_axis,
)
from myoedge.operators.described import result
from myoedge.operators.format import EITHER, EITHER_WIDTH, Format
from myoedge.operators.pool import reduce
from myoedge.operators.softmax.formula import EXP_ONE, log_softmax_nest, softmax_nest
from myoedge.operators.traits import Constants, Described, Operands, Result, always

LOG_ONE = 2**12  # ln is in Q12: at most 15 ln 2 = 42,587


def softmax_real(attrs: Attrs, x: Array, *mask: Array) -> Array:
    """Compute softmax over attrs["axis"] in floats, with an optional mask.

    mask            1 for a visible element, 0 for a hidden one; broadcast along leading axes
    attrs["flat"]   a row without visible elements gets equal probabilities; else the softmax of x
    """
    x = masked_scores(attrs, x, mask[0]) if mask else x
    shifted = np.exp(x - x.max(axis=attrs["axis"], keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=attrs["axis"], keepdims=True))


def log_softmax_real(attrs: Attrs, x: Array) -> Array:
    shifted = x - x.max(axis=attrs["axis"], keepdims=True)
    total = np.exp(shifted).sum(axis=attrs["axis"], keepdims=True)
    return np.asarray(shifted - np.log(total))


def exp_table(scale: float) -> Array:
    """Return exp(-scale * d) in Q15, int32 [256], for integers d = 0 .. 255 below the row's
    maximum."""
    return np.asarray(np.rint(EXP_ONE * np.exp(-scale * np.arange(256.0))), np.int32)


def far_tables(x: QuantParams) -> dict[str, Any]:
    """Return the tables "exp" and "exp_far" of exponentials, by the lower and by the upper eight
    bits of the distance from the row's maximum; kernels multiply their entries.

    x   quantisation parameters of the int16 input
    """
    return {"exp": exp_table(x.scale), "exp_far": exp_table(256 * x.scale)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftmaxParams(QuantizedParams):
    """Integer constants of a softmax.

    acc_bound   largest |int32 intermediate|
    exp         int32 [256], exponentials by distance from the row's maximum
    """

    acc_bound: int
    exp: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class WideSoftmaxParams(SoftmaxParams):
    """Integer constants of a softmax with int16 input or result.

    exp_far       exponentials by the upper eight bits of the distance from the row's maximum
    mult, shift   conversion of probabilities to output steps
    zero          zero point of the result
    """

    exp_far: Array
    mult: int
    shift: int
    zero: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSoftmaxParams(QuantizedParams):
    """Integer constants of y = (distance * mult + ln(sum) * log_mult + offset) >> shift.

    ln2         ln(2), with the fraction bits of ln(sum)
    acc_bound   largest |int32 intermediate|
    exp         exponentials by distance from the row's maximum
    log         int32 [256]: ln(1 + (i + 1/2) / 256) in Q12
    """

    mult: int
    log_mult: int
    offset: int
    shift: int
    ln2: int
    acc_bound: int
    exp: Array
    log: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class WideLogSoftmaxParams(LogSoftmaxParams):
    """Integer constants of a log-softmax with int16 input or result.

    exp_far   as in WideSoftmaxParams
    """

    exp_far: Array


def softmax_quantize(inputs: QuantizeInputs) -> SoftmaxParams:
    """Return the constants of a softmax; int8 probabilities have steps of 1/256, int16 ones 2**-16
    * mult / 2**shift."""
    x, y = inputs.params(0), inputs.target
    bound = EXP_ONE * inputs.shapes[0][inputs.attrs["axis"]]
    if not inputs.has_int16():
        return SoftmaxParams(acc_bound=bound, exp=exp_table(x.scale))
    shift = min(max(15 - math.frexp(2.0**-16 / y.scale)[1], 0), 31)
    mult = min(round(math.ldexp(1 / y.scale, shift - 16)), MULT_MAX)
    numbers = {**far_tables(x), "mult": mult, "shift": shift, "zero": y.zero_point}
    return WideSoftmaxParams(acc_bound=bound, **numbers)


def int16_params(most: float) -> QuantParams:
    """Return the quantisation parameters of int16 probabilities: for a range up to 1, or a smaller
    one if the largest is below 1/4.

    most   largest probability on the samples
    """
    halvings = 0 if most <= 0.0 else min(max(-math.frexp(most)[1] - 1, 0), 14)
    return QuantParams(2.0 ** -(15 + halvings), 0, INT16)


SOFTMAX = add_operator(
    name="softmax",
    attributes={
        "axis": AXIS,
        **dict.fromkeys(("masked", "flat"), optional(FLAG)),
        "fill": optional(ANY_NUMBER),
    },
    doc="softmax over one axis of up to 32,768 elements, masked; int8 steps of 1/256",
    shape=same_shape,
    real=softmax_real,
    integer=Described(softmax_nest),
    constants=Constants(softmax_quantize, kinds=(SoftmaxParams, WideSoftmaxParams)),
    operands=Operands(broadcast={1: None}, are_compared=True),
    kernels=generated(EITHER_WIDTH),
    result=Result(
        bounds=lambda attrs: (0.0, 1.0),
        fixed_params=always(QuantParams(2.0**-8, -128)),
        rules={INT16: ResultParams(int16_params)},
    ),
    # a mask is equal along leading axes, which a permutation may move
    permute_rule=lambda a, perm: None if a.get("masked") else axis_permuted(a, perm),
    streaming_rule=all_beside_axis,
)


def log_softmax_quantize(inputs: QuantizeInputs) -> LogSoftmaxParams:
    """Return the constants of y = (distance * mult + ln(sum) * log_mult + offset) >> shift."""
    x, y = inputs.params(0), inputs.target
    most = 2**x.element_type.bits - 1
    is_wide = inputs.has_int16()
    c = choose_sum_requant(
        (-x.scale / y.scale, -1.0 / (LOG_ONE * y.scale)),
        (most, 16 * LOG_ONE),
        (0, 0),
        y.zero_point,
        factor_max=TERM_FACTOR_MAX / 2 if is_wide else TERM_FACTOR_MAX,
        mult_max=INT32_MAX if is_wide else MULT_MAX,
    )
    bound = max(
        EXP_ONE * inputs.shapes[0][inputs.attrs["axis"]],
        most * -c.mult[0] + 16 * LOG_ONE * -c.mult[1] + abs(c.offset),
    )
    log_table = np.rint(LOG_ONE * np.log1p((np.arange(256) + 0.5) / 256))
    numbers: dict[str, Any] = {
        "mult": c.mult[0],
        "log_mult": c.mult[1],
        "offset": c.offset,
        "shift": c.shift,
        "ln2": round(LOG_ONE * math.log(2.0)),
        "acc_bound": bound,
        "log": log_table.astype(np.int32),
    }
    if is_wide:
        return WideLogSoftmaxParams(**numbers, **far_tables(x))
    return LogSoftmaxParams(**numbers, exp=exp_table(x.scale))


LOG_SOFTMAX = add_operator(
    name="log_softmax",
    attributes={"axis": AXIS},
    doc="log-softmax over one axis of up to 32,768 elements",
    shape=same_shape,
    real=log_softmax_real,
    integer=Described(log_softmax_nest),
    constants=Constants(log_softmax_quantize, kinds=(LogSoftmaxParams, WideLogSoftmaxParams)),
    operands=Operands(are_compared=True),
    kernels=generated(EITHER_WIDTH),
    permute_rule=axis_permuted,
    streaming_rule=stream_except_axis,
)


def argmax_real(attrs: Attrs, x: Array) -> Array:
    """Return the index of the first maximum along attrs["axis"], as int32."""
    y = np.argmax(x, axis=attrs["axis"], keepdims=attrs["keepdim"])
    return np.asarray(y, np.int32)


def argmax_nest(step: QuantizedNode) -> Nest:
    """Describe the index of the first maximum over an axis."""
    axes, x, (over,), element = reduce.reduced_rows(step)
    index = tuple(axis.at for axis in axes)
    return Nest(axes, (x,), result(step), index, Reduced("argmax", over, element))


ARGMAX = add_operator(
    name="argmax",
    attributes={"axis": AXIS, "keepdim": FLAG},
    doc="index of the first maximum over one axis, int32; an output of the network",
    shape=reduce.shape,
    real=argmax_real,
    integer=Described(argmax_nest),
    operands=Operands(are_compared=True),
    kernels=generated(Format((EITHER,), (INT32,))),
    result=Result(dtype="int32"),
    streaming_rule=reduce.streaming_rule,
)
