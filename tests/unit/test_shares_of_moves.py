# SPDX-License-Identifier: Apache-2.0
"""What the core with most to do has of planes that are copied or turned, core by core."""

from __future__ import annotations

import numpy as np
import pytest

from myoedge.operators.layout.tiling import _busiest
from myoedge.operators.products.matmul_packing import parts_of

CORES = 8


def one_by_one(planes: int, columns: int) -> list[tuple[int, int]]:
    """(planes that it starts, their columns) of each core: as each_plane in me_move.c walks."""
    groups = [(p, c) for p in range(planes) for c in range(0, columns, 4)]
    found = []
    for core in range(CORES):
        own = groups[len(groups) * core // CORES : len(groups) * (core + 1) // CORES]
        found.append((len({p for p, _ in own}), sum(min(4, columns - c) for _, c in own)))
    return found


@pytest.mark.parametrize("planes", [1, 2, 3, 7, 8, 38, 100])
@pytest.mark.parametrize("columns", [1, 2, 4, 9, 16, 38, 51])
def test_the_core_with_most_columns_and_starts_is_paid(planes: int, columns: int) -> None:
    found = _busiest(planes, -(-columns // 4), columns)
    each = one_by_one(planes, columns)
    assert (int(found[0]), int(found[1])) in each
    assert found[1] + 2 * found[0] == max(lines + 2 * starts for starts, lines in each)


def test_many_sizes_at_once_are_what_each_is() -> None:
    planes, columns = np.array([1, 5, 12]), np.array([9, 30, 4])
    together = _busiest(planes, -(-columns // 4), columns)
    each = [_busiest(int(p), -(-int(c) // 4), int(c)) for p, c in zip(planes, columns, strict=True)]
    assert [list(map(int, x)) for x in zip(*together, strict=True)] == [
        list(map(int, x)) for x in each
    ]


@pytest.mark.parametrize("blocks", range(1, 40))
def test_packing_is_cut_into_as_few_parts_as_are_fastest(blocks: int) -> None:
    taken = {parts: -(-blocks * parts // CORES) / parts for parts in (1, 2, 4)}
    assert parts_of(blocks) == min(p for p, t in taken.items() if t == min(taken.values()))
