# SPDX-License-Identifier: Apache-2.0
"""Memory of the firmware that an adaptation needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoedge.extensions.adaptation.record import Adaptation

# Arrays whose contents are not kept between calls.
PASSING = (
    "means",
    "directions",
    "factor",
    "inverses",
    "gradient",
    "raw_input",
    "normed_input",
    "scores",
)


@dataclass(frozen=True)
class Room:
    """An array of the firmware's adaptation.

    name    its field of the C struct me_adapt_network
    dtype   element type
    count   number of elements
    """

    name: str
    dtype: str
    count: int


def rooms(adaptation: Adaptation) -> tuple[Room, ...]:
    """Return the firmware's arrays for the methods of a build."""
    size, classes, norm = adaptation.features, adaptation.classes, adaptation.norm
    lda, head = ("lda" in adaptation.methods), ("head" in adaptation.methods)
    sums = lda or "prototypes" in adaptation.methods
    numbers, triangle, factors = classes * size, size * (size + 1) // 2, classes * (size + 1)
    found = [
        Room("held", "int8", numbers * adaptation.held_back),
        Room("weights", "int16", 2 * numbers),
        Room("means", "int64", (numbers + size) * sums),
        Room("directions", "int64", (numbers + size) * sums),
        Room("sums", "int32", numbers * sums),
        Room("products", "int32", triangle * lda),
        Room("factor", "int32", triangle * lda),
        Room("inverses", "uint32", size * lda),
        Room("head", "int32", factors * head),
        Room("momentum", "int32", factors * head),
        Room("gradient", "int32", factors * head),
        Room("stored", "int8", numbers * adaptation.kept * head),
    ]
    if norm is not None:
        found.append(Room("norm_sums", "int64", 2 * norm.channels))
        found.append(Room("norm", "int32", 2 * norm.channels))
        found += [Room(name, norm.dtype, norm.elements) for name in ("raw_input", "normed_input")]
    found.append(Room("scores", "int32", classes * (adaptation.pseudo is not None)))
    return tuple(room for room in found if room.count)


def l2_bytes(adaptation: Adaptation, *, in_flash: bool = False) -> int:
    """Return the bytes of L2, or of RAM, for these arrays, the features and the stored windows.

    in_flash   whether calibration samples are read in place from flash
    """
    sizes = (np.dtype(room.dtype).itemsize * room.count for room in rooms(adaptation))
    replay = 0 if in_flash else adaptation.replay.nbytes + len(adaptation.replay)
    return sum(sizes) + replay + adaptation.features
