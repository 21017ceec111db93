# SPDX-License-Identifier: Apache-2.0
"""Pooling and reductions: windows and axes against the operators' integer meaning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.interpreter import integer_step
from myoedge.operators.pool.definition import Window, adaptive, divisors, regular
from myoedge.operators.pool.tiling import entries
from tests.kernels.drawn import RUNS, Case, blob, check
from tests.kernels.test_elementwise import draw_bytes, plain, step_of

KERNELS = ("me_max_pool_s8", "me_avg_pool_s8", "me_reduce_s8")
NO_TABLE = np.zeros(0, np.int8)
Axes = tuple[Sequence[Window], Sequence[Window]]


def both(n: tuple[int, int], size: int, stride: int, pad: int, *, count_pad: bool = False) -> Axes:
    h, w = (regular(m, size, stride, pad, ceil=True, count_pad=count_pad) for m in n)
    return h, w


def table_of(step: QuantizedNode) -> Array:
    return NO_TABLE if step.table is None else step.table


def kinds_of(axes: Axes) -> tuple[list[Array], int, list[int]]:
    """Windows with their kinds, kinds of columns, divisor of every pair of kinds."""
    rows, columns = (sorted({divisor for *_, divisor in axis}) for axis in axes)
    pairs = [r * c for r in rows for c in columns]
    return [entries(axes[0], rows), entries(axes[1], columns)], len(columns), pairs


def pool_case(
    rng: np.random.Generator,
    op: str,
    n: tuple[int, int],
    c: int,
    axes: Axes,
    shift: int = 0,
    *,
    simple: bool = False,
) -> Case:
    attrs = {"windows": axes}
    step = step_of(rng, op, ((1, *n, c),), windows=axes)
    step = plain(step) if simple or op == "max_pool" else step
    x = draw_bytes(rng, step.shapes[0])
    windows, kinds, pairs = kinds_of(axes)
    if shift:
        windows = [w & np.array([-1, -1, 255], np.int16) for w in windows]  # not counted
    each = np.zeros((1, 4), np.int32)
    if op == "avg_pool":
        known = divisors(attrs)
        parts = [getattr(step.integers, name) for name in ("mult", "offset", "shift")]
        each = np.array([[0, *(p[known.index(d)] for p in parts)] for d in pairs], np.int32)
    rest = blob(each, *windows)
    own = blob(x, table_of(step), shift=shift)
    raw = rest.data + bytes(-len(rest.data) % 4)
    at_x, at_table = (len(raw) + at for at in own.starts)
    average = op == "avg_pool"
    numbers = (
        int(average), step.integers.pre if average else 0, step.low, step.high,
        at_table if step.table is not None else -1, rest.starts[0], at_x,
        step.integers.x_zero if average else 0, kinds, c, n[1] * c, rest.starts[1], rest.starts[2],
        len(axes[0]), len(axes[1]),
    )  # fmt: skip
    name = f"{op} {n[0]}x{n[1]}x{c} window {max(w[1] - w[0] for w in axes[0])} +{shift}"
    return Case(name, numbers, raw + own.data, integer_step(step, [x]))


def reduce_case(
    rng: np.random.Generator, op: str, shape: Shape, axes: tuple[int, ...], *, simple: bool = False
) -> Case:
    step = step_of(rng, op, (shape,), axes=axes, keepdim=False)
    step = plain(step) if simple else step
    x = draw_bytes(rng, shape)
    each = np.array(
        [[0, *(np.ravel(getattr(step.integers, n))[0] for n in ("mult", "offset", "shift"))]],
        np.int32,
    )
    data = blob(x, table_of(step), each)
    parts = shape[: axes[0]], shape[axes[0] : axes[-1] + 1], shape[axes[-1] + 1 :]
    numbers = (
        2, step.integers.pre, step.low, step.high, data.starts[1] if step.table is not None else -1,
        data.starts[2], data.starts[0], *(math.prod(p) for p in parts), step.integers.x_zero,
    )  # fmt: skip
    return Case(f"{op} {shape} over {axes}", numbers, data.data, integer_step(step, [x]))


def window_cases(rng: np.random.Generator) -> list[Case]:
    shapes = [
        ((16, 16), 64, 2, 2, 0), ((7, 5), 13, 3, 2, 1), ((1, 9), 4, 1, 1, 0), ((6, 6), 3, 2, 2, 0),
        ((9, 9), 8, 3, 1, 1), ((12, 5), 6, 5, 3, 2), ((8, 8), 1, 2, 1, 0), ((3, 3), 130, 2, 1, 0),
        ((5, 20), 16, 4, 4, 1), ((11, 13), 20, 2, 2, 1), ((14, 10), 8, 2, 2, 0),
        ((13, 13), 12, 3, 2, 0), ((9, 4), 4, 3, 1, 0),
    ]  # fmt: skip
    cases = []
    for n, c, size, stride, pad in shapes:
        axes = both(n, size, stride, pad, count_pad=bool(rng.integers(2)))
        for op in ("max_pool", "avg_pool"):
            cases += [pool_case(rng, op, n, c, axes, shift) for shift in (0, 1, 0)]
    line = regular(1, 1, 1, 0, ceil=False, count_pad=False), both((34, 34), 4, 2, 0)[1]
    cases += [pool_case(rng, op, (1, 34), 8, line) for op in ("max_pool", "avg_pool")]
    for n, c in (((1, 34), 8), ((34, 1), 20), ((1, 100), 32)):  # pairs along one axis
        along = regular(max(n), 2, 2, 0, ceil=True, count_pad=False)
        pairs = (line[0], along) if n[0] == 1 else (along, line[0])
        cases += [
            pool_case(rng, op, n, c, pairs, shift)
            for op in ("max_pool", "avg_pool")
            for shift in (0, 1, 0)
        ]
    whole = both((14, 14), 2, 2, 0)
    cases.append(pool_case(rng, "avg_pool", (14, 14), 8, whole, simple=True))
    for n, c, out in (((7, 9), 12, (3, 4)), ((5, 5), 64, (1, 1)), ((10, 4), 5, (7, 4))):
        axes = adaptive(n[0], out[0]), adaptive(n[1], out[1])
        cases += [pool_case(rng, op, n, c, axes) for op in ("max_pool", "avg_pool")]
    return cases


def axis_cases(rng: np.random.Generator) -> list[Case]:
    shapes: tuple[tuple[Shape, tuple[int, ...]], ...] = (
        ((1, 7, 7, 256), (1, 2)), ((40, 33), (1,)), ((3, 5, 13), (1,)), ((2, 3, 4), (0, 1, 2)),
        ((9, 64), (0,)), ((5, 3), (1,)), ((4, 6, 2), (1,)), ((600, 16), (0,)),
    )  # fmt: skip
    return [reduce_case(rng, op, *s) for op in ("mean", "sum") for s in shapes for _ in "ab"]


def every_case() -> list[Case]:
    rng = np.random.default_rng(21)
    return window_cases(rng) + axis_cases(rng)


def measured() -> list[Case]:
    rng, cases = np.random.default_rng(22), []
    for n, c, size, stride, pad in (
        ((16, 16), 64, 2, 2, 0), ((32, 32), 64, 2, 2, 0), ((32, 32), 16, 2, 2, 0),
        ((16, 16), 32, 3, 2, 1), ((28, 28), 8, 2, 2, 0), ((16, 16), 32, 3, 1, 1),
        ((8, 8), 64, 8, 8, 0),
    ):  # fmt: skip
        axes = both(n, size, stride, pad)
        cases += [pool_case(rng, op, n, c, axes, simple=True) for op in ("max_pool", "avg_pool")]
    cases += [reduce_case(rng, "mean", (7, 7, 256), (0, 1), simple=True)]
    return [*cases, reduce_case(rng, "mean", (64, 256), (1,), simple=True)]


@pytest.mark.parametrize("run", RUNS)
def test_windows_are_those_of_the_operators(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cases = every_case()
    check(cases, run("pool", KERNELS, cases, tmp_path))
