# SPDX-License-Identifier: Apache-2.0
"""Operators that lay tensors into a larger one: padding, concatenation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import quantize
from myoedge.operators.base import (
    LoopNest,
    OpDef,
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    StreamingRule,
    register,
)
from myoedge.operators.common_rules import as_in_floats, axis_permuted, by_output
from myoedge.operators.kernel import Dim, TiledKernel, on_cluster
from myoedge.operators.layout import tiling as moves
from myoedge.operators.layout.definition import cuts_turned, with_entry
from myoedge.operators.layout.tiling import Along
from myoedge.targets.chip import Engine


def pad_shape(attrs: Attrs, x: Shape) -> Shape:
    return tuple(n + sum(pads) for n, pads in zip(x, attrs["pads"], strict=True))


def pad_real(attrs: Attrs, x: Array) -> Array:
    return np.pad(x, attrs["pads"], constant_values=attrs["value"])


def pad_quantize(inputs: QuantizeInputs) -> QuantizedParams:
    return QuantizedParams({"fill": int(quantize(inputs.attrs["value"], inputs.target))})


def pad_integer(step: QuantizedNode, x: Array) -> Array:
    return np.pad(x, step.attrs["pads"], constant_values=step["fill"])


def pad_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """A tile's part of the input is copied into the filled output."""
    rows = zip(step.out, step.shapes[0], step.attrs["pads"], strict=True)
    loops = [Along(out, n, axis, -pads[0]) for axis, (out, n, pads) in enumerate(rows)]
    return moves.pieces(step, engine, [moves.in_bytes(step, loops)], step["fill"])


def _pad_streaming_rule(
    attrs: Attrs, shapes: Sequence[Shape], index: int, axis: int
) -> StreamingRule:
    before, behind = attrs["pads"][axis]
    return StreamingRule(
        axis,
        lambda made: with_entry(attrs, "pads", axis, (0, 0)),
        before=before,
        behind=behind,
        fill=lambda step: int(step["fill"]),
    )


PAD = register(
    OpDef(
        name="pad",
        doc="a constant around a tensor, in front and behind on every axis",
        shape=pad_shape,
        nest=by_output,
        real=pad_real,
        integer=pad_integer,
        quantize=pad_quantize,
        kernels=on_cluster(pad_in_tiles),
        same_scale=True,
        is_data_movement=True,
        permute_rule=cuts_turned,
        streaming_rule=_pad_streaming_rule,
    )
)


def concat_shape(attrs: Attrs, *shapes: Shape) -> Shape:
    axis = attrs["axis"]
    total = sum(s[axis] for s in shapes)
    return tuple(total if d == axis else n for d, n in enumerate(shapes[0]))


def concat_nest(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> LoopNest:
    """Loops over the output; operands are read along it, each within its own part."""
    nest = by_output(attrs, shapes, out)
    index: tuple[Dim, ...] = nest.operands["y"]
    return LoopNest(nest.axes, {**{f"x{i}": index for i in range(len(shapes))}, "y": index})


def concat_real(attrs: Attrs, *xs: Array) -> Array:
    return np.concatenate(xs, axis=attrs["axis"])


def concat_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Each input is a part of the loop over what they are together."""
    axis = step.attrs["axis"]
    runs = [math.prod(shape[axis:]) * step.element_type.size_bytes for shape in step.shapes]
    outer, total = math.prod(step.out[:axis]), sum(runs)
    starts = itertools.accumulate([0, *runs[:-1]])
    sources = [
        (Along(outer, outer, 0), Along(total, run, 1, -start))
        for run, start in zip(runs, starts, strict=True)
    ]
    return moves.pieces(step, engine, sources)


def _concat_streaming_rule(
    attrs: Attrs, shapes: Sequence[Shape], index: int, axis: int
) -> StreamingRule | None:
    return None if axis == attrs["axis"] else StreamingRule(axis, lambda made: attrs)


CONCAT = register(
    OpDef(
        name="concat",
        doc="tensors behind each other along one axis: cat, stack",
        shape=concat_shape,
        nest=concat_nest,
        real=concat_real,
        integer=as_in_floats(concat_real),
        kernels=on_cluster(concat_in_tiles),
        same_scale=True,
        is_data_movement=True,
        permute_rule=axis_permuted,
        streaming_rule=_concat_streaming_rule,
    )
)
