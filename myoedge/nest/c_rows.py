# SPDX-License-Identifier: Apache-2.0
"""Values that the elements of a row have in common in C: sums and extremes over the row, and values
that follow from them, computed once before the loop over the elements.

For y[c] = (x[c] * 40 - sum over r of x[r]) >> 6, with rows of 40 elements:

    const int32_t h3 = me_total_b(x1, 40);
    for (...)
        me_put_b(&y, (v0 * 40 - h3) >> 6);
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from myoedge.nest.c_arrays import CArray
from myoedge.nest.c_dots import KINDS, RowProduct
from myoedge.nest.c_lanes import ITERATIONS, LaneText
from myoedge.nest.flat import FlatNest
from myoedge.nest.formula_parts import FormulaParts, bare
from myoedge.nest.ir import Binary, Element, Expr, Lookup, Reduced, walk
from myoedge.nest.lanes import lane_sums, lanes_of, words_together
from myoedge.nest.nodes import Assumed, depending

if TYPE_CHECKING:
    from myoedge.nest.c_formula import FormulaText


# --- words ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class WordRow:
    """The loop over the words of a row in C.

    texts     its sums and extremes
    lanes     elements of a word
    results   C name and formula of each result, if words hold as many of them; otherwise ()
    column    (prefix of variables, lane, id of a part -> its C) -> statements for an element
    moves     number of elements -> steps of pointers
    together  words per iteration
    """

    texts: Sequence[LaneText]
    lanes: int
    together: int
    results: Sequence[tuple[str, Expr]]
    column: Callable[[str, int, dict[int, str]], list[str]]
    moves: Callable[[int], Iterator[str]]

    @staticmethod
    def of(
        flat: FlatNest,
        texts: Sequence[LaneText],
        names: Sequence[str],
        column: Callable[[str, int, dict[int, str]], list[str]],
        moves: Callable[[int], Iterator[str]],
    ) -> WordRow:
        """Return the loop of a description whose results have these names."""
        are_words = all(array.dtype == texts[0].sum.kind for array, _ in flat.nest.results)
        values = (value for _, value in flat.nest.results)
        results = [*zip(names, values, strict=True)] if are_words else []
        return WordRow(texts, lanes_of(flat), words_together(flat), results, column, moves)

    def loops(self, start: str) -> Iterator[str]:
        """Yield the loop over a row; a second one for windows that are cut off, if that has other
        statements.

        start   C of the loop's start
        """
        conditions = [x for text in self.texts for x in text.conditions]
        if not conditions:
            yield from self._word_reduction_loop(self.texts, start)
            return
        yield f"if ({' && '.join(dict.fromkeys(conditions))}) {{"
        yield from (
            f"    {x}"
            for x in self._word_reduction_loop([text.whole for text in self.texts], start)
        )
        yield "} else {"
        yield from (f"    {x}" for x in self._word_reduction_loop(self.texts, start))
        yield "}"

    def _word_reduction_loop(self, texts: Sequence[LaneText], start: str) -> Iterator[str]:
        for text in texts:
            yield from text.row()
        words = [line for _ in range(self.together) for line in self._word_statements(texts)]
        yield start
        yield from (f"    {line}" for line in words)
        yield "}"

    def _word_statements(self, texts: Sequence[LaneText]) -> list[str]:
        """Return the statements for a word, in a block of their own if others follow."""
        word = self.word(texts)
        return ["{", *(f"    {line}" for line in word), "}"] if self.together > 1 else word

    def word(self, texts: Sequence[LaneText]) -> list[str]:
        """Return the statements for a word of neighbours; a result that is an extreme is stored as
        a word."""
        lines = [line for text in texts for line in text.element()]
        return [*lines, *self._word_stores(texts), *self.moves(self.lanes)]

    def _word_stores(self, texts: Sequence[LaneText]) -> list[str]:
        extremes = {id(x.sum.parts[0]): x.variable for x in texts if x.is_extreme}
        if self.results and all(id(value) in extremes for _, value in self.results):
            return [f"me_put_w(&{name}, {extremes[id(x)]});" for name, x in self.results]
        columns = (self._lane_text(texts, at, ITERATIONS[at]) for at in range(self.lanes))
        return [line for column in columns for line in column]

    def _lane_text(self, texts: Sequence[LaneText], at: int, prefix: str) -> list[str]:
        values = {part: text for x in texts for part, text in x.values_of(at).items()}
        return self.column(prefix, at, values)


def lane_texts(
    flat: FlatNest, arrays: Sequence[CArray], values: Mapping[int, str]
) -> list[LaneText]:
    """Return the C of a description's sums and extremes by words.

    values   id of a part that a row reads -> its C
    """
    sums = enumerate(lane_sums(flat))
    return [LaneText(x, arrays[x.number], flat.over, n, values) for n, x in sums]


# --- rows -----------------------------------------------------------------------------------------


HEADER, FROM = "me_rows.h", 32  # elements of a row: shorter ones are faster as a loop
KERNEL_HEADERS = {"me_norm_row": "me_norm_rows.h", "me_row_": "me_softmax_rows.h"}
SUMS = re.compile(r"me_row_sum\([^,]*, (\d+), ")
TOTALS = {"sum": "me_total", "max": "me_most", "min": "me_least", "argmax": "me_argmax"}
STARTS = {"sum": "0", "int32 sum": "0", "max": "INT32_MIN", "min": "INT32_MAX", "argmax": "0"}
PAIRS = {"moments": ("total", "squares"), "extremes": ("most", "least")}  # structs and fields
CALLS = re.compile(
    r"me_(?:total|squares|most|least|argmax|moments|extremes)(?:_shifted)?_([bh])\(.*?, (\d+)\)"
)
CALL_CYCLES, WORD_CYCLES = 8.0, 2.75  # from the instructions of me_rows.h
FOUND = re.compile(r"me_argmax_[bh]\(.*?, (\d+)\)")
FOUND_CYCLES = 3.0  # of an element, half of which are compared until the largest is found
ENTRY_CYCLES = 4.0  # of an element, from me_softmax_rows.S


def common_parts(formula: FormulaParts, moving: set[int]) -> list[Expr]:
    """Return the reductions that all elements of a row have in common, and the largest parts that
    follow from them, operands first.

    moving   ids of the parts that differ between the elements of a row
    """
    parts = walk(*formula.values)
    depends = _parts_of_reductions(parts)
    used = {id(x) for part in parts if id(part) in moving for x in part.operands}
    used |= {*map(id, formula.values)}
    found = (x for x in parts if id(x) in depends - moving and not formula.axes[id(x)])
    return [part for part in found if isinstance(part, Reduced) or id(part) in used]


def write_row(text: FormulaText, part: Reduced) -> str:
    """Return the C of a sum or extreme of a contiguous row; "" if it is another reduction. A sum
    and the sum of squares of a row, and its extremes, are one call, whose struct is a variable."""
    own, found = row_call(text, part), _row_function(part)
    if not own or found is None:
        return own
    for struct, fields in PAIRS.items():
        known = {_row_function(x): x for x in text.sums if id(x) not in text.texts} | {found: part}
        both = [known.get(replace(found, function=f"me_{field}")) for field in fields]
        if (first := both[0]) is None or (second := both[1]) is None:
            continue
        name, call = text.next_name(), own.replace(found.function, f"me_{struct}", 1)
        text.lines.append(f"const me_{struct} {name} = {call};")
        text.texts |= {id(x): f"{name}.{y}" for x, y in zip((first, second), fields, strict=True)}
        return text.texts[id(part)]
    return own


def row_start(part: Reduced, name: str) -> str:
    """Return the definition of a reduction's variables.

    name   of the one with its result
    """
    most = [f", {name}_most = INT32_MIN"] if part.operation == "argmax" else []
    return f"int32_t {name} = {STARTS[part.operation]}{''.join(most)};"


def row_step(text: FormulaText, part: Reduced, name: str, at: str) -> str:
    """Return the statement that adds a value to a reduction.

    name   of the reduction's variable
    at     number of the iteration, in C
    """
    match part:
        case Reduced("int32 sum", _, Binary("*", a, b) as value) if text.is_own(value):
            return f"{name} = me_mac({name}, {text.bare(a)}, {text.bare(b)});"
        case Reduced("int32 sum", _, value):
            return f"{name} = (int32_t)((uint32_t){name} + (uint32_t){text.of(value)});"
        case Reduced("sum", _, value):
            return f"{name} += {text.bare(value)};"
        case Reduced("argmax", _, value):
            most, known = f"{name}_most", text.of(value)
            return f"if ({known} > {most}) {{ {most} = {bare(known)}; {name} = {at}; }}"
    return f"{name} = me_{part.operation}({name}, {text.bare(part.value)});"


def own_operations(parts: Sequence[Expr], common: Sequence[Expr]) -> int:
    """Return the operations of an element, without those that a row has in common."""
    known = {id(x) for x in walk(*common)} if common else set()
    return sum(1 for x in parts if x.operands and id(x) not in known)


def apart_from_squares(dots: list[RowProduct], sums: Sequence[Reduced]) -> list[RowProduct]:
    """Return the sums of a row without those whose sum of squares is computed with them."""
    known = [x for part in sums if (x := _row_function(part))]
    squared = {id(x.element) for x in known if x.function == "me_squares"}
    stated = ((dot, _row_function(dot.part)) for dot in dots)
    return [dot for dot, x in stated if x is None or id(x.element) not in squared]


def row_call(text: FormulaText, part: Reduced) -> str:
    """Return the call of a function of rows; "" if there is none for a reduction."""
    if entries := _table_sum_call(text, part):
        return entries
    found = _row_function(part)
    row = None if found is None else text.rows.get(id(found.element))
    if found is None or row is None or not _is_row(row.array, text.parts.over.index(part.axis)):
        return ""
    kind = KINDS[row.array.read.array.dtype]
    if found.bits is None:
        return f"{found.function}_{kind}({row.array.row(row.ahead)}, {part.axis.extent})"
    if kind == "b":
        return ""
    bits = text.bare(found.bits)
    return (
        f"{found.function}_shifted_{kind}({row.array.row(row.ahead)}, {bits}, {part.axis.extent})"
    )


@dataclass(frozen=True, slots=True)
class RowFunction:
    """A function of a row in C.

    function   its name, without the type of the elements
    element    an element of the row
    bits       right shift of the elements; None: they are not shifted
    """

    function: str
    element: Element
    bits: Expr | None = None


def _parts_of_reductions(parts: Sequence[Expr]) -> set[int]:
    """Return the ids of the parts that are reductions or depend on one."""
    return depending(parts, {id(part) for part in parts if isinstance(part, Reduced)})


def _row_function(part: Reduced) -> RowFunction | None:
    """Return the row function of a reduction; None without one."""
    match part:
        case Reduced("sum" | "int32 sum", _, Binary("*", a, b), None) if a is b:
            name, value = "me_squares", a
        case Reduced("sum" | "max" | "min" | "argmax" as operation, _, value, None):
            name = TOTALS[operation]
        case _:
            return None
    match value.value if isinstance(value, Assumed) else value:
        case Element() as element:
            return RowFunction(name, element)
        case Binary(">>", Element() as element, bits) if part.operation.endswith("sum"):
            return RowFunction(name, element, bits)
    return None


def _table_sum_call(text: FormulaText, part: Reduced) -> str:
    """Return the call that adds a table's entries at the distances of a long row of bytes from a
    value; "" if a reduction is something else."""
    match part:
        case Reduced("sum", axis, Lookup(table, Assumed(Binary("-", most, Element() as x))), None):
            row = text.rows.get(id(x)) if axis.extent >= FROM else None
            kinds = x.array.dtype, table.dtype
            if row is None or axis in text.parts.axes[id(most)] or kinds != ("int8", "uint16"):
                return ""
            if _is_row(row.array, text.parts.over.index(axis)):
                known = text.parts.tables[id(table)], text.bare(most)
                return f"me_row_sum({row.array.row(row.ahead)}, {axis.extent}, {', '.join(known)})"
    return ""


def _is_row(array: CArray, axis: int) -> bool:
    """Return whether an array of bytes or halves is contiguous along a reduced axis, by number, and
    no other one moves it."""
    return (
        array.read.array.dtype in KINDS
        and array.step(array.inner + 1 + axis) == "1"
        and sum(map(bool, array.read.over)) == 1
    )


def row_headers(lines: Sequence[str]) -> set[str]:
    """Return the headers that lines of C need for functions of rows."""
    text = "\n".join(lines)
    own = {header for name, header in KERNEL_HEADERS.items() if name in text}
    return own | ({HEADER} if CALLS.search(text) else set())


def total_cycles(line: str) -> float:
    """Return the estimated cycles of a call in a line of C; 0 if there is none."""
    words = (int(n) / (4 if kind == "b" else 2) for kind, n in CALLS.findall(line))
    entries = sum(CALL_CYCLES + ENTRY_CYCLES * int(n) for n in SUMS.findall(line))
    found = sum(FOUND_CYCLES * int(n) for n in FOUND.findall(line))
    return sum(CALL_CYCLES + WORD_CYCLES * count for count in words) + entries + found
