# SPDX-License-Identifier: Apache-2.0
"""What each layer of a planned network takes: its own tiles and transfers, one by one.

While the cores compute a tile, core 8 stores the one before and loads the one behind it; a step is
as long as the longer of both. In front of the steps the first tile is loaded, behind them the last
is stored. The search for tiles (plan/tile.py) knows less, but pays the same prices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields

import numpy as np

from myoedge.ir import Array
from myoedge.plan.tiling import Tiling, Transfer, spans
from myoedge.target.gap9_tiles import GAP9_TILES, Prices

NAMES = tuple(field.name for field in fields(Prices))
ONES = Prices(*np.eye(len(NAMES)))  # of each price one: what is paid with them is counted by price


def modelled(tilings: Sequence[Tiling | None], prices: Prices = GAP9_TILES) -> list[float | None]:
    """Cycles of each layer; None for those that work on L2 as a whole."""
    values = vector(prices)
    return [None if c is None else float(c @ values) for c in counted(tilings, prices)]


def counted(tilings: Sequence[Tiling | None], prices: Prices) -> list[Array | None]:
    """How often each layer pays each price; what is hidden behind something longer is not paid."""
    values = vector(prices)

    def longer(a: Array, b: Array) -> Array:
        return a if a @ values >= b @ values else b

    around = zip((None, *tilings[:-1]), tilings, (*tilings[1:], None), strict=True)
    return [
        None if here is None else _layer(before, here, behind, longer)
        for before, here, behind in around
    ]


def vector(prices: Prices) -> Array:
    return np.array([getattr(prices, name) for name in NAMES])


Longer = Callable[[Array, Array], Array]


def _layer(before: Tiling | None, tiling: Tiling, behind: Tiling | None, longer: Longer) -> Array:
    tiles, compute = tiling.tiles, _compute(tiling)
    first = [x for x in tiles[0].loads if not tiling.early(x)]
    total = ONES.layer + _code(before, tiling) + _moved(first)
    early = [] if behind is None else [x for x in behind.tiles[0].loads if behind.early(x)]
    for t, computed in enumerate(compute):
        loads = tiles[t + 1].loads if t + 1 < len(tiles) else early
        moved = [*(tiles[t - 1].stores if t > 0 else ()), *loads]
        shared = sum(x.bytes for x in moved) * ONES.dma_contention
        total = total + ONES.step + longer(computed + shared, _moved(moved))
    return np.asarray(total + _moved(tiles[-1].stores))


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
