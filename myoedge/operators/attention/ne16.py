# SPDX-License-Identifier: Apache-2.0
"""Attention with both matrix products on NE16; the cores pack keys and values into bit planes.

Each tile of rows packs the keys again, block by block. ne16_resident.py packs them only once, if
all bit planes fit in L1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import round_up
from myoedge.numerics.element_type import INT8
from myoedge.operators.attention import wide
from myoedge.operators.attention.exponentials import is_fine, kernel_of, row_bytes
from myoedge.operators.attention.geometry import sizes_of
from myoedge.operators.base import QuantizedNode
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.kernel import Sizes, TiledKernel
from myoedge.operators.products.ne16_constants import INPUTS, OUTPUTS
from myoedge.operators.products.ne16_cycles import SUMS, pointwise_cycles

ROWS = 12  # scratch has a multiple of this many rows, as in me_ne16_attention_s8.c
PACKED_BYTE, EXPONENTIAL, ROW = 0.75, 1.6, 60.0  # cycles of eight cores per byte, exponential, row
OF_12_BITS = 1.25  # cycles of a 12-bit exponential, relative to an 8-bit one
BESIDE_CORES = 1.15  # factor on the engine's cycles while cores also access L1


def sees_all_keys(step: QuantizedNode) -> ConstraintViolation | None:
    if wide.is_wide(step) or step.element_type != INT8:
        return ConstraintViolation(
            "int8 operands and results", "16 bits", "int8 operands and results around it"
        )
    if step.attrs["window"] is None:
        return None
    return ConstraintViolation(
        "attention to all keys", "a window of keys", "attention without a window"
    )


def on_ne16(tiled: TiledKernel, step: QuantizedNode) -> TiledKernel:
    """Return the NE16 kernel of attention, derived from the cores' kernel `tiled`: NE16 computes
    both matrix products, the cores the exponentials."""
    numbers = engine_sizes(step)
    return replace(
        tiled,
        function=kernel_of(step, "me_ne16_attention"),
        split=("row", "keys"),
        unit_axes=("b", "h"),
        multiples={"row": ROWS, "keys": OUTPUTS // 4},
        scratch=lambda sizes: _scratch(sizes, numbers),
        work=lambda sizes: _cycles(sizes, numbers),
        nine_cores=None,
        l1_only=True,
    )


def engine_sizes(step: QuantizedNode) -> dict[str, int]:
    """Return the sizes of an attention layer, by field name of the NE16 kernel's C struct; "fine"
    is 1 for 12-bit exponentials."""
    return {**sizes_of(step), "fine": int(is_fine(step))}


def _scratch(sizes: Sizes, numbers: Mapping[str, int]) -> Any:
    """Return the scratch bytes of a tile, laid out in me_ne16_attention_s8.h."""
    keys, width, columns = (numbers[name] for name in ("keys", "width", "out_width"))
    part, row = 4 * sizes["keys"], row_bytes(keys, columns, is_fine=bool(numbers["fine"])) + 8
    planes = np.maximum(part * round_up(width, INPUTS), columns * round_up(part, INPUTS))
    return round_up(sizes["row"], ROWS) * row + OUTPUTS + sizes["row"] * width + 4 * part + planes


def _cycles(sizes: Sizes, numbers: Mapping[str, int]) -> Any:
    """Return the cycles for one part of the keys and values: products on NE16 while the cores pack,
    then exponentials."""
    keys, width, columns = (numbers[name] for name in ("keys", "width", "out_width"))
    rows, part = sizes["row"], sizes["keys"] / (round_up(keys, 4) // 2)
    products = pointwise_cycles(rows, width, keys, SUMS)
    products += pointwise_cycles(rows, keys, columns, SUMS) * (1 + numbers["fine"])
    packed = PACKED_BYTE * keys * (width + columns)
    exponential = EXPONENTIAL * (OF_12_BITS if numbers["fine"] else 1.0)
    return part * (np.maximum(BESIDE_CORES * products, packed) + rows * (ROW + exponential * keys))
