# SPDX-License-Identifier: Apache-2.0
"""A layer in tiles as C functions: arguments, load, compute, store, prefetch of its constants."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from myoedge.codegen.constants import function_name, heading
from myoedge.codegen.render import assignment, render
from myoedge.codegen.tile_numbers import Tables, c_table, divisors
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import SCRATCH, WORD_BYTES, Fields, Operand
from myoedge.plan.l1.tiling import Tiling, Transfer

Base = Callable[[Operand], str]  # the C of where an operand starts outside, a pointer to bytes
NO_TABLES: Mapping[str, int] = {}
Moved = Sequence[Sequence[Transfer]]  # by tile


def tiled_layer(
    index: int,
    step: QuantizedNode,
    tiling: Tiling,
    base: Base,
    *,
    scratch: str = "",
    l3_tables: Mapping[str, int] = NO_TABLES,
) -> str:
    """The C of a layer in tiles.

    scratch     the C of where scratch in L2 starts
    l3_tables   offsets in L3
    """
    fn = function_name(index, step)
    tables, kernel = Tables(fn), tiling.kernel.function
    l2 = {o.name: base(o) for o in tiling.kernel.operands if o.name in tiling.choice.in_l2}
    l2 |= {SCRATCH: scratch} if SCRATCH in tiling.choice.in_l2 else {}
    l2 |= {o.name: base(o) for o in tiling.kernel.l2_tables}
    l2 |= {f"%{name}": str(at) for name, at in l3_tables.items()}
    op, fields = _op(tiling, l2), _fields(tiling, tables, l2)
    early = [x for x in tiling.tiles[0].loads if tiling.early(x)]
    sent, out = [tile.stores for tile in tiling.tiles], tiling.kernel.out
    values = {
        "fn": fn,
        "index": index,
        "slot": _slot(tiling),
        "kernel": kernel,
        "heading": heading(step),
        "summary": summary(tiling),
        "count": len(tiling.tiles),
        "buffers": tiling.choice.depth,
        "first": int(tiling.back_to_back),
        "constants": [_call("me_fetch", x, base, tiling) for x in early],
        "loads": list(_loads(tiling, base, tables)),
        "stores": [*_moves(tables, "me_send", sent, base(out), False)] if any(sent) else [],
        "unpacks": list(_unpacks(tiling, tables, l2)),
        "op": assignment(f"me_op[{index % 2}].{kernel}", f"{kernel}_params", op),
        "tile": assignment(f"me_tile[{_slot(tiling)}].{kernel}", f"{kernel}_tile", fields),
    }
    return render("project/layer.c.j2", {**values, "tables": tables.lines})


def _slot(tiling: Tiling) -> str:
    """Tiles of the network take the two structs in turn."""
    if len(tiling.tiles) == 1:
        return str(tiling.first % 2)
    return "(t + 1) % 2" if tiling.first % 2 else "t % 2"


def parts(tiling: Tiling) -> tuple[str, ...]:
    """Names of the functions that a layer has, prefetch apart."""
    loaded = any(
        t > 0 or not tiling.early(x) for t, tile in enumerate(tiling.tiles) for x in tile.loads
    )
    stored = any(tile.stores for tile in tiling.tiles)
    return ("arguments", "compute", *(("load",) if loaded else ()), *(("store",) if stored else ()))


def summary(tiling: Tiling) -> str:
    """One line for people: tiles, and sizes of the buffers in L1."""
    shape = "x".join(map(str, tiling.shape))
    count = len(tiling.tiles)
    sizes: dict[str, list[int]] = {}
    for buffer in tiling.buffers:
        sizes.setdefault(buffer.operand, []).append(buffer.size_bytes)
    held = [
        f"{name} {f'{len(each)} x ' if len(each) > 1 else ''}{max(each):,}"
        for name, each in sizes.items()
    ]
    tiles = "one tile" if count == 1 else f"{count} tiles of {shape}"
    known = (*(o.name for o in tiling.kernel.operands), SCRATCH)
    in_l2 = [name for name in known if name in tiling.choice.in_l2]
    stay = f"; in L2 {', '.join(in_l2)}" if in_l2 else ""
    return f"{tiles}; in L1 {', '.join(held)} bytes{stay}"


def _op(tiling: Tiling, l2: Mapping[str, str]) -> list[tuple[str, str]]:
    """Fields of the op's struct; `l2`: the C of where starts what stays in L2."""
    first = tiling.tiles[0].l1
    op = _unpacked(tiling, tiling.kernel.op)
    fields = [(name, _value(value, first, l2)) for name, value in op.items()]
    if tiling.kernel.nine_cores is not None:
        fields.append(("nine_cores", str(int(tiling.kernel.nine_cores))))
    return fields


