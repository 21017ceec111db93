# SPDX-License-Identifier: Apache-2.0
"""Import of layer norm, group norm and similar, and of vectors normalised to unit length."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape, ranked
from myoedge.operators.elementwise.import_rows import batch_norm
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, expand, reshape, transpose
from myoedge.operators.import_rows import Arguments, ImportRow, Row, first
from myoedge.operators.library.reductions import regular
from myoedge.operators.norm.definition import LENGTH_MAX
from myoedge.operators.norm.group_norm import LENGTH_MAX as GROUP_MAX
from myoedge.operators.norm.group_norm import layout

EPS_MOST = 1e-4  # up to it, max(|x|, eps) and sqrt(|x|^2 + eps^2) differ by less than an int8 step
VARIANCE_EPS = 1e-18  # ONNX adds 1e-9 to the deviation
EPS_LEAST = 1e-12  # torch's default; float32 represents its square


def norm(op: str) -> Row:
    """Return a function that imports layer norm or RMS norm (`op`) over the last axes, merged into
    one; computed gains and offsets become separate operators."""

    def row(d: GraphBuilder, a: Arguments, out: Any) -> str:
        x, shape = first(a), d.shape(first(a))
        lead = a["axis"] % len(shape) if "axis" in a else len(shape) - len(a["normalized_shape"])
        length = math.prod(shape[lead:])
        eps = np.finfo(np.float32).eps if a["eps"] is None else a["eps"]
        given: dict[str, tuple[Any, float]]
        given = {"mul": (a.get("weight"), 1.0), "add": (a.get("bias"), 0.0)}
        parts = []
        for name, default in given.values():
            value = d.arrays.get(name, np.full(1, default, np.float32)).reshape(-1)
            parts.append(d.constant(np.broadcast_to(value, (length,))))
        rows = reshape(d, x, (*shape[:lead], length))
        y = reshape(d, of_rows(d, op, rows, parts, float(eps)), shape)
        for operator, (name, _) in given.items():
            y = y if name is None or name in d.constants else d.add(operator, y, name)
        return y

    return row


def of_rows(d: GraphBuilder, op: str, x: str, factors: Sequence[str], eps: float) -> str:
    """Add a layer norm or RMS norm (`op`) over the last axis; a long axis becomes a group norm with
    one group.

    factors   names of the gains, and for layer norm of the offsets
    """
    shape, centred = d.shape(x), op == "layer_norm"
    if shape[-1] <= LENGTH_MAX:
        return d.add(op, x, *(factors if centred else factors[:1]), eps=eps)
    rows = reshape(d, x, (math.prod(shape[:-1]), shape[-1]))
    return reshape(d, grouped(d, rows, factors, 1, 1, eps, centred=centred), shape)


def grouped(
    d: GraphBuilder,
    x: str,
    factors: Sequence[str],
    axis: int,
    groups: int,
    eps: float,
    *,
    centred: bool = True,
) -> str:
    """Add a group norm; return the result's name.

    factors   names of gains and offsets
    axis      channel axis
    groups    number of groups
    eps       added to the variance
    centred   whether the mean is subtracted; otherwise an RMS norm per group
    Errors: Unsupported if a group has too many elements for 64-bit statistics.
    """
    if (length := layout({"axis": axis, "groups": groups}, d.shape(x)).length) > GROUP_MAX:
        raise Unsupported(f"a norm over {length:,} elements, at most {GROUP_MAX:,}")
    attrs: dict[str, Any] = {"axis": axis, "groups": groups, "centred": centred}
    return d.add("group_norm", x, *factors, **attrs, eps=float(eps))


def group_norm(groups: Callable[[Arguments, int], int], axis: int = 1) -> Row:
    """Return a function that imports a group norm.

    groups   (arguments, channels) -> number of groups; gains may be per channel or per group
    axis     channel axis; 0: statistics over the whole batch
    """

    def row(d: GraphBuilder, a: Arguments, out: Any) -> str:
        x, shape = first(a), d.shape(first(a))
        channels, count = shape[1], groups(a, shape[1])
        if count < 1 or channels % count:
            raise ValueError(f"{channels} channels in {count} groups")
        given: dict[str, tuple[Any, float]]
        given = {"mul": (a.get("weight"), 1.0), "add": (a.get("bias"), 0.0)}
        parts = []
        for name, default in given.values():
            value = d.arrays.get(name, np.full(1, default, np.float32)).reshape(-1)
            if value.size not in (1, count, channels):
                raise ValueError(f"{value.size} factors for {channels} channels")
            parts.append(d.constant(np.repeat(value, channels // value.size)))
        together = axis == 0 and shape[0] > 1
        rows = reshape(d, x, (1, *shape) if together else shape)
        y = grouped(d, rows, parts, 1 + together, count, a["eps"])
        y = reshape(d, y, shape)
        for operator, (name, _) in given.items():
            if name is not None and name not in d.constants:
                y = d.add(operator, y, reshape(d, name, (-1, *[1] * (len(shape) - 2))))
        return y

    return row


each_channel = group_norm(lambda a, channels: channels)


def instance_norm(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import instance norm, with statistics of each channel or with running statistics."""
    return (each_channel if a["use_input_stats"] else batch_norm)(d, a, out)


