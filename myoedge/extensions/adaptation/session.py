# SPDX-License-Identifier: Apache-2.0
"""A session of adaptation: windows arrive with labels; some are held back to evaluate the result.
Statistics of the windows, and the two linear classifiers, with int16 weights, that are computed
from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from myoedge.extensions.adaptation import head as heads
from myoedge.extensions.adaptation.record import (
    AGREEING,
    NEVER,
    OF_HELD_BACK,
    Adaptation,
    Classifier,
)
from myoedge.numerics.arrays import Array

MOST_WINDOWS = 1 << 15  # windows per session: sums of products fit int32
RIDGE_SHIFT = 5  # mean variance >> RIDGE_SHIFT is added to every variance
LEAST_RIDGE_SHIFT = 9  # but at least the largest variance >> LEAST_RIDGE_SHIFT
DIAGONAL_BITS = 29  # the largest variance is scaled to 2**28 .. 2**29
LEAST_RIDGE = 1 << (DIAGONAL_BITS - LEAST_RIDGE_SHIFT - 1)
POINT = 30  # fraction bits of the Cholesky factor
INVERSE_POINT = 24  # fraction bits of its diagonal's inverses
WANTED_POINT = 6  # fraction bits of the class means, the right-hand sides
MOST_SOLVED = 1 << 24  # limit of a solution's elements


@dataclass(frozen=True)
class Sums:
    """Sums over the windows of a session, from which prototypes and LDA are computed.

    counts     windows per class [classes]
    sums       sum of the features per class [classes, features]
    products   sum of x x^T over all windows [features, features]; the upper triangle is 0
    """

    counts: Array
    sums: Array
    products: Array

    def added(self, x: Array, label: int) -> Sums:
        """Return the sums with one more window x [features]."""
        counts, sums = self.counts.copy(), self.sums.copy()
        counts[label] += 1
        sums[label] += x
        return Sums(counts, sums, self.products + np.tril(np.outer(x, x)))


def no_sums(classes: int, features: int) -> Sums:
    """Return the statistics of no windows."""
    shape = (features, features)
    zeros = np.zeros((classes, features), np.int64)
    return Sums(np.zeros(classes, np.int64), zeros, np.zeros(shape, np.int64))


def prototypes(sums: Sums) -> Classifier:
    """Return the classifier that selects the nearest class mean by Euclidean distance."""
    means = class_means(sums.counts, sums.sums)
    middle = centre(sums.counts, means)
    return classifier(sums.counts, means, middle, _distance_from_centre(sums, means, middle))


def lda(sums: Sums) -> Classifier:
    """Return the classifier of linear discriminant analysis, with a covariance common to all
    classes and a ridge."""
    means = class_means(sums.counts, sums.sums)
    middle = centre(sums.counts, means)
    factor, inverses = cholesky(scaled(scatter(sums, means)))
    wanted = _distance_from_centre(sums, means, middle) >> (MEAN_POINT - WANTED_POINT)
    directions = np.array([solved(factor, inverses, row) for row in wanted])
    return classifier(sums.counts, means, middle, directions)


def _distance_from_centre(sums: Sums, means: Array, middle: Array) -> Array:
    return np.where(sums.counts[:, None] > 0, means - middle, 0)


def scatter(sums: Sums, means: Array) -> Array:
    """Return the scatter within classes [features, features] with MEAN_POINT fraction bits:
    products minus the sum over classes of sum * mean^T; only the lower triangle is used.

    sums    sums over the windows
    means   mean features per class
    """
    within = sums.products << MEAN_POINT
    for total, mean in zip(sums.sums, means, strict=True):
        within -= np.outer(total, mean)
    return np.tril(within)


def scaled(within: Array) -> Array:
    """Return the scatter within classes, scaled by a power of two and with a ridge added to its
    diagonal.

    The largest variance, at least 1, becomes 2**28 .. 2**29, and no entry exceeds 2**29.
    """
    largest = max(int(np.diag(within).max()), 1 << MEAN_POINT)
    shift, most = largest.bit_length() - DIAGONAL_BITS, 1 << DIAGONAL_BITS
    moved = within << -shift if shift < 0 else within >> shift
    moved = moved.clip(-most, most)
    variances = np.diag(moved)
    mean = max(int(variances.sum()), 0) // len(moved)
    ridge = max(mean >> RIDGE_SHIFT, int(variances.max()) >> LEAST_RIDGE_SHIFT, LEAST_RIDGE)
    return np.asarray(moved + ridge * np.eye(len(moved), dtype=np.int64))


def cholesky(matrix: Array) -> tuple[Array, Array]:
    """Return the lower Cholesky factor with POINT fraction bits, and the inverses of its diagonal
    with INVERSE_POINT fraction bits, rounded down.

    A pivot below the smallest ridge, which only rounding can cause, is replaced by it. Sums wrap
    around in 64 bits.
    """
    size, least, one = len(matrix), LEAST_RIDGE << POINT, 1 << POINT
    factor, inverses = np.zeros((size, size), np.int64), np.zeros(size, np.int64)
    for j in range(size):
        left = (matrix[j:, j] << POINT) - factor[j:, :j] @ factor[j, :j]
        root = math.isqrt(max(int(left[0]), least))
        inverses[j] = (1 << (POINT + INVERSE_POINT)) // root
        factor[j, j] = root
        below = ((left[1:] >> POINT) * inverses[j]) >> INVERSE_POINT
        factor[j + 1 :, j] = below.clip(-one, one)
    return factor, inverses


def solved(factor: Array, inverses: Array, wanted: Array) -> Array:
    """Solve factor * factor^T * w = wanted by forward and back substitution; |w| is limited to
    MOST_SOLVED.

    factor     lower Cholesky factor
    inverses   inverses of its diagonal
    """
    size = len(wanted)
    found = wanted.copy()
    for i in range(size):
        found[i] = _matrix_entry(found[i], factor[i, :i] @ found[:i], inverses[i])
    for i in reversed(range(size)):
        found[i] = _matrix_entry(found[i], factor[i + 1 :, i] @ found[i + 1 :], inverses[i])
    return found


def _matrix_entry(wanted: Array, known: Array, inverse: Array) -> Array:
    entry = ((wanted - (known >> POINT)) * inverse) >> INVERSE_POINT
    return np.asarray(entry.clip(-MOST_SOLVED, MOST_SOLVED))


# --- linear classifiers with int16 weights --------------------------------------------------------


WEIGHT_BITS = 14
MEAN_POINT = 24  # fraction bits of a mean
BIAS_LIMIT = 1 << 29  # with the products, a score then fits int32


def class_means(counts: Array, sums: Array) -> Array:
    """Return the mean features per class [classes, features], rounded down, with MEAN_POINT
    fraction bits; 0 for a class without windows.

    counts   windows per class [classes]
    sums     sum of the features per class [classes, features]
    """
    return np.where(counts[:, None] > 0, (sums << MEAN_POINT) // np.maximum(counts, 1)[:, None], 0)


def centre(counts: Array, means: Array) -> Array:
    """Return the mean of the class means [features], rounded down; classes without windows are left
    out.

    counts   windows per class [classes]
    means    mean features per class [classes, features]
    """
    present = counts > 0
    return np.asarray(means[present].sum(axis=0) // max(int(present.sum()), 1))


def classifier(counts: Array, means: Array, middle: Array, directions: Array) -> Classifier:
    """Return the classifier in which the score of class c is direction c . (x - (mean c + middle) /
    2).

    counts       windows per class
    means        mean features per class
    middle       mean of the class means
    directions   [classes, features], magnitudes of at most 2**62; they are shifted so that the
                 largest is 2**13 .. 2**14
    """
    largest = int(np.abs(directions).max(initial=0))
    shift = largest.bit_length() - WEIGHT_BITS
    weights = directions >> shift if shift >= 0 else directions << -shift
    half = (weights * (means + middle)).sum(axis=1) >> (MEAN_POINT + 1)
    bias = np.where(counts > 0, (-half).clip(-BIAS_LIMIT, BIAS_LIMIT), NEVER)
    return Classifier(weights.astype(np.int16), bias.astype(np.int32))


LEAST_CLASSES = 2  # a classifier of one class would always choose it
HELD_BACK_EACH = 4  # every fourth window of a class is held back, as long as there is space


@dataclass(frozen=True)
class AdaptSession:
    """State of a session of adaptation.

    adaptation, method   settings, and the method to fit
    held                 held-back windows, int8 [classes, held_back, features]
    held_counts          number of held-back windows per class
    right                number of held-back windows that the current classifier decided correctly
    came                 windows per class so far [classes]
    sums                 statistics for prototypes and lda
    store                windows for the head
    """

    adaptation: Adaptation
    method: str
    held: Array
    held_counts: Array
    right: int
    came: Array
    sums: Sums
    store: heads.Stored
    is_pseudo: bool = False


def begin(adaptation: Adaptation, method: str, *, is_pseudo: bool = False) -> AdaptSession:
    """Start a session with one of the supported methods.

    is_pseudo   the labels are the network's own decisions
    """
    classes, features = adaptation.classes, adaptation.features
    held = np.zeros((classes, adaptation.held_back, features), np.int8)
    none = np.zeros(classes, np.int64)
    sums, store = no_sums(classes, features), heads.nothing_stored(adaptation)
    return AdaptSession(adaptation, method, held, none, 0, none, sums, store, is_pseudo)


def window(session: AdaptSession, features: Array, decision: int, label: int) -> AdaptSession:
    """Return the session of adaptation after another window.

    features   int8 [features]
    decision   class by the current classifier
    label      true class
    """
    if int(session.came.sum()) >= MOST_WINDOWS:
        return session
    number, place = int(session.came[label]), int(session.held_counts[label])
    came = session.came.copy()
    came[label] += 1
    session = replace(session, came=came)
    if number % HELD_BACK_EACH != HELD_BACK_EACH - 1 or place >= session.adaptation.held_back:
        return _add_learned_window(session, features, label)
    held, counts = session.held.copy(), session.held_counts.copy()
    held[label, place] = features
    counts[label] += 1
    right = session.right + (decision == label)
    return replace(session, held=held, held_counts=counts, right=right)


def _add_learned_window(session: AdaptSession, features: Array, label: int) -> AdaptSession:
    if session.method == "head":
        return replace(session, store=heads.stored(session.store, features, label))
    x = features.astype(np.int64) - session.adaptation.zero_point
    return replace(session, sums=session.sums.added(x, label))


def end(session: AdaptSession) -> Classifier | None:
    """Fit a classifier to the windows of a session; return None if it decides no more held-back
    windows correctly than the current classifier, or if the windows are of fewer than two classes.

    Otherwise, or if no windows are held back, it is fitted to the held-back windows as well.
    """
    if np.count_nonzero(session.came) < LEAST_CLASSES:
        return None
    adaptation, fits = session.adaptation, {"prototypes": prototypes, "lda": lda}
    head = heads.untrained(adaptation)
    if session.method in fits:
        found = fits[session.method](session.sums)
    else:
        head, store = heads.trained(adaptation, head, session.store, heads.UPDATES)
        found, session = heads.classifier(adaptation, head), replace(session, store=store)
    rows = [*_held_back_windows(session)]
    right = sum(
        int(found.decide(x[None].astype(np.int64) - adaptation.zero_point)[0] == label)
        for x, label in rows
    )
    if rows and not gains(session, right, len(rows)):
        return None
    for x, label in rows:
        session = _add_learned_window(session, x, label)
    if session.method in fits:
        return fits[session.method](session.sums)
    head, _ = heads.trained(adaptation, head, session.store, heads.LAST_UPDATES)
    return heads.classifier(adaptation, head)


def gains(session: AdaptSession, right: int, held_back: int) -> bool:
    """Return whether a classifier that decides so many held-back windows correctly comes into
    force. Pseudo-labels cannot show a gain: it has to agree with most of them."""
    is_alike = OF_HELD_BACK * right >= AGREEING * held_back
    return right > session.right or (session.is_pseudo and is_alike)


def _held_back_windows(session: AdaptSession) -> list[tuple[Array, int]]:
    """Return the held-back windows with their classes, class by class."""
    return [
        (session.held[label, place], label)
        for label, count in enumerate(session.held_counts)
        for place in range(count)
    ]
