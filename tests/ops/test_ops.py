# SPDX-License-Identifier: Apache-2.0
"""Every operator: C equals NumPy bit for bit, and both mean what torch says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from myoedge.numerics.arrays import Array
from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import integer_step, real_node
from tests.ops.case import Case, activated
from tests.ops.harness import USES, drawn, mismatches, run_c

COUNT = 12
SLOW_BATCHES, SLOW_COUNT = 20, 250  # 5,000 cases an operator
ROUNDING = 0.75  # output steps: half of one, and what the fixed-point factors lose
EVERY = sorted(OPS)
COMPILED = [name for name in EVERY if not OPS[name].view]


@pytest.mark.parametrize("op", EVERY)
def test_an_operator_is_complete(op: str) -> None:
    """One that is added without cases, documentation or C fails here."""
    assert op in USES
    assert OPS[op].doc
    assert OPS[op].view != bool(OPS[op].kernels)


def test_no_use_is_left_over() -> None:
    assert {*USES} == set(OPS)


def integers(cases: tuple[Case, ...]) -> list[Array]:
    results = [integer_step(case.step, case.data) for case in cases]
    for case, y in zip(cases, results, strict=True):
        assert y.shape == case.step.out, case
        assert str(y.dtype) == case.quant.dtype("y"), case
    return results


def compare(folder: Path, op: str, count: int, number: int, optimize: str) -> None:
    cases = drawn(op, count, number)
    assert len(cases) == count
    got = run_c(cases, folder, optimize)
    differs = mismatches(cases, integers(cases), got)
    assert not differs, f"{op}, batch {number}: {differs}"


@pytest.mark.parametrize("op", COMPILED)
def test_c_equals_numpy(op: str, tmp_path: Path) -> None:
    """Not optimised: compiles eight times faster; what optimising might change, UBSan finds."""
    compare(tmp_path, op, COUNT, 0, "-O0")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, SLOW_BATCHES + 1))
@pytest.mark.parametrize("op", COMPILED)
def test_c_equals_numpy_at_length(op: str, number: int, tmp_path: Path) -> None:
    compare(tmp_path, op, SLOW_COUNT, number, "-O2" if number % 2 else "-O0")


# ---- the meaning, by torch


def steps_from(expected: Array, q: QuantParams) -> Array:
    """A real number as a fraction of integer steps, saturated."""
    finite = np.clip(np.nan_to_num(expected, nan=0.0, posinf=1e30, neginf=-1e30), -1e30, 1e30)
    return np.clip(finite / q.scale + q.zero_point, q.low, q.high)


def check_meaning(case: Case) -> None:
    """Within 3/4 of a step, and what the case allows, of the meaning of dequantised inputs."""
    y = integer_step(case.step, case.data).astype(np.float64)
    op = OPS[case.op]
    if op.out_dtype == "int32" or (op.same_scale and case.op != "pad"):
        np.testing.assert_array_equal(y, case.real(case.data).numpy())
        return
    before = case.real(case.dequantized) / case.unit(case)
    slack = ROUNDING + np.asarray(case.slack(case)) + finer(case)
    if not case.has_table:
        wanted = steps_from(activated(case.act, before).numpy(), case.params("y"))
        low, high = wanted - slack, wanted + slack
    else:
        low, high = through_table(case, before, slack)
    outside = (y < low) | (y > high)
    assert not outside.any(), (case, y[outside][:5], low[outside][:5], high[outside][:5], slack)


def finer(case: Case) -> float:
    """What 16 bits leave of the error of factors: the root of the range in steps, as int32 is
    shared by the range and the multiplier (docs/integer-semantics.md, "What it costs")."""
    numbers = {**case.step.integers.scalars, **case.step.integers.arrays}
    if case.params("y").element_type.bits == 8 or not {"mult", "pre"}.issubset(numbers):
        return 0.0
    factors = np.asarray(numbers["mult"]) / 2.0 ** (np.asarray(numbers["shift"]) + numbers["pre"])
    return math.sqrt(OPS[case.op].acc_bound(case.step) * float(factors.max())) / 256


def through_table(case: Case, before: torch.Tensor, slack: Array) -> tuple[Array, Array]:
    """The least and the largest value of the activation within reach of the requantised value."""
    pre, post = case.target, case.params("y")
    at = steps_from(before.numpy(), pre)
    low, high = np.clip(at - slack, -128, 127), np.clip(at + slack, -128, 127)
    points = 17 + 2 * int(np.max(high - low, initial=0.0))  # not every function is monotone
    near = [low + f * (high - low) for f in np.linspace(0.0, 1.0, points)]
    reals = [torch.as_tensor((n - pre.zero_point) * pre.scale) for n in near]
    steps = np.stack([steps_from(activated(case.act, r).numpy(), post) for r in reals])
    return steps.min(axis=0) - 1.0, steps.max(axis=0) + 1.0


@pytest.mark.parametrize("op", EVERY)
def test_an_operator_follows_torch(op: str) -> None:
    """An independent oracle: a wrong meaning that C and NumPy share shows here."""
    follow(drawn(op, COUNT))


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("op", EVERY)
def test_an_operator_follows_torch_at_length(op: str, number: int) -> None:
    follow(drawn(op, SLOW_COUNT, number))


def follow(cases: tuple[Case, ...]) -> None:
    for case in cases:
        check_meaning(case)
        check_floats(case)
        check_what_the_compiler_is_told(case)


def check_floats(case: Case) -> None:
    """`real`, which calibrates and measures, in float32 against torch in float64."""
    inputs = case.data if case.dtype == "int32" else case.dequantized
    kind = np.int32 if case.dtype == "int32" else np.float32
    xs = [np.asarray(x, kind) for x in (*inputs, *case.weights)]
    _, after = real_node(case.step.node, xs)
    wanted = activated(case.act, case.real(xs[: len(case.shapes)])).numpy()
    assert after.shape == case.step.out, case
    largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=1e-30)
    sizes = map(np.abs, xs)
    reach = max(largest, *(float(size.max(initial=0.0)) for size in sizes))
    np.testing.assert_allclose(after, wanted, rtol=1e-4, atol=2e-5 * reach, err_msg=str(case))


def check_what_the_compiler_is_told(case: Case) -> None:
    """No intermediate leaves int32, and the loops cover the output."""
    op, step = OPS[case.op], case.step
    assert 0 <= op.acc_bound(step) <= INT32_MAX
    shapes = (*case.shapes, *(w.shape for w in case.weights))
    nest = op.nest(step.attrs, shapes, step.out)
    assert np.prod(nest.footprint("y")) == np.prod(step.out), case
