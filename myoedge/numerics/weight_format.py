# SPDX-License-Identifier: Apache-2.0
"""Formats of quantised weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.numerics.quant_params import QuantParams

BIAS_MAX = 2**22  # largest |bias|; even with 2**23 for 512 products, sums are far below 2**31
HALVES_MAX = 127 * 257  # largest |weight| that two 8-bit halves represent
INT16_BIAS_MAX = 2**28  # largest |bias| next to int16 products, which take the rest of int32


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """Symmetric integer weights of 2 to 16 bits, with one scale per output channel or tensor.

    is_stated   whether weights have these bits beside an int16 operand too
    operand     type of the operand that they multiply
    """

    bits: int = 8
    per_channel: bool = True
    is_stated: bool = False
    operand: ElementType = INT8

    @property
    def high(self) -> int:
        """Largest |weight| as an integer."""
        return min((1 << (self.bits - 1)) - 1, HALVES_MAX)

    @property
    def element_type(self) -> ElementType:
        """Element type in which kernels read weights."""
        return INT8 if max(self.bits, self.operand.bits) <= INT8.bits else INT16

    def beside(self, operand: ElementType) -> WeightFormat:
        """Return the format of weights that multiply an operand of this type: the operand's bits,
        if these are more and the bits are not stated."""
        bits = self.bits if self.is_stated else max(self.bits, operand.bits)
        return replace(self, bits=bits, operand=max(self.operand, operand, key=lambda x: x.bits))

    def quantize(self, w: Array, bias: Array, x: QuantParams) -> tuple[Array, Array]:
        """Quantise float64 weights and bias [K]; return (integer weights [K, ...], float64 scale
        [K]).

        x   parameters of the operand that the weights multiply
        A channel with tiny weights and a large bias gets a larger scale, because the bias of a
        nearly dead channel overflows int32 before its products do.
        """
        rows = np.abs(w.reshape(w.shape[0], -1))
        if self.element_type == INT8:  # the largest weight is `high`, and the bias fits BIAS_MAX
            largest = rows.max(axis=1).astype(np.float64)
            largest = largest if self.per_channel else np.full_like(largest, largest.max())
            scale = np.maximum(largest / self.high, np.abs(bias) / (x.scale * BIAS_MAX))
        else:  # the smallest scale for which sum |w| times the largest input plus bias fits int32
            most = (2**31 - INT16_BIAS_MAX) // (abs(x.zero_point) - x.low) - rows.shape[1] // 2 - 1
            scale = np.maximum(rows.max(axis=1) / self.high, rows.sum(axis=1) / most)
            scale = np.maximum(scale, np.abs(bias) / (x.scale * INT16_BIAS_MAX))
        # float32 represents a scale of 1e-44 as 0
        scale = scale.astype(np.float32).astype(np.float64)
        if self.element_type == INT16 and not self.per_channel:
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


# --- rounding of low-bit weights that changes the layer's sums of products least ------------------

SHARES = np.arange(100, 38, -2) / 100.0  # tried for scale * high, as parts of the largest weight
SWEEPS = 2
COLUMNS = 64  # columns whose errors reach all later columns at once
DAMPING = 0.01  # fraction of the mean square of the inputs that is added to each diagonal element
SCARCITY = 0.1  # a further fraction, times inputs / vectors


@dataclass(frozen=True)
class Moments:
    """Second moments of the vectors x that the rows of a weight matrix multiply.

    squares   [C, C] sum of x x^T
    count     number of vectors
    largest   largest |x|
    """

    squares: Array
    count: int
    largest: float

    @staticmethod
    def of(vectors: Array) -> Moments:
        """Compute the moments of float64 vectors [n, C]."""
        largest = float(np.abs(vectors).max(initial=0.0))
        return Moments(vectors.T @ vectors, len(vectors), largest)

    def __add__(self, other: Moments) -> Moments:
        largest = max(self.largest, other.largest)
        return Moments(self.squares + other.squares, self.count + other.count, largest)

    @cached_property
    def damped(self) -> Array:
        """Return `squares` with a larger diagonal if there are few vectors, so that it can be
        inverted; the identity if all are 0."""
        taps = len(self.squares)
        mean = float(np.trace(self.squares)) / taps
        more = mean * (DAMPING + SCARCITY * taps / self.count) if mean > 0.0 else 1.0
        return self.squares + np.eye(taps) * more

    @cached_property
    def by_column(self) -> tuple[Array, Array]:
        """Return the order of columns by descending input, and the upper triangular Cholesky factor
        of the inverse of `damped` in this order."""
        order = np.argsort(-np.diag(self.damped), kind="stable")
        inverse = np.linalg.inv(self.damped[np.ix_(order, order)])
        return order, np.linalg.cholesky((inverse + inverse.T) / 2).T

    @property
    def of_others(self) -> Array:
        """Estimate of `squares` for other vectors: if there are fewer vectors than inputs, products
        of two different inputs count less."""
        alone = max(0.0, 1.0 - self.count / len(self.squares)) ** 2
        return (1.0 - alone) * self.squares + alone * np.diag(np.diag(self.squares))


def rounded_rows(
    w: Array, blocks: Sequence[Moments], used: WeightFormat, least_scale: Array
) -> tuple[Array, Array]:
    """Quantise weights [K, C] so that a row's sums over the input vectors differ least from the
    float sums; return integers int8 [K, C], scales float64 [K], and the quantised values float32.

    blocks        moments of blocks of columns; columns of a block compensate each other's errors
    used          format of the weights
    least_scale   [K] lower bound of each scale, for channels with a large bias
    """
    w, ends = w.astype(np.float64), np.cumsum([len(block.squares) for block in blocks])[:-1]
    squares, columns = [block.damped for block in blocks], np.split(w, ends, axis=1)
    diagonal = np.concatenate([np.diag(block) for block in squares])
    scale = _best_scale(w, diagonal, used.high, least_scale)
    q = [
        _round_by_columns(part, block, scale, used.high)
        for part, block in zip(columns, blocks, strict=True)
    ]
    parts = list(zip(q, columns, squares, strict=True))
    for _ in range(SWEEPS):
        scale = _fit_scales(parts, scale, least_scale)
        for part in parts:
            _sweep_columns(*part, scale, used.high)
    return np.concatenate(q, axis=1).astype(np.int8), scale


def _best_scale(w: Array, weights: Array, high: int, least: Array) -> Array:
    """Return for each row the scale with the least squared error of rounding to nearest.

    weights   [C] weight of each column's squared error
    """
    largest, errors = np.abs(w).max(axis=1), []
    scales = [_safe_scales(share * largest / high, least) for share in SHARES]
    for scale in scales:
        q = np.clip(np.rint(w / scale[:, None]), -high, high)
        errors.append(((q * scale[:, None] - w) ** 2) @ weights)
    best = np.argmin(np.stack(errors), axis=0)
    return np.asarray(np.stack(scales)[best, np.arange(len(w))])


def _safe_scales(scale: Array, least: Array) -> Array:
    """Return scales of at least `least`, rounded to float32; 1 for a scale that becomes 0."""
    kept = np.maximum(scale, least).astype(np.float32).astype(np.float64)
    return np.where(kept > 0.0, kept, 1.0)


def _round_by_columns(w: Array, block: Moments, scale: Array, high: int) -> Array:
    """Return integers [K, C] quantised column by column, largest inputs first; later columns
    compensate the errors of earlier ones (GPTQ). Errors reach columns behind the next COLUMNS as
    one product of matrices."""
    order, factors = block.by_column
    rest, q = w[:, order], np.zeros_like(w)
    for first in range(0, len(order), COLUMNS):
        last = min(first + COLUMNS, len(order))
        errors = np.zeros((len(w), last - first))
        for i in range(first, last):
            q[:, order[i]] = np.clip(np.rint(rest[:, i] / scale), -high, high)
            errors[:, i - first] = (rest[:, i] - q[:, order[i]] * scale) / factors[i, i]
            rest[:, i + 1 : last] -= np.outer(errors[:, i - first], factors[i, i + 1 : last])
        rest[:, last:] -= errors @ factors[first:last, last:]
    return q


def _sweep_columns(q: Array, w: Array, squares: Array, scale: Array, high: int) -> None:
    """Round every column of q again, given the other columns (QuantEase); changes q in place."""
    gradient = (w - q * scale[:, None]) @ squares
    for i in range(q.shape[1]):
        best = np.rint(q[:, i] + gradient[:, i] / (squares[i, i] * scale))
        step = np.clip(best, -high, high) - q[:, i]
        moved = np.flatnonzero(step)
        q[moved, i] += step[moved]
        gradient[moved] -= np.outer(step[moved] * scale[moved], squares[i])


def _fit_scales(parts: Sequence[tuple[Array, Array, Array]], scale: Array, least: Array) -> Array:
    """Return the scales [K] with the least error for given integers; all-zero rows keep their
    scale.

    parts   (integers, real weights, squares) of the columns
    """
    own, both = np.zeros(len(scale)), np.zeros(len(scale))
    for q, w, squares in parts:
        products = q @ squares
        own += (products * q).sum(axis=1)
        both += (products * w).sum(axis=1)
    fits = (own > 0.0) & (both > 0.0)
    return _safe_scales(np.where(fits, both / np.where(fits, own, 1.0), scale), least)
