# SPDX-License-Identifier: Apache-2.0
"""Constants that are alike, byte for byte, are stored once: in L2, and in l3.bin."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from myoedge.numerics.arrays import Array
from myoedge.plan.l3.transfers import L3Transfer
from myoedge.plan.timeline import Chunk

Key = tuple[int, str]  # step and array
K = TypeVar("K", bound=Hashable)


def owners(arrays: Iterable[tuple[K, Array]]) -> dict[K, K]:
    """For each of them the first one that has its type and its bytes."""
    first: dict[tuple[str, bytes], K] = {}
    return {key: first.setdefault((a.dtype.str, _digest(a.tobytes())), key) for key, a in arrays}


def stored_once(
    l3_transfers: Sequence[L3Transfer], content: Callable[[Chunk], bytes]
) -> list[L3Transfer]:
    """Constants that are the same bytes come from one place in L3; feature maps as they are."""
    known: dict[bytes, int] = {}
    found, end = [], 0
    for l3_transfer in l3_transfers:
        if l3_transfer.chunk.tensor:
            found.append(l3_transfer)
            continue
        at = known.setdefault(_digest(content(l3_transfer.chunk)), end)
        end = max(end, at + l3_transfer.chunk.room_bytes)
        found.append(replace(l3_transfer, l3=at))
    return found


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
