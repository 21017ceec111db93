# SPDX-License-Identifier: Apache-2.0
"""Causal filters of int16 samples: cascades of second-order sections (biquads).

The initial state is zero; a stream continues with the state after the previous sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array, outer_inner
from myoedge.numerics.element_type import INT16, INT32, INT64
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.attributes import AXIS
from myoedge.operators.base import QuantizedNode, add_operator
from myoedge.operators.common_rules import final_state, same_shape, stream_except_axis, without_time
from myoedge.operators.filters.quantized import LEARNT, BiquadParams, biquads_quantize, normalized
from myoedge.operators.format import ANY, LIMITED, SIXTEEN, Format
from myoedge.operators.kernel import OUT, AffineExpr, Operand, TiledKernel, on_cluster
from myoedge.operators.library.packing import limit_fields, table_operand
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule, StreamState
from myoedge.operators.traits import ByHand, Constants, Weights
from myoedge.targets.chip import Engine

SAMPLES = QuantParams(1.0, 0, INT32)  # intermediate results, with `guard` fraction bits


# ---- common to filters along time, one signal after another, with 64-bit products


def filter_kernel(
    step: QuantizedNode,
    function: str,
    numbers: Mapping[str, int],
    state: tuple[int, int],
    *,
    constants: Sequence[str] = (),
    scratch_bytes: int = 0,
    sample_work: Callable[[Any], Any],
) -> TiledKernel:
    """Return the tiled kernel of a function in me_filters.h; tiles divide the signals, but never
    time.

    function        C function
    numbers         op struct fields in addition to sizes and scale
    state           (state values per signal, bytes of each)
    constants       names of the step's arrays that the op struct points to
    scratch_bytes   scratch per core
    sample_work     number of signals of the busiest core -> work per sample
    """
    outer, steps, inner = outer_inner(step.shapes[0], step.attrs["axis"])
    scale = dict[str, int | str]()
    if not _returns_state(step):  # fields of me_filter_scale, which converts to output steps
        limits, wide = limit_fields(step), int(step.element_type == INT16)
        of_scale = {**limits, **step.integers.named(("mult", "offset", "shift")), "wide": wide}
        scale = {f"samples.{name}": value for name, value in of_scale.items()}
    fields = {"steps": steps, "inner": inner, "keeps": int(_returns_state(step)), **numbers}
    pointers = ["x", "y", *["before"] * (len(step.shapes) > 1), *["scratch"] * (scratch_bytes > 0)]
    return TiledKernel(
        function=function,
        axes={"o": outer},
        split=("o",),
        operands=_filter_operands(step, state, constants),
        op={**fields, **{name: f"@{name}" for name in constants}, **scale},
        tile=lambda regions: {
            **{name: f"@{name}" for name in pointers},
            "outer": regions["x"].extent[0],
        },
        scratch=lambda sizes: scratch_bytes,
        work=lambda sizes: steps * sample_work(sizes["o"] * inner),
    )


def _returns_state(step: QuantizedNode) -> bool:
    """Return whether a step returns the filter's final state instead of the filtered samples."""
    return step.out != step.shapes[0]


def _filter_operands(
    step: QuantizedNode, state: tuple[int, int], constants: Sequence[str]
) -> tuple[Operand, ...]:
    """Return the operands: samples [outer, time, inner] and, if the step has one, the state [count,
    outer, inner]."""
    outer, steps, inner = outer_inner(step.shapes[0], step.attrs["axis"])
    (count, size_bytes), signal = state, (("o", 1),)
    samples: tuple[Shape, tuple[AffineExpr, ...]] = (outer, steps, inner), (signal, (), ())
    states: tuple[Shape, tuple[AffineExpr, ...]] = (count, outer, inner), ((), signal, ())
    written = states if _returns_state(step) else samples
    return (
        Operand("x", 0, *samples, (), 2),
        *([Operand("before", 1, *states, (), size_bytes)] if len(step.shapes) > 1 else []),
        *(Operand.whole(name, getattr(step.integers, name)) for name in constants),
        *table_operand(step),
        Operand("y", OUT, *written, (), step.element_type.size_bytes),
    )


def stored(step: QuantizedNode, samples: Array) -> Array:
    """Requantise results int64 [T, ..] with the constants from `factor`, and move the time axis
    back to attrs["axis"]."""
    scaled = (samples * step.integers.mult + step.integers.offset) >> step.integers.shift
    y = np.clip(scaled, step.low, step.high).astype(step.element_type.dtype)
    return np.asarray(np.moveaxis(y, 0, step.attrs["axis"]))


# ---- second-order sections


def biquads_real(attrs: Attrs, x: Array, sections: Array, *before: Array) -> Array:
    """Filter x [.., T, ..] along attrs["axis"] in floats; the result has the same shape.

    sections   [S, 6]: b0, b1, b2, a0, a1, a2 per section
    before     optional state from past_real, after the samples that precede x
    """
    samples, _ = _run_float_cascade(attrs, x, sections, before)
    return np.moveaxis(samples, 0, attrs["axis"]).astype(np.float32)


