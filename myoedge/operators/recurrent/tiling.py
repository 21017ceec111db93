# SPDX-License-Identifier: Apache-2.0
"""Tiling of recurrent layers: ranges of time steps with all weights in L1, or parts of one
time step whose weights come with each tile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div, round_up
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import QuantizedNode
from myoedge.operators.format import EIGHT, EITHER, SIXTEEN, STORED_BITS, WIDE_BITS, Format
from myoedge.operators.kernel import (
    CLUSTER,
    OUT,
    Fields,
    Kernel,
    Operand,
    Region,
    Sizes,
    TiledKernel,
    on_cluster,
)
from myoedge.operators.library.packed_weights import WORD_BYTES, stored_bits
from myoedge.operators.library.packing import packed_channels
from myoedge.operators.recurrent.c_kernels import STREAMED, WHOLE, c_kernel
from myoedge.targets.chip import Engine

FACTORS = ("mult", "offset", "shift")
FIELDS = (  # fields of the C struct that are integers of the layer
    *("pre", "relu", "result_shift", "gate_bits", "cell_bits"),
    *(f"{name}_{part}" for name in ("h", "c", "x", "y", "new") for part in FACTORS),
)
# Gates are int16, initial states any type; int16 results are multiplied by int16 weights.
STEPS = (
    Format((SIXTEEN, EITHER), EIGHT, STORED_BITS),
    Format((SIXTEEN, EITHER), SIXTEEN, WIDE_BITS),
)
STATES = (*STEPS, Format((SIXTEEN, EITHER), SIXTEEN, STORED_BITS))  # for any type of h

# ---- all weights in L1


def in_tiles(step: QuantizedNode, engine: Engine, multiple: int = 1) -> TiledKernel:
    """Return the tiled kernel of a recurrent layer; tiles are ranges of time steps, and states stay
    in L1 between them.

    multiple   of which the words of h and of a row of weights are one
    """
    (t, n, columns), units = step.shapes[0], step.out[-1]
    gates, reverse = columns // units, bool(step.attrs["reverse"])
    arrays = _pack_constants(step, multiple)
    size, parts = step.weight_type.size_bytes, 1 + bool(step.attrs.get("reset_first"))
    states = {f"{name}0": i for i, name in enumerate("hc"[: len(step.operands) - 1], start=1)}
    words = round_up(ceil_div(units * size, WORD_BYTES), multiple)
    given = step.integers.scalars
    work = step_work(n, gates + parts - 1, words, units, engine.cores, parts)
    work *= PLAIN_C if gates == 1 else 1
    return TiledKernel(
        **c_kernel(step, WHOLE, engine),
        axes={"t": t},
        split=("t",),
        reversed_axes=("t",) * reverse,
        operands=_layer_operands(step, states, arrays),
        op={
            "reverse": int(reverse),
            "puts_state": int(len(step.out) == 2),
            **{f"{name}_wide": int(step.read_type(i) == INT16) for name, i in states.items()},
            "y_wide": int(step.element_type == INT16),
            "units": units,
            "batch": n,
            "row_bytes": words * WORD_BYTES,
            **{name: given[name] for name in FIELDS if name in given},
            **{name: f"@{name}" for name in (*states, *arrays)},
            "states": "@scratch",
        },
        tile=lambda regions: _time_tile_fields(regions, t, reverse),
        scratch=lambda _: n * (2 * words * WORD_BYTES + round_up(2 * units, WORD_BYTES)) * parts,
        work=lambda tile: tile["t"] * work,
    )


PLAIN_C = 1.8 / 1.15  # cycles of an instruction of a plain layer, which is C: relative to assembly


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


def _pack_constants(step: QuantizedNode, multiple: int) -> dict[str, Array]:
    """Return the layer's constants, packed as me_recurrent.h describes."""
    return {
        "weights": packed_rows(step.integers.weight, step.out[-1], multiple),
        "channels": packed_channels(step),
        **{k: v for k, v in step.integers.arrays.items() if k in ("sigmoid", "tanh")},
    }


