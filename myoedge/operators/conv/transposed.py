# SPDX-License-Identifier: Apache-2.0
"""Import of transposed convolutions as convolutions with stride 1.

The `stride` results of each position are computed as channels and interleaved afterwards. The
slices have origin "inside", like views, so that factors and activations fuse through them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    as_tuple,
    channels_first,
    channels_last,
    fusible_view,
    optional_bias,
    reshape,
    slice_axis,
    transpose,
    weights,
)
from myoedge.operators.import_rows import Arguments
from myoedge.operators.library.import_moves import (
    auto_pad_of,
    batched,
    check_kernel,
    copied,
    per_axis,
)

MOST_TAPS = 2**26  # maximum weights, zeros between dilated taps included


@dataclass(frozen=True, slots=True)
class TransposedAxis:
    """A spatial axis of a transposed convolution: input i and tap r add to result stride * i +
    dilation * r - front.

    n, out             extents of the input and of the result
    taps               kernel size
    stride, dilation   in results
    front              padding: results dropped at the start
    """

    n: int
    out: int
    taps: int
    stride: int
    dilation: int
    front: int

    @property
    def reach(self) -> int:
        """Kernel size including the zeros between dilated taps; without them if the stride is 1,
        when the equivalent convolution is dilated instead."""
        return (self.taps - 1) * self.dilation + 1 if self.stride > 1 else self.taps

    @property
    def windows(self) -> int:
        """Kernel size of the equivalent convolution, which computes `stride` results at each of its
        positions."""
        return -(-self.reach // self.stride)

    @property
    def positions(self) -> range:
        """Positions of the equivalent convolution's windows, relative to the first input
        element."""
        return range(self.front // self.stride, -(-(self.front + self.out) // self.stride))

    @property
    def step(self) -> int:
        """Dilation of the equivalent convolution."""
        return self.dilation if self.stride == 1 else 1

    @property
    def pads(self) -> tuple[int, int]:
        """Padding (before, after) of the equivalent convolution; negative numbers crop unused
        inputs."""
        before = (self.windows - 1) * self.step - self.positions.start
        return before, self.positions.stop - self.n

    @property
    def crop(self) -> tuple[int, int, int]:
        """Slice (start, stop, step) of the interleaved results that is returned."""
        first = self.front - self.positions.start * self.stride
        return first, first + self.out, 1


def conv_transpose(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import a transposed convolution of [N, C, *S], or [C, *S], as a convolution with prod(stride)
    times the channels."""
    w = weights(d, a["weight"], "a transposed convolution's weight")
    rank, groups = w.ndim - 2, int(a["groups"])
    if rank not in (1, 2):
        raise Unsupported(f"transposed convolution {rank}-D")
    check_kernel(a, w.shape[2:])
    x = batched(d, a["input"], rank + 2)
    if groups < 1 or w.shape[0] % groups or d.shape(x)[1] != w.shape[0]:
        raise ValueError(f"{d.shape(x)[1]} channels in {groups} groups, weights {list(w.shape)}")
    bias = optional_bias(d, a["bias"])
    if bias and d.shape(*bias) != (groups * w.shape[1],):
        raise ValueError(f"a bias {list(d.shape(*bias))}")
    axes = _transposed_axes(a, d.shape(x)[2:], w.shape[2:], out[-rank:])
    for axis, spatial in enumerate(axes, 2):
        (before, after), n = spatial.pads, d.shape(x)[axis]
        x = slice_axis(d, x, axis, max(-before, 0), n + min(after, 0))
    x = transpose(d, x, channels_last(rank + 2))
    own = d.array(bias[0]) if bias else None
    y = _interleave_phases(
        d, *_compute_phases(d, x, _phase_weights(w, groups, axes), own, axes), axes
    )
    return reshape(d, channels_first(d, _crop_result(d, y, axes)), out)


def _compute_phases(
    d: GraphBuilder, x: str, w: Array, bias: Array | None, axes: Sequence[TransposedAxis]
) -> tuple[str, int]:
    """Compute all phases: [N, *positions, groups * strides * K/groups], and the number of groups
    between the strides.

    w   [groups, *strides, K/groups, *windows, C/groups]
    A depthwise convolution stays depthwise: the input's channels are repeated for each stride.
    """
    rank = len(axes)
    own: tuple[Array, ...] = ()
    if bias is not None:
        own = (bias.reshape(w.shape[0], *(1,) * rank, w.shape[rank + 1]),)
    groups = apart = w.shape[0]
    if groups > 1 and w.shape[rank + 1] == w.shape[-1] == 1:
        count = math.prod(axis.stride for axis in axes)
        x = copied(d, x, (*(1,) * (rank + 1), count), whole=True)
        w, own = w.swapaxes(0, rank + 1), tuple(b.swapaxes(0, rank + 1) for b in own)
        groups, apart = count * groups, 1
    biases = (np.broadcast_to(b, w.shape[: rank + 2]).reshape(-1) for b in own)
    rows = w.reshape(-1, *w.shape[rank + 2 :])
    attrs: dict[str, Any] = {
        "stride": (1,) * rank,
        "dilation": tuple(axis.step for axis in axes),
        "pads": tuple((max(axis.pads[0], 0), max(axis.pads[1], 0)) for axis in axes),
    }
    y = d.add("conv", x, *map(d.constant, (rows, *biases)), **attrs, groups=groups)
    return y, apart


