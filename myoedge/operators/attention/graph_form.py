# SPDX-License-Identifier: Apache-2.0
"""Construction of attention nodes in a graph from per-head queries, keys and values."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.graph.ir import Shape, ranked
from myoedge.numerics.arrays import Array
from myoedge.operators.attention import KEYS_MAX
from myoedge.operators.attention.geometry import in_window
from myoedge.operators.attributes import NORMAL
from myoedge.operators.graph_builder import GraphBuilder, expand, reshape

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
    q, scale = _with_positive_scale(d, q, scale)
    window, mask = _window(d, mask, shape[-2], d.shape(k)[-2])
    q, k, v = (reshape(d, x, ranked(d.shape(x), 4)) for x in (q, k, v))
    rows, columns = (d.add("transpose", x, perm=(0, 2, 1, 3)) for x in (q, k))
    turned = filled(d, d.add("transpose", v, perm=(0, 1, 3, 2)), axis=3)
    full = (reshape(d, x, ranked(d.shape(x), 4)) for x in (bias, mask) if x)
    more = (expand(d, x, (*d.shape(x)[:2], d.shape(q)[2], d.shape(k)[2])) for x in full)
    attrs = {"scale": scale, "window": window, **attrs, **({"masked": True} if mask else {})}
    y = d.add("attention", rows, columns, turned, *more, **attrs)
    y = d.add("transpose", y, perm=(0, 2, 1, 3), back=True)
    return reshape(d, y, (*shape[:-1], d.shape(v)[-1]))


def _with_positive_scale(d: GraphBuilder, q: str, scale: float) -> tuple[str, float]:
    """Return queries and a positive scale with the same scores; zeros for a scale of 0."""
    if abs(scale) < NORMAL[0]:
        return d.constant(np.zeros(d.shape(q), np.float32)), 1.0
    if scale < 0.0:
        return d.add("table", q, chain=(("affine", -1.0, 0.0),)), -scale
    return q, scale


def _window(d: GraphBuilder, mask: str, rows: int, keys: int) -> tuple[Window, str]:
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
