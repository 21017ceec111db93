# SPDX-License-Identifier: Apache-2.0
"""Recurrent kernels: gates, LSTM and GRU against the operators' integer meaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import QuantizedNode
from myoedge.operators.interpreter import integer_step
from myoedge.plan.l1.layer_kernels import candidates
from myoedge.targets import find_chip
from tests.kernels.drawn import RUNS, Case, blob, check
from tests.kernels.test_elementwise import draw_bytes, plain, step_of

STEPPED = ("lstm", "gru")
KERNELS = ("me_linear_s8_s16",)
ROWS = (
    (1, 4, 4),
    (4, 4, 4),
    (9, 8, 16),
    (5, 3, 7),
    (8, 17, 12),
    (3, 64, 5),
    (7, 1, 1),
    (12, 40, 33),
)
STEPS = ((1, 1, 1), (5, 1, 4), (7, 1, 8), (3, 2, 5), (4, 1, 30), (2, 3, 9), (6, 1, 64))


def gates_case(rng: np.random.Generator, rows: int, c: int, k: int) -> Case:
    w, b = rng.normal(size=(k, c)) / c, rng.normal(size=k)
    step = plain(step_of(rng, "gates", ((rows, c), w.shape, b.shape), (w, b)))
    step = _wide(step)
    x, (kernel,) = draw_bytes(rng, (rows, c)), candidates(step, find_chip("gap9").cores_alone())
    arrays = kernel.arrays
    data = blob(x, arrays["weights"], arrays["channels"].astype(np.int32))
    y = np.ascontiguousarray(integer_step(step, [x])).view(np.int8)
    numbers = (0, c, step.integers.pre, rows, k, *data.starts)
    return Case(f"gates {rows} {c} {k}", numbers, data.data, y)


def _wide(step: QuantizedNode) -> QuantizedNode:
    return replace(step, low=INT16.low, high=INT16.high, element_type=INT16)


def steps_case(rng: np.random.Generator, op: str, steps: int, batch: int, units: int) -> Case:
    """Steps of an LSTM or GRU of int8."""
    per_unit, states = (3, 1) if op == "gru" else (4, 2)
    size = float(rng.choice([0.3, 3.0]))
    r = rng.normal(size=(per_unit * units, units)) * size / np.sqrt(units)
    b = (rng.normal(size=per_unit * units),) if op == "gru" else ()
    attrs = {"reverse": bool(rng.integers(2)), "reset_first": False}
    shapes = ((steps, batch, per_unit * units), *((batch, units),) * states)
    whole = (*shapes, *(x.shape for x in (r, *b)))
    target = QuantParams(2.0**-7, 0)
    step = plain(step_of(rng, op, whole, (r, *b), target=target, **attrs))
    step = replace(step, operand_types=(INT16, *(INT8,) * states))
    x = np.clip(rng.normal(0, 2500, shapes[0]), -32768, 32767).astype(np.int16)
    first = [draw_bytes(rng, shape) for shape in shapes[1:]]
    y = np.ascontiguousarray(integer_step(step, [x, *first])).view(np.int8)
    kernels = candidates(step, find_chip("gap9").cores_alone())
    (tiled,) = (x for x in kernels if x.function == f"me_{op}_s8")
    names = ("weights", "channels", "sigmoid", "tanh")
    data = blob(*(tiled.arrays[name] for name in names), x, *first, *first[-1:])
    factors = [f"{s}_{part}" for s in "hc" for part in ("mult", "offset", "shift")]
    known = [getattr(step.integers, name, None) or 0 for name in factors]
    head = (1 + STEPPED.index(op), units, batch, int(attrs["reverse"]), step.integers.pre, steps)
    return Case(f"{op} {steps} {batch} {units}", (*head, *data.starts[:7], *known), data.data, y)


def every_case() -> list[Case]:
    rng = np.random.default_rng(7)
    gates = [gates_case(rng, *shape) for shape in ROWS for _ in "ab"]
    return gates + [steps_case(rng, op, *shape) for op in STEPPED for shape in STEPS for _ in "ab"]


@pytest.mark.parametrize("run", RUNS)
def test_sums_and_steps_are_those_of_the_operators(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cases = every_case()
    check(cases, run("recurrent", KERNELS, cases, tmp_path))
