# SPDX-License-Identifier: Apache-2.0
"""Quantisation of recurrent layers: weights, state conversions, tables.

An int16 h is multiplied by the weights in the next time step, so that weights are int16 too. The
quantisation steps of h are powers of two, selected by its range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Self

from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams, ResultParams
from myoedge.numerics.requant import INT32_MAX, SumRequant, choose_sum_requant
from myoedge.operators.base import QuantizeInputs
from myoedge.operators.library.packing import WeightedParams, beside_states, quantize
from myoedge.operators.recurrent.cells import (
    CELL_BITS,
    GATE_BITS,
    GATE_PARAMS,
    HIDDEN_PARAMS,
    INT8_RESULT_SHIFT,
    STATE_BITS,
    SUMS_REACH,
    TABLES,
    gate_params,
)
from myoedge.operators.traits import SHIFT, SYMMETRIC_32, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrentParams(WeightedParams):
    """Integer constants of a recurrent layer; None for constants that the operator does not have.

    relu            1 if the activation of a plain RNN is relu
    h_*, c_*        conversion of an initial state to the format of the stored state
    x_*             conversion of an input to the sums of a plain RNN
    new_*           conversion of a GRU's new gate to its int16 h
    y_*             conversion of the final state to the output, for operators that return it
    result_shift    shift from Q30 to an LSTM's h with its own quantisation step
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
    result_shift: int | None = None
    sigmoid: Array | None = None
    tanh: Array | None = None

    @classmethod
    def of(cls, weights: WeightedParams, **more: Any) -> Self:
        own = {f.name: getattr(weights, f.name) for f in fields(weights)}
        return cls(**own, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledParams(RecurrentParams):
    """Constants of an LSTM with its own fraction bits of gate sums and of c."""

    gate_bits: int
    cell_bits: int


def _conversion_ranges(names: str) -> dict[str, Span]:
    """Return the ranges of conversions of states, by the first letter of their fields."""
    spans = {"mult": SYMMETRIC_32, "offset": SYMMETRIC_32, "shift": SHIFT}
    return {f"{name}_{part}": span for name in names for part, span in spans.items()}


def _conversions_fit(integers: RecurrentParams) -> bool:
    """Return whether conversions of states, of up to 16 bits, stay in int32; None is none."""
    pairs = ((getattr(integers, f"{x}_mult"), getattr(integers, f"{x}_offset")) for x in "hcy")
    return all(abs(m or 0) * -INT16.low + abs(offset or 0) <= INT32_MAX for m, offset in pairs)


# In a stream, a layer has the conversions of states as they are kept between passes, and of the
# operator that keeps them.
LEARNT_BESIDE_SUMS = beside_states(_conversion_ranges("h"), _conversions_fit)
LEARNT_BESIDE_GATES = beside_states(_conversion_ranges("hcy"), _conversions_fit)


# ---- h

HIDDEN_BITS = 7  # fraction bits of an LSTM's int8 h: +-1
WIDE_BITS = 15  # the same for int16
FINEST_BITS = 8  # extra fraction bits, at most, of an h with a far smaller range
SMALL = 0.25  # range of h up to which int8 gets finer steps


def lstm_int8_params(reach: float) -> QuantParams:
    """Return the quantisation parameters of an LSTM's int8 h: the range is +-1, or a smaller power
    of two.

    reach   largest |h|; 0 for a layer that is always 0 on the samples
    """
    return QuantParams(2.0 ** -int8_bits(reach), 0)


def int8_bits(reach: float) -> int:
    """Return the fraction bits of an LSTM's int8 h.

    reach   largest |h|
    """
    if not 0.0 < reach <= SMALL:
        return HIDDEN_BITS
    return HIDDEN_BITS + math.floor(-math.log2(max(reach, 2.0**-FINEST_BITS)))


def _power_of_two_params(unit_bits: int, reach: float) -> QuantParams:
    """Return the quantisation parameters of an int16 h: a step of 2**-unit_bits for a range of 1/2
    to 1, and smaller powers of two for smaller ranges.

    reach   largest |h|
    """
    more = -math.ceil(math.log2(max(reach, 2.0**-FINEST_BITS)))
    return QuantParams(2.0 ** -(unit_bits + min(more, FINEST_BITS)), 0, INT16)


def _is_power_of_two(unit_bits: int, q: QuantParams) -> bool:
    return q == _power_of_two_params(unit_bits, q.scale * 2.0**unit_bits)


def _int16_result_params(unit_bits: int) -> ResultParams:
    return ResultParams(
        partial(_power_of_two_params, unit_bits), partial(_is_power_of_two, unit_bits)
    )


LSTM_RESULTS = {INT8: ResultParams(lstm_int8_params), INT16: _int16_result_params(WIDE_BITS)}
GRU_RESULTS = {INT16: _int16_result_params(STATE_BITS)}  # 15 bits are used


def recurrent_quantize(inputs: QuantizeInputs) -> RecurrentParams:
    """Return the constants of an LSTM or GRU: recurrent weights with a factor per row from products
    to gate sums, function tables, and state conversions."""
    lstm, last = inputs.shapes[0][-1] == 4 * inputs.out[-1], len(inputs.out) == 2
    wide = inputs.target.element_type == INT16
    bits = _state_bits(inputs, lstm, last)
    element_type = INT16 if wide else INT8
    hidden = QuantParams(2.0 ** -bits["h"], 0, element_type) if wide or lstm else HIDDEN_PARAMS
    constants = (inputs.constant(i) for i in range(1 + len(bits), len(inputs.constants)))
    inner = replace(
        inputs,
        input_params=(hidden,),
        constants=(None, *constants),
        target=gate_params(inputs.attrs),
        formats=_second_weight_format(inputs, 1 + len(bits)),
    )
    weights = quantize(inner, inputs.weight_format.beside(element_type))
    kind, scalars = (
        _lstm_constants_class(inputs, 30 - bits["h"], wide) if lstm else (RecurrentParams, {})
    )
    for index, name in enumerate(bits, start=1):
        scalars |= from_params(inputs.params(index), name, bits[name])
    if wide and not lstm:
        shift = max(15 - bits["h"], 0)
        scalars |= {
            "new_mult": 1 << max(bits["h"] - 15, 0),
            "new_offset": 1 << shift >> 1,
            "new_shift": shift,
        }
    if last:
        scalars |= to_params(inputs.target, "y", bits["c" if lstm else "h"])
    return kind.of(weights, **scalars, **TABLES)


def _state_bits(inputs: QuantizeInputs, lstm: bool, last: bool) -> dict[str, int]:
    """Return the fraction bits of h, and of c for an LSTM, by state name.

    last   whether the result is only the last state
    """
    cell = {"c": inputs.attrs.get("cell_bits", CELL_BITS)} if lstm else {}
    if not (lstm or inputs.target.element_type == INT16):
        return {"h": STATE_BITS}
    return {
        "h": fraction_bits(_inner_state_params(inputs, lstm) if last else inputs.target),
        **cell,
    }


def _lstm_constants_class(
    inputs: QuantizeInputs, result_shift: int, wide: bool
) -> tuple[type[RecurrentParams], dict[str, int]]:
    """Return the class of an LSTM's constants, and those for steps other than the default."""
    gate, cell = inputs.attrs.get("gate_bits", GATE_BITS), inputs.attrs.get("cell_bits", CELL_BITS)
    usual_h = wide or result_shift == INT8_RESULT_SHIFT
    if not usual_h or (gate, cell) != (GATE_BITS, CELL_BITS):
        bits = {"result_shift": result_shift, "gate_bits": gate, "cell_bits": cell}
        return ScaledParams, bits
    return RecurrentParams, {"result_shift": result_shift} if wide else {}


def _inner_state_params(inputs: QuantizeInputs, lstm: bool) -> QuantParams:
    """Return the parameters of h if h is not the result: steps from the attributes, otherwise a
    range of +-1, or for int16 the range of the initial state."""
    q, wide = inputs.params(1), inputs.target.element_type == INT16
    finer = inputs.attrs.get("hidden_bits", HIDDEN_BITS) - HIDDEN_BITS
    if lstm and finer:
        reach = 2.0**-finer
        return _power_of_two_params(WIDE_BITS, reach) if wide else lstm_int8_params(reach)
    if not wide:
        return HIDDEN_PARAMS
    return _power_of_two_params(WIDE_BITS if lstm else STATE_BITS, max(q.reach * q.scale, 1.0))


def fraction_bits(q: QuantParams) -> int:
    """Return the number of fraction bits of a power-of-two scale."""
    bits = round(-math.log2(q.scale))
    assert q.scale == 2.0**-bits, "states have steps of a power of two"
    return bits


def _second_weight_format(inputs: QuantizeInputs, index: int) -> dict[int, ConstantFormat]:
    """Return the format of the second weights, under the index of these; {} without a format."""
    return {1: inputs.formats[index]} if index in inputs.formats else {}


def plain_quantize(inputs: QuantizeInputs, *, relu: bool) -> RecurrentParams:
    """Return the constants of a plain RNN: weights per row from h to sums, and conversions of the
    initial h, the input's contribution and the results.

    relu   whether that is the function; its sums may reach SUMS_REACH times the results' range,
           those of tanh have steps of 1/1024
    """
    y = inputs.target
    unit = SUMS_REACH * y.scale * max(y.high - y.zero_point, 1) / -INT16.low
    unit, result = (unit, unit) if relu else (GATE_PARAMS.scale, 2.0**-15)
    numbers: dict[str, Any] = {"relu": 1} if relu else {"tanh": TABLES["tanh"]}
    x, h = inputs.params(0), inputs.params(1)
    inner = replace(
        inputs,
        input_params=(y,),
        constants=(None, inputs.constant(2)),
        target=QuantParams(unit, 0, INT16),
        formats=_second_weight_format(inputs, 2),
    )
    weights, most = quantize(inner, inputs.weight_format.beside(y.element_type)), -INT16.low
    factors = {
        "h": choose_sum_requant([h.scale / y.scale], [most], [h.zero_point], y.zero_point),
        "x": choose_sum_requant([x.scale / unit], [most], [x.zero_point], 0.0),
        "y": choose_sum_requant([result / y.scale], [most], [0], y.zero_point),
    }
    for name, to in factors.items():
        numbers |= _conversion_constants(name, to)
    return RecurrentParams.of(weights, **numbers)


def from_params(q: QuantParams, name: str, bits: int) -> dict[str, int]:
    """Return the constants name_mult, name_offset and name_shift that convert a state to `bits`
    fraction bits."""
    return _conversion_constants(
        name, choose_sum_requant([q.scale * 2.0**bits], [-q.low], [q.zero_point], 0.0)
    )


def to_params(q: QuantParams, name: str, bits: int) -> dict[str, int]:
    """Return the constants name_mult, name_offset and name_shift that convert `bits` fraction bits
    to an output with parameters q."""
    unit = 2.0**-bits / q.scale
    return _conversion_constants(name, choose_sum_requant([unit], [-INT16.low], [0], q.zero_point))


def _conversion_constants(name: str, to: SumRequant) -> dict[str, int]:
    return {f"{name}_mult": to.mult[0], f"{name}_offset": to.offset, f"{name}_shift": to.shift}
