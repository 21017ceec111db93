# SPDX-License-Identifier: Apache-2.0
"""Sums and means over adjacent axes, and argmax."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.formulas import broadcast_axes, total
from myoedge.nest.ir import Array, Axis, Expr, Nest
from myoedge.operators.attributes import AXES, FLAG
from myoedge.operators.base import QuantizedNode, QuantizeInputs, add_operator, add_variant
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import CentredParams, sum_bound, with_requant
from myoedge.operators.described import operand, own_number, requantised, result
from myoedge.operators.format import LIMITED, int16_where
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import Constants, Described


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


def _reduction_constants(inputs: QuantizeInputs, *, mean: bool) -> CentredParams:
    """Return the constants of a sum or mean: the sum of x - x_zero is requantised once."""
    x, reduced = inputs.params(0), split(inputs.attrs, inputs.shapes[0])[1]
    factor = x.scale / (inputs.target.scale * (reduced if mean else 1))
    scalars = {"x_zero": x.zero_point}
    return with_requant(CentredParams, inputs, factor, sum_bound(x, reduced), scalars)


def nest(step: QuantizedNode) -> Nest:
    """Describe a sum or mean: the sum of x - x_zero over the reduced axes, requantised once."""
    axes, x, over, acc = reduced_rows(step)
    for axis in reversed(over):
        acc = total(axis, acc)
    count = math.prod(axis.extent for axis in over)
    value = requantised(step, acc - count * step.integers.x_zero, partial(own_number, step))
    return Nest(axes, (x,), result(step), tuple(axis.at for axis in axes), value)


def reduced_rows(step: QuantizedNode) -> tuple[tuple[Axis, ...], Array, list[Axis], Expr]:
    """Return the axes of a reduction's result, its operand, the reduced axes, and the operand's
    element in an iteration of all of them."""
    axes, x, over = broadcast_axes(step.out), operand(step, 0), axes_over(step.attrs)
    kept = (axis for d, axis in enumerate(axes) if not step.attrs["keepdim"] or d not in over)
    reduced = {d: Axis(f"r{d}", step.shapes[0][d]) for d in over}
    index = tuple(reduced[d] if d in over else next(kept) for d in range(len(x.shape)))
    return axes, x, [*reduced.values()], x[index]


def streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a reduction: frame by frame along an axis that is not reduced;
    None otherwise."""
    axes = axes_over(at.attrs)
    gone = 0 if at.attrs["keepdim"] else sum(other < at.axis for other in axes)
    return None if at.axis in axes else StreamingRule(at.axis - gone)


MEAN = add_operator(
    name="mean",
    attributes={"axes": AXES, "keepdim": FLAG},
    doc="mean over any axes, global average pooling among them",
    shape=shape,
    real=lambda attrs, x: np.asarray(x.mean(tuple(attrs["axes"]), keepdims=attrs["keepdim"])),
    integer=Described(nest),
    constants=Constants(partial(_reduction_constants, mean=True), kinds=(CentredParams,)),
    kernels=generated(*int16_where(LIMITED)),
    epilogue=True,
    streaming_rule=streaming_rule,
)

SUM = add_variant(
    MEAN,
    name="sum",
    doc="sum over any axes",
    real=lambda attrs, x: np.asarray(x.sum(tuple(attrs["axes"]), keepdims=attrs["keepdim"])),
    constants=Constants(partial(_reduction_constants, mean=False), kinds=(CentredParams,)),
)
