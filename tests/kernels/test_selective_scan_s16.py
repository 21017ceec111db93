# SPDX-License-Identifier: Apache-2.0
"""me_selective_scan_s16 against the operator's integer meaning, to the last bit of small states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from myoedge.graph.ir import Node
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import QuantizedNode, QuantizeInputs
from myoedge.operators.interpreter import integer_step
from myoedge.operators.selective_scan.definition import SELECTIVE_SCAN
from myoedge.operators.selective_scan.wide import CHANNEL
from tests.kernels.drawn import RUNS, Case, blob, check

KERNELS = ("me_selective_scan_s16",)
FIELDS = (
    "delta_zero", "x_zero", "b_zero", "c_zero",
    "y_zero", "delta_up", "x_up", "v_up", "b_up", "c_up", "decay_up", "most",
)  # fmt: skip
# steps, channels, states, which of delta, x, B and C have 16 bits
SIZES = ((40, 3, 6, "dxbc"), (33, 9, 4, "x"), (5, 2, 9, "dc"), (70, 1, 1, "b"))


def case_of(rng: np.random.Generator, steps: int, width: int, states: int, wide: str) -> Case:
    """Few inputs but 0, and results that are the lowest bits of sums."""
    shapes = ((1, steps, width), (1, steps, width), (1, steps, states), (1, steps, states))
    kinds = [QuantParams(1e-4, 0, INT16) if n in wide else QuantParams(1e-2, -3) for n in "dxbc"]
    a, d = -rng.uniform(0.01, 3.0, (width, states)), rng.normal(size=width)
    y, names = QuantParams(1e-3, 5, INT16), ("delta", "x", "b", "c")
    site = QuantizeInputs({}, shapes, shapes[0], tuple(kinds), y, (None,) * 4 + (a, d))
    integers = SELECTIVE_SCAN.constants.quantize(site)
    lowest = {"sum_drop": 7 + 7 * ("c" not in wide), "sum_mult": 2**31 - 1, "out_shift": 0}
    arrays = {k: np.full(width, v, np.int32) for k, v in lowest.items()}
    integers = replace(integers, **arrays, term=integers.term >> 20)
    node = Node("selective_scan", (*names, "a", "d"), ("y",), {})
    types = tuple(q.element_type for q in kinds)
    result = (y.low, y.high, y.element_type)
    step = QuantizedNode(node, names, shapes, shapes[0], integers, *result, operand_types=types)
    spread = [rng.integers(-6, 7, s) * (rng.random(s) < 0.7) for s in shapes]
    data = [
        np.asarray(x + q.zero_point, q.element_type.dtype)
        for x, q in zip(spread, kinds, strict=True)
    ]
    filled = -(-states // 4) * 4
    decay = np.pad(step.integers.decay, ((0, 0), (0, filled - states)))
    channels = np.stack([getattr(step.integers, name) for name in CHANNEL], -1)
    held = blob(step.integers.powers, *data, decay, channels)
    numbers = (
        *step.wide_flags(*names, "y").values(), steps, states,
        *step.integers.named(FIELDS).values(),
        *held.starts, width,
    )  # fmt: skip
    return Case(f"{steps} {wide}", numbers, held.data, integer_step(step, data).view(np.int8))


@pytest.mark.parametrize("run", RUNS)
def test_states_are_those_of_the_operator(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(63)
    cases = [case_of(rng, *size) for size in SIZES]
    check(cases, run("selective_scan_s16", KERNELS, cases, tmp_path))
