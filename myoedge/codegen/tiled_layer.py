# SPDX-License-Identifier: Apache-2.0
"""C functions of a tiled layer: arguments, load, compute, store, prefetch of constants."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from myoedge.codegen.addresses import Addresses, Base, l1_addresses, named
from myoedge.codegen.job_tables import JobTables, KernelArguments
from myoedge.codegen.kernel_calls import argument_structs, kernel_call
from myoedge.codegen.names import dimensions, function_name, heading
from myoedge.codegen.render import assignment, render
from myoedge.codegen.tile_transfers import Movement, Tables, guarded, movements, phases_of, within
from myoedge.graph.ir import Shape
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import SCRATCH, Fields
from myoedge.operators.library.packed_weights import WORD_BYTES
from myoedge.plan.l1.tiling import ARGUMENTS, Tiling


@dataclass(frozen=True)
class TiledLayer:
    """The C code of one layer.

    text        the code
    functions   functions that it defines: "arguments", "jobs", "load", "compute",
                "store", "fetch_constants", "fetch_operands"
    scalars     numbers that it reads from the model's data
    job_words   words of its longest table of the accelerator's jobs
    """

    text: str
    functions: frozenset[str]
    scalars: tuple[int, ...] = ()
    job_words: int = 0


@dataclass(frozen=True)
class LayerAddresses:
    """C expressions for the addresses of a layer's operands in L1, and of those used in L2."""

    l1: Addresses
    l2: Mapping[str, str]

    def pointer(self, operand: str, places: Sequence[int], tables: Tables, name: str = "") -> str:
        """Return the C expression for the address of an operand's region in tile t.

        places   offset of every tile, from the start of L1, or of the operand in L2; none of a
                 table in L2, which tiles read as a whole, and of what no tile has
        name     name of the table, if one is needed
        """
        if not places:
            return _pointer(self.l2[operand], "0") if operand in self.l2 else "0"
        start = self.l2.get(operand) or self.l1.l1(operand)
        if min(places) < 0:
            start = f"(intptr_t){start}"
        return _pointer(start, self.number(operand, places, tables, name))

    def number(self, operand: str, places: Sequence[int], tables: Tables, name: str = "") -> str:
        origin = 0 if operand in self.l2 else self.l1.offset(operand)
        return tables.number(name or operand, [place - origin for place in places])


@dataclass(frozen=True)
class OutsideL1:
    """Addresses of a layer's operands that the kernel reads outside L1.

    scratch     C expression for the start of scratch in L2
    l3_tables   table -> offset in L3
    """

    scratch: str = ""
    l3_tables: Mapping[str, int] = field(default_factory=dict)


NOTHING_OUTSIDE = OutsideL1()


def tiled_layer(
    index: int,
    step: QuantizedNode,
    tiling: Tiling,
    base: Base,
    *,
    resident: Callable[[int], str] = lambda offset: f"me_l1 + {offset}",
    outside: OutsideL1 = NOTHING_OUTSIDE,
    as_data: bool = False,
) -> TiledLayer:
    """Generate the C of a tiled layer.

    base        operand -> its address in L2, or in a caller's buffer
    resident    offset of an operand that an earlier layer left in L1 -> C expression
    outside     operands outside L1
    as_data     whether numbers of the kernel's arguments are read from the model's data
    """
    fn = function_name(index, step)
    tables, l1 = Tables(fn, scalars=[] if as_data else None), l1_addresses(fn, tiling, resident)
    base = named(base, l1)
    addresses = LayerAddresses(l1, _pointers_outside_l1(tiling, base, l1, outside))
    # The statements that compute a tile
    arguments = _argument_statements(index, tiling, addresses, tables)
    lines = {
        "arguments": arguments.written,
        "jobs": arguments.fetched,
        **movements(tiling, base, Movement(tables, l1)),
        "compute": [*_unpack_statements(tiling, tables, addresses), kernel_call(fn, index, tiling)],
    }
    values = {
        "fn": fn,
        "index": index,
        "kernel": tiling.kernel.function,
        "own_arguments": tiling.arguments_once and l1.l1(ARGUMENTS),
        "heading": heading(step),
        "summary": summary(step, tiling),
        "defines": l1.lines,
        "tables": tables.lines,
        "parameters": "int32_t t" if len(tiling.tiles) > 1 else "void",
        "count": len(tiling.tiles),
        "ahead": tiling.choice.depth - 2,
        "first": int(tiling.back_to_back),
        "lines": lines,
    }
    functions = frozenset(name for name, part in lines.items() if part)
    text = render("project/layer.c.j2", values)
    return TiledLayer(text, functions, tuple(tables.scalars or ()), arguments.job_words)


