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
from functools import lru_cache

import numpy as np

from myoedge.ir import Array
from myoedge.plan.ahead import early
from myoedge.plan.caches import Fetched, fetches
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

    cold    what code takes beside that is not in the caches: L1 is free meanwhile
    needs   all that is due until then must be there at the end
    begins  what the core that steers does in front of its commands
    helped  it computes behind them
    sets    what it does between those of the layer and those for layers to come, `ahead`
    """

    computed: Array
    cold: Array
    commands: tuple[Command, ...]
    needs: Due
    begins: Array
    sets: Array
    ahead: tuple[Command, ...]
    helped: bool = False

    @property
    def in_turn(self) -> tuple[Command, ...]:
        """All commands, what comes between them in the issue of the first behind it."""
        if not self.ahead:
            return self.commands
        first, *others = self.ahead
        return (*self.commands, replace(first, issue=first.issue + self.sets), *others)


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
    code = fetches(map(_functions, tilings))
    for index, tiling in enumerate(tilings):
        if tiling is None:
            found.append(None)
            queue = ()  # such layers are long
            continue
        paid = NOTHING
        begun = (min(asked[number], MOST_HAULS) for number in range(*enters[index : index + 2]))
        for moment in _moments(index, tilings, ahead, code[index]):
            begins = moment.begins + next(begun, 0) * ONES.haul
            lasted, queue = _lasts(replace(moment, begins=begins), queue, values)
            paid = paid + lasted
        found.append(paid)
    return found


def computed(tilings: Sequence[Tiling | None]) -> list[Array | None]:
    """The same of the cores alone, without what they wait for."""
    code = fetches(map(_functions, tilings))
    return [
        None if tiling is None else sum(_compute(tiling), _code(fetched, len(tiling.tiles)))
        for tiling, fetched in zip(tilings, code, strict=True)
    ]


def _code(fetched: Fetched, tiles: int) -> Array:
    """What it takes to bring code to cores, of all tiles."""
    missing = fetched.first + (tiles - 1) * fetched.again
    return np.asarray(ONES.code * missing + tiles * fetched.lines * ONES.code_run)


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
    for command in moment.in_turn:
        busy = busy + command.issue
        if command.out:
            out = _longest(values, out, busy) + command.move
        else:
            started.append((float(busy @ values), command))
            into = _longest(values, into, busy) + command.move
            waits = into if command.due <= moment.needs else waits
    busy = busy if moment.ahead else busy + moment.sets
    beside = ONES.dma_slowed * float(moment.computed @ values)
    slowed = ONES.dma_slowed * min(float(moment.computed @ values), float(waits @ values))
    moved = [x + slowed + ONES.dma_end for x in (waits, out) if x.any()]
    if moment.helped:
        busy = busy + moment.computed + ONES.help
    lasted = _longest(values, moment.computed + moment.cold, busy, *moved)
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
            if mine:
                mine[0] = replace(mine[0], issue=mine[0].issue + ONES.steer_ahead)
            found.setdefault(tiling.since, []).extend(mine)
    return found


def _moments(
    index: int,
    tilings: Sequence[Tiling | None],
    ahead: Mapping[int, list[Command]],
    fetched: Fetched,
) -> Iterator[Moment]:
    """The first tile's loads, each tile, the last one's stores; layers that are joined to the one
    before begin with a tile."""
    here, last = tilings[index], index + 1 == len(tilings)
    assert here is not None
    behind = None if last else tilings[index + 1]
    known: set[str] = set()
    tiles, compute, loads = here.tiles, _compute(here), _loads(here)
    around = np.asarray((ONES.joined if here.joined else ONES.layer) + (index == 0) * ONES.network)
    first = tuple(_command((index, t), x, known) for t, x in loads[0])
    due = _BEFORE if here.joined else (index, 0)
    compute = [each + fetched.lines * ONES.code_run for each in compute]
    prepared = _prepared(here, compute[0], fetched)
    begun = prepared + (index == 0) * ONES.network if prepared.any() else NOTHING
    yield Moment(NOTHING, np.asarray(begun), first, due, around, NOTHING, ())
    for t, computed in enumerate(compute):
        at_end = t + 1 == len(tiles)
        stores = tiles[t - 1].stores if t > 0 else ()
        own = [
            *(_command((index, t), x, known, True) for x in stores),
            *(_command((index, due), x, known) for due, x in loads[t + 1]),
        ]
        others = tuple(ahead.get(here.first + t, ()))
        joined = at_end and behind is not None and behind.joined
        yield Moment(
            computed + ONES.step + sum(c.bytes for c in (*own, *others)) * ONES.dma_contention,
            ONES.code * (fetched.again if t else fetched.first) - (NOTHING if t else prepared),
            tuple(own),
            (index + 1, 0) if joined else (index, t + 1),
            NOTHING,
            _sets(behind) if at_end else np.asarray(ONES.steer_tile),
            others,
            bool(here.tiled.helped),
        )
    out = tuple(_command((index, len(tiles)), x, known, True) for x in tiles[-1].stores)
    yield Moment(NOTHING, NOTHING, out, _BEFORE, NOTHING, NOTHING, ())


def _sets(behind: Tiling | None) -> Array:
    """What the core that steers does for the next layer: its kernel is told of the first tile."""
    if behind is None:
        return NOTHING
    told = len(behind.tiled.op) + len(behind.tiled.tile(behind.tiles[0].regions))
    return np.asarray(ONES.steer_layer + told * ONES.steer_field)


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
    issue, move = _paid(x.bytes, x.bytes // x.line, x.operand in known, out)
    known.add(x.operand)
    return Command(due, issue, move, x.bytes, out)


@lru_cache(maxsize=4096)
def _paid(size: int, lines: int, known: bool, out: bool) -> tuple[Array, Array]:
    """(to start a command, to do it)."""
    issue = ONES.dma_command + (0.0 if known else ONES.dma_first)
    line = ONES.dma_out_line if out else ONES.dma_line
    return np.asarray(issue), np.asarray(lines * line + size * ONES.dma_byte)


def _functions(tiling: Tiling | None) -> tuple[str, ...]:
    if tiling is None:
        return ()
    return tiling.tiled.code({**tiling.tiled.axes, **tiling.choice.sizes})


def _prepared(tiling: Tiling, first: Array, fetched: Fetched) -> Array:
    """What a kernel does of its first tile while operands come."""
    if tiling.joined or not tiling.tiled.waits:
        return NOTHING
    ready = first * (np.array(NAMES) == "dense_ready") if fetched.ready else NOTHING
    return np.asarray(fetched.prepared * ONES.code + ready)


def _compute(tiling: Tiling) -> list[Array]:
    """Of every tile; those of one size take the same."""
    known: dict[tuple[int, ...], Array] = {}
    found = []
    axes = tiling.tiled.axes
    for tile in spans(tiling.tiled, tiling.choice):
        sizes: dict[str, int] = {axis: size for axis, (_, size) in tile.items()}
        for axis in tiling.tiled.ends:
            first, size = tile[axis]
            sizes |= {f"{axis} first": first == 0, f"{axis} last": first + size == axes[axis]}
        key = tuple(sizes.values())
        if key not in known:
            known[key] = np.asarray(tiling.tiled.cycles(sizes, ONES))
        found.append(known[key])
    return found
