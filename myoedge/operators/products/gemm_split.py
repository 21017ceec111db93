# SPDX-License-Identifier: Apache-2.0
"""Which blocks of a product each core has, as me_dense.c shares them, and who has most to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from myoedge.operators.kernel import WORKERS

PIXELS = 4  # rows of a block
IDEAL = 24  # instructions of a 4 x 4 block for a word of taps


@dataclass(frozen=True, slots=True)
class Share:
    """What one core has; at first of all of them, along the first axis.

    whole, thin              blocks of four rows; of the last rows, which may be fewer
    whole_rest, thin_rest    those of them with fewer than four channels
    rows, first              rows that it reads, and the first of them
    groups                   of four rows that it begins
    runs, cut                calls for blocks side by side; those that do not have all channels
    """

    whole: Any
    thin: Any
    whole_rest: Any
    thin_rest: Any
    rows: Any
    first: Any
    groups: Any
    runs: Any
    cut: Any

    def most(self, taken: Any) -> Share:
        """That of the core which takes longest."""
        shape = np.broadcast_shapes(*(np.shape(getattr(self, f.name)) for f in fields(self)))
        at = np.argmax(np.broadcast_to(taken, shape), axis=0)[None]
        every = (np.broadcast_to(getattr(self, f.name), shape) for f in fields(self))
        return Share(*(np.take_along_axis(each, at, 0)[0] for each in every))


def instructions(rows: Any) -> Any:
    """Of a word of taps of so many rows and four channels, about."""
    return 5 * rows + 4


def shares(rows: Any, blocks: Any, rest: bool, at_a_time: int, cores: int = WORKERS) -> Share:
    """Of `rows` times `blocks` of four channels.

    rest        whether a layer's last block has fewer channels
    at_a_time   groups of rows that are read before their blocks are computed
    cores       that share them
    """
    rows, blocks = np.broadcast_arrays(rows, blocks)
    high = np.where(rows <= PIXELS, rows, rows % PIXELS)
    whole = np.where(rows <= PIXELS, 0, rows // PIXELS * blocks)
    ends = _ends(rows, blocks, whole, high, cores)
    begin, end = ends[:-1], ends[1:]
    full = np.minimum(end, whole) - np.minimum(begin, whole)
    thin = end - begin - full
    last = np.maximum(end - 1, begin) // blocks
    groups = np.where(end > begin, last - begin // blocks + 1, 0)
    uncut = np.maximum(end // blocks - -(-begin // blocks), 0)
    uncut_whole = np.maximum(np.minimum(end, whole) // blocks - -(-begin // blocks), 0)
    cut = groups - uncut
    of_rest = (end // blocks - begin // blocks) * rest
    whole_rest = (np.minimum(end, whole) // blocks - np.minimum(begin, whole) // blocks) * rest
    return Share(
        whole=full,
        thin=thin,
        whole_rest=whole_rest,
        thin_rest=of_rest - whole_rest,
        rows=PIXELS * groups - np.where(thin > 0, PIXELS - high, 0),
        first=PIXELS * (begin // blocks),
        groups=groups,
        runs=-(-uncut_whole // at_a_time) + (uncut - uncut_whole) + cut,
        cut=cut,
    )


def _ends(rows: Any, blocks: Any, whole: Any, high: Any, cores: int) -> Any:
    """Before which block each core ends, 0 in front: place_of, and run where rows are few."""
    part = np.arange(cores + 1).reshape(-1, *[1] * np.ndim(rows))
    last = np.maximum(instructions(high), 1)
    at = (IDEAL * whole + last * blocks) * part // cores
    beyond = whole + (at - IDEAL * whole + last // 2) // last
    uneven = np.where(at <= IDEAL * whole, (at + IDEAL // 2) // IDEAL, beyond)
    even = np.where(rows <= PIXELS, blocks, whole) * part // cores
    return np.where((rows <= PIXELS) | (high == 0), even, uneven)


Edges = Callable[[Any, Any], Any]  # (first row, how many) -> those of them that reach over an edge
