# SPDX-License-Identifier: Apache-2.0
"""What each layer of a planned network takes: its own tiles and transfers, moment by moment.

The core that steers starts what a moment needs, one command after another: stores of the tile
before, loads of the one behind, then what layers to come need. The DMA works off each direction in
that order. The moment lasts until the cores have computed their tile and all that the next one
needs is there: also what it waits for only because the DMA has something else in front of it. What
that leaves under way, the moments behind it find. The search for tiles (plan/l1/tile_search.py)
knows less, but pays the same prices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from myoedge.numerics.arrays import Array
from myoedge.plan.cost.code_cache import Fetched, fetches
from myoedge.plan.cost.count import Count, Paid, by_price, in_cycles
from myoedge.plan.cost.dma_commands import Command, Due, commanded, commands_ahead, first_commands
from myoedge.plan.l1.tile_iteration import spans
from myoedge.plan.l1.tiling import Tiling, Transfer
from myoedge.plan.timeline import Clock
from myoedge.targets.gap9.costs import GAP9_TILES, Prices

_BEFORE = (-1, 0)  # what nothing is due until
MOST_HAULS = 8  # that L3 has under way


Queue = tuple[Command, ...]  # under way into L1, in turn


@dataclass(frozen=True, slots=True)
class Moment:
    """What the cores and the one that steers do from one barrier to the next.

    cold    what code takes beside that is not in the caches: L1 is free meanwhile
    needs   all that is due until then must be there at the end
    begins  what the core that steers does in front of its commands
    helped  it computes behind them
    second  it goes on with the moment before: no haul is begun in it
    sets    what it does between those of the layer and those for layers to come, `ahead`
    """

    computed: Paid
    cold: Paid
    commands: tuple[Command, ...]
    needs: Due
    begins: Paid
    sets: Paid
    ahead: tuple[Command, ...]
    helped: bool = False
    second: bool = False

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
    return _counted(tilings, hauls, in_cycles(prices))


def counted(
    tilings: Sequence[Tiling | None], hauls: Sequence[int], prices: Prices
) -> list[Array | None]:
    """How often each layer pays each price; what is hidden behind something longer is not paid."""
    return _counted(tilings, hauls, by_price(prices))


def _counted(tilings: Sequence[Tiling | None], hauls: Sequence[int], count: Count) -> list[Paid]:
    ahead = commands_ahead(tilings, count)
    enters, asked = Clock.of(tilings, False).enters, Counter(hauls)
    found: list[Paid] = []
    queue: Queue = ()
    code = fetches(map(_functions, tilings))
    stored = 0.0  # cycles since the last tile of the layer before
    for index, tiling in enumerate(tilings):
        if tiling is None:
            found.append(None)
            queue, stored = (), 0.0  # such layers are long
            continue
        paid = count.nothing
        begun = (min(asked[number], MOST_HAULS) for number in range(*enters[index : index + 2]))
        for moment in _moments(index, tilings, ahead, code[index], stored, count):
            hauls_begun = 0 if moment.second else next(begun, 0)
            begins = moment.begins + hauls_begun * count.one.haul
            lasted, queue = _lasts(moment, begins, queue, count)
            paid = paid + lasted
        stored = count.cycles(lasted)
        found.append(paid)
    return found


def computed(tilings: Sequence[Tiling | None]) -> list[Paid | None]:
    """How often each layer's cores alone pay each price, without what they wait for."""
    count = by_price(GAP9_TILES)
    code = fetches(map(_functions, tilings))
    pairs = zip(tilings, code, strict=True)
    return [
        None if tiling is None else _of_cores(tiling, fetched, count) for tiling, fetched in pairs
    ]


def _of_cores(tiling: Tiling, fetched: Fetched, count: Count) -> Paid:
    """All tiles, and what it takes to bring code to cores."""
    tiles = _compute(tiling, count)
    missing = fetched.first + (len(tiles) - 1) * fetched.again
    code = count.one.code * missing + len(tiles) * fetched.lines * count.one.code_run
    return sum(tiles, code)


