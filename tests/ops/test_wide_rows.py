# SPDX-License-Identifier: Apache-2.0
"""Convolutions of 16 bits, whose windows lie side by side: patches of a row, or single pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from myoedge.graph.ir import Attrs, Node, Shape
from myoedge.numerics.element_type import INT16
from myoedge.operators.cases import weight_slack
from myoedge.operators.conv import CONV_IN_TORCH, windows_are_contiguous
from myoedge.operators.kernel_formats import may_write
from tests.ops.case import Case
from tests.ops.harness import mismatches, run_c
from tests.ops.test_ops import check_meaning, check_what_the_compiler_is_told, integers
from tests.ops.test_tiles import differences

# input [N, H, W, C], channels of the result, taps of a patch
SHAPES = (
    ((1, 8, 40, 1), 24, 20),
    ((1, 3, 21, 1), 5, 7),
    ((2, 4, 5, 8), 12, 1),
    ((1, 2, 3, 3), 2, 1),
    ((1, 1, 12, 2), 9, 3),
)


def case_of(shape: tuple[int, ...], channels: int, taps: int, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.2, (channels, 1, taps, shape[-1]))
    none = ((0, 0), (0, 0))
    attrs = {"stride": (1, taps), "dilation": (1, 1), "pads": none, "groups": 1}
    given = (weights, rng.normal(size=channels))
    pattern = ("uniform", "edges", "narrow")[seed % 3]
    return Case(
        "conv", attrs, (shape,), CONV_IN_TORCH, ((-1.0, 0.7),), given,
        seed=7 * seed + 1, pattern=pattern, slack=weight_slack,
    )  # fmt: skip


CASES = tuple(case_of(*shape, seed) for seed, shape in enumerate(SHAPES))


@pytest.mark.parametrize("case", CASES)
def test_results_of_16_bits_mean_what_torch_says(case: Case) -> None:
    assert case.params("y").element_type.bits == 16
    check_meaning(case)
    check_what_the_compiler_is_told(case)


def test_c_as_a_whole_and_in_tiles_equals_numpy(tmp_path: Path) -> None:
    assert not mismatches(CASES, integers(CASES), run_c(CASES, tmp_path, "-O0"))
    assert not differences([CASES], tmp_path)


def test_windows_that_overlap_or_reach_over_an_edge_have_weights_of_16_bits() -> None:
    def able(attrs: Attrs, shapes: list[Shape], out: Shape) -> bool:
        return may_write(Node("conv", ("x", "w"), ("y",), attrs), INT16, shapes, out)

    attrs = {"stride": (1, 2), "dilation": (1, 1), "pads": ((0, 0), (0, 0)), "groups": 1}
    assert windows_are_contiguous(attrs, [(1, 4, 8, 3), (5, 1, 2, 3)], (1, 4, 4, 5))
    for other in ({"stride": (1, 1)}, {"pads": ((0, 0), (0, 1))}):
        assert able({**attrs, **other}, [(1, 4, 8, 3), (5, 1, 2, 3)], (1, 4, 4, 5))
        assert not windows_are_contiguous(
            {**attrs, **other}, [(1, 4, 8, 3), (5, 1, 2, 3)], (1, 4, 4, 5)
        )
    assert able({**attrs, "groups": 3}, [(1, 4, 8, 3), (6, 1, 2, 1)], (1, 4, 4, 6))
    assert not able(attrs, [(1, 4, 8, 2**14), (5, 1, 2, 2**14)], (1, 4, 4, 5))
    assert not windows_are_contiguous(attrs, [(1, 4, 9, 3), (5, 1, 2, 3)], (1, 4, 4, 5))
    kinds = [(str(case.step.integers.weight.dtype), bool(case.wide)) for case in CASES]
    assert {*kinds} == {("int8", False), ("int16", True)}
