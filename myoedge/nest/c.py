# SPDX-License-Identifier: Apache-2.0
"""C of an element-wise description: one function whose multipliers and limits are literals.

The loop body for y = clip((x0 * 12 + x1 * 3 + 77) >> 5) over int8:

    const int32_t v0 = me_next_b(&x0);
    const int32_t v1 = me_next_b(&x1);
    me_put_b(&y, me_clips(me_macsRN(me_mac(61, v0, 12), v1, 3, 5), 8));
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from myoedge.nest.c_formula import FormulaParts, FormulaText
from myoedge.nest.flat import FlatNest
from myoedge.nest.intervals import intervals
from myoedge.nest.ir import Array, Call, Expr, Lookup

C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t"}
NEXT = {
    "int8": "me_next_b",
    "uint8": "me_next_bu",
    "int16": "me_next_h",
    "int32": "(int32_t)me_next_w",
}
PUT = {"int8": "me_put_b", "int16": "me_put_h", "int32": "me_put_w"}
LOOPS_MAX = 8
# Cycles of one core, from eight chains of 3 and 10 operators with 64 to 4,096 elements, simulated:
# one per instruction of the text; literals beyond 12 bits have one of their own.
OPERATIONS = re.compile(r"me_\w+|table(?=\d+\[)| [-+*/?<>=&]+ |\b\d{4,}\b")
OPERATION_CYCLES = {
    "table": 3,
    "me_quotient": 40,
    "me_remainder": 40,
    "me_angle": 45,
    "me_fine_angle": 55,
    "me_length": 130,
    "me_fine_length": 145,
    "me_between_points": 16,
    "me_on_segment": 60,
}
LOOP_CYCLES = 2.0
PAIRS_FROM = 16  # elements of a core's row
PAIRS_TO = 90  # operations: about 500 bytes of code


@dataclass(frozen=True, slots=True)
class CKernel:
    """A C function, its parameter structs and their header.

    name       the function; its structs are <name>_params and <name>_tile
    files      file name -> text of header and source
    pointers   names of the arrays, in the order of the nest's streams of reads
    results    names of its results
    tables     C name of each constant table -> its array
    cycles     estimated cycles of an element on one core, by the operations in its text
    """

    name: str
    files: Mapping[str, str]
    pointers: tuple[str, ...]
    results: tuple[str, ...]
    tables: Mapping[str, Array]
    cycles: float


def c_kernel(flat: FlatNest, labels: Mapping[int, str]) -> CKernel:
    """Return the C function of an element-wise description.

    labels   id of a part -> comment behind the statement of its value
    Equal functions have equal names: the name ends with the digest of the text.
    """
    body = _Body(flat, labels)
    text = body.source("NAME") + body.header("NAME")
    name = f"me_chain_{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
    files = {f"{name}.h": body.header(name), f"{name}.c": body.source(name)}
    return CKernel(name, files, body.pointers, body.results, body.tables, body.cycles)


def result_names(count: int) -> tuple[str, ...]:
    """Return the names of results in C: y, y1, y2, ..."""
    return tuple(f"y{n or ''}" for n in range(count))


def shared_loop(flat: FlatNest, cores: int = 8) -> int:
    """Return the number of the loop whose iterations the cores share: the innermost one for long
    rows, otherwise the one that leaves the smallest largest share."""
    loops = flat.loops
    rows = [-(-loop.extent // cores) / loop.extent for loop in loops]
    rows[-1] += 4 / loops[-1].extent if len(loops) > 1 else 0  # each core starts every row
    return min(range(len(loops)), key=rows.__getitem__)


class _Body:
    """The texts of a function: a name for each array and table, a variable or an expression for
    each value."""

    def __init__(self, flat: FlatNest, labels: Mapping[int, str]) -> None:
        self.flat, self.shared = flat, shared_loop(flat)
        parts = flat.nest.parts
        self.headers = {part.primitive.header for part in parts if isinstance(part, Call)}
        self.streams = flat.streams
        self.pointers = tuple(f"x{n}" for n in range(len(self.streams)))
        self.results = result_names(len(flat.nest.results))
        arrays = {id(a): a for part in parts for a in _tables(part)}
        self.tables = {f"table{n}": array for n, array in enumerate(arrays.values())}
        names = {id(array): name for name, array in self.tables.items()}
        values = tuple(value for _, value in flat.nest.results)
        self.formula = FormulaParts(values, labels, names, intervals(flat.nest))

    # --- header

    def header(self, name: str) -> str:
        guard = f"{name.upper()}_H"
        includes = ["<stdint.h>"]
        params = [f"const {_c_type(a)} *{n};" for n, a in self.tables.items()]
        lines = [
            "/* SPDX-License-Identifier: Apache-2.0",
            " * Element-wise layers as one loop, operands in L1. Cores 0 .. 7 call it together;",
            " * each computes its share, and no barrier is inside. */",
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            *(f"#include {path}" for path in includes),
            "",
            "typedef struct {",
            *(f"    {line}" for line in params or ["int32_t unused;"]),
            f"}} {name}_params;",
            "",
            *self._steps_comment(),
            "typedef struct {",
            *(f"    {line}" for line in self._tile_fields()),
            f"}} {name}_tile;",
            "",
            f"void {name}(const {name}_params *op, const {name}_tile *tile);",
            "",
            "#endif",
            "",
        ]
        return "\n".join(lines)

    def _steps_comment(self) -> list[str]:
        if len(self.flat.loops) == 1:
            return ["/* n: elements */"]
        return ["/* extent: iterations of each loop, the innermost last; *_step: in elements */"]

    def _tile_fields(self) -> Iterator[str]:
        arrays = [self.flat.reads[first].array for first, *_ in self.streams]
        for name, array in zip(self.pointers, arrays, strict=True):
            yield f"const {_c_type(array)} *{name};"
        for name, (array, _) in zip(self.results, self.flat.nest.results, strict=True):
            yield f"{_c_type(array)} *{name};"
        count = len(self.flat.loops)
        if count == 1:
            yield "int32_t n;"
            return
        yield f"int32_t extent[{count}];"
        for name in (*self.pointers, "y"):
            yield f"int32_t {name}_step[{count - 1}];"

    # --- source

    def source(self, name: str) -> str:
        includes = [f"{name}.h", "", *sorted({*self.headers, "me_math.h", "me_share.h"})]
        start, end = f"void {name}(const {name}_params *op,", f"const {name}_tile *tile)"
        lines = [
            "/* SPDX-License-Identifier: Apache-2.0 */",
            *(f'#include "{path}"' if path else "" for path in includes),
            "",
            f"{start} {end}",
            "{",
            *(f"    {line}" if line else "" for line in self._statements()),
            "}",
            "",
        ]
        return "\n".join(lines)

    def _statements(self) -> Iterator[str]:
        for name, array in self.tables.items():
            yield f"const {_c_type(array)} *const {name} = op->{name};"
        if not self.tables:
            yield "(void)op;"
        extent = "tile->n" if len(self.flat.loops) == 1 else f"tile->extent[{self.shared}]"
        yield f"const int32_t first = ME_FIRST({extent}), last = ME_LAST({extent});"
        yield from self._loop(0)

    def _loop(self, at: int) -> Iterator[str]:
        """Yield a loop and those inside it."""
        if at == len(self.flat.loops) - 1:
            yield from self._row(at)
            return
        bounds = ("first", "last") if at == self.shared else ("0", f"tile->extent[{at}]")
        yield f"for (int32_t i{at} = {bounds[0]}; i{at} < {bounds[1]}; i{at}++) {{"
        yield from (f"    {line}" for line in self._loop(at + 1))
        yield "}"

    def _row(self, at: int) -> Iterator[str]:
        """Yield the innermost loop: pointers to its elements, then the loop over them, two at a
        time in long rows."""
        moving = self._moving
        yield from self._pointers(moving, " + first" if at == self.shared else "")
        count = "last - first" if at == self.shared else f"tile->extent[{at}]"
        if not self._in_pairs(at):
            yield f"for (int32_t left = {count}; left > 0; left--) {{"
            yield from (f"    {line}" for line in self._elements(moving, "v"))
            yield "}"
            return
        yield f"int32_t left = {count};"
        yield "for (; left > 1; left -= 2) {"
        yield from (f"    {line}" for line in self._elements(moving, "vw"))
        yield "}"
        yield "if (left > 0) {"
        yield from (f"    {line}" for line in self._elements(moving, "v"))
        yield "}"

    @property
    def _moving(self) -> list[bool]:
        """Whether a stream has an element for each iteration of the innermost loop."""
        return [bool(self.flat.loops[-1].steps[first]) for first, *_ in self.streams]

    def _pointers(self, moving: Sequence[bool], shift: str) -> Iterator[str]:
        """Yield the pointers to a row's elements, and the values that all of the row reads.

        moving   as of the streams
        shift    distance of the core's first element, in C
        """
        streams = [*zip(self.pointers, self.streams, moving, strict=True)]
        starts = {name: f"tile->{name}{self._offset(name, x[0])}" for name, x, _ in streams}
        for name, stream, moves in streams:
            if moves:
                more = f"{shift} * {len(stream)}" if shift and len(stream) > 1 else shift
                yield f"const int8_t *{name} = (const int8_t *)({starts[name]}{more});"
        written = self._offset("y", len(self.flat.reads)) + shift  # results have equal steps
        for name in self.results:
            yield f"int8_t *{name} = (int8_t *)(tile->{name}{written});"
        for name, stream, moves in streams:
            if not moves:
                yield f"const int32_t v{stream[0]} = *({starts[name]});"

    def _in_pairs(self, at: int) -> bool:
        """Return whether two elements are computed at a time: long rows, and a loop body that stays
        in the cores' own instruction caches."""
        extent = self.flat.loops[at].extent
        own = -(-extent // 8) if at == self.shared else extent
        return own >= PAIRS_FROM and self.operations <= PAIRS_TO

    def _elements(self, moving: Sequence[bool], prefixes: str) -> list[str]:
        """Return the statements for as many elements as there are prefixes of variables, of which
        independent ones follow each other."""
        columns, lines = [], list[str]()
        for prefix in prefixes:
            loads: dict[int, str] = {}
            for pointer, stream, moves in zip(self.pointers, self.streams, moving, strict=True):
                for number in stream:
                    read, name = self.flat.reads[number], f"{prefix if moves else 'v'}{number}"
                    loads |= {id(part): name for part in read.parts}
                    load = f"const int32_t {name} = {NEXT[read.array.dtype]}(&{pointer});"
                    lines += [load] * moves
            text = FormulaText(self.formula, loads, prefix)
            columns.append([*text.lines, *self._stores(text.results)])
        return [*lines, *(line for row in zip(*columns, strict=True) for line in row)]

    def _stores(self, values: Sequence[str]) -> Iterator[str]:
        for name, (array, _), value in zip(
            self.results, self.flat.nest.results, values, strict=True
        ):
            text = f"(uint32_t)({value})" if array.dtype == "int32" else value
            yield f"{PUT[array.dtype]}(&{name}, {text});"

    @property
    def cycles(self) -> float:
        """Return the estimated cycles of an element: one per operation of its text, and those of
        the loop."""
        text = " ".join(line.split(" /* ")[0] for line in self._elements(self._moving, "v"))
        found = OPERATIONS.findall(text)
        return LOOP_CYCLES + sum(OPERATION_CYCLES.get(name.strip(), 1) for name in found)

    @property
    def operations(self) -> int:
        return sum(1 for part in self.flat.nest.parts if part.operands)

    def _offset(self, name: str, number: int) -> str:
        """Return the distance in elements of a row from an array's start in C; "" for 0."""
        outer = self.flat.loops[:-1]
        terms = [
            f" + i{d} * tile->{name}_step[{d}]"
            for d, loop in enumerate(outer)
            if loop.steps[number]
        ]
        return "".join(terms)


def _tables(part: Expr) -> Sequence[Array]:
    match part:
        case Lookup():
            return (part.array,)
        case Call(table=Array() as table):
            return (table,)
    return ()


def _c_type(array: Array) -> str:
    return C_TYPES[array.dtype]
