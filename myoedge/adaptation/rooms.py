# SPDX-License-Identifier: Apache-2.0
"""Memory that an adaptation takes in the firmware."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoedge.adaptation.record import Adaptation


@dataclass(frozen=True)
class Room:
    """An array of the firmware: a field of me_adapt_network, its element type, and its length."""

    name: str
    dtype: str
    count: int


def rooms(adaptation: Adaptation) -> tuple[Room, ...]:
    """Return the arrays that the methods of a build need."""
    size, classes, methods = adaptation.features, adaptation.classes, {*adaptation.methods}
    numbers, triangle = classes * size, size * (size + 1) // 2
    found = [
        Room("held", "int8", numbers * adaptation.held_back),
        Room("weights", "int16", 2 * numbers),
    ]
    if methods & {"prototypes", "lda"}:
        found += [Room(name, "int64", numbers + size) for name in ("means", "directions")]
        found.append(Room("sums", "int32", numbers))
    if "lda" in methods:
        found += [Room(name, "int32", triangle) for name in ("products", "factor")]
        found.append(Room("inverses", "uint32", size))
    if "head" in methods:
        head = classes * (size + 1)
        found += [Room(name, "int32", head) for name in ("head", "momentum", "gradient")]
        found.append(Room("stored", "int8", numbers * adaptation.kept))
    return tuple(found)


def l2_bytes(adaptation: Adaptation) -> int:
    """Return the bytes of these arrays, the features and the stored windows."""
    sizes = (np.dtype(room.dtype).itemsize * room.count for room in rooms(adaptation))
    replay = adaptation.replay.nbytes + len(adaptation.replay)
    return sum(sizes) + replay + adaptation.features
