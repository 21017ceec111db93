# SPDX-License-Identifier: Apache-2.0
"""Tiles of attention on NE16 with resident bit planes: which keys and rows each step has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from myoedge.operators.attention.operands import sizes_of
from myoedge.operators.kernel import Operand, TiledKernel
from myoedge.plan.l1.layer_kernels import candidates
from myoedge.targets import find_chip
from tests.ops.case import Case
from tests.ops.harness import drawn

GAP9 = find_chip("gap9")
CASES = 80
LATER = {"q": 0, "bias": 2, "mask": 2, "y": 4}  # steps, me_ne16_attention_resident_s8.h


def resident() -> Iterator[tuple[Case, TiledKernel]]:
    """Drawn layers that the kernel can run."""
    for case in drawn("attention", CASES):
        for kernel in candidates(case.step, GAP9):
            if kernel.function == "me_ne16_attention_resident_s8":
                yield case, kernel


def read_or_written(operand: Operand, step: int, case: Case, part_rows: int) -> set[int]:
    """Rows or keys of a step, by the kernel's header."""
    sizes = sizes_of(case.step)
    if operand.name in ("k", "v"):
        end = sizes["keys"] if operand.name == "k" else sizes["v_row"]
        return {key for key in range(16 * step, 16 * (step + 1)) if key < end}
    part = step - (-(-sizes["keys"] // 16) - 1) - LATER[operand.name]
    return {r for r in range(part_rows * part, part_rows * (part + 1)) if 0 <= r < sizes["rows"]}


@pytest.mark.parametrize("steps", [1, 3, 1000])
def test_tiles_have_the_operands_of_their_steps(steps: int) -> None:
    tried = 0
    for case, kernel in resident():
        total, part_rows = kernel.axes["step"], kernel.axes["row"]
        for first in range(0, total, steps):
            count = min(steps, total - first)
            spans = {axis: (0, n) for axis, n in kernel.axes.items()}
            tile = {**spans, "b": (0, 1), "h": (0, 1), "step": (first, count)}
            regions = {operand.name: operand.region(tile) for operand in kernel.operands}
            fields = kernel.tile(regions)
            assert (fields["first"], fields["end"]) == (first, first + count)
            for operand in (o for o in kernel.operands if o.name != "exp"):
                d = next(d for d, dim in enumerate(operand.dims) if "step" in dict(dim))
                start, extent = (
                    x[d] for x in (regions[operand.name].start, regions[operand.name].extent)
                )
                wanted = [
                    read_or_written(operand, first + i, case, part_rows) for i in range(count)
                ]
                assert set(range(start, start + extent)) == set().union(*wanted)
                tried += 1
    assert tried > 20
