# SPDX-License-Identifier: Apache-2.0
"""Operands of a chain that computes all iterations of a loop: sequences have a row for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from myoedge.nest.flat import FlatNest, Iterations
from myoedge.operators.kernel import Operand, Region

TURN = "turn"  # axis of the iterations


def turn_axis(flat: FlatNest) -> dict[str, int]:
    """Return the axis of the iterations with its extent; none without them."""
    return {} if flat.turns is None else {TURN: flat.turns.count}


def sequences(
    flat: FlatNest,
    operands: Sequence[Operand],
    arrays: Sequence[str],
    results: Sequence[str],
) -> list[Operand]:
    """Return the operands and results of an iteration as those of all: a row of a sequence becomes
    the sequence.

    arrays, results   names of the arrays that it reads, and of its results
    """
    if flat.turns is None:
        return [*operands]
    rows = _row_names(flat.turns, arrays, results)
    return [_sequence(x, flat.turns.count) if x.name in rows else x for x in operands]


def _row_names(turns: Iterations, arrays: Sequence[str], results: Sequence[str]) -> set[str]:
    return {*(arrays[n] for n in turns.rows), *(results[n] for n in turns.row_results)}


def _sequence(row: Operand, count: int) -> Operand:
    first = (0, *row.first) if row.first else ()
    return replace(row, shape=(count, *row.shape), dims=(((TURN, 1),), *row.dims), first=first)


def of_one_iteration(
    regions: Mapping[str, Region], flat: FlatNest, arrays: Sequence[str], results: Sequence[str]
) -> dict[str, Region]:
    """Return the regions of a tile with rows in the place of sequences.

    arrays, results   their names
    """
    found = dict(regions)
    if flat.turns is None:
        return found
    for name in _row_names(flat.turns, arrays, results) & found.keys():
        x = found[name]
        found[name] = Region(x.start[1:], x.extent[1:], x.before[1:], x.after[1:], x.within[1:])
    return found
