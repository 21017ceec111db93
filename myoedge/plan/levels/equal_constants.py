# SPDX-License-Identifier: Apache-2.0
"""Constants of equal bytes, which are stored once: in L2, and in each memory level."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from myoedge.numerics.arrays import Array, round_up
from myoedge.plan.levels.transfers import LevelTransfer
from myoedge.plan.timeline import Chunk
from myoedge.targets.memories import MemoryLevel

Key = tuple[int, str]  # (layer, constant)
K = TypeVar("K", bound=Hashable)

# Bytes of the smallest arrays that are stored once in builds whose weights another training may
# replace: smaller ones, numbers and tables, may be equal by chance.
SHARED_FROM = 2049


def owners(arrays: Iterable[tuple[K, Array]], shared_from: int = 0) -> dict[K, K]:
    """Map the name of every array to the name of the first array with the same type and bytes.

    shared_from   bytes of the smallest arrays that are stored once
    """
    first: dict[tuple[str, bytes], K] = {}
    return {
        key: first.setdefault((a.dtype.str, content_digest(a.tobytes())), key)
        if a.nbytes >= shared_from
        else key
        for key, a in arrays
    }


def stored_once(
    transfers: Sequence[LevelTransfer],
    levels: Sequence[MemoryLevel],
    digest: Callable[[Chunk], bytes],
) -> list[LevelTransfer]:
    """Return the transfers with addresses in their levels, where constants of equal bytes are
    stored once; feature maps are unchanged.

    levels   level of each transfer
    digest   chunk -> digest of its bytes
    """
    known: dict[tuple[str, bytes], int] = {}
    ends: dict[str, int] = {}
    placed = []
    for x, level in zip(transfers, levels, strict=True):
        if not x.chunk.tensor:
            end = round_up(ends.get(level.name, 0), level.word_bytes)
            at = known.setdefault((level.name, digest(x.chunk)), end)
            ends[level.name] = max(ends.get(level.name, 0), at + x.chunk.room_bytes)
        placed.append(x if x.chunk.tensor else replace(x, level=level.name, address=at))
    return placed


def content_digest(content: bytes) -> bytes:
    """Return a digest, equal for equal bytes."""
    return hashlib.sha256(content).digest()
