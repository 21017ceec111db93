# SPDX-License-Identifier: Apache-2.0
"""me_linear_s16: int16 rows, or int16 results, with weights of few bits against the operator's
integer meaning."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from myoedge.graph.ir import Node
from myoedge.numerics.requant import choose_requant
from myoedge.operators.base import QuantizedNode
from myoedge.operators.interpreter import integer_step
from myoedge.operators.library.packing import WeightedParams
from myoedge.operators.library.split_rows import split_rows
from myoedge.plan.l1.layer_kernels import candidates
from myoedge.targets import find_chip
from tests.kernels.drawn import RUNS, Case, blob, check
from tests.kernels.test_wide import draw, params
from tests.kernels.test_wide_conv import LIMITS, WIDTHS

# rows, values of a row, results of a row: single channels, blocks, pairs of rows and an odd one
SIZES = (
    (1, 512, 64),
    (1, 1, 1),
    (1, 7, 16),
    (1, 84, 17),
    (1, 33, 150),
    (2, 6, 3),
    (3, 130, 9),
    (8, 64, 20),
    (13, 5, 33),
)
BITS = (8, 5, 2)
CORES = find_chip("gap9").cores_alone()


def step_of(
    rng: np.random.Generator, size: tuple[int, int, int], wide: tuple[bool, bool], bits: int
) -> QuantizedNode:
    rows, c, k = size
    x, y = (params(rng, wide=one) for one in wide)
    half = 1 << (bits - 1)
    weight = rng.integers(-half, half, (k, c)).astype(np.int16)
    weight[0, 0] = -half
    bias = rng.integers(-(2**20), 2**20, k)
    bound = np.abs(bias) - x.low * np.abs(weight.astype(np.int64)).sum(axis=1)
    r = choose_requant(4.0 * y.high / bound, bound, y.zero_point, y.element_type)
    table = rng.permutation(256).astype(np.uint8).view(np.int8)
    integers = WeightedParams(
        x_zero=x.zero_point,
        weight=weight,
        bias=bias.astype(np.int32),
        pre=r.pre,
        mult=r.mult,
        offset=r.offset,
        shift=r.shift,
        table=table if k % 4 == 0 and not wide[1] else None,
    )
    node, limits = Node("linear", ("x", "w", "b"), ("y",)), LIMITS[str(y.element_type)]
    result = (*limits[rows % len(limits)], y.element_type)
    return QuantizedNode(
        node, ("x",), ((rows, c),), (rows, k), integers, *result, operand_types=(x.element_type,)
    )


def case_of(
    rng: np.random.Generator, size: tuple[int, int, int], wide: tuple[bool, bool], bits: int
) -> Case:
    step, (rows, c, k) = step_of(rng, size, wide, bits), size
    assert step.weight_bits == bits
    (kernel, *_), arrays = candidates(step, CORES), split_rows(step, CORES.engines[0]).arrays
    assert kernel.function == "me_linear_s16"
    assert (kernel.packing is not None) == (bits < 5)
    x = draw(rng, rows * c, "int16" if wide[0] else "int8").reshape(rows, c)
    tables = () if step.table is None else (step.table,)
    data = blob(x, arrays["weights"], arrays["channels"].astype(np.int32), *tables)
    starts = (*data.starts, -1)
    scale = (step.integers.pre, step.low, step.high)
    numbers = (c, *map(int, wide), *scale, starts[3], *starts[:3], rows, k)
    expected = integer_step(step, [x])
    return Case(f"{size} {wide} {bits}", numbers, data.data, expected.ravel().view(np.int8))


@pytest.mark.parametrize("run", RUNS)
def test_results_are_those_of_the_operator(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(41)
    cases = [case_of(rng, *one) for one in itertools.product(SIZES, WIDTHS, BITS)]
    check(cases, run("split_rows", ("me_linear_s16",), cases, tmp_path))
