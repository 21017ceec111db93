# SPDX-License-Identifier: Apache-2.0
"""What cores share of a product, block by block as me_dense.c goes through them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from myoedge.operators.conv.geometry import Spatial
from myoedge.operators.kernel import WORKERS
from myoedge.operators.nine_cores import EVERYONE
from myoedge.operators.products.gemm_split import Share, shares

AT_A_TIME = 3


def place_of(rows: int, blocks: int, part: int, cores: int) -> tuple[int, int]:
    """(group of four rows, block) before which `part` cores have done their work, as in C."""
    if rows <= 4:
        unit = blocks * part // cores
        return (1, 0) if unit == blocks else (0, unit)
    rest, whole, last = rows % 4, rows // 4 * blocks, 4 + 5 * (rows % 4)
    if rest == 0:
        unit = whole * part // cores
    else:
        at = (24 * whole + last * blocks) * part // cores
        near = at <= 24 * whole
        unit = (at + 12) // 24 if near else whole + (at - 24 * whole + last // 2) // last
    return unit // blocks, unit % blocks


def of_core(rows: int, blocks: int, rest: bool, core: int, cores: int) -> Counter[str]:
    """run_part of me_dense.c, counted."""
    found: Counter[str] = Counter()
    here, end = (place_of(rows, blocks, part, cores) for part in (core, core + 1))
    found["first"] = 4 * here[0]
    while here < end:
        (group, first), last = here, blocks if here[0] < end[0] else end[1]
        groups = 1
        if first == 0 and last == blocks:
            groups = max(min(AT_A_TIME, end[0] - group, rows // 4 - group), 1)
        high = min(4 * groups, rows - 4 * group)
        kind = "thin" if high < 4 or rows <= 4 else "whole"
        found[kind] += groups * (last - first)
        found[f"{kind}_rest"] += groups * (rest and last == blocks)
        found += Counter(rows=high, groups=groups, runs=1, cut=int((first, last) != (0, blocks)))
        here = (group + groups, 0) if last == blocks else end
    return found


@pytest.mark.parametrize("cores", [WORKERS, EVERYONE])
@pytest.mark.parametrize("rest", [False, True])
def test_every_core_has_what_the_kernel_gives_it(rest: bool, cores: int) -> None:
    sizes = [(rows, blocks) for rows in (1, 2, 4, 5, 8, 9, 36, 49, 100) for blocks in (1, 2, 5, 16)]
    together = shares(
        *(np.array(each) for each in zip(*sizes, strict=True)), rest, AT_A_TIME, cores
    )
    for at, (rows, blocks) in enumerate(sizes):
        alone = shares(rows, blocks, rest, AT_A_TIME, cores)
        for core in range(cores):
            wanted = of_core(rows, blocks, rest, core, cores)
            for name in Share.__dataclass_fields__:
                if name == "first" and not wanted["rows"]:
                    continue
                assert getattr(alone, name)[core] == wanted[name], (name, rows, blocks, core)
                assert getattr(together, name)[core, at] == wanted[name]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_windows_over_an_edge_are_those_that_read_outside(kernel: int, stride: int) -> None:
    size, pad = 11, kernel // 2
    count = (size + 2 * pad - kernel) // stride + 1
    pads = ((pad, pad), (pad, pad))
    conv = Spatial(
        (1, size, size, 8), (1, count, count, 8), (kernel,) * 2, (stride,) * 2, (1, 1), pads, 1
    )

    def over(i: int) -> bool:
        start = i * stride - pad
        return start < 0 or start + kernel > size

    every = [over(i) or over(j) for i in range(count) for j in range(count)]
    sizes = {"t0": count, "t1": count}
    for first in range(0, len(every), 7):
        for number in (1, 4, 13):
            number = min(number, len(every) - first)
            found = conv.at_edges(sizes, first, number)
            assert found == sum(every[first : first + number])
    inner = {"t0": 2, "t1": 2, "t0 first": False, "t0 last": False}
    inner |= {"t1 first": False, "t1 last": False}
    assert conv.at_edges(inner, 0, 4) == 0
