# SPDX-License-Identifier: Apache-2.0
"""Functions of one number as tables: 256 entries, or points of 16 bits and lines between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.fixed_point import lookup
from myoedge.numerics.pointwise import Chain, evaluate, is_continuous
from myoedge.numerics.quant_params import QuantParams, quantize
from myoedge.operators.base import (
    OpDef,
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    register,
)
from myoedge.operators.common_rules import (
    always,
    broadcast_streaming_rule,
    elementwise,
    same_attrs,
    same_shape,
)
from myoedge.operators.elementwise import tiling as flat
from myoedge.operators.kernel import on_cluster

DIRECT = 64  # magnitudes below it have points of their own, octaves above it as many
TOP = DIRECT.bit_length() - 1
HALF = DIRECT * 11 + 2  # ME_TABLE_HALF: points of a sign, up to a magnitude of 2**16
FINER = 8  # bits of points beyond results of 8 bits


def make_table(chain: Chain, x: QuantParams, y: QuantParams) -> Array:
    """int8 [256]: the chain at every int8 input; NaN is the zero point, infinities saturate."""
    return _stored(evaluate(chain, (np.arange(-128, 128) - x.zero_point) * x.scale), y)


def _stored(values: Array, y: QuantParams) -> Array:
    return quantize(np.where(np.isnan(values), 0.0, np.clip(values, -1e290, 1e290)), y)


def _near_0(chain: Chain, scale: float) -> float:
    """The chain half a step beside 0, on the side where it is defined: what 0 stands for too."""
    above, below = evaluate(chain, np.array([0.5, -0.5]) * scale)
    return float(below if np.isnan(above) else above)


def points() -> Array:
    """int64 [HALF]: magnitudes of the points of a sign."""
    at = np.arange(HALF)
    shift = np.maximum(at // DIRECT - 1, 0)
    return np.asarray((at - DIRECT * shift) << shift)


def _quantize(inputs: QuantizeInputs) -> QuantizedParams:
    """256 entries between numbers of 8 bits; else what me_table_s16 reads, where results of 8 bits
    have FINER bits more."""
    chain, x, y = inputs.attrs["chain"], inputs.params(0), inputs.target
    if x.element_type == y.element_type == INT8:
        return QuantizedParams({}, {"lut": make_table(chain, x, y)})
    drop = 16 - y.element_type.bits
    fine = QuantParams(y.scale / (1 << drop), y.zero_point << drop, INT16)
    if x.element_type == INT8:
        at = np.arange(-128, 128) - x.zero_point
    else:
        at = np.concatenate([points(), -points()])
    values = evaluate(chain, at * x.scale)
    values = np.where(np.isinf(values) & (at == 0), _near_0(chain, x.scale), values)
    scalars = {"x_wide": int(x.element_type == INT16), "x_zero": x.zero_point, "drop": drop}
    return QuantizedParams(scalars, {"lut": _stored(values, fine)})


def _integer(step: QuantizedNode, x: Array) -> Array:
    """x int8 or int16 -> int8 or int16."""
    table = step["lut"]
    if table.dtype == np.int8:
        return lookup(x, table)
    found, rest, shift = _at(table.astype(np.int64), x, step)
    bits = shift + step["drop"]
    y = (found[0] * (1 << shift) + (found[1] - found[0]) * rest + (1 << bits >> 1)) >> bits
    return np.asarray(np.clip(y, step.low, step.high), step.element_type.dtype)


def _at(table: Array, x: Array, step: QuantizedNode) -> tuple[tuple[Array, Array], Array, Array]:
    """(the points below and above, steps from the one below, log2 of the steps between both)."""
    if x.dtype == np.int8:
        entry, none = lookup(x, table), np.zeros(x.shape, np.int64)
        return (entry, entry), none, none
    v = x.astype(np.int64) - step["x_zero"]
    size = np.abs(v)
    shift = np.frexp(np.maximum(size, DIRECT).astype(np.float64))[1].astype(np.int64) - 1 - TOP
    low = np.where(v < 0, HALF, 0) + (size >> shift) + DIRECT * shift
    return (table[low], table[low + 1]), size & ((1 << shift) - 1), shift


def _is_smooth(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> bool:
    """Whether lines between points mean the function: it does not jump."""
    return is_continuous(attrs["chain"])


TABLE = register(
    OpDef(
        name="table",
        doc="any function of one number: activations, abs, square, exp, log, ...",
        shape=same_shape,
        nest=elementwise,
        real=lambda attrs, x: evaluate(attrs["chain"], x).astype(x.dtype),
        integer=_integer,
        quantize=_quantize,
        kernels=on_cluster(flat.lookup),
        permute_rule=same_attrs,
        accepts_int16=_is_smooth,
        emits_int16=always,
        streaming_rule=broadcast_streaming_rule,
    )
)
