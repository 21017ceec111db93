# SPDX-License-Identifier: Apache-2.0
"""How attention enters a graph: queries, keys and values by head become what the operator reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from myoedge.ir import Array, Shape
from myoedge.ops.attention import KEYS_MAX, mask

WORD = 4  # bytes that kernels read at once
HIDDEN = -1e4  # what is added to hide a key is below this


class Adds(Protocol):
    """A graph that is being written: a Draft, or a Patch of a pass."""

    def shape(self, name: str) -> Shape: ...
    def add(self, op: str, *inputs: str, **attrs: Any) -> str: ...


Window = tuple[int, int] | None


def fits(q: Shape, k: Shape, v: Shape) -> bool:
    """Whether these are heads [.., H, N, D], [.., H, M, D], [.., H, M, E] that attention takes."""
    same = q[:-2] == k[:-2] == v[:-2] and q[-1] == k[-1] and k[-2] == v[-2]
    return same and len(q) in (3, 4) and k[-2] <= KEYS_MAX


def attend(
    d: Adds, q: str, k: str, v: str, *, scale: float, bias: str = "", window: Window = None
) -> str:
    """softmax(q k^T * scale + bias) v of heads, as `fits` has them -> [.., H, N, E]."""
    shape = d.shape(q)
    lead = (1,) * (4 - len(shape))
    q, k, v = (_ranked(d, x, (*lead, *d.shape(x))) for x in (q, k, v))
    rows, columns = (d.add("transpose", x, perm=(0, 2, 1, 3)) for x in (q, k))
    turned = filled(d, d.add("transpose", v, perm=(0, 1, 3, 2)), axis=3)
    added = (_whole(d, bias, (*d.shape(q)[:3], d.shape(k)[2])),) if bias else ()
    y = d.add("attention", rows, columns, turned, *added, scale=scale, window=window)
    y = d.add("transpose", y, perm=(0, 2, 1, 3), back=True)
    return _ranked(d, y, (*shape[:-1], d.shape(v)[-1]))


def _ranked(d: Adds, x: str, shape: Sequence[int]) -> str:
    return x if d.shape(x) == tuple(shape) else d.add("reshape", x, shape=tuple(shape))


def filled(d: Adds, x: str, axis: int) -> str:
    """An axis filled to whole words with zeros."""
    shape = d.shape(x)
    missing = -shape[axis] % WORD
    pads = tuple((0, missing if at == axis else 0) for at in range(len(shape)))
    return d.add("pad", x, pads=pads, value=0.0) if missing else x


def _whole(d: Adds, bias: str, shape: Shape) -> str:
    known = d.shape(bias)
    full = _ranked(d, bias, ((1,) * (4 - len(known)) + tuple(known)))
    return full if d.shape(full) == shape else d.add("expand", full, shape=shape)


def window_of(values: Array, rows: int, keys: int) -> Window:
    """The window that a mask of zeros and very negative numbers leaves, if it is one.

    values   as they are added to scores [.., rows, keys]: one for all rows or keys is for each
    """
    flat = np.broadcast_to(values, (*values.shape[:-2], rows, keys)).reshape(-1, rows, keys)
    if not np.array_equal(flat, np.broadcast_to(flat[:1], flat.shape)):
        return None
    open_ = flat[0] == 0.0
    if not (open_ | (flat[0] < HIDDEN)).all() or not open_.any(axis=1).all():
        return None
    at = np.arange(rows)
    before = at - open_.argmax(axis=1)
    after = keys - 1 - open_[:, ::-1].argmax(axis=1) - at
    found = int(before.max()), int(after.max())
    far = rows + keys
    # Where the range ends before the window does, it may reach on as far as it likes.
    tries = [(b, a) for b in (found[0], far) for a in (found[1], far)]
    fit = (w for w in tries if np.array_equal(mask({"window": w}, rows, keys), open_))
    return next(fit, None)
