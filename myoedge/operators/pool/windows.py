# SPDX-License-Identifier: Apache-2.0
"""Windows of a pool as an index along each axis: first + t * stride + r, with r from end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.nest.ir import Affine, Array, Axis, Expr, Reduced, Value

Window = tuple[int, int, int]  # (first element, end, divisor)


@dataclass(frozen=True)
class WindowAxis:
    """The windows along an axis of a pool.

    windows   the windows
    along     axis of the result
    taps      reduced axis, as long as the longest window
    stride    distance between the starts of windows
    first     start of window 0; negative if it is cut off there
    """

    windows: Sequence[Window]
    along: Axis
    taps: Axis
    stride: int
    first: int

    @staticmethod
    def of(windows: Sequence[Window], along: Axis) -> WindowAxis:
        """Return evenly spaced ranges of taps that contain the windows."""
        lows, count = [low for low, _, _ in windows], len(windows)
        stride = max(round((lows[-1] - lows[0]) / (count - 1)), 0) if count > 1 else 0
        first = min(low - i * stride for i, low in enumerate(lows))
        size = max(high - i * stride - first for i, (_, high, _) in enumerate(windows))
        return WindowAxis(windows, along, Axis(f"r{along.name}", size), stride, first)

    @property
    def index(self) -> Affine:
        return self.along.at * self.stride + self.taps + self.first

    @property
    def ends(self) -> tuple[Expr, Expr] | None:
        """The first tap of each window and its end; None if all windows have all taps."""
        starts = np.arange(len(self.windows)) * self.stride + self.first
        low, high = (np.array([w[at] for w in self.windows]) - starts for at in (0, 1))
        if np.all(low == 0) and np.all(high == self.taps.extent):
            return None
        return self._each("first", low), self._each("end", high)

    @property
    def count(self) -> Value:
        """The number of taps of each window."""
        counts = {high - low for low, high, _ in self.windows}
        if len(counts) == 1:
            return counts.pop()
        return self._each("taps", np.array([high - low for low, high, _ in self.windows]))

    @property
    def divisors(self) -> list[int]:
        """The distinct divisors of windows in ascending order."""
        return sorted({divisor for _, _, divisor in self.windows})

    @property
    def kind(self) -> Value:
        """The number of each window's divisor among the distinct ones."""
        known = self.divisors
        if len(known) == 1:
            return 0
        return self._each("kind", np.array([known.index(w[2]) for w in self.windows]))

    def reduced(self, operation: str, value: Expr) -> Expr:
        return Reduced(operation, self.taps, value, self.ends)

    def _each(self, name: str, values: np.ndarray) -> Expr:
        """Return a constant per window."""
        array = Array(f"{name}_{self.along.name}", "int32", values.shape, values.astype(np.int32))
        return array[self.along]
