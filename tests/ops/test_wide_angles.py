# SPDX-License-Identifier: Apache-2.0
"""Angles of coordinates of 16 bits, one of which is far smaller than the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from myoedge.operators.phase import slack
from tests.ops.case import Case
from tests.ops.harness import mismatches, run_c
from tests.ops.test_ops import check_meaning, integers

# y becomes 0 beside x: in part, and always
CASES = tuple(
    Case(
        "atan2", {}, ((60,), (60,)), "torch.atan2(x0 + 0.0, x1 + 0.0)",
        ((-reach, reach), (-1.0, 0.0)),
        slack=slack, seed=7 * seed, pattern="narrow", int16=(0, 1),
    )
    for seed, reach in enumerate((1e-3, 1e-6))
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_small_ordinate_keeps_its_sign(case: Case) -> None:
    """Left of the origin it decides between half a turn and half a turn back."""
    assert case.params("y").element_type.bits == 16
    check_meaning(case)


def test_c_equals_numpy(tmp_path: Path) -> None:
    assert not mismatches(CASES, integers(CASES), run_c(CASES, tmp_path, "-O0"))
