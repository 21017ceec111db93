# SPDX-License-Identifier: Apache-2.0
"""Resizing along an axis: elements at constant indices, and weighted sums of neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.graph.ir import PRE, Attrs, Shape
from myoedge.nest.formulas import broadcast_axes
from myoedge.nest.ir import Axis, Element, Expr, Nest, as_index
from myoedge.nest.nodes import Taken
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.requant import INT32_MAX, MULT_MAX, TERM_FACTOR_MAX
from myoedge.operators.attributes import AXIS, NodeSite, Values, are_whole
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs, add_operator
from myoedge.operators.cases import FACTORS, Draw, DrawnUse
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import (
    all_beside_axis,
    as_in_floats,
    axis_permuted,
    stream_except_axis,
)
from myoedge.operators.described import nest_constant, operand, result, saturated
from myoedge.operators.format import EITHER, INT8_ALONE, LIMITED, MOVES, Format
from myoedge.operators.interpreter import has_table
from myoedge.operators.qdq import Write, Writer, whole
from myoedge.operators.traits import (
    BOUND,
    SHIFT,
    SYMMETRIC_32,
    Constants,
    Described,
    Kept,
    Learnt,
    Result,
    Weights,
    sums_fit,
)

SHIFT_MAX = 22  # leaves room for the zero point next to the weights
WIDE_FACTOR_MAX = 2**13  # largest factor of int16 elements: sums of four neighbours fit 32 bits


def _are_indices(value: Any, site: NodeSite) -> bool:
    return isinstance(value, tuple) and are_whole(value, len(value), 0, site.extent - 1)


def _neighbours_are_on_axis(value: Any, site: NodeSite) -> bool:
    """Return whether all neighbours of each result are elements of the axis; weights [results,
    taps]."""
    results, taps = site.shapes[1]
    return are_whole(value, results, 0, site.extent - taps)


INDICES = Values("indices of elements along the axis", _are_indices)
STARTS = Values("first indices of neighbours along the axis", _neighbours_are_on_axis)


def take_real(attrs: Attrs, x: Array) -> Array:
    return np.ascontiguousarray(np.take(x, attrs["index"], axis=attrs["axis"]))


def _first_element(step: QuantizedNode) -> tuple[tuple[Axis, ...], Element]:
    """Return the axes of the result, and the operand's element at index 0 along the axis."""
    axes, x = broadcast_axes(step.out), operand(step, 0)
    index = (0 if d == step.attrs["axis"] else axis.at for d, axis in enumerate(axes))
    return axes, Element(x, tuple(map(as_index, index)))


def _describe_interpolation(step: QuantizedNode, x: Element, value: Expr) -> Nest:
    axes = broadcast_axes(step.out)
    return Nest(axes, (x.array,), result(step), tuple(axis.at for axis in axes), value)


def take_nest(step: QuantizedNode) -> Nest:
    """Describe elements at constant indices."""
    (axes, x), along = _first_element(step), step.attrs["axis"]
    index = nest_constant("index", np.array(step.attrs["index"], np.int32))
    return _describe_interpolation(step, x, Taken(x, along, index[axes[along]]))


TAKE = add_operator(
    name="take",
    attributes={"axis": AXIS, "index": INDICES},
    doc="elements of one axis at constant indices, as in nearest-neighbour resizing",
    shape=lambda attrs, x: _replace_extent(x, attrs["axis"], len(attrs["index"])),
    real=take_real,
    integer=Described(take_nest, as_in_floats(take_real)),
    kernels=generated(MOVES),
    result=Result(kept=Kept.ELEMENTS),
    permute_rule=axis_permuted,
    streaming_rule=all_beside_axis,
)


def _replace_extent(x: Shape, axis: int, n: int) -> Shape:
    return (*x[:axis], n, *x[axis + 1 :])


def real(attrs: Attrs, x: Array, weights: Array) -> Array:
    """Compute y[i] = sum over t of weights[i, t] * x[starts[i] + t] along the resized axis, in
    floats.

    weights           [results, taps]
    attrs["starts"]   first element of each result
    """
    axis, starts = attrs["axis"], np.array(attrs["starts"])
    along = [-1 if d == axis else 1 for d in range(x.ndim)]
    terms = (
        np.take(x, starts + tap, axis=axis) * column.reshape(along)
        for tap, column in enumerate(weights.T.astype(x.dtype))
    )
    return np.asarray(sum(terms))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeParams(QuantizedParams):
    """Integer constants of y = (sum of x * mult + offset) >> shift.

    mult        weights in output steps, int32 [results, taps]
    offset      int32 [results]
    acc_bound   largest |sum| before the shift
    """

    shift: int
    acc_bound: int
    mult: Array
    offset: Array


def quantize(site: QuantizeInputs) -> ResizeParams:
    """Return the constants of y = (sum of x * mult + offset) >> shift, where mult are the weights
    in output steps."""
    x, y = site.params(0), site.target
    most = MULT_MAX if y.element_type == INT16 else TERM_FACTOR_MAX
    most = WIDE_FACTOR_MAX if x.element_type == INT16 else most
    factors = site.constant(1).astype(np.float64) * (x.scale / y.scale)
    factors, reach = np.clip(factors, -most, most), -x.element_type.low
    for shift in range(SHIFT_MAX, -1, -1):
        mult = np.rint(np.ldexp(factors, shift))
        offset = (y.zero_point << shift) + (1 << shift >> 1) - x.zero_point * mult.sum(axis=1)
        bound = (np.abs(offset) + reach * np.abs(mult).sum(axis=1)).max()
        if bound <= INT32_MAX and np.abs(mult).max() <= MULT_MAX:
            break
    arrays = {"mult": mult.astype(np.int32), "offset": offset.astype(np.int32)}
    return ResizeParams(shift=shift, acc_bound=int(bound), **arrays)


