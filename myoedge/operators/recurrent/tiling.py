# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers in tiles: some steps at a time, in the order of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div, round_up
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, Fields, Operand, Region, TiledKernel
from myoedge.operators.products.packing import packed_channels
from myoedge.targets.chip import Engine

FACTORS = ("_mult", "_offset", "_shift")  # after the letter of a state or sum
FIELDS = ("relu", "h0_wide", "c0_wide", "result_shift", "gate_bits", "cell_bits")
WORD_BYTES = 4


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """States stay in L1 from tile to tile."""
    (t, n, columns), units = step.shapes[0], step.out[-1]
    gates, arrays = columns // units, _packed(step)
    reverse, parts = bool(step.attrs["reverse"]), 1  # of a step, with a barrier each
    size = step.weight_type.size_bytes
    kernel = f"me_{'rnn' if columns == units else step.node.op}_{suffix(step)}"
    if step.attrs.get("reset_first"):
        kernel, parts = kernel.replace("gru", "gru_reset_first"), 2
    states = [f"{name}0" for name in "hc"[: len(step.operands) - 1]]
    numbers = {k: v for k, v in step.integers.scalars.items() if _is_field(k)}
    words = ceil_div(units * size, WORD_BYTES)
    work = step_work(n, gates + parts - 1, words, units, engine.cores, parts)
    return TiledKernel(
        function=kernel,
        axes={"t": t},
        split=("t",),
        reversed_axes=("t",) if reverse else (),
        operands=_operands(step, states, arrays),
        op={
            "units": units,
            "batch": n,
            "reverse": int(reverse),
            "pre": step.integers.pre,
            "y_wide": int(step.element_type == INT16),
            **numbers,
            **{name: f"@{name}" for name in (*states, *arrays)},
            "states": "@scratch",
        },
        tile=lambda regions: _tile(regions, t, reverse),
        scratch=lambda _: n * (2 * words * WORD_BYTES + round_up(2 * units, WORD_BYTES)) * parts,
        work=lambda tile: tile["t"] * work,
    )


def suffix(step: QuantizedNode) -> str:
    """The element type of h, as names of kernels have it, of an LSTM with unusual steps too."""
    scaled = "scaled_" if step.integers.cell_bits is not None else ""
    return f"{scaled}s{step.weight_type.bits}"


def _is_field(scalar: str) -> bool:
    """Whether kernels read a scalar under its own name."""
    return scalar[1:] in FACTORS or scalar in FIELDS or scalar.startswith("new_")


def step_work(batch: int, loads: int, words: int, units: Any, cores: int, parts: int = 1) -> Any:
    """Instructions of a step on words of h and of weights, by the core with most units.

    loads   words of weights for every word of h     words   of h
    parts   of the step, with a barrier each         units   also arrays of numbers
    """
    unit_work = words * (1 + 2 * loads) + 28 * loads
    return batch * (-(-units // cores) * unit_work) + parts * (60 * batch + 125)


def _packed(step: QuantizedNode) -> dict[str, Array]:
    """Constants as me_recurrent.h has them."""
    return {
        "weights": packed_rows(step.integers.weight, step.out[-1]),
        "channels": packed_channels(step),
        **{k: v for k, v in step.integers.arrays.items() if k in ("sigmoid", "tanh")},
    }


def packed_rows(rows: Array, units: int) -> Array:
    """int8 or int16 [gates of so many units, C] -> for every unit, for every word of columns, a
    word a gate."""
    columns = WORD_BYTES // rows.itemsize
    words = np.pad(rows, ((0, 0), (0, -rows.shape[1] % columns)))
    words = words.reshape(units, len(rows) // units, -1, columns)
    return np.asarray(words.transpose(0, 2, 1, 3).reshape(-1))


def _operands(
    step: QuantizedNode, states: Sequence[str], arrays: Mapping[str, Array]
) -> tuple[Operand, ...]:
    """Gates and results step by step, or of results the last state only; all else whole."""
    t, n, columns = step.shapes[0]
    lanes, time, last = n * step.out[-1], (("t", 1),), len(step.out) == 2
    wide = step.integers.scalars
    first = (
        Operand(name, i, (lanes,), ((),), itemsize=1 + wide.get(f"{name}_wide", 0))
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
    """`done`: steps before those of this tile."""
    x = regions["gates"]
    first, count = x.start[0], x.extent[0]
    done = steps - first - count if reverse else first
    return {"gates": "@gates", "y": "@y", "steps": count, "done": done}
