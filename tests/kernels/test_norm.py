# SPDX-License-Identifier: Apache-2.0
"""Norms of groups, of 8 and 16 bits, against the integer meaning, and that of rows against
floats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from myoedge.graph.ir import Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS, QuantizedNode, QuantizeInputs
from myoedge.operators.interpreter import integer_step
from myoedge.operators.norm.group_norm import Layout
from myoedge.operators.norm.group_norm import fraction_bits as group_fraction_bits
from tests.kernels.drawn import RUNS, Case, blob, check
from tests.kernels.test_elementwise import draw_bytes


def drawn_params(rng: np.random.Generator, *, wide: bool) -> QuantParams:
    zero = 0 if wide else int(rng.integers(-128, 128))
    return QuantParams(float(2.0 ** rng.uniform(-12, -4)), zero, INT16 if wide else INT8)


def drawn_target(rng: np.random.Generator, *, wide: bool) -> QuantParams:
    if wide:
        return QuantParams(float(2.0 ** rng.uniform(-14, -12)), 0, INT16)
    return QuantParams(float(2.0 ** rng.uniform(-6, -4)), int(rng.integers(-40, 40)))


def draw_rows(rng: np.random.Generator, rows: int, length: int, *, wide: bool) -> Array:
    """Rows of all spreads, constant ones and the widest among them."""
    if not wide:
        x = draw_bytes(rng, (rows, length))
        return np.asarray(x >> rng.integers(0, 8, (rows, 1)), np.int8)
    x = rng.integers(-(2**15), 2**15, (rows, length)) >> rng.integers(0, 16, (rows, 1))
    x[0] = rng.choice([-(2**15), 2**15 - 1], length)
    return x.astype(np.int16)


# rows, positions, groups, channels of a group, elements of a channel
GROUPS = ((2, 9, 4, 3, 1), (1, 64, 2, 5, 1), (1, 3, 1, 17, 1), (3, 1, 2, 3, 33), (1, 2, 13, 1, 6))


def group_case(rng: np.random.Generator, at: Layout, x_wide: bool, y_wide: bool) -> Case:
    """With the lower half of the range cut off in every other case."""
    shape = (at.rows, at.positions, at.groups * at.channels, at.inner)
    attrs = {"axis": 2, "groups": at.groups, "eps": 1e-5, "centred": bool(rng.integers(2))}
    params, target = drawn_params(rng, wide=x_wide), drawn_target(rng, wide=y_wide)
    constants = tuple(rng.normal(1, 0.3, shape[2]) for _ in range(2))
    shapes = (shape, *(c.shape for c in constants))
    inputs = QuantizeInputs(attrs, shapes, shape, (params, None, None), target, (None, *constants))
    node = Node("group_norm", ("x", "g", "b"), ("y",), attrs)
    low = int(rng.choice([target.low, target.zero_point]))
    result = (OPS["group_norm"].constants.quantize(inputs), low, target.high, target.element_type)
    step = QuantizedNode(node, ("x",), shapes[:1], shape, *result)
    x = draw_rows(rng, at.rows, shape[1] * shape[2] * shape[3], wide=x_wide)
    data = blob(np.stack([step.integers.gain, step.integers.offset], axis=1), x)
    fields = ("x_zero", "shift", "eps_low", "eps_high", "down")
    numbers = (
        *(at.positions, at.channels, at.inner, group_fraction_bits(at.length) - step.integers.down),
        *(
            int(attrs["centred"]),
            *(getattr(step.integers, name) for name in fields),
            low,
            target.high,
        ),
        *(int(x_wide), int(y_wide), *data.starts, at.rows, at.groups),
    )
    expected = integer_step(step, [x.reshape(shape)]).ravel().view(np.int8)
    return Case(f"{at} {x_wide} {y_wide}", numbers, data.data, expected)


@pytest.mark.parametrize("run", RUNS)
def test_groups_are_those_of_the_operator(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rng, widths = np.random.default_rng(47), ((False, True), (True, False), (True, True))
    cases = [group_case(rng, Layout(*at), *wide) for at in GROUPS for wide in widths]
    check(cases, run("group_norm", ("me_group_norm_s16",), cases, tmp_path))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("op", ["layer_norm", "rms_norm"])
def test_no_variance_is_too_small_or_too_large(op: str, wide: bool) -> None:
    """From rows that differ in one element by one step to rows at both ends of the range, the
    result is off by less than 0.52 steps of 1/32, of which rounding is 0.5; 0.62 of 16 bits, of
    which a row keeps 12."""
    rng, length = np.random.default_rng(5), 192
    ends = 2**15 if wide else 128
    rows = [np.eye(1, length, dtype=np.int64)[0], rng.choice([-ends, ends - 1], length)]
    rows += [
        np.clip(np.rint(rng.normal(0, spread, length)), -ends, ends - 1)
        for spread in np.geomspace(0.3, ends / 2.5, 40)
    ]
    x = np.stack(rows).astype(np.int16 if wide else np.int8)
    ones = (np.ones(length), np.zeros(length))[: 2 if op == "layer_norm" else 1]
    kind = QuantParams(2.0**-6, 0, INT16 if wide else INT8)
    shapes = (x.shape, *((length,) for _ in ones))
    none = (None,) * len(ones)
    target = QuantParams(2.0**-5, 0)
    inputs = QuantizeInputs({"eps": 1e-5}, shapes, x.shape, (kind, *none), target, (None, *ones))
    node = Node(op, ("x", "g", "b")[: len(shapes)], ("y",), {"eps": 1e-5})
    integers, types = OPS[op].constants.quantize(inputs), (kind.element_type,)
    step = QuantizedNode(node, ("x",), (x.shape,), x.shape, integers, operand_types=types)
    real = OPS[op].real({"eps": 1e-5}, x.astype(np.float64) * kind.scale, *ones)
    wanted = np.clip(real / target.scale, -128, 127)
    found = integer_step(step, [x]).astype(np.float64)
    assert np.abs(found - wanted).max() < (0.62 if wide else 0.52)
