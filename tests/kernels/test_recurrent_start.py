# SPDX-License-Identifier: Apache-2.0
"""First steps of LSTMs and GRUs against the operators' integer meaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.interpreter import integer_step
from tests.kernels.drawn import RUNS, Case, blob, check
from tests.kernels.test_elementwise import plain, step_of

KERNELS = ("me_lstm_start_s8", "me_lstm_start_s16", "me_gru_start_s8", "me_gru_start_s16")
SIZES = ((1, 1), (1, 30), (7, 4), (50, 3), (33, 17))


def start_case(rng: np.random.Generator, kernel: str, rows: int, units: int) -> Case:
    op, _, bits = kernel.removeprefix("me_").rpartition("_s")
    kind = INT16 if bits == "16" else INT8
    shape, own = (rows, 1, 3 * units), (rng.normal(size=units) * 4,) if "gru" in op else ()
    target = QuantParams(2.0 ** -int(rng.integers(7, 16)), 0, kind)
    step = plain(step_of(rng, op, (shape, *(x.shape for x in own)), own, target=target))
    step = replace(step, element_type=kind, low=kind.low, high=kind.high, operand_types=(INT16,))
    x = np.clip(rng.normal(0, 9000, shape), INT16.low, INT16.high).astype(np.int16)
    numbers = step.integers
    given = numbers.own if own else np.zeros(units, np.int16)
    data = blob(x, numbers.sigmoid, numbers.tanh, given)
    head = (KERNELS.index(kernel), units, numbers.result_shift, rows)
    y = np.ascontiguousarray(integer_step(step, [x])).view(np.int8)
    return Case(f"{kernel} {rows} {units}", (*head, *data.starts), data.data, y)


@pytest.mark.parametrize("run", RUNS)
def test_first_steps_are_those_of_the_operators(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(11)
    cases = [start_case(rng, kernel, *size) for kernel in KERNELS for size in SIZES for _ in "ab"]
    check(cases, run("recurrent_start", KERNELS, cases, tmp_path))
