# SPDX-License-Identifier: Apache-2.0
"""Which lines of code a layer finds in the caches, and which it has to fetch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from myoedge.targets.gap9.code_size import BESIDE, CACHE_LINES, CODE_LINES, WAITS, code_lines

# Of code that a layer alone has: of the cores, and of the one that steers.
OWN_LINES, STEERING_LINES = 3, 35


@dataclass(frozen=True, slots=True)
class Fetched:
    """Lines of code of a layer: all that run, and those that are not in the caches.

    prepared     before the kernel waits for its operands      first, again   of the first tile; of
                 every other one
    ready        the kernel has found its share of the work by then
    """

    lines: int
    prepared: float
    first: float
    again: float
    ready: bool


def fetches(layers: Iterable[Sequence[str]]) -> list[Fetched]:
    """Of each layer, by the functions that it runs, in turn; none for one that works on L2.

    Caches give up lines as chance will have it, for others that come.
    """
    found: list[Fetched] = []
    held: dict[str, float] = {}
    for code in layers:
        first, again = _missing(held, code), _missing(held, code)
        waits = code.index(WAITS) if WAITS in code else 0
        ready = any(piece.startswith("run") for piece in code[:waits])
        prepared, missing = sum(first[:waits]) + OWN_LINES, sum(first) + OWN_LINES
        found.append(Fetched(code_lines(code), prepared, missing, sum(again), ready))
        held = {piece: lines * _left_of(STEERING_LINES) for piece, lines in held.items() if code}
    return found


def _missing(held: dict[str, float], code: Sequence[str]) -> list[float]:
    """Lines of each function that have to be fetched, by the core that has most to do; `held` is
    what there is of each."""
    found = []
    for piece in code:
        name = piece.removeprefix(BESIDE)
        missing = CODE_LINES[name] - held.pop(name, 0.0)
        for other in held:
            held[other] *= _left_of(missing)
        held[name] = CODE_LINES[name]
        found.append(missing if name == piece else 0.0)
    return found


def _left_of(lines: float) -> float:
    """The part of what the caches hold that is still there when others have come."""
    return math.exp(-lines / CACHE_LINES)
