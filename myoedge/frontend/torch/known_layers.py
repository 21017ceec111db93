# SPDX-License-Identifier: Apache-2.0
"""ATen calls of layers and reductions that import reads without torch: types and shapes of their
results."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from myoedge.frontend.torch.known_calls import (
    CallTable,
    Given,
    axes_of,
    axis_of,
    empty,
    floats,
    require,
    same_size,
)
from myoedge.numerics.arrays import Array

LAYERS = CallTable()
RECURRENT = "input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first"


# ---- along axes


@LAYERS.shaped(
    "softmax.int(self, dim, dtype=None)",
    "log_softmax.int(self, dim, dtype=None)",
    "cumsum(self, dim, dtype=None)",
)
def along(a: Given) -> Array:
    x, dtype = a["self"], floats(a["self"])
    axis_of(a["dim"], x.ndim)
    return empty(x.shape, a["dtype"] or dtype)


@LAYERS.shaped(
    "mean(self, dtype=None)",
    "mean.dim(self, dim, keepdim=False, dtype=None)",
    "sum(self, dtype=None)",
    "sum.dim_IntList(self, dim, keepdim=False, dtype=None)",
    "max(self)",
    "min(self)",
    "amax(self, dim=[], keepdim=False)",
    "amin(self, dim=[], keepdim=False)",
    "var.correction(self, dim=None, correction=None, keepdim=False)",
    "std.correction(self, dim=None, correction=None, keepdim=False)",
    "linalg_vector_norm(self, ord=2, dim=None, keepdim=False, dtype=None)",
)
def reduced(a: Given) -> Array:
    x, axes = a["self"], axes_of(a.get("dim"), a["self"].ndim)
    kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
    sizes = kept if a.get("keepdim") else [n for i, n in enumerate(x.shape) if i not in axes]
    return empty(sizes, a.get("dtype") or floats(x))


@LAYERS.shaped("argmax(self, dim=None, keepdim=False)", "argmin(self, dim=None, keepdim=False)")
def positions(a: Given) -> Array:
    return empty(reduced(a).shape, np.int64)


@LAYERS.shaped("max.dim(self, dim, keepdim=False)", "min.dim(self, dim, keepdim=False)")
def extremes(a: Given) -> tuple[Array, Array]:
    values = reduced(a)
    return values, empty(values.shape, np.int64)


# ---- products


@LAYERS.shaped("linear(input, weight, bias=None)")
def linear(a: Given) -> Array:
    x, weight, bias = a.values()
    same_size(weight.shape[1:], x.shape[-1:])
    if bias is not None:
        same_size(bias.shape, weight.shape[:1])
    return empty((*x.shape[:-1], weight.shape[0]), floats(x, weight, bias))


@LAYERS.shaped("matmul(self, other)")
def product(a: Given) -> Array:
    x, y = a.values()
    same_size(x.shape[-1:], y.shape[-2:-1])  # vectors are left to torch
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return empty((*batch, x.shape[-2], y.shape[-1]), floats(x, y))


@LAYERS.shaped(
    "addmm(self, mat1, mat2, beta=1, alpha=1)",
    "baddbmm(self, batch1, batch2, beta=1, alpha=1)",
)
def added_product(a: Given) -> Array:
    added, x, y, *_ = a.values()
    same_size((*x.shape[:-2], x.shape[-1]), y.shape[:-1])
    shape = (*x.shape[:-1], y.shape[-1])
    same_size(np.broadcast_shapes(added.shape, shape), shape)
    return empty(shape, floats(added, x, y))


@LAYERS.shaped("mm(self, mat2)", "bmm(self, mat2)")
def product_of_equal_ranks(a: Given) -> Array:
    x, y = a.values()
    same_size((*x.shape[:-2], x.shape[-1]), y.shape[:-1])
    return empty((*x.shape[:-1], y.shape[-1]), floats(x, y))


# ---- windows


def sizes_of(value: Any, rank: int) -> list[int]:
    """Return one size per spatial axis; a single number stands for all."""
    sizes = [value] if isinstance(value, int) else [*value]
    sizes = sizes * rank if len(sizes) == 1 else sizes
    same_size([len(sizes)], [rank])
    return sizes


CONV = "(input, weight, bias=None, stride={one}, padding={margin}, dilation={one}, groups=1)"


@LAYERS.shaped(
    *(f"conv{n}d" + CONV.format(one=[1] * n, margin=[0] * n) for n in (1, 2)),
    *(f"conv{n}d.padding" + CONV.format(one=[1] * n, margin="'valid'") for n in (1, 2)),
)
def conv(a: Given) -> Array:
    x, weight, bias, pad = a["input"], a["weight"], a["bias"], a["padding"]
    rank = weight.ndim - 2
    same_size([x.ndim, x.shape[1]], [weight.ndim, weight.shape[1] * a["groups"]])
    if bias is not None:
        same_size(bias.shape, weight.shape[:1])
    reach = [
        d * (k - 1) for d, k in zip(sizes_of(a["dilation"], rank), weight.shape[2:], strict=True)
    ]
    around = (
        [2 * n for n in sizes_of(0 if pad == "valid" else pad, rank)] if pad != "same" else reach
    )
    steps = sizes_of(a["stride"], rank)
    require(a["groups"] >= 1, weight.shape[0] % a["groups"] == 0, min(steps) >= 1)
    require(min(around) >= 0, min(sizes_of(a["dilation"], rank)) >= 1)
    require(pad != "same" or max(steps) == 1, not isinstance(pad, int))
    places = zip(x.shape[2:], around, reach, steps, strict=True)
    sizes = [(n + m - r - 1) // s + 1 for n, m, r, s in places]
    require(min(sizes) >= 1)
    return empty((x.shape[0], weight.shape[0], *sizes), floats(x, weight, bias))


def pooled(rank: int, a: Given) -> Array:
    """Return the windows' results; with ceil_mode, the last one may end behind the padding, but not
    begin there."""
    x, window, above = a["self"], sizes_of(a["kernel_size"], rank), a["ceil_mode"]
    named = (a["stride"] or window, a["padding"], a.get("dilation", 1))
    steps, margins, spread = (sizes_of(value, rank) for value in named)
    divisor = 1 if a.get("divisor_override") is None else a["divisor_override"]
    sizes = list[int]()
    require(min(*window, *steps, *spread) >= 1, min(margins) >= 0, divisor and type(divisor) is int)
    require(all(2 * p <= k for p, k in zip(margins, window, strict=True)))
    for n, k, s, p, d in zip(x.shape[-rank:], window, steps, margins, spread, strict=True):
        reach = n + 2 * p - d * (k - 1) - 1
        count = (-(-reach // s) if above else reach // s) + 1
        sizes.append(count - (above and (count - 1) * s >= n + p))
    require(min(sizes) >= 1)
    return empty((*x.shape[:-rank], *sizes), floats(x))


@LAYERS.shaped(
    "max_pool1d(self, kernel_size, stride=[], padding=[0], dilation=[1], ceil_mode=False)",
    "avg_pool1d(self, kernel_size, stride=[], padding=[0], ceil_mode=False, "
    "count_include_pad=True)",
)
def pooled_rows(a: Given) -> Array:
    return pooled(1, a)


@LAYERS.shaped(
    "max_pool2d(self, kernel_size, stride=[], padding=[0, 0], dilation=[1, 1], ceil_mode=False)",
    "avg_pool2d(self, kernel_size, stride=[], padding=[0, 0], ceil_mode=False, "
    "count_include_pad=True, divisor_override=None)",
)
def pooled_images(a: Given) -> Array:
    return pooled(2, a)


@LAYERS.shaped(
    "adaptive_max_pool1d(self, output_size)",
    "adaptive_max_pool2d(self, output_size)",
)
def largest_of_size(a: Given) -> tuple[Array, Array]:
    values = pooled_to_size(a)
    return values, empty(values.shape, np.int64)


@LAYERS.shaped("adaptive_avg_pool1d(self, output_size)", "adaptive_avg_pool2d(self, output_size)")
def pooled_to_size(a: Given) -> Array:
    x, sizes = a["self"], a["output_size"]
    require(x.ndim == 2 + len(sizes), min(sizes) >= 0)
    return empty((*x.shape[: x.ndim - len(sizes)], *sizes), floats(x))


# ---- other layers


@LAYERS.shaped(
    "layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-05, cudnn_enable=True)",
    "rms_norm(input, normalized_shape, weight=None, eps=None)",
    "batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, "
    "cudnn_enabled)",
    "group_norm(input, num_groups, weight=None, bias=None, eps=1e-05, cudnn_enabled=True)",
)
def normalized(a: Given) -> Array:
    x = a["input"]
    part = a.get("normalized_shape", x.shape[x.ndim :])
    same_size(x.shape[x.ndim - len(part) :], part)
    require("normalized_shape" not in a or part, a.get("num_groups", 1) >= 1)
    require("num_groups" not in a or x.shape[1] % a["num_groups"] == 0)
    same = [a[name] for name in ("weight", "bias") if a.get(name) is not None]
    for value in same:
        same_size(value.shape, part or x.shape[1:2])
    return empty(x.shape, floats(x, *same))


@LAYERS.shaped(*(f"{name}.input({RECURRENT})" for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")))
def recurrent(a: Given) -> tuple[Array, ...]:
    x, states = a["input"], a["hx"] if isinstance(a["hx"], list) else [a["hx"]]
    same_size([x.ndim], [3])
    units = (1 + a["bidirectional"]) * a["params"][1].shape[1]
    batch = x.shape[0 if a["batch_first"] else 1]
    directions = a["num_layers"] * (1 + a["bidirectional"])
    require(len(a["params"]) == directions * (2 + 2 * a["has_biases"]) > 0)
    require(0 <= a["dropout"] <= 1, all(h.shape[:2] == (directions, batch) for h in states))
    dtype = floats(x, *states, *a["params"])
    return (empty((*x.shape[:2], units), dtype), *(empty(h.shape, dtype) for h in states))


@LAYERS.shaped("lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None)")
def lstm_cell(a: Given) -> tuple[Array, ...]:
    return tuple(empty(h.shape, floats(h, a["input"])) for h in a["hx"])


@LAYERS.shaped("gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None)")
def gru_cell(a: Given) -> Array:
    return empty(a["hx"].shape, floats(a["hx"], a["input"]))


@LAYERS.shaped(
    "scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, "
    "is_causal=False, scale=None, enable_gqa=False)"
)
def attention(a: Given) -> Array:
    query, key, value = a["query"], a["key"], a["value"]
    same_size(query.shape[:-2], value.shape[:-2])
    same_size(key.shape[:-1], value.shape[:-1])
    require(a["attn_mask"] is None or isinstance(a["attn_mask"], np.ndarray))
    require(0 <= a["dropout_p"] <= 1, a["attn_mask"] is None or not a["is_causal"])
    return empty((*query.shape[:-1], value.shape[-1]), floats(query, key, value))


@LAYERS.shaped(
    "upsample_linear1d.vec(input, output_size, align_corners, scale_factors)",
    "upsample_nearest1d.vec(input, output_size, scale_factors)",
    "upsample_bilinear2d.vec(input, output_size, align_corners, scale_factors)",
    "upsample_nearest2d.vec(input, output_size, scale_factors)",
)
def resized(a: Given) -> Array:
    x, sizes = a["input"], a["output_size"]
    if sizes is None:
        pairs = zip(x.shape[2:], a["scale_factors"], strict=True)
        sizes = [math.floor(n * factor) for n, factor in pairs]
    same_size([len(sizes)], [x.ndim - 2])
    require(min(sizes) >= 1, (a["output_size"] is None) != (a["scale_factors"] is None))
    return empty((*x.shape[:2], *sizes), floats(x))


@LAYERS.shaped("embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False)")
def embedded(a: Given) -> Array:
    require(a["indices"].dtype in (np.int32, np.int64))
    return empty((*a["indices"].shape, *a["weight"].shape[1:]), floats(a["weight"]))


@LAYERS.shaped("glu(self, dim=-1)")
def gated(a: Given) -> Array:
    floats(a["self"])
    first, _ = np.split(a["self"], 2, axis_of(a["dim"], a["self"].ndim))
    return first


@LAYERS.shaped("dropout(input, p, train)", "feature_dropout(input, p, train)")
def inactive(a: Given) -> Array:
    require(not a["train"], 0 <= a["p"] <= 1)
    return np.asarray(a["input"])
