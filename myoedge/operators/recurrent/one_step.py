# SPDX-License-Identifier: Apache-2.0
"""One LSTM time step of any number of sequences; its recurrent products are computed by a separate
layer.

The gate sums of x and of h are added; columns are ordered by unit (input, forget, cell, output).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array, ceil_div
from myoedge.numerics.element_type import INT16
from myoedge.numerics.requant import SumRequant
from myoedge.operators.base import OpDef, QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.format import EITHER, SIXTEEN, Format
from myoedge.operators.kernel import OUT, Fields, Operand, Region, TiledKernel, on_cluster
from myoedge.operators.recurrent.cells import (
    HIDDEN_PARAMS,
    INT16_LIMITS,
    LSTM_GATES,
    SIGMOID_STEP,
    TANH_ENTRIES,
    TANH_STEP,
    first_state,
    interpolated,
    sigmoid,
    table,
)
from myoedge.operators.recurrent.quantized import (
    LSTM_RESULTS,
    fraction_bits,
    from_params,
    to_params,
)
from myoedge.operators.traits import ByHand, Constants, Result, always
from myoedge.targets.chip import Engine

CELL_BITS = (5, 14)  # minimum and maximum fraction bits of c
FACTORS = tuple(f"{name}_{part}" for name in "cy" for part in ("mult", "offset", "shift"))
FIELDS = ("cell_bits", "result_shift", *FACTORS)


def _gates(gates: Array, added: Array, c: Array) -> Array:
    """Return the gate sums, i.e. the sums of both operands, [4, *c.shape]."""
    total = gates.reshape(-1) + added.reshape(-1)
    return np.moveaxis(total.reshape(*c.shape, LSTM_GATES), -1, 0)


def _cell(attrs: Attrs, gates: Array, added: Array, c: Array) -> Array:
    i, f, g, _ = _gates(gates, added, c)
    return np.asarray(sigmoid(f) * c + sigmoid(i) * np.tanh(g))


def _hidden(attrs: Attrs, gates: Array, added: Array, c: Array) -> Array:
    h = sigmoid(_gates(gates, added, c)[3]) * np.tanh(_cell(attrs, gates, added, c))
    return np.asarray(h[None])


@dataclass(frozen=True, slots=True, kw_only=True)
class StepParams(QuantizedParams):
    """Integer constants of one LSTM time step.

    cell_bits       fraction bits of c
    acc_bound       largest |int32 intermediate|
    c_mult, c_offset, c_shift   conversion of the operand c to cell_bits
    result_shift    shift from Q30 to h
    y_mult, y_offset, y_shift   conversion from cell_bits to the next c, if that is the result
    sigmoid, tanh   Q15 tables, int16 [513]
    """

    cell_bits: int
    acc_bound: int
    c_mult: int
    c_offset: int
    c_shift: int
    result_shift: int | None = None
    y_mult: int | None = None
    y_offset: int | None = None
    y_shift: int | None = None
    sigmoid: Array
    tanh: Array


def _common(inputs: QuantizeInputs) -> dict[str, Any]:
    c = inputs.params(2)
    bits = 15 - math.ceil(math.log2(c.reach * c.scale + 1.0))  # a step adds at most 1
    bits = min(max(bits, CELL_BITS[0]), CELL_BITS[1])
    bound = (2**15 - 1) * (2**15 + (1 << bits)) + 2**14
    numbers = {"cell_bits": bits, "acc_bound": bound, **from_params(c, "c", bits)}
    return {**numbers, **{name: table(name) for name in ("sigmoid", "tanh")}}


def _quantize(inputs: QuantizeInputs) -> StepParams:
    return StepParams(**_common(inputs), result_shift=30 - fraction_bits(inputs.target))


def _quantize_cell(inputs: QuantizeInputs) -> StepParams:
    numbers = _common(inputs)
    return StepParams(**numbers | to_params(inputs.target, "y", numbers["cell_bits"]))


def _moved(step: QuantizedNode, gates: Array, added: Array, c: Array) -> tuple[Array, Array]:
    """Return the next c in int16 and h in Q30."""
    numbers, kept = step.integers, step.integers.cell_bits
    i, f, g, o = _gates(gates.astype(np.int64), added.astype(np.int64), c)
    i, f, o = (interpolated(numbers.sigmoid, v, SIGMOID_STEP) for v in (i, f, o))
    more = i * interpolated(numbers.tanh, g, TANH_STEP) >> (15 - kept)
    cell = first_state(step, "c", c, INT16_LIMITS)
    cell = np.clip((f * cell + more + (1 << 14)) >> 15, *INT16_LIMITS)
    return np.asarray(cell), o * interpolated(numbers.tanh, cell, kept - TANH_ENTRIES)


def _integer(step: QuantizedNode, gates: Array, added: Array, c: Array) -> Array:
    """Compute h: gates, added int16 [.., 4H], c int8 or int16 [N, H] -> int8 or int16 [1, N, H]."""
    shift = step.integers.result_shift
    h = (_moved(step, gates, added, c)[1] + (1 << shift >> 1)) >> shift
    return np.asarray(np.clip(h, step.low, step.high)[None], step.element_type.dtype)


def _cell_integer(step: QuantizedNode, gates: Array, added: Array, c: Array) -> Array:
    """Compute the next c: gates, added int16 [.., 4H], c int8 or int16 [N, H] -> int8 or int16."""
    numbers, (cell, _) = step.integers, _moved(step, gates, added, c)
    to = SumRequant((numbers.y_mult,), numbers.y_offset, numbers.y_shift)
    return to.apply((cell,), step.low, step.high, step.element_type)


def _in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel; tiles are ranges of sequences, with all units."""
    rows, units = math.prod(step.out[:-1]), step.out[-1]
    along, bits = ((("n", 1),), ()), step.element_type.bits
    arrays, given = step.integers.arrays, step.integers.scalars
    sizes = {"gates": 2, "added": 2, "c": step.read_type(2).size_bytes}
    return TiledKernel(
        function=f"me_{step.node.op}_s{bits}",
        axes={"n": rows},
        split=("n",),
        operands=(
            *(
                Operand(x, i, (rows, units * (LSTM_GATES if x != "c" else 1)), along, itemsize=size)
                for i, (x, size) in enumerate(sizes.items())
            ),
            *(Operand.whole(name, array) for name, array in arrays.items()),
            Operand("y", OUT, (rows, units), along, itemsize=step.element_type.size_bytes),
        ),
        op={
            "units": units,
            "c_wide": int(step.read_type(2) == INT16),
            **{name: given[name] for name in FIELDS if name in given},
            **{name: f"@{name}" for name in arrays},
        },
        tile=_tile,
        work=lambda sizes: ceil_div(sizes["n"] * units, engine.cores),
    )


def _tile(regions: Mapping[str, Region]) -> Fields:
    places = {name: f"@{name}" for name in ("gates", "added", "c", "y")}
    return {**places, "rows": regions["y"].extent[0]}


LSTM_NEXT = register(
    OpDef(
        name="lstm_next",
        doc="h of one step of an LSTM, of any number of sequences: lstm without its products",
        shape=lambda attrs, gates, added, c: (1, *c),
        real=_hidden,
        integer=ByHand(_integer),
        constants=Constants(_quantize, kinds=(StepParams,)),
        kernels=on_cluster(_in_tiles, Format((SIXTEEN, SIXTEEN, EITHER), EITHER)),
        result=Result(fixed_params=always(HIDDEN_PARAMS), rules=LSTM_RESULTS),
    )
)

LSTM_NEXT_CELL = register(
    replace(
        LSTM_NEXT,
        name="lstm_next_cell",
        doc="c of one step of an LSTM, next to lstm_next",
        shape=lambda attrs, gates, added, c: c,
        real=_cell,
        integer=ByHand(_cell_integer),
        constants=Constants(_quantize_cell, kinds=(StepParams,)),
        result=Result(),
    )
)
