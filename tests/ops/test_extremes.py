# SPDX-License-Identifier: Apache-2.0
"""Cases that are seldom drawn: deviations of as many numbers as an operator reads, at the ends of
their range; sums of 16 bits beyond 32; angles of coordinates of 16 bits, one of which is far
smaller than the other."""

from __future__ import annotations

from pathlib import Path

from myoedge.operators import phase
from myoedge.operators.variance import LENGTH_MAX, SQUARES, slack
from tests.ops.case import Case
from tests.ops.harness import mismatches, run_c
from tests.ops.test_ops import check_meaning, integers
from tests.support.each import each

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


# y becomes 0 beside x, in part and always: its sign decides which half a turn it is
ANGLES = tuple(
    Case(
        "atan2", {}, ((60,), (60,)), "torch.atan2(x0 + 0.0, x1 + 0.0)",
        ((-reach, reach), (-1.0, 0.0)),
        slack=phase.slack, seed=7 * seed, pattern="narrow", int16=(0, 1),
    )
    for seed, reach in enumerate((1e-3, 1e-6))
)  # fmt: skip
EVERY = (*CASES, *SUMS, *ANGLES)


@each("case", EVERY)
def test_extremes_mean_what_torch_says(case: Case) -> None:
    check_meaning(case)


def test_c_equals_numpy(tmp_path: Path) -> None:
    assert {case.params("y").element_type.bits for case in ANGLES} == {16}
    assert not mismatches(EVERY, integers(EVERY), run_c(EVERY, tmp_path, "-O0"))
