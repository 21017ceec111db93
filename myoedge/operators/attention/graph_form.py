# SPDX-License-Identifier: Apache-2.0
"""Attention in a graph: queries, keys and values by head as the operator reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.attention.definition import KEYS_MAX, LOWEST, UNSEEN, mask

WORD = 4  # bytes that kernels read at once
HIDDEN = -1e4  # below it scores are lost in what is added to them: float32 has 24 bits


class Adds(Protocol):
    """A graph builder, as far as these functions use it."""

    def shape(self, name: str) -> Shape: ...
    def add(self, op: str, *inputs: str, **attrs: Any) -> str: ...
    def constant(self, value: Array) -> str: ...


Window = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Added:
    """Bias of scores: a window of visible keys, and the name of everything else that is added.

    hides   whether keys that are not seen are among that
    """

    window: Window = None
    bias: str = ""
    hides: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """Bias of scores from a constant: a window of visible keys, and the rest of it (None: none)."""

    window: Window
    rest: Array | None
    hides: bool

    def put(self, d: Adds) -> Added:
        bias = "" if self.rest is None else d.constant(self.rest.astype(np.float32))
        return Added(self.window, bias, self.hides)


def fits(q: Shape, k: Shape, v: Shape) -> bool:
    """Whether these are heads [.., H, N, D], [.., H, M, D], [.., H, M, E] that attention takes."""
    same = q[:-2] == k[:-2] == v[:-2] and q[-1] == k[-1] and k[-2] == v[-2]
    return same and len(q) in (3, 4) and k[-2] <= KEYS_MAX


def attend(d: Adds, q: str, k: str, v: str, *, scale: float, added: Added = Added()) -> str:
    """softmax(q k^T * scale + what is added) v of heads, as `fits` has them -> [.., H, N, E]."""
    shape = d.shape(q)
    lead = (1,) * (4 - len(shape))
    q, k, v = (_ranked(d, x, (*lead, *d.shape(x))) for x in (q, k, v))
    rows, columns = (d.add("transpose", x, perm=(0, 2, 1, 3)) for x in (q, k))
    turned = filled(d, d.add("transpose", v, perm=(0, 1, 3, 2)), axis=3)
    bias = (_whole(d, added.bias, d.shape(q)[2], d.shape(k)[2]),) if added.bias else ()
    attrs = {"scale": scale, "window": added.window} | ({"hides": True} if added.hides else {})
    y = d.add("attention", rows, columns, turned, *bias, **attrs)
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


def _whole(d: Adds, bias: str, rows: int, keys: int) -> str:
    """Bias expanded to every row and key; batch and heads may share one."""
    known = d.shape(bias)
    full = _ranked(d, bias, ((1,) * (4 - len(known)) + tuple(known)))
    shape = (*d.shape(full)[:2], rows, keys)
    return full if d.shape(full) == shape else d.add("expand", full, shape=shape)


def parted(values: Array, rows: int, keys: int) -> Parts:
    """The window that a constant leaves, if that is one, and the rest of it.

    values   as they are added to scores [.., rows, keys]: one for all rows or keys is for each
    """
    values = np.maximum(np.atleast_2d(values), LOWEST)
    most = values.max(axis=-1, keepdims=True)
    values = np.where(most <= UNSEEN, values - most, values)  # all keys alike far down: none is
    hidden = values <= UNSEEN
    window = _window_of(hidden, rows, keys) if hidden.any() else None
    rest = values if window is None else np.where(hidden, 0.0, values)
    return Parts(window, rest if rest.any() else None, window is None and bool(hidden.any()))


def _window_of(hidden: Array, rows: int, keys: int) -> Window:
    """The window of all rows that keys which are not hidden are, if they are one."""
    flat = ~np.broadcast_to(hidden, (*hidden.shape[:-2], rows, keys)).reshape(-1, rows, keys)
    if not np.array_equal(flat, np.broadcast_to(flat[:1], flat.shape)):
        return None
    open_ = flat[0]
    at = np.arange(rows)
    before = at - open_.argmax(axis=1)
    after = keys - 1 - open_[:, ::-1].argmax(axis=1) - at
    found = int(before.max()), int(after.max())
    far = rows + keys
    # Where the range ends before the window does, it may reach on as far as it likes.
    tries = [(b, a) for b in (found[0], far) for a in (found[1], far)]
    fit = (w for w in tries if np.array_equal(mask({"window": w}, rows, keys), open_))
    return next(fit, None)
