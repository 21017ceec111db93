# SPDX-License-Identifier: Apache-2.0
"""Constants of a loop's layers that stay in L1 during all iterations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from myoedge.numerics.arrays import round_up
from myoedge.operators.kernel import Operand, TiledKernel
from myoedge.plan.l1.tile_grid import ALIGNMENT
from myoedge.plan.loops import LoopLayers

SHARES = (2, 8)  # they may take 1 / SHARES of L1

Offsets = Mapping[str, int]  # operand -> bytes from the first of these constants


def loop_constants(
    kernels: Sequence[TiledKernel], loops: Sequence[LoopLayers], room: int
) -> list[dict[int, Offsets]]:
    """Return the choices of constants that stay in L1 for all iterations of their loop, each as
    layer -> L1 offsets: those that fit in a share of L1, and none.

    room   bytes of L1; constants that stay leave less for the tiles of all layers
    """
    found: list[dict[int, Offsets]] = []
    for share in SHARES:
        chosen = _within(kernels, loops, room // share)
        found += [chosen] * (chosen not in found)
    return found if {} in found else [*found, {}]


def _within(
    kernels: Sequence[TiledKernel], loops: Sequence[LoopLayers], most: int
) -> dict[int, Offsets]:
    """Return layer -> L1 offsets of the constants that fit in `most` bytes, smallest first; none
    for a loop of a single iteration. Loops run one after another, so that their constants share the
    bytes.
    """
    found: dict[int, dict[str, int]] = {}
    for loop in loops:
        if loop.steps == 1:
            continue
        constants = [
            (size_bytes(operand), index, operand.name)
            for index in range(loop.first, loop.last + 1)
            for operand in kernels[index].operands
            if operand.constant and not kernels[index].in_l2
        ]
        at = 0
        for size, index, name in sorted(constants):
            if at + size <= most:
                found.setdefault(index, {})[name] = at
                at += size
    return dict(found)


def end_bytes(kernels: Sequence[TiledKernel], staying: Mapping[int, Offsets]) -> int:
    """Return the end of the constants that stay in L1 during loops, in bytes from the start of L1.

    staying   result of `loop_constants`
    """
    rows = ((kernels[i].operand(name), at) for i, x in staying.items() for name, at in x.items())
    return max((at + size_bytes(operand) for operand, at in rows), default=0)


def size_bytes(operand: Operand) -> int:
    """Return the bytes of L1 that a constant takes if it is not tiled."""
    return int(round_up(math.prod(operand.shape) * operand.itemsize, ALIGNMENT))
