# SPDX-License-Identifier: Apache-2.0
"""Rows of the ONNX import table that compute: convolutions, products, pooling, reductions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.frontend.torch import compute
from myoedge.graph.ir import Shape
from myoedge.operators.attention.graph_form import attend
from myoedge.operators.graph_builder import (
    Unsupported,
    reshape,
    slice_axis,
    transpose,
)
from myoedge.operators.import_rows import OnnxCall, OnnxRow


def attention(c: OnnxCall) -> str:
    """onnxruntime's Attention: a layer for queries, keys and values, then heads; no masks."""
    if any(c.has(i) for i in range(3, len(c.inputs))):
        raise Unsupported("masks, past states or biases of attention")
    d, heads = c.builder, int(c.attrs["num_heads"])
    w = c.weights(1, "attention's weight")
    sizes = [int(n) for n in c.attrs.get("qkv_hidden_sizes") or (w.shape[1] // 3,) * 3]
    bias = (c.x(2),) if c.has(2) else ()
    y, ends = d.add("linear", c.x(), d.constant(w.T), *bias), np.cumsum([0, *sizes])
    q, k, v = (
        _by_head(c, slice_axis(d, y, 2, int(start), int(stop)), heads)
        for start, stop in itertools.pairwise(ends)
    )
    scale = float(c.attrs.get("scale") or 1.0 / math.sqrt(sizes[0] // heads))
    window = (ends[-1] + 2**20, 0) if c.attrs.get("unidirectional") else None
    y = transpose(d, attend(d, q, k, v, scale=scale, window=window), (0, 2, 1, 3))
    return reshape(d, y, c.out)


def _by_head(c: OnnxCall, x: str, heads: int) -> str:
    """[n, tokens, heads * width] -> [n, heads, tokens, width]"""
    n, tokens, whole = c.builder.shape(x)
    return transpose(
        c.builder, reshape(c.builder, x, (n, tokens, heads, whole // heads)), (0, 2, 1, 3)
    )


def attention_shape(x: Shape, w: Shape, attrs: Mapping[str, Any]) -> Shape:
    """Result shape of `attention`, for which onnx has no rule."""
    sizes = attrs.get("qkv_hidden_sizes") or (w[1] // 3,) * 3
    if len(x) != 3 or len(w) != 2 or w[0] != x[2] or sum(sizes) != w[1] or len(sizes) != 3:
        raise ValueError(f"attention of {list(x)} by {list(w)}")
    heads = int(attrs["num_heads"])
    if heads < 1 or any(n < 1 or n % heads for n in sizes) or sizes[0] != sizes[1]:
        raise ValueError(f"{heads} heads of {list(sizes)} channels")
    return (*x[:2], int(sizes[2]))


def along(op: str) -> OnnxRow:
    def row(c: OnnxCall) -> str:
        given = {"self": c.x(), "dim": int(c.attrs.get("axis", -1))}
        return str(compute.along(op)(c.builder, given, c.out))

    return row
