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
    masked = decide(d, _bias(d, mask, shape, causal=a["is_causal"]), shape, -1, bare=True)
    if masked is None:
        masked = Masked(mask if mask not in d.constants or d.constants[mask].any() else "")
    return masked_attention(d, q, k, v, scale, masked, shape)


def _bias(d: GraphBuilder, mask: str, shape: Shape, *, causal: bool) -> Sum:
    """Addend of scores; a boolean mask adds nothing where it is true."""
    total = addends(d, mask) if mask else Sum(())
    if mask in d.constants and d.constants[mask].dtype == bool:
        total = Sum((), np.where(d.constants[mask], 0.0, -np.inf))
    if not causal:
        return total
    seen = np.tri(shape[-2], shape[-1]) > 0.0
    return Sum(total.terms, np.where(seen, total.known, -np.inf))


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
        packed_attention,
        onnx="com.microsoft.Attention(self, weight: weights, layer_bias, mask, past, bias, length, "
        "*, num_heads, sizes: qkv_hidden_sizes = None, scale=0.0, unidirectional=False)",
    ),
)
