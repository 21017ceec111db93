# SPDX-License-Identifier: Apache-2.0
"""Loops over strided operands, as few as possible: of broadcasts and batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from myoedge.graph.ir import Shape
from myoedge.operators.base import strides


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop of a kernel: its extent, and what one turn adds to the index of every operand."""

    extent: int
    steps: tuple[int, ...]


def merged(out: Shape, operands: Sequence[Sequence[int]]) -> tuple[Loop, ...]:
    """Loops over `out`; neighbours are joined where all operands step alike, extents of 1 go."""
    loops: list[Loop] = []
    for axis, extent in enumerate(out):
        steps = tuple(operand[axis] for operand in operands)
        if extent == 1:
            continue
        if loops and all(o == i * extent for o, i in zip(loops[-1].steps, steps, strict=True)):
            loops[-1] = Loop(loops[-1].extent * extent, steps)
        else:
            loops.append(Loop(extent, steps))
    return tuple(loops) or (Loop(1, (0,) * len(operands)),)


def broadcast_steps(shape: Shape, out: Shape, unit: int = 1) -> tuple[int, ...]:
    """Elements that a turn of every loop over `out` moves in an operand; 0 where it repeats."""
    lead = len(out) - len(shape)
    own = [0 if n == 1 else s * unit for n, s in zip(shape, strides(shape), strict=True)]
    return (0,) * lead + tuple(own)
