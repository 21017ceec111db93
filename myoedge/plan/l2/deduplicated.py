# SPDX-License-Identifier: Apache-2.0
"""Constants that are alike, byte for byte, are stored once: in L2, and in l3.bin."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from myoedge.numerics.arrays import Array
from myoedge.plan.l3.transfers import Haul
from myoedge.plan.timeline import Piece

Key = tuple[int, str]  # step and array
K = TypeVar("K", bound=Hashable)


def owners(arrays: Iterable[tuple[K, Array]]) -> dict[K, K]:
    """For each of them the first one that has its type and its bytes."""
    first: dict[tuple[str, bytes], K] = {}
    return {key: first.setdefault((a.dtype.str, _digest(a.tobytes())), key) for key, a in arrays}


def stored_once(hauls: Sequence[Haul], content: Callable[[Piece], bytes]) -> list[Haul]:
    """Hauls of constants from one place in L3 where they bring the same bytes; maps as they are."""
    known: dict[bytes, int] = {}
    found, end = [], 0
    for haul in hauls:
        if haul.piece.tensor:
            found.append(haul)
            continue
        at = known.setdefault(_digest(content(haul.piece)), end)
        end = max(end, at + haul.piece.room_bytes)
        found.append(replace(haul, l3=at))
    return found


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
