# SPDX-License-Identifier: Apache-2.0
"""Import rows of ONNX operators that move elements: views, cuts, copies, padding, resizing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import (
    Unsupported,
    concat,
    reshape,
    slice_axis,
    transpose,
)
from myoedge.operators.import_rows import (
    OnnxCall,
)
from myoedge.operators.layout import aten_rows

FLOATS = frozenset((1, 10, 11, 16))  # TensorProto: float, float16, double, bfloat16
INTEGERS = frozenset((6, 7))  # int32, int64


PAD_MODES = {"constant": "constant", "edge": "replicate", "reflect": "reflect", "wrap": "circular"}


def same(c: OnnxCall) -> str:
    return c.x()


def dropout(c: OnnxCall) -> str:
    """Outside training it changes nothing."""
    if c.has(2) and bool(c.array(2, "training_mode").reshape(-1)[0]):
        raise Unsupported("training_mode is true: export after model.eval()")
    return c.x()


def cast(c: OnnxCall) -> str:
    """Floats of any width are float32 here; indices stay what they are."""
    return _as_type(c, int(c.attrs["to"]))


def cast_like(c: OnnxCall) -> str:
    """The other operand's type decides: a constant's, or the float of a tensor."""
    other = c.arrays.get(c.inputs[1])
    kind = {"f": 1, "V": 1, "i": 7}.get("f" if other is None else other.dtype.kind, 0)
    return _as_type(c, kind)


def _as_type(c: OnnxCall, kind: int) -> str:
    whole = c.x() in c.builder.tensors and c.builder.tensors[c.x()].dtype != "float32"
    if kind not in (INTEGERS if whole else FLOATS):
        raise Unsupported("conversion between whole numbers and floats inside the network")
    return c.x()


def view(c: OnnxCall) -> str:
    if math.prod(c.shape()) != math.prod(c.out):
        raise ValueError(f"{list(c.shape())} as {list(c.out)}")
    return reshape(c.builder, c.x(), c.out)


def permute(c: OnnxCall) -> str:
    rank = len(c.shape())
    order = list(c.attrs.get("perm") or range(rank)[::-1])
    if sorted(order) != list(range(rank)):
        raise ValueError(f"perm {order} of {rank} axes")
    return transpose(c.builder, c.x(), order)


def tile(c: OnnxCall) -> str:
    counts = [int(n) for n in c.array(1, "the number of copies")]
    return aten_rows.repeat(c.builder, {"self": c.x(), "repeats": counts}, c.out)


def cut(c: OnnxCall) -> str:
    """Slice: bounds beyond the ends mean the ends, as in Python."""
    x = c.x()
    starts, ends = (c.array(i, "a bound") for i in (1, 2))
    axes = c.array(3, "the list of axes") if c.has(3) else np.arange(len(starts))
    steps = c.array(4, "a step") if c.has(4) else np.ones(len(starts), np.int64)
    for start, end, dim, step in zip(starts, ends, axes, steps, strict=True):
        axis = int(dim) % len(c.builder.shape(x))
        bounds = slice(int(start), int(end), int(step)).indices(c.builder.shape(x)[axis])
        x = slice_axis(c.builder, x, axis, *bounds)
    return x


def parts(c: OnnxCall) -> tuple[str, ...]:
    given = {"self": c.x(), "dim": int(c.attrs.get("axis", 0))}
    return aten_rows.parts(c.builder, given, c.outs)


def gather(c: OnnxCall) -> str:
    """Picks along one axis by constant indices of any shape."""
    d, axis = c.builder, int(c.attrs.get("axis", 0))
    picks, n = c.array(1, "the list of indices"), c.shape()[axis]
    if picks.min(initial=0) < -n or picks.max(initial=0) >= n:
        raise IndexError(f"an index outside of {n} elements")
    given = {"self": c.x(), "dim": axis, "index": d.constant(picks.reshape(-1))}
    return reshape(d, aten_rows.index_select(d, given, ()), c.out)


def pad(c: OnnxCall) -> str:
    """ONNX lists all fronts, then all ends; torch, whose row is used, pairs from the last axis."""
    x, mode = c.x(), c.attrs.get("mode", "constant")
    shape = c.builder.shape(x)
    flat = [int(n) for n in c.array(1, "the padding")]
    axes = [int(a) % len(shape) for a in c.array(3, "the list of axes")] if c.has(3) else None
    named = range(len(shape)) if axes is None else axes
    pairs = [(0, 0)] * len(shape)
    for i, axis in enumerate(named):
        pairs[axis] = (flat[i], flat[i + len(flat) // 2])
    if mode != "constant":
        _check_mirror(pairs, shape, mode)
    value = float(c.array(2, "the value").reshape(-1)[0]) if c.has(2) else 0.0
    given = {"self": x, "pad": [n for pair in pairs[::-1] for n in pair], "value": value}
    return aten_rows.pad(c.builder, {**given, "mode": PAD_MODES[mode]}, c.out)


def _check_mirror(pairs: Sequence[tuple[int, int]], shape: Sequence[int], mode: str) -> None:
    for pair, n in zip(pairs, shape, strict=True):
        most = {"reflect": n - 1, "wrap": n}.get(mode, max(pair))
        if max(pair) > most or (min(pair) < 0 and max(pair) > 0):
            raise Unsupported(f"mode {mode} with pads {list(pair)} for {n} elements")


def resize(c: OnnxCall) -> str:
    """Nearest neighbours: elements copied a whole number of times, or picked at equal steps."""
    x, mode = c.x(), c.attrs.get("mode", "nearest")
    if mode != "nearest":
        raise Unsupported(f"mode {mode}")
    if c.attrs.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsupported("keep_aspect_ratio_policy")
    shape = c.builder.shape(x)
    maps = [_nearest(c, axis, n, wanted) for axis, (n, wanted) in enumerate(_sizes(c))]
    if all(_copies(where, n) for where, n in zip(maps, shape, strict=True)):
        if len(shape) > 2 and c.out[:2] == shape[:2]:
            return aten_rows.upsample_nearest(c.builder, {"input": x}, c.out)
        for axis, where in enumerate(maps):
            count = {"self": x, "dim": axis, "repeats": len(where) // shape[axis]}
            x = aten_rows.repeat_each(c.builder, count, ())
        return x
    for axis, where in enumerate(maps):
        x = _picked(c, x, axis, where)
    return x


def _sizes(c: OnnxCall) -> list[tuple[int, int]]:
    return list(zip(c.shape(), c.out, strict=True))


def _copies(where: Array, n: int) -> bool:
    """Whether every one of n elements is taken equally often, in order."""
    count = len(where) // n
    return bool(count) and np.array_equal(where, np.arange(n).repeat(count))


def _picked(c: OnnxCall, x: str, axis: int, where: Array) -> str:
    steps = {int(n) for n in np.diff(where)}
    if len(steps) > 1 or 0 in steps:
        raise Unsupported("nearest-neighbour resizing by a factor that is not whole")
    step = steps.pop() if steps else 1
    return slice_axis(c.builder, x, axis, int(where[0]), int(where[-1]) + 1, step)


def _nearest(c: OnnxCall, axis: int, n: int, wanted: int) -> Array:
    """Input element of every output element of an axis; onnx/defs, operator Resize."""
    at = np.arange(wanted, dtype=np.float64)
    scale = _scale(c, axis, n, wanted)
    way = c.attrs.get("coordinate_transformation_mode", "half_pixel")
    if way == "align_corners":
        place = at * (n - 1) / (wanted - 1) if wanted > 1 else 0 * at
    elif way == "asymmetric":
        place = at / scale
    elif way == "half_pixel" or (way == "pytorch_half_pixel" and wanted > 1):
        place = (at + 0.5) / scale - 0.5
    elif way == "pytorch_half_pixel":
        place = 0 * at
    else:
        raise Unsupported(f"coordinate_transformation_mode {way}")
    return np.clip(_rounded(c, place), 0, n - 1).astype(np.int64)


def _scale(c: OnnxCall, axis: int, n: int, wanted: int) -> float:
    """The factor of an axis; with sizes it follows from them."""
    if not (c.has(2) and c.array(2, "a scale").size):
        return wanted / n
    axes = c.attrs.get("axes") or range(len(c.out))
    scales = dict(zip((a % len(c.out) for a in axes), c.array(2, "a scale").tolist(), strict=True))
    return float(scales.get(axis, 1.0))


def _rounded(c: OnnxCall, place: Array) -> Array:
    way = c.attrs.get("nearest_mode", "round_prefer_floor")
    if way in ("floor", "ceil"):
        return np.floor(place) if way == "floor" else np.ceil(place)
    half = place - np.floor(place) == 0.5
    nearest = np.floor(place + 0.5)
    return np.where(half, np.floor(place) + (way == "round_prefer_ceil"), nearest)


def depth_to_space(c: OnnxCall) -> str:
    """Blocks of channels become blocks of positions."""
    d, size = c.builder, int(c.attrs["blocksize"])
    n, channels, h, w = d.shape(c.x())
    depth = channels // size**2
    if c.attrs.get("mode", "DCR") == "DCR":
        cut, order = (n, size, size, depth, h, w), (0, 3, 4, 1, 5, 2)
    else:
        cut, order = (n, depth, size, size, h, w), (0, 1, 4, 2, 5, 3)
    return reshape(d, transpose(d, reshape(d, c.x(), cut), order), c.out)


def space_to_depth(c: OnnxCall) -> str:
    d, size = c.builder, int(c.attrs["blocksize"])
    n, channels, h, w = d.shape(c.x())
    cut = (n, channels, h // size, size, w // size, size)
    order = (0, 3, 5, 1, 2, 4) if c.attrs.get("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    return reshape(d, transpose(d, reshape(d, c.x(), cut), order), c.out)


def join(c: OnnxCall) -> str:
    axis = int(c.attrs["axis"]) % len(c.out)
    return concat(c.builder, [c.x(i) for i in range(len(c.inputs))], axis)
