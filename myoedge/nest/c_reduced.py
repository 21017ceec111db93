# SPDX-License-Identifier: Apache-2.0
"""Reductions as loops in C, several iterations one behind the other, and all sums over an axis that
can be computed in one loop.

    int32_t v1 = 0;
    const int8_t *v2_at = x0;
    for (int32_t r0 = 0; r0 < 64; r0 += 2) {
        const int32_t v3 = me_step_b(&v2_at, 16);
        const int32_t v4 = me_step_b(&v2_at, 16);
        v1 += table0[v3 + 128];
        v1 += table0[v4 + 128];
    }
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from myoedge.nest.c_rows import row_call, row_start, row_step
from myoedge.nest.ir import Expr, Reduced, walk

if TYPE_CHECKING:
    from myoedge.nest.c_formula import FormulaText

UNROLLED, MOST_UNROLLED = (4, 2), 48  # iterations that are written out; parts of their formulas


def write_loop(text: FormulaText, part: Reduced) -> str:
    """Write the loop over a reduced axis; return the variable with the result."""
    _write_loop_invariants(text, [part])
    together = [part, *_independent_sums(text, part)]
    _write_loop_invariants(text, together)
    names, axis = [text.next_name() for _ in together], text.parts.over.index(part.axis)
    sums = [*zip(together, names, strict=True)]
    text.lines += [row_start(each, name) for each, name in sums]
    count = _unroll_iterations(text, part, together)
    whole = part.axis.extent // count * count
    first, end = ("0", str(whole)) if part.ends is None else map(text.of, part.ends)
    pointers, at = _write_pointers(text, together, axis, first), f"r{axis}"
    each = [at, *(f"{at} + {n}" for n in range(1, count))]
    body = _reduction_iterations(text, sums, pointers, each)
    step = f"{at}++" if count == 1 else f"{at} += {count}"
    comment = "" if part.ends is None else f" /* at most {part.axis.extent} times */"
    text.lines += [
        f"for (int32_t {at} = {first}; {at} < {end}; {step}) {{{comment}",
        *(f"    {line}" for line in body),
        "}",
        *_reduction_iterations(text, sums, pointers, [*map(str, range(whole, part.axis.extent))]),
    ]
    text.texts |= {id(x): name for x, name in sums}
    return names[0]


def _reduction_iterations(
    text: FormulaText,
    sums: Sequence[tuple[Reduced, str]],
    pointers: Mapping[int, str],
    each: Sequence[str],
) -> list[str]:
    """Return the statements of iterations over the innermost axis, of which independent ones follow
    each other.

    sums       reductions, with their variables
    pointers   id of an element that the axis moves -> the pointer to it
    each       number of each iteration, in C
    """
    axis, columns = text.parts.over.index(sums[0][0].axis), []
    for at in each:
        inside = text.inside(axis)
        for element, pointer in pointers.items():
            load = inside.rows[element].next_value(pointer, inside.open[-1])
            inside.texts[element] = inside.next_name()
            inside.lines.append(f"const int32_t {inside.texts[element]} = {load};")
        steps = [row_step(inside, part, name, at) for part, name in sums]
        text.count = inside.count
        columns.append([*inside.lines, *steps])
    return [line for row in zip_longest(*columns) for line in row if line]


def _unroll_iterations(text: FormulaText, part: Reduced, together: Sequence[Reduced]) -> int:
    """Return the iterations of a loop that are written one behind the other."""
    moved, _ = _parts_of_axis(text, together)
    if part.ends is not None or any(isinstance(x, Reduced) for x in moved):
        return 1
    fits = (n for n in UNROLLED if n * len(moved) <= MOST_UNROLLED and 2 * n <= part.axis.extent)
    return next(fits, 1)


def _write_pointers(
    text: FormulaText, sums: Sequence[Reduced], axis: int, first: str
) -> dict[int, str]:
    """Write the pointers to the elements that a reduced axis moves, by number; return id of the
    element -> pointer.

    first   the axis' first iteration, in C
    """
    pointers, known = dict[int, str](), {text.parts.over[n] for n in (*text.open, axis)}
    for element in _parts_of_axis(text, sums)[0]:
        if id(element) in text.rows and text.parts.axes[id(element)] <= known:
            starts = {f"r{n}": n for n in text.open} | {first: axis}
            pointers[id(element)] = f"{text.next_name()}_at"
            text.lines.append(text.rows[id(element)].pointer(pointers[id(element)], starts))
    return pointers


def _independent_sums(text: FormulaText, part: Reduced) -> Iterator[Reduced]:
    """Yield the other sums over an axis whose values depend on no sum that is not written, nor in
    the loop itself."""
    for other in text.sums:
        is_alike = (
            other is not part
            and other.axis == part.axis
            and [*map(id, other.ends or ())] == [*map(id, part.ends or ())]
            and id(other) not in text.texts
            and text.parts.axes[id(other)] == text.parts.axes[id(part)]
        )
        if is_alike and _is_written(text, other):
            yield other


def _is_written(text: FormulaText, part: Reduced) -> bool:
    inner = (x for x in walk(part.value) if isinstance(x, Reduced))
    is_loop = bool(text.open) or not row_call(text, part)
    axes = text.parts.axes
    return is_loop and all(id(x) in text.texts or part.axis in axes[id(x)] for x in inner)


def _write_loop_invariants(text: FormulaText, sums: Sequence[Reduced]) -> None:
    """Write the parts of reductions that do not depend on their axis."""
    for inner in _parts_of_axis(text, sums)[1]:
        text.of(inner)


def _parts_of_axis(text: FormulaText, sums: Sequence[Reduced]) -> tuple[list[Expr], list[Expr]]:
    """Return the parts of values reduced over an axis that depend on it, operands first, and the
    largest formulas in them that depend on neither this axis nor one of a loop inside, among them
    other reductions over the axis."""
    values, axis = [part.value for part in sums], sums[0].axis
    around, axes = {text.parts.over[n] for n in text.open}, text.parts.axes
    inside, others, ahead = set[int](), dict[int, Expr](), values[::-1]
    while ahead:
        inner = ahead.pop()
        if axes[id(inner)] <= around:
            others |= {id(inner): inner} if inner.operands else {}
        elif id(inner) not in inside:
            inside.add(id(inner))
            ahead += reversed(inner.operands)
    moved = [x for x in walk(*values) if id(x) in inside and axis in axes[id(x)]]
    return moved, [*others.values()]
