# SPDX-License-Identifier: Apache-2.0
"""Kernel calls of a tiled layer in C, and the structs of their arguments."""

from __future__ import annotations

from dataclasses import dataclass

from myoedge.plan.l1.tiling import Tiling


@dataclass(frozen=True, slots=True)
class Structs:
    """C expressions of the structs of a kernel call.

    table   what follows them in L1; "" without jobs as data
    """

    op: str
    tile: str
    table: str = ""


def kernel_call(fn: str, index: int, tiling: Tiling) -> str:
    place = argument_structs(fn, index, tiling)
    return f"{tiling.kernel.function}(&{place.op}, &{place.tile});"


def argument_structs(fn: str, index: int, tiling: Tiling) -> Structs:
    """Return the op and tile structs of a kernel call in C: structs of the layer alone, or structs
    that every second layer and tile shares."""
    if tiling.arguments_once:
        return Structs(f"{fn}_op[0]", f"{fn}_tile[0]")
    kernel, slot = tiling.kernel.function, slot_of(tiling)
    if tiling.kernel.jobs:
        return Structs(*(f"me_jobs[{slot}].{name}" for name in ("op", "tile", "table")))
    return Structs(f"me_op[{index % 2}].{kernel}", f"me_tile[{slot}].{kernel}")


def slot_of(tiling: Tiling) -> str:
    """Return the index of a tile's argument structs: tiles of the network alternate between two."""
    if len(tiling.tiles) == 1:
        return str(tiling.first % 2)
    return "(t + 1) % 2" if tiling.first % 2 else "t % 2"
