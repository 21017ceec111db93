# SPDX-License-Identifier: Apache-2.0
"""Import of attention from torch (scaled_dot_product_attention), ONNX and onnxruntime; construction
of attention nodes from per-head queries, keys and values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape, ranked
from myoedge.numerics.arrays import Array
from myoedge.operators.attention import KEYS_MAX
from myoedge.operators.attention.operands import in_window
from myoedge.operators.attributes import NORMAL
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    expand,
    reshape,
    slice_axis,
    transpose,
)
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.library.masks import Sum, addends, decide, masked_softmax

WORD = 4  # bytes that kernels load at once
Window = tuple[int, int] | None


def fits(q: Shape, k: Shape, v: Shape) -> bool:
    """Return whether q [.., H, N, D], k [.., H, M, D] and v [.., H, M, E] are valid attention
    operands."""
    same = q[:-2] == k[:-2] == v[:-2] and q[-1] == k[-1] and k[-2] == v[-2]
    return same and len(q) in (3, 4) and k[-2] <= KEYS_MAX


def attend(
    d: GraphBuilder,
    q: str,
    k: str,
    v: str,
    *,
    scale: float,
    bias: str = "",
    mask: str = "",
    **attrs: Any,
) -> str:
    """Add softmax(q k^T * scale + bias) v to the graph; return the result [.., H, N, E].

    q, k, v   per-head operands whose shapes satisfy `fits`
    scale     any number: its sign moves into q, as the operator's own is positive
    mask      1 for a visible key, 0 for a hidden one; bias and mask broadcast to [.., H, N, M], ""
              for none; a constant mask that is a sliding window becomes attrs["window"]
    attrs     further node attributes if there is a mask: fill, flat
    """
    shape = d.shape(q)
    q, scale = _make_scale_positive(d, q, scale)
    window, mask = _constant_mask_window(d, mask, shape[-2], d.shape(k)[-2])
    q, k, v = (reshape(d, x, ranked(d.shape(x), 4)) for x in (q, k, v))
    rows, columns = (d.add("transpose", x, perm=(0, 2, 1, 3)) for x in (q, k))
    turned = filled(d, d.add("transpose", v, perm=(0, 1, 3, 2)), axis=3)
    full = (reshape(d, x, ranked(d.shape(x), 4)) for x in (bias, mask) if x)
    more = (expand(d, x, (*d.shape(x)[:2], d.shape(q)[2], d.shape(k)[2])) for x in full)
    attrs = {"scale": scale, "window": window, **attrs, **({"masked": True} if mask else {})}
    y = d.add("attention", rows, columns, turned, *more, **attrs)
    y = d.add("transpose", y, perm=(0, 2, 1, 3), back=True)
    return reshape(d, y, (*shape[:-1], d.shape(v)[-1]))


def _make_scale_positive(d: GraphBuilder, q: str, scale: float) -> tuple[str, float]:
    """Return queries and a positive scale with the same scores; zeros for a scale of 0."""
    if abs(scale) < NORMAL[0]:
        return d.constant(np.zeros(d.shape(q), np.float32)), 1.0
    if scale < 0.0:
        return d.add("table", q, chain=(("affine", -1.0, 0.0),)), -scale
    return q, scale


def _constant_mask_window(d: GraphBuilder, mask: str, rows: int, keys: int) -> tuple[Window, str]:
    """Return the window of keys that constant masks leave visible, and the name of the remaining
    computed mask ("" for none)."""
    nodes = (*d.graph.nodes, *d.nodes)
    product = next((n for n in nodes if n.name == mask and n.op == "mul"), None)
    given, known = ("", mask) if product is None else product.inputs
    visible = d.find_array(known)
    visible = d.graph.find_array(known) if visible is None else visible
    if visible is None:
        return None, mask
    window = window_of(visible > 0.5, rows, keys)
    return (None, mask) if window is None else (window, given)


def filled(d: GraphBuilder, x: str, axis: int) -> str:
    """Pad an axis of x with zeros to a multiple of 4; return the result's name."""
    shape = d.shape(x)
    missing = -shape[axis] % WORD
    pads = tuple((0, missing if at == axis else 0) for at in range(len(shape)))
    return d.add("pad", x, pads=pads, value=0.0) if missing else x


def window_of(visible: Array, rows: int, keys: int) -> Window:
    """Return the sliding window (before, after) that a visibility mask represents; None if it is no
    sliding window.

    visible   bool, broadcast to [.., rows, keys]
    """
    whole = np.broadcast_to(visible, (*visible.shape[:-2], rows, keys)).reshape(-1, rows, keys)
    if not np.array_equal(whole, np.broadcast_to(whole[:1], whole.shape)):
        return None
    seen = whole[0]
    at = np.arange(rows)
    before = at - seen.argmax(axis=1)
    after = keys - 1 - seen[:, ::-1].argmax(axis=1) - at
    reach = int(before.max()), int(after.max())
    far = rows + keys
    # Past the end of the keys, the window may have any size.
    tries = [(b, a) for b in (reach[0], far) for a in (reach[1], far)]
    fit = (w for w in tries if np.array_equal(in_window({"window": w}, rows, keys), seen))
    return next(fit, None)


