# SPDX-License-Identifier: Apache-2.0
"""Operators that move bytes: views, strided copies, padding, concatenation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.formulas import broadcast_axes, broadcast_index, index_of, where
from myoedge.nest.ir import Nest, as_expr
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT32
from myoedge.numerics.quant_params import quantize
from myoedge.operators.attributes import (
    AXIS,
    FLAG,
    PERMUTATION,
    SHAPE,
    are_whole,
    is_whole,
    number,
    optional,
    padded,
    per_axis,
)
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs, add_operator
from myoedge.operators.common_rules import all_beside_axis, as_in_floats, axis_permuted, with_entry
from myoedge.operators.described import operand, result
from myoedge.operators.format import MOVES
from myoedge.operators.kernel import TiledKernel, on_cluster
from myoedge.operators.library import moves
from myoedge.operators.library.copy_loops import Along, in_bytes, in_groups, in_steps
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import ByHand, Constants, Described, Kept, Result
from myoedge.targets.chip import Engine


def _is_slice_of_axis(value: Any, extent: int) -> bool:
    """Return whether every index of a cut (start, stop, step) is one of an axis."""
    cut = are_whole(value, 3, -INT32.high, INT32.high) and value[2] != 0
    indices = range(*value) if cut else range(0)
    return bool(indices) and all(is_whole(i, 0, extent - 1) for i in (indices[0], indices[-1]))


CUTS = per_axis("start, stop and step of elements that it has", _is_slice_of_axis)


def _reshape_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a reshape that leaves the number of elements before the time
    axis as it is: each frame stays one, becomes several, or several become one; otherwise None."""
    x, out = at.shapes[0], at.attrs["shape"]
    frames, before = x[at.axis], math.prod(x[: at.axis])
    axes = [d for d in range(len(out)) if math.prod(out[:d]) == before]
    axis = next((d for d in axes if out[d] == frames), axes[-1] if axes else None)
    if axis is None or max(frames, out[axis]) % min(frames, out[axis]):
        return None
    up, stride = max(out[axis] // frames, 1), max(frames // out[axis], 1)
    resized = partial(with_entry, at.attrs, "shape", axis)
    return StreamingRule(axis, resized, taps=stride, stride=stride, up=up)


def reshaped(attrs: Attrs, x: Shape) -> Shape:
    """Return the new shape, attrs["shape"]. Errors: ValueError if the number of elements
    differs."""
    out = tuple(attrs["shape"])
    if math.prod(out) != math.prod(x):
        raise ValueError(f"{list(x)} as {list(out)}")
    return out


data_movement = partial(  # adds an operator whose results are unchanged input elements
    add_operator, result=Result(kept=Kept.ELEMENTS)
)

RESHAPE = data_movement(
    name="reshape",
    attributes={"shape": SHAPE, "inside": optional(FLAG)},
    doc="another shape for the same bytes: reshape, view, flatten, (un)squeeze; costs nothing",
    shape=reshaped,
    real=lambda attrs, x: x.reshape(attrs["shape"]),
    integer=ByHand(lambda step, x: x.reshape(step.attrs["shape"])),
    streaming_rule=_reshape_streaming_rule,
)


def transpose_real(attrs: Attrs, x: Array) -> Array:
    return np.ascontiguousarray(x.transpose(attrs["perm"]))


def slice_real(attrs: Attrs, x: Array) -> Array:
    """Slice x by attrs["cuts"], (start, stop, step) per axis. A negative step reverses; stop -1
    then includes element 0."""
    for axis, cut in enumerate(attrs["cuts"]):
        x = np.take(x, np.arange(*cut), axis=axis)
    return np.ascontiguousarray(x)


def expand_real(attrs: Attrs, x: Array) -> Array:
    return np.ascontiguousarray(np.broadcast_to(x, attrs["shape"]))


def cuts_turned(attrs: Attrs, perm: Sequence[int]) -> Attrs:
    """Return the attributes with "cuts" or "pads", which have one entry per axis, permuted."""
    order = [perm.index(axis) for axis in range(len(perm))]
    per_axis = {
        name: tuple(attrs[name][i] for i in order) for name in ("cuts", "pads") if name in attrs
    }
    return {**attrs, **per_axis}


def transpose_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    x = step.shapes[0]
    loops = [Along(x[axis], x[axis], axis) for axis in step.attrs["perm"]]
    return moves.turned(step, engine, in_bytes(step, loops))


def slice_nest(step: QuantizedNode) -> Nest:
    """Return the description of a slice: the elements at the indices of its cuts."""
    axes, x = broadcast_axes(step.out), operand(step, 0)
    cuts = zip(axes, step.attrs["cuts"], strict=True)
    index = tuple(axis.at * cut[2] + cut[0] for axis, cut in cuts)
    return Nest(axes, (x,), result(step), tuple(axis.at for axis in axes), x[index])


def expand_nest(step: QuantizedNode) -> Nest:
    """Return the description of copies along axes of extent 1."""
    axes, x = broadcast_axes(step.out), operand(step, 0)
    index = tuple(axis.at for axis in axes)
    return Nest(axes, (x,), result(step), index, x[broadcast_index(axes, x.shape)])


def slice_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a slice; if no axis has a step, it is a plain copy."""
    rows = zip(step.out, step.shapes[0], step.attrs["cuts"], strict=True)
    loops = [
        Along(out, n, axis, cut[0], cut[2] if out > 1 else 1)
        for axis, (out, n, cut) in enumerate(rows)
    ]
    byte_loops = in_steps(in_groups(in_bytes(step, loops)))
    if all(loop.step == 1 for loop in byte_loops):
        return moves.pieces(step, engine, [byte_loops])
    return moves.turned(step, engine, byte_loops)


def expand_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    lead, x = len(step.out) - len(step.shapes[0]), step.shapes[0]
    loops = [Along(n) for n in step.out[:lead]]
    for axis, (n, own) in enumerate(zip(step.out[lead:], x, strict=True)):
        loops.append(Along(n, own, axis) if own > 1 else Along(n))
    return moves.turned(step, engine, in_bytes(step, loops))


def _slice_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a slice: from its first frame on, with its step; None for
    negative steps."""
    start, _, step = at.attrs["cuts"][at.axis]
    if step < 1:
        return None

    def resized(made: int) -> Attrs:
        return with_entry(at.attrs, "cuts", at.axis, (0, (made - 1) * step + 1, step))

    return StreamingRule(at.axis, resized, stride=step, before=-start)


def _expand_streaming_rule(at: OperandAxis) -> StreamingRule:
    axis = at.axis + len(at.attrs["shape"]) - len(at.shapes[0])
    return StreamingRule(axis, lambda made: with_entry(at.attrs, "shape", axis, made))


TRANSPOSE = data_movement(
    name="transpose",
    attributes={"perm": PERMUTATION, "back": optional(FLAG)},
    doc="axes in another order: transpose, permute, movedim",
    shape=lambda attrs, x: tuple(x[axis] for axis in attrs["perm"]),
    real=transpose_real,
    integer=ByHand(as_in_floats(transpose_real)),
    kernels=on_cluster(transpose_in_tiles, MOVES),
    streaming_rule=lambda at: StreamingRule(at.attrs["perm"].index(at.axis)),
)

SLICE = data_movement(
    name="slice",
    attributes={"cuts": CUTS, "inside": optional(FLAG)},
    doc="start, stop, step on every axis: slice, select, narrow, split, chunk, unbind, flip",
    shape=lambda attrs, x: tuple(len(range(*cut)) for cut in attrs["cuts"]),
    real=slice_real,
    integer=Described(slice_nest),
    kernels=on_cluster(slice_in_tiles, MOVES),
    permute_rule=cuts_turned,
    streaming_rule=_slice_streaming_rule,
)

EXPAND = data_movement(
    name="expand",
    attributes={"shape": SHAPE},
    doc="copies along axes of extent 1: expand, repeat",
    shape=lambda attrs, x: tuple(attrs["shape"]),
    real=expand_real,
    integer=Described(expand_nest),
    kernels=on_cluster(expand_in_tiles, MOVES),
    streaming_rule=_expand_streaming_rule,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PadParams(QuantizedParams):
    """Integer constants of padding.

    fill   integer value of the padding
    """

    fill: int


def pad_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    return PadParams(fill=int(quantize(inputs.attrs["value"], inputs.target)))


def pad_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of padding, which fills each tile of the output and then copies its
    part of the input."""
    rows = zip(step.out, step.shapes[0], step.attrs["pads"], strict=True)
    loops = [Along(out, n, axis, -pads[0]) for axis, (out, n, pads) in enumerate(rows)]
    return moves.pieces(step, engine, [in_bytes(step, loops)], step.integers.fill)


def _pad_streaming_rule(at: OperandAxis) -> StreamingRule:
    return StreamingRule(
        at.axis,
        lambda made: with_entry(at.attrs, "pads", at.axis, (0, 0)),
        before=at.attrs["pads"][at.axis][0],
        fill=lambda step: int(step.integers.fill),
    )


PAD = data_movement(
    name="pad",
    attributes={"pads": padded(), "value": number(-math.inf, math.inf)},
    doc="a constant around a tensor, before and after it on every axis",
    shape=lambda attrs, x: tuple(n + sum(p) for n, p in zip(x, attrs["pads"], strict=True)),
    real=lambda attrs, x: np.pad(x, attrs["pads"], constant_values=attrs["value"]),
    integer=ByHand(
        lambda step, x: np.pad(x, step.attrs["pads"], constant_values=step.integers.fill)
    ),
    constants=Constants(pad_quantize, kinds=(PadParams,)),
    kernels=on_cluster(pad_in_tiles, MOVES),
    permute_rule=cuts_turned,
    streaming_rule=_pad_streaming_rule,
)


def concat_shape(attrs: Attrs, *shapes: Shape) -> Shape:
    axis = attrs["axis"]
    total = sum(s[axis] for s in shapes)
    return tuple(total if d == axis else n for d, n in enumerate(shapes[0]))


def concat_real(attrs: Attrs, *xs: Array) -> Array:
    return np.concatenate(xs, axis=attrs["axis"])


def concat_nest(step: QuantizedNode) -> Nest:
    """Return the description of a concatenation: the last operand that starts at an index or
    before."""
    axes, joined = broadcast_axes(step.out), step.attrs["axis"]
    extents = [shape[joined] for shape in step.shapes]
    starts = itertools.accumulate([0, *extents[:-1]])
    arrays = tuple(replace(operand(step, n), outside=0) for n in range(len(extents)))
    at, value = index_of(axes[joined]), as_expr(0)
    for array, start in zip(arrays, starts, strict=True):
        index = [axis.at for axis in axes]
        index[joined] += -start
        value = where(at < start, value, array[tuple(index)]) if start else array[tuple(index)]
    return Nest(axes, arrays, result(step), tuple(axis.at for axis in axes), value)


def concat_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a concatenation; each input is a section of the loop over the
    joined axis."""
    axis = step.attrs["axis"]
    runs = [math.prod(shape[axis:]) * step.element_type.size_bytes for shape in step.shapes]
    outer, total = math.prod(step.out[:axis]), sum(runs)
    starts = itertools.accumulate([0, *runs[:-1]])
    sources = [
        (Along(outer, outer, 0), Along(total, run, 1, -start))
        for run, start in zip(runs, starts, strict=True)
    ]
    return moves.pieces(step, engine, sources)


CONCAT = data_movement(
    name="concat",
    attributes={"axis": AXIS},
    doc="tensors joined along one axis: cat, stack",
    shape=concat_shape,
    real=concat_real,
    integer=Described(concat_nest, as_in_floats(concat_real)),
    kernels=on_cluster(concat_in_tiles, MOVES),
    permute_rule=axis_permuted,
    streaming_rule=all_beside_axis,
)
