# SPDX-License-Identifier: Apache-2.0
"""Import rows of attention: scores and their masks of torch's call, heads of onnxruntime's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.operators.attention.graph_form import attend, fits
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    reshape,
    slice_axis,
    transpose,
)
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.softmax.masks import Masked, Sum, addends, decide, masked_attention


def attention(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Heads [.., H, N, D]; what the mask leaves is a window of keys, or an operand."""
    q, k, v = a["query"], a["key"], a["value"]
    if not fits(*(d.shape(x) for x in (q, k, v))):
        raise Unsupported(f"attention of {[list(d.shape(x)) for x in (q, k, v)]}")
    scale = 1.0 / math.sqrt(d.shape(q)[-1]) if a.get("scale") is None else float(a["scale"])
    shape = (*d.shape(q)[:-1], d.shape(k)[-2])
    mask = "" if a.get("attn_mask") is None else str(a["attn_mask"])
    left, right = a.get("left", -1), 0 if a["is_causal"] else a.get("right", -1)
    masked = decide(d, _bias(d, mask, shape, left, right), shape, -1, bare=True)
    if masked is None:
        masked = Masked(mask if mask not in d.constants or d.constants[mask].any() else "")
    return masked_attention(d, q, k, v, scale, masked, shape)


def _bias(d: GraphBuilder, mask: str, shape: Shape, left: int, right: int) -> Sum:
    """Addend of scores; a boolean mask adds nothing where it is true.

    left, right   keys before and behind a query's own number that it sees; less than 0: all
    """
    total = addends(d, mask) if mask else Sum(())
    if mask in d.constants and d.constants[mask].dtype == bool:
        total = Sum((), np.where(d.constants[mask], 0.0, -np.inf))
    if left < 0 and right < 0:
        return total
    ahead = np.arange(shape[-1]) - np.arange(shape[-2])[:, None]
    seen = (ahead <= right if right >= 0 else True) & (ahead >= -left if left >= 0 else True)
    return Sum(total.terms, np.where(seen, total.known, -np.inf))


def onnx_attention(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """ONNX's Attention: heads as they are [batch, H, N, D], or side by side [batch, N, H * D]."""
    if any(a[name] is not None for name in ("past_key", "past_value", "lengths")) or a["softcap"]:
        raise Unsupported("past keys, lengths or a limit of scores of attention")
    counts = (a["q_num_heads"], a["kv_num_heads"], a["kv_num_heads"])
    parts = [_heads(d, a[x], n) for x, n in zip(("query", "key", "value"), counts, strict=True)]
    names = dict(zip(("query", "key", "value"), parts, strict=True))
    y = attention(d, {**a, **names, "is_causal": bool(a["is_causal"])}, out)
    return y if len(out) == 4 else reshape(d, transpose(d, y, (0, 2, 1, 3)), out)


def _heads(d: GraphBuilder, x: str, count: int | None) -> str:
    shape = d.shape(x)
    if len(shape) == 4:
        return x
    if len(shape) != 3 or not count or shape[2] % count:
        raise Unsupported(f"{count} heads in {list(shape)}")
    return transpose(d, reshape(d, x, (*shape[:2], count, shape[2] // count)), (0, 2, 1, 3))


def packed_attention(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """onnxruntime's Attention: a layer for queries, keys and values, then heads; no masks."""
    if any(a[name] is not None for name in ("mask", "past", "bias", "length")):
        raise Unsupported("masks, past states or biases of attention")
    w, heads = d.constants[a["weight"]], a["num_heads"]
    sizes = [int(n) for n in a["sizes"] or (w.shape[1] // 3,) * 3]
    bias = () if a["layer_bias"] is None else (a["layer_bias"],)
    y, ends = d.add("linear", a["self"], d.constant(w.T), *bias), np.cumsum([0, *sizes])
    parts = []
    for start, stop in itertools.pairwise(ends.tolist()):
        n, tokens, _ = d.shape(y)
        part = reshape(
            d, slice_axis(d, y, 2, start, stop), (n, tokens, heads, (stop - start) // heads)
        )
        parts.append(transpose(d, part, (0, 2, 1, 3)))
    scale = float(a["scale"] or 1.0 / math.sqrt(sizes[0] // heads))
    window = (int(ends[-1]) + 2**20, 0) if a["unidirectional"] else None
    y = transpose(d, attend(d, *parts, scale=scale, window=window), (0, 2, 1, 3))
    return reshape(d, y, out)


def packed_attention_shape(x: Shape, w: Shape, attrs: Mapping[str, Any]) -> Shape:
    """Result shape of `packed_attention`, for which onnx has no rule."""
    sizes = attrs.get("qkv_hidden_sizes") or (w[1] // 3,) * 3
    if len(x) != 3 or len(w) != 2 or w[0] != x[2] or sum(sizes) != w[1] or len(sizes) != 3:
        raise ValueError(f"attention of {list(x)} by {list(w)}")
    heads = int(attrs["num_heads"])
    if heads < 1 or any(n < 1 or n % heads for n in sizes) or sizes[0] != sizes[1]:
        raise ValueError(f"{heads} heads of {list(sizes)} channels")
    return (*x[:2], int(sizes[2]))


ROWS = (
    ImportRow("attention", attention, "scaled_dot_product_attention"),
    ImportRow(
        "attention",
        onnx_attention,
        onnx="Attention(query, key, value, attn_mask, past_key, past_value, lengths, *, "
        "is_causal=0, q_num_heads=None, kv_num_heads=None, scale=None, softcap=0.0, "
        "left: left_window_size = -1, right: right_window_size = -1)",
    ),
    ImportRow(
        "attention",
        packed_attention,
        onnx="com.microsoft.Attention(self, weight: weights, layer_bias, mask, past, bias, length, "
        "*, num_heads, sizes: qkv_hidden_sizes = None, scale=0.0, unidirectional=False)",
    ),
)
