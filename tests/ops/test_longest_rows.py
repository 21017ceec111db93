# SPDX-License-Identifier: Apache-2.0
"""Deviations of as many numbers as an operator reads, at the ends of their range."""

from __future__ import annotations

from pathlib import Path

import pytest

from myoedge.operators.variance.cases import SQUARES, slack
from myoedge.operators.variance.definition import LENGTH_MAX
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


@pytest.mark.parametrize("case", CASES)
def test_a_deviation_of_the_most_numbers(case: Case) -> None:
    check_meaning(case)


def test_c_equals_numpy(tmp_path: Path) -> None:
    assert not mismatches(CASES, integers(CASES), run_c(CASES, tmp_path, "-O0"))
