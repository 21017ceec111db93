# SPDX-License-Identifier: Apache-2.0
"""Estimated cycles of generated C on one core: one per operation of its text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from myoedge.nest.c_dots import dot_cycles
from myoedge.nest.c_rows import total_cycles

# Cycles of one core, from 60 generated layers with 8 to 51,200 elements, simulated: one per
# instruction of the text; literals beyond 12 bits are in registers where these suffice.
OPERATIONS = re.compile(r"me_\w+|table(?=\d+\[)|\bx(?=\d+\[)| (?!= )[-+*/?<>=&]+ |\b\d{4,}\b")
LITERAL_CYCLES = 0.5
INLINE = re.compile(r"me_(dot|total|squares|most|least|moments|extremes|line_of_row)")
INLINE_OPERATIONS = {"line_of_row": 110}  # of calls that are compiled into their place
ROW_OPERATIONS = 25  # of those of rows
OPERATION_CYCLES: dict[str, float] = {
    "table": 3,
    "me_at_b": 3,
    "me_at_bu": 3,
    "me_add4_b": 4,
    "me_set4_b": 4,
    "me_add2_h": 2,
    "me_set2_h": 2,
    "me_quotient": 40,
    "me_remainder": 40,
    "me_angle": 45,
    "me_fine_angle": 55,
    "me_length": 130,
    "me_fine_length": 145,
    "me_between": 9,
    "me_between_points": 17,
    "me_long_shifted": 4,
    "me_long_max": 4,
    "me_long_min": 4,
    "me_normalised": 150,
    "me_on_segment": 60,
    "me_line_of_row": 190,
    "me_probability": 6,
    "me_below": 4,
    "me_reciprocal": 37,
}
# A core's own instruction cache has 512 bytes: 128 instructions. Those beyond come from the cache
# that the cores share: cycles of one, from simulated votes of 20 to 100 classes.
CACHED_OPERATIONS, FETCH_CYCLES = 128, 2.0
REDUCING = re.compile(
    r"for \(int32_t \w+ = .*; \w+ < (?:(\d+); \w+ ?\+(?:\+|= (\d))|.* /\* at most (\d+) times)"
)


def text_cycles(lines: Sequence[str]) -> float:
    """Return the cycles of lines of C, some of them in loops over reduced axes."""
    return sum(map(_line_cycles, *_count_line_repeats(lines)))


def iteration_cycles(lines: Sequence[str]) -> float:
    """Return the cycles of lines of C that a loop repeats. Code beyond a core's own instruction
    cache is fetched in every iteration."""
    beyond = max(code_operations(lines) - CACHED_OPERATIONS, 0)
    return text_cycles(lines) + FETCH_CYCLES * beyond


def code_operations(lines: Sequence[str]) -> int:
    """Return the number of operations in the text of lines of C, loops counted once."""
    own = (len(OPERATIONS.findall(line.split(" /* ")[0])) for line in lines)
    calls = (INLINE_OPERATIONS.get(x, ROW_OPERATIONS) for x in INLINE.findall(" ".join(lines)))
    return sum(own) + sum(calls)


def _count_line_repeats(lines: Sequence[str]) -> tuple[list[str], list[int]]:
    """Return lines of C without comments, and how often each is run: loops over reduced axes have
    literal extents."""
    times, found = [1], list[int]()
    for line in lines:
        extent = REDUCING.match(line.strip())
        times += (
            [times[-1] * (int(extent[1]) // int(extent[2] or 1) if extent[1] else int(extent[3]))]
            if extent
            else []
        )
        found.append(times[-1])
        times = times[:-1] if line.strip() == "}" else times
    return [line.split(" /* ")[0] for line in lines], found


def _line_cycles(line: str, times: int) -> float:
    own = sum(map(_operation_cycles, OPERATIONS.findall(line)))
    return times * (own + dot_cycles(line) + total_cycles(line))


def _operation_cycles(text: str) -> float:
    return LITERAL_CYCLES if text.isdigit() else OPERATION_CYCLES.get(text.strip(), 1)