def _pointers_outside_l1(
    tiling: Tiling, base: Base, addresses: Addresses, outside: OutsideL1
) -> dict[str, str]:
    """Return operand -> C pointer for operands outside L1; "%name" is a table in L3."""
    in_l2 = tiling.choice.in_l2
    found = {o.name: base(o).text for o in tiling.kernel.operands if o.name in in_l2}
    if SCRATCH in in_l2:
        found[SCRATCH] = addresses.define(SCRATCH, outside.scratch, "L2")
    found |= {o.name: base(o).text for o in tiling.kernel.l2_tables}
    return found | {
        f"%{name}": addresses.define(name, str(at), "L3") for name, at in outside.l3_tables.items()
    }


def _argument_statements(
    index: int, tiling: Tiling, addresses: LayerAddresses, tables: Tables
) -> KernelArguments:
    """Return the statements that write the arguments of the kernel call."""
    kernel, fn = tiling.kernel.function, addresses.l1.function
    place = argument_structs(fn, index, tiling)
    # The fields of the tile struct, by tile, and of the accelerator's jobs
    strides = dict(_operand_strides(tiling))
    rows = [
        {**_unpacked_fields(tiling, tiling.kernel.tile(tile.regions)), **strides}
        for tile in tiling.tiles
    ]
    form = tiling.kernel.jobs
    jobs = JobTables.of(form, rows) if form else None
    known = {**tiling.kernel.op, **(jobs.prepare if jobs else {})}
    op = _op_fields(tiling, known, addresses, tables)
    fields = _tile_fields(tiling, rows, tables, addresses)
    op = [(name, tables.scalar(f"{place.op}.{name}", text)) for name, text in op]
    if jobs:
        return jobs.arguments(fn, place, {"tile": fields, "op": op}, tables)
    params = assignment(place.op, f"{kernel}_params", op)
    if len(tiling.tiles) > 1:
        params = ["if (t == 0) {", *(f"    {line}" for line in params), "}"]
    return KernelArguments([*params, *assignment(place.tile, f"{kernel}_tile", fields)])


def summary(step: QuantizedNode, tiling: Tiling) -> str:
    """Describe a layer for the comment above its code: the kernel's shapes if they differ, tiles,
    and weights in L2."""
    shape, count = "x".join(map(str, tiling.shape)), len(tiling.tiles)
    tiles = "one tile" if count == 1 else f"{count} tiles of {shape}"
    known = (*(o.name for o in tiling.kernel.operands), SCRATCH)
    in_l2 = [name for name in known if name in tiling.choice.in_l2]
    stay = f"; in L2 {', '.join(in_l2)}" if in_l2 else ""
    return f"{_kernel_shapes(step, tiling)}{tiles}{stay}"


def _kernel_shapes(step: QuantizedNode, tiling: Tiling) -> str:
    """Return the shapes of the kernel's operands, if they differ from the layer's by more than axes
    of 1."""
    data = [o for o in tiling.kernel.operands if isinstance(o.source, int)]
    of_layer = [*(step.shapes[o.source] for o in data if isinstance(o.source, int)), step.out]
    of_kernel = [*(o.shape for o in data), tiling.kernel.out.shape]
    if [_long_axes(shape) for shape in of_layer] == [_long_axes(shape) for shape in of_kernel]:
        return ""
    *reads, result = (dimensions(shape) for shape in of_kernel)
    return f"computed as {', '.join(reads)} -> {result}; "


def _long_axes(shape: Shape) -> list[int]:
    return [extent for extent in shape if extent != 1]


def _op_fields(
    tiling: Tiling, known: Fields, addresses: LayerAddresses, tables: Tables
) -> list[tuple[str, str]]:
    """Return the fields of the kernel's op struct, as C."""
    first = tiling.tiles[0].l1
    op = _unpacked_fields(tiling, known)
    fields = [(name, _field_value(value, first, addresses, tables)) for name, value in op.items()]
    if tiling.kernel.nine_cores is not None:
        fields.append(("nine_cores", str(int(tiling.kernel.nine_cores))))
    return fields


def _field_value(
    value: int | str, l1: Mapping[str, int], addresses: LayerAddresses, tables: Tables
) -> str:
    if isinstance(value, int):
        return str(value)
    if not value.startswith("@"):
        text = addresses.l2.get(value, value)
        assert value in addresses.l2 or re.fullmatch(r"\w+", text), f"{text} is no word of C"
        return text
    place = _l1_offset(value, l1)
    return addresses.pointer(_operand_name(value), [place or 0], tables)


def _operand_name(value: str) -> str:
    """Return the operand's name in a field value such as "@x+4"."""
    return str(re.findall(r"\w+", value)[0])


