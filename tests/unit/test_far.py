# SPDX-License-Identifier: Apache-2.0
"""Windows on feature maps in L3: what tiles find there is what lies in the map."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from myoedge.numerics.arrays import Array
from myoedge.operators.kernel import OUT, Operand, TiledKernel
from myoedge.plan.l1.tile_iteration import Transfer, spans
from myoedge.plan.l1.tile_search import TileChoice
from myoedge.plan.l1.tiling import Tiling, lives, make_tiling
from myoedge.plan.levels.feature_maps import SLOTS, access
from myoedge.plan.timeline import WORD


def turned(channels: int, rows: int, halo: int, size: int, *, back: bool = False) -> Tiling:
    """Tiles of rows of an operand that has all rows of a channel before those of the next; `back`:
    so has the one that is written."""
    x = Operand("x", 0, (channels, rows + halo), ((("c", 1),), (("r", 1), ("k", 1))))
    shape, ways = (rows, channels), ((("r", 1),), (("c", 1),))
    y = Operand("y", OUT, shape[::-1], ways[::-1]) if back else Operand("y", OUT, shape, ways)
    axes = {"r": rows, "k": halo + 1, "c": channels}
    kernel = TiledKernel("k", axes, ("r",), (x, y), {}, lambda r: {}, lambda s: s["r"] * 5.0)
    choice = TileChoice({"r": min(size, rows)}, ("r",), 0.0, 0)
    placed = [(*found, 0) for found in lives(0, kernel, choice, 0, None)]
    return make_tiling(kernel, choice, 0, None, placed, {})


def read(memory: Array, x: Transfer) -> bytes:
    lines = range(x.bytes // x.line)
    return b"".join(memory[x.at + n * x.stride :][: x.line].tobytes() for n in lines)


@given(
    st.integers(1, 5),
    st.integers(1, 40),
    st.integers(0, 4),
    st.integers(1, 9),
    st.integers(0, 7),
    st.integers(1, 90),
)
def test_what_tiles_read_in_a_window_is_the_map(
    channels: int, rows: int, halo: int, size: int, offset: int, most: int
) -> None:
    tiling = turned(channels, size + rows, halo, size)
    operand = tiling.kernel.operands[0]
    found = access(0, tiling, operand, "map", offset, most)
    assert found is not None
    whole = np.arange(offset + math.prod(operand.shape), dtype=np.int64).astype(np.uint8)
    whole = np.append(whole, np.zeros(WORD, np.uint8))
    for n, part in enumerate(found.parts):
        slot = np.full(found.slot_bytes, 255, np.uint8)
        taken = np.zeros(found.slot_bytes, bool)
        for start, count, at in found.chunks(n):
            assert (start + offset) % WORD == 0
            assert at % WORD == 0
            assert not taken[at : at + count].any()
            taken[at : at + -(-count // WORD) * WORD] = True
            slot[at : at + count] = whole[offset + start :][:count]
        for t in range(part.first, part.last + 1):
            for x in tiling.tiles[t].loads:
                if x.operand == "x" and found.part_of(t) == n:
                    assert read(slot, found.placed(n, x)) == read(whole[offset:], x)
    assert found.window(9).size_bytes == found.slot_bytes * min(SLOTS, len(found.parts))
    assert found.part_of(len(spans(tiling.kernel, tiling.choice)) - 1) == len(found.parts) - 1


@given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 9), st.integers(0, 7))
def test_what_is_written_is_moved_in_words_or_not_at_all(
    channels: int, rows: int, size: int, offset: int
) -> None:
    """A word that begins before a part would take bytes of what lies before it along."""
    rows = max(rows, size + 1)  # two tiles at least
    tiling = turned(channels, rows, 0, size, back=True)
    operand = next(x for x in tiling.kernel.operands if x.written)
    found = access(0, tiling, operand, "map", offset, rows * channels)
    starts = [strip * rows + offset for strip in range(channels)]
    assert (found is not None) == all(start % WORD == 0 for start in starts)
