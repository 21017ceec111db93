# SPDX-License-Identifier: Apache-2.0
"""A layer in tiles as C: load, compute, store, and what is fetched ahead of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from myoedge.emit.kernels import function_name, heading
from myoedge.emit.render import render
from myoedge.op import Step
from myoedge.plan.tiling import Tiling, Transfer
from myoedge.tiled import Operand

Base = Callable[[Operand], str]  # the C of where an operand starts outside, a pointer to bytes


@dataclass
class Tables:
    """Numbers of tiles that no short expression gives, as C arrays of a function."""

    prefix: str
    lines: list[str] = field(default_factory=list)

    def number(self, name: str, values: Sequence[int], index: str = "t") -> str:
        """C for the number that a tile has."""
        found = expression(values, index)
        if found is not None:
            return found
        table = f"{self.prefix}_{re.sub(r'[^A-Za-z0-9_]', '', name)}_of_tile"
        self.lines.append(_table("int32_t", table, map(str, values)))
        return f"{table}[{index}]"


def expression(values: Sequence[int], index: str) -> str | None:
    """Of i = index: a constant, or a + b * j for j one of i, i % n, i / n, i / n % 2; else None."""
    first = values[0]
    if len(set(values)) == 1:
        return str(first)
    run = next(i for i, v in enumerate(values) if v != first)
    again = next((i for i, v in enumerate(values) if i > run and v == first), len(values))
    step = values[run] - first
    turns: dict[str, Callable[[int], int]] = {
        index if run == 1 else f"{index} / {run}": lambda i: i // run,
        f"{index} % 2" if run == 1 else f"{index} / {run} % 2": lambda i: i // run % 2,
        f"{index} % {again}": lambda i: i % again,
    }
    for text, turn in turns.items():
        if all(v == first + turn(i) * step for i, v in enumerate(values)):
            return _affine(first, step, text)
    return None


def _affine(first: int, step: int, index: str) -> str:
    size = abs(step)
    term = index if size == 1 else f"{index} * {size}"
    if first == 0:
        return term if step > 0 else f"-({term})"
    return f"{first} {'+' if step > 0 else '-'} {term}"


def _table(kind: str, name: str, rows: Iterator[str]) -> str:
    lines, line = [], "   "
    for row in rows:
        if len(line) + len(row) > 96:
            lines.append(line)
            line = "   "
        line += f" {row},"
    return f"static const {kind} {name}[] = {{\n" + "\n".join([*lines, line]) + "\n};"


def tiled_layer(index: int, step: Step, tiling: Tiling, base: Base) -> str:
    """The C of a layer in tiles."""
    fn = function_name(index, step)
    tables = Tables(fn)
    loads = [o for o in tiling.tiled.operands if not o.written]
    early = [x for x in tiling.tiles[0].loads if tiling.early(x)]
    values = {
        "fn": fn,
        "index": index,
        "slot": _slot(tiling),
        "kernel": tiling.tiled.kernel,
        "heading": heading(step),
        "summary": summary(tiling),
        "count": len(tiling.tiles),
        "ahead": [_call("me_fetch", x, base, tiling) for x in early],
        "loads": [line for o in loads for line in _loads(tiling, o, base, tables)],
        "stores": _stores(tiling, base, tables),
        "op": _op(tiling),
        "tile": _fields(tiling, tables),
    }
    return render("project/layer.c.j2", {**values, "tables": tables.lines})


def _slot(tiling: Tiling) -> str:
    """Tiles of the network take the two structs in turn."""
    if len(tiling.tiles) == 1:
        return str(tiling.first % 2)
    return "(t + 1) % 2" if tiling.first % 2 else "t % 2"


def parts(tiling: Tiling) -> tuple[str, ...]:
    """Which of a layer's functions there are."""
    loaded = any(
        t > 0 or not tiling.early(x) for t, tile in enumerate(tiling.tiles) for x in tile.loads
    )
    stored = any(tile.stores for tile in tiling.tiles)
    return ("set", "compute", *(("load",) if loaded else ()), *(("store",) if stored else ()))


def summary(tiling: Tiling) -> str:
    """For people: tiles, and what is in L1."""
    shape = "x".join(map(str, tiling.shape))
    count = len(tiling.tiles)
    sizes: dict[str, list[int]] = {}
    for buffer in tiling.buffers:
        sizes.setdefault(buffer.operand, []).append(buffer.size_bytes)
    parts = [
        f"{name} {'2 x ' if len(each) > 1 else ''}{max(each):,}" for name, each in sizes.items()
    ]
    tiles = "one tile" if count == 1 else f"{count} tiles of {shape}"
    return f"{tiles}; in L1 {', '.join(parts)} bytes"


def _op(tiling: Tiling) -> list[tuple[str, str]]:
    first = tiling.tiles[0].l1
    return [(name, _value(value, first)) for name, value in tiling.tiled.op.items()]


