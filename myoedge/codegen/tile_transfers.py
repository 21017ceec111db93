# SPDX-License-Identifier: Apache-2.0
"""C statements that transfer the operands of a tiled layer between L1 and L2, with C expressions
for values that differ between tiles: formulas of the tile's number, or tables."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from myoedge.codegen.addresses import Addresses, Base, Outside
from myoedge.codegen.render import least_c_type
from myoedge.plan.l1.tile_iteration import Transfer
from myoedge.plan.l1.tiling import Tiling


@dataclass
class Tables:
    """Constant C arrays that hold values per tile for which no formula is found.

    prefix   beginning of their names
    lines    their definitions
    scalars  numbers that C reads from the model's data so far; None: all numbers are literals
    """

    prefix: str
    lines: list[str] = field(default_factory=list)
    scalars: list[int] | None = None

    def scalar(self, place: str, text: str) -> str:
        """Return C for a number that is assigned to `place`: a literal, or an element of the
        model's data."""
        is_number = re.fullmatch(r"-?\d+", text) is not None
        if self.scalars is None or not is_number or not -(2**31) <= int(text) < 2**31:
            return text
        self.scalars.append(int(text))
        # pointers to absent tables are 0
        read = f"{self.prefix}_scalars[{len(self.scalars) - 1}]"
        return f"(__typeof__({place}))(intptr_t){read}"

    def number(self, name: str, values: Sequence[int]) -> str:
        """Return a C expression for a value in tile t; if no formula gives it, a table is added.

        name     name of the value, for the table
        values   value in every tile
        """
        if (text := expression(values)) is not None:
            return text
        # A table of the shortest period, plus an increment per period.
        run = _run_length(values)
        short = values[::run]
        for period in sorted({*divisors(len(short))[1:], shortest_period(short)}):
            terms = _find_terms(short[::period], run * period)
            if terms is not None and _is_periodic(short, period):
                break
        table = f"{self.prefix}_{re.sub(r'[^A-Za-z0-9_]', '', name)}_of_tile"
        self.lines.append(c_table(least_c_type(short[:period]), table, map(str, short[:period])))
        at = _index_text(run, 0 if period == len(short) else period)
        return _sum_text(f"{table}[{at}]", terms or [])


@dataclass(frozen=True, slots=True)
class TileTerm:
    """One term of a formula in the tile's number t: step * ((t / run) % count), without modulo if
    count is 0."""

    step: int
    run: int
    count: int


def expression(values: Sequence[int]) -> str | None:
    """Return a C expression in the tile's number t that gives all values: a constant, a sum of
    terms a * (t / b % c), or a condition; None if there is none."""
    terms = _find_terms(values, 1)
    if terms is None:
        phases = phases_of([*map(bool, values)]) if {*values} == {0, 1} else None
        return phases and f"({' && '.join(within(phases, len(values)))})"
    return _sum_text("" if terms and values[0] == 0 else str(values[0]), terms)


def _find_terms(values: Sequence[int], run: int) -> list[TileTerm] | None:
    """Find terms whose sum equals values minus the first value; each value is used for `run`
    tiles."""
    more = _run_length(values)
    values, run = values[::more], run * more
    if len(values) == 1:
        return []
    step = values[1] - values[0]
    straight = (i for i, v in enumerate(values) if v != values[0] + i * step)
    count = next(straight, len(values))
    if not _is_periodic(values, count):
        return None
    rest = _find_terms(values[::count], run * count)
    own = TileTerm(step, run, 0 if count == len(values) else count)
    return None if rest is None else [own, *rest]


def _run_length(values: Sequence[int]) -> int:
    """Return the greatest common divisor of the lengths of runs of equal values."""
    changes = (i for i, (a, b) in enumerate(itertools.pairwise(values), 1) if a != b)
    return math.gcd(*changes) or len(values)


