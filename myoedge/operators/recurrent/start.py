# SPDX-License-Identifier: Apache-2.0
"""Single time steps of LSTMs and GRUs from zero states, which need no product with h.

Gate columns are ordered by unit: (input, cell, output) of an LSTM, whose forget gate would multiply
c = 0, or (reset, update, new) of a GRU. Every sequence and time step is computed on its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array, ceil_div
from myoedge.numerics.quant_params import quantize as rounded
from myoedge.operators.base import OpDef, QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.common_rules import stream_except_last_axis
from myoedge.operators.format import EITHER, SIXTEEN, Format
from myoedge.operators.kernel import OUT, Fields, Operand, Region, TiledKernel, on_cluster
from myoedge.operators.learnt import INTEGERS_16, Learnt
from myoedge.operators.recurrent.cells import (
    GATE_PARAMS,
    HIDDEN_PARAMS,
    SIGMOID_STEP,
    TANH_STEP,
    interpolated,
    sigmoid,
    table,
)
from myoedge.operators.recurrent.quantized import LSTM_RESULTS, fraction_bits
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import ByHand, Constants, Result, Weights, always
from myoedge.targets.chip import Engine

GATES = 3
CELL_STEP = 10  # log2 of the tanh table's step, for an LSTM's c in Q15, which is below 1
LARGEST = 2**30 + 2**29  # a product in Q30 plus half of the largest shift


def _shape(attrs: Attrs, gates: Shape, *_: Shape) -> Shape:
    return (*gates[:-1], gates[-1] // GATES)


def _gru_shape(attrs: Attrs, gates: Shape, own: Shape) -> Shape:
    """Return the shape of h. Errors: ValueError unless there is one bias for each unit."""
    out = _shape(attrs, gates)
    if own != out[-1:]:
        raise ValueError(f"gates {list(gates)} beside {list(own)}")
    return out


def _by_gate(gates: Array) -> Array:
    return np.moveaxis(gates.reshape(*gates.shape[:-1], -1, GATES), -1, 0)


def _lstm(attrs: Attrs, gates: Array) -> Array:
    i, g, o = _by_gate(gates)
    return np.asarray(sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g)))


def _gru(attrs: Attrs, gates: Array, own: Array) -> Array:
    r, z, n = _by_gate(gates)
    return np.asarray((1 - sigmoid(z)) * np.tanh(n + sigmoid(r) * own))


@dataclass(frozen=True, slots=True, kw_only=True)
class StartParams(QuantizedParams):
    """Integer constants of a single LSTM or GRU time step from zero states.

    result_shift    shift from Q30 to h
    acc_bound       largest |int32 intermediate|
    sigmoid, tanh   Q15 tables, int16 [513]
    own             int16 biases of the products with h of a GRU's new gates
    """

    result_shift: int
    acc_bound: int
    sigmoid: Array
    tanh: Array
    own: Array | None = None


def _quantize(inputs: QuantizeInputs) -> StartParams:
    has_own = len(inputs.constants) > 1
    return StartParams(
        result_shift=30 - fraction_bits(inputs.target),
        acc_bound=LARGEST,
        sigmoid=table("sigmoid"),
        tanh=table("tanh"),
        own=rounded(inputs.constant(1), GATE_PARAMS) if has_own else None,
    )


def _hidden(step: QuantizedNode, product: Array) -> Array:
    """Requantise a product in Q30 to integers of h."""
    shift = step.integers.result_shift
    h = np.clip((product + (1 << shift >> 1)) >> shift, step.low, step.high)
    return np.asarray(h, step.element_type.dtype)


def _sigmoid(step: QuantizedNode, x: Array) -> Array:
    return interpolated(step.integers.sigmoid, x, SIGMOID_STEP)


def _lstm_integer(step: QuantizedNode, gates: Array) -> Array:
    """Compute one LSTM step from zero states: gates int16 [.., 3H] -> h int8 or int16 [.., H]."""
    i, g, o = _by_gate(gates.astype(np.int64))
    tanh = step.integers.tanh
    cell = (_sigmoid(step, i) * interpolated(tanh, g, TANH_STEP) + (1 << 14)) >> 15
    return _hidden(step, _sigmoid(step, o) * interpolated(tanh, cell, CELL_STEP))


def _gru_integer(step: QuantizedNode, gates: Array) -> Array:
    """Compute one GRU step from a zero state: gates int16 [.., 3H] -> h int8 or int16 [.., H]."""
    r, z, n = _by_gate(gates.astype(np.int64))
    added = (_sigmoid(step, r) * step.integers.own.astype(np.int64) + (1 << 14)) >> 15
    new = interpolated(step.integers.tanh, n + added, TANH_STEP)
    return _hidden(step, new * ((1 << 15) - _sigmoid(step, z)))


def _in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel; tiles are ranges of sequences, with all units."""
    units, gates = step.out[-1], step.shapes[0][-1]
    rows = int(np.prod(step.out[:-1]))
    arrays, along = step.integers.arrays, ((("n", 1),), ())
    size = step.element_type.size_bytes
    return TiledKernel(
        function=f"me_{step.node.op}_s{step.element_type.bits}",
        axes={"n": rows},
        split=("n",),
        operands=(
            Operand("gates", 0, (rows, gates), along, itemsize=2),
            *(Operand.whole(name, array) for name, array in arrays.items()),
            Operand("y", OUT, (rows, units), along, itemsize=size),
        ),
        op={
            "units": units,
            "result_shift": step.integers.result_shift,
            **{name: f"@{name}" for name in arrays},
        },
        tile=_tile,
        work=lambda sizes: ceil_div(sizes["n"] * units, engine.cores),
    )


def _tile(regions: Mapping[str, Region]) -> Fields:
    return {"gates": "@gates", "y": "@y", "rows": regions["y"].extent[0]}


def _streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming along an axis of sequences; None along time, because a further
    frame would need h."""
    return stream_except_last_axis(at) if at.axis else None


LSTM_START = register(
    OpDef(
        name="lstm_start",
        doc="h of an LSTM's first step from states of zero, of any number of sequences",
        shape=_shape,
        real=_lstm,
        integer=ByHand(_lstm_integer),
        constants=Constants(_quantize, kinds=(StartParams,)),
        kernels=on_cluster(_in_tiles, Format((SIXTEEN,), EITHER)),
        result=Result(fixed_params=always(HIDDEN_PARAMS), rules=LSTM_RESULTS),
        streaming_rule=_streaming_rule,
    )
)

GRU_START = register(
    replace(
        LSTM_START,
        name="gru_start",
        shape=_gru_shape,
        doc="h of a GRU's first step from a state of zero, of any number of sequences",
        real=_gru,
        integer=ByHand(_gru_integer),
        constants=replace(LSTM_START.constants, learnt=Learnt({"own": INTEGERS_16})),
        weights=Weights((1,)),
    )
)
