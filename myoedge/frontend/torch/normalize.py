# SPDX-License-Identifier: Apache-2.0
"""Vectors of length one, x / max(|x|, eps), and their products: an RMS norm with one factor."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.frontend.graph_builder import Arguments, Draft, Unsupported, reshape, transpose
from myoedge.frontend.torch.traced import arguments_of
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.norm.definition import LENGTH_MAX

EPS_MOST = 1e-4  # below it max(|x|, eps) and sqrt(|x|^2 + eps^2) differ less than int8 could say
EPS_LEAST = 1e-12  # what torch has, of which float32 holds the square
LENGTHS = ("aten.linalg_vector_norm.default", "aten.norm.ScalarOpt_dim")
LIMITS = ("aten.clamp_min.default", "aten.clamp.default")
SPREADS = ("aten.expand_as.default", "aten.expand.default")


@dataclass(frozen=True, slots=True)
class Unit:
    """x / max(|x|, eps): the node of x, the axis of its vectors."""

    x: Any
    axis: int
    eps: float


def unit_of(node: Any) -> Unit | None:
    """What a division of torch's graph is, if it is that of vectors by their own lengths."""
    if _target(node) != "aten.div.Tensor":
        return None
    given = arguments_of(node)
    x, eps, length = given["self"], 0.0, given["other"]
    while _target(length) in (*LIMITS, *SPREADS):
        given = arguments_of(length)
        if _target(length) in LIMITS and not _is_least(given):
            return None
        eps, length = max(eps, given.get("min", 0.0)), given["self"]
    if _target(length) not in LENGTHS or arguments_of(length)["self"] is not x:
        return None
    axis = _axis(arguments_of(length))
    return None if axis is None or eps > EPS_MOST else Unit(x, axis, eps)


def _target(node: Any) -> str:
    return str(getattr(node, "target", ""))


def _is_least(limits: Arguments) -> bool:
    return isinstance(limits["min"], int | float) and limits.get("max") is None


def _axis(given: Arguments) -> int | None:
    """The one axis along which a length is Euclidean, and is kept."""
    order, axes = given.get("ord", given.get("p")), given["dim"]
    axes = [axes] if isinstance(axes, int) else axes
    plain = order in (2, None) and given["keepdim"] and given.get("dtype") is None
    return int(axes[0]) if plain and axes is not None and len(axes) == 1 else None


def reads(node: Any) -> Iterable[Any]:
    """The nodes that a call's result is made of."""
    unit = unit_of(node)
    return node.all_input_nodes if unit is None else (unit.x,)


def normalized(d: Draft, x: str, axis: int, eps: float) -> str:
    """x / sqrt(mean(x^2) + eps^2 / n) / sqrt(n) along an axis of n elements."""
    shape = d.shape(x)
    axis %= len(shape)
    n = shape[axis]
    if x in d.constants:
        return d.constant(_of_constant(d.constants[x], axis, eps))
    if n > LENGTH_MAX:
        raise Unsupported(f"vectors of {n} elements, at most {LENGTH_MAX}")
    order = [i for i in range(len(shape)) if i != axis] + [axis]
    gain = d.constant(np.full(n, 1.0 / math.sqrt(n), np.float32))
    rows = transpose(d, x, order)
    y = d.add("rms_norm", rows, gain, eps=max(eps, EPS_LEAST) ** 2 / n)
    return transpose(d, y, np.argsort(order).tolist())


def _of_constant(x: Array, axis: int, eps: float) -> Array:
    lengths = np.sqrt(np.square(x.astype(np.float64)).sum(axis, keepdims=True))
    return np.asarray(x / np.maximum(lengths, max(eps, EPS_LEAST)), np.float32)


def cosine_similarity(d: Draft, a: Arguments, out: Shape) -> str:
    """The sum of products of vectors of length one."""
    if a["eps"] > EPS_MOST:
        raise Unsupported(f"eps={a['eps']:g}, at most {EPS_MOST:g}")
    both = np.broadcast_shapes(d.shape(a["x1"]), d.shape(a["x2"]))
    axis = a["dim"] % len(both)
    whole = (_as_long(d, a[name], axis, both) for name in ("x1", "x2"))
    left, right = (normalized(d, x, axis, a["eps"]) for x in whole)
    return d.add("sum", d.add("mul", left, right), axes=(axis,), keepdim=False)


def _as_long(d: Draft, x: str, axis: int, both: Shape) -> str:
    """Of the rank of both operands, and as many elements along the axis: torch broadcasts first."""
    x = reshape(d, x, (1,) * (len(both) - len(d.shape(x))) + d.shape(x))
    shape = d.shape(x)
    shape = (*shape[:axis], both[axis], *shape[axis + 1 :])
    return x if shape == d.shape(x) else d.add("expand", x, shape=shape)
