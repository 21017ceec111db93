# SPDX-License-Identifier: Apache-2.0
"""A session of adaptation: windows arrive with labels; some are held back to evaluate the
result."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from myoedge.extensions.adaptation import head as heads
from myoedge.extensions.adaptation.pseudo import AGREEING, OF_HELD_BACK
from myoedge.extensions.adaptation.record import Adaptation, Classifier
from myoedge.extensions.adaptation.statistics import MOST_WINDOWS, Sums, lda, no_sums, prototypes
from myoedge.numerics.arrays import Array

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
