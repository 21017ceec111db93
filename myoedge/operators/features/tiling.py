# SPDX-License-Identifier: Apache-2.0
"""Tiling of time-domain features over windows and channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode, QuantizedParams
from myoedge.operators.features.factors import unpacked
from myoedge.operators.kernel import OUT, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.targets.chip import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesParams(QuantizedParams):
    """Integer constants of features: y = (((sum >> down) * mult + (offset << shift - 8)) >> shift.

    parts     int32 [K, 3]: first factor, number of factors, down; in groups that share a pass as
              `Group.parts`
    factors   int32 [f, 7]: form, a, b, test and limit, as in operators/features/factors.py
    groups    int32 [G, 5]: first feature, number of features, factor, first edge, number of edges
    edges     int32 [e]: sorted limits of groups that count samples in cells, at least one
    each      int32 [K * C, 3]: mult, offset in 1/256 output steps, shift
    x_zero    zero point of the samples
    """

    parts: Array
    factors: Array
    groups: Array
    edges: Array
    each: Array
    x_zero: int
    acc_bound: int


CONSTANTS = ("parts", "factors", "groups", "edges", "each")
STEPS = {"value": 6, "abs": 7, "product": 9, "larger": 11}  # instructions per factor
TEST = 9  # extra instructions per test
CELL, HALF = 6, 5  # instructions per count, and per step of the binary search for its cell
RATIO = 450  # instructions per step of Levinson's recursion


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel for x [N, C, T] and y [N, K, C], tiled over N and C; each sum is
    computed by one core."""
    (n, channels, length), results = step.shapes[0], step.out[1]
    window, channel = (("n", 1),), (("c", 1),)
    x_size, y_size = step.read_type(0).size_bytes, step.element_type.size_bytes
    numbers = step.integers
    each = [_count_instructions(numbers, group, length) for group in numbers.groups.tolist()]

    def work(sizes: Sizes) -> Any:
        """Return the instructions on the core with the most groups of features."""
        groups = np.ceil(sizes["n"] * sizes["c"] * len(each) / engine.cores)
        return groups * (sum(each) / len(each) + 60)

    return TiledKernel(
        function="me_features_s16",
        axes={"n": n, "c": channels},
        split=("n", "c"),
        operands=(
            Operand("x", 0, (n, channels, length), (window, channel, ()), itemsize=x_size),
            *(Operand.whole(name, getattr(numbers, name)) for name in CONSTANTS),
            Operand("y", OUT, (n, results, channels), (window, (), channel), itemsize=y_size),
        ),
        op={
            "length": length,
            "channels": channels,
            "results": results,
            "group_count": len(each),
            "x_zero": numbers.x_zero,
            **step.wide_flags("x", "y"),
            **{name: f"@{name}" for name in CONSTANTS},
        },
        tile=_tile_fields,
        work=work,
    )


def _count_instructions(numbers: FeaturesParams, group: Sequence[int], length: int) -> int:
    """Return the number of instructions for a group of features in one window."""
    row, _, at, _, edges = group
    rows = numbers.factors[at : at + (1 if edges else numbers.parts[row, 1])]
    factors = [unpacked(numbers) for numbers in rows] or [unpacked(numbers.factors[at])]
    first = factors[0]
    if first.form == "ar":
        lags, order = first.a[0] + 1, first.a[0]
        return lags * STEPS["product"] * length + order * RATIO
    if edges:
        return (STEPS[first.form] + CELL + HALF * edges.bit_length()) * length
    # factors after a test that fails are not computed
    test = TEST + 5 * (len(factors) > 1) if first.test else 0
    return (STEPS[first.form] + test) * length


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    x = regions["x"]
    return {"x": "@x", "y": "@y", "n": x.extent[0], "c": x.extent[1], "first": x.start[1]}
