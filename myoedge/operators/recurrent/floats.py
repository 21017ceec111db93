# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers in floats: h and the stored state of every time step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.operators.recurrent.cells import in_order, sigmoid, time_order

FloatSteps = Callable[..., Iterator[tuple[Array, Array]]]


def lstm_floats(
    attrs: Attrs,
    gates: Array,
    h: Array,
    c: Array,
    r: Array,
    stored: Callable[[Array], Array] = np.asarray,
    added: Callable[[Array], Array] = np.asarray,
) -> Iterator[tuple[Array, Array]]:
    """Run an LSTM in floats; yield h and c after every time step.

    gates    gate sums of the inputs, [T, N, 4H]
    h, c     initial states [N, H]
    r        recurrent weights [4H, H]
    stored   function: c -> c as it is kept for the next time step
    added    function: either part of the gate sums, of inputs or of h -> the part as it is added
    """
    for now in time_order(attrs, gates):
        sums = added(now) + added(h @ r.T)
        i, f, g, o = np.moveaxis(sums.reshape(*h.shape, -1), -1, 0)
        c = stored(sigmoid(f) * c + sigmoid(i) * np.tanh(g))
        h = np.asarray(sigmoid(o) * np.tanh(c))
        yield h, c


def gru_floats(
    attrs: Attrs, gates: Array, h: Array, r: Array, b: Array
) -> Iterator[tuple[Array, Array]]:
    """Run a GRU in floats; yield (h, h) after every time step.

    gates   gate sums of the inputs, [T, N, 3H]
    h       initial state [N, H]
    r       recurrent weights [3H, H]
    b       bias [3H]
    attrs["reset_first"]   whether h is reset before, not after, its product for the new gate
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
    """Run a plain RNN in floats; yield (h, h) after every time step.

    function   activation
    sums       products of the inputs, plus bias, [T, N, H]
    h          initial state [N, H]
    r          recurrent weights [H, H]
    """
    for now in time_order(attrs, sums):
        h = np.asarray(function(now + h @ r.T))
        yield h, h


RELU_FLOATS = partial(plain_floats, lambda sums: np.maximum(sums, 0.0))
TANH_FLOATS = partial(plain_floats, np.tanh)


def every_step(steps: FloatSteps) -> Callable[..., Array]:
    """Return a `real` function (OpDef) that runs a recurrence and returns all h, [T, N, H]."""
    return lambda attrs, *xs: in_order(attrs, [h for h, _ in steps(attrs, *xs)])


def state_behind(steps: FloatSteps) -> Callable[..., Array]:
    """Return a `real` function (OpDef) that runs a recurrence and returns the final state, [N,
    H]."""
    return lambda attrs, *xs: [state for _, state in steps(attrs, *xs)][-1]
