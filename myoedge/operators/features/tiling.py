# SPDX-License-Identifier: Apache-2.0
"""Tiling of time-domain features over windows and channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.features.factors import features_of
from myoedge.operators.kernel import OUT, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.targets.chip import Engine

CONSTANTS = ("parts", "factors", "each")
STEPS = {"value": 6, "abs": 7, "product": 9, "larger": 11}  # instructions of a factor
TEST = 9  # of a factor that is tested, more


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Tile x [N, C, T] and y [N, K, C] over N and C; a core computes whole sums."""
    (n, channels, length), results = step.shapes[0], step.out[1]
    window, channel = (("n", 1),), (("c", 1),)
    x_size, y_size = step.read_type(0).size_bytes, step.element_type.size_bytes
    features = features_of(step.attrs)
    # the factors behind one that does not hold are not computed
    first = [STEPS[f[0].form] + (TEST + 5 * (len(f) > 1) if f[0].test else 0) for f in features]
    mean = sum(first) / results

    def work(sizes: Sizes) -> Any:
        """Instructions of the core that has most sums."""
        sums = np.ceil(sizes["n"] * sizes["c"] * results / engine.cores)
        return sums * (mean * length + 60)

    return TiledKernel(
        function="me_features_s16",
        axes={"n": n, "c": channels},
        split=("n", "c"),
        operands=(
            Operand("x", 0, (n, channels, length), (window, channel, ()), itemsize=x_size),
            *(Operand.whole(name, getattr(step.integers, name)) for name in CONSTANTS),
            Operand("y", OUT, (n, results, channels), (window, (), channel), itemsize=y_size),
        ),
        op={
            "length": length,
            "channels": channels,
            "results": results,
            "x_zero": step.integers.x_zero,
            **step.wide_flags("x", "y"),
            **{name: f"@{name}" for name in CONSTANTS},
        },
        tile=_tile_fields,
        work=work,
    )


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    x = regions["x"]
    return {"x": "@x", "y": "@y", "n": x.extent[0], "c": x.extent[1], "first": x.start[1]}
