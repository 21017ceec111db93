# SPDX-License-Identifier: Apache-2.0
"""Formats of quantised weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.numerics.quant_params import QuantParams

BIAS_MAX = 2**22  # largest |bias|; even with 2**23 for 512 products, sums are far below 2**31
HALVES_MAX = 127 * 257  # largest |weight| that two 8-bit halves represent
INT16_BIAS_MAX = 2**28  # largest |bias| next to int16 products, which take the rest of int32


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """Symmetric integer weights of 2 to 16 bits, with one scale per output channel or tensor."""

    bits: int = 8
    per_channel: bool = True

    @property
    def high(self) -> int:
        """Largest |weight| as an integer."""
        return min((1 << (self.bits - 1)) - 1, HALVES_MAX)

    @property
    def element_type(self) -> ElementType:
        """Element type in which weights are stored."""
        return INT8 if self.bits <= INT8.bits else INT16

    def beside(self, operand: ElementType) -> WeightFormat:
        """Return the format of weights that multiply an operand of this type: the operand's bits,
        if these are more."""
        return replace(self, bits=max(self.bits, operand.bits))

    def quantize(self, w: Array, bias: Array, x: QuantParams) -> tuple[Array, Array]:
        """Quantise float64 weights and bias [K]; return (integer weights [K, ...], float64 scale
        [K]).

        x   parameters of the operand that the weights multiply
        A channel with tiny weights and a large bias gets a larger scale, because the bias of a
        nearly dead channel overflows int32 before its products do.
        """
        rows = np.abs(w.reshape(w.shape[0], -1))
        if self.bits <= INT8.bits:  # the largest weight is `high`, and the bias fits BIAS_MAX
            largest = rows.max(axis=1).astype(np.float64)
            largest = largest if self.per_channel else np.full_like(largest, largest.max())
            scale = np.maximum(largest / self.high, np.abs(bias) / (x.scale * BIAS_MAX))
        else:  # the smallest scale for which sum |w| times the largest input plus bias fits int32
            most = (2**31 - INT16_BIAS_MAX) // (abs(x.zero_point) - x.low) - rows.shape[1] // 2 - 1
            scale = np.maximum(rows.max(axis=1) / self.high, rows.sum(axis=1) / most)
            scale = np.maximum(scale, np.abs(bias) / (x.scale * INT16_BIAS_MAX))
        # float32 represents a scale of 1e-44 as 0
        scale = scale.astype(np.float32).astype(np.float64)
        if self.bits > INT8.bits and not self.per_channel:
            scale = np.full(len(scale), float(scale.max()))
        scale = np.where(scale > 0, scale, 1.0)
        return self.at_scale(w, scale), scale

    def at_scale(self, w: Array, scale: Array) -> Array:
        """Quantise float64 weights with given scales [K]; return integer weights [K, ...]."""
        integers = np.clip(np.rint(w / _broadcast_per_row(scale, w)), -self.high, self.high)
        return np.asarray(integers, self.element_type.dtype)

    def rounded(self, w: Array) -> Array:
        """Return float weights [K, ...] rounded to the nearest values of this format."""
        zeros = np.zeros(len(w))
        integers, scale = self.quantize(w.astype(np.float64), zeros, QuantParams(1.0, 0))
        return np.asarray((integers * _broadcast_per_row(scale, w)).astype(w.dtype))


def _broadcast_per_row(scale: Array, w: Array) -> Array:
    return scale.reshape(-1, *([1] * (w.ndim - 1)))


EIGHT_BITS = WeightFormat()
