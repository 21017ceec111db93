# SPDX-License-Identifier: Apache-2.0
"""Integer constants of recurrent layers at run time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.operators.learnt import SHIFT, SYMMETRIC_32, Span
from myoedge.operators.products.packing import WeightedParams, beside_states

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrentParams(WeightedParams):
    """Integer constants of a recurrent layer; None for constants that the operator does not have.

    relu            1 if the activation of a plain RNN is relu
    h_*, c_*        conversion of an initial state to the format of the stored state
    x_*             conversion of an input to the sums of a plain RNN
    new_*           conversion of a GRU's new gate to its int16 h
    y_*             conversion of the final state to the output, for operators that return it
    sigmoid, tanh   Q15 tables, int16 [513]
    """

    relu: int | None = None
    h_mult: int | None = None
    h_offset: int | None = None
    h_shift: int | None = None
    c_mult: int | None = None
    c_offset: int | None = None
    c_shift: int | None = None
    x_mult: int | None = None
    x_offset: int | None = None
    x_shift: int | None = None
    new_mult: int | None = None
    new_offset: int | None = None
    new_shift: int | None = None
    y_mult: int | None = None
    y_offset: int | None = None
    y_shift: int | None = None
    sigmoid: Array | None = None
    tanh: Array | None = None

    @classmethod
    def of(cls, weights: WeightedParams, **more: Any) -> Self:
        own = {f.name: getattr(weights, f.name) for f in fields(weights)}
        return cls(**own, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedParams(RecurrentParams):
    """Constants of an LSTM whose h has its own quantisation step.

    result_shift   shift from Q30 to h
    """

    result_shift: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledParams(ShiftedParams):
    """Constants of an LSTM with its own fraction bits.

    gate_bits   fraction bits of the gate sums
    cell_bits   fraction bits of c
    """

    gate_bits: int
    cell_bits: int


def _conversions(names: str) -> dict[str, Span]:
    """Return the ranges of conversions of states, by the first letter of their fields."""
    spans = {"mult": SYMMETRIC_32, "offset": SYMMETRIC_32, "shift": SHIFT}
    return {f"{name}_{part}": span for name in names for part, span in spans.items()}


def _conversions_fit(integers: RecurrentParams) -> bool:
    """Return whether conversions of states, of up to 16 bits, stay in int32; None is none."""
    pairs = ((getattr(integers, f"{x}_mult"), getattr(integers, f"{x}_offset")) for x in "hcy")
    return all(abs(m or 0) * -INT16.low + abs(offset or 0) <= INT32_MAX for m, offset in pairs)


# In a stream, a layer has the conversions of states as they are kept between passes, and of the
# operator that keeps them.
LEARNT_BESIDE_SUMS = beside_states(_conversions("h"), _conversions_fit)
LEARNT_BESIDE_GATES = beside_states(_conversions("hcy"), _conversions_fit)
