# SPDX-License-Identifier: Apache-2.0
"""Group norm: mean and standard deviation per group of channels.

Instance norm is a group norm with one channel per group. Layer norm and RMS norm of long rows use
one group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.c import WORKERS
from myoedge.numerics.arrays import Array
from myoedge.operators.attributes import AXIS, FLAG, GROUPS, NOT_NEGATIVE
from myoedge.operators.base import QuantizedNode, QuantizeInputs, add_operator
from myoedge.operators.common_rules import same_shape
from myoedge.operators.format import EITHER, INT8_ALONE, LIMITED, SIXTEEN, Condition, Format
from myoedge.operators.kernel import (
    OUT,
    AffineExpr,
    Fields,
    Operand,
    Sizes,
    TiledKernel,
    on_cluster,
)
from myoedge.operators.library.packing import limit_fields, table_operand
from myoedge.operators.norm.definition import NormParams, affine_params, learnt, line, on_line
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import ByHand, Constants, Weights
from myoedge.targets.chip import Engine

LENGTH_MAX = 2**20  # elements per group: an int8 sum times their number fits 48 bits
WIDE_LENGTH_MAX = 2**16  # int16 elements per group: sum of squares times number fits 62 bits
NORMAL_BITS = 17  # bits of a normalised value without the sign
FRACTION_BITS = 12  # maximum fraction bits of a normalised value
PARTS = WORKERS  # ME_GROUP_CORES, on every chip
MOMENTS = 16  # bytes per core for a sum and a sum of squares
AROUND = 60  # overhead per group, in elements


class Layout(NamedTuple):
    """The shape of a group norm's input as [rows, positions, groups, channels per group, inner].

    positions, inner   products of the extents before and after the channel axis
    """

    rows: int
    positions: int
    groups: int
    channels: int
    inner: int

    @property
    def length(self) -> int:
        """Number of elements in a group, over which the mean is taken."""
        return self.positions * self.channels * self.inner


def layout(attrs: Attrs, x: Shape) -> Layout:
    axis, groups = attrs["axis"], attrs["groups"]
    channels = x[axis] // groups
    return Layout(x[0], math.prod(x[1:axis]), groups, channels, math.prod(x[axis + 1 :]))


def real(attrs: Attrs, x: Array, gain: Array, offset: Array) -> Array:
    """Compute group norm in float64, because float32 leaves few significant digits in nearly
    constant groups."""
    at = layout(attrs, x.shape)
    rows = x.astype(np.float64).reshape(at)
    if attrs["centred"]:
        rows = rows - rows.mean(axis=(1, 3, 4), keepdims=True)
    square = np.square(rows).mean(axis=(1, 3, 4), keepdims=True)
    each = (at.groups, at.channels, 1)
    y = rows / np.sqrt(square + attrs["eps"]) * gain.reshape(each) + offset.reshape(each)
    return np.asarray(y.reshape(x.shape), x.dtype)


def fraction_bits(length: int) -> int:
    """Return the fraction bits of a normalised value stored in NORMAL_BITS bits; its magnitude is
    at most sqrt(length)."""
    return min(NORMAL_BITS - math.ceil(math.log2(length) / 2), FRACTION_BITS)


def quantize(inputs: QuantizeInputs) -> NormParams:
    """Return the constants of y = (n * gain + offset) >> shift, where n is the normalised value and
    all channels share the shift."""
    length = layout(inputs.attrs, inputs.shapes[0]).length
    return affine_params(inputs, length, fraction_bits(length), NORMAL_BITS)


SHORT = Condition(  # Sums of int16 squares fit 62 bits.
    f"groups of at most {WIDE_LENGTH_MAX:,} elements",
    lambda attrs, shapes, out: layout(attrs, out).length <= WIDE_LENGTH_MAX,
)
FORMATS = (
    INT8_ALONE,
    Format(writes=SIXTEEN, where=LIMITED),
    Format((EITHER,), where=SHORT),
    Format((EITHER,), SIXTEEN, where=SHORT & LIMITED),
)


def integer(step: QuantizedNode, x: Array) -> Array:
    """Normalise the groups of x in integers with 64-bit statistics; int8 or int16 -> int8 or
    int16."""
    at = layout(step.attrs, x.shape)
    rows, length = x.astype(np.int64).reshape(at), at.length
    total = rows.sum(axis=(1, 3, 4), keepdims=True)
    squares = np.square(rows).sum(axis=(1, 3, 4), keepdims=True)
    middle = total if step.attrs["centred"] else np.full_like(total, length * step.integers.x_zero)
    spread = (
        length * squares + middle * (middle - 2 * total) >> 2 * step.integers.down
    )  # at least 0
    spread += step.integers.eps_high * 2**31 + step.integers.eps_low
    bits = fraction_bits(length) - step.integers.down
    along = line(np.maximum(spread, 1), length, middle, bits, NORMAL_BITS)
    gain, offset = (
        getattr(step.integers, name).reshape(at.groups, at.channels, 1)
        for name in ("gain", "offset")
    )
    y = (on_line(rows, along) * gain + offset) >> step.integers.shift
    return np.asarray(np.clip(y, step.low, step.high), step.element_type.dtype).reshape(x.shape)


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a group norm; tiles divide rows and groups. If there are few
    groups, all cores share each group; otherwise each core computes whole groups."""
    at = layout(step.attrs, step.out)
    fields, wide = _group_norm_fields(step, at), step.wide_flags("x", "y")

    def work(sizes: Sizes) -> Any:
        """Return the elements of the busiest core; int16 squares take a quarter more."""
        groups = sizes["row"] * sizes["group"]
        length = at.length * (1.25 if wide["x_wide"] else 1.0)
        shared = groups * (length / engine.cores + AROUND)
        own = np.ceil(groups / engine.cores) * (length + AROUND)
        return np.where(groups < engine.cores, shared, own)

    return TiledKernel(
        function="me_group_norm_s16" if step.has_int16 else "me_group_norm_s8",
        axes={"row": at.rows, "group": at.groups},
        split=("row", "group"),
        operands=_group_norm_operands(step, at),
        op={**fields, **(wide if step.has_int16 else {})},
        tile=lambda regions: {
            **{name: f"@{name}" for name in ("x", "y", "pairs", "scratch")},
            "rows": regions["y"].extent[0],
            "groups": regions["y"].extent[2],
        },
        scratch=lambda sizes: PARTS * PARTS * MOMENTS,
        work=work,
    )


