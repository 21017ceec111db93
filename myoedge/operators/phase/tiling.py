# SPDX-License-Identifier: Apache-2.0
"""Tiling of atan2."""

from __future__ import annotations

from dataclasses import replace

from myoedge.operators.base import QuantizedNode
from myoedge.operators.elementwise.tiling import pair, wide_pair
from myoedge.operators.kernel import Operand, TiledKernel
from myoedge.operators.products.packing import scale_fields
from myoedge.targets.chip import Engine

NUMBERS = ("a_zero", "b_zero", "a_mult", "b_mult", "mult", "offset", "shift")


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of atan2 for two broadcast operands; every tile reads the whole table
    of angles."""
    if step.has_int16:
        op = {**step.integers.named(NUMBERS), **scale_fields(step)}
        tiled = wide_pair(step, engine, "me_atan2_s16", op)
    else:
        tiled = pair(step, engine, "me_atan2_s8", NUMBERS)
    *reads, y = tiled.operands
    angles = Operand.whole("angles", step.integers.angles)
    return replace(tiled, operands=(*reads, angles, y), op={**tiled.op, "angles": "@angles"})