def attention(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import scaled dot-product attention on heads [.., H, N, D]; a constant mask that is a sliding
    window becomes an attribute, any other mask an operand."""
    q, k, v = a["query"], a["key"], a["value"]
    if a.get("enable_gqa"):
        k, v = (_repeat_for_query_heads(d, x, d.shape(q)[-3]) for x in (k, v))
    shapes = [*map(d.shape, (q, k, v))]
    if not fits(*shapes):
        raise Unsupported(f"attention of {[*map(list, shapes)]}")
    scale = 1.0 / math.sqrt(d.shape(q)[-1]) if a.get("scale") is None else float(a["scale"])
    shape = (*d.shape(q)[:-1], d.shape(k)[-2])
    mask = "" if a.get("attn_mask") is None else str(a["attn_mask"])
    left, right = a.get("left", -1), 0 if a["is_causal"] else a.get("right", -1)
    if a.get("softcap"):
        return _import_capped_attention(
            d, (q, k, v), scale / a["softcap"], a["softcap"], mask, (left, right)
        )
    bias = mask * (mask not in d.constants or bool(d.array(mask).any()))
    found = decide(d, _add_score_bias(d, mask, shape, left, right), shape, -1, bare=True)
    bias, hidden, attrs = found or (bias, "", {})
    return attend(d, q, k, v, scale=scale, bias=bias, mask=hidden, **attrs)


def _repeat_for_query_heads(d: GraphBuilder, x: str, heads: int) -> str:
    """Repeat keys or values [.., K, M, D] of fewer heads for heads / K query heads each."""
    *lead, own, keys, width = d.shape(x)
    if heads == own or heads % own:
        return x
    apart = reshape(d, x, (*lead, own, 1, keys, width))
    spread = expand(d, apart, (*lead, own, heads // own, keys, width))
    return reshape(d, spread, (*lead, heads, keys, width))


def _import_capped_attention(
    d: GraphBuilder,
    heads: tuple[str, str, str],
    scale: float,
    limit: float,
    mask: str,
    window: tuple[int, int],
) -> str:
    """Import attention with capped scores, limit * tanh(q k^T * scale) before the mask, as separate
    operators."""
    q, k, v = heads
    rank = len(d.shape(k))
    product = d.add("matmul", q, transpose(d, k, (*range(rank - 2), rank - 1, rank - 2)))
    chain = (("affine", scale, 0.0), ("tanh",), ("affine", limit, 0.0))
    scores = d.add("table", product, chain=chain)
    shape = d.shape(scores)
    shares = masked_softmax(d, scores, len(shape) - 1, _add_score_bias(d, mask, shape, *window))
    return d.add("matmul", shares, v)


def _add_score_bias(d: GraphBuilder, mask: str, shape: Shape, left: int, right: int) -> Sum:
    """Return the sum of addends of the scores; a boolean mask adds 0 for true, minus infinity for
    false.

    left, right   number of keys visible before and after a query's own position; negative: all
    """
    total = addends(d, mask) if mask else Sum(())
    if mask in d.constants and d.array(mask).dtype == bool:
        total = Sum((), np.where(d.array(mask), 0.0, -np.inf))
    if left < 0 and right < 0:
        return total
    ahead = np.arange(shape[-1]) - np.arange(shape[-2])[:, None]
    seen = (ahead <= right if right >= 0 else True) & (ahead >= -left if left >= 0 else True)
    return Sum(total.terms, np.where(seen, total.known, -np.inf))


def onnx_attention(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import ONNX's Attention, with heads as [batch, H, N, D] or merged as [batch, N, H * D]."""
    if any(a[name] is not None for name in ("past_key", "past_value", "lengths")):
        raise Unsupported("past keys, values or lengths: export without a cache, use_cache=False")
    counts = (a["q_num_heads"], a["kv_num_heads"], a["kv_num_heads"])
    parts = [
        _split_heads(d, a[x], n) for x, n in zip(("query", "key", "value"), counts, strict=True)
    ]
    names = dict(zip(("query", "key", "value"), parts, strict=True))
    y = attention(d, {**a, **names, "is_causal": bool(a["is_causal"]), "enable_gqa": True}, out)
    return y if len(out) == 4 else reshape(d, transpose(d, y, (0, 2, 1, 3)), out)


def _split_heads(d: GraphBuilder, x: str, count: int | None) -> str:
    shape = d.shape(x)
    if len(shape) == 4:
        return x
    if len(shape) != 3 or not count or shape[2] % count:
        raise Unsupported(f"{count} heads in {list(shape)}")
    return transpose(d, reshape(d, x, (*shape[:2], count, shape[2] // count)), (0, 2, 1, 3))


def rotary(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import ONNX's RotaryEmbedding, with heads as [batch, H, N, D] or merged as [batch, N, H *
    D]."""
    heads_first = len(out) == 4
    tokens = out[-2]
    x = a["self"] if heads_first else _split_packed_heads(d, a["self"], a["num_heads"], out)
    tables = [_rows_at_positions(d.array(a[name]), a["positions"]) for name in ("cos", "sin")]
    shape = tables[0].shape
    if shape != tables[1].shape or shape[:2] not in ((1, tokens), (out[0], tokens)):
        raise ValueError(f"tables of {list(shape)} for {list(out)}")
    if all((table == table[:1]).all() for table in tables):
        first = [table[0] for table in tables]
        return reshape(d, _rotate_heads(d, x, first, a, axis=len(out) - 2), out)
    order = (0, 2, 1, 3) if heads_first else (0, 1, 2, 3)
    x = transpose(d, x, order)  # tokens first, so that each batch is contiguous
    heads = d.shape(x)
    rows = reshape(d, x, (1, heads[0] * tokens, *heads[2:]))
    y = _rotate_heads(d, rows, [table.reshape(-1, shape[-1]) for table in tables], a, axis=1)
    return reshape(d, transpose(d, reshape(d, y, heads), order), out)


def _split_packed_heads(d: GraphBuilder, x: str, count: int, out: Shape) -> str:
    """Split [batch, N, H * D] into [batch, N, H, D]."""
    if count < 1 or out[-1] % count:
        raise Unsupported(f"{count} heads in {list(out)}")
    return reshape(d, x, (*out[:2], count, out[-1] // count))


def _rotate_heads(
    d: GraphBuilder, x: str, tables: Sequence[Array], a: Arguments, *, axis: int
) -> str:
    """Rotate the first elements of each head by tables of cosines and sines; further elements are
    unchanged."""
    width, pairs = d.shape(x)[-1], tables[0].shape[-1]
    turned = 2 * pairs
    if (a["dim"] or width) != turned or turned > width:
        raise ValueError(f"tables of {pairs} pairs for {a['dim'] or width} elements")
    rows = [d.constant(table.astype(np.float32)) for table in tables]
    attrs: dict[str, Any] = {"axis": axis, **({} if a["interleaved"] else {"halves": True})}
    y = d.add("rotary", slice_axis(d, x, 3, 0, turned), *rows, **attrs)
    if turned < width:
        y = d.add("concat", y, slice_axis(d, x, 3, turned, width), axis=3)
    return y


def _rows_at_positions(table: Array, positions: Array | None) -> Array:
    """Select rows [batch, tokens, pairs] of a table by positions [batch, tokens]; without
    positions, return the table."""
    return table if positions is None else table[positions]


def packed_attention(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import onnxruntime's Attention without a mask: one linear layer for queries, keys and values,
    then attention per head."""
    if any(a[name] is not None for name in ("mask", "past", "bias", "length")):
        raise Unsupported("masks, past states or biases of attention")
    w, heads = d.array(a["weight"]), a["num_heads"]
    sizes = [int(n) for n in a["sizes"] or (w.shape[1] // 3,) * 3]
    _check_packed_shapes(d.shape(a["self"]), w.shape, heads, sizes)
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
    return reshape(d, y, (*d.shape(y)[:2], sizes[2]))


def _check_packed_shapes(x: Shape, w: Shape, heads: int, sizes: Sequence[int]) -> None:
    """Raise ValueError for shapes that are inconsistent, which onnx does not check here."""
    if [len(x), len(w), len(sizes)] != [3, 2, 3] or [*w] != [x[2], sum(sizes)]:
        raise ValueError(f"attention of {list(x)} by {list(w)}")
    if heads < 1 or any(n < 1 or n % heads for n in sizes) or sizes[0] != sizes[1]:
        raise ValueError(f"{heads} heads of {list(sizes)} channels")


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
        "rotary",
        rotary,
        onnx="RotaryEmbedding(self, cos: weights, sin: weights, positions: array, *, "
        "interleaved=0, num_heads=0, dim: rotary_embedding_dim = 0)",
    ),
    ImportRow(
        "attention",
        packed_attention,
        onnx="com.microsoft.Attention(self, weight: weights, layer_bias, mask, past, bias, length, "
        "*, num_heads, sizes: qkv_hidden_sizes = None, scale=0.0, unidirectional=False)",
    ),
)
