# SPDX-License-Identifier: Apache-2.0
"""Sums and means over adjacent axes, and argmax."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.flat import Loop
from myoedge.nest.formulas import broadcast_axes, total
from myoedge.nest.ir import Axis, Nest
from myoedge.operators.attributes import AXES, FLAG
from myoedge.operators.base import OpDef, QuantizedNode, QuantizeInputs, register
from myoedge.operators.common_rules import CentredParams, sum_bound, with_requant
from myoedge.operators.described import operand, requantised, result
from myoedge.operators.elementwise.channels import rows_tile
from myoedge.operators.elementwise.tiling import axes_of
from myoedge.operators.format import LIMITED, int16_where
from myoedge.operators.kernel import OUT, AffineExpr, Operand, TiledKernel, on_cluster
from myoedge.operators.products.packing import scale_fields, table_operand
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import Constants, Described
from myoedge.targets.chip import Engine


def axes_over(attrs: Attrs) -> tuple[int, ...]:
    """Return the reduced axes of a node: one or more for a sum or mean, one for an argmax."""
    return attrs["axes"] if "axes" in attrs else (attrs["axis"],)


def shape(attrs: Attrs, x: Shape) -> Shape:
    """Return the result shape of a reduction: [*outer, *inner] for x [*outer, *reduced, *inner];
    with keepdim, reduced axes have size 1."""
    axes = axes_over(attrs)
    kept = [1 if d in axes else n for d, n in enumerate(x) if attrs["keepdim"] or d not in axes]
    return tuple(kept)


def split(attrs: Attrs, x: Shape) -> tuple[int, int, int]:
    """Return the products (outer, reduced, inner) of the extents before, in and after the reduced
    axes, which are adjacent (passes/lower.py)."""
    first, last = min(axes_over(attrs)), max(axes_over(attrs))
    return math.prod(x[:first]), math.prod(x[first : last + 1]), math.prod(x[last + 1 :])


def _quantize(inputs: QuantizeInputs, *, mean: bool) -> CentredParams:
    """Return the constants of a sum or mean: the sum of x - x_zero is requantised once."""
    x, reduced = inputs.params(0), split(inputs.attrs, inputs.shapes[0])[1]
    factor = x.scale / (inputs.target.scale * (reduced if mean else 1))
    scalars = {"x_zero": x.zero_point}
    return with_requant(CentredParams, inputs, factor, sum_bound(x, reduced), scalars)


def nest(step: QuantizedNode) -> Nest:
    """Describe a sum or mean: the sum of x - x_zero over the reduced axes, requantised once."""
    axes, x, over = broadcast_axes(step.out), operand(step, 0), axes_over(step.attrs)
    kept = [axis for d, axis in enumerate(axes) if not step.attrs["keepdim"] or d not in over]
    reduced = {d: Axis(f"r{d}", step.shapes[0][d]) for d in over}
    left = iter(kept)
    acc = x[tuple(reduced[d] if d in over else next(left) for d in range(len(x.shape)))]
    for axis in reversed(reduced.values()):
        acc = total(axis, acc)
    count = math.prod(axis.extent for axis in reduced.values())
    value = requantised(step, acc - count * step.integers.x_zero)
    return Nest(axes, (x,), result(step), tuple(axis.at for axis in axes), value)


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a reduction; tiles divide the axes before and after the reduced
    ones."""
    outer, reduced, inner = split(step.attrs, step.shapes[0])
    each = np.array(
        [0, *(getattr(step.integers, name) for name in ("mult", "offset", "shift"))], np.int32
    )
    axes, (inside,) = axes_of((Loop(inner, (1,)),))
    around: AffineExpr = (("o", 1),)
    x_size, y_size = step.read_type(0).size_bytes, step.element_type.size_bytes
    x = Operand("x", 0, (outer, reduced, inner), (around, (), inside), itemsize=x_size)
    y = Operand("y", OUT, (outer, inner), (around, inside), itemsize=y_size)
    op = {"reduced": reduced, "x_zero": step.integers.x_zero, "each": "@each", **scale_fields(step)}
    is_wide = step.has_int16

    return TiledKernel(
        function="me_reduce_s16" if is_wide else "me_reduce_s8",
        axes={"o": outer, **axes},
        split=("o", "i0"),
        operands=(x, Operand.whole("each", each), *table_operand(step), y),
        op={**op, **(step.wide_flags("x", "y") if is_wide else {})},
        tile=rows_tile,
        work=lambda sizes: (
            -(-sizes["o"] * y.footprint({**sizes, "o": 1}) // (y_size * engine.cores))
            * (reduced + 6)
            if is_wide
            else -(-sizes["o"] // engine.cores) * (reduced // 4 + reduced % 4 * 1.6 + 16)
            if inner == 1
            else _column_work(
                sizes["o"], y.footprint({**sizes, "o": 1}) / y_size, reduced, engine.cores
            )
        ),
    )


def _column_work(images: Any, inner: Any, reduced: int, cores: int) -> Any:
    """Return the work units of the busiest core: words of added elements in blocks of four columns,
    and single columns."""
    share = -(-images * -(-inner // 4) // cores)
    alone = np.where(inner % 4 > 0, np.minimum(-(-images // cores), share), 0)
    return (share - alone) * (2 * reduced + 13) + alone * (inner % 4) * (4.7 * reduced + 4) + 50


def streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a reduction: frame by frame along an axis that is not reduced;
    None otherwise."""
    axes = axes_over(at.attrs)
    gone = 0 if at.attrs["keepdim"] else sum(other < at.axis for other in axes)
    return None if at.axis in axes else StreamingRule(at.axis - gone)


MEAN = register(
    OpDef(
        name="mean",
        attributes={"axes": AXES, "keepdim": FLAG},
        doc="mean over any axes, global average pooling among them",
        shape=shape,
        real=lambda attrs, x: np.asarray(x.mean(tuple(attrs["axes"]), keepdims=attrs["keepdim"])),
        integer=Described(nest),
        constants=Constants(partial(_quantize, mean=True), kinds=(CentredParams,)),
        kernels=on_cluster(in_tiles, *int16_where(LIMITED)),
        epilogue=True,
        streaming_rule=streaming_rule,
    )
)

SUM = register(
    replace(
        MEAN,
        name="sum",
        doc="sum over any axes",
        real=lambda attrs, x: np.asarray(x.sum(tuple(attrs["axes"]), keepdims=attrs["keepdim"])),
        constants=Constants(partial(_quantize, mean=False), kinds=(CentredParams,)),
    )
)
