# SPDX-License-Identifier: Apache-2.0
"""Affine quantisation parameters of tensors: docs/developers/integer-semantics.md."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, ElementType

EMPTY_RANGE = 2.0**-60  # ranges narrower than this count as empty
EMPTY_SCALE = 2.0**-7


@dataclass(frozen=True, slots=True)
class QuantParams:
    """Affine parameters: real = scale * (q - zero_point), with q an integer of `element_type`.

    scale is a float32 value; zero_point lies in the type's range, so that 0.0 is exact.
    """

    scale: float
    zero_point: int
    element_type: ElementType = INT8

    @property
    def low(self) -> int:
        return self.element_type.low

    @property
    def high(self) -> int:
        return self.element_type.high

    @property
    def reach(self) -> int:
        """Largest |q - zero_point| of all values of the integer type."""
        return max(self.high - self.zero_point, self.zero_point - self.low)


def quantize(x: Array | float, q: QuantParams) -> Array:
    """Quantise to the nearest integer, ties to even, saturating: x float [...] -> integers of q
    [...]."""
    scaled = np.rint(np.asarray(x, np.float64) / q.scale) + q.zero_point
    return np.asarray(np.clip(scaled, q.low, q.high), q.element_type.dtype)


def dequantize(x: Array, q: QuantParams) -> Array:
    """Return scale * (x - zero_point) as float32."""
    return ((x.astype(np.float64) - q.zero_point) * q.scale).astype(np.float32)


def rounded(x: Array, params: QuantParams) -> Array:
    """Return real numbers rounded to the nearest values that the integers stand for."""
    return dequantize(quantize(x, params), params)


def range_params(low: float, high: float) -> QuantParams:
    """Return int8 parameters that cover [low, high] and 0.0; scale 1/128 for an empty range."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < EMPTY_RANGE:
        return QuantParams(EMPTY_SCALE, 0)
    scale = float(np.float32((high - low) / 255.0))
    zero_point = int(np.clip(np.rint(-128.0 - low / scale), -128, 127))
    return QuantParams(scale, zero_point)


def symmetric_params(low: float, high: float, element_type: ElementType = INT8) -> QuantParams:
    """Return parameters with zero point 0 that cover [low, high]; scale 1/128 for an empty
    range."""
    largest = max(-low, high)
    scale = (
        float(np.float32(largest / element_type.high)) if largest >= EMPTY_RANGE else EMPTY_SCALE
    )
    return QuantParams(scale, 0, element_type)


def round_up_12_bits(x: float) -> float:
    """Round x away from zero to 12 significant bits, so that different BLAS libraries give equal
    results."""
    if x == 0.0 or not math.isfinite(x):
        return x
    mantissa, exponent = math.frexp(x)
    steps = math.ceil(abs(mantissa) * 4096 - 2.0**-12)
    return math.copysign(math.ldexp(steps / 4096, exponent), x)


@dataclass(frozen=True, slots=True)
class ResultParams:
    """Rule for the quantisation parameters of an operator's result with a given element type.

    of       function: largest magnitude of the result -> parameters
    may_be   function: parameters, such as from a model file -> whether the kernel supports them
    """

    of: Callable[[float], QuantParams]
    may_be: Callable[[QuantParams], bool] = lambda params: True
