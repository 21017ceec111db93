# SPDX-License-Identifier: Apache-2.0
"""The joint description of a chain of layers, in the place of an operator's integer constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from myoedge.nest.c import c_kernel
from myoedge.nest.c_header import CKernel
from myoedge.nest.c_scan import scan_kernel
from myoedge.nest.flat import FlatNest, Iterations
from myoedge.operators.base import QuantizedNode, QuantizedParams
from myoedge.operators.kernel import Operand, Region


@dataclass(frozen=True, eq=False)
class ChainNest:
    """The description of a chain of layers.

    flat       its loops; its results are those of the step
    operands   operand of each read of the loops: its position in the step; None for a constant
    labels     id of a part -> the layer whose result it is
    made       cores -> its function in C, once it is known
    """

    flat: FlatNest
    operands: tuple[int | None, ...]
    labels: Mapping[int, str]
    made: dict[int, CKernel] = field(default_factory=dict, init=False, repr=False)

    def in_c(self, cores: int) -> CKernel:
        """Return its function in C for so many cores."""
        if cores not in self.made:
            is_scan, known = self.flat.scanned is not None, (self.flat, self.labels)
            self.made[cores] = scan_kernel(*known) if is_scan else c_kernel(*known, cores)
        return self.made[cores]


@dataclass(frozen=True, eq=False, kw_only=True)
class ChainParams(QuantizedParams):
    """The description of a chain, in place of an operator's integer constants.

    chain   joint description of the members, whose constants are literals
    """

    chain: ChainNest = field(metadata={"in_c": False})


def order_of_chain(step: QuantizedNode) -> tuple[int, ...]:
    """Return the numbers of the results that a chain writes late; () for another layer."""
    return step.integers.chain.flat.late if isinstance(step.integers, ChainParams) else ()


def with_late_results(step: QuantizedNode, numbers: Sequence[int]) -> QuantizedNode | None:
    """Return a chain that writes some of its results when all cores have read their operands; None
    for one with a scan, or with rows that are not dense.

    numbers   of these results
    """
    chain: ChainNest = step.integers.chain
    flat = chain.flat
    if flat.scanned is not None or flat.row is not None or flat.side_step:
        return None
    late = replace(chain, flat=replace(chain.flat, late=tuple(numbers)))
    return replace(step, integers=ChainParams(chain=late))


def with_turns(step: QuantizedNode, turns: Iterations) -> QuantizedNode:
    """Return a chain of a loop's body as one that computes all iterations."""
    chain: ChainNest = step.integers.chain
    whole = replace(chain, flat=replace(chain.flat, turns=turns))
    return replace(step, integers=ChainParams(chain=whole), turns=turns.count)


def operands_read_elsewhere(step: QuantizedNode) -> set[int]:
    """Return the operands of a chain, by position, of which an iteration reads other elements than
    that at the place of its result."""
    chain: ChainNest = step.integers.chain
    known = (chain.operands[number] for number in chain.flat.reads_elsewhere())
    return {at for at in known if at is not None}


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