def packed_rows(rows: Array, units: int, multiple: int = 1) -> Array:
    """Pack int8 or int16 recurrent weights [gates * units, C] for the kernels: for every unit and
    word of columns, one word per gate.

    multiple   of which the words of a row are one
    """
    columns = WORD_BYTES // rows.itemsize
    words = np.pad(rows, ((0, 0), (0, -rows.shape[1] % (columns * multiple))))
    words = words.reshape(units, len(rows) // units, -1, columns)
    return np.asarray(words.transpose(0, 2, 1, 3).reshape(-1))


def _layer_operands(
    step: QuantizedNode, states: Mapping[str, int], arrays: Mapping[str, Array]
) -> tuple[Operand, ...]:
    """Return the operands: gates and results are tiled by time steps (except a final state), the
    rest is untiled."""
    t, n, columns = step.shapes[0]
    lanes, time, last = n * step.out[-1], (("t", 1),), len(step.out) == 2
    size, out = step.element_type.size_bytes, (() if last else time, ())
    return (
        Operand("gates", 0, (t, n * columns), (time, ()), itemsize=2),
        *(
            Operand(name, i, (lanes,), ((),), itemsize=step.read_type(i).size_bytes)
            for name, i in states.items()
        ),
        *(Operand.whole(name, array) for name, array in arrays.items()),
        Operand("y", OUT, (1 if last else t, lanes), out, itemsize=size),
    )


def _time_tile_fields(regions: Mapping[str, Region], steps: int, reverse: bool) -> Fields:
    """Return the fields of the tile struct; `done` counts the time steps before the tile."""
    x = regions["gates"]
    first, count = x.start[0], x.extent[0]
    done = steps - first - count if reverse else first
    return {"gates": "@gates", "y": "@y", "steps": count, "done": done}


# ---- weights of some units in every time step again

LEAST_BYTES = 16384  # smaller weights fit any L1
RESIDENT_BYTES = tuple(range(0, 112 << 10, 16 << 10))  # of weights that stay in L1; one kernel each
MOST_STEP_TILES = 65536  # every time step is several tiles
UNITS = 8  # units that the cores compute at once


def streamed_kernels(*formats: Format) -> tuple[Kernel, ...]:
    """Return kernels whose tiles are parts of one time step, so that weights may exceed L1; they
    differ in the bytes of weights that stay in L1."""
    return tuple(
        Kernel(CLUSTER, partial(streamed, most_bytes=most), is_large, formats)
        for most in RESIDENT_BYTES
    )


def is_large(step: QuantizedNode) -> bool:
    """Return whether the weights of a recurrent layer may exceed L1."""
    return step.integers.weight.nbytes > LEAST_BYTES and not step.attrs.get("reset_first")


def streamed(step: QuantizedNode, engine: Engine, most_bytes: int) -> TiledKernel:
    """Return the tiled kernel of a recurrent layer whose weights do not fit in L1: some of them are
    loaded again in every time step.

    most_bytes   maximum bytes of weights and channel constants that stay in L1
    """
    (t, n, columns), units = step.shapes[0], step.out[-1]
    of_gate, gates = WORD_BYTES // step.weight_type.size_bytes, columns // units
    stored = WORD_BYTES * 8 // (stored_bits(step, step.weight_type) or step.weight_type.bits)
    # Words of a gate's row of which those of all gates fill whole words of `stored` values.
    on_cores = in_tiles(step, engine, stored // math.gcd(stored, gates * of_gate))
    rows = {name: on_cores.arrays[name].reshape(units, -1) for name in ("weights", "channels")}
    unit_bytes = sum(array[0].nbytes for array in rows.values())
    resident = min(most_bytes // unit_bytes, units - 1) // UNITS * UNITS
    come, words = units - resident, rows["weights"][0].nbytes // (gates * WORD_BYTES)

    def work(sizes: Sizes) -> Any:
        parts = (sizes["j"], resident * sizes["j"] // come)
        return sum(step_work(n, gates, words, part, engine.cores) for part in parts)

    return replace(
        on_cores,
        **c_kernel(step, STREAMED, engine),
        axes={"t": t, "j": come},
        split=("j",),
        unit_axes=("t",),
        innermost_axes=("j",),
        multiples={"j": UNITS},
        most_tiles=MOST_STEP_TILES,
        operands=tuple(_stream_weights_by_units(on_cores, rows, resident)),
        op={**on_cores.op, **{x: f"@resident_{x}" if resident else 0 for x in rows}},
        tile=partial(
            _unit_tile_fields, steps=t, units=(resident, come), reverse=bool(step.attrs["reverse"])
        ),
        scratch=lambda _: on_cores.scratch({}),
        work=work,
    )


def _stream_weights_by_units(
    on_cores: TiledKernel, rows: Mapping[str, Array], resident: int
) -> Iterator[Operand]:
    """Yield the operands of a layer: those of the kernel with weights in L1, but with weights split
    into resident and streamed units, the latter tiled by units."""
    yield from (operand for operand in on_cores.operands if operand.name not in rows)
    for name, array in rows.items() if resident else ():
        yield Operand.whole(f"resident_{name}", array[:resident])
    for name, array in rows.items():
        come, index = np.ascontiguousarray(array[resident:]), ((("j", 1),), ())
        yield Operand(name, name, (len(come), array[0].nbytes), index, array=come)


def _unit_tile_fields(
    regions: Mapping[str, Region], steps: int, units: tuple[int, int], reverse: bool
) -> Fields:
    """Return the fields of the tile struct.

    units   (units kept in L1, units loaded in every step); a tile has an equal share of both
    """
    (t, *_), (first, *_) = regions["gates"].start, regions["weights"].start
    (count, *_), (stay, come) = regions["weights"].extent, units
    done, end = steps - 1 - t if reverse else t, first + count
    return {
        **{name: f"@{name}" for name in ("gates", "y", "weights", "channels")},
        "first": stay + first,
        "units": count,
        "resident_first": stay // UNITS * first // come * UNITS,
        "resident_end": stay // UNITS * end // come * UNITS,
        "done": done,
        "starts": int(done == 0 and first == 0),
        "ends": int(done == steps - 1 and end == come),
    }


# ---- kernels by result

ON_CORES = (*on_cluster(in_tiles, *STEPS), *streamed_kernels(*STEPS))
LAST_STATE = (*on_cluster(in_tiles, *STATES), *streamed_kernels(*STATES))
