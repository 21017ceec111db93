# SPDX-License-Identifier: Apache-2.0
"""What each core has of an attention, as me_attention.c shares it: rows may see different keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array

Spans = tuple[tuple[int, int], ...]  # (first key, end) of each row


@dataclass(frozen=True, slots=True)
class Share:
    """Of the core that has most of each, the mean of all tiles.

    scores   blocks of four rows and four keys      values   of four rows and four columns
    words    of four keys each, of the values' blocks
    keys     of rows whose exponentials it makes    rows     these
    """

    scores: Any
    values: Any
    words: Any
    keys: Any
    rows: Any


def busiest(spans: Spans, rows: Any, across: int, cores: int) -> Share:
    """Of tiles of `rows` rows each, a number or an array; `across`: blocks of columns."""
    flat, shape = np.ravel(rows).tolist(), np.shape(rows)
    every = map(_shares(spans, across, cores), flat)
    return Share(*(np.array(one).reshape(shape) for one in zip(*every, strict=True)))


@lru_cache(maxsize=64)
def _shares(spans: Spans, across: int, cores: int) -> Callable[[int], tuple[float, ...]]:
    """Of tiles by their rows, each looked at once; spans are long, and so are looked up here."""
    return lru_cache(maxsize=None)(partial(_mean_share, spans, across, cores))


def _mean_share(spans: Spans, across: int, cores: int, rows: int) -> tuple[float, ...]:
    first, end = np.array(spans).T
    starts = range(0, len(first), rows)
    if (end - first == end[0] - first[0]).all() and (first == first[0]).all():
        starts = range(1)  # all tiles are alike, the last one smaller
    found = [_share(first[s : s + rows], end[s : s + rows], across, cores) for s in starts]
    return tuple(np.mean(found, axis=0).tolist())


def _share(first: Array, end: Array, across: int, cores: int) -> tuple[float, ...]:
    """Of one tile: groups of four rows see what any of them does, in whole words."""
    last = np.minimum(np.arange(3, len(end) + 3, 4), len(end) - 1)
    words = np.repeat((end[last] + 3) // 4 - first[::4] // 4, across)
    total = int(words[::across].sum())
    return (
        -(-total // cores),
        -(-len(words) // cores),
        float(_parts(words, cores).max()),
        float(_parts(end - first, cores).max()),
        -(-len(first) // cores),
    )


def _parts(each: Array, cores: int) -> Array:
    """Sums of what is shared one behind the other."""
    ends = len(each) * np.arange(cores + 1) // cores
    return np.diff(np.concatenate([[0], np.cumsum(each)])[ends])
