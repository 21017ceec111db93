# SPDX-License-Identifier: Apache-2.0
"""What each core has of an attention, against me_attention.c's loops, counted one by one."""

from __future__ import annotations

import numpy as np
import pytest

from myoedge.operators.attention.work_split import busiest

Spans = list[tuple[int, int]]


def counted(spans: Spans, across: int, cores: int) -> tuple[int, int, int, int, int]:
    """Of a tile: (score blocks, value blocks, their words, keys, rows) of who has most of each."""
    groups = [spans[at : at + 4] for at in range(0, len(spans), 4)]
    seen = [[key // 4 for f, e in group for key in range(f, e)] for group in groups]
    words = [max(each) - min(each) + 1 for each in seen]
    blocks = [n for n in words for _ in range(across)]
    most = [0, 0, 0, 0]
    for core in range(cores):
        mine = blocks[len(blocks) * core // cores : len(blocks) * (core + 1) // cores]
        rows = spans[len(spans) * core // cores : len(spans) * (core + 1) // cores]
        found = (len(mine), sum(mine), sum(e - f for f, e in rows), len(rows))
        most = [max(a, b) for a, b in zip(most, found, strict=True)]
    return (-(-sum(words) // cores), *most)


@pytest.mark.parametrize("cores", [8, 9])
@pytest.mark.parametrize(("before", "after"), [(99, 0), (99, 99), (5, 2), (0, 0)])
@pytest.mark.parametrize("rows", [1, 4, 8, 23, 40])
def test_the_core_that_has_most(rows: int, before: int, after: int, cores: int) -> None:
    keys = 40
    spans = [(max(i - before, 0), min(i + after + 1, keys)) for i in range(keys)]
    tiles = [spans[at : at + rows] for at in range(0, keys, rows)]
    if before == after == 99:
        tiles = tiles[:1]  # they are alike, but for a smaller last one
    wanted = np.mean([counted(tile, 2, cores) for tile in tiles], axis=0)
    found = busiest(tuple(spans), np.array([rows, keys]), 2, cores)
    got = (found.scores, found.values, found.words, found.keys, found.rows)
    assert [each[0] for each in got] == pytest.approx(wanted.tolist())
    assert [each[1] for each in got] == pytest.approx(counted(spans, 2, cores))
