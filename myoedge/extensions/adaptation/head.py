# SPDX-License-Identifier: Apache-2.0
"""A linear layer behind the features, trained by gradient descent on stored windows.

Softmax and cross entropy in minibatches of BATCH windows, half of them from the training set where
some are stored, with momentum:

    z = W . x >> exponent                       int16 weights with 12 bits after the point
    p = softmax(z)                              15 bits after the point
    V = V - (V >> 3) + (sum of (p - y) x >> exponent - 1)
    W = W - (V >> 3)                            20 bits after the point; V >> 6 at the end
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from myoedge.extensions.adaptation.record import Adaptation, Classifier
from myoedge.extensions.adaptation.report import EXPONENTIALS, STEPS
from myoedge.numerics.arrays import Array

BATCH = 16
UPDATES, LAST_UPDATES = 768, 256  # updates before the held-back windows judge; then with them
SETTLING = 256  # of each, the last updates, with smaller steps
SEED = 1
POINT, FORWARD_POINT = 20, 12  # fraction bits of the weights, and of their int16 copies
LIMIT = 1 << 14  # of the int16 weights' magnitudes
MOMENTUM_SHIFT = RATE_SHIFT = 3
SETTLING_SHIFT = 6  # replaces RATE_SHIFT


@dataclass(frozen=True)
class Stored:
    """Windows of a session that the head is trained on: a random sample (reservoir) per class.

    windows   int8 [classes, kept, features]
    seen      windows seen per class [classes]; the first `kept` are stored, a later one replaces a
              random one with probability kept / seen
    random    32-bit state of the random generator
    """

    windows: Array
    seen: Array
    random: int

    @property
    def filled(self) -> Array:
        """Return the number of stored windows per class."""
        return np.minimum(self.seen, self.windows.shape[1])


@dataclass(frozen=True)
class Head:
    """Weights of the linear layer that is trained on the chip.

    weights    int32 [classes, features + 1]; the last column is the bias
    momentum   their momentum, of the same shape
    """

    weights: Array
    momentum: Array


def drawn(random: int, below: int) -> tuple[int, int]:
    """Return the next state of the random generator, and a random integer 0 .. below - 1: the upper
    16 bits modulo `below`.

    random   state of the generator
    """
    state = (random * 1664525 + 1013904223) & 0xFFFFFFFF
    return state, (state >> 16) % below


def nothing_stored(adaptation: Adaptation) -> Stored:
    """Return an empty store of windows, with the random generator in its initial state."""
    shape = (adaptation.classes, adaptation.kept, adaptation.features)
    return Stored(np.zeros(shape, np.int8), np.zeros(adaptation.classes, np.int64), SEED)


def stored(store: Stored, window: Array, label: int) -> Stored:
    """Return the store after another window, int8 [features], of class `label`."""
    windows, seen = store.windows.copy(), store.seen.copy()
    random, place = store.random, int(seen[label])
    seen[label] += 1
    if place >= windows.shape[1]:
        random, place = drawn(random, int(seen[label]))
    if place < windows.shape[1]:
        windows[label, place] = window
    return Stored(windows, seen, random)


def untrained(adaptation: Adaptation) -> Head:
    """Return a head with zero weights."""
    zeros = np.zeros((adaptation.classes, adaptation.features + 1), np.int64)
    return Head(zeros, zeros)


def trained(adaptation: Adaptation, head: Head, store: Stored, updates: int) -> tuple[Head, Stored]:
    """Return the head and the store after a number of training steps on stored windows; both are
    unchanged if there are none.

    updates   number of training steps
    """
    if not store.seen.any():
        return head, store
    for left in range(updates, 0, -1):
        rows, labels, store = _draw_minibatch(adaptation, store)
        rate_shift = SETTLING_SHIFT if left <= SETTLING else RATE_SHIFT
        head = _update_head(adaptation, head, rows, labels, rate_shift)
    return head, store


def _draw_minibatch(adaptation: Adaptation, store: Stored) -> tuple[Array, Array, Stored]:
    """Draw a minibatch: every second window from the training set, the others from the store, its
    class drawn first."""
    random, filled = store.random, store.filled
    rows, labels = [], []
    for place in range(BATCH):
        if place % 2 and len(adaptation.replay):
            random, number = drawn(random, len(adaptation.replay))
            rows.append(adaptation.replay[number])
            labels.append(int(adaptation.replay_labels[number]))
            continue
        random, label = drawn(random, adaptation.classes)
        while not filled[label]:
            label = (label + 1) % adaptation.classes
        random, number = drawn(random, int(filled[label]))
        rows.append(store.windows[label, number])
        labels.append(label)
    return np.array(rows), np.array(labels), replace(store, random=random)


def _update_head(
    adaptation: Adaptation, head: Head, rows: Array, labels: Array, rate_shift: int
) -> Head:
    """Return the head after one minibatch."""
    exponent = adaptation.exponent
    x = rows.astype(np.int64) - adaptation.zero_point
    x = np.concatenate([x, np.full((len(x), 1), 1 << exponent)], axis=1)
    z = (x @ forward(head).T) >> exponent
    errors = probabilities(z)
    errors[np.arange(len(rows)), labels] -= 32768
    gradient = (errors.T @ x) >> (exponent - 1)
    momentum = head.momentum - (head.momentum >> MOMENTUM_SHIFT) + gradient
    most = LIMIT << (POINT - FORWARD_POINT)
    weights = (head.weights - (momentum >> rate_shift)).clip(-most, most - 1)
    return Head(weights, momentum)


def forward(head: Head) -> Array:
    """Return the int16 weights that are used for inference, with FORWARD_POINT fraction bits."""
    return head.weights >> (POINT - FORWARD_POINT)


def probabilities(z: Array) -> Array:
    """Return softmax(z) * 2**15 for logits z [n, classes] with 12 fraction bits."""
    behind = (z.max(axis=1, keepdims=True) - z) >> 8
    powers = np.where(behind < STEPS, EXPONENTIALS[np.minimum(behind, STEPS - 1)], 0)
    return np.asarray((powers << 15) // powers.sum(axis=1, keepdims=True))


def classifier(adaptation: Adaptation, head: Head) -> Classifier:
    """Return the head as a classifier of features minus their zero point."""
    acting = forward(head)
    bias = acting[:, -1] << adaptation.exponent
    return Classifier(acting[:, :-1].astype(np.int16), bias.astype(np.int32))
