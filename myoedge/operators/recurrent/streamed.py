# SPDX-License-Identifier: Apache-2.0
"""Tiling of recurrent layers whose weights exceed L1: the weights of some units are loaded again in
every time step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div
from myoedge.operators.base import QuantizedNode
from myoedge.operators.format import Format
from myoedge.operators.kernel import CLUSTER, Fields, Kernel, Operand, Region, Sizes, TiledKernel
from myoedge.operators.products.packed_weights import WORD_BYTES
from myoedge.operators.products.packing import packed_channels
from myoedge.operators.recurrent.tiling import in_tiles, instance_of, packed_rows, step_work
from myoedge.targets.chip import Engine

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
    on_cores, (t, n, columns), units = in_tiles(step, engine), step.shapes[0], step.out[-1]
    weights = packed_rows(step.integers.weight, units).reshape(units, -1)
    channels = packed_channels(step).reshape(units, -1)
    unit_bytes = weights[0].nbytes + channels[0].nbytes
    resident = min(most_bytes // unit_bytes, units - 1) // UNITS * UNITS
    come, words = units - resident, ceil_div(units * weights.itemsize, WORD_BYTES)
    rows = {"weights": weights, "channels": channels}

    def work(sizes: Sizes) -> Any:
        parts = (sizes["j"], resident * sizes["j"] // come)
        return sum(step_work(n, columns // units, words, part, engine.cores) for part in parts)

    return replace(
        on_cores,
        function=instance_of(step).name(step, "streamed"),
        axes={"t": t, "j": come},
        split=("j",),
        unit_axes=("t",),
        innermost_axes=("j",),
        multiples={"j": UNITS},
        most_tiles=MOST_STEP_TILES,
        operands=tuple(_operands(on_cores, rows, resident)),
        op={
            **{f"layer.{name}": value for name, value in on_cores.op.items()},
            **{f"layer.{name}": f"@resident_{name}" if resident else 0 for name in rows},
            "resident_units": resident,
            "puts_state": int(len(step.out) == 2),
        },
        tile=partial(_tile, steps=t, units=(resident, come), reverse=bool(step.attrs["reverse"])),
        scratch=lambda _: on_cores.scratch({}),
        work=work,
    )


def _operands(on_cores: TiledKernel, rows: Mapping[str, Array], resident: int) -> Iterator[Operand]:
    """Yield the operands of a layer: those of the kernel with weights in L1, but with weights split
    into resident and streamed units."""
    yield from (operand for operand in on_cores.operands if operand.name not in rows)
    for name, array in rows.items() if resident else ():
        yield Operand.whole(f"resident_{name}", array[:resident])
    yield from (_by_unit(name, array[resident:]) for name, array in rows.items())


def _by_unit(name: str, rows: Array) -> Operand:
    """Return an operand with one row per unit, tiled by units."""
    index = ((("j", 1),), ())
    return Operand(name, name, (len(rows), rows[0].nbytes), index, array=np.ascontiguousarray(rows))


def _tile(
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
        "first": first,
        "units": count,
        "resident_first": stay // UNITS * first // come * UNITS,
        "resident_end": stay // UNITS * end // come * UNITS,
        "done": done,
        "ends": int(done == steps - 1 and end == come),
    }
