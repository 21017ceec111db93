# SPDX-License-Identifier: Apache-2.0
"""What each layer of a planned network takes: its own tiles and transfers, one by one.

While the cores compute a tile, core 8 stores the one before and loads the one behind it; a step is
as long as the longer of both. In front of the steps the first tile is loaded, behind them the last
is stored. What is fetched for layers to come runs beside computation, and is paid by the layer that
has to wait for it. The search for tiles (plan/tile.py) knows less, but pays the same prices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

import numpy as np

from myoedge.ir import Array
from myoedge.plan.ahead import early as fetched
from myoedge.plan.tiling import Tiling, Transfer, spans
from myoedge.target.gap9_tiles import GAP9_TILES, Prices

NAMES = tuple(field.name for field in fields(Prices))
BYTES = NAMES.index("dma_byte")
ONES = Prices(*np.eye(len(NAMES)))  # of each price one: what is paid with them is counted by price

Late = list[tuple[int, Array]]  # (layer, counts by price) of fetches that are not over, in turn


def modelled(tilings: Sequence[Tiling | None], prices: Prices = GAP9_TILES) -> list[float | None]:
    """Cycles of each layer; None for those that work on L2 as a whole."""
    values = vector(prices)
    return [None if c is None else float(c @ values) for c in counted(tilings, prices)]


def counted(tilings: Sequence[Tiling | None], prices: Prices) -> list[Array | None]:
    """How often each layer pays each price; what is hidden behind something longer is not paid."""
    values, early = vector(prices), _early(tilings)
    before: Tiling | None = None
    found: list[Array | None] = []
    late: Late = []
    for index, here in enumerate(tilings):
        paid = np.zeros(len(NAMES))
        while late and here is not None and late[0][0] <= index:
            paid = paid + late.pop(0)[1]
        if here is None:
            found.append(None)
        else:
            found.append(paid + _layer(before, here, early, late, values))
        before = here
    return found


def _early(tilings: Sequence[Tiling | None]) -> Mapping[int, Late]:
    """What is started in each tile of the network for layers to come."""
    found: dict[int, Late] = {}
    for index, tiling in enumerate(tilings):
        if tiling is not None and tiling.since is not None:
            found.setdefault(tiling.since, []).append((index, _moved(fetched(tiling))))
    return found


def vector(prices: Prices) -> Array:
    return np.array([getattr(prices, name) for name in NAMES])


def _layer(
    before: Tiling | None, tiling: Tiling, early: Mapping[int, Late], late: Late, values: Array
) -> Array:
    """What it pays, all that it fetched ahead being there; `late` goes on behind it."""
    tiles, compute = tiling.tiles, _compute(tiling)
    first = [x for x in tiles[0].loads if not tiling.early(x)]
    total = ONES.layer + _code(before, tiling) + _moved(first)
    for t, computed in enumerate(compute):
        loads = tiles[t + 1].loads if t + 1 < len(tiles) else ()
        moved = [*(tiles[t - 1].stores if t > 0 else ()), *loads]
        ahead = early.get(tiling.first + t, [])
        size = sum(x.bytes for x in moved) + sum(counts[BYTES] for _, counts in ahead)
        shared = size * ONES.dma_contention
        late.extend(ahead)
        total = total + ONES.step + _step(computed + shared, _moved(moved), late, values)
    return np.asarray(total + _moved(tiles[-1].stores))


def _step(computed: Array, moved: Array, late: Late, values: Array) -> Array:
    """The longer of both; where it is computation, fetches for other layers run beside it."""
    room = float((computed - moved) @ values)
    while late and room > 0:
        index, rest = late.pop(0)
        cycles = float(rest @ values)
        if cycles > room:
            late.insert(0, (index, rest * (1 - room / cycles)))
        room -= cycles
    return computed if float((computed - moved) @ values) > 0 else moved


def _code(before: Tiling | None, tiling: Tiling) -> Array:
    """Of code that is not in the caches: they are small, and forget all but the layer before."""
    needs = tiling.tiled.first(_first_sizes(tiling), ONES)
    has = 0.0 if before is None else before.tiled.first(_first_sizes(before), ONES)
    return np.asarray(np.maximum(needs - has, 0))


def _first_sizes(tiling: Tiling) -> dict[str, int]:
    return {**tiling.tiled.axes, **tiling.choice.sizes}


def _compute(tiling: Tiling) -> list[Array]:
    """Of every tile; those of one size take the same."""
    known: dict[tuple[int, ...], Array] = {}
    found = []
    for tile in spans(tiling.tiled, tiling.choice):
        sizes = {axis: size for axis, (_, size) in tile.items()}
        key = tuple(sizes.values())
        if key not in known:
            known[key] = np.asarray(tiling.tiled.cycles(sizes, ONES))
        found.append(known[key])
    return found


def _moved(transfers: Iterable[Transfer]) -> Array:
    """One after another; the first byte of the first is waited for."""
    commands = list(transfers)
    if not commands:
        return np.zeros(len(NAMES))
    lines = sum(x.bytes // x.line for x in commands)
    total = ONES.dma_start + len(commands) * ONES.dma_command + lines * ONES.dma_line
    return np.asarray(total + sum(x.bytes for x in commands) * ONES.dma_byte)
