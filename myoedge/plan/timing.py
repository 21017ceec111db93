# SPDX-License-Identifier: Apache-2.0
"""What each layer of a planned network takes: its own tiles and transfers, moment by moment.

The core that steers starts what a moment needs, one command after another: stores of the tile
before, loads of the one behind, then what layers to come need. The DMA works off each direction in
that order. The moment lasts until the cores have computed their tile and all that the next one
needs is there: also what it waits for only because the DMA has something else in front of it. What
that leaves under way, the moments behind it find. The search for tiles (plan/tile.py) knows less,
but pays the same prices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from myoedge.ir import Array
from myoedge.plan.ahead import early
from myoedge.plan.cut import spans
from myoedge.plan.moments import Clock
from myoedge.plan.tiling import Tiling, Transfer
from myoedge.target.gap9_tiles import GAP9_TILES, Prices

NAMES = tuple(field.name for field in fields(Prices))
ONES = Prices(*np.eye(len(NAMES)))  # of each price one: what is paid with them is counted by price
NOTHING: Array = np.zeros(len(NAMES))
_BEFORE = (-1, 0)  # what nothing is due until
MOST_HAULS = 8  # that L3 has under way
Due = tuple[int, int]  # layer and tile


@dataclass(frozen=True, slots=True)
class Command:
    """Of the DMA; what it takes is counted by price.

    due     layer and tile that need it
    issue   to start it     move   to do it, or what is left of that
    """

    due: Due
    issue: Array
    move: Array
    bytes: int
    out: bool


Queue = tuple[Command, ...]  # under way into L1, in turn


@dataclass(frozen=True, slots=True)
class Moment:
    """What the cores and the one that steers do from one barrier to the next, counted by price.

    needs   all that is due until then must be there at the end
    begins  what the core that steers does in front of its commands
    helped  it computes behind them
    """

    computed: Array
    commands: tuple[Command, ...]
    needs: Due
    begins: Array
    helped: bool = False


def modelled(
    tilings: Sequence[Tiling | None], hauls: Sequence[int] = (), prices: Prices = GAP9_TILES
) -> list[float | None]:
    """Cycles of each layer, without waiting for L3; None for those that work on L2 as a whole.

    hauls   the moments in which transfers between L3 and L2 may begin
    """
    values = vector(prices)
    return [None if c is None else float(c @ values) for c in counted(tilings, hauls, prices)]


def counted(
    tilings: Sequence[Tiling | None], hauls: Sequence[int], prices: Prices
) -> list[Array | None]:
    """How often each layer pays each price; what is hidden behind something longer is not paid."""
    values, ahead = vector(prices), _ahead(tilings)
    enters, asked = Clock.of(tilings, False).enters, Counter(hauls)
    found: list[Array | None] = []
    queue: Queue = ()
    for index, tiling in enumerate(tilings):
        if tiling is None:
            found.append(None)
            queue = ()  # such layers are long
            continue
        paid = NOTHING
        begun = (min(asked[number], MOST_HAULS) for number in range(*enters[index : index + 2]))
        for moment in _moments(index, tilings, ahead):
            begins = moment.begins + next(begun, 0) * ONES.haul
            lasted, queue = _lasts(replace(moment, begins=begins), queue, values)
            paid = paid + lasted
        found.append(paid)
    return found


def vector(prices: Prices) -> Array:
    return np.array([getattr(prices, name) for name in NAMES])


# --- one moment -----------------------------------------------------------------------------------


def _lasts(moment: Moment, queue: Queue, values: Array) -> tuple[Array, Queue]:
    """How long, and what is under way into L1 then."""
    busy, out = moment.begins, NOTHING
    into = _until(queue, len(queue))
    waits = _until(
        queue, max((n for n, c in enumerate(queue, 1) if c.due <= moment.needs), default=0)
    )
    started: list[tuple[float, Command]] = [(0.0, command) for command in queue]
    for command in moment.commands:
        busy = busy + command.issue
        if command.out:
            out = _longest(values, out, busy) + command.move
        else:
            started.append((float(busy @ values), command))
            into = _longest(values, into, busy) + command.move
            waits = into if command.due <= moment.needs else waits
    beside = ONES.dma_slowed * float(moment.computed @ values)
    slowed = ONES.dma_slowed * min(float(moment.computed @ values), float(waits @ values))
    moved = [x + slowed + ONES.dma_end for x in (waits, out) if x.any()]
    if moment.helped:
        busy = busy + moment.computed
    lasted = _longest(values, moment.computed, busy, *moved)
    return lasted, tuple(_left(started, float((lasted - beside) @ values), values))


def _until(queue: Queue, count: int) -> Array:
    return np.asarray(sum((command.move for command in queue[:count]), NOTHING))


def _left(
    started: Iterable[tuple[float, Command]], cycles: float, values: Array
) -> Iterator[Command]:
    """What is not over after that time, of commands and when each was started."""
    end = 0.0
    for at, command in started:
        need = float(command.move @ values)
        begin = min(max(end, at), cycles)
        end = max(end, at) + need
        if end > cycles:
            yield replace(command, move=command.move * (1 - (cycles - begin) / need))


def _longest(values: Array, *counts: Array) -> Array:
    return max(counts, key=lambda each: float(each @ values))


# --- the moments of a layer -----------------------------------------------------------------------


def _ahead(tilings: Sequence[Tiling | None]) -> Mapping[int, list[Command]]:
    """What is started in each tile of the network for layers to come."""
    found: dict[int, list[Command]] = {}
    for index, tiling in enumerate(tilings):
        if tiling is not None and tiling.since is not None:
            known: set[str] = set()
            mine = [_command((index, 0), x, known) for x in early(tiling)]
            found.setdefault(tiling.since, []).extend(mine)
    return found


def _moments(
    index: int, tilings: Sequence[Tiling | None], ahead: Mapping[int, list[Command]]
) -> Iterator[Moment]:
    """The first tile's loads, each tile, the last one's stores; layers that are joined to the one
    before begin with a tile."""
    here, last = tilings[index], index + 1 == len(tilings)
    assert here is not None
    before, behind = tilings[index - 1] if index else None, None if last else tilings[index + 1]
    known: set[str] = set()
    tiles, compute, loads = here.tiles, _compute(here), _loads(here)
    around = np.asarray((ONES.joined if here.joined else ONES.layer) + (index == 0) * ONES.network)
    first = [_command((index, t), x, known) for t, x in loads[0]]
    yield Moment(NOTHING, tuple(first), _BEFORE if here.joined else (index, 0), around)
    for t, computed in enumerate(compute):
        at_end = t + 1 == len(tiles)
        stores = tiles[t - 1].stores if t > 0 else ()
        own = [
            *(_command((index, t), x, known, True) for x in stores),
            *(_command((index, due), x, known) for due, x in loads[t + 1]),
        ]
        commands = (*own, *ahead.get(here.first + t, ()))
        joined = at_end and behind is not None and behind.joined
        yield Moment(
            computed
            + (_code(before, here) if t == 0 else 0.0)
            + ONES.step
            + sum(c.bytes for c in commands) * ONES.dma_contention,
            commands,
            (index + 1, 0) if joined else (index, t + 1),
            NOTHING,
            bool(here.tiled.helped),
        )
    out = tuple(_command((index, len(tiles)), x, known, True) for x in tiles[-1].stores)
    yield Moment(NOTHING, out, _BEFORE, NOTHING)


def _loads(tiling: Tiling) -> list[list[tuple[int, Transfer]]]:
    """(tile, transfer) of what is started in front of the first tile, and beside each."""
    found: list[list[tuple[int, Transfer]]] = [[] for _ in range(len(tiling.tiles) + 1)]
    for t, tile in enumerate(tiling.tiles):
        found[tiling.loads_in(t)] += [
            (t, x) for x in tile.loads if not (t == 0 and tiling.early(x))
        ]
    return found


def _command(due: Due, x: Transfer, known: set[str], out: bool = False) -> Command:
    """`known`: operands whose code has run before; else it is not in the caches yet."""
    issue = ONES.dma_command + (0.0 if x.operand in known else ONES.dma_first)
    known.add(x.operand)
    line = ONES.dma_out_line if out else ONES.dma_line
    move = x.bytes // x.line * line + x.bytes * ONES.dma_byte
    return Command(due, np.asarray(issue), np.asarray(move), x.bytes, out)


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
