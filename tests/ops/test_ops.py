# SPDX-License-Identifier: Apache-2.0
"""Every operator: C equals NumPy bit for bit, and both mean what torch says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from myoedge.numerics.arrays import Array
from myoedge.numerics.requant import INT32_MAX
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.batches import Batch, batched_step
from myoedge.operators.interpreter import integer_step, real_node
from myoedge.operators.queries import params_of
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.quantization.drawn_case import allowed, is_exact
from tests.ops.case import Case, activated
from tests.ops.harness import USES, batches, drawn, mismatches, run_c
from tests.support.each import each

COUNT = 12
SLOW_BATCHES, SLOW_COUNT = 20, 250  # 5,000 cases an operator
EVERY = sorted(OPS)
COMPILED = [name for name in EVERY if not OPS[name].view]


@each("op", EVERY)
def test_an_operator_is_complete(op: str) -> None:
    """One that is added without cases, documentation or C fails here."""
    assert op in USES
    assert OPS[op].doc
    assert OPS[op].view != bool(OPS[op].kernels)
    for case in drawn(op, COUNT):
        numbers = case.step.integers
        again = params_of(op, {**numbers.scalars, **numbers.arrays})
        assert type(again) is type(numbers)
        assert (again.scalars, again.arrays.keys()) == (numbers.scalars, numbers.arrays.keys())


def test_no_use_is_left_over() -> None:
    assert {*USES} == set(OPS)


def integers(cases: tuple[Case, ...]) -> list[Array]:
    results = [integer_step(case.step, case.data) for case in cases]
    for case, y in zip(cases, results, strict=True):
        assert y.shape == case.step.out, case
        assert str(y.dtype) == case.quant.dtype("y"), case
    return results


def compare(folder: Path, ops: Sequence[str], count: int, number: int, optimize: str) -> None:
    """Cases of several operators, in one C program."""
    cases = tuple(case for op in ops for case in drawn(op, count, number))
    assert len(cases) == count * len(ops)
    got = run_c(cases, folder, optimize)
    differs = mismatches(cases, integers(cases), got)
    assert not differs, f"batch {number}: {differs}"


@pytest.mark.parametrize("ops", batches(COMPILED), ids=lambda ops: f"{ops[0]} to {ops[-1]}")
def test_c_equals_numpy(ops: list[str], tmp_path: Path) -> None:
    """Not optimised: compiles eight times faster; what optimising might change, UBSan finds."""
    compare(tmp_path, ops, COUNT, 0, "-O0")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, SLOW_BATCHES + 1))
@pytest.mark.parametrize("op", COMPILED)
def test_c_equals_numpy_at_length(op: str, number: int, tmp_path: Path) -> None:
    compare(tmp_path, [op], SLOW_COUNT, number, "-O2" if number % 2 else "-O0")


# ---- several samples in one call

BATCHED = {
    *("add", "concat", "conv", "linear", "mul", "reshape", "slice", "table"),
    *("gru", "lstm", "rnn_relu", "rnn_tanh"),  # with one sequence per sample
}


@pytest.mark.parametrize("op", EVERY)
def test_a_batch_is_its_samples(op: str) -> None:
    """Where streaming rules allow one call for all samples, it computes what a call each does."""
    rng, cases = np.random.default_rng(0), drawn(op, COUNT)
    together = 0
    for case, states in product(cases, {(), OPS[op].operands.first_states}):
        weights = case.quant.graph.constants.keys() - {*case.step.operands}
        known = frozenset(case.step.operands[at] for at in states)  # the same for all samples
        batch = Batch(3, {}, frozenset(weights) | known)
        step, batched = batched_step(case.quant.graph, case.step, batch)
        samples = [[rng.permuted(x.reshape(-1)).reshape(x.shape) for x in case.data]]
        samples += [[np.roll(x, turn) for x in case.data] for turn in range(2)]
        for sample, at in product(samples, states):
            sample[at] = samples[0][at]
        wanted = np.stack([integer_step(case.step, sample) for sample in samples])
        operands = [np.stack(values) for values in zip(*samples, strict=True)]
        operands = [x[0] if at in states else x for at, x in enumerate(operands)]
        (found,) = batched.run(partial(one_result, step), operands)
        np.testing.assert_array_equal(found, wanted, err_msg=str(case))
        together += batched.frames is not None
    assert together or op not in BATCHED


def one_result(step: QuantizedNode, operands: Sequence[Array]) -> list[Array]:
    return [integer_step(step, operands)]


# ---- frames one by one


def by_frame(case: Case, axis: int) -> StreamingRule | None:
    """The rule along an axis of all operands, if it tells that frames do not depend on others."""
    step, weights = case.step, [x.shape for x in case.weights]
    extents = {shape[axis] if len(shape) > axis else 0 for shape in step.shapes}
    if len(extents) > 1 or len({*map(len, step.shapes)}) > 1:
        return None
    sites = (
        OperandAxis(step.attrs, (*step.shapes, *weights), at, axis) for at in range(len(case.data))
    )
    rules = [OPS[case.op].streaming_rule(site) for site in sites]
    if any(rule is None or not rule.is_by_frame or rule.before for rule in rules):
        return None
    assert len({rule.axis for rule in rules if rule}) == 1
    return rules[0]


@each("op", EVERY)
def test_a_frame_that_is_computed_alone_is_the_same(op: str) -> None:
    """Along each axis of which the streaming rule says so."""
    for case in drawn(op, COUNT):
        step, y = case.step, integer_step(case.step, case.data)
        for axis in range(len(step.shapes[0])):
            if (rule := by_frame(case, axis)) is None:
                continue
            at = step.shapes[0][axis] - 1
            data = [np.ascontiguousarray(x.take([at], axis)) for x in case.data]
            wanted = y.take([at], rule.axis)
            node = step.node.but(attrs=rule.resized(1)) if rule.resized else step.node
            one = replace(step, node=node, shapes=tuple(x.shape for x in data), out=wanted.shape)
            found = integer_step(one, data)
            np.testing.assert_array_equal(found, wanted, f"axis {axis} of {case}")


# ---- axes in another order


@pytest.mark.parametrize("op", [name for name in EVERY if OPS[name].permute_rule is not None])
def test_a_transpose_goes_through(op: str) -> None:
    """With the attributes that its rule gives, an operator of x transposed is that of x."""
    turned, rule = 0, OPS[op].permute_rule
    assert rule is not None
    for step, data in ((case.step, case.data) for case in drawn(op, COUNT)):
        axes = tuple(range(len(step.out)))
        # all in another place, or all but the last or the first one, as many rules need
        perms = {axes[::-1], axes[-2::-1] + axes[-1:], axes[:1] + axes[:0:-1]}
        for perm in perms - {axes}:
            attrs = rule(step.attrs, perm)
            if attrs is None or any(len(shape) != len(axes) for shape in step.shapes):
                continue
            back = np.argsort(perm)
            shapes = tuple(tuple(shape[i] for i in back) for shape in (*step.shapes, step.out))
            node = step.node.but(attrs=attrs)
            other = replace(step, node=node, shapes=shapes[:-1], out=shapes[-1])
            y = integer_step(other, [np.ascontiguousarray(x.transpose(back)) for x in data])
            np.testing.assert_array_equal(y.transpose(perm), integer_step(step, data), str(step))
            turned += 1
    assert turned


# ---- the meaning, by torch


def check_meaning(case: Case) -> None:
    """Within 3/4 of a step, and what the case allows, of the meaning of dequantised inputs."""
    y = integer_step(case.step, case.data).astype(np.float64)
    low, high = allowed(case)
    if is_exact(case):
        np.testing.assert_array_equal(y, low)
        return
    outside = (y < low) | (y > high)
    assert not outside.any(), (case, y[outside][:5], low[outside][:5], high[outside][:5])


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
    """No intermediate leaves int32."""
    assert 0 <= case.step.bound <= INT32_MAX