def past_real(attrs: Attrs, x: Array, sections: Array, *before: Array) -> Array:
    """Return the filters' state after the last sample, [S + 1, 2, .., ..]: the last two inputs of
    each section, and the last two outputs.

    Arguments as in biquads_real.
    """
    _, past = _run_float_cascade(attrs, x, sections, before)
    return past.astype(np.float32)


def _run_float_cascade(
    attrs: Attrs, x: Array, sections: Array, before: Sequence[Array]
) -> tuple[Array, Array]:
    """Run a biquad cascade in floats; return (results with time first, final state: the last two
    samples of every section)."""
    signal = np.moveaxis(x, attrs["axis"], 0).astype(np.float64)
    past = np.zeros((len(sections) + 1, 2, *signal.shape[1:])) + sum(before)
    coefficients = normalized(sections)
    return np.stack([_filter_sample(coefficients, past, now) for now in signal]), past


def _filter_sample(
    coefficients: Array, past: Array, now: Array, rounded: Callable[[Array], Array] = np.asarray
) -> Array:
    """Filter one sample through all sections, updating `past`, the last two samples of each
    section's input and of the output."""
    for i, (b0, b1, b2, a1, a2) in enumerate(coefficients):
        (x1, x2), (y1, y2) = past[i], past[i + 1]
        acc = b0 * now + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2
        past[i] = np.stack([now, x1])
        now = rounded(acc)
    past[-1] = np.stack([now, past[-1][0]])
    return now


def past_shape(attrs: Attrs, x: Shape, sections: Shape, *_: Shape) -> Shape:
    return (sections[0] + 1, 2, *without_time(attrs, x))


def _run_integer_cascade(
    step: QuantizedNode, x: Array, before: Sequence[Array]
) -> tuple[Array, Array]:
    """Run biquads in integers; return (results with guard bits, time first; final state)."""
    signal = np.moveaxis(x, step.attrs["axis"], 0).astype(np.int64) << step.integers.guard
    sections, fraction = step.integers.sections.astype(np.int64), step.integers.fraction
    past = np.zeros((len(sections) + 1, 2, *signal.shape[1:]), np.int64) + sum(before)
    half = 1 << (fraction - 1)

    def rounded(acc: Array) -> Array:
        return np.asarray((acc + half) >> fraction)

    return np.stack([_filter_sample(sections, past, now, rounded) for now in signal]), past


def biquads_integer(step: QuantizedNode, x: Array, *before: Array) -> Array:
    """Filter x int16 [.., T, ..] -> int8 or int16 of the same shape.

    before   optional state from past_integer
    """
    samples, _ = _run_integer_cascade(step, x, before)
    return stored(step, samples)


def past_integer(step: QuantizedNode, x: Array, *before: Array) -> Array:
    """Return the state after the last sample, int32, in the layout of past_real.

    before   optional state before the first sample
    """
    _, past = _run_integer_cascade(step, x, before)
    return past.astype(np.int32)


def biquads_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a biquad cascade: along time with the filters' states, along
    other axes frame by frame."""
    if at.operand or at.axis != at.attrs["axis"]:
        return stream_except_axis(at)
    past = StreamState(2, "samples", past_shape(at.attrs, *at.shapes), SAMPLES, last="biquads_past")
    return StreamingRule(at.axis, carries=(past,))


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of a biquad cascade; tiles divide the signals. Each core keeps two
    samples per section, and two outputs, in scratch."""
    count = len(step.integers.sections)
    return filter_kernel(
        step,
        "me_biquads_s16",
        {"count": count, "guard": step.integers.guard, "fraction": step.integers.fraction},
        (2 * count + 2, 4),
        constants=("sections",),
        scratch_bytes=engine.cores * (2 * count + 2) * 4,
        sample_work=lambda signals: -(-signals // engine.cores) * (count + 0.3),
    )


# samples of an AD converter, and filter states
SAMPLED = (Format((SIXTEEN, ANY)), Format((SIXTEEN, ANY), SIXTEEN, where=LIMITED))
KEPT = Format((SIXTEEN, ANY), (INT32, INT64))  # states

BIQUADS = add_operator(
    name="biquads",
    attributes={"axis": AXIS},
    doc="causal filters over time, second-order sections in series: [conditioning]",
    shape=same_shape,
    real=biquads_real,
    integer=ByHand(biquads_integer),
    constants=Constants(biquads_quantize, kinds=(BiquadParams,), learnt=LEARNT),
    kernels=on_cluster(in_tiles, *SAMPLED),
    weights=Weights((1,)),
    epilogue=True,
    macs=lambda attrs, shapes, out: 5 * shapes[1][0] * math.prod(shapes[0]),
    streaming_rule=biquads_streaming_rule,
)

BIQUADS_PAST = final_state(
    BIQUADS,
    name="biquads_past",
    kernels=on_cluster(in_tiles, KEPT),
    doc="state of biquads after the last sample, by running them once more",
    shape=past_shape,
    real=past_real,
    integer=ByHand(past_integer),
    fixed_params=SAMPLES,
)
