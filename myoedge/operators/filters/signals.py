# SPDX-License-Identifier: Apache-2.0
"""Filters along time, one signal after another, with products of 64 bits: common parts, tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import LoopNest, QuantizedNode, outer_inner
from myoedge.operators.common_rules import elementwise
from myoedge.operators.kernel import OUT, Dim, Operand, TiledKernel
from myoedge.operators.products.packing import limits, with_table


def kept_nest(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> LoopNest:
    """`nest` of operators that give the state behind the last sample."""
    return elementwise(attrs, [], out)


def without_time(attrs: Attrs, x: Shape, *_: Shape) -> Shape:
    """`shape` of one number a signal."""
    return (*x[: attrs["axis"]], *x[attrs["axis"] + 1 :])


def filter_kernel(
    step: QuantizedNode,
    function: str,
    numbers: Mapping[str, int],
    state: tuple[int, int],
    *,
    constants: Sequence[str] = (),
    scratch: int = 0,
    sample_work: Callable[[Any], Any],
) -> TiledKernel:
    """Kernel of me_filters.h; signals are cut around their time axis.

    numbers      fields of the op besides sizes and scale
    state        numbers of a signal that stay between samples, and bytes of each
    constants    arrays of the step that the op points to
    sample_work  signals -> units of a sample of the core with most of them
    """
    outer, steps, inner = outer_inner(step.shapes[0], step.attrs["axis"])
    keeps, (count, size_bytes) = step.out != step.shapes[0], state
    arrays = {name: step[name] for name in constants}
    with_table(step, arrays)
    samples: tuple[Shape, tuple[Dim, ...]] = (outer, steps, inner), ((("o", 1),), (), ())
    kept: tuple[Shape, tuple[Dim, ...]] = (count, outer, inner), ((), (("o", 1),), ())
    written = kept if keeps else samples
    y = Operand("y", OUT, *written, (), step.element_type.size_bytes)
    given = [Operand("before", 1, *kept, (), size_bytes)] if len(step.shapes) > 1 else []
    scale = {**limits(step), **{name: step[name] for name in ("mult", "offset", "shift")}}
    scale |= {"wide": int(step.element_type == INT16)}
    places = {
        x: f"@{x}" for x in ("x", "y", *(o.name for o in given), *["scratch"] * (scratch > 0))
    }
    return TiledKernel(
        function=function,
        axes={"o": outer},
        split=("o",),
        operands=(
            Operand("x", 0, *samples, (), 2),
            *given,
            *(Operand(name, name, (a.nbytes,), ((),)) for name, a in arrays.items()),
            y,
        ),
        op={
            "steps": steps,
            "inner": inner,
            "keeps": int(keeps),
            **numbers,
            **{name: f"@{name}" for name in constants},
            **({} if keeps else {f"samples.{name}": value for name, value in scale.items()}),
        },
        tile=lambda regions: {**places, "outer": regions["x"].extent[0]},
        arrays=arrays,
        scratch=lambda sizes: scratch,
        work=lambda sizes: steps * sample_work(sizes["o"] * inner),
    )


def factor(real: float, y: QuantParams, most: int = 62) -> dict[str, int]:
    """mult, of 30 bits or fewer, offset and shift of a factor to the output.

    most   bits of the shift: mult is smaller where it would have more
    """
    shift = min(30 - math.frexp(real)[1], most)
    offset = (1 << (shift - 1)) + (y.zero_point << shift)
    return {"mult": round(math.ldexp(real, shift)), "offset": offset, "shift": shift}


def stored(step: QuantizedNode, found: Array) -> Array:
    """int64 [T, ..] requantised with the scalars of `factor`, time axis in its place."""
    scaled = (found * step["mult"] + step["offset"]) >> step["shift"]
    y = np.clip(scaled, step.low, step.high).astype(step.element_type.dtype)
    return np.asarray(np.moveaxis(y, 0, step.attrs["axis"]))
