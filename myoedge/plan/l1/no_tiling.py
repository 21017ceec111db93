# SPDX-License-Identifier: Apache-2.0
"""Messages about layers that have no tiling in L1."""

from __future__ import annotations

from myoedge.catalogue import warning
from myoedge.errors import MyoedgeError, Notice
from myoedge.operators.kernel import TiledKernel
from myoedge.plan.l1.layer_kernels import least_bytes
from myoedge.plan.l1.tile_search import smallest


def tile_facts(kernel: TiledKernel, room: int) -> dict[str, str]:
    """Return facts for messages about a layer that does not fit: its smallest tile, the available
    L1, its largest operand.

    room   bytes of L1
    """
    sizes, parts = smallest(kernel)
    largest = max(parts, key=lambda name: parts[name])
    tile = " ".join(f"{axis} {n}" for axis, n in sizes.items() if axis in kernel.split)
    return {
        "needs": f"{sum(parts.values()):,} B for the smallest tile ({tile or 'the whole'})",
        "has": f"{room:,} B",
        "largest": f"{largest}, {parts[largest]:,} B",
    }


def smaller(kernel: TiledKernel, room: int) -> str:
    """Return, for messages, how to change a layer without a tiling so that it gets one: fewer
    channels only if the input of a single channel fits.

    room   bytes of L1
    """
    operand = kernel.operands[0]
    channels, input_bytes = operand.shape[-1], smallest(kernel)[1][operand.name]
    has_fewer = channels > 1 and input_bytes <= room * channels
    return f"{'fewer channels or ' * has_fewer}smaller kernels in this layer"


def without_room(name: str, kernel: TiledKernel, room: int) -> MyoedgeError:
    """Return error E304 for a layer that has no tiling in L1, and no tiling with operands in L2.

    name   path of the layer
    room   bytes of L1
    """
    facts, tries = tile_facts(kernel, room), [smaller(kernel, room)]
    return MyoedgeError("E304", f"{name} has no tile in L1, nor with operands in L2", facts, tries)


def too_small(name: str, kernel: TiledKernel, room: int) -> Notice:
    """Return the warning that a layer is computed from L2 because it does not fit in L1.

    name   path of the layer
    room   bytes of L1
    """
    tiles = kernel.most_tiles if least_bytes(kernel) <= room else None  # None: no number suffices
    values = {"layer": name, "tiles": tiles, "smaller": smaller(kernel, room)}
    return warning("W301", values, tile_facts(kernel, room))
