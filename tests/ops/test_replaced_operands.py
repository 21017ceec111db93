# SPDX-License-Identifier: Apache-2.0
"""Results on one core, written over operands at the smallest displacement, equal NumPy's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from myoedge.backends import host
from myoedge.numerics.arrays import Array, round_up
from myoedge.operators.kernel import Operand
from myoedge.plan.displacement import displacement
from tests.ops.case import Case
from tests.ops.harness import batches, compiled, drawn, on_host
from tests.ops.test_one_core import one_core
from tests.ops.test_ops import COMPILED, COUNT, integers

__all__ = ["one_core"]  # a fixture that every test uses
WITH_ORDER = {"conv", "linear", "max_pool", "avg_pool", "mean", "table", "mul", "softmax"}
MORE = {"conv": 60, "linear": 30}  # cases of kernels by hand


def places(case: Case) -> list[tuple[int, int]]:
    """(number of an operand, its displacement in words) where the only result may lie over it."""
    tiling = on_host(case)
    kernel, results = tiling.kernel, tiling.kernel.results
    if len(tiling.tiles) > 1 or len(results) > 1 or tiling.choice.in_l2 < {*names(kernel.operands)}:
        return []
    found = []
    for number in range(len(case.data)):
        reads = [x for x in kernel.operands if x.source == number]
        each = [displacement(kernel, x, results[0]) for x in reads]
        if each and None not in each:
            multiple = math.lcm(4, *(x.multiple for x in each if x))
            below = max(x.size_bytes for x in each if x)
            found.append((number, int(round_up(below, multiple))))
    return found


def names(operands: Sequence[Operand]) -> list[str]:
    return [x.name for x in operands if not x.constant]


def run_over(library: host.Library, index: int, case: Case, number: int, below: int) -> Array:
    """The result of a case, whose start lies so many bytes below that of an operand."""
    x, size = case.data[number], case.step.element_type.dtype.itemsize * int(np.prod(case.step.out))
    memory = np.full(2 * (x.nbytes + size + abs(below)) + 64, 0x5A, np.uint8)
    base = (memory.ctypes.data + size + abs(below) + 15) // 16 * 16
    start = base - memory.ctypes.data
    memory[start : start + x.nbytes] = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
    data = [np.ascontiguousarray(x) for x in case.data]
    given = [base if at == number else int(x.ctypes.data) for at, x in enumerate(data)]
    host.invoke(library, f"case_{index}", given, [base - below])
    y = memory[start - below : start - below + size]
    return y.copy().view(case.step.element_type.dtype).reshape(case.step.out)


@pytest.mark.parametrize("ops", batches(COMPILED), ids=lambda ops: f"{ops[0]} to {ops[-1]}")
def test_results_over_operands_equal_numpy(ops: list[str], tmp_path: Path) -> None:
    drawn_cases = [case for op in ops for case in drawn(op, MORE.get(op, COUNT // 2))]
    cases = tuple(case for case in drawn_cases if places(case))
    assert {case.op for case in cases} >= WITH_ORDER & {*ops}
    if not cases:
        return
    library = host.open_library(compiled(cases, tmp_path, "-O2", [on_host(case) for case in cases]))
    for index, (case, wanted) in enumerate(zip(cases, integers(cases), strict=True)):
        for number, least in places(case):
            for below in {least, max(least, 0)}:
                y = run_over(library, index, case, number, below)
                text = f"{case} over operand {number}, {below} bytes below"
                np.testing.assert_array_equal(y, wanted, text)
