# SPDX-License-Identifier: Apache-2.0
"""Import of operators that move data: views, slices, concatenation, repeats, padding."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape, ranked
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    as_tuple,
    concat,
    expand,
    reshape,
    slice_axis,
    transpose,
)
from myoedge.operators.import_rows import Arguments, ImportRow, Row, first
from myoedge.operators.library.conditions import converted
from myoedge.operators.library.import_moves import cat, copied, fill, pad, pad_onnx, stack

FLOATS = frozenset((1, 10, 11, 16))  # TensorProto: float, float16, double, bfloat16
INTEGERS = frozenset((6, 7))  # int32, int64


def dropout(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import dropout, which does nothing outside training."""
    if a["training_mode"]:
        raise Unsupported("training_mode is true: export after model.eval()")
    return str(a["self"])


def cast(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import a cast: floats of any width are float32; integers are unchanged.

    CastLike casts to the type of a constant, or to float for a tensor.
    """
    to = a.get("to")
    if to is None:
        other = d.find_array(a["other"])
        to = {"f": 1, "i": 7, "b": 9}.get("f" if other is None else other.dtype.kind, 0)
    kinds = {**dict.fromkeys(FLOATS, "float"), **dict.fromkeys(INTEGERS, "int"), 9: "bool"}
    if to not in kinds:
        raise Unsupported("conversion to a type that is neither float32, int32, int64 nor bool")
    return converted(d, a["self"], kinds[to])


def filled(value: float) -> Row:
    """Return a function that imports a constant tensor (zeros, full, ..) of the result's shape.

    value   its value, unless the call has an argument for it
    """
    return lambda d, a, out: d.constant(np.full(out, a.get("fill_value", value), np.float32))


def view(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    if math.prod(d.shape(first(a))) != math.prod(out):
        raise ValueError(f"{list(d.shape(first(a)))} as {list(out)}")
    return reshape(d, first(a), out)


def permute(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import a permutation of axes; without the argument, the axes are reversed."""
    axes = range(len(d.shape(a["self"])))
    order = [axis % len(axes) for axis in a.get("dims") or axes[::-1]]
    if sorted(order) != [*axes]:
        raise ValueError(f"perm {order} of {len(axes)} axes")
    return transpose(d, a["self"], order)


def swap(d: GraphBuilder, a: Arguments, out: Any) -> str:
    x = first(a)
    order = list(range(len(d.shape(x))))
    if len(order) > 1:
        i, j = (a.get(n, a.get(m, k)) for n, m, k in (("dim0", "axis0", -2), ("dim1", "axis1", -1)))
        order[i], order[j] = order[j], order[i]
    return transpose(d, x, order)


def movedim(d: GraphBuilder, a: Arguments, out: Any) -> str:
    rank = len(d.shape(a["self"]))
    source, target = (
        [axis % rank for axis in as_tuple(a[n], 1)] for n in ("source", "destination")
    )
    order = [axis for axis in range(rank) if axis not in source]
    for place, axis in sorted(zip(target, source, strict=True)):
        order.insert(place, axis)
    return transpose(d, a["self"], order)


def blocks(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import pixel shuffle and similar operators: blocks of channels become blocks of positions, or
    the reverse."""
    size, columns_first = int(a["blocksize"]), a["mode"] == "DCR"
    n, channels, h, w = d.shape(a["self"])
    if out[1] > channels:
        cut = (n, channels, h // size, size, w // size, size)
        order = (0, 3, 5, 1, 2, 4) if columns_first else (0, 1, 3, 5, 2, 4)
    elif columns_first:
        cut, order = (n, size, size, channels // size**2, h, w), (0, 3, 4, 1, 5, 2)
    else:
        cut, order = (n, channels // size**2, size, size, h, w), (0, 1, 4, 2, 5, 3)
    return reshape(d, transpose(d, reshape(d, a["self"], cut), order), out)


def cut(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import a slice of one axis; bounds beyond the ends are clipped, as in Python."""
    x = a["self"]
    axis = a["dim"] % len(d.shape(x))
    return slice_axis(d, x, axis, *slice(a["start"], a["end"], a["step"]).indices(d.shape(x)[axis]))


def cuts(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import slices along several axes."""
    x, starts = a["self"], a["starts"]
    axes, steps = a["axes"] or range(len(starts)), a["steps"] or [1] * len(starts)
    for start, end, dim, step in zip(starts, a["ends"], axes, steps, strict=True):
        x = cut(d, {"self": x, "dim": dim, "start": start, "end": end, "step": step}, out)
    return str(x)


def narrow(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import narrow, and select, which takes one element and removes the axis."""
    x = a["self"]
    axis = a["dim"] % len(d.shape(x))
    start = a["start" if "start" in a else "index"] % d.shape(x)[axis]
    return reshape(d, slice_axis(d, x, axis, start, start + a.get("length", 1)), out)


def parts(d: GraphBuilder, a: Arguments, out: Sequence[Shape]) -> tuple[str, ...]:
    """Import split, chunk, tensor_split and unbind; the sizes of the parts are taken from the
    output shapes."""
    x, rank = a["self"], len(d.shape(a["self"]))
    axis = a["dim"] % rank
    sizes = [shape[axis] if len(shape) == rank else 1 for shape in out]
    stops = itertools.accumulate(sizes)
    cuts = (slice_axis(d, x, axis, e - n, e) for n, e in zip(sizes, stops, strict=True))
    return tuple(reshape(d, cut, shape) for cut, shape in zip(cuts, out, strict=True))


def flip(d: GraphBuilder, a: Arguments, out: Any) -> str:
    x = a["self"]
    for dim in a["dims"]:
        x = slice_axis(d, x, dim % len(d.shape(x)), d.shape(x)[dim] - 1, -1, -1)
    return str(x)


def roll(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    x = a["self"]
    whole = d.shape(x)
    if not a["dims"]:
        x = reshape(d, x, (math.prod(whole),))
    for shift, dim in zip(a["shifts"], a["dims"] or [0], strict=True):
        axis = dim % len(d.shape(x))
        n = d.shape(x)[axis]
        cut = -shift % n
        if cut:
            x = concat(d, [slice_axis(d, x, axis, cut, n), slice_axis(d, x, axis, 0, cut)], axis)
    return reshape(d, x, whole)


def repeat(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    counts, shape = a["repeats"] if "repeats" in a else a["dims"], d.shape(a["self"])
    x = reshape(d, a["self"], ranked(shape, len(out)))
    return copied(d, x, ranked(counts, len(out)), whole=True)


def repeat_each(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import repeat_interleave by a number: each element is followed by its copies."""
    x = a["self"]
    if a["dim"] is None:
        x = reshape(d, x, (math.prod(d.shape(x)),))
    counts = [1] * len(d.shape(x))
    counts[a["dim"] or 0] = a["repeats"]
    return copied(d, x, counts, whole=False)


NOTHING = (
    "alias clone contiguous detach detach_ dropout alpha_dropout feature_dropout "
    "feature_alpha_dropout lift_fresh_copy to.dtype to.dtype_layout to.device type_as _to_copy "
    "resolve_conj resolve_neg"
)
VIEWS = (
    "reshape view _unsafe_view flatten.using_ints unflatten.int squeeze ravel squeeze.dim "
    "squeeze.dims unsqueeze view_as reshape_as view_copy"
)
PARTS = (
    "split.Tensor split.sizes split.default split_with_sizes chunk tensor_split.sections "
    "tensor_split.indices unbind.int"
)

ROWS = (
    ImportRow("", lambda b, a, out: next(iter(a.values())), NOTHING, "Identity(self)"),
    ImportRow("", dropout, onnx="Dropout(self, _ratio, training_mode: float)"),
    ImportRow("", cast, onnx="Cast(self, *, to); CastLike(self, other)"),
    ImportRow("", filled(1.0), "ones_like new_ones"),
    ImportRow("expand", fill, "fill.Scalar fill.Tensor"),
    ImportRow("", filled(0.0), "zeros_like new_zeros full_like new_full"),
    ImportRow(
        "reshape", view, VIEWS, "Reshape(self); Flatten(self); Squeeze(self); Unsqueeze(self)"
    ),
    ImportRow("transpose", permute, "permute numpy_T", "Transpose(self, *, dims: perm = None)"),
    ImportRow("transpose", swap, "transpose.int t mT swapaxes swapdims"),
    ImportRow("transpose", movedim, "movedim.int movedim.intlist moveaxis.int moveaxis.intlist"),
    ImportRow(
        "transpose",
        blocks,
        onnx="DepthToSpace(self, *, blocksize, mode='DCR'); "
        "SpaceToDepth(self, *, blocksize, mode='DCR')",
    ),
    ImportRow("slice", cut, "slice.Tensor"),
    ImportRow("slice", cuts, onnx="Slice(self, starts: ints, ends: ints, axes: ints, steps: ints)"),
    ImportRow("slice", narrow, "narrow select.int"),
    ImportRow("slice", parts, PARTS, "Split(self, *, dim: axis = 0)", all_results=True),
    ImportRow("slice", flip, "flip"),
    ImportRow("concat", cat, "cat concat concatenate", "Concat(*tensors, dim: axis)"),
    ImportRow("concat", stack, "stack"),
    ImportRow("concat", roll, "roll"),
    ImportRow(
        "expand",
        lambda d, a, out: expand(d, first(a), out),
        "expand expand_as broadcast_to",
        "Expand(self)",
    ),
    ImportRow("expand", repeat, "repeat tile", "Tile(self, repeats: ints)"),
    ImportRow("expand", repeat_each, "repeat_interleave.self_int"),
    ImportRow("pad", pad, "pad constant_pad_nd"),
    ImportRow(
        "pad", pad_onnx, onnx="Pad(self, pads: ints, value: float, axes: ints, *, mode='constant')"
    ),
)
