# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding: pairs of elements are rotated by angles that depend on the position.

A pair is two adjacent elements. With attrs["halves"] it is element i of the first half of a row and
element i of the second half.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array, outer_inner
from myoedge.numerics.fixed_point import INT32_MAX, MULT_MAX
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.attributes import FLAG, Values, is_whole, optional
from myoedge.operators.base import OpDef, QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.common_rules import (
    axis_permuted,
    last_axis_kept,
    same_shape,
)
from myoedge.operators.format import EITHER_WIDTH
from myoedge.operators.kernel import (
    OUT,
    AffineExpr,
    Fields,
    Operand,
    Region,
    TiledKernel,
    on_cluster,
)
from myoedge.operators.learnt import BOUND, INTEGERS_16, SHIFT, SYMMETRIC_32, Learnt
from myoedge.operators.traits import ByHand, Constants, Weights
from myoedge.targets.chip import Engine


def split(attrs: Attrs, x: Shape, period: int) -> tuple[int, int, int, int]:
    """Return the shape (outer, positions, inner, pairs) to which x is reshaped for the rotation.

    period   rows of the angle table; index i along the axis uses table row i % period
    """
    outer, extent, inner = outer_inner(x[:-1], attrs["axis"])
    return outer * extent // period, period, inner, x[-1] // 2


def paired(attrs: Attrs, x: Array, period: int) -> tuple[Array, Array]:
    """Split x [..., 2 * pairs] into the first and the second elements of all pairs, each [outer,
    positions, inner, pairs].

    period   rows of the angle table
    """
    outer, _, inner, pairs = split(attrs, x.shape, period)
    apart = (2, pairs) if attrs.get("halves") else (pairs, 2)
    first, second = np.moveaxis(x.reshape(outer, period, inner, *apart), _side(attrs), 0)
    return first, second


def together(attrs: Attrs, first: Array, second: Array, shape: Shape) -> Array:
    """Invert `paired`: interleave first and second elements of pairs, and reshape them to
    `shape`."""
    return np.stack([first, second], axis=_side(attrs)).reshape(shape)


def _side(attrs: Attrs) -> int:
    return -2 if attrs.get("halves") else -1


