# SPDX-License-Identifier: Apache-2.0
"""The order in which one core computes a kernel's results, so that results may replace operands in
memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ResultOrder:
    """The order of a kernel's results on one core.

    Consecutive iterations of its loops are a block; blocks are computed one after another.

    loops         axes of the loops, outermost first; an iteration has all of the other axes
    together      iterations of a block
    reads_first   whether a block reads all that it needs before it writes; otherwise its reads and
                  writes are in any order
    channels      axis of a loop around these, whose iterations access their own channels only; "":
                  there is none
    """

    loops: tuple[str, ...]
    together: int = 1
    reads_first: bool = False
    channels: str = ""


ALL_READ_FIRST = ResultOrder((), reads_first=True)  # the kernel begins with a copy of its operands
