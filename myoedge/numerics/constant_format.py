# SPDX-License-Identifier: Apache-2.0
"""Integer format of a constant that a model file stores as integers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams


@dataclass(frozen=True, slots=True)
class ConstantFormat:
    """Format of a constant's integers: real = float32(scale * (q - zero_point)), low <= q <= high.
    The integers are computed from the floats and the format.

    scale, zero_point   one value each, or one per index along `axis`
    low, high           smallest and largest integer
    axis                axis along which scales differ
    integers            integers q in the constant's shape, if the floats lie between steps; None:
                        the floats are whole steps
    floats              digest of the floats that the integers round; "" if a model file has them
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    low: int
    high: int
    axis: int = 0
    integers: Array | None = field(default=None, compare=False, repr=False)
    floats: str = field(default="", compare=False, repr=False)

    @property
    def bits(self) -> int:
        """Bits of a symmetric format's integers."""
        return self.high.bit_length() + 1

    @property
    def params(self) -> QuantParams | None:
        """Quantisation parameters as an operand; None for several scales, > 16 bits."""
        kind = INT8 if self.high - self.low < 1 << INT8.bits else INT16
        if len({*self.scale}) > 1 or len({*self.zero_point}) > 1 or self.high - self.low >= 1 << 16:
            return None
        moved = 0 if kind.low <= self.low and self.high <= kind.high else kind.low - self.low
        return QuantParams(self.scale[0], self.zero_point[0] + moved, kind)

    @property
    def by_rows(self) -> ConstantFormat | None:
        """Return the format if it has one scale, or one per index of axis 0; None if scales differ
        along another axis."""
        if len(self.scale) == 1 or self.axis == 0:
            return self
        if len({*self.scale}) > 1 or len({*self.zero_point}) > 1:
            return None
        return replace(self, scale=self.scale[:1], zero_point=self.zero_point[:1], axis=0)

    def real(self, q: Array) -> Array:
        """Return float32(scale * (q - zero_point)) of the integers q."""
        centred = (q.astype(np.int64) - self._reshape_to_axis(self.zero_point, q)).astype(
            np.float32
        )
        with np.errstate(over="ignore"):  # infinities are refused only if they are read
            return np.asarray(centred * self._reshape_to_axis(self.scale, q).astype(np.float32))

    def steps(self, value: Array) -> Array | None:
        """Return a constant's q - zero_point as int64; None if the format does not represent the
        float32 values exactly."""
        if len(self.scale) > 1 and value.shape[self.axis : self.axis + 1] != (len(self.scale),):
            return None
        if self.integers is not None:
            return self.integers.astype(np.int64) - self._reshape_to_axis(
                self.zero_point, self.integers
            )
        scale, zero = (
            self._reshape_to_axis(self.scale, value),
            self._reshape_to_axis(self.zero_point, value),
        )
        steps = np.rint(value.astype(np.float64) / scale)
        inside = np.all((self.low <= steps + zero) & (steps + zero <= self.high))
        again = steps.astype(np.float32) * scale.astype(np.float32)
        return steps.astype(np.int64) if inside and np.array_equal(again, value) else None

    def of(self, value: Array) -> ConstantFormat | None:
        """Return this format for a constant of moved, sliced, repeated or zero-padded values; None
        if the values do not fit.

        If several axes fit, as for a square of zeros, axis 0 is chosen.
        """
        if value.dtype != np.float32 or not value.size:
            return None
        if len(self.scale) == 1:
            return None if self.steps(value) is None else self
        turned = (replace(self, axis=axis) for axis in range(value.ndim))
        whole = next((f for f in turned if f.steps(value) is not None), None)
        return whole or self._row_format(value)

    def times(self, factor: Array) -> ConstantFormat | None:
        """Return the format of the constant times one factor per row (axis 0); None if a factor is
        0 or scales differ along another axis.

        A negative factor flips the integers' signs.
        """
        factors = np.asarray(factor, np.float64).reshape(-1)
        if len(self.scale) > 1 and self.axis != 0:
            return None
        scale = (np.array(self.scale) * np.abs(factors)).astype(np.float32).astype(np.float64)
        if not np.all((scale > 0.0) & (scale < np.inf)):
            return None
        reach = max(self.high - min(self.zero_point), max(self.zero_point) - self.low)
        return ConstantFormat(tuple(scale.tolist()), (0,) * len(scale), -reach, reach)

    def _row_format(self, value: Array) -> ConstantFormat | None:
        """Return the format with one scale per row of the value, the first that represents the row
        exactly; None if none does."""
        singles = [
            replace(self, scale=(scale,), zero_point=(zero,))
            for scale, zero in dict.fromkeys(zip(self.scale, self.zero_point, strict=True))
        ]
        rows: list[ConstantFormat] = []
        for row in value if value.ndim > 1 else ():
            single = next((s for s in singles if s.steps(row) is not None), None)
            if single is None:
                return None
            rows.append(single)
        if not rows:
            return None
        scale, zero = tuple(r.scale[0] for r in rows), tuple(r.zero_point[0] for r in rows)
        return replace(self, scale=scale, zero_point=zero, axis=0)

    def _reshape_to_axis(self, numbers: tuple[float, ...], value: Array) -> Array:
        array = np.array(numbers)
        if len(numbers) == 1:
            return array.reshape([1] * value.ndim)
        return array.reshape([-1 if d == self.axis else 1 for d in range(value.ndim)])


def float_digest(values: Array) -> str:
    """Return the sha256 of a constant's float32 values and shape."""
    little = np.ascontiguousarray(values).astype("<f4")
    return hashlib.sha256(f"{values.shape}\n".encode() + little.tobytes()).hexdigest()