def real(attrs: Attrs, x: Array, cos: Array, sin: Array) -> Array:
    """Rotate the pairs of x [..., 2 * pairs] in floats, by angles given as cosine and sine.

    cos, sin   [positions, pairs], repeated along attrs["axis"]
    """
    a, b = paired(attrs, x, len(cos))
    c, s = cos[:, None], sin[:, None]
    return together(attrs, a * c - b * s, b * c + a * s, x.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class RotaryParams(QuantizedParams):
    """Integer constants of a rotary embedding: y = (sum of pair * turns + offset) >> shift.

    turns   int16 [positions, pairs, 4]: cos, -sin, sin, cos of each angle, times x.scale / y.scale
            * 2**shift
    """

    x_zero: int
    offset: int
    shift: int
    acc_bound: int
    turns: Array


def quantize(inputs: QuantizeInputs) -> RotaryParams:
    """Return the constants of y = ((a * C - b * S) + offset) >> shift, where (a, b) is a pair of x
    minus its zero point, and C and S are cosine and sine in int16.

    C and S have as many bits as int32 sums allow.
    """
    x, y = inputs.params(0), inputs.target
    cos, sin = (inputs.constant(i).astype(np.float64) * x.scale / y.scale for i in (1, 2))
    largest = max(float(np.abs(cos).max()), float(np.abs(sin).max()), 2.0**-30)
    first = int(np.clip(15 - math.frexp(largest)[1], 0, 22))
    tries = (_turned(cos, sin, x, y, shift) for shift in range(first, -1, -1))
    return next(p for p in tries if p.acc_bound <= INT32_MAX)


def _turned(cos: Array, sin: Array, x: QuantParams, y: QuantParams, shift: int) -> RotaryParams:
    parts = [np.clip(np.rint(np.ldexp(t, shift)), -MULT_MAX, MULT_MAX) for t in (cos, sin)]
    offset = (y.zero_point << shift) + ((1 << shift) >> 1)
    c, s = (p.astype(np.int16) for p in parts)
    both = int((np.abs(parts[0]) + np.abs(parts[1])).max(initial=0))
    return RotaryParams(
        x_zero=x.zero_point,
        offset=offset,
        shift=shift,
        acc_bound=x.reach * both + abs(offset),
        turns=np.stack([c, -s, s, c], axis=-1),
    )


def _fits(integers: RotaryParams, site: QuantizeInputs) -> bool:
    """Return whether sums of two products and their offset stay in int32."""
    pairs = np.abs(integers.turns.astype(np.int64).reshape(-1, 2)).sum(axis=1)
    most = site.params(0).reach * int(pairs.max(initial=0)) + abs(integers.offset)
    return most <= integers.acc_bound


LEARNT = Learnt(
    {"turns": INTEGERS_16, "offset": SYMMETRIC_32, "shift": SHIFT, "acc_bound": BOUND}, _fits
)


def integer(step: QuantizedNode, x: Array) -> Array:
    """Rotate the pairs of x, int8 or int16 [..., 2 * pairs] -> the same shape, int8 or int16."""
    turns = step.integers.turns.astype(np.int64)[:, None]
    a, b = paired(step.attrs, x.astype(np.int64) - step.integers.x_zero, len(turns))
    acc = [a * turns[..., i] + b * turns[..., i + 1] + step.integers.offset for i in (0, 2)]
    y = together(step.attrs, acc[0], acc[1], x.shape) >> step.integers.shift
    return np.asarray(np.clip(y, step.low, step.high), step.element_type.dtype)


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a rotary embedding; tiles divide the position axis and the axes
    before it."""
    outer, period, inner, pairs = split(step.attrs, step.out, len(step.integers.turns))
    index: tuple[AffineExpr, ...] = ((("o", 1),), (("p", 1),), (), ())
    shape, halves = (outer, period, inner, 2 * pairs), bool(step.attrs.get("halves"))
    turns = Operand("turns", "turns", (period, 8 * pairs), index[1:3], array=step.integers.turns)
    op = {"inner": inner, "pairs": pairs, **step.integers.named(("x_zero", "offset", "shift"))}
    wide = {
        **step.wide_flags("x", "y"),
        "first": 1 if halves else 2,
        "apart": pairs if halves else 1,
        "low": step.low,
        "high": step.high,
    }
    int8 = "me_rotary_halves_s8" if halves else "me_rotary_s8"
    return TiledKernel(
        function="me_rotary_s16" if step.has_int16 else int8,
        axes={"o": outer, "p": period},
        split=("o", "p"),
        operands=(
            Operand("x", 0, shape, index, itemsize=step.read_type(0).size_bytes),
            turns,
            Operand("y", OUT, shape, index, itemsize=step.element_type.size_bytes),
        ),
        op={**op, **(wide if step.has_int16 else {})},
        tile=_tile_fields,
        work=lambda sizes: -(-sizes["o"] * sizes["p"] // engine.cores) * inner * (pairs + 2),
    )


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    outer, positions = regions["y"].extent[:2]
    places: Fields = {"x": "@x", "turns": "@turns", "y": "@y"}
    return {**places, "outer": outer, "positions": positions}


OTHER_AXIS = Values(
    "an axis before the last", lambda value, site: is_whole(value, 0, len(site.shapes[0]) - 2)
)

ROTARY = register(
    OpDef(
        name="rotary",
        attributes={"axis": OTHER_AXIS, "halves": optional(FLAG)},
        doc="rotary embedding: pairs of neighbours, or of both halves of a row, turned by constant "
        "angles",
        shape=same_shape,
        real=real,
        integer=ByHand(integer),
        constants=Constants(quantize, kinds=(RotaryParams,), learnt=LEARNT),
        kernels=on_cluster(in_tiles, EITHER_WIDTH),
        weights=Weights((1, 2)),
        permute_rule=lambda attrs, perm: last_axis_kept(axis_permuted(attrs, perm), perm),
    )
)
