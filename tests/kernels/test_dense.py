# SPDX-License-Identifier: Apache-2.0
"""Convolution, linear and matrix product of the kernel library, bit for bit, on host and chip."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from myoedge.system.elf import Program
from tests.kernels.dense import firmware, in_child, run_on_chip, run_on_host
from tests.kernels.dense_cases import Asked, Case, conv_case, matmul_case
from tests.kernels.dense_speed import measured
from tests.kernels.drawn import REVERSED, SHUFFLE

COUNT = 120


def drawn_conv(seed: int) -> Asked:
    """Any kernel, stride, dilation and padding; gaps, limits, table, alignment."""
    rng = np.random.default_rng(seed)

    def pick(*values: int) -> int:
        return int(rng.choice(values))

    flat = rng.random() < 0.3
    kernel = (1 if flat else pick(1, 2, 3, 5), pick(1, 1, 2, 3, 3, 4, 7))
    dilation = (pick(1, 1, 1, 2), pick(1, 1, 1, 2, 3))
    pads = tuple(
        (0, 0) if flat and axis == 0 else (pick(0, 0, 1, 2), pick(0, 0, 1, 3)) for axis in (0, 1)
    )
    least = [(k - 1) * d + 1 - sum(p) for k, d, p in zip(kernel, dilation, pads, strict=True)]
    h = 1 if flat else max(1, least[0]) + pick(0, 1, 3, 6)
    return Asked(
        h=h,
        w=max(1, least[1]) + pick(0, 1, 2, 5, 9, 24),
        c=pick(1, 1, 2, 3, 4, 5, 8, 12, 16, 33),
        k=pick(1, 2, 3, 4, 5, 7, 8, 10, 17, 32),
        kernel=kernel,
        stride=(pick(1, 1, 2), pick(1, 1, 2, 3)),
        dilation=dilation,
        pads=(pads[0], pads[1]),
        **drawn_layout(rng),
        padded=bool(rng.random() < 0.4),
        seed=seed,
    )


def together(seed: int) -> Asked:
    """The same with windows gathered once; channels in words, no other way around edges."""
    asked = drawn_conv(seed)
    return replace(asked, c=4 * (1 + asked.c % 5), padded=False, together=True)


def crossing(seed: int) -> Asked:
    """The same with windows of one row that are read across words, padded or whole words long."""
    asked = drawn_conv(seed)
    (top, bottom), (left, right) = asked.pads
    taps = (1, 4 * asked.kernel[1]) if seed % 2 else (1, asked.kernel[1])
    return replace(
        asked,
        h=asked.h + top + bottom,
        w=asked.w + left + right + taps[1] * asked.dilation[1],
        kernel=taps,
        dilation=(asked.dilation[0], 1),
        pads=((0, 0), (0, 0) if seed % 2 else (left, right)),
        padded=not seed % 2,
        crossing=True,
    )


def in_words(seed: int) -> Asked:
    """The same with windows that are read where they lie; rows of them lie in step, or do not."""
    asked = drawn_conv(seed)
    (top, bottom), (left, right) = asked.pads
    return replace(
        asked,
        h=asked.h + top + bottom,
        w=asked.w + left + right,
        c=4 * (1 + asked.c % 5),
        kernel=(1, asked.kernel[1]) if seed % 2 else (1, 1),
        pads=((0, 0), (0, 0)),
        row_gap=4 * (seed % 3 // 2),
        shift=(0, asked.shift[1]),
        padded=False,
    )


def drawn_linear(seed: int) -> Asked:
    rng = np.random.default_rng(seed)
    rows, c = (
        int(rng.choice(v)) for v in ((1, 1, 2, 3, 4, 5, 9, 17, 34), (1, 2, 3, 4, 7, 16, 64, 129))
    )
    asked = Asked(rows, 1, c, int(rng.integers(1, 70)), linear=True, **drawn_layout(rng), seed=seed)
    return replace(asked, nine_cores=asked.in_place and seed % 4 > 0)


def drawn_layout(rng: np.random.Generator) -> dict[str, object]:
    low, high = ((-128, 127), (-128, 127), (-20, 127), (-128, 90), (3, 4))[int(rng.integers(5))]
    shift = [int(v) for v in rng.choice([0, 0, 1, 2, 3], 2)]
    gaps = [int(v) for v in rng.choice([0, 0, 1, 4], 2)]
    table = bool(rng.random() < 0.3)
    where = {"row_gap": gaps[0], "y_gap": gaps[1], "shift": (shift[0], shift[1])}
    return {"low": low, "high": high, "table": table, **where}


def drawn_matmul(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    m, n = (int(v) for v in rng.choice([1, 2, 3, 4, 6, 9, 16, 33], 2))
    zeros = [int(v) for v in rng.choice([0, -128, 127, 5, -37], 2)]
    gaps, shift = ([int(v) for v in rng.choice([0, 0, 1, 2, 4], 3)] for _ in range(2))
    return matmul_case(
        m,
        int(rng.choice([1, 2, 3, 4, 5, 8, 31, 64])),
        n,
        turned=bool(rng.random() < 0.5),
        zeros=(zeros[0], zeros[1]),
        gaps=(gaps[0], gaps[1], gaps[2]),
        limits=((-128, 127), (-128, 127), (-30, 40))[int(rng.integers(3))],
        table=bool(rng.random() < 0.3),
        shift=(shift[0], shift[1], shift[2] % 4),
        nine_cores=seed % 4 > 0,
        seed=seed,
    )


@cache
def drawn() -> Sequence[Case]:
    convs = [conv_case(drawn_conv(seed)) for seed in range(COUNT)]
    linears = [conv_case(drawn_linear(seed)) for seed in range(COUNT // 2)]
    convs += [conv_case(together(seed)) for seed in range(COUNT, COUNT + COUNT // 2)]
    convs += [conv_case(in_words(seed)) for seed in range(2 * COUNT, 2 * COUNT + COUNT // 3)]
    convs += [conv_case(crossing(seed)) for seed in range(3 * COUNT, 3 * COUNT + COUNT // 3)]
    return [*convs, *linears, *(drawn_matmul(seed) for seed in range(COUNT // 2))]


def mismatches(cases: Sequence[Case], found: Sequence[np.ndarray]) -> list[str]:
    pairs = zip(cases, found, strict=True)
    return [
        f"{np.sum(c.expected != y)}: {c.name}"
        for c, y in pairs
        if not np.array_equal(c.expected, y)
    ]


def test_the_c_is_the_meaning(tmp_path: Path) -> None:
    """With UBSan, every operand between guard pages."""
    told = tmp_path / "case"

    def run() -> None:
        for case in drawn():
            told.write_text(case.name)
            assert not mismatches([case], [run_on_host(case)]), "differs"

    assert in_child(run, told) == ""


def test_the_chip_does_the_same(tmp_path: Path) -> None:
    """And leaves alone what lies around the operands."""
    cases = drawn()
    assert mismatches(cases, [ran.y for ran in run_on_chip(cases, tmp_path)]) == []


def test_columns_are_packed_alike_where_a_shuffle_counts_its_bytes_otherwise(
    tmp_path: Path,
) -> None:
    cases = [drawn_matmul(seed) for seed in range(COUNT // 2)]
    runs = run_on_chip(cases, tmp_path, made=firmware(SHUFFLE, REVERSED))
    assert mismatches(cases, [ran.y for ran in runs]) == []


def test_none_has_become_slow() -> None:
    """Cycles are the same every time; layout of the code moves them by some percent."""
    slow = [
        f"{name}: {case.macs / ran.warm:.2f} < {least}"
        for name, (case, ran, least) in measured().items()
        if case.macs / ran.warm < least
    ]
    assert slow == []


CORE_CACHE_BYTES = 512  # a core's instruction cache: 8 sets of 4 lines of 16 bytes


def loops(program: Program, name: str) -> Iterator[tuple[int, int]]:
    """Of a function's hardware loops: the first instruction, and behind the last."""
    first, end, _ = next(row for row in program.functions if row[2] == name)
    start, code = next((at, code) for at, code in program.segments if at <= first < at + len(code))
    at = first
    while at < end:
        (word,) = struct.unpack_from("<I", code, at - start)
        if word & 0x707F == 0x407B:  # lp.setup: the last instruction is so many halfwords further
            last = at + 2 * (word >> 20)
            yield at + 4, last + 4
        at += 4 if word & 3 == 3 else 2


def test_loops_of_blocks_begin_and_end_with_whole_words() -> None:
    """What the chip does with others is not known."""
    program = firmware().program
    blocks = [f"me_block_{p}x{c}" for p in (1, 2, 3, 4) for c in (1, 2, 3, 4)]
    found = {name: [*loops(program, name)] for name in [*blocks, "me_block_1x8"]}
    assert {len(each) for each in found.values()} == {2}
    assert [at % 4 for each in found.values() for loop in each for at in loop] == [0] * 4 * 17


def test_the_largest_block_fits_a_cores_instruction_cache() -> None:
    """From the start of a line: what follows the loop over blocks is rarely run."""
    begin, end = next(loops(firmware().program, "me_block_4x4"))
    assert begin % 16 == 0
    assert end - begin <= CORE_CACHE_BYTES
