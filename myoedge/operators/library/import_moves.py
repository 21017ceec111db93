# SPDX-License-Identifier: Apache-2.0
"""Import of padding: with a value, or with values of the tensor itself; repeats along axes; and
arguments of operators with windows: stride, dilation and padding per axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    as_tuple,
    concat,
    expand,
    reshape,
    slice_axis,
)
from myoedge.operators.import_rows import Arguments
from myoedge.operators.library.known_values import producer
from myoedge.operators.library.moves import PARTS as MOST_PARTS


def copied(d: GraphBuilder, x: str, counts: Sequence[int], *, whole: bool) -> str:
    """Repeat x counts[i] times along each axis i; return the result's name.

    whole   whether whole axes are repeated (abab) instead of each element (aabb)
    """
    shape = d.shape(x)
    if {*counts} <= {1}:
        return x
    pairs = [(c, n) if whole else (n, c) for n, c in zip(shape, counts, strict=True)]
    thin = [n for extent in shape for n in ((1, extent) if whole else (extent, 1))]
    y = d.add("expand", reshape(d, x, thin), shape=tuple(n for pair in pairs for n in pair))
    return reshape(d, y, [n * c for n, c in pairs])


PAD_MODES = {"edge": "replicate", "wrap": "circular"}  # ONNX's names of torch's

FINITE_PADDING = (
    'pad with edge values, F.pad(x, (1, 1), mode="replicate"), or with a number below all of x'
)


def pad(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import torch's padding, which lists (before, after) from the last axis back; negative numbers
    crop."""
    shape, flat = d.shape(a["self"]), list(a["pad"])
    pairs = list(zip(flat[0::2], flat[1::2], strict=True))
    pads = [(0, 0)] * (len(shape) - len(pairs)) + pairs[::-1]
    return padded(d, a["self"], pads, a.get("mode", "constant"), a.get("value"))