def _value(value: int | str, l1: Mapping[str, int]) -> str:
    if isinstance(value, int):
        return str(value)
    return f"(void *)(me_l1 + {l1[value[1:]]})" if value.startswith("@") else value


def _fields(tiling: Tiling, tables: Tables) -> list[tuple[str, str]]:
    """Fields of the tile's struct as C of the tile's number."""
    every = [tiling.tiled.tile(tile.regions) for tile in tiling.tiles]
    found = []
    for name, value in every[0].items():
        if isinstance(value, str):
            places = [
                _place(str(row[name]), tile.l1)
                for row, tile in zip(every, tiling.tiles, strict=True)
            ]
            known = [place for place in places if place is not None]
            start = "me_l1" if min(known, default=0) >= 0 else "(intptr_t)me_l1"
            text = f"(void *)({start} + {tables.number(name, known)})" if known else "0"
            found.append((name, text.replace("(intptr_t)me_l1 + -", "(intptr_t)me_l1 - ")))
        else:
            found.append((name, tables.number(name, [int(row[name]) for row in every])))
    return found


def _place(value: str, l1: Mapping[str, int]) -> int | None:
    """Offset in L1 of "@operand", with what is added or taken away; None: it has no place there."""
    found = re.fullmatch(r"@(\w+)([+-]\d+)?", value)
    assert found is not None, value
    name, shift = found.groups()
    return None if name not in l1 else l1[name] + int(shift or 0)


def _call(function: str, x: Transfer, base: Base, tiling: Tiling) -> str:
    operand = next(o for o in tiling.tiled.operands if o.name == x.operand)
    numbers = (str(x.l1), str(x.at), str(x.bytes), str(x.line), str(x.stride))
    return _move(function, base(operand), *numbers)


def _move(function: str, base: str, l1: str, at: str, size: str, line: str, stride: str) -> str:
    inside = "me_l1" if l1 == "0" else f"me_l1 + {l1}"
    outside = base if at == "0" else f"{base} + {at}"
    return f"{function}({inside}, {outside}, {size}, {line}, {stride});"


def _loads(tiling: Tiling, operand: Operand, base: Base, tables: Tables) -> Iterator[str]:
    """Statements that fetch what tile t needs of an operand."""
    every = [[x for x in tile.loads if x.operand == operand.name] for tile in tiling.tiles]
    at = [t for t, moved in enumerate(every) if moved]
    if not at:
        return
    if at == [0]:
        if not tiling.early(every[0][0]):
            calls = [_call("me_fetch", x, base, tiling) for x in every[0]]
            yield from _guarded("t == 0" if len(every) > 1 else "", calls)
        return
    early = bool(every[0]) and tiling.early(every[0][0])
    period = at[1] - at[0] if len(at) > 1 else 0
    regular = all(t == i * period for i, t in enumerate(at)) and len(at) * period >= len(every)
    if regular and all(len(moved) == 1 for moved in (every[t] for t in at)):
        when = [f"t % {period} == 0"] if period > 1 else []
        when += ["t > 0"] if early else []
        index = f"t / {period}" if period > 1 else "t"
        calls = [_one(tables, "me_fetch", [every[t][0] for t in at], base(operand), index)]
        yield from _guarded(" && ".join(when), calls)
    else:
        yield from _guarded(
            "t > 0" if early else "", [_many(tables, every, operand, base, "me_fetch_all")]
        )


def _stores(tiling: Tiling, base: Base, tables: Tables) -> list[str]:
    every = [list(tile.stores) for tile in tiling.tiles]
    out = tiling.tiled.out
    if not any(every):
        return []
    if all(len(moved) == 1 for moved in every):
        return [_one(tables, "me_send", [moved[0] for moved in every], base(out), "t")]
    return [_many(tables, every, out, base, "me_send_all")]


def _one(tables: Tables, function: str, moved: Sequence[Transfer], base: str, index: str) -> str:
    """One transfer for each index."""
    name = moved[0].operand
    numbers = (
        tables.number(f"{name}_moved_{key}", [getattr(x, key) for x in moved], index)
        for key in ("l1", "at", "bytes", "line", "stride")
    )
    return _move(function, base, *numbers)


def _many(
    tables: Tables,
    every: Sequence[Sequence[Transfer]],
    operand: Operand,
    base: Base,
    function: str,
) -> str:
    """Any number of transfers for each tile, out of a table."""
    rows = [x for moved in every for x in moved]
    ends = [0]
    for moved in every:
        ends.append(ends[-1] + len(moved))
    name = f"{tables.prefix}_{operand.name}"
    texts = (f"{{ {x.at}, {x.l1}, {x.bytes}, {x.line}, {x.stride} }}" for x in rows)
    tables.lines.append(_table("me_transfer", f"{name}_moves", texts))
    first = tables.number(f"{operand.name}_first", ends[:-1])
    last = tables.number(f"{operand.name}_last", ends[1:])
    return f"{function}({name}_moves + {first}, {name}_moves + {last}, me_l1, {base(operand)});"


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
