# SPDX-License-Identifier: Apache-2.0
"""Tiling of attention over heads, rows and keys, with estimated cycles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import round_up
from myoedge.numerics.element_type import INT16
from myoedge.operators.attention import wide
from myoedge.operators.attention.operands import (
    added,
    broadcast_dims,
    is_fine,
    kernel_of,
    row_bytes,
    seen,
    sizes_of,
)
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.targets.chip import Engine

# Work in words of 4 x 4 sums: per exponential, row of them, block of scores, block of values; of
# starting a tile's scores or values.
EXPONENTIAL, ROW, SCORES, VALUES, START = 0.42, 18, 0.8, 6, 46.0
OF_12_BITS = 0.25  # extra work of a 12-bit exponential, relative to an 8-bit one


SCALARS = (
    "half",
    "most",
    "mult",
    "shift",
    "bias_mult",
    "bias_shift",
    "share",
    "offset",
    "out_shift",
)


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the cores' tiled kernel of attention: for int8 operands, or for int16 operands if
    there are any."""
    tiled = _tile_attention(step, engine)
    if wide.is_wide(step):
        return wide.in_tiles(step, engine, tiled)
    flags = {"y_wide": 1} if step.element_type == INT16 else {}
    flags |= {"units": step.integers.units} if is_fine(step) else {}
    return replace(
        tiled,
        function=kernel_of(step, "me_attention"),
        multiples={"row": 4},
        operands=(
            *tiled.operands[:-1],
            Operand.whole("exp", step.integers.exp),
            tiled.operands[-1],
        ),
        op={**tiled.op, **step.integers.named(SCALARS), "exp": "@exp", **flags},
        nine_cores=engine.control_core,
    )


def _tile_attention(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of attention over heads, rows and keys; rows of q, k and v are whole
    words (pad_heads).

    The loop over words of keys runs twice, once for scores and then for values. If keys are tiled,
    a row's scores stay in L1 until all its keys are loaded, and its partial sums until all values
    are.
    """
    sizes = sizes_of(step)
    assert not any(sizes[name] % 4 for name in ("width", "out_width", "v_row"))
    keys, out_width = sizes["keys"], sizes["out_width"]
    each = row_bytes(keys, out_width, is_fine=is_fine(step))
    kept = ("keys", "width", "out_width", "before", "after", "flat")
    return TiledKernel(
        function="me_attention_s8",
        axes={
            "b": sizes["batch"],
            "h": sizes["heads"],
            "row": sizes["rows"],
            "keys": round_up(keys, 4) // 2,
            "lane": 4,
        },
        split=("h", "row", "keys"),
        unit_axes=("b",),
        innermost_axes=("keys",),
        operands=tuple(_attention_operands(step)),
        op={n: sizes[n] for n in kept},
        tile=_tile_fields,
        # me_attention_scratch_bytes
        scratch=lambda tile: tile["h"] * round_up(tile["row"], 4) * (each + 8),
        work=lambda tile: _tile_work(step, engine.cores, tile),
    )


def _attention_operands(step: QuantizedNode) -> Iterator[Operand]:
    shapes, filled = step.shapes, round_up(step.shapes[1][1], 4)
    b, row, h = ((((axis, 1),)) for axis in ("b", "row", "h"))
    keys: AffineExpr = (("keys", 4), ("lane", 1))
    yield Operand("q", 0, shapes[0], (b, row, h, ()))
    yield Operand("k", 1, shapes[1], (b, keys, h, ()))
    yield Operand("v", 2, shapes[2], (b, h, (), keys), first=(0, 0, 0, -filled))
    for name, at in added(step.attrs, shapes).items():
        yield Operand(name, at, shapes[at], (*broadcast_dims(shapes[at], b, h), row, ()))
    yield Operand("y", OUT, step.out, (b, row, h, ()), itemsize=step.element_type.size_bytes)


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    places = {name: f"@{name}" for name in ("q", "k", "v", "bias", "mask", "y", "scratch")}
    q, k, v = (regions[name] for name in "qkv")
    heads = {"heads": q.extent[2]}
    for name in ("bias", "mask"):  # bytes from one head's to the next; 0 if all heads share one
        extent = regions[name].extent if name in regions else (1, 1)
        heads[f"{name}_step"] = math.prod(extent[2:]) if extent[1] > 1 else 0
    rows = {"rows": q.extent[1], "first_row": q.start[1]}
    keys = {"keys": k.extent[1], "first_key": k.start[1] if k.extent[1] else 0}
    values = {"values": v.extent[3], "first_value": v.start[3]}
    return {**places, **rows, **keys, **values, **heads}


def _tile_work(step: QuantizedNode, cores: int, tile: Sizes) -> Any:
    """Return the work units of a tile's visible keys: words of 4 x 4 sums of scores and values, and
    exponentials. A tile of a part of the keys has either scores or values."""
    numbers = sizes_of(step)
    first, end = seen(step.attrs, numbers["rows"], numbers["keys"])
    words = float(np.mean(-(-end // 4) - first // 4))
    rows, part = tile["h"] * tile["row"], tile["keys"] / (round_up(numbers["keys"], 4) // 2)
    groups, across = tile["h"] * -(-tile["row"] // 4), numbers["out_width"] // 4
    scores = np.ceil(groups * words / cores) * (numbers["width"] / 4 + SCORES)
    values = -(-groups * across // cores) * (words + VALUES) * (1 + is_fine(step))
    item = (
        1
        + OF_12_BITS * is_fine(step)
        + 0.5 * (step.integers.bias_mult != 0)
        + 0.6 * (bool(step.attrs.get("masked")))
    )
    exponentials = -(-rows // cores) * (words * 4 * item * EXPONENTIAL + ROW)
    return (scores + values + exponentials) * part + START * np.where(part < 1, 1, 2)
