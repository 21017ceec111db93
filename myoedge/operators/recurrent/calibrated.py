# SPDX-License-Identifier: Apache-2.0
"""Fraction bits of an LSTM's c, gates and h, selected from their ranges."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.operators.recurrent.cells import CELL_BITS, GATE_BITS, lstm_floats
from myoedge.operators.recurrent.quantized import HIDDEN_BITS, int8_bits

MOST_GATE_BITS, MOST_CELL_BITS = 14, 15  # ranges +-2 and +-1
COARSE_GATE_BITS = 8  # range +-128
LEAST_CELL_BITS = 5  # fraction bits of the step of the tanh table
HEADROOM = 4.0  # factor on small ranges, for samples outside the calibration set
LARGE_HEADROOM = 1.25  # factor on the range of a c that exceeds +-16
TINY = 1e-30
BY_RANGE: Mapping[str, int] = {}  # no bits chosen by noise


class Reach(NamedTuple):
    """Largest magnitudes in an LSTM over the time steps of one sample.

    gates    largest |gate sum|, also of its two addends
    cell     largest |c|
    hidden   largest |h|
    """

    gates: float
    cell: float
    hidden: float

    def with_other(self, other: Reach) -> Reach:
        return Reach(*map(max, self, other))


def lstm_reach(attrs: Attrs, gates: Array, h: Array, c: Array, r: Array) -> Reach:
    """Return the largest magnitudes in an LSTM over all time steps of a sample, initial states
    included.

    gates, h, c, r   operands of the operator `lstm`
    """
    steps = [*lstm_floats(attrs, gates, h, c, r)]
    hidden, cells = (np.stack(found) for found in zip((h, c), *steps, strict=True))
    added = hidden[:-1] @ r.T
    total = (gates[::-1] if attrs["reverse"] else gates) + added
    parts = max(float(np.abs(x).max()) for x in (gates, added, total))
    return Reach(parts, float(np.abs(cells).max()), float(np.abs(hidden).max()))


def rounded_bits(
    attrs: Attrs, operands: Sequence[Array], reach: Reach, *, reads_cell: bool
) -> dict[str, int]:
    """Return, by attribute, the fraction bits of c and of gate sums with the least noise, of those
    whose values exceed the default range; {} if none do.

    c has those of its range, or up to CELL_BITS, with which larger values saturate. Where c is kept
    for many time steps, its rounding errors add up. Saturated values lose how far they were beyond
    the range, which only matters if they return while tanh is not constant. Gate sums have two
    parts, of inputs and of h, that saturate separately: of large parts that nearly cancel, little
    is right.
    operands     gates, h, c, r of the operator `lstm`, all samples along the batch axis
    reach        its largest magnitudes
    reads_cell   whether the last c counts, not only h
    """
    gates, h, c, r = operands

    def results(**rounding: Callable[[Array], Array]) -> list[Array]:
        """Return h of all steps, and the last c if it counts."""
        hidden, cells = zip(*lstm_floats(attrs, gates, h, c, r, **rounding), strict=True)
        return [np.stack(hidden), *cells[-1:]][: 1 + reads_cell]

    exact = results()

    def noise(**rounding: Callable[[Array], Array]) -> float:
        pairs = zip(exact, results(**rounding), strict=True)
        return sum(float(np.sum((x - y) ** 2) / max(np.sum(x**2), TINY)) for x, y in pairs)

    found = {}
    if exceeds_cell(reach):
        cells = range(range_bits(reach.cell), CELL_BITS + 1)
        found["cell_bits"] = min(
            cells, key=lambda x: noise(stored=_int16_rounding(x, LARGE_HEADROOM))
        )
    if exceeds_gates(reach):
        sums = (GATE_BITS, COARSE_GATE_BITS)
        found["gate_bits"] = min(sums, key=lambda x: noise(added=_int16_rounding(x)))
    return found


def exceeds_cell(reach: Reach) -> bool:
    """Return whether c exceeds the range of the default steps."""
    return range_bits(reach.cell) < CELL_BITS


def exceeds_gates(reach: Reach) -> bool:
    """Return whether a part of the gate sums exceeds the range of the default steps."""
    return reach.gates * 2.0**GATE_BITS >= 2.0**15


def _int16_rounding(bits: int, headroom: float = 1.0) -> Callable[[Array], Array]:
    """Return the function that rounds values to int16 with these fraction bits, and saturates them
    at their range less the headroom."""
    limit = 2.0 ** (15 - bits) / headroom
    return lambda x: np.asarray(np.clip(np.rint(x * 2.0**bits) / 2.0**bits, -limit, limit))


def step_attrs(reach: Reach, rounded: Mapping[str, int] = BY_RANGE) -> dict[str, int]:
    """Return the attributes that give an LSTM finer quantisation steps for small ranges, and its c
    or gate sums a larger range; {} for the default steps.

    rounded   result of `rounded_bits`; without an entry for c, its range determines its bits
    Steps are finer if a range is at most 1/32 of the default (gates: 1/64).
    """
    usual = {"gate_bits": GATE_BITS, "cell_bits": CELL_BITS, "hidden_bits": HIDDEN_BITS}
    found = {
        "gate_bits": _finer_fraction_bits(reach.gates, GATE_BITS, MOST_GATE_BITS),
        "cell_bits": range_bits(reach.cell),
        "hidden_bits": int8_bits(reach.hidden),
        **rounded,
    }
    return {name: bits for name, bits in found.items() if bits != usual[name]}


def _finer_fraction_bits(reach: float, usual: int, most: int) -> int:
    """Return the larger number of fraction bits, `most`, if it covers HEADROOM times the range;
    otherwise the default."""
    return most if 0.0 < reach * HEADROOM * 2.0**most <= 2.0**15 else usual


def range_bits(reach: float) -> int:
    """Return the fraction bits with which the range of an LSTM's c covers `reach`."""
    if reach * 2.0**CELL_BITS < 2.0**15:
        return _finer_fraction_bits(reach, CELL_BITS, MOST_CELL_BITS)
    return max(15 - math.ceil(math.log2(reach * LARGE_HEADROOM)), LEAST_CELL_BITS)