# --- one moment -----------------------------------------------------------------------------------


def _lasts(moment: Moment, begins: Paid, queue: Queue, count: Count) -> tuple[Paid, Queue]:
    """How long, and what is under way into L1 then."""
    cycles, one = count.cycles, count.one
    busy, out = begins, count.nothing
    into = _until(queue, len(queue), count)
    due = max((n for n, c in enumerate(queue, 1) if c.due <= moment.needs), default=0)
    waits = _until(queue, due, count)
    started: list[tuple[float, Command]] = [(0.0, command) for command in queue]
    for command in moment.in_turn:
        busy = busy + command.issue
        if command.out:
            out = max(out, busy, key=cycles) + command.move
        else:
            started.append((cycles(busy), command))
            into = max(into, busy, key=cycles) + command.move
            waits = into if command.due <= moment.needs else waits
    busy = busy if moment.ahead else busy + moment.sets
    computed = cycles(moment.computed)
    slowed = one.dma_slowed * min(computed, cycles(waits))
    moved = [x + slowed + one.dma_end for x in (waits, out) if cycles(x) > 0]
    if moment.helped:
        busy = busy + moment.computed + one.help
    lasted = max(moment.computed + moment.cold, busy, *moved, key=cycles)
    beside = cycles(one.dma_slowed * computed)
    return lasted, tuple(_left(started, cycles(lasted) - beside, cycles))


def _until(queue: Queue, several: int, count: Count) -> Paid:
    return sum((command.move for command in queue[:several]), count.nothing)


def _left(
    started: Iterable[tuple[float, Command]], end_cycles: float, cycles: Callable[[Paid], float]
) -> Iterator[Command]:
    """What is not over after that time, of commands and when each was started."""
    end = 0.0
    for at, command in started:
        need = cycles(command.move)
        begin = min(max(end, at), end_cycles)
        end = max(end, at) + need
        if end > end_cycles:
            yield replace(command, move=command.move * (1 - (end_cycles - begin) / need))


# --- the moments of a layer -----------------------------------------------------------------------


def _moments(
    index: int,
    tilings: Sequence[Tiling | None],
    ahead: Mapping[int, list[Command]],
    fetched: Fetched,
    stored: float,
    count: Count,
) -> Iterator[Moment]:
    """The first tile's loads, each tile, the last one's stores; layers that are joined to the one
    before begin with a tile. While that one stored its last tile, kernels prepared theirs."""
    here, behind = tilings[index], tilings[index + 1] if index + 1 < len(tilings) else None
    assert here is not None
    known: set[str] = set()
    one, nothing, loads, last = count.one, count.nothing, _loads(here), len(here.tiles)
    prepared = _prepared(here, fetched, count)
    begun = _left_over(prepared + (index == 0) * one.network, stored, count)
    yield _first_moment(index, here, loads[0], begun, known, count)
    meanwhile = _until_late(here, count)
    if here.waits > 1:
        yield Moment(meanwhile, nothing, (), (index, 0), nothing, nothing, (), second=True)
    runs = fetched.lines * one.code_run + one.step
    for t, every in enumerate(_compute(here, count)):
        own = (
            *_stores(index, here, t, known, count),
            *(commanded((index, due), x, known, count) for due, x in loads[t + 1]),
        )
        others, at_end = tuple(ahead.get(here.first + t, ())), t + 1 == last
        moved_bytes = sum(c.bytes for c in (*own, *others))
        computed = every - (nothing if t else meanwhile)
        yield Moment(
            computed + runs + moved_bytes * one.dma_contention,
            one.code * (fetched.again if t else fetched.first) - (nothing if t else prepared),
            own,
            (index + 1, 0) if at_end and behind and behind.joined else (index, t + 1),
            nothing,
            _sets(behind, count) if at_end else one.steer_tile,
            others,
            bool(here.tiled.helped),
        )
    out = tuple(_stores(index, here, last, known, count))
    yield Moment(nothing, nothing, out, _BEFORE, nothing, nothing, ())


