# SPDX-License-Identifier: Apache-2.0
"""3x3 jobs of NE16 for dilated kernels and for kernels of one row with many taps.

NE16 moves by the same number of bytes from output to output and from tap to tap. If its pixels are
d positions apart, a job applies a kernel of dilation d to every d-th result, and d jobs compute all
results: one per phase. If a pixel contains the inputs of d positions, the taps in between are
computed too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div, round_up
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.products.ne16_constants import SIDE

TAPS = SIDE * SIDE


@dataclass(frozen=True, slots=True)
class Phases:
    """Division of a convolution into NE16 jobs, each of which computes every `down`-th row and
    every `across`-th column of the results.

    down, across   distance of the rows and of the columns that one job computes
    pixel          number of input positions whose channels form one NE16 pixel
    in_row         whether the results are one row, which a job treats as rows of three outputs
    """

    down: int
    across: int
    pixel: int
    in_row: bool

    @staticmethod
    def of(conv: Conv2dGeometry) -> Phases | None:
        """Return the phases of a convolution; None if NE16 cannot apply its kernel in such jobs."""
        if conv.kernel[0] == conv.y[1] == 1:
            return _of_row(conv.kernel[1], conv.stride[1], conv.dilation[1])
        if conv.kernel == (SIDE, SIDE) and conv.stride == (1, 1):
            return Phases(*conv.dilation, pixel=1, in_row=False)
        return None

    @property
    def count(self) -> int:
        return self.down * self.across

    @property
    def least(self) -> int:
        """Minimum results, or rows, of a tile: every phase then has complete rows of three outputs
        (`in_row`), or at least one row."""
        return self.across * SIDE if self.in_row else self.down

    def of_phase(self, rows: Any, columns: Any) -> tuple[Any, Any]:
        """Return the number of output rows and columns of the largest phase of a tile.

        rows, columns   results of the tile
        """
        if self.in_row:
            return ceil_div(rows * columns, self.least), np.minimum(columns, SIDE)
        return ceil_div(rows, self.down), ceil_div(columns, self.across)

    def bytes_beyond(self, conv: Conv2dGeometry) -> int:
        """Return the bytes that NE16 reads after the last window, for taps with weight 0."""
        taps = TAPS * self.pixel if self.in_row else SIDE
        return (taps - conv.kernel[1]) * conv.dilation[1] * conv.x[-1]

    def weights(self, weight: Array) -> Array:
        """Return weights [K, *kernel, C] as NE16's 3x3 taps, padded with zeros: [K, 9, inputs of a
        pixel]."""
        k, c = len(weight), weight.shape[-1]
        taps = weight.reshape(k, -1, c)
        more = TAPS * self.pixel - taps.shape[1]
        return np.pad(taps, ((0, 0), (0, more), (0, 0))).reshape(k, TAPS, -1)

    def first_units(self, first: int, units: int) -> int:
        """Return the results of a tile's first job, near `first`, that leave whole 3x3 blocks of
        outputs, or at least whole rows of three, to the later jobs.

        Then only the first job stores results beyond its own, which the next job overwrites.
        units   results of the tile
        """
        if not self.in_row or units <= self.least:
            return first
        tile = SIDE * self.least
        rest = (units - first) // tile * tile
        if rest == 0 and units % self.least:
            rest = min(tile, units // self.least * self.least)
        return units - rest

    def is_cut(self, pixels: Any) -> Any:
        """Return whether a row with this many results takes one job more than its 3x3 blocks
        need."""
        return self.in_row & (pixels % self.least > 0) & (pixels > self.least)


def _of_row(taps: int, stride: int, dilation: int) -> Phases | None:
    if dilation == 1:
        pixel = int(round_up(ceil_div(taps, TAPS), stride))
        return Phases(1, pixel // stride, pixel, in_row=True)
    if taps <= TAPS and dilation % stride == 0:
        return Phases(1, dilation // stride, 1, in_row=True)
    return None