LEARNT = Learnt(
    {"mult": SYMMETRIC_32, "offset": SYMMETRIC_32, "shift": SHIFT, "acc_bound": BOUND},
    lambda integers, site: sums_fit(integers.mult, integers.offset, -site.params(0).low),
)


def resize_nest(step: QuantizedNode) -> Nest:
    """Describe (sum of x * mult + offset) >> shift over the neighbours of each result."""
    (axes, x), along, c = _first_element(step), step.attrs["axis"], step.integers

    def each(name: str, values: Array) -> Expr:
        known = np.ascontiguousarray(values, np.int32)
        return nest_constant(name, known)[axes[along]]

    starts, acc = each("starts", np.array(step.attrs["starts"])), each("offset", c.offset)
    for tap, mult in enumerate(c.mult.T):
        acc = acc + Taken(x, along, starts + tap if tap else starts) * each("mult", mult)
    return _describe_interpolation(step, x, saturated(step, acc >> c.shift))


WIDTHS = INT8_ALONE, Format((EITHER,), EITHER, where=LIMITED)

RESIZE = add_operator(
    name="resize",
    attributes={"axis": AXIS, "starts": STARTS},
    doc="linear and cubic resizing: sums of neighbours along one axis with constant weights",
    shape=lambda attrs, x, weights: _replace_extent(x, attrs["axis"], len(attrs["starts"])),
    real=real,
    integer=Described(resize_nest),
    constants=Constants(quantize, kinds=(ResizeParams,), learnt=LEARNT),
    kernels=generated(*WIDTHS),
    weights=Weights((1,)),
    epilogue=True,
    permute_rule=axis_permuted,
    streaming_rule=stream_except_axis,
)


TAKE_IN_TORCH = "x0.index_select(axis, torch.tensor(index))"
RESIZE_IN_TORCH = """\
at = torch.tensor(starts)
terms = [x0.index_select(axis, at + t).movedim(axis, -1) * w0[:, t] for t in range(w0.shape[1])]
sum(terms).movedim(-1, axis)
"""


def take(d: Draw) -> DrawnUse:
    shape = d.pick([d.shape(1, 4), d.shape(1, 3, 12), (3, 150, 2), (2, 9, 70)])
    axis = d.integer(0, len(shape) - 1)
    index = tuple(d.integer(0, shape[axis] - 1) for _ in range(d.pick([1, 3, 8, 90])))
    attrs = {"axis": axis, "index": tuple(sorted(index)) if d.flag() else index}
    kind = d.pick(["float32", "float32", "int32"])
    wide = d.pick([(), (0,)]) if kind == "float32" else ()
    return DrawnUse(
        "take", attrs, (shape,), TAKE_IN_TORCH, dtype=kind, int16=wide, **d.common(1, act=False)
    )


def resize(d: Draw) -> DrawnUse:
    """Return a random test case of a resize up or down, in which each result is a weighted sum of
    one to four adjacent elements."""
    shape = d.pick([d.shape(1, 4), d.shape(1, 3, 12), (3, 150, 2), (2, 9, 70)])
    axis, wanted = d.integer(0, len(shape) - 1), d.pick([1, 3, 8, 90])
    n = shape[axis]
    taps = min(n, d.pick([1, 2, 2, 2, 3, 4]))
    place = np.linspace(0, n - taps, wanted) + d.rng.integers(0, 2, wanted)
    starts = tuple(int(start) for start in np.clip(place, 0, n - taps))
    weights = d.pick([np.full((wanted, taps), 1 / taps), d.rng.normal(size=(wanted, taps))])
    common = d.common(1, act=True) | {"weights": (weights,), "slack": rounding}
    if all(name == "clamp" for name, *_ in common["act"]):
        common |= d.pick([{}, {"int16": (0,), "factors": FACTORS[0], "pattern": "uniform"}])
    return DrawnUse("resize", {"axis": axis, "starts": starts}, (shape,), RESIZE_IN_TORCH, **common)


def rounding(case: Any) -> float:
    """Return the largest permitted deviation in output steps: half a weight step per neighbour,
    times the largest |x - x_zero|."""
    x = case.params("x0")
    reach = max(x.high - x.zero_point, x.zero_point - x.low)
    return float(case.weights[0].shape[1] * reach * 0.5 ** (case.step.integers.shift + 1))


CASES = {"resize": resize, "take": take}


def _write_take(w: Writer, step: QuantizedNode, x: str) -> str:
    return w.node("Gather", x, whole(w, *step.attrs["index"]), axis=step.attrs["axis"])


def _write_resize(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write a resize as ONNX nodes, with the weights that its integer constants represent."""
    axis, starts = step.attrs["axis"], np.array(step.attrs["starts"])
    source, node = w.params[step.operands[0]], step.node
    target = w.params[node.name + PRE if has_table(node) else node.name]
    unit = np.ldexp(target.scale / source.scale, -step.integers.shift)
    along = [-1 if d == axis else 1 for d in range(len(step.out))]
    terms = [
        w.node(
            "Mul",
            w.node("Gather", x, whole(w, *(starts + tap)), axis=axis),
            w.constant((column * unit).astype(np.float32).reshape(along)),
        )
        for tap, column in enumerate(step.integers.mult.T)
    ]
    return w.node("Sum", *terms)


WRITE: Mapping[str, Write] = {"resize": _write_resize, "take": _write_take}