def mean_variance(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import ONNX's MeanVarianceNormalization as a group norm, in which the axes that are not
    reduced are channels."""
    shape = d.shape(a["self"])
    if not all(-len(shape) <= axis < len(shape) for axis in a["axes"]):
        raise ValueError(f"axes {a['axes']} of {len(shape)}")
    axes = {axis % len(shape) for axis in a["axes"]}
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    order = [*kept, *sorted(axes)]
    groups = math.prod(shape[axis] for axis in kept)
    rows = reshape(d, transpose(d, a["self"], order), (1, groups, math.prod(shape) // groups))
    one, zero = (d.constant(np.full(groups, value, np.float32)) for value in (1.0, 0.0))
    y = grouped(d, rows, (one, zero), 1, groups, VARIANCE_EPS)
    back = reshape(d, y, [shape[axis] for axis in order])
    return transpose(d, back, np.argsort(order).tolist())


def local_response(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import local response normalisation: x / (bias + alpha * mean of x^2 over adjacent channels)
    ** beta."""
    shape, size = d.shape(a["self"]), a["size"]
    if size < 1 or len(shape) < 2:
        raise ValueError(f"size {size} of {list(shape)}")
    before = (size - 1) // 2
    windows = regular(shape[1], size, 1, (before, size - 1 - before), count_pad=True)
    square = d.add("table", a["self"], chain=(("square",),))
    rows = reshape(d, square, (shape[0], shape[1], math.prod(shape[2:])))
    mean = reshape(d, d.add("avg_pool", rows, windows=(windows,)), shape)
    chain = (("affine", a["alpha"], a["bias"]), ("pow", -a["beta"]))
    return d.add("mul", a["self"], d.add("table", mean, chain=chain))


def unit_length(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import ONNX's LpNormalization, which divides rows by their norm."""
    if a["p"] == 2:
        return normalized(d, a["self"], a["axis"], 0.0)
    if a["p"] != 1:
        raise ValueError(f"p = {a['p']}")
    axis = a["axis"] % len(out)
    length = d.add("sum", d.add("table", a["self"], chain=(("abs",),)), axes=(axis,), keepdim=True)
    return d.add("mul", a["self"], d.add("table", length, chain=(("reciprocal",),)))


def layer_norm_onnx(d: GraphBuilder, a: Arguments, outs: Any) -> tuple[str, ...]:
    """Import ONNX's LayerNormalization with all results: the norm, the mean, and the inverse
    standard deviation."""
    y, x = norm("layer_norm")(d, a, outs[0]), a["input"]
    if len(outs) == 1:
        return (y,)
    axes = tuple(range(a["axis"] % len(d.shape(x)), len(d.shape(x))))
    mean = d.add("mean", x, axes=axes, keepdim=True)
    square = d.add("table", d.add("sub", x, mean), chain=(("square",),))
    variance = d.add("mean", square, axes=axes, keepdim=True)
    return y, mean, d.add("table", variance, chain=(("affine", 1.0, a["eps"]), ("rsqrt",)))


def normalized(d: GraphBuilder, x: str, axis: int, eps: float) -> str:
    """Return x / sqrt(sum(x^2) + eps^2) along an axis."""
    shape = d.shape(x)
    axis %= len(shape)
    n = shape[axis]
    if x in d.constants:
        value = d.array(x)
        lengths = np.sqrt(np.square(value.astype(np.float64)).sum(axis, keepdims=True))
        return d.constant(value / np.maximum(lengths, max(eps, EPS_LEAST)))
    order = [i for i in range(len(shape)) if i != axis] + [axis]
    factors = [d.constant(np.full(n, v, np.float32)) for v in (1.0 / math.sqrt(n), 0.0)]
    rows = transpose(d, x, order)
    y = of_rows(d, "rms_norm", rows, factors, max(eps, EPS_LEAST) ** 2 / n)
    return transpose(d, y, np.argsort(order).tolist())


def cosine_similarity(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import cosine similarity: the sum of products of normalised, broadcast vectors."""
    if a["eps"] > EPS_MOST:
        raise Unsupported(f"eps={a['eps']:g}, at most {EPS_MOST:g}", f"use eps={EPS_MOST:g}")
    both = np.broadcast_shapes(d.shape(a["x1"]), d.shape(a["x2"]))
    axis = a["dim"] % len(both)

    def unit(x: str) -> str:
        shape = ranked(d.shape(x), len(both))
        long = (*shape[:axis], both[axis], *shape[axis + 1 :])
        return normalized(d, expand(d, reshape(d, x, shape), long), axis, a["eps"])

    left, right = unit(a["x1"]), unit(a["x2"])
    return d.add("sum", d.add("mul", left, right), axes=(axis,), keepdim=False)


ROWS = (
    ImportRow("layer_norm group_norm", norm("layer_norm"), "layer_norm native_layer_norm"),
    ImportRow(
        "layer_norm group_norm",
        layer_norm_onnx,
        onnx="LayerNormalization(input, weight, bias, *, axis=-1, eps: epsilon = 1e-5)",
        all_results=True,
    ),
    ImportRow(
        "rms_norm group_norm",
        norm("rms_norm"),
        "rms_norm _fused_rms_norm",
        "RMSNormalization(input, weight, *, axis=-1, eps: epsilon = 1e-5)",
    ),
    ImportRow("group_norm", group_norm(lambda a, channels: a["num_groups"]), "group_norm"),
    ImportRow("group_norm", group_norm(lambda a, channels: a["group"]), "native_group_norm"),
    ImportRow(
        "group_norm",
        group_norm(lambda a, channels: a["num_groups"]),
        onnx="GroupNormalization(input, weight, bias, *, num_groups, eps: epsilon = 1e-5)",
    ),
    ImportRow("group_norm", instance_norm, "instance_norm"),
    ImportRow(
        "group_norm",
        each_channel,
        onnx="InstanceNormalization(input, weight, bias, *, eps: epsilon = 1e-5)",
    ),
    ImportRow(
        "group_norm",
        group_norm(lambda a, channels: channels, axis=0),
        "_native_batch_norm_legit.no_stats",
    ),
    ImportRow(
        "group_norm", mean_variance, onnx="MeanVarianceNormalization(self, *, axes=[0, 2, 3])"
    ),
    ImportRow("rms_norm group_norm", unit_length, onnx="LpNormalization(self, *, axis=-1, p=2)"),
    ImportRow(
        "avg_pool", local_response, onnx="LRN(self, *, size, alpha=0.0001, beta=0.75, bias=1.0)"
    ),
    ImportRow("sum", cosine_similarity, "cosine_similarity"),
)
