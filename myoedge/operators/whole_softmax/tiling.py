# SPDX-License-Identifier: Apache-2.0
"""Softmax of whole numbers in tiles of whole rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, Dim, Fields, Operand, Sizes, TiledKernel
from myoedge.targets.chip import Engine


def integer_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    op = {"most": step.attrs["levels"] - 1, "exp": "@exp"}
    return _rows(
        step,
        engine,
        "me_whole_softmax_s8",
        op,
        {"exp": step.integers.exp.astype(np.uint32).view(np.int32)},
    )


def shift_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    op = {name: step.attrs[name] for name in ("most", "group")}
    return _rows(step, engine, "me_shift_softmax_s8", op, {})


def _rows(
    step: QuantizedNode,
    engine: Engine,
    kernel: str,
    op: Mapping[str, int | str],
    arrays: Mapping[str, Array],
) -> TiledKernel:
    length = step.out[-1]
    shape = (math.prod(step.out) // length, length)
    index: tuple[Dim, ...] = ((("row", 1),), ())

    def work(sizes: Sizes) -> Any:
        """Numbers of the core that has most, and what comes once a row."""
        return -(-sizes["row"] // engine.cores) * (length + 4)

    def tile(regions: Mapping[str, Any]) -> Fields:
        return {"x": "@x", "y": "@y", "rows": regions["y"].extent[0]}

    return TiledKernel(
        function=kernel,
        axes={"row": shape[0]},
        split=("row",),
        operands=(
            Operand("x", 0, shape, index),
            *(Operand.whole(name, array) for name, array in arrays.items()),
            Operand("y", OUT, shape, index),
        ),
        op={"length": length, **op},
        tile=tile,
        work=work,
    )
