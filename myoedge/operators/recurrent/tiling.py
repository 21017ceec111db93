# SPDX-License-Identifier: Apache-2.0
"""Tiling of recurrent layers into ranges of consecutive time steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div, round_up
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import QuantizedNode
from myoedge.operators.format import EIGHT, EITHER, SIXTEEN, STORED_BITS, WIDE_BITS, Format
from myoedge.operators.kernel import OUT, Fields, Operand, Region, TiledKernel
from myoedge.operators.products.packed_weights import WORD_BYTES
from myoedge.operators.products.packing import packed_channels
from myoedge.operators.recurrent.params import ScaledParams
from myoedge.targets.chip import Engine

FACTORS = ("mult", "offset", "shift")
FIELDS = (  # fields of the C structs of all recurrent operators
    "relu",
    *(f"{name}_{part}" for name in "hcx" for part in FACTORS),
    *("result_shift", "gate_bits", "cell_bits"),
    *(f"{name}_{part}" for name in ("new", "y") for part in FACTORS),
)
# Gates are int16, initial states any type; int16 results are multiplied by int16 weights.
STEPS = (
    Format((SIXTEEN, EITHER), EIGHT, STORED_BITS),
    Format((SIXTEEN, EITHER), SIXTEEN, WIDE_BITS),
)
STATES = (*STEPS, Format((SIXTEEN, EITHER), SIXTEEN, STORED_BITS))  # for any type of h


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a recurrent layer; tiles are ranges of time steps, and states stay
    in L1 between them."""
    (t, n, columns), units = step.shapes[0], step.out[-1]
    gates, arrays = columns // units, _packed(step)
    reverse = bool(step.attrs["reverse"])
    size = step.weight_type.size_bytes
    instance = instance_of(step)
    parts = 1 + instance.reset_first
    states = [f"{name}0" for name in "hc"[: len(step.operands) - 1]]
    wide = {
        f"{name}_wide": 1 for i, name in enumerate(states, start=1) if step.read_type(i) == INT16
    }
    given = step.integers.scalars
    numbers = {name: given[name] for name in FIELDS if name in given}
    first = {name: x for name, x in numbers.items() if name == "relu"}
    words = ceil_div(units * size, WORD_BYTES)
    work = step_work(n, gates + parts - 1, words, units, engine.cores, parts)
    return TiledKernel(
        function=instance.name(step),
        axes={"t": t},
        split=("t",),
        reversed_axes=("t",) * reverse,
        operands=_operands(step, states, arrays),
        op={
            "units": units,
            "batch": n,
            "reverse": int(reverse),
            "pre": step.integers.pre,
            "y_wide": int(step.element_type == INT16),
            **first,
            **wide,
            **numbers,
            **{name: f"@{name}" for name in (*states, *arrays)},
            "states": "@scratch",
        },
        tile=lambda regions: _tile(regions, t, reverse),
        scratch=lambda _: n * (2 * words * WORD_BYTES + round_up(2 * units, WORD_BYTES)) * parts,
        work=lambda tile: tile["t"] * work,
    )


@dataclass(frozen=True, slots=True)
class Instance:
    """Names of the C functions that run a recurrent operator's time steps.

    whole         function with all weights in L1
    streamed      function that loads some weights in every time step
    on_ne16       function whose products run on NE16
    reset_first   whether h of a GRU is reset before its product, which takes two products per time
                  step
    """

    whole: str
    streamed: str = ""
    on_ne16: str = ""
    reset_first: bool = False

    def name(self, step: QuantizedNode, way: str = "whole") -> str:
        """Return the C function for the layer's element type of h.

        way   name of the field: "whole", "streamed" or "on_ne16"
        """
        scaled = "scaled_" if isinstance(step.integers, ScaledParams) else ""
        return f"{getattr(self, way)}_{scaled}s{step.weight_type.bits}"


INSTANCES = {  # by operator, and whether h is reset first
    ("lstm", False): Instance("me_lstm", "me_lstm_streamed", "me_ne16_lstm"),
    ("lstm_cell", False): Instance("me_lstm_cell", "me_lstm_streamed"),
    ("gru", False): Instance("me_gru", "me_gru_streamed", "me_ne16_gru"),
    ("gru", True): Instance("me_gru_reset_first", reset_first=True),
    ("gru_state", False): Instance("me_gru_state"),
    ("gru_state", True): Instance("me_gru_reset_first_state", reset_first=True),
    ("rnn_relu", False): Instance("me_rnn", "me_rnn_streamed"),
    ("rnn_tanh", False): Instance("me_rnn", "me_rnn_streamed"),
}


def instance_of(step: QuantizedNode) -> Instance:
    return INSTANCES[step.node.op, bool(step.attrs.get("reset_first"))]


def step_work(batch: int, loads: int, words: int, units: Any, cores: int, parts: int = 1) -> Any:
    """Return the instructions per time step on the busiest core.

    batch   number of sequences
    loads   words of weights per word of h
    words   words of h
    units   number of units, or an array of numbers
    parts   parts of a time step, one barrier each
    """
    unit_work = words * (1 + 2 * loads) + 28 * loads
    return batch * (-(-units // cores) * unit_work) + parts * (60 * batch + 125)


def _packed(step: QuantizedNode) -> dict[str, Array]:
    """Return the layer's constants, packed as me_recurrent.h describes."""
    return {
        "weights": packed_rows(step.integers.weight, step.out[-1]),
        "channels": packed_channels(step),
        **{k: v for k, v in step.integers.arrays.items() if k in ("sigmoid", "tanh")},
    }


def packed_rows(rows: Array, units: int) -> Array:
    """Pack int8 or int16 recurrent weights [gates * units, C] for the kernels: for every unit and
    word of columns, one word per gate."""
    columns = WORD_BYTES // rows.itemsize
    words = np.pad(rows, ((0, 0), (0, -rows.shape[1] % columns)))
    words = words.reshape(units, len(rows) // units, -1, columns)
    return np.asarray(words.transpose(0, 2, 1, 3).reshape(-1))


def _operands(
    step: QuantizedNode, states: Sequence[str], arrays: Mapping[str, Array]
) -> tuple[Operand, ...]:
    """Return the operands: gates and results are tiled by time steps (except a final state), the
    rest is untiled."""
    t, n, columns = step.shapes[0]
    lanes, time, last = n * step.out[-1], (("t", 1),), len(step.out) == 2
    first = (
        Operand(name, i, (lanes,), ((),), itemsize=step.read_type(i).size_bytes)
        for i, name in enumerate(states, start=1)
    )
    return (
        Operand("gates", 0, (t, n * columns), (time, ()), itemsize=2),
        *first,
        *(Operand.whole(name, array) for name, array in arrays.items()),
        Operand(
            "y",
            OUT,
            (1 if last else t, lanes),
            (() if last else time, ()),
            itemsize=step.element_type.size_bytes,
        ),
    )


def _tile(regions: Mapping[str, Region], steps: int, reverse: bool) -> Fields:
    """Return the fields of the tile struct; `done` counts the time steps before the tile."""
    x = regions["gates"]
    first, count = x.start[0], x.extent[0]
    done = steps - first - count if reverse else first
    return {"gates": "@gates", "y": "@y", "steps": count, "done": done}