def _is_periodic(values: Sequence[int], period: int) -> bool:
    """Return whether every period equals the first period plus a constant."""
    return all(
        v - values[i - i % period] == values[i % period] - values[0] for i, v in enumerate(values)
    )


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def shortest_period(values: Sequence[Hashable]) -> int:
    """Return the least p with values[t] == values[t - p] for all t >= p, which need not divide the
    number of values.

    Source: the failure function of Knuth, Morris and Pratt, SIAM J. Comput. 6 (1977)
    """
    borders, border = [0], 0  # per prefix, the length of its longest proper prefix that ends it
    for value in values[1:]:
        while border and values[border] != value:
            border = borders[border - 1]
        border += values[border] == value
        borders.append(border)
    return len(values) - borders[-1]


def _sum_text(start: str, terms: Sequence[TileTerm]) -> str:
    text = start
    for term in terms:
        turn, size = _index_text(term.run, term.count), abs(term.step)
        part = turn if size == 1 else f"{turn} * {size}"
        if text:
            text += f" {'+' if term.step > 0 else '-'} {part}"
        else:
            text = part if term.step > 0 else f"-({part})"
    return text


def _index_text(run: int, count: int) -> str:
    index = "t" if run == 1 else f"t / {run}"
    return f"{index} % {count}" if count else index


def c_table(kind: str, name: str, rows: Iterator[str]) -> str:
    lines, line = [], "   "
    for row in rows:
        if len(line) + len(row) > 96:
            lines.append(line)
            line = "   "
        line += f" {row},"
    return f"static const {kind} {name}[] = {{\n" + "\n".join([*lines, line]) + "\n};"


FETCH_CONSTANTS, FETCH_OPERANDS = "fetch_constants", "fetch_operands"
Moved = Sequence[Sequence[Transfer]]  # per tile


def movements(tiling: Tiling, base: Base, movement: Movement) -> dict[str, list[str]]:
    """Return the statements of a layer's functions that start DMA transfers, by function.

    base   operand -> its address in L2, or in a caller's buffer
    """
    fetched: dict[str, list[str]] = {FETCH_CONSTANTS: [], FETCH_OPERANDS: []}
    for x in filter(tiling.early, tiling.tiles[0].loads):
        operand = next(o for o in tiling.kernel.operands if o.name == x.operand)
        call = _single_transfer(movement, "me_fetch", [x], base(operand, x.stays))
        fetched[fetch_function(tiling, x)].append(call)
    store: list[str] = []
    for operand in tiling.kernel.results:
        stores = [[x for x in tile.stores if x.operand == operand.name] for tile in tiling.tiles]
        if any(stores):
            store += _operand_transfers(movement, "me_send", stores, base(operand), False)
    return {
        "load": [*_load_statements(tiling, base, movement)],
        "store": store,
        **fetched,
    }


def fetch_function(tiling: Tiling, x: Transfer) -> str:
    """Return the name of a layer's function that starts a transfer during an earlier layer."""
    return FETCH_OPERANDS if x.operand in tiling.ahead else FETCH_CONSTANTS


@dataclass(frozen=True)
class Movement:
    """Names shared by the statements that start a layer's transfers.

    tables   tables of values per tile
    l1       addresses of the layer's operands in L1
    """

    tables: Tables
    l1: Addresses


def _load_statements(tiling: Tiling, base: Base, movement: Movement) -> Iterator[str]:
    """Yield the statements that load the operands of tile t."""
    for operand, stays in itertools.product(tiling.kernel.operands, (False, True)):
        part = operand.name, stays
        loads = [[x for x in t.loads if (x.operand, x.stays) == part] for t in tiling.tiles]
        early = any(map(tiling.early, loads[0]))
        if any(loads[1:] if early else loads):
            yield from _operand_transfers(movement, "me_fetch", loads, base(operand, stays), early)


def _operand_transfers(
    movement: Movement, function: str, every: Moved, base: Outside, early: bool
) -> Iterator[str]:
    """Yield the statements that transfer one operand's part of tile t.

    early   whether the first tile is left out, because it is loaded during earlier layers
    """
    most, at = max(map(len, every)), [t for t, moved in enumerate(every) if moved]
    phases = phases_of([bool(moved) for moved in every])
    if phases is None or (most > 1 and at != [0]):
        yield from guarded(
            "t > 0" if early else "", [_transfer_table(movement, function, every, base, early)]
        )
        return
    period, first, _ = phases
    # For a tile without transfers, any value will do.
    alike = [moved or every[t - t % period + first] for t, moved in enumerate(every)]
    calls = [
        _single_transfer(movement, function, [moved[i] for moved in alike], base)
        for i in range(most)
    ]
    when = list(within(phases, len(every)))
    yield from guarded(" && ".join([*when, *(["t > 0"] if early else [])]), calls)


