# SPDX-License-Identifier: Apache-2.0
"""LSTM and GRU in tiles: some steps at a time, in the order of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, Dim, Fields, Operand, Region, TiledKernel
from myoedge.operators.products.packing import packed_channels, up
from myoedge.targets.chip import Engine


def literals(step: QuantizedNode) -> dict[str, Any]:
    (t, n, columns), units = step.shapes[0], step.out[-1]
    sizes = {"steps": t, "batch": n, "units": units, "gates": columns // units}
    return {**sizes, "reset_first": bool(step.attrs.get("reset_first", False))}


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """States stay in L1 from tile to tile."""
    sizes, arrays, reverse = literals(step), _packed(step), bool(step.attrs["reverse"])
    parts = 1 + sizes["reset_first"]  # of a step, with a barrier each
    name = step.node.op.replace("gru", "gru_reset_first") if parts > 1 else step.node.op
    states = [f"{name}0" for name in "hc"[: len(step.operands) - 1]]
    starts = {k: v for k, v in step.integers.scalars.items() if k.split("_")[0] in "hcy"}
    pointers = {name: f"@{name}" for name in (*states, *arrays)}
    n, units = sizes["batch"], sizes["units"]
    return TiledKernel(
        function=f"me_{name}_s8",
        axes={"t": sizes["steps"]},
        split=("t",),
        reversed_axes=("t",) if reverse else (),
        operands=_operands(step, states, arrays),
        op={
            "units": units,
            "batch": n,
            "reverse": int(reverse),
            "pre": step["pre"],
            "wide": _wide(step),
            **starts,
            **pointers,
            "states": "@scratch",
        },
        tile=lambda regions: _tile(regions, sizes["steps"], reverse),
        arrays=arrays,
        scratch=lambda _: n * (2 * up(units) + up(2 * units)) * parts,
        work=lambda tile: tile["t"] * _step_work(sizes, parts, engine.cores),
    )


def _wide(step: QuantizedNode) -> int:
    """Whether the state that has 16 bits between steps has them before the first one, too."""
    return int(step.integers.scalars.get("wide", 0))


def _packed(step: QuantizedNode) -> dict[str, Array]:
    """Constants as me_recurrent.h has them: a row for every gate of a unit."""
    sizes = literals(step)
    units, gates = sizes["units"], sizes["gates"]
    rows = np.pad(step["weight"], ((0, 0), (0, -units % 4))).reshape(units, gates, -1, 4)
    return {
        "weights": rows.transpose(0, 2, 1, 3).reshape(-1),
        "channels": packed_channels(step),
        "sigmoid": step["sigmoid"],
        "tanh": step["tanh"],
    }


def _operands(
    step: QuantizedNode, states: Sequence[str], arrays: Mapping[str, Array]
) -> tuple[Operand, ...]:
    """Gates and results step by step, or of results the last state alone; all else whole."""
    sizes = literals(step)
    t, lanes = sizes["steps"], sizes["batch"] * sizes["units"]
    time: Dim = (("t", 1),)
    whole = len(step.out) == 2
    results = (1 if whole else t, lanes), (() if whole else time, ())
    first = (
        Operand(
            name, i + 1, (lanes,), ((),), itemsize=2 if _wide(step) and name == states[-1] else 1
        )
        for i, name in enumerate(states)
    )
    return (
        Operand("gates", 0, (t, lanes * sizes["gates"]), (time, ()), itemsize=2),
        *first,
        *(Operand(name, name, (a.nbytes,), ((),)) for name, a in arrays.items()),
        Operand("y", OUT, *results, itemsize=step.element_type.size_bytes),
    )


def _step_work(sizes: Mapping[str, Any], parts: int, cores: int) -> int:
    """Instructions of a step of time on words of h and of weights, by the core with most units."""
    words, loads = up(sizes["units"]) // 4, sizes["gates"] + parts - 1
    unit = words * (1 + 2 * loads) + 28 * loads
    return int(sizes["batch"] * (-(-sizes["units"] // cores) * unit + parts * 60) + parts * 125)


def _tile(regions: Mapping[str, Region], steps: int, reverse: bool) -> Fields:
    """`done`: steps before those of this tile."""
    x = regions["gates"]
    first, count = x.start[0], x.extent[0]
    done = steps - first - count if reverse else first
    return {"gates": "@gates", "y": "@y", "steps": count, "done": done}
