# SPDX-License-Identifier: Apache-2.0
"""sqrt(a^2 + b^2): magnitudes of complex numbers, without squares between operators."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OpDef, QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.common_rules import (
    broadcast_streaming_rule,
    elementwise,
    not_activated,
    same_attrs,
    same_shape,
    stored_bound,
    with_requant,
)
from myoedge.operators.elementwise.tiling import axes_of
from myoedge.operators.kernel import OUT, Fields, Operand, Region, TiledKernel, on_cluster
from myoedge.operators.loops import Loop
from myoedge.operators.products.packing import scale_fields, with_table
from myoedge.targets.chip import Engine

ROOT_MAX = 2**16 - 1


def real(attrs: Attrs, a: Array, b: Array) -> Array:
    return np.asarray(np.hypot(a, b))


def quantize(inputs: QuantizeInputs) -> QuantizedParams:
    """a_mult and b_mult are as large as 32 bits have room for the sum of squares."""
    a, b, y = inputs.params(0), inputs.params(1), inputs.target
    most = sum((p.reach * p.scale) ** 2 for p in (a, b))
    unit = (2.0**32 - 2.0**18) / most
    a_mult, b_mult = (round(unit * p.scale**2) for p in (a, b))
    zeros = {"a_zero": a.zero_point, "b_zero": b.zero_point}
    mults = {"a_mult": a_mult, "b_mult": b_mult}
    return with_requant(inputs, 1 / (math.sqrt(unit) * y.scale), ROOT_MAX, {**zeros, **mults})


def integer(step: QuantizedNode, a: Array, b: Array) -> Array:
    """a, b int8 of one shape -> int8 or int16: the root of a sum of squares in uint32, rounded
    down."""
    squares = [
        (x.astype(np.int64) - step[f"{name}_zero"]) ** 2 * step[f"{name}_mult"]
        for name, x in (("a", a), ("b", b))
    ]
    total = squares[0] + squares[1]
    root = np.floor(np.sqrt(total.astype(np.float64))).astype(np.int64)  # exact below 2**52
    return step.requantize(root)


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    n, arrays = math.prod(step.out), dict[str, Array]()
    axes, (index,) = axes_of((Loop(n, (1, 1)),))
    table = with_table(step, arrays)
    reads = tuple(Operand(name, i, (n,), (index,)) for i, name in enumerate("ab"))
    numbers = ("a_zero", "b_zero", "a_mult", "b_mult", "mult", "offset", "shift")
    op = {name: step[name] for name in numbers}
    return TiledKernel(
        function="me_magnitude_s8",
        axes=axes,
        split=("i0",),
        operands=(
            *reads,
            *table,
            Operand("y", OUT, (n,), (index,), itemsize=step.element_type.size_bytes),
        ),
        op={**op, "y_wide": step.element_type.size_bytes - 1, **scale_fields(step)},
        tile=_tile_fields,
        arrays=arrays,
        work=lambda sizes: -(-np.minimum(n, sizes["i0"] * sizes.get("u0", 1)) // engine.cores),
    )


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    return {"a": "@a", "b": "@b", "y": "@y", "n": regions["y"].size}


def shape(attrs: Attrs, a: Shape, b: Shape) -> Shape:
    assert a == b
    return same_shape(attrs, a)


MAGNITUDE = register(
    OpDef(
        name="magnitude",
        doc="sqrt(a^2 + b^2) of two tensors of one shape: magnitudes of spectra",
        shape=shape,
        nest=elementwise,
        real=real,
        integer=integer,
        quantize=quantize,
        acc_bound=stored_bound,
        kernels=on_cluster(in_tiles),
        epilogue=True,
        permute_rule=same_attrs,
        emits_int16=not_activated,
        streaming_rule=broadcast_streaming_rule,
    )
)
