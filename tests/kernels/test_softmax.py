# SPDX-License-Identifier: Apache-2.0
"""Softmax and log-softmax: rows against the operators' integer meaning."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import outer_inner
from myoedge.operators.interpreter import integer_step
from tests.kernels.drawn import RUNS, Case, blob, check
from tests.kernels.test_elementwise import draw_bytes, plain, step_of

KERNELS = ("me_softmax_s8", "me_log_softmax_s8", "me_masked_softmax_s8")
OPERATORS = ("softmax", "log_softmax", "masked softmax")
SHAPES: tuple[tuple[Shape, int], ...] = (
    ((64, 64), 1), ((8, 400), 1), ((1, 10), 1), ((1, 1), 1), ((13, 7), 1), ((5, 9, 3), 1),
    ((40, 6), 0), ((2, 3, 257), 2), ((1, 5000), 1),
)  # fmt: skip


def case_of(rng: np.random.Generator, op: str, shape: Shape, axis: int) -> Case:
    masked, flat = op == "masked softmax", bool(rng.random() < 0.5)
    alike = int(rng.integers(0, axis + 1))
    shapes = (shape, (*[1] * alike, *shape[alike:])) if masked else (shape,)
    attrs = {"masked": True, "flat": flat} if masked else {"keepdim": False}
    step = plain(step_of(rng, op.split()[-1], shapes, axis=axis, **attrs))
    x, mask = draw_bytes(rng, shape), draw_bytes(rng, shapes[-1])
    if rng.random() < 0.4:
        x = rng.integers(-3, 3, shape).astype(np.int8)  # many equal ones, large sums
    arrays = step.integers.arrays
    nothing = np.zeros(1, np.int16)
    exp, log = (arrays.get(n, nothing) for n in ("exp", "log"))
    data = blob(x, exp.astype(np.uint16), log.astype(np.int16), mask)
    names = ("ln2", "mult", "log_mult", "offset", "shift")
    scalars = [getattr(step.integers, n, None) or 0 for n in names]
    numbers = (
        OPERATORS.index(op),
        *outer_inner(shape, axis),
        *data.starts[:3],
        *scalars,
        step.low,
        step.high,
        data.starts[3],
        math.prod(shapes[-1][:axis]),
        int(flat),
    )
    y = integer_step(step, [x, mask] if masked else [x])
    return Case(f"{op} {shape} {axis}", numbers, data.data, np.ascontiguousarray(y))


def every_case() -> list[Case]:
    rng = np.random.default_rng(41)
    return [case_of(rng, op, *shape) for op in OPERATORS for shape in SHAPES for _ in "abc"]


@pytest.mark.parametrize("run", RUNS)
def test_rows_are_those_of_the_operators(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cases = every_case()
    check(cases, run("softmax", KERNELS, cases, tmp_path))