def phases_of(there: list[bool]) -> tuple[int, int, int] | None:
    """Return (period, first, end) if a flag is set exactly in the tiles t with first <= t % period
    < end; otherwise None.

    there   the flag in every tile
    """
    for period in divisors(len(there)):
        cut = there[:period]
        if cut * (len(there) // period) == there:
            first, count = cut.index(True), sum(cut)
            return (period, first, first + count) if all(cut[first : first + count]) else None
    raise AssertionError("all of it is a period")


def within(phases: tuple[int, int, int], tiles: int) -> Iterator[str]:
    """Yield the C conditions for first <= t % period < end; none if they are always true."""
    period, first, end = phases
    turn = "t" if period == tiles else f"t % {period}"
    if end - first == 1 < period:
        yield f"{turn} == {first}"
        return
    if first > 0:
        yield f"{turn} >= {first}"
    if end < period:
        yield f"{turn} < {end}"


def _single_transfer(
    movement: Movement, function: str, moved: Sequence[Transfer], base: Outside
) -> str:
    """Return the C call that starts a tile's transfer, for one transfer per tile."""
    name, tables, origin = moved[0].operand, movement.tables, movement.l1.offset(moved[0].operand)
    part = _part_name(moved[0])
    l1 = tables.number(f"{part}_moved_l1", [x.l1 - origin for x in moved])
    at = tables.number(f"{part}_moved_at", [x.at - base.origin for x in moved])
    sizes = ", ".join(
        tables.number(f"{part}_moved_{key}", [getattr(x, key) for x in moved])
        for key in ("bytes", "line", "stride")
    )
    inside, outside = _offset_text(movement.l1.l1(name), l1), _offset_text(base.text, at)
    return f"{function}({inside}, {outside}, {sizes});"


def _part_name(x: Transfer) -> str:
    """Return the name of a transfer's operand, or of its part in L2, for C tables."""
    return f"{x.operand}_in_l2" if x.stays else x.operand


def _offset_text(start: str, offset: str) -> str:
    return start if offset == "0" else f"{start} + {offset}".replace(" + -", " - ")


def _transfer_table(
    movement: Movement, function: str, every: Moved, base: Outside, early: bool
) -> str:
    """Return the C call that starts a tile's transfers from a table, any number per tile; tiles
    with the transfers of earlier ones read their rows.

    early   as for `_operand_transfers`
    """
    moves = [tuple(moved) for moved in every]
    period = shortest_period(moves[early:])
    if early and period < len(moves):
        every = [every[period], *every[1:]]  # the first tile reads none
    rows, ends = [x for moved in every[:period] for x in moved], [0]
    for moved in every[:period]:
        ends.append(ends[-1] + len(moved))
    operand, tables, part = rows[0].operand, movement.tables, _part_name(rows[0])
    name, origin = f"{tables.prefix}_{part}", movement.l1.offset(operand)
    texts = (
        f"{{ {x.at - base.origin}, {x.l1 - origin}, {x.bytes}, {x.line}, {x.stride} }}"
        for x in rows
    )
    tables.lines.append(c_table("me_transfer", f"{name}_moves", texts))
    starts, stops = (
        [each[t % period] for t in range(len(every))] for each in (ends[:-1], ends[1:])
    )
    first = tables.number(f"{part}_first", starts)
    last = tables.number(f"{part}_last", stops)
    l1 = movement.l1.l1(operand)
    return f"{function}_all({name}_moves + {first}, {name}_moves + {last}, {l1}, {base.text});"


def guarded(condition: str, calls: Sequence[str]) -> Iterator[str]:
    if not condition:
        yield from calls
    elif len(calls) == 1:
        yield f"if ({condition})"
        yield f"    {calls[0]}"
    else:
        yield f"if ({condition}) {{"
        yield from (f"    {call}" for call in calls)
        yield "}"
