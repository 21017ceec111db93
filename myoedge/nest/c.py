# SPDX-License-Identifier: Apache-2.0
"""C of a description: one function whose multipliers, limits and sums have literals.

The loop body for y = clip((x0 * 12 + x1 * 3 + 77) >> 5) over int8:

    const int32_t v0 = me_next_b(&x0);
    const int32_t v1 = me_next_b(&x1);
    me_put_b(&y, me_clips(me_macsRN(me_mac(61, v0, 12), v1, 3, 5), 8));

The one for y[k] = clip((sum over c of x1[k, c] * x2[c]) * x3[k] >> 9), with 40 elements of c:

    const int32_t s0 = me_dot_b(x2, x1, 40);
    const int32_t v3 = (int32_t)me_next_w(&x3);
    me_put_b(&y, me_clips((s0 * v3) >> 9, 8));
    x1 += 40;"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial

from myoedge.nest import c_dots, c_lanes
from myoedge.nest.c_arrays import ALL_TYPES, CArray, CRow
from myoedge.nest.c_cycles import code_operations, iteration_cycles, text_cycles
from myoedge.nest.c_formula import FormulaText
from myoedge.nest.c_header import CKernel, TileStruct, header, named_tables, result_names
from myoedge.nest.c_lanes import ITERATIONS
from myoedge.nest.c_loops import OPERATIONS_TO, PAIRS_FROM, CLoops
from myoedge.nest.c_results import CResults, LateResults
from myoedge.nest.c_row_kernels import CALL_CYCLES, row_kernel
from myoedge.nest.c_rows import (
    WordRow,
    apart_from_squares,
    common_parts,
    lane_texts,
    own_operations,
    row_headers,
)
from myoedge.nest.c_taken import TakenRows, moving_parts
from myoedge.nest.c_turns import CTurns
from myoedge.nest.flat import FlatNest
from myoedge.nest.formula_parts import FormulaParts, side_by_side
from myoedge.nest.intervals import of_all_trainings
from myoedge.nest.ir import Call, Expr, Reduced
from myoedge.nest.lanes import lanes_of

LOOPS_MAX = 8
WORKERS = 8  # cores beside the control core
UNNAMED = "NAME"  # of the function, before its text is known
LOOP_CYCLES = 2.0
ROLLED_FROM = 8  # operations of an element behind its sums


def c_kernel(flat: FlatNest, labels: Mapping[int, str], cores: int = WORKERS) -> CKernel:
    """Return the C function of a description.

    labels   id of a part -> comment behind the statement of its value
    cores    number of cores that share a tile: 8, or 9 with the control core
    Equal functions have equal names: the name ends with the digest of the text.
    """
    body = _FunctionBody(flat, labels, cores)
    source = body.source(UNNAMED)
    text = source + header(body.tile(UNNAMED))
    name = f"me_chain_{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
    files = {f"{name}.h": header(body.tile(name)), f"{name}.c": source.replace(UNNAMED, name)}
    pointers = tuple(array.name for array in body.arrays)
    return CKernel(name, files, pointers, body.steps, body.results, body.tables, *body.cycles())


class _FunctionBody:
    """The texts of a function: a name for each array and table, a variable or an expression for
    each value."""

    def __init__(self, flat: FlatNest, labels: Mapping[int, str], cores: int) -> None:
        self.flat, self.cores, self.lanes = flat, cores, lanes_of(flat)
        self.loops = CLoops.of(flat, self.lanes, cores)
        parts = flat.nest.parts
        self.arrays = tuple(CArray(f"x{n}", flat, n) for n in range(len(flat.reads)))
        self.taken = TakenRows.of(flat, self.arrays)
        self.results = result_names(flat.written)
        self.late = LateResults.of(flat, self.results, self.loops.shared[0])
        self.turns = CTurns(flat, self.arrays, self.results)
        self.sums = [part for part in parts if isinstance(part, Reduced)]
        dots = [] if self.lanes > 1 else c_dots.dots_of(parts, self.arrays, flat.over)
        self.dots = apart_from_squares(dots, self.sums)
        self.headers = {part.primitive.header for part in parts if isinstance(part, Call)}
        self.row_kernel = row_kernel(flat, self.arrays)
        self.headers |= c_dots.headers(self.dots) | c_lanes.headers(self.lanes)
        self.steps = {array.name: array.tile_steps for array in self.arrays}
        self.written = CResults(flat, self.results, self.loops, self.turns, self.late)
        self.steps["y"] = self.written.steps
        self.tables = named_tables(parts)
        self.formula = FormulaParts(
            tuple(value for _, value in flat.nest.results),
            labels,
            {id(array): name for name, array in self.tables.items()},
            of_all_trainings(flat.nest),
            flat.over,
            len(flat.reads),
        )
        self.dots = c_dots.outermost(self.dots, self.formula.axes)

    def tile(self, name: str) -> TileStruct:
        """Return the header's declarations for a function of this name."""
        arrays = self.arrays, self.results, self.tables
        return TileStruct(name, self.flat, *arrays, self.steps, self.cores > WORKERS)

    # --- source

    def source(self, name: str) -> str:
        lines = [*self._function_statements()]
        used = {*self.headers, *row_headers(lines), "me_math.h", "me_share.h"}
        includes = [f"{name}.h", "", *sorted(used)]
        start, end = f"void {name}(const {name}_params *op,", f"const {name}_tile *tile)"
        text = [
            "/* SPDX-License-Identifier: Apache-2.0 */",
            *(f'#include "{path}"' if path else "" for path in includes),
            "",
            f"{start} {end}",
            "{",
            *(f"    {line}" if line else "" for line in lines),
            "}",
            "",
        ]
        return "\n".join(text)

    def _function_statements(self) -> Iterator[str]:
        for name, array in self.tables.items():
            yield f"const {ALL_TYPES[array.dtype]} *const {name} = op->{name};"
        if not self.tables:
            yield "(void)op;"
        for known in self.arrays:
            yield from (*known.fixed_values, *known.step_variables)
        yield from self.written.definitions
        yield self.loops.share
        yield from self.turns.around(self._loop_iteration())

    def _loop_iteration(self) -> Iterator[str]:
        yield from self.late.variables
        yield from self.loops.around(self._innermost_loop)
        if self.late.results:
            yield from self.late.start
            yield from self.loops.around(partial(self.late.row, self.loops, self.written.offset))

    def _innermost_loop(self, at: int) -> Iterator[str]:
        """Yield the innermost loop: pointers to its elements, the sums that they have in common,
        then the loop over them."""
        count, row = self.loops.count(at), self.row_kernel
        called = row and row.call(self._row_sums, self.arrays, count, self.flat.nest.out.dtype)
        yield from self._row_pointers(" + first" if self.loops.is_inner else "")
        yield from self._row_sums.lines
        yield from self.taken.pointers(
            self.formula, self._element_loads("v"), self._rows_by_element(0)
        )
        if called:
            yield called
        elif self.turns.is_inner:
            yield from self.turns.row(count, self.formula, self._pointer_increments(1))
        elif copied := self.taken.copied(self.flat.nest.results):
            yield from copied.copies(count)
        elif self.lanes > 1:
            yield from self._word_loop(count)
        else:
            yield from self._element_loop(count)

    def _word_loop(self, count: str) -> Iterator[str]:
        """Yield the loop over the words of a row, and that over the elements behind them."""
        size = self.lanes * self._words_of_row.together
        is_whole = self.flat.loops[-1].extent % size == 0
        row = self.written.row_end(count, 1 if is_whole else size)
        yield from row.pointers
        yield from self._words_of_row.loops(row.start)
        if not is_whole:
            yield from row.single(self._elements("v"))

    @cached_property
    def _words_of_row(self) -> WordRow:
        texts = lane_texts(self.flat, self.arrays, self._element_loads("v"))
        return WordRow.of(self.flat, texts, self.results, self._lane, self._pointer_increments)

    def _element_loop(self, count: str) -> Iterator[str]:
        """Yield the loop over the elements of a row, several at a time in long rows."""
        row = self.written.row_end(count, self._elements_per_iteration * self._pairs_per_iteration)
        yield from row.pointers
        if row.together > 1:
            yield row.start
            for block in range(self._pairs_per_iteration):
                yield from (f"    {line}" for line in self._elements(self._prefixes(block)))
            yield "}"
        yield from row.single(self._elements("v"))

    def _row_pointers(self, shift: str) -> Iterator[str]:
        """Yield the pointers to a row's elements, and the values that all of the row reads.

        shift    distance of the core's first element, in C
        """
        starts = [
            f"{self.turns.array(x)}{self.loops.offset(x.step, x.number)}" for x in self.arrays
        ]
        for array, start in zip(self.arrays, starts, strict=True):
            if pointer := array.pointer(start, shift):
                yield pointer
        yield from self.written.pointers(shift)
        for array, start in zip(self.arrays, starts, strict=True):
            yield from array.row_definitions(start)

    @cached_property
    def _common_parts(self) -> list[Expr]:
        """Sums that all elements of a row have in common, and what follows from them."""
        return common_parts(self.formula, moving_parts(self.flat))

    @cached_property
    def _row_sums(self) -> FormulaText:
        """Values that all elements of a row have in common, as variables h0, h1, ..."""
        sums = [part for part in self._common_parts if isinstance(part, Reduced)]
        dots = c_dots.dot_text([dot for dot in self.dots if dot.part in sums], 1, "d")
        loads = self._element_loads("v") | dots.values[0]
        text = FormulaText(self.formula, loads, "h", sums, self._rows_by_element(0))
        text.lines += dots.lines
        text.named |= dots.values[0]
        for part in self._common_parts:
            if id(part) not in text.named:
                text.name(part)
        return text

    @cached_property
    def _element_sums(self) -> list[Reduced]:
        """Sums of a single element."""
        return [part for part in self.sums if part not in self._common_parts]

    @cached_property
    def _elements_per_iteration(self) -> int:
        """Return how many elements are computed at a time: two in long rows, as many as share a
        row of a product, fewer if the loop body leaves the cores' own instruction caches."""
        own, wanted = self.loops.own, 2 if self.loops.own >= PAIRS_FROM else 1
        if self._element_sums:
            dots = c_dots.without(self.dots, self._row_sums.named)
            if self._operations >= ROLLED_FROM and c_dots.are_many(dots, own):
                return c_dots.MANY
            products = sum(len(dot.rows) - 1 for dot in dots)
            wanted = max(len(ITERATIONS) // products, 1) if products else 1
        most = OPERATIONS_TO // max(self._operations, 1)
        return next((n for n in (4, 2) if n <= min(wanted, own, most)), 1)

    @cached_property
    def _operations(self) -> int:
        """Operations of an element; what follows its sums is a loop from ROLLED_FROM on."""
        return own_operations(self.flat.nest.parts, self._common_parts)

    @cached_property
    def _pairs_per_iteration(self) -> int:
        """Return how many pairs of elements an iteration computes, one after the other."""
        is_pair = self._elements_per_iteration == 2 and not self._element_sums
        return self.loops.pairs(self._operations) if is_pair else 1

    def _prefixes(self, block: int) -> str:
        """Return the prefixes of the variables of a block's elements; in a loop over them, all have
        one."""
        count = self._elements_per_iteration
        return "v" * count if count == c_dots.MANY else ITERATIONS[block * count :][:count]

    def _elements(self, prefixes: str) -> list[str]:
        """Return the statements for as many elements as there are prefixes of variables, of which
        independent ones follow each other."""
        dots = c_dots.dot_text(c_dots.without(self.dots, self._row_sums.named), len(prefixes), "s")
        if len(prefixes) > 1 and dots.in_loop and self._operations >= ROLLED_FROM:
            # elements that share a row of a product: their sums, then a loop over what follows
            count = len(prefixes)
            rows = [row for dot in self.dots for row in dot.rows]
            others = [array for array in self.arrays if array not in rows]
            element = *self._lane("v", 0, dots.in_loop), *self._pointer_increments(1, others)
            return [*dots.looped(element, count), *self._pointer_increments(count, rows)]
        columns = [
            self._column(prefix, ahead, dots.values[ahead]) for ahead, prefix in enumerate(prefixes)
        ]
        return [*dots.lines, *side_by_side(columns), *self._pointer_increments(len(prefixes))]

    def _pointer_increments(
        self, count: int, arrays: Sequence[CArray] | None = None
    ) -> Iterator[str]:
        """Yield the increments of indexed pointers behind `count` elements.

        arrays   arrays whose pointers move; None: all
        """
        for array in self.arrays if arrays is None else arrays:
            if array.is_indexed and array.moves and not self.taken.has_all_of(array):
                yield f"{array.name} += {array.step(array.inner, count)};"

    def _column(self, prefix: str, ahead: int, dots: dict[int, str]) -> tuple[list[str], list[str]]:
        """Return the statements for one element: its loads, and those that follow.

        ahead   number of its iteration from that to which the pointers point
        dots    id of a sum -> C of its value
        """
        lines = [line for x in self.arrays if (line := x.next_value(prefix))]
        lines += [row.load(prefix) for row in self.taken.rows]
        loads = self._element_loads(prefix, ahead) | self._row_sums.named | dots
        loads |= {id(row.part): row.value(prefix) for row in self.taken.rows}
        text = FormulaText(self.formula, loads, prefix, self.sums, self._rows_by_element(ahead))
        values = text.results()
        return lines, [*text.lines, *self.written.stores(values)]

    def _lane(self, prefix: str, ahead: int, dots: dict[int, str]) -> list[str]:
        return side_by_side([self._column(prefix, ahead, dots)])

    def _element_loads(self, prefix: str, ahead: int = 0) -> dict[int, str]:
        """Return id of an element -> C of its value."""
        return {at: text for x in self.arrays for at, text in x.values(prefix, ahead).items()}

    def _rows_by_element(self, ahead: int) -> dict[int, CRow]:
        """Return id of an element that a sum reads, or with a computed index -> its array."""
        moved = [x for x in self.arrays if x.read.is_reduced or x.is_taken]
        return {id(part): CRow(x, ahead) for x in moved for part, _ in x.read.parts}

    def cycles(self) -> tuple[float, float, int]:
        """Return the estimated cycles of an element and of a row's start, and the number of
        operations in the text."""
        row = self._row_sums.lines
        kernel = self.row_kernel
        own, code = (kernel.cycles, 0) if kernel else self._element_cycles()
        called = CALL_CYCLES if kernel else 0.0
        return own, text_cycles(row) + called, code + code_operations(row)

    def _element_cycles(self) -> tuple[float, int]:
        """Return the estimated cycles of an element, and the operations of its text."""
        if self.lanes > 1:
            lines = self._words_of_row.word([text.whole for text in self._words_of_row.texts])
            return (LOOP_CYCLES + iteration_cycles(lines)) / self.lanes, code_operations(lines)
        together = self._elements_per_iteration if self.dots else 1
        is_inner, ahead = self.turns.is_inner, self._prefixes(0)[:together]
        lines = self.turns.iteration(self.formula)[0] if is_inner else self._elements(ahead)
        return LOOP_CYCLES + iteration_cycles(lines) / together, code_operations(lines)
