# SPDX-License-Identifier: Apache-2.0
"""Copies, constants, permutations against NumPy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from myoedge.graph.ir import Shape
from myoedge.nest.flat import collapse_loops
from myoedge.numerics.arrays import strides
from tests.kernels.drawn import GUARD_BYTE, SHUFFLED_RUNS, Case, blob, check
from tests.kernels.test_elementwise import draw_bytes

KERNELS = ("me_copy_s8", "me_transpose_s8", "me_transpose_s16")


def permute_case(
    rng: np.random.Generator, shape: Shape, perm: tuple[int, ...], shift: int = 0
) -> Case:
    x = draw_bytes(rng, shape)
    y = np.ascontiguousarray(x.transpose(perm))
    loops = collapse_loops(y.shape, [tuple(strides(shape)[axis] for axis in perm)])
    data = blob(x, shift=shift)
    numbers = (2, data.starts[0], 0, len(loops), *(n for p in loops for n in (p.extent, *p.steps)))
    return Case(f"permute {shape} {perm} +{shift}", numbers, data.data, y)


def halves_case(rng: np.random.Generator, shape: Shape, perm: tuple[int, ...]) -> Case:
    """A permutation of int16."""
    x = draw_bytes(rng, (*shape, 2)).view(np.int16).reshape(shape)
    y = np.ascontiguousarray(x.transpose(perm))
    loops = collapse_loops(y.shape, [tuple(strides(shape)[axis] for axis in perm)])
    data = blob(x)
    numbers = (3, data.starts[0], 0, len(loops), *(n for p in loops for n in (p.extent, *p.steps)))
    return Case(f"halves {shape} {perm}", numbers, data.data, y.ravel().view(np.int8))


def strided_case(rng: np.random.Generator, shape: Shape, cuts: tuple[slice, ...]) -> Case:
    """A slice with steps, some of them negative."""
    x = draw_bytes(rng, shape)
    view = x[cuts]
    first = (view.__array_interface__["data"][0] - x.__array_interface__["data"][0]) // x.itemsize
    loops = collapse_loops(view.shape, [view.strides])
    numbers = (2, first, 0, len(loops), *(n for p in loops for n in (p.extent, *p.steps)))
    return Case(f"slice {shape} {cuts}", numbers, blob(x).data, np.ascontiguousarray(view))


def repeated_case(rng: np.random.Generator, shape: Shape, extents: Shape) -> Case:
    """Axes of extent 1 that repeat: what is between them lies there many times."""
    x = draw_bytes(rng, shape)
    view = np.broadcast_to(x, extents)
    loops = collapse_loops(view.shape, [view.strides])
    numbers = (2, 0, 0, len(loops), *(n for p in loops for n in (p.extent, *p.steps)))
    return Case(f"repeat {shape} {extents}", numbers, blob(x).data, np.ascontiguousarray(view))


def move_case(
    rng: np.random.Generator, rows: int, size: int, gaps: tuple[int, int], shift: int, *, fill: bool
) -> Case:
    """Rows with gaps between them, from an odd place to another one."""
    from_step, to_step = size + gaps[0], size + gaps[1]
    x, value = draw_bytes(rng, (rows * from_step,)), int(rng.integers(-128, 128))
    y = np.full(rows * to_step + shift, GUARD_BYTE, np.int8)
    for row in range(rows):
        at = row * to_step + shift
        y[at : at + size] = value if fill else x[row * from_step : row * from_step + size]
    data = blob(x, shift=shift // 2)
    word = int.from_bytes(np.full(4, value, np.int8).tobytes(), "little", signed=True)
    numbers = (int(fill), data.starts[0], word, shift, rows, size, from_step, to_step)
    name = f"{'fill' if fill else 'copy'} {rows}x{size} gaps {gaps} +{shift}"
    return Case(name, numbers, data.data, y)


PERMUTES: tuple[tuple[Shape, tuple[int, ...]], ...] = (
    ((128, 128), (1, 0)),
    ((64, 256), (1, 0)),
    ((16, 16, 64), (2, 0, 1)),
    ((64, 16, 16), (1, 2, 0)),
    ((3, 32, 32), (1, 2, 0)),
    ((32, 32, 3), (2, 0, 1)),
    ((7, 5), (1, 0)),
    ((1, 1), (1, 0)),
    ((13, 30), (1, 0)),
    ((50, 4, 16), (1, 0, 2)),
    ((5, 6, 7), (2, 1, 0)),
    ((2, 3, 4, 5, 6), (4, 2, 0, 3, 1)),
    ((3, 8, 9, 10), (0, 3, 1, 2)),
    ((100,), (0,)),
    ((30, 3, 16), (1, 0, 2)),
    ((20, 3, 7), (1, 0, 2)),
    ((9, 4, 5, 11), (2, 1, 0, 3)),
    ((17, 2, 1, 13), (1, 0, 2, 3)),
)


def every_case() -> list[Case]:
    rng = np.random.default_rng(31)
    cases = [permute_case(rng, *p, shift) for p in PERMUTES for shift in (0, 1)]
    cases += [halves_case(rng, *p) for p in PERMUTES if math.prod(p[0]) <= 8192]
    for shape, cuts in (
        ((9, 20), (slice(1, 9, 2), slice(3, 18, 3))),
        ((50,), (slice(None, None, -1),)),
        ((6, 7, 8), (slice(None), slice(None, None, -2), slice(1, 7))),
        ((4, 33), (slice(None, None, -1), slice(None))),
    ):
        cases.append(strided_case(rng, shape, cuts))
    for shape, extents in (
        ((8, 1, 8, 1, 32), (8, 2, 8, 2, 32)), ((40, 1, 20), (40, 3, 20)), ((5, 1, 7), (5, 4, 7)),
        ((3, 1, 31), (3, 9, 31)), ((9, 1, 2), (9, 2, 2)), ((2, 1, 64), (2, 2, 64)),
    ):  # fmt: skip
        cases.append(repeated_case(rng, shape, extents))
    for rows, size, gaps, shift in (
        (1, 16384, (0, 0), 0), (64, 100, (28, 0), 0), (5, 33, (1, 2), 3), (1, 1, (0, 0), 0),
        (3, 7, (0, 0), 1), (100, 3, (2, 1), 2), (16, 256, (4, 4), 0), (1, 37, (0, 0), 2),
    ):  # fmt: skip
        cases.append(move_case(rng, rows, size, gaps, shift, fill=False))
    for size in (1, 3, 15, 16, 17, 30, 37, 127, 128, 131, 300, 6400, 16384):
        cases.extend(move_case(rng, 1, size, (0, 0), shift, fill=True) for shift in range(4))
    return cases + [drawn_permute(rng) for _ in range(40)]


def drawn_permute(rng: np.random.Generator) -> Case:
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 12, rng.integers(1, 6)))
        if math.prod(shape) < 20_000:
            perm = tuple(int(d) for d in rng.permutation(len(shape)))
            return permute_case(rng, shape, perm, int(rng.integers(4)))


@pytest.mark.parametrize("run", SHUFFLED_RUNS)
def test_bytes_arrive_where_they_belong(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cases = every_case()
    check(cases, run("move", KERNELS, cases, tmp_path))