def _value(value: int | str, l1: Mapping[str, int], l2: Mapping[str, str]) -> str:
    if isinstance(value, int):
        return str(value)
    if not value.startswith("@"):
        return l2.get(value, value)
    name = re.findall(r"\w+", value)[0]
    return _pointer(l2.get(name, "me_l1"), str(_place(value, l1) or 0))


def _unpacked(tiling: Tiling, fields: Fields) -> Fields:
    """Fields that point to bytes in scratch in the place of a packed operand."""
    packing = tiling.kernel.packing
    if packing is None:
        return fields
    packed, there = f"@{packing.operand}", f"@{SCRATCH}+{tiling.unpacked_offset}"
    return {name: there if value == packed else value for name, value in fields.items()}


def _unpacks(tiling: Tiling, tables: Tables, l2: Mapping[str, str]) -> Iterator[str]:
    """Statements that unpack a tile's weights where the tile before had others."""
    packing, tiles = tiling.kernel.packing, tiling.tiles
    if packing is None:
        return
    name, regions = packing.operand, [tile.regions[packing.operand] for tile in tiles]
    places = [tile.l1[name] for tile in tiles]
    at = tiles[0].l1[SCRATCH] + tiling.unpacked_offset
    packed = _pointer(l2.get(name, "me_l1"), tables.number(name, places))
    to = _pointer(l2.get(SCRATCH, "me_l1"), str(at))
    words = tables.number(f"{name}_words", [region.size // WORD_BYTES for region in regions])
    cores = 9 if tiling.kernel.nine_cores else 8
    call = f"{packing.function}({packed}, {to}, {words}, {cores});"
    phases = _phases([t == 0 or regions[t] != regions[t - 1] for t in range(len(tiles))])
    period, *part = phases or (1, 0, 1)
    when = _within("t" if period == len(tiles) else f"t % {period}", period, *part)
    yield from _guarded(" && ".join(when), [call])


def _fields(tiling: Tiling, tables: Tables, l2: Mapping[str, str]) -> list[tuple[str, str]]:
    """Fields of the tile's struct as C of the tile's number."""
    strides = dict(_strides(tiling))
    rows = [
        {**_unpacked(tiling, tiling.kernel.tile(tile.regions)), **strides} for tile in tiling.tiles
    ]
    fields = []
    for name, value in rows[0].items():
        if isinstance(value, str):
            places = [
                _place(str(row[name]), tile.l1)
                for row, tile in zip(rows, tiling.tiles, strict=True)
            ]
            known = [place for place in places if place is not None]
            start = l2.get(re.findall(r"\w+", value)[0], "me_l1")
            start = start if min(known, default=0) >= 0 else f"(intptr_t){start}"
            fields.append((name, _pointer(start, tables.number(name, known)) if known else "0"))
        else:
            fields.append((name, tables.number(name, [int(row[name]) for row in rows])))
    fields += _next_tile(tiling, rows, tables)
    if tiling.kernel.kernel_waits:
        fields.append(("kernel_waits", "t == 0" if tiling.kernel_waits else "0"))
    return fields


def _next_tile(tiling: Tiling, rows: Sequence[Fields], tables: Tables) -> Iterator[tuple[str, str]]:
    """Fields of me_next_tile, of a kernel that starts some tiles before they are called for."""
    starts = tiling.kernel.launches_next_tile
    follows = [int(starts(*pair)) for pair in pairwise(rows)] if starts else []
    if any(follows):
        kernel, slot = tiling.kernel.function, "t % 2" if tiling.first % 2 else "(t + 1) % 2"
        follows_now = tables.number("starts_next", [*follows, 0])
        yield "next.tile", f"{follows_now} ? &me_tile[{slot}].{kernel} : 0"
        yield "next.number", f"t + {tiling.first + 1}"


def _strides(tiling: Tiling) -> Iterator[tuple[str, int]]:
    """Strides of operands that lie in L2 or L1 as a whole, by the field of the tile's struct."""
    for o in tiling.kernel.operands:
        if o.row_stride and o.name in tiling.choice.in_l2:
            yield o.row_stride, o.itemsize * math.prod(o.shape[2:])
        if o.position_stride and o.name in tiling.resident:
            yield o.position_stride, o.itemsize * o.shape[-1]


def _pointer(start: str, offset: str) -> str:
    """The C of the address so many bytes behind a start."""
    if offset == "0":
        return f"(void *)({start})" if " " in start else f"(void *){start}"
    return f"(void *)({start} + {offset})".replace(" + -", " - ")


def _place(value: str, l1: Mapping[str, int]) -> int | None:
    """Offset in L1 of "@operand", with what is added or taken away; None: it has no place there."""
    match = re.fullmatch(r"@(\w+)([+-]\d+)?", value)
    assert match is not None, value
    name, shift = match.groups()
    return None if name not in l1 else l1[name] + int(shift or 0)


def _call(function: str, x: Transfer, base: Base, tiling: Tiling) -> str:
    operand = next(o for o in tiling.kernel.operands if o.name == x.operand)
    numbers = (str(x.l1), str(x.at), str(x.bytes), str(x.line), str(x.stride))
    return _move(function, base(operand), *numbers)


def _move(function: str, base: str, l1: str, at: str, size: str, line: str, stride: str) -> str:
    inside = "me_l1" if l1 == "0" else f"me_l1 + {l1}"
    outside = base if at == "0" else f"{base} + {at}"
    return f"{function}({inside}, {outside}, {size}, {line}, {stride});"


def _loads(tiling: Tiling, base: Base, tables: Tables) -> Iterator[str]:
    """Statements that fetch what tile t needs."""
    for operand in tiling.kernel.operands:
        loads = [[x for x in tile.loads if x.operand == operand.name] for tile in tiling.tiles]
        early = any(map(tiling.early, loads[0]))
        if any(loads[1:] if early else loads):
            yield from _moves(tables, "me_fetch", loads, base(operand), early)


def _moves(tables: Tables, function: str, every: Moved, base: str, early: bool) -> Iterator[str]:
    """Statements that move one operand's part of tile t; `early`: not that of the first tile."""
    most, at = max(map(len, every)), [t for t, moved in enumerate(every) if moved]
    phases = _phases([bool(moved) for moved in every])
    if phases is None or (most > 1 and at != [0]):
        yield from _guarded("t > 0" if early else "", [_many(tables, function, every, base)])
        return
    period, first, end = phases
    # where nothing is moved nobody asks what
    alike = [moved or every[t - t % period + first] for t, moved in enumerate(every)]
    calls = [_one(tables, function, [moved[i] for moved in alike], base) for i in range(most)]
    when = list(_within("t" if period == len(every) else f"t % {period}", period, first, end))
    yield from _guarded(" && ".join([*when, *(["t > 0"] if early else [])]), calls)


def _phases(there: list[bool]) -> tuple[int, int, int] | None:
    """(period, first, end): tiles with first <= t % period < end are those; None for others."""
    for period in divisors(len(there)):
        cut = there[:period]
        if cut * (len(there) // period) == there:
            first, count = cut.index(True), sum(cut)
            return (period, first, first + count) if all(cut[first : first + count]) else None
    raise AssertionError("all of it is a period")


def _within(turn: str, period: int, first: int, end: int) -> Iterator[str]:
    """Conditions for first <= turn < end."""
    if end - first == 1 < period:
        yield f"{turn} == {first}"
        return
    if first > 0:
        yield f"{turn} >= {first}"
    if end < period:
        yield f"{turn} < {end}"


def _one(tables: Tables, function: str, moved: Sequence[Transfer], base: str) -> str:
    """One transfer for each tile."""
    name = moved[0].operand
    numbers = (
        tables.number(f"{name}_moved_{key}", [getattr(x, key) for x in moved])
        for key in ("l1", "at", "bytes", "line", "stride")
    )
    return _move(function, base, *numbers)


def _many(tables: Tables, function: str, every: Moved, base: str) -> str:
    """Any number of transfers for each tile, out of a table."""
    rows = [x for moved in every for x in moved]
    ends = [0]
    for moved in every:
        ends.append(ends[-1] + len(moved))
    operand = rows[0].operand
    name = f"{tables.prefix}_{operand}"
    texts = (f"{{ {x.at}, {x.l1}, {x.bytes}, {x.line}, {x.stride} }}" for x in rows)
    tables.lines.append(c_table("me_transfer", f"{name}_moves", texts))
    first = tables.number(f"{operand}_first", ends[:-1])
    last = tables.number(f"{operand}_last", ends[1:])
    return f"{function}_all({name}_moves + {first}, {name}_moves + {last}, me_l1, {base});"


def _guarded(condition: str, calls: Sequence[str]) -> Iterator[str]:
    if not condition:
        yield from calls
    elif len(calls) == 1:
        yield f"if ({condition})"
        yield f"    {calls[0]}"
    else:
        yield f"if ({condition}) {{"
        yield from (f"    {call}" for call in calls)
        yield "}"
