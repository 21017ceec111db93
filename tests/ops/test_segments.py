# SPDX-License-Identifier: Apache-2.0
"""Functions of 16 bits that jump: generated C against the operator's integer meaning, and that
against the function."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from myoedge.numerics.element_type import INT8, INT16, ElementType
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.elementwise.segments import SEGMENTS_MAX
from myoedge.operators.interpreter import integer_step
from tests.ops.test_points import Layer, check, step_of

EVERY = np.arange(-32768, 32768).astype(np.int16)
CHAINS = (
    (("ge", 0.3),),
    (("floor",),),
    (("hardshrink", 0.5),),
    (("affine", 900.0, 0.0), ("frac",)),
)


def case_of(rng: np.random.Generator, n: int, chain: tuple[tuple[str]], y: ElementType) -> Layer:
    """Numbers everywhere, and those at which segments start and end."""
    zero = int(rng.integers(y.low, y.high + 1))
    step = step_of(chain, QuantParams(2.0**-12, 0, INT16), QuantParams(8.0 / y.high, zero, y), n)
    starts = (step.integers.segments[:, 1] << 16) >> 16
    near = np.clip(rng.choice(starts, n) - rng.integers(0, 2, n), -32768, 32767)
    values = np.where(rng.random(n) < 0.5, near, rng.choice(EVERY, n)).astype(np.int16)
    return Layer(step, (values,))


def test_functions_are_those_of_the_operator(tmp_path: Path) -> None:
    rng = np.random.default_rng(62)
    sizes = ((INT8, 1), (INT8, 33), (INT16, 7), (INT16, 400))
    check([case_of(rng, n, chain, y) for chain in CHAINS for y, n in sizes], tmp_path)


# ---- precision, against the functions of math, at every number

BY_MATH: dict[str, tuple[tuple[tuple[object, ...], ...], float, Callable[[float], float]]] = {
    "compared": ((("ge", 0.3),), 2.0, lambda x: float(x >= 0.3)),
    "whole": ((("floor",),), 400.0, math.floor),
    "part": ((("frac",),), 300.0, lambda x: math.fmod(x, 1.0)),
    "shrunk": ((("hardshrink", 0.5),), 4.0, lambda x: x if abs(x) > 0.5 else 0.0),
}


@pytest.mark.parametrize("kind", [INT8, INT16])
@pytest.mark.parametrize("name", sorted(BY_MATH))
def test_results_are_off_by_a_step_at_most(name: str, kind: ElementType) -> None:
    """Of 8 bits by half a step and an eighth."""
    chain, reach, function = BY_MATH[name]
    x = QuantParams(reach / 32768, 0, INT16)
    wanted = np.array([function(v * x.scale) for v in EVERY.tolist()])
    y = QuantParams(float(np.abs(wanted).max()) / kind.high, 0, kind)
    step = step_of(chain, x, y, len(EVERY))  # type: ignore[arg-type]
    error = np.abs(integer_step(step, [EVERY]) - np.clip(wanted / y.scale, kind.low, kind.high))
    assert error.max() <= (0.6251 if kind == INT8 else 1.0001)


def test_jumps_beyond_number_are_as_close_as_they_can() -> None:
    """30,000 steps of one: the line through them; a saw of as many teeth: 64 numbers alike."""
    x, y = QuantParams(30000 / 32768, 0, INT16), QuantParams(1.0, 0, INT16)
    found = integer_step(step_of((("floor",),), x, y, len(EVERY)), [EVERY])
    assert np.abs(found - np.floor(EVERY * x.scale)).max() <= 1.5
    chain = (("affine", 0.37, 0.0), ("frac",))
    step = step_of(chain, QuantParams(1.0, 0, INT16), QuantParams(2.0**-15, 0, INT16), len(EVERY))  # type: ignore[arg-type]
    assert len(step.integers.segments) == SEGMENTS_MAX
    assert len(np.unique(integer_step(step, [EVERY]).reshape(-1, 64).T, axis=0)) == 1
