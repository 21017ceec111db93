# SPDX-License-Identifier: Apache-2.0
"""Sums and extremes of elements side by side in C: a word of four bytes or two halves at a time.

For y[t, c] = max over r of x0[2 * t + r, c] with three r and 16 channels c, before and in the loop:

    const int8_t *t0 = x0, *t1 = x0 + 16, *t2 = x0 + 32;
    const uint32_t u0 = me_next_w(&t0), u1 = me_next_w(&t1), u2 = me_next_w(&t2);
    const uint32_t m0 = me_max_b(me_max_b(u0, u1), u2);

Longer windows, and sums of windows that are cut off at a border, have loops:

    int32_t s0[4] = { 0 };
    const int8_t *a0 = x0;
    for (int32_t r0 = 0; r0 < 25; r0++) {
        me_add4_b(s0, me_step_w(&a0, 16));
        ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product

from myoedge.nest.c_arrays import CArray, in_bytes
from myoedge.nest.ir import Axis, Expr, Number, Reduced
from myoedge.nest.lanes import FEW_TAPS, LANES, LaneSum

HEADER = "me_lanes.h"
ITERATIONS = "vwpq"  # prefixes of variables of the elements that are computed at a time
AHEAD = 4  # elements that are loaded before the first one's use, which would wait
TOGETHER = 8  # elements of a reduced axis per iteration of its loop
SUFFIX = {"int8": "b", "int16": "h"}
LOWEST = {"int8": ("0x80808080u", "0x7f7f7f7fu"), "int16": ("0x80008000u", "0x7fff7fffu")}


@dataclass(frozen=True, eq=False)
class LaneText:
    """A sum or extreme of neighbours in C.

    sum      the sum or extreme
    array    the array
    over     reduced axes of the description
    number   number of its variables
    values   id of a part that a row reads -> its C
    is_whole   whether all windows have all elements, in the iteration for which this is the text
    """

    sum: LaneSum
    array: CArray
    over: Sequence[Axis]
    number: int
    values: Mapping[int, str]
    is_whole: bool = False

    @property
    def kind(self) -> str:
        return SUFFIX[self.sum.kind]

    @property
    def is_extreme(self) -> bool:
        return self.sum.operation != "sum"

    @property
    def is_unrolled(self) -> bool:
        """Whether each element of a window has a pointer: of those beyond an end, which change no
        extreme, the last one before it."""
        has_all = self.is_whole or not self.sum.has_ends
        return self.sum.taps <= FEW_TAPS and (self.is_extreme or has_all)

    @property
    def whole(self) -> LaneText:
        """The text for a window with all its elements."""
        return replace(self, is_whole=True)

    @property
    def conditions(self) -> list[str]:
        """Whether a window has all its elements, in C; [] if that changes nothing."""
        if self.is_unrolled == self.whole.is_unrolled:
            return []
        found = []
        for part in self.sum.parts:
            if part.ends:
                first, end = map(self._end_text, part.ends)
                found.append(f"({end} - {first}) == {part.axis.extent}")
        return found

    @property
    def variable(self) -> str:
        return f"{'m' if self.is_extreme else 's'}{self.number}"

    def values_of(self, ahead: int) -> dict[int, str]:
        """Return the C of the value of a lane."""
        text = f"{self.variable}[{ahead}]"
        if self.is_extreme:
            bits = 32 // LANES[self.sum.kind]
            text = f"me_extract((int32_t){self.variable}, {bits}, {ahead * bits})"
        return {id(self.sum.parts[0]): text}

    @property
    def _run_length(self) -> int:
        """Elements that one pointer reads: all along the innermost axis, if none is left out."""
        is_cut = self.sum.has_ends and not self.is_whole
        return 1 if is_cut else self.sum.parts[-1].axis.extent

    def row(self) -> Iterator[str]:
        """Yield what the elements of a row have in common: the pointers of an unrolled window."""
        if not self.is_unrolled:
            return
        ranges = [range(part.axis.extent) for part in self.sum.parts]
        ranges[-1] = range(0, ranges[-1].stop, self._run_length)
        for tap, at in enumerate(product(*ranges)):
            pairs = zip(self.sum.parts, at, strict=True)
            start = _advance_pointers(
                self.array.name, [self._iteration_offset(part, r) for part, r in pairs]
            )
            yield f"const int8_t *{self._tap_pointer(tap)} = {self._cast_pointer(start)};"
        if self._run_length > 1:
            way = _step_product(str(self._run_length - 1), self._inner_step_bytes)
            yield f"const int32_t back{self.number} = 4 - {way};"

    @property
    def _inner_step_bytes(self) -> str:
        """Step in bytes along the innermost reduced axis."""
        return in_bytes(self._step_text(self.sum.parts[-1]), self.sum.kind)

    def _load_text(self, tap: int) -> str:
        """Return the load of an element; pointers end at the next word."""
        pointer, at = divmod(tap, self._run_length)
        if self._run_length == 1:
            return f"me_next_w(&{self._tap_pointer(pointer)})"
        step = self._inner_step_bytes if at < self._run_length - 1 else f"back{self.number}"
        return f"me_step_w(&{self._tap_pointer(pointer)}, {step})"

    def element(self) -> list[str]:
        """Return the statements for a word of neighbours."""
        if not self.is_unrolled:
            return [self._start_value(), *self._reduction_loop(0, self.array.name)]
        words = [f"u{self.number}_{tap}" for tap in range(self.sum.taps)]
        loads = [f"const uint32_t {x} = {self._load_text(tap)};" for tap, x in enumerate(words)]
        if self.is_extreme:
            text = reduce(self._extreme_text, words)
            return [*loads, f"const uint32_t {self.variable} = {text};"]
        lanes = LANES[self.sum.kind]
        first = f"me_set{lanes}_{self.kind}({self.variable}, {words[0]});"
        adds = [first, *(self._accumulate_word(word) for word in words[1:])]
        steps = (
            x
            for at in range(0, len(words), AHEAD)
            for x in [*loads[at : at + AHEAD], *adds[at : at + AHEAD]]
        )
        return [f"int32_t {self.variable}[{lanes}];", *steps]

    def _tap_pointer(self, tap: int) -> str:
        return f"t{self.number}_{tap}"

    def _cast_pointer(self, pointer: str) -> str:
        if self.sum.kind == "int8":
            return pointer
        return f"(const int8_t *)({pointer})" if " " in pointer else f"(const int8_t *){pointer}"

    def _step_text(self, part: Reduced) -> str:
        return self.array.step(self.array.inner + 1 + self.over.index(part.axis))

    def _iteration_offset(self, part: Reduced, r: int) -> str:
        """Return the distance of an iteration of a reduced axis; between its ends, if it has
        some."""
        step, text = self._step_text(part), str(r)
        if part.ends and not self.is_whole:
            first, end = (self._end_text(x) for x in part.ends)
            text = f"me_min(me_max({r}, {first}), {end} - 1)"
        return _step_product(text, step)

    def _end_text(self, end: Expr) -> str:
        return str(end.value) if isinstance(end, Number) else self.values[id(end)]

    def _start_value(self) -> str:
        if self.is_extreme:
            start = LOWEST[self.sum.kind][self.sum.operation == "min"]
            return f"uint32_t {self.variable} = {start};"
        return f"int32_t {self.variable}[{LANES[self.sum.kind]}] = {{ 0 }};"

    def _extreme_text(self, a: str, b: str) -> str:
        return f"me_{self.sum.operation}_{self.kind}({a}, {b})"

    def _accumulate_word(self, word: str) -> str:
        if self.is_extreme:
            return f"{self.variable} = {self._extreme_text(self.variable, word)};"
        return f"me_add{LANES[self.sum.kind]}_{self.kind}({self.variable}, {word});"

    def _reduction_loop(self, at: int, start: str) -> list[str]:
        """Return the loop over a reduced axis and those inside.

        start   C of the pointer to the first element of the axes around
        """
        part, pointer = self.sum.parts[at], f"a{self.number}_{at}"
        first, end = ("0", str(part.axis.extent))
        if part.ends:
            first, end = map(self._end_text, part.ends)
        start = self._cast_pointer(start) if at == 0 else start
        shift = in_bytes(_step_product(first, self._step_text(part)), self.sum.kind)
        lines = [f"const int8_t *{pointer} = {_advance_pointers(start, [shift])};"]
        step = in_bytes(self._step_text(part), self.sum.kind)
        if at < len(self.sum.parts) - 1:
            inner = [*self._reduction_loop(at + 1, pointer), f"{pointer} += {step};"]
            return [*lines, *_repeat_iterations(at, first, end, part, inner)]
        load = self._accumulate_word(f"me_step_w(&{pointer}, {step})")
        if part.ends:
            return [*lines, *_repeat_iterations(at, first, end, part, [load])]
        times, rest = divmod(part.axis.extent, min(part.axis.extent, TOGETHER))
        body = [load] * min(part.axis.extent, TOGETHER)
        loop = _repeat_iterations(at, "0", str(times), part, body) if times > 1 else body
        return [*lines, *loop, *[load] * rest]


def headers(lanes: int) -> set[str]:
    """Return the headers that a function needs for words of so many elements."""
    return {HEADER} if lanes > 1 else set()


def _repeat_iterations(at: int, first: str, end: str, part: Reduced, body: list[str]) -> list[str]:
    most = f" /* at most {part.axis.extent} times */" if part.ends else ""
    return [
        f"for (int32_t r{at} = {first}; r{at} < {end}; r{at}++) {{{most}",
        *(f"    {line}" for line in body),
        "}",
    ]


def _step_product(text: str, step: str) -> str:
    if "0" in (text, step):
        return "0"
    return step if text == "1" else text if step == "1" else f"{text} * {step}"


def _advance_pointers(pointer: str, distances: Sequence[str]) -> str:
    return " + ".join([pointer, *(x for x in distances if x != "0")])
