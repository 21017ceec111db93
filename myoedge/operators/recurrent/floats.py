# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers in floats: h, and the stored state, of every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.operators.recurrent.cells import in_order, sigmoid, time_order

FloatSteps = Callable[..., Iterator[tuple[Array, Array]]]


def lstm_floats(
    attrs: Attrs, gates: Array, h: Array, c: Array, r: Array
) -> Iterator[tuple[Array, Array]]:
    """Run an LSTM: gates [T, N, 4H], h and c [N, H], r [4H, H] -> (h, c) of every step."""
    for now in time_order(attrs, gates):
        i, f, g, o = np.moveaxis((now + h @ r.T).reshape(*h.shape, -1), -1, 0)
        c = np.asarray(sigmoid(f) * c + sigmoid(i) * np.tanh(g))
        h = np.asarray(sigmoid(o) * np.tanh(c))
        yield h, c


def gru_floats(
    attrs: Attrs, gates: Array, h: Array, r: Array, b: Array
) -> Iterator[tuple[Array, Array]]:
    """Run a GRU: gates [T, N, 3H], h [N, H], r [3H, H], b [3H] -> h of every step, two copies.

    attrs["reset_first"]: h is reset before it is multiplied for the new gate, otherwise after that.
    """

    def added(h: Array) -> Array:
        return np.moveaxis((h @ r.T + b).reshape(*h.shape, -1), -1, 0)

    for now in time_order(attrs, gates):
        x_r, x_z, x_n = np.moveaxis(now.reshape(*h.shape, -1), -1, 0)
        h_r, h_z, h_n = added(h)
        reset = sigmoid(x_r + h_r)
        h_n = added(reset * h)[2] if attrs["reset_first"] else reset * h_n
        n = np.tanh(x_n + h_n)
        h = np.asarray(n + sigmoid(x_z + h_z) * (h - n))
        yield h, h


def plain_floats(
    function: Callable[[Array], Array], attrs: Attrs, sums: Array, h: Array, r: Array
) -> Iterator[tuple[Array, Array]]:
    """Run an RNN: sums [T, N, H], h [N, H], r [H, H] -> h of every step, two copies."""
    for now in time_order(attrs, sums):
        h = np.asarray(function(now + h @ r.T))
        yield h, h


RELU_FLOATS = partial(plain_floats, lambda sums: np.maximum(sums, 0.0))
TANH_FLOATS = partial(plain_floats, np.tanh)


def every_step(steps: FloatSteps) -> Callable[..., Array]:
    """Create `real` of operators that return h of every step [T, N, H]."""
    return lambda attrs, *xs: in_order(attrs, [h for h, _ in steps(attrs, *xs)])


def state_behind(steps: FloatSteps) -> Callable[..., Array]:
    """Create `real` of operators that return the state after the last step [N, H]."""
    return lambda attrs, *xs: [state for _, state in steps(attrs, *xs)][-1]
