# SPDX-License-Identifier: Apache-2.0
"""Header of a generated function: its parameter structs and its declaration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from myoedge.nest.c_arrays import ALL_TYPES, CArray
from myoedge.nest.flat import FlatNest
from myoedge.nest.ir import Array, Call, Expr, Lookup


@dataclass(frozen=True, slots=True)
class CKernel:
    """A C function, its parameter structs and their header.

    name       the function; its structs are <name>_params and <name>_tile
    files      file name -> text of header and source
    pointers   names of the arrays, in the order of the nest's reads
    steps      array -> loops, and then reduced axes, by number, whose steps are fields of the tile
    results    names of its results
    tables     C name of each constant table -> its array
    cycles     estimated cycles of an element on one core, by the operations in its text
    row_cycles   those of what the elements of a row have in common
    code       operations of the text: a measure of the code that is fetched
    """

    name: str
    files: Mapping[str, str]
    pointers: tuple[str, ...]
    steps: Mapping[str, tuple[int, ...]]
    results: tuple[str, ...]
    tables: Mapping[str, Array]
    cycles: float
    row_cycles: float
    code: int


@dataclass(frozen=True, eq=False)
class TileStruct:
    """Struct of a kernel's tile, which its header declares.

    name      name of the function; its structs are <name>_params and <name>_tile
    flat      the description
    arrays    arrays that it reads
    results   names of its results
    tables    C name -> constant table
    steps     array -> loops, and then reduced axes, by number, whose steps are fields of the tile
    nine_cores   whether the control core also calls it
    """

    name: str
    flat: FlatNest
    arrays: Sequence[CArray]
    results: Sequence[str]
    tables: Mapping[str, Array]
    steps: Mapping[str, Sequence[int]]
    nine_cores: bool = False


def header(of: TileStruct) -> str:
    """Return the text of a header."""
    guard, name = f"{of.name.upper()}_H", of.name
    params = [f"const {ALL_TYPES[a.dtype]} *{n};" for n, a in of.tables.items()]
    params += ["int32_t nine_cores;"] if of.nine_cores else []
    if of.flat.late:
        waits = ", and waits for the others before it writes the next state"
    else:
        waits = ", and no barrier is inside"
    tile_fields = "extent: iterations of each loop, the innermost last; *_step: in elements"
    lines = [
        "/* SPDX-License-Identifier: Apache-2.0",
        f" * Layers as one loop, operands in L1. Cores 0 .. {7 + of.nine_cores} call it together;",
        f" * each computes its share{waits}. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <stdint.h>",
        "",
        "typedef struct {",
        *(f"    {line}" for line in params or ["int32_t unused;"]),
        f"}} {name}_params;",
        "",
        f"/* {'n: elements' if len(of.flat.loops) == 1 else tile_fields} */",
        "typedef struct {",
        *(f"    {line}" for line in _tile_field_lines(of)),
        f"}} {name}_tile;",
        "",
        f"void {name}(const {name}_params *op, const {name}_tile *tile);",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _tile_field_lines(of: TileStruct) -> Iterator[str]:
    for known in of.arrays:
        yield f"const {known.c_type} *{known.name};"
    for name, (array, _) in zip(of.results, of.flat.nest.results, strict=False):
        yield f"{ALL_TYPES[array.dtype]} *{name};"
    count = len(of.flat.loops)
    yield "int32_t n;" if count == 1 else f"int32_t extent[{count}];"
    for name, loops in of.steps.items():
        if loops:
            yield f"int32_t {name}_step[{len(loops)}];"


def named_tables(parts: Sequence[Expr]) -> dict[str, Array]:
    """Return C name -> constant table that parts of formulas read, each once."""
    arrays = {id(array): array for part in parts for array in _table_names(part)}
    return {f"table{n}": array for n, array in enumerate(arrays.values())}


def _table_names(part: Expr) -> Sequence[Array]:
    match part:
        case Lookup():
            return (part.array,)
        case Call(table=Array() as table):
            return (table,)
    return ()


def result_names(count: int) -> tuple[str, ...]:
    """Return the names of results in C: y, y1, y2, ..."""
    return tuple(f"y{n or ''}" for n in range(count))
