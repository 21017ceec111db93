# SPDX-License-Identifier: Apache-2.0
"""Arguments of operators with windows: stride, dilation and padding per axis."""

from __future__ import annotations

import math

from myoedge.graph.ir import Shape
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, as_tuple, reshape
from myoedge.operators.import_rows import Arguments

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