def pad_onnx(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import ONNX's Pad, which lists all starts, then all ends."""
    shape, flat, mode = d.shape(a["self"]), a["pads"], str(a["mode"])
    axes = range(len(shape)) if a["axes"] is None else a["axes"]
    pads = [(0, 0)] * len(shape)
    for i, axis in enumerate(axes):
        pads[axis % len(shape)] = (flat[i], flat[i + len(flat) // 2])
    for pair, n in zip(pads, shape, strict=True):
        most = {"reflect": n - 1, "wrap": n}.get(mode, max(pair))
        odd = max(pair) > most or (min(pair) < 0 and max(pair) > 0)
        if mode != "constant" and odd:
            raise Unsupported(f"mode {mode} with pads {list(pair)} for {n} elements")
    return padded(d, a["self"], pads, PAD_MODES.get(mode, mode), a["value"])


def padded(
    d: GraphBuilder, x: str, pads: Sequence[tuple[int, int]], mode: str, value: float | None
) -> str:
    """Pad every axis of x by (before, after); negative numbers crop.

    mode    "constant", or how elements of x are repeated: "reflect", "replicate" or "circular"
    value   padding value; None: 0
    """
    for axis, (before, after) in enumerate(pads):
        count = d.shape(x)[axis]
        if count + min(before, 0) + min(after, 0) < 1:
            why = f"pads {[before, after]}, which leave none of the {count} elements along an axis"
            raise Unsupported(why, "the padding alone: torch.full(shape, value)")
        x = slice_axis(d, x, axis, max(-before, 0), count + min(after, 0))
        if mode != "constant":
            x = _pad_with_own_elements(d, x, axis, max(before, 0), max(after, 0), mode)
    positive = tuple((max(before, 0), max(after, 0)) for before, after in pads)
    if mode != "constant" or not any(map(any, positive)):
        return x
    if math.isnan(value or 0.0):
        raise Unsupported("padding with nan", FINITE_PADDING)
    return d.add("pad", x, pads=positive, value=float(value or 0.0))


def before_infinite_pad(
    d: GraphBuilder, x: str, value: float
) -> tuple[str, Sequence[tuple[int, int]]]:
    """Return the operand of a padding with plus or minus infinity, and its (before, after) along
    each axis; x itself and zeros if x is no such padding.

    Maxima and minima read around it; `frontend.infinities` refuses all other readers.
    """
    node = producer(d, x)
    if node is None or node.op != "pad" or node.attrs["value"] != value:
        return x, [(0, 0)] * len(d.shape(x))
    return node.inputs[0], node.attrs["pads"]


def _pad_with_own_elements(
    d: GraphBuilder, x: str, axis: int, before: int, after: int, mode: str
) -> str:
    """Pad one axis with the tensor's own elements (reflect, replicate or circular)."""
    n = d.shape(x)[axis]

    def part(count: int, start: int, stop: int, step: int = 1) -> list[str]:
        return [slice_axis(d, x, axis, start, stop, step)] if count else []

    def edge(count: int, at: int) -> list[str]:
        counts = [count if i == axis else 1 for i in range(len(d.shape(x)))]
        return [copied(d, y, counts, whole=True) for y in part(count, at, at + 1)]

    if mode == "replicate":
        front, behind = edge(before, 0), edge(after, n - 1)
    elif mode == "reflect":
        front, behind = part(before, before, 0, -1), part(after, n - 2, n - 2 - after, -1)
    elif mode == "circular":
        front, behind = part(before, n - before, n), part(after, 0, after)
    else:
        raise LookupError(f"mode {mode}")
    return concat(d, [*front, x, *behind], axis)


MOST_PADDED = 2**28  # maximum positions, padding included
AUTO_PAD = {"same": "SAME_UPPER", "valid": "VALID"}  # torch's name -> ONNX's
Pads = tuple[tuple[int, int], ...]


def batched(d: GraphBuilder, x: str, rank: int) -> str:
    return x if len(d.shape(x)) == rank else reshape(d, x, (1, *d.shape(x)))


def per_axis(a: Arguments, name: str, rank: int) -> tuple[int, ...]:
    """Return an argument's value per spatial axis; 1 if the call does not have it."""
    values = as_tuple(a.get(name) or 1, rank)
    if len(values) != rank or min(values) < 1 or max(values) > MOST_PADDED:
        raise Unsupported(f"{name} {list(values)} for {rank} axes")
    return values


def check_kernel(a: Arguments, kernel: Shape) -> None:
    """Check that ONNX's kernel_shape, if present, agrees with the weights.

    kernel   spatial shape of the weights
    Errors: ValueError if it differs.
    """
    stated = a.get("kernel_shape")
    if stated is not None and tuple(stated) != kernel:
        raise ValueError(f"kernel_shape {list(stated)}, weights of {list(kernel)}")


def auto_pad_of(a: Arguments) -> str:
    """Return ONNX's auto_pad: "NOTSET", "VALID", "SAME_UPPER" or "SAME_LOWER".

    Errors: ValueError for another name, or if explicit pads are given too.
    """
    auto = str(a.get("auto_pad", AUTO_PAD.get(str(a.get("padding", 0)), "NOTSET")))
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad {auto!r}")
    if auto != "NOTSET" and any(a.get("pads") or ()):
        raise ValueError(f"auto_pad {auto} together with pads {list(a['pads'])}")
    return auto


def pads_of(a: Arguments, sizes: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Pads:
    """Return the padding (before, after) of every spatial axis.

    sizes   input extents
    kernel, stride, dilation   per spatial axis
    The argument `padding` is one number per axis, "same" or "valid"; ONNX's `pads` lists all
    starts, then all ends. With auto_pad, the name says on which side an odd element is added.
    """
    rank, padding, auto = len(sizes), a.get("padding", 0), auto_pad_of(a)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = []  # ceil(n / stride) results; an odd element is added after or before
        for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True):
            both = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            small, large = both // 2, both - both // 2
            pads.append((small, large) if auto == "SAME_UPPER" else (large, small))
        return tuple(pads)
    flat = (0,) * 2 * rank
    if auto == "NOTSET":
        flat = tuple(a.get("pads") or as_tuple(padding, rank) * 2)
    if len(flat) != 2 * rank or min(flat) < 0:
        raise Unsupported(f"pads {list(flat)} for {rank} axes")
    if math.prod(n + flat[i] + flat[rank + i] for i, n in enumerate(sizes)) > MOST_PADDED:
        raise Unsupported(f"pads {list(flat)}")
    return tuple(zip(flat[:rank], flat[rank:], strict=True))


def fill(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import fill_ on a tensor or slice (x[..., 5:] = 0): a tensor of that shape with one value."""
    value = a["value"]
    if isinstance(value, str) and value not in d.constants:
        return expand(d, reshape(d, value, (1,) * len(out)), out)
    number = d.array(value).reshape(()) if isinstance(value, str) else value
    return d.constant(np.full(out, number, np.float32))


def picked(d: GraphBuilder, x: str, dim: int, picks: Array) -> str:
    """Return x with the elements of axis `dim` at the indices `picks`; runs of adjacent indices
    become one slice."""
    if picks.dtype.kind not in "iu" or picks.ndim != 1:
        raise Unsupported("indexing by anything but a list of integers")
    axis = dim % len(d.shape(x))
    runs: list[tuple[int, int]] = []  # [3, 4, 5, 0] -> [(3, 6), (0, 1)]
    for i in (int(i) % d.shape(x)[axis] for i in picks):
        if runs and runs[-1][1] == i:
            runs[-1] = (runs[-1][0], i + 1)
        else:
            runs.append((i, i + 1))
    if len(runs) > MOST_PARTS:
        return d.add("take", x, axis=axis, index=tuple(int(i) % d.shape(x)[axis] for i in picks))
    return concat(d, [slice_axis(d, x, axis, *run) for run in runs], axis)


def cat(d: GraphBuilder, a: Arguments, out: Any) -> str:
    parts = [x for x in a["tensors"] if 0 not in d.shape(x)]
    return concat(d, parts, a["dim"] % len(d.shape(parts[0])))


def stack(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    axis = a["dim"] % len(out)
    thin = tuple(1 if i == axis else n for i, n in enumerate(out))
    return concat(d, [reshape(d, x, thin) for x in a["tensors"]], axis)
