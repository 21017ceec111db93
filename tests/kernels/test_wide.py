# SPDX-License-Identifier: Apache-2.0
"""me_add_s16: sums of 8 and 16 bits against the operator's integer meaning."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from myoedge.graph.ir import Node, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import QuantizedNode, QuantizeInputs
from myoedge.operators.elementwise.definition import ADD
from myoedge.operators.interpreter import integer_step
from tests.kernels.drawn import RUNS, Case, blob, check

LIMITS = ((-128, 127), (-100, 127), (-3, 60))  # of results of 8 bits
SAME = ((True, False), (False, True))
WIDTHS = [w for w in itertools.product((False, True), repeat=3) if any(w)]
SIZES = ((1, 4096), (1, 1), (1, 7), (1, 8), (1, 333), (5, 33), (40, 8), (3, 1))  # rows of so many


def params(rng: np.random.Generator, *, wide: bool) -> QuantParams:
    if wide:
        return QuantParams(float(2.0 ** rng.uniform(-13, -11)), 0, INT16)
    return QuantParams(float(2.0 ** rng.uniform(-6, -4)), int(rng.integers(-128, 128)))


def draw(rng: np.random.Generator, n: int, kind: str) -> Array:
    """Uniform, a tenth of them at the ends."""
    ends = np.iinfo(kind)
    x = rng.integers(ends.min, ends.max + 1, n)
    return np.where(rng.random(n) < 0.1, rng.choice([ends.min, ends.max], n), x).astype(kind)


def step_of(rng: np.random.Generator, shape: Shape, widths: tuple[bool, ...]) -> QuantizedNode:
    a, b, y = (params(rng, wide=wide) for wide in widths)
    inputs = QuantizeInputs({}, (shape, shape), shape, (a, b), y, (None, None))
    node = Node("add", ("a", "b"), ("y",))
    limits = (y.low, y.high) if widths[2] else LIMITS[shape[-1] % len(LIMITS)]
    shapes, integers = (shape, shape), ADD.constants.quantize(inputs)
    types = (a.element_type, b.element_type)
    result = (*limits, y.element_type)
    return QuantizedNode(node, ("a", "b"), shapes, shape, integers, *result, operand_types=types)


def case_of(
    rng: np.random.Generator,
    shape: Shape,
    widths: tuple[bool, ...],
    same: tuple[bool, bool],
    nine_cores: bool = False,
) -> Case:
    """same: of which operand all rows are the same one."""
    step, (rows, n) = step_of(rng, shape, widths), shape
    sizes = [(1 if one else rows) * n for one in same]
    kinds = ["int16" if wide else "int8" for wide in widths[:2]]
    x = [draw(rng, size, kind) for size, kind in zip(sizes, kinds, strict=True)]
    data = blob(*x)
    fields = ("a_mult", "b_mult", "offset", "shift")
    steps = (0 if one else n for one in same)
    limits = (step.low, step.high)
    numbers = (
        *step.wide_flags("a", "b", "y").values(),
        *step.integers.named(fields).values(),
        *limits,
        *data.starts,
        n,
        rows,
        *steps,
        int(nine_cores),
    )
    expected = integer_step(step, [np.broadcast_to(v.reshape(-1, n), shape) for v in x])
    assert expected.dtype == (np.int16 if widths[2] else np.int8)
    name = f"{shape} {widths} {same}"
    return Case(name, numbers, data.data, expected.ravel().view(np.int8))


@pytest.mark.parametrize("run", RUNS)
def test_sums_are_those_of_the_operator(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(53)
    cases = [case_of(rng, shape, w, (False, False)) for w in WIDTHS for shape in SIZES]
    cases += [case_of(rng, (9, 12), w, same, True) for w in WIDTHS for same in SAME]
    check(cases, run("wide", ("me_add_s16",), cases, tmp_path))


@pytest.mark.parametrize("widths", WIDTHS)
def test_sums_are_off_by_rounding_alone(widths: tuple[bool, ...]) -> None:
    """By less than 0.6 steps of 8 bits, or 2 of 16: the factors have 15 bits."""
    rng = np.random.default_rng(59)
    for _ in range(20):
        a, b, y = kinds = [params(rng, wide=wide) for wide in widths]
        inputs = QuantizeInputs({}, ((999,), (999,)), (999,), (a, b), y, (None, None))
        node = Node("add", ("a", "b"), ("y",))
        shapes = ((999,), (999,))
        result = (ADD.constants.quantize(inputs), y.low, y.high, y.element_type)
        step = QuantizedNode(node, ("a", "b"), shapes, (999,), *result)
        x = [draw(rng, 999, str(kind.element_type)) for kind in kinds[:2]]
        pairs = zip(x, kinds[:2], strict=True)
        real = sum((v.astype(np.float64) - k.zero_point) * k.scale for v, k in pairs)
        wanted = np.clip(real / y.scale + y.zero_point, y.low, y.high)
        off = np.abs(integer_step(step, x) - wanted).max()
        assert off < (2.0 if widths[2] else 0.6)


@pytest.mark.parametrize("exponent", [12, 15, 17, 19])
def test_terms_far_beyond_the_range_of_16_bits_cancel(exponent: int) -> None:
    """A step of the second term is 2**exponent steps of the result, of the first 400: what is left
    of both is exact to a thousandth, and saturates where it should."""
    y = QuantParams(2.0**-20, 0, INT16)
    a, b = QuantParams(400 * y.scale, -51), QuantParams(2.0**exponent * y.scale, -3)
    inputs = QuantizeInputs({}, ((256,), (256,)), (256,), (a, b), y, (None, None))
    x = [np.arange(-128, 128), np.resize([-3, -4, -2], 256)]
    step = QuantizedNode(
        Node("add", ("a", "b"), ("y",)), ("a", "b"), ((256,), (256,)), (256,),
        ADD.constants.quantize(inputs), y.low, y.high, INT16,
    )  # fmt: skip
    found = integer_step(step, [v.astype(np.int8) for v in x])
    terms = 400.0 * (x[0] + 51), 2.0**exponent * (x[1] + 3)
    wanted = np.clip(sum(terms), y.low, y.high)
    assert np.abs(found - wanted).max() <= 1 + 2e-3 * np.abs(terms[0]).max()