def _group_norm_operands(step: QuantizedNode, at: Layout) -> tuple[Operand, ...]:
    shape = (at.rows, at.positions, at.groups, at.channels * at.inner)
    row, group = (("row", 1),), (("group", 1),)
    index: tuple[AffineExpr, ...] = (row, (), group, ())
    pairs = np.stack([step.integers.gain, step.integers.offset], axis=1)
    return (
        Operand("x", 0, shape, index, itemsize=step.read_type(0).size_bytes),
        Operand("pairs", "pairs", (at.groups, 8 * at.channels), (group, ()), array=pairs),
        *table_operand(step),
        Operand("y", OUT, shape, index, itemsize=step.element_type.size_bytes),
    )


def _group_norm_fields(step: QuantizedNode, at: Layout) -> Fields:
    return {
        "positions": at.positions,
        "channels": at.channels,
        "inner": at.inner,
        "bits": fraction_bits(at.length) - step.integers.down,
        "centred": int(step.attrs["centred"]),
        **step.integers.named(("x_zero", "shift", "eps_low", "eps_high", "down")),
        **limit_fields(step),
        "scale.pre": 0,
    }


def streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a group norm: row by row along the first axis; None for other
    axes."""
    return StreamingRule(0) if at.axis == at.operand == 0 else None


def permute_rule(attrs: Attrs, perm: Sequence[int]) -> Attrs | None:
    """Return the attributes after a permutation of axes that keeps the first axis (rows) first;
    None for other permutations."""
    return {**attrs, "axis": perm[attrs["axis"]]} if perm[0] == 0 else None


GROUP_NORM = add_operator(
    name="group_norm",
    attributes={"axis": AXIS, "groups": GROUPS, "eps": NOT_NEGATIVE, "centred": FLAG},
    doc="group norm and instance norm; layer norm and RMS norm of up to 1,048,576 elements",
    shape=same_shape,
    real=real,
    integer=ByHand(integer),
    constants=Constants(quantize, kinds=(NormParams,), learnt=learnt(NORMAL_BITS)),
    kernels=on_cluster(in_tiles, *FORMATS),
    weights=Weights((1, 2)),
    epilogue=True,
    permute_rule=permute_rule,
    streaming_rule=streaming_rule,
)
