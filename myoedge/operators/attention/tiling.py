# SPDX-License-Identifier: Apache-2.0
"""Tiling of attention over heads, rows and keys, with estimated cycles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array, round_up
from myoedge.numerics.element_type import INT16
from myoedge.operators.attention import wide
from myoedge.operators.attention.exponentials import is_fine, kernel_of, row_bytes
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.targets.chip import Engine


def broadcast_dims(shape: Shape, *lead: AffineExpr) -> tuple[AffineExpr, ...]:
    """Return the index expressions of a bias or mask along batch and heads; () along an axis of
    size 1, which is broadcast.

    shape   shape of the bias or mask
    lead    index expressions of the loops over batch and heads
    """
    return tuple(dim if n > 1 else () for n, dim in zip(shape, lead, strict=False))


def added(attrs: Attrs, shapes: Sequence[Shape]) -> dict[str, int]:
    """Return name -> position of the optional operands: {"bias": 3, "mask": 4} for both."""
    count, masked = len(shapes), bool(attrs.get("masked"))
    return ({"bias": 3} if count - masked > 3 else {}) | ({"mask": count - 1} if masked else {})


def seen(attrs: Attrs, rows: int, keys: int) -> tuple[Array, Array]:
    """Return the half-open interval of keys that each row attends to, as two int64 arrays [rows]:
    first key and end.

    attrs["window"]   (before, after): row i attends to keys i - before .. i + after; None: to all
                      keys
    """
    at = np.arange(rows)
    before, after = attrs["window"] or (rows + keys, rows + keys)
    return np.maximum(at - before, 0), np.minimum(at + after + 1, keys)


def in_window(attrs: Attrs, rows: int, keys: int) -> Array:
    """Return the window as a bool mask [rows, keys]: whether the row attends to the key."""
    first, end = seen(attrs, rows, keys)
    at = np.arange(keys)
    return np.asarray((at >= first[:, None]) & (at < end[:, None]))


def sizes_of(step: QuantizedNode) -> dict[str, Any]:
    """Return the sizes of an attention layer, by field name of its C struct."""
    (b, n, h, d), (_, m, _, _), v = step.shapes[:3]
    before, after = step.attrs["window"] or (n + m, n + m)
    sizes = {"batch": b, "rows": n, "heads": h, "width": d, "keys": m, "out_width": v[2]}
    return {
        **sizes,
        "v_row": v[3],
        "before": before,
        "after": after,
        "flat": int(bool(step.attrs.get("flat"))),
    }


# Work in words of 4 x 4 sums: per exponential, row of them, block of scores, block of values.
EXPONENTIAL, ROW, SCORES, VALUES = 0.4, 19, 0.8, 9
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
    tiled = _of_all_widths(step, engine)
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


def _of_all_widths(step: QuantizedNode, engine: Engine) -> TiledKernel:
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
        operands=tuple(_operands(step)),
        op={n: sizes[n] for n in kept},
        tile=_tile_fields,
        # me_attention_scratch_bytes
        scratch=lambda tile: tile["h"] * round_up(tile["row"], 4) * (each + 8),
        work=lambda tile: _work(step, engine.cores, tile),
    )


def _operands(step: QuantizedNode) -> Iterator[Operand]:
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
    heads = {"heads": q.extent[2], **{f"{n}_step": _step(regions.get(n)) for n in ("bias", "mask")}}
    rows = {"rows": q.extent[1], "first_row": q.start[1]}
    keys = {"keys": k.extent[1], "first_key": k.start[1] if k.extent[1] else 0}
    values = {"values": v.extent[3], "first_value": v.start[3]}
    return {**places, **rows, **keys, **values, **heads}


def _step(added: Region | None) -> int:
    """Return the bytes from one head's mask to the next; 0 if all heads share one mask."""
    return math.prod(added.extent[2:]) if added is not None and added.extent[1] > 1 else 0


def _work(step: QuantizedNode, cores: int, tile: Sizes) -> Any:
    """Return the work units of a tile's visible keys: words of 4 x 4 sums of scores and values, and
    exponentials."""
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
    return (scores + values + exponentials) * part
