# SPDX-License-Identifier: Apache-2.0
"""Functions of rows that generated C calls, of 8 and 16 bits, against their formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from myoedge.numerics.arrays import Array
from tests.kernels.drawn import RUNS, Case, blob, check

LENGTHS = (1, 2, 3, 4, 7, 8, 9, 16, 17, 31, 33, 64, 192, 1023)
NORM_KINDS = (("int8", "int8"), ("int8", "int16"), ("int16", "int8"), ("int16", "int16"))


def drawn_row(rng: np.random.Generator, length: int, dtype: str) -> Array:
    """A row of any spread, one of both ends of the range among them."""
    ends = np.iinfo(dtype)
    if rng.integers(4) == 0:
        return rng.choice([ends.min, ends.max], length).astype(dtype)
    drawn = rng.integers(ends.min, ends.max + 1, length) >> rng.integers(ends.bits)
    return drawn.astype(dtype)


def norm_case(rng: np.random.Generator, kind: int, length: int) -> Case:
    """A row on a line whose product wraps around, and with a gain and an offset per number."""
    x_type, y_type = NORM_KINDS[kind]
    x, bits = drawn_row(rng, length, x_type), int(rng.integers(6)) if x_type == "int16" else 0
    slope, start = int(rng.integers(2**24)), int(rng.integers(-(2**31), 2**31))
    line_shift, shift = int(rng.integers(16, 20)), int(rng.integers(31))
    pairs = np.stack([rng.integers(-(2**15), 2**15, length), rng.integers(-(2**29), 2**29, length)])
    on_line = ((x.astype(np.int64) >> bits) * slope + start).astype(np.int32) >> line_shift
    y = (on_line.astype(np.int64) * pairs[0] + pairs[1]) >> shift
    ends = np.iinfo(y_type)
    expected = np.clip(y, ends.min, ends.max).astype(y_type).view(np.int8)
    data = blob(np.ascontiguousarray(pairs.T, np.int32), x)
    numbers = (kind, length, bits, slope, start, line_shift, shift, *data.starts)
    return Case(f"{x_type} {y_type} {length}", numbers, data.data, expected)


def sums_case(rng: np.random.Generator, dtype: str, length: int) -> Case:
    """Sums, squares and extremes, alone and together; of int16 also of shifted elements."""
    x, bits = drawn_row(rng, length, dtype), int(rng.integers(16))
    long = x.astype(np.int64)
    sums = [long.sum(), np.square(long).sum()]
    found = [*sums, long.max(), long.min(), *sums, long.max(), long.min(), long.argmax()]
    if dtype == "int16":
        found += [(long >> bits).sum(), np.square(long >> bits).sum()] * 2
    expected = np.array(found, np.int64).astype(np.int32).view(np.int8)
    data = blob(x)
    kind = 4 if dtype == "int8" else 5
    numbers = (kind, length, bits, 0, 0, 0, 0, 0, *data.starts)
    return Case(f"sums {dtype} {length}", numbers, data.data, expected)


def probabilities_case(rng: np.random.Generator, length: int) -> Case:
    """Shares of exponentials of any scale; of a single large one or of many equal ones."""
    x = rng.integers(-3, 3, length).astype(np.int8)
    if rng.integers(2):
        x = drawn_row(rng, length, "int8")
    exp = np.rint(2**15 * np.exp(-(2.0 ** rng.integers(-8, 3)) * np.arange(256))).astype(np.uint16)
    most = int(x.max())
    entries = exp[most - x.astype(np.int64)].astype(np.int64)
    halvings = int(entries.sum()).bit_length() - 16
    inverse = 2**31 // (int(entries.sum()) >> halvings)
    y = (entries * inverse / 2**15).astype(np.int64) / 2 ** (8 + halvings)
    shares = np.minimum(np.floor(y + 0.5), 255) - 128
    sums = np.array([entries.sum()], np.int32).view(np.int8)
    data = blob(exp, x)
    numbers = (6, length, most, inverse, 0, 0, 8 + halvings, *data.starts)
    return Case(f"shares {length}", numbers, data.data, np.append(sums, shares.astype(np.int8)))


def every_case() -> list[Case]:
    rng = np.random.default_rng(43)
    rows = [norm_case(rng, kind, n) for n in LENGTHS for kind in range(4)]
    rows += [probabilities_case(rng, n) for n in LENGTHS for _ in "abc"]
    return [*rows, *(sums_case(rng, dtype, n) for n in LENGTHS for dtype in ("int8", "int16"))]


@pytest.mark.parametrize("run", RUNS)
def test_rows_are_as_their_formulas(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cases = every_case()
    check(cases, run("rows", ("me_norm_rows", "me_softmax_rows"), cases, tmp_path))
