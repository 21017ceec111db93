# SPDX-License-Identifier: Apache-2.0
"""Quantisation of operators with constant weights: conv, linear, and recurrent layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.requant import choose_requant
from myoedge.numerics.weight_format import WeightFormat
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs

INT16_TAPS_MAX = 2**14  # int16 products in a sum: the more there are, the fewer bits each has


def quantize(inputs: QuantizeInputs, weight_format: WeightFormat | None = None) -> QuantizedParams:
    """Symmetric weights, the input's zero point folded into the bias, one factor per channel.

    weight_format   None: the one that was asked for
    """
    x, y, w = inputs.params(0), inputs.target, inputs.constant(1).astype(np.float64)
    given = inputs.constants[2] if len(inputs.constants) > 2 else None
    bias = np.zeros(len(w)) if given is None else given.astype(np.float64)
    used = weight_format or inputs.weight_format
    weight, scale = used.quantize(w, bias, x)
    folded = np.rint(bias / (x.scale * scale)) - x.zero_point * _row_sums(weight)
    folded = np.clip(folded, -(2.0**31), 2.0**31 - 1)  # where that cuts, the proof fails (E117)
    bound = _bound(weight, folded, -x.low)
    r = choose_requant(x.scale * scale / y.scale, bound, y.zero_point, y.element_type)
    int16 = {"x_wide": int(x.element_type == INT16)} if used.element_type == INT16 else {}
    arrays = {"weight": weight, "bias": folded.astype(np.int32), **r.arrays}
    return QuantizedParams({"x_zero": x.zero_point, **r.scalars, **int16}, arrays)


def _row_sums(weight: Array) -> Array:
    return np.asarray(weight.reshape(weight.shape[0], -1).astype(np.int64).sum(axis=1))


def _bound(weight: Array, bias: Array, reach: int) -> Array:
    """Largest |acc| per channel over all inputs, at every point of the summation."""
    sums = _row_sums(np.abs(weight.astype(np.int64)))
    return np.asarray(np.abs(bias.astype(np.int64)) + reach * sums)


def acc_bound(step: QuantizedNode) -> int:
    """Largest |acc| of any order of summation, for these weights and this bias."""
    operand = INT16 if step.integers.scalars.get("x_wide") else INT8
    return int(_bound(step["weight"], step["bias"], -operand.low).max())


def accepts_int16(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> bool:
    """Whether there is a kernel for products of 16 bits."""
    return attrs.get("groups", 1) == 1 and math.prod(shapes[1][1:]) <= INT16_TAPS_MAX