def _stores(index: int, here: Tiling, t: int, known: set[str], count: Count) -> Iterator[Command]:
    """Of the tile before t."""
    for x in here.tiles[t - 1].stores if t > 0 else ():
        yield commanded((index, t), x, known, count, True)


def _first_moment(
    index: int,
    here: Tiling,
    loads: Iterable[tuple[int, Transfer]],
    begun: Paid,
    known: set[str],
    count: Count,
) -> Moment:
    """Until a layer's first tile is there; the kernel prepares its own meanwhile."""
    around = count.one.joined if here.joined else count.one.layer
    around = around + (index == 0) * count.one.network
    first = tuple(first_commands(index, here, loads, known, count))
    due = _BEFORE if here.joined else (index, 0 if here.waits < 2 else -1)
    return Moment(count.nothing, begun, first, due, around, count.nothing, ())


def _until_late(tiling: Tiling, count: Count) -> Paid:
    """What the kernel computes of its first tile until what comes late is there."""
    if tiling.waits < 2:
        return count.nothing
    assert tiling.tiled.late is not None
    return tiling.tiled.late.cycles(next(_tile_sizes(tiling)), count.one)


def _left_over(work: Paid, done_cycles: float, count: Count) -> Paid:
    cycles = count.cycles(work)
    return work * (1 - done_cycles / cycles) if cycles > done_cycles else count.nothing


def _sets(behind: Tiling | None, count: Count) -> Paid:
    """What the core that steers does for the next layer: its kernel is told of the first tile."""
    if behind is None:
        return count.nothing
    told = len(behind.tiled.op) + len(behind.tiled.tile(behind.tiles[0].regions))
    return count.one.steer_layer + told * count.one.steer_field


def _loads(tiling: Tiling) -> list[list[tuple[int, Transfer]]]:
    """(tile, transfer) of what is started in front of the first tile, and beside each."""
    found: list[list[tuple[int, Transfer]]] = [[] for _ in range(len(tiling.tiles) + 1)]
    for t, tile in enumerate(tiling.tiles):
        found[tiling.loads_in(t)] += [
            (t, x) for x in tile.loads if not (t == 0 and tiling.early(x))
        ]
    return found


def _functions(tiling: Tiling | None) -> tuple[str, ...]:
    if tiling is None:
        return ()
    return tiling.tiled.code({**tiling.tiled.axes, **tiling.choice.sizes})


def _prepared(tiling: Tiling, fetched: Fetched, count: Count) -> Paid:
    """What a kernel does of its first tile while operands come."""
    if tiling.joined or not tiling.tiled.waits:
        return count.nothing
    first = next(_tile_sizes(tiling))
    ready = tiling.tiled.cycles(first, count.ready) if fetched.ready else count.nothing
    return fetched.prepared * count.one.code + ready


def _compute(tiling: Tiling, count: Count) -> list[Paid]:
    """Of every tile; those of one size take the same."""
    known: dict[tuple[int, ...], Paid] = {}
    found = []
    for sizes in _tile_sizes(tiling):
        key = tuple(sizes.values())
        if key not in known:
            known[key] = tiling.tiled.cycles(sizes, count.one)
        found.append(known[key])
    return found


def _tile_sizes(tiling: Tiling) -> Iterator[dict[str, int]]:
    """Of every tile in turn; whether it is the first or the last along an axis where that tells."""
    axes = tiling.tiled.axes
    for tile in spans(tiling.tiled, tiling.choice):
        sizes: dict[str, int] = {axis: size for axis, (_, size) in tile.items()}
        for axis in tiling.tiled.ends:
            first, size = tile[axis]
            sizes |= {f"{axis} first": first == 0, f"{axis} last": first + size == axes[axis]}
        yield sizes
