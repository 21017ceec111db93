# SPDX-License-Identifier: Apache-2.0
"""Integers of recurrent layers at run time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from myoedge.numerics.arrays import Array
from myoedge.operators.products.packing import WeightedParams

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrentParams(WeightedParams):
    """Weights of h, factors of the states, and tables of the gates' functions.

    h_*, c_*   from an initial state to the precision of the stored state
    x_*        from an input to the sums of a plain RNN
    new_*      from a GRU's new gate to its 16-bit h
    y_*        from the last state to the output, for operators that return it
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
    """Parameters of an LSTM with its own step for h: result_shift converts from Q30."""

    result_shift: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledParams(ShiftedParams):
    """Parameters of an LSTM with its own steps also for gates and c: their fraction bits."""

    gate_bits: int
    cell_bits: int
