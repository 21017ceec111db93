# SPDX-License-Identifier: Apache-2.0
"""State of the C of an adaptation, read from the host's library or from firmware, and the same
state of the NumPy reference."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence

import numpy as np

from myoedge.backends.build import Build
from myoedge.extensions.adaptation import head as heads
from myoedge.extensions.adaptation import session as sessions
from myoedge.extensions.adaptation.commands import Window
from myoedge.extensions.adaptation.record import PASSING, Adaptation, Room, rooms
from myoedge.extensions.adaptation.running import settings_of
from myoedge.extensions.adaptation.table import METHODS
from myoedge.numerics.arrays import Array

MOST_CLASSES = 64
SCALARS = ("method", "decision", "in_force", "windows", "right", "normed", "pseudo")
BY_CLASS = ("came", "held_counts", "counts", "seen")
STATE_BYTES = 4 * (len(SCALARS) + MOST_CLASSES * (len(BY_CLASS) + 2) + 2)
POINTERS = (
    *("replay", "replay_labels", "window", "held", "stored", "sums", "products", "factor"),
    *("inverses", "means", "directions", "head", "momentum", "gradient", "weights"),
)
NORM_POINTERS = (
    *("channel_means", "deviations", "norm_sums", "norm", "raw_input", "normed_input"),
)
State = dict[str, Array]


class _Network(ctypes.Structure):
    """me_adapt_network of me_adapt_state.h."""

    _fields_ = (
        ("sizes", ctypes.c_int32 * 8),
        ("digest", ctypes.c_uint8 * 8),
        *((name, ctypes.c_void_p) for name in POINTERS),
        ("norm_sizes", ctypes.c_int32 * 6),
        *((name, ctypes.c_void_p) for name in (*NORM_POINTERS, "scores")),
        ("score_sizes", ctypes.c_int32 * 4),
    )


def lasting(adaptation: Adaptation) -> list[Room]:
    """Return the arrays that hold the state of a session, in the order of command STATE."""
    return [room for room in rooms(adaptation) if room.name not in PASSING]


def host_state(build: Build) -> bytes:
    """Return what command STATE gives on a chip, from the library."""
    handle = build.library.handle
    network = _Network.in_dll(handle, "me_adapt_of")
    parts = [bytes((ctypes.c_char * STATE_BYTES).in_dll(handle, "me_adapt").raw)]
    for room in lasting(settings_of(build)):
        size = np.dtype(room.dtype).itemsize * room.count
        parts.append(ctypes.string_at(getattr(network, room.name), size))
    return b"".join(parts)


def norm_state(adaptation: Adaptation, content: bytes) -> State:
    """Return the statistics of a session of norm."""
    state = _fields(adaptation, content)
    return {name: state[name] for name in ("method", "windows", "norm_count", "norm_sums")}


def parsed(adaptation: Adaptation, content: bytes) -> State:
    """Return the state by field, without what no window has filled."""
    return _filled(adaptation, _fields(adaptation, content))


def _fields(adaptation: Adaptation, content: bytes) -> State:
    words = np.frombuffer(content[:STATE_BYTES], np.int32)
    state = {name: words[i] for i, name in enumerate(SCALARS)}
    by_class = words[len(SCALARS) :]
    for i, name in enumerate(BY_CLASS):
        state[name] = by_class[MOST_CLASSES * i :][: adaptation.classes]
    state["random"], state["norm_count"] = by_class[MOST_CLASSES * len(BY_CLASS) :][:2]
    biases = by_class[MOST_CLASSES * len(BY_CLASS) + 2 :].reshape(2, MOST_CLASSES)
    state["bias"] = biases[0, : adaptation.classes]
    at = STATE_BYTES
    for room in lasting(adaptation):
        size = np.dtype(room.dtype).itemsize * room.count
        state[room.name] = np.frombuffer(content[at : at + size], room.dtype)
        at += size
    assert at == len(content)
    return state


def _filled(adaptation: Adaptation, state: State) -> State:
    shape = (adaptation.classes, -1, adaptation.features)
    method = int(state["method"])
    held = state["held"].reshape(shape)
    rows = zip(held, state["held_counts"], strict=True)
    kept: State = {"held": np.concatenate([row[:count] for row, count in rows])}
    for name in ("method", "windows", "right", "came", "held_counts"):
        kept[name] = state[name]
    if method in (1, 2):
        kept |= {"counts": state["counts"], "sums": state["sums"]}
    if method == 2:
        kept["products"] = state["products"]
    if method == 3:
        filled = np.minimum(state["seen"], adaptation.kept)
        rows = zip(state["stored"].reshape(shape), filled, strict=True)
        kept["stored"] = np.concatenate([row[:count] for row, count in rows])
        kept |= {name: state[name] for name in ("seen", "random", "head", "momentum")}
    kept["in_force"], force = state["in_force"], int(state["in_force"])
    numbers = adaptation.classes * adaptation.features
    if force:
        kept |= {"weights": state["weights"][:numbers], "bias": state["bias"]}
    return kept


def reference_states(
    adaptation: Adaptation, method: str, windows: Sequence[Window], labels: Sequence[int]
) -> Iterator[State]:
    """Yield the state after begin and after every window, from a network that is not adapted."""
    session = sessions.begin(adaptation, method)
    yield _reference(session)
    for window, label in zip(windows, labels, strict=True):
        session = sessions.window(session, window.features, window.decision, label)
        yield _reference(session)


def _reference(session: sessions.AdaptSession) -> State:
    adaptation, method = session.adaptation, METHODS.index(session.method) + 1
    rows = zip(session.held, session.held_counts, strict=True)
    state: State = {
        "held": np.concatenate([row[:count] for row, count in rows]),
        "method": np.int32(method),
        "windows": session.came.sum(),
        "right": np.int32(session.right),
        "came": session.came,
        "held_counts": session.held_counts,
        "in_force": np.int32(0),
    }
    if method in (1, 2):
        state |= {"counts": session.sums.counts, "sums": session.sums.sums.reshape(-1)}
    if method == 2:
        state["products"] = session.sums.products[np.tril_indices(adaptation.features)]
    if method == 3:
        store, head = session.store, heads.untrained(adaptation)
        rows = zip(store.windows, store.filled, strict=True)
        state |= {"stored": np.concatenate([row[:count] for row, count in rows])}
        state |= {"seen": store.seen, "random": np.uint32(store.random)}
        state |= {"head": head.weights.reshape(-1), "momentum": head.momentum.reshape(-1)}
    return state


def assert_equal(found: State, expected: State) -> None:
    """Check that two states have the same fields and integers."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, name)
