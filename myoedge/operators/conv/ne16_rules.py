# SPDX-License-Identifier: Apache-2.0
"""Constraints of NE16 on convolutions, each as a function that returns None or the violated
requirement, and forms of convolutions that its jobs compute.

NE16 moves by the same number of bytes from output to output and from tap to tap. If its pixels are
d positions apart, a 3x3 job applies a kernel of dilation d to every d-th result, and d jobs compute
all results: one per phase. If a pixel contains the inputs of d positions, the taps in between are
computed too: so kernels of one row with many taps are computed. In turned convolutions rows and
columns of operands and regions are exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div, round_up
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.kernel import Fields, Operand, Region
from myoedge.operators.library.ne16_jobs import SIDE

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
            return _row_form(conv.kernel[1], conv.stride[1], conv.dilation[1])
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


ONE_PHASE = Phases(1, 1, 1, in_row=False)


def _row_form(taps: int, stride: int, dilation: int) -> Phases | None:
    if dilation == 1:
        pixel = int(round_up(ceil_div(taps, TAPS), stride))
        return Phases(1, pixel // stride, pixel, in_row=True)
    if taps <= TAPS and dilation % stride == 0:
        return Phases(1, dilation // stride, 1, in_row=True)
    return None


def is_filter(conv: Conv2dGeometry) -> bool:
    return conv.kernel == (3, 3) and conv.stride == conv.dilation == (1, 1)


def one_group_or_depthwise(step: QuantizedNode) -> ConstraintViolation | None:
    """Require one group, or a depthwise convolution with a 3x3 filter or a row of up to nine taps,
    of stride 1.

    -> None, or the violated requirement
    """
    groups, inputs, outputs = step.attrs["groups"], step.shapes[0][-1], step.out[-1]
    conv = Conv2dGeometry.of(step)
    phases = Phases.of(conv)
    has_jobs = phases is not None and phases.pixel == 1
    if groups == 1 or (groups == inputs == outputs and has_jobs):
        return None
    fits, kernel = conv.kernel == (SIDE, SIDE), "3x3"
    if len(step.out) == len(("n", "t", "c")):
        fits, kernel = conv.kernel[1] <= SIDE * SIDE, "up to 9"
    rules = (
        (groups == inputs, "one group, or one for each input", f"{groups} groups"),
        (
            outputs == inputs,
            "equal numbers of outputs and inputs, or one group",
            f"{outputs} of {inputs}",
        ),
        (fits, f"a kernel of {kernel}, or one group", _format_sizes(conv.kernel)),
        (conv.stride == (1, 1), "stride 1, or one group", _format_sizes(conv.stride)),
    )
    needs, has = next((needs, has) for is_kept, needs, has in rules if not is_kept)
    rest = "stride 1 and equal numbers of outputs and inputs"
    change = f"a convolution with groups=1, or a depthwise one of {kernel} with {rest}"
    return ConstraintViolation(needs, has, change)


def _format_sizes(numbers: tuple[int, int]) -> str:
    """Format sizes along two axes: "3x3"."""
    return "x".join(map(str, numbers))


def not_depthwise(step: QuantizedNode) -> ConstraintViolation | None:
    """Require several inputs or outputs per group: merged groups would be no faster than the cores.

    -> None, or the violated requirement
    """
    groups = step.attrs.get("groups", 1)
    if groups == 1 or groups < max(step.shapes[0][-1], step.out[-1]):
        return None
    return ConstraintViolation(
        "several channels per group, with int16", "one", "a convolution with groups=1"
    )


def in_one_group(step: QuantizedNode) -> ConstraintViolation | None:
    """Require one group, for convolutions whose sums the cores requantise.

    -> None, or the violated requirement
    """
    groups = step.attrs["groups"]
    if groups == 1:
        return None
    return ConstraintViolation("one group", f"{groups} groups", "a convolution with groups=1")


def has_windows_in_one_group(step: QuantizedNode) -> ConstraintViolation | None:
    """Require one group and a kernel larger than 1x1, as conv_by_channels_on_ne16 does.

    -> None, or the violated requirement; conv_on_ne16 supports the other layers
    """
    groups, conv = step.attrs["groups"], Conv2dGeometry.of(step)
    if groups == 1 and not conv.pointwise:
        return None
    has = "a kernel of 1x1" if conv.pointwise else str(groups)
    return ConstraintViolation(
        "windows in one group of channels", has, "a convolution with groups=1"
    )


def has_rows(step: QuantizedNode) -> ConstraintViolation | None:
    """Require a 3x3 kernel, or a kernel of one row with several rows of results.

    -> None, or the violated requirement
    """
    conv = Conv2dGeometry.of(step)
    if is_filter(conv) or (conv.kernel[0] == conv.dilation[1] == 1 < conv.y[1]):
        return None
    has = _format_sizes(conv.kernel)
    return ConstraintViolation(
        "a kernel of 3x3, or of one row", has, "a kernel of 3x3 or of one row, of stride 1"
    )


T = TypeVar("T")


def _swap_axes(parts: tuple[T, ...]) -> tuple[T, ...]:
    """Return a tuple of per-dimension values with the row and column values exchanged."""
    return (*parts[:1], *parts[2:3], *parts[1:2], *parts[3:])


def turned_region(region: Region) -> Region:
    """Return a region of rows and columns as one of columns and rows."""
    parts = (region.start, region.extent, region.before, region.after)
    return Region(*map(_swap_axes, parts))


def turned_operand(operand: Operand) -> Operand:
    """Return an operand indexed by columns and rows with its dimensions in memory order: rows, then
    columns."""
    shape, first = _swap_axes(operand.shape), _swap_axes(operand.first)
    return replace(operand, shape=shape, dims=_swap_axes(operand.dims), first=first)


def turned_strides(regions: Mapping[str, Region]) -> Fields:
    """Bytes between rows and columns of regions that were turned."""
    x, y = (regions[name].extent for name in "xy")
    c, k = x[3] * x[4], y[3] * y[4]
    return {"conv.row_stride": c, "x_column": x[1] * c, "conv.y_stride": y[1] * k, "y_row": k}
