# SPDX-License-Identifier: Apache-2.0
"""Operands and regions of convolutions whose rows and columns are exchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from myoedge.operators.kernel import Fields, Operand, Region

T = TypeVar("T")


def _swapped(parts: tuple[T, ...]) -> tuple[T, ...]:
    """Return a tuple of per-dimension values with the row and column values exchanged."""
    return (*parts[:1], *parts[2:3], *parts[1:2], *parts[3:])


def turned_region(region: Region) -> Region:
    """Return a region of rows and columns as one of columns and rows."""
    parts = (region.start, region.extent, region.before, region.after)
    return Region(*map(_swapped, parts))


def turned_operand(operand: Operand) -> Operand:
    """Return an operand indexed by columns and rows with its dimensions in memory order: rows, then
    columns."""
    shape, first = _swapped(operand.shape), _swapped(operand.first)
    return replace(operand, shape=shape, dims=_swapped(operand.dims), first=first)


def turned_strides(regions: Mapping[str, Region]) -> Fields:
    """Bytes between rows and columns of regions that were turned."""
    x, y = (regions[name].extent for name in "xy")
    c, k = x[3] * x[4], y[3] * y[4]
    return {
        "conv.row_stride": c,
        "x_column": x[1] * c,
        "conv.y_stride": y[1] * k,
        "y_row": k,
    }
