# SPDX-License-Identifier: Apache-2.0
"""What the core that steers tells the DMA, and what each command takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from myoedge.plan.cost.count import Count, Paid
from myoedge.plan.l1.prefetch import early
from myoedge.plan.l1.tiling import Tiling, Transfer

Due = tuple[int, int]  # layer and tile


@dataclass(frozen=True, slots=True)
class Command:
    """Of the DMA.

    due     layer and tile that need it
    issue   to start it     move   to do it, or what is left of that
    """

    due: Due
    issue: Paid
    move: Paid
    bytes: int
    out: bool


def commanded(due: Due, x: Transfer, known: set[str], count: Count, out: bool = False) -> Command:
    """`known`: operands whose code has run before; else it is not in the caches yet."""
    issue, move = _paid(x.bytes, x.bytes // x.line, x.operand in known, out, count)
    known.add(x.operand)
    return Command(due, issue, move, x.bytes, out)


@lru_cache(maxsize=4096)
def _paid(size: int, lines: int, known: bool, out: bool, count: Count) -> tuple[Paid, Paid]:
    """(to start a command, to do it)."""
    one = count.one
    issue = one.dma_command + (0.0 if known else one.dma_first)
    line = one.dma_out_line if out else one.dma_line
    return issue, lines * line + size * one.dma_byte


def first_commands(
    index: int,
    tiling: Tiling,
    loads: Iterable[tuple[int, Transfer]],
    known: set[str],
    count: Count,
) -> Iterator[Command]:
    """In front of the first tile: where something comes late, all else is due before."""
    for t, x in sorted(loads, key=lambda load: (load[0], tiling.late(load[1]))):
        sooner = t == 0 and tiling.waits > 1 and not tiling.late(x)
        yield commanded((index, -1 if sooner else t), x, known, count)


def commands_ahead(tilings: Sequence[Tiling | None], count: Count) -> Mapping[int, list[Command]]:
    """What is started in each tile of the network for layers to come."""
    found: dict[int, list[Command]] = {}
    for index, tiling in enumerate(tilings):
        if tiling is not None and tiling.since is not None:
            known: set[str] = set()
            mine = [commanded((index, 0), x, known, count) for x in early(tiling)]
            if mine:
                mine[0] = replace(mine[0], issue=mine[0].issue + count.one.steer_ahead)
            found.setdefault(tiling.since, []).extend(mine)
    return found
