# SPDX-License-Identifier: Apache-2.0
"""Deviations of as many numbers as an operator reads, at the ends of their range; sums of 16 bits
beyond 32."""

from __future__ import annotations

from pathlib import Path

import pytest

from myoedge.operators.variance import LENGTH_MAX, SQUARES, slack
from tests.ops.case import Case
from tests.ops.harness import mismatches, run_c
from tests.ops.test_ops import check_meaning, integers

CASES = tuple(
    Case(
        "variance",
        {
            "axes": (0,), "keepdim": True, "centred": centred, "root": True,
            "divisor": float(LENGTH_MAX),
        },
        ((LENGTH_MAX,),), SQUARES, ((-1.0, 0.9),), slack=slack, pattern="edges", int16=wide,
    )
    for centred in (True, False)
    for wide in ((), (0,))
)  # fmt: skip
SUMS = tuple(
    Case(
        *("cumsum", {"axis": 0}, ((70_000,),), "x0.cumsum(0)", ((-1.0, 1.0),)), pattern=pattern,
        int16=(0,), slack=lambda case: case.params("x0").scale / case.target.scale, seed=seed,
    )
    for pattern, seed in (("highest", 0), ("uniform", 0), ("lowest", 3))
)  # fmt: skip


@pytest.mark.parametrize("case", [*CASES, *SUMS])
def test_a_row_of_many_numbers(case: Case) -> None:
    check_meaning(case)


@pytest.mark.parametrize("cases", [CASES, SUMS])
def test_c_equals_numpy(cases: tuple[Case, ...], tmp_path: Path) -> None:
    assert not mismatches(cases, integers(cases), run_c(cases, tmp_path, "-O0"))
