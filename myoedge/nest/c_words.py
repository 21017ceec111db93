# SPDX-License-Identifier: Apache-2.0
"""The loop over the words of a row in C: sums and extremes of neighbours, then each result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from myoedge.nest.c_arrays import CArray
from myoedge.nest.c_lanes import ITERATIONS, LaneText
from myoedge.nest.flat import FlatNest
from myoedge.nest.ir import Expr
from myoedge.nest.lanes import lane_sums, lanes_of, words_together


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
