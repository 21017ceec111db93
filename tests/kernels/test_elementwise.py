# SPDX-License-Identifier: Apache-2.0
"""me_elementwise: sums, products, tables against the operators' integer meaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from myoedge.graph.ir import Node, Shape
from myoedge.nest.flat import collapse_loops
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS, QuantizedNode, QuantizeInputs
from myoedge.operators.common_rules import broadcast
from myoedge.operators.interpreter import integer_step
from myoedge.operators.library.pointwise import broadcast_steps
from tests.kernels.drawn import RUNS, Case, blob, check

KERNELS = ("me_add_s8", "me_mul_s8", "me_table_s8", "me_tables_s8")
ALIGNED = ((16, 16, 64), (16, 16, 64))
PAIRS: tuple[tuple[Shape, Shape], ...] = (
    ((8, 8, 64), (8, 8, 64)),
    ((1,), (1,)),
    ((3,), (3,)),
    ((7, 5), (7, 5)),
    ((37,), (1,)),
    ((9, 64), (64,)),
    ((64,), (5, 3, 64)),
    ((4, 6, 10), (4, 1, 10)),
    ((11, 1), (11, 13)),
    ((1, 17), (6, 1)),
    ((2, 3, 4, 5, 7), (2, 1, 4, 1, 7)),
    ((333,), (333,)),
    ((256, 1), (256, 4)),
    ((41, 5), (1, 5)),
    ((9, 8, 8), (9, 1, 1)),
    ((3, 17, 1, 7), (3, 1, 6, 1)),
    ((70, 1, 3), (70, 2, 1)),
    ((40, 9, 3), (40, 1, 3)),
    ((33, 5, 1), (33, 1, 6)),
    ((6, 1, 24), (6, 9, 24)),
    ((130, 24), (130, 1)),
    ((201, 3), (3,)),
    ((100,), (40, 100)),
    ((4, 9, 1), (4, 1, 16)),
    ((8, 3, 1, 4), (8, 1, 7, 4)),
    ((101, 33), (1, 33)),
    ((3, 40, 8), (3, 1, 8)),
    ((3, 1, 12), (3, 40, 1)),
    ((5, 33, 4), (5, 1, 4)),
    ((16, 8, 1), (16, 1, 4)),
    ((9, 2, 5, 4), (9, 1, 5, 4)),
)


def draw_bytes(rng: np.random.Generator, shape: Shape) -> Array:
    """int8 with many at the ends of the range."""
    x = rng.integers(-128, 128, shape)
    ends = rng.choice([-128, 127, 0, -1], shape)
    return np.where(rng.random(shape) < 0.1, ends, x).astype(np.int8)


def qparams(rng: np.random.Generator) -> QuantParams:
    return QuantParams(float(2.0 ** rng.uniform(-8, -4)), int(rng.integers(-128, 128)))


def step_of(
    rng: np.random.Generator,
    op: str,
    shapes: tuple[Shape, ...],
    constants: tuple[Array, ...] = (),
    *,
    target: QuantParams | None = None,
    **attrs: object,
) -> QuantizedNode:
    """The operator quantised with drawn parameters; clamps and tables come now and then."""
    out = OPS[op].shape(attrs, *shapes)
    read = shapes[: len(shapes) - len(constants)]
    none = (None,) * len(read)
    inputs = QuantizeInputs(
        *(attrs, shapes, out, tuple(qparams(rng) for _ in shapes)),
        *(target or qparams(rng), (*none, *constants)),
    )
    integers = OPS[op].constants.quantize(inputs)
    low, high = ((-128, 127), (-20, 90))[int(rng.random() < 0.3)]
    if rng.random() < 0.3:
        integers = replace(integers, table=draw_bytes(rng, (256,)))
    node = Node(op, tuple("abc"[: len(shapes)]), ("y",), attrs)
    return QuantizedNode(node, tuple("ab"[: len(read)]), read, out, integers, low, high)


def loops_of(a: Shape, b: Shape) -> tuple[int, ...]:
    out = broadcast({}, a, b)
    loops = collapse_loops(out, [broadcast_steps(a, out), broadcast_steps(b, out)])
    return (len(loops), *(x for loop in loops for x in (loop.extent, *loop.steps)))


def plain(step: QuantizedNode) -> QuantizedNode:
    """Without clamp or table, as most layers are."""
    integers = replace(step.integers, table=None)
    return QuantizedNode(step.node, step.operands, step.shapes, step.out, integers)


def pair_case(
    rng: np.random.Generator, op: str, a: Shape, b: Shape, shift: int, *, simple: bool = False
) -> Case:
    step = step_of(rng, op, (a, b))
    step = plain(step) if simple else step
    x, y = draw_bytes(rng, a), draw_bytes(rng, b)
    table = step.table if step.table is not None else np.zeros(0, np.int8)
    data = blob(x, y, table, shift=shift)
    at_a, at_b, at_table = data.starts
    names = ("a_zero", "b_zero") if op == "mul" else ("a_mult", "b_mult")
    requant = [int(np.ravel(getattr(step.integers, n))[0]) for n in ("mult",) if op == "mul"]
    numbers = (
        int(op == "mul"), at_table if step.table is not None else -1,
        step.integers.pre if op == "mul" else 0, step.low, step.high,
        *(getattr(step.integers, n) for n in names), *requant,
        *(int(np.ravel(getattr(step.integers, n))[0]) for n in ("offset", "shift")),
        at_a, at_b, *loops_of(a, b),
    )  # fmt: skip
    return Case(f"{op} {a} {b} +{shift}", numbers, data.data, integer_step(step, [x, y]))


def pair_cases(op: str) -> list[Case]:
    rng = np.random.default_rng(len(op))
    return [pair_case(rng, op, a, b, shift) for a, b in PAIRS for shift in (0, 1) for _ in range(2)]


def eight_bit_cases() -> list[Case]:
    """Multipliers within int8, which another micro-kernel takes."""
    rng, cases = np.random.default_rng(8), []
    for n, mults in ((16384, (64, -128)), (37, (127, 127)), (5, (-128, 1)), (640, (0, -1))):
        x, y = draw_bytes(rng, (n,)), draw_bytes(rng, (n,))
        data = blob(x, y)
        acc = x.astype(np.int64) * mults[0] + y.astype(np.int64) * mults[1] + 777
        numbers = (0, -1, 0, -128, 127, *mults, 777, 6, *data.starts, 1, n, 1, 1)
        expected = np.clip(acc >> 6, -128, 127).astype(np.int8)
        cases.append(Case(f"add of 8 bits {n}", numbers, data.data, expected))
    return cases


def wide_sum_cases() -> list[Case]:
    """Sums at the ends of 24 bits, and beyond them, which other micro-kernels take."""
    rng, cases = np.random.default_rng(24), []
    for n, mults, offset in (
        (640, (32767, 32767), 127), (640, (32767, -32767), 128), (37, (-32767, -32767), -127),
        (640, (32767, 32767), -(2**30)), (333, (300, -9), 2**23 - 128 * 309 - 1),
    ):  # fmt: skip
        x, y = draw_bytes(rng, (n,)), draw_bytes(rng, (n,))
        x[:4], y[:4] = (-128, 127, -128, 127), (-128, 127, 127, -128)
        data = blob(x, y)
        acc = x.astype(np.int64) * mults[0] + y.astype(np.int64) * mults[1] + offset
        for shift in (14, 15):
            numbers = (0, -1, 0, -128, 127, *mults, offset, shift, *data.starts, 1, n, 1, 1)
            expected = np.clip(acc >> shift, -128, 127).astype(np.int8)
            cases.append(Case(f"add {mults} {offset} {n}", numbers, data.data, expected))
    return cases


def table_cases() -> list[Case]:
    rng, cases = np.random.default_rng(6), []
    for n in (16384, 1, 3, 4, 31, 32, 250, 4097):
        x, table = draw_bytes(rng, (n,)), draw_bytes(rng, (256,))
        for shift in (0, 3):
            data = blob(x, table, shift=shift)
            numbers = (3, data.starts[1], 0, 0, 0, data.starts[0], n)
            expected = table[x.astype(np.int32) + 128]
            cases.append(Case(f"table {n} +{shift}", numbers, data.data, expected))
    return cases


def tables_cases() -> list[Case]:
    """A table for each channel, whose numbers are side by side or a row of channels apart."""
    rng, cases = np.random.default_rng(7), []
    for outer, c, inner in ((200, 24, 1), (1, 1, 1), (3, 7, 1), (2, 5, 50), (1, 3, 700), (9, 1, 4)):
        x, tables = draw_bytes(rng, (outer, c, inner)), draw_bytes(rng, (c, 256))
        data = blob(x, tables)
        numbers = (4, -1, 0, 0, 0, *data.starts, outer, c, inner)
        expected = tables[np.arange(c)[:, None], x.astype(np.int32) + 128]
        cases.append(Case(f"tables {outer} {c} {inner}", numbers, data.data, expected))
    return cases


def every_case() -> list[Case]:
    pairs = [case for op in ("add", "sub", "mul") for case in pair_cases(op)]
    return pairs + eight_bit_cases() + wide_sum_cases() + table_cases() + tables_cases()


def measured() -> list[Case]:
    """Sizes whose cycles docs and benchmarks speak of."""
    rng = np.random.default_rng(9)
    pairs: tuple[tuple[str, Shape, Shape], ...] = (
        ("add", *ALIGNED),
        ("add", (8, 8, 64), (8, 8, 64)),
        ("mul", *ALIGNED),
        ("add", (256, 64), (64,)),
        ("mul", (16, 16, 64), (1,)),
        ("add", (33, 17, 21), (33, 17, 21)),
    )
    cases = [pair_case(rng, op, a, b, 0, simple=True) for op, a, b in pairs]
    return cases + [c for c in eight_bit_cases() + table_cases() if c.expected.size >= 4096]


@pytest.mark.parametrize("run", RUNS)
def test_elements_are_those_of_the_operators(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cases = every_case()
    check(cases, run("elementwise", KERNELS, cases, tmp_path))
