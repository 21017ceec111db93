# SPDX-License-Identifier: Apache-2.0
"""Requantisation that a file gives, as an operator of its own.

Behind sums it is theirs (the attribute `requant` of their node), behind 8 bits a table: what is
left reads 16 bits, or has a multiplier for every channel.
"""

from __future__ import annotations

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.numerics.fixed_point import MULT_MAX
from myoedge.numerics.stated_requant import given_requant
from myoedge.operators.base import (
    OpDef,
    QuantizedNode,
    QuantizeInputs,
    register,
)
from myoedge.operators.common_rules import (
    always,
    axis_permuted,
    beside_axis,
    elementwise,
    same_shape,
    stored_bound,
    wide_scalars,
)
from myoedge.operators.elementwise import tiling as flat
from myoedge.operators.elementwise.definition import ChannelParams
from myoedge.operators.kernel import on_cluster


def real(attrs: Attrs, x: Array) -> Array:
    """The accumulator is the operand; the interpreter requantises it."""
    return x


def quantize(inputs: QuantizeInputs) -> ChannelParams:
    """y = (x * mult[c] + offset[c]) >> shift[c], the operand's zero point in the offset."""
    x, r = inputs.params(0), given_requant(inputs.attrs, inputs.target.zero_point)
    assert r is not None, "a requantisation without numbers"
    extent = inputs.shapes[0][inputs.attrs["axis"]]
    mult, shift = (np.broadcast_to(v, extent).astype(np.int64) for v in (r.mult, r.shift))
    offset = np.broadcast_to(r.offset, extent) - x.zero_point * mult
    large = bool((np.abs(mult) > MULT_MAX).any())
    wide = wide_scalars(x, inputs.target) or ({"x_wide": 0, "y_wide": 0} if large else {})
    return ChannelParams(
        mult=None if wide else mult.astype(np.int32),
        factor=mult.astype(np.int32) if wide else None,
        offset=offset.astype(np.int32),
        shift=shift.astype(np.int32),
        acc_bound=int((-x.low * np.abs(mult) + np.abs(offset)).max()),
        **wide,
    )


def integer(step: QuantizedNode, x: Array) -> Array:
    """x int8 or int16 [*outer, C, *inner] -> int8."""
    along = [-1 if d == step.attrs["axis"] % x.ndim else 1 for d in range(x.ndim)]
    mult, offset, shift = (v.reshape(along).astype(np.int64) for v in flat.channel_numbers(step))
    y = (x.astype(np.int64) * mult + offset) >> shift
    return np.asarray(np.clip(y, step.low, step.high), step.element_type.dtype)


REQUANT_SHIFT = register(
    OpDef(
        name="requant_shift",
        doc="multipliers, additions and a shift that the file gives, of whole numbers",
        shape=same_shape,
        nest=elementwise,
        real=real,
        integer=integer,
        quantize=quantize,
        params=(ChannelParams,),
        acc_bound=stored_bound,
        kernels=on_cluster(flat.per_channel),
        epilogue=True,
        permute_rule=axis_permuted,
        streaming_rule=beside_axis,
        accepts_int16=always,
    )
)
