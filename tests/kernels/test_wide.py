# SPDX-License-Identifier: Apache-2.0
"""me_wide_sum: sums of 8 and 16 bits against the operator's integer meaning."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from myoedge.fixedpoint import QParams
from myoedge.ir import Array, Node
from myoedge.op import Site, Step
from myoedge.ops.elementwise import ADD
from myoedge.reference import integer_step
from tests.kernels.drawn import RUNS, Case, blob, check

WIDTHS = [w for w in itertools.product((False, True), repeat=3) if any(w)]
SIZES = (4096, 1, 7, 8, 333)


def params(rng: np.random.Generator, *, wide: bool) -> QParams:
    if wide:
        return QParams(float(2.0 ** rng.uniform(-13, -11)), 0, "int16")
    return QParams(float(2.0 ** rng.uniform(-6, -4)), int(rng.integers(-128, 128)))


def draw(rng: np.random.Generator, n: int, kind: str) -> Array:
    """Uniform, a tenth of them at the ends."""
    ends = np.iinfo(kind)
    x = rng.integers(ends.min, ends.max + 1, n)
    return np.where(rng.random(n) < 0.1, rng.choice([ends.min, ends.max], n), x).astype(kind)


def step_of(rng: np.random.Generator, n: int, widths: tuple[bool, ...]) -> Step:
    a, b, y = (params(rng, wide=wide) for wide in widths)
    site = Site({}, ((n,), (n,)), (n,), (a, b), y, (None, None))
    node = Node("add", ("a", "b"), ("y",))
    return Step(node, ("a", "b"), ((n,), (n,)), (n,), ADD.quantize(site), y.low, y.high)


def case_of(rng: np.random.Generator, n: int, widths: tuple[bool, ...]) -> Case:
    step = step_of(rng, n, widths)
    x = [draw(rng, n, "int16" if wide else "int8") for wide in widths[:2]]
    data = blob(*x)
    fields = ("a_wide", "b_wide", "y_wide", "a_mult", "b_mult", "offset", "shift")
    numbers = (*(step[name] for name in fields), *data.starts, n)
    expected = integer_step(step, x)
    assert expected.dtype == (np.int16 if widths[2] else np.int8)
    return Case(f"{n} {widths}", numbers, data.data, expected.view(np.int8))


@pytest.mark.parametrize("run", RUNS)
def test_sums_are_those_of_the_operator(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(53)
    cases = [case_of(rng, n, widths) for widths in WIDTHS for n in SIZES]
    check(cases, run("wide", ("elementwise",), cases, tmp_path))


@pytest.mark.parametrize("widths", WIDTHS)
def test_sums_are_off_by_rounding_alone(widths: tuple[bool, ...]) -> None:
    """By less than 0.6 steps of 8 bits, or 2 of 16: the factors have 15 bits."""
    rng = np.random.default_rng(59)
    for _ in range(20):
        a, b, y = kinds = [params(rng, wide=wide) for wide in widths]
        site = Site({}, ((999,), (999,)), (999,), (a, b), y, (None, None))
        node = Node("add", ("a", "b"), ("y",))
        shapes = ((999,), (999,))
        step = Step(node, ("a", "b"), shapes, (999,), ADD.quantize(site), y.low, y.high)
        x = [draw(rng, 999, kind.dtype) for kind in kinds[:2]]
        pairs = zip(x, kinds[:2], strict=True)
        real = sum((v.astype(np.float64) - k.zero_point) * k.scale for v, k in pairs)
        wanted = np.clip(real / y.scale + y.zero_point, y.low, y.high)
        off = np.abs(integer_step(step, x) - wanted).max()
        assert off < (2.0 if widths[2] else 0.6)