def _transposed_axes(
    a: Arguments, sizes: Shape, kernel: Shape, out: Shape
) -> tuple[TransposedAxis, ...]:
    rank = len(sizes)
    stride, dilation = (per_axis(a, name, rank) for name in ("stride", "dilation"))
    added = as_tuple(a.get("output_padding") or 0, rank)
    fronts = (
        _cropped_front(a, rank, axis, s * (n - 1) + (k - 1) * d + 1 + more - wanted)
        for axis, (n, k, s, d, more, wanted) in enumerate(
            zip(sizes, kernel, stride, dilation, added, out, strict=True)
        )
    )
    rows = zip(sizes, out, kernel, stride, dilation, fronts, strict=True)
    axes = tuple(TransposedAxis(*row) for row in rows)
    if math.prod(axis.reach + axis.stride for axis in axes) > MOST_TAPS:
        raise Unsupported(f"dilation {list(dilation)} with stride {list(stride)}")
    return axes


def _cropped_front(a: Arguments, rank: int, axis: int, cut: int) -> int:
    """Return the number of results to cut off at the start of an axis, by torch's `padding` or
    ONNX's `pads`, `auto_pad` or `output_shape`.

    cut   results to cut off at both ends together
    """
    if "padding" in a:
        return as_tuple(a["padding"], rank)[axis]
    auto = auto_pad_of(a)
    if auto == "NOTSET" and not a["output_shape"]:
        return (a["pads"] or (0,) * 2 * rank)[axis]
    return {"SAME_UPPER": cut // 2, "VALID": 0}.get(auto, cut - cut // 2)


def _phase_weights(w: Array, groups: int, axes: Sequence[TransposedAxis]) -> Array:
    """Rearrange weights [C, K/groups, *R] to [groups, *strides, K/groups, *windows, C/groups].

    Phase p of an axis has the taps p, p + stride, .. of the kernel, in reverse order.
    """
    rank = len(axes)
    dense = np.zeros((*w.shape[:2], *(a.windows * a.stride for a in axes)), np.float32)
    spread = (slice(0, a.reach, a.dilation if a.stride > 1 else 1) for a in axes)
    dense[(slice(None), slice(None), *spread)] = w
    cut = (n for a in axes for n in (a.windows, a.stride))
    split = dense.reshape(groups, w.shape[0] // groups, w.shape[1], *cut)
    split = np.flip(split, tuple(range(3, 3 + 2 * rank, 2)))
    order = (0, *range(4, 4 + 2 * rank, 2), 2, *range(3, 3 + 2 * rank, 2), 1)
    return np.asarray(split.transpose(order))


def _interleave_phases(d: GraphBuilder, y: str, groups: int, axes: Sequence[TransposedAxis]) -> str:
    """Interleave phases: [N, *positions, groups * strides * C] -> [N, *(positions * stride), groups
    * C]."""
    n, *positions, k = d.shape(y)
    rank, strides = len(axes), [axis.stride for axis in axes]
    count = math.prod(strides)
    split = [i for i, factor in enumerate([groups, *strides]) if factor > 1]
    places = {i: [1 + rank + at] for at, i in enumerate(split)}  # 0: groups; 1 and up: strides
    spatial = (place for axis in range(rank) for place in (1 + axis, *places.get(1 + axis, [])))
    order = [0, *spatial, *places.get(0, [])]
    if order != sorted(order):
        cut = (n, *positions, *(([groups, *strides])[i] for i in split), k // groups // count)
        y = transpose(d, fusible_view(d, y, cut), (*order, len(cut) - 1))
    return fusible_view(
        d, y, (n, *(m * s for m, s in zip(positions, strides, strict=True)), k // count)
    )


def _crop_result(d: GraphBuilder, y: str, axes: Sequence[TransposedAxis]) -> str:
    """Crop [N, *spatial, C] to the positions of the result."""
    shape = d.shape(y)
    cuts = ((0, shape[0], 1), *(axis.crop for axis in axes), (0, shape[-1], 1))
    if cuts == tuple((0, n, 1) for n in shape):
        return y
    return d.add("slice", y, cuts=cuts, inside=True)