def _unpacked_fields(tiling: Tiling, fields: Fields) -> Fields:
    """Return the fields with pointers to unpacked weights in scratch, not to the packed operand."""
    packing = tiling.kernel.packing
    if packing is None:
        return fields
    packed, there = f"@{packing.operand}", f"@{SCRATCH}+{tiling.unpacked_offset}"
    return {name: there if value == packed else value for name, value in fields.items()}


def _unpack_statements(tiling: Tiling, tables: Tables, addresses: LayerAddresses) -> Iterator[str]:
    """Yield the statements that unpack a tile's weights if the preceding tile's differ."""
    packing, tiles = tiling.kernel.packing, tiling.tiles
    if packing is None:
        return
    name, regions = packing.operand, [tile.regions[packing.operand] for tile in tiles]
    packed = addresses.pointer(name, [tile.l1[name] for tile in tiles], tables)
    at = tiles[0].l1[SCRATCH] + tiling.unpacked_offset
    to = addresses.pointer(SCRATCH, [at], tables)
    words = tables.number(f"{name}_words", [region.size // WORD_BYTES for region in regions])
    size, cores = packing.kind.size_bytes, 9 if tiling.kernel.nine_cores else 8
    call = f"{packing.function}({packed}, {to}, {words}, {packing.bits}, {size}, {cores});"
    phases = phases_of([t == 0 or regions[t] != regions[t - 1] for t in range(len(tiles))])
    when = within(phases or (1, 0, 1), len(tiles))
    yield from guarded(" && ".join(when), [call])


def _tile_fields(
    tiling: Tiling, rows: Sequence[Fields], tables: Tables, addresses: LayerAddresses
) -> list[tuple[str, str]]:
    """Return the fields of the tile struct, as C in the tile's number t."""
    jobs, fields = tiling.kernel.jobs, []
    own = [jobs.tile_fields(row) for row in rows] if jobs else rows
    for name, value in own[0].items():
        if isinstance(value, str):
            places = (
                _l1_offset(str(row[name]), t.l1) for row, t in zip(own, tiling.tiles, strict=True)
            )
            known = [place for place in places if place is not None]
            fields.append((name, addresses.pointer(_operand_name(value), known, tables, name)))
        else:
            fields.append((name, tables.number(name, [int(row[name]) for row in own])))
    fields += _next_tile(tiling, rows, tables)
    if tiling.kernel.kernel_waits:
        fields.append(("kernel_waits", _wait_condition(tiling)))
    return fields


def _wait_condition(tiling: Tiling) -> str:
    """Return C for whether the kernel waits for the operands of tile t: at most the first."""
    if len(tiling.tiles) == 1:
        return str(int(tiling.kernel_waits))
    return "t == 0" if tiling.kernel_waits else "0"


def _next_tile(tiling: Tiling, rows: Sequence[Fields], tables: Tables) -> Iterator[tuple[str, str]]:
    """Yield the fields of me_next_tile, for a kernel that starts its next tile early."""
    starts = tiling.kernel.launches_next_tile
    follows = [int(starts(*pair)) for pair in pairwise(rows)] if starts else []
    if any(follows):
        slot = "t % 2" if tiling.first % 2 else "(t + 1) % 2"
        follows_now = tables.number("starts_next", [*follows, 0])
        yield "next.tile", f"{follows_now} ? &me_jobs[{slot}].tile : 0"
        yield "next.number", f"t + {tiling.first + 1}"
        yield "next.follows", tables.number("started_before", [0, *follows])
    elif tiling.kernel.jobs:
        yield from (("next.tile", "0"), ("next.follows", "0"))


def _operand_strides(tiling: Tiling) -> Iterator[tuple[str, int]]:
    """Yield (field of the tile struct, bytes): strides of untiled operands in L2 or L1."""
    for o in tiling.kernel.operands:
        if o.row_stride and o.name in tiling.choice.in_l2:
            yield o.row_stride, o.itemsize * math.prod(o.shape[2:])
        if o.position_stride and o.name in tiling.resident:
            yield o.position_stride, o.itemsize * o.shape[-1]


def _pointer(start: str, offset: str) -> str:
    """Return the C expression of an address plus a number of bytes."""
    if offset == "0":
        return f"(void *)({start})" if " " in start else f"(void *){start}"
    return f"(void *)({start} + {offset})".replace(" + -", " - ")


def _l1_offset(value: str, l1: Mapping[str, int]) -> int | None:
    """Return the L1 offset of "@operand", plus or minus a constant; None if it is not in L1."""
    match = re.fullmatch(r"@(\w+)([+-]\d+)?", value)
    assert match is not None, value
    name, shift = match.groups()
    return None if name not in l1 else l1[name] + int(shift or 0)
