# SPDX-License-Identifier: Apache-2.0
"""Greedy decoding of connectionist temporal classification: the best of every frame, collapsed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import LoopNest, OpDef, QuantizedNode, register
from myoedge.operators.common_rules import as_in_floats
from myoedge.operators.kernel import OUT, Operand, TiledKernel, on_cluster
from myoedge.targets.chip import Engine

NOTHING = -1  # behind the last symbol


def greedy_shape(attrs: Attrs, x: Shape) -> Shape:
    """[T, N, C] -> [N, 1 + T]: how many symbols there are, and the symbols."""
    return (x[1], 1 + x[0])


def greedy_nest(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> LoopNest:
    (t, n, c), lane = shapes[0], (("n", 1),)
    operands = {"x": ((("t", 1),), lane, (("c", 1),)), "y": (lane, (("s", 1),))}
    return LoopNest({"n": n, "s": 1 + t, "t": t, "c": c}, operands, frozenset(("t", "c")))


def greedy_real(attrs: Attrs, x: Array) -> Array:
    """x [T, N, C] -> int32 [N, 1 + T]: repetitions and blanks left out, the rest -1.

    The class of a frame is the first of its largest values.
    """
    best = x.argmax(-1)
    before = np.vstack([np.full_like(best[:1], NOTHING), best[:-1]])
    kept = (best != before) & (best != attrs["blank"])
    y = np.full((x.shape[1], 1 + len(x)), NOTHING, np.int32)
    for row, symbols, keep in zip(y, best.T, kept.T, strict=True):
        row[0] = keep.sum()
        row[1 : 1 + row[0]] = symbols[keep]
    return y


def greedy_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Cut between sequences: a core brings the frames of one together."""
    (t, n, c), along = step.shapes[0], (("n", 1),)
    return TiledKernel(
        function="me_ctc_greedy_s8",
        axes={"n": n},
        split=("n",),
        operands=(
            Operand("x", 0, (t, n, c), ((), along, ())),
            Operand("y", OUT, step.out, (along, ()), itemsize=4),
        ),
        op={"steps": t, "classes": c, "blank": step.attrs["blank"]},
        tile=lambda regions: {"x": "@x", "y": "@y", "batch": regions["y"].extent[0]},
        work=lambda sizes: (
            -(-t * sizes["n"] // engine.cores) * (c + 2) + -(-sizes["n"] // engine.cores) * 2 * t
        ),
    )


CTC_GREEDY = register(
    OpDef(
        name="ctc_greedy",
        doc="symbols of CTC: the best class of every frame without repetitions and blanks; --ctc",
        shape=greedy_shape,
        nest=greedy_nest,
        real=greedy_real,
        integer=as_in_floats(greedy_real),
        kernels=on_cluster(greedy_in_tiles),
        out_dtype="int32",
    )
)
