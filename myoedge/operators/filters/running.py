# SPDX-License-Identifier: Apache-2.0
"""Running z-score: each sample divided by the recent standard deviation of its signal.

The power is an exponential moving average, p += share * (x**2 - p), and y = x / sqrt(p), where p
includes the current sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.nest.formulas import broadcast_axes, long_shift, maximum, minimum
from myoedge.nest.ir import Array as Operand
from myoedge.nest.ir import Axis, Binary, Call, Expr, Nest
from myoedge.nest.nodes import Assumed
from myoedge.nest.primitive import Primitive
from myoedge.nest.scan import last, scan
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT64
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import SHIFT_MAX, inverse_root
from myoedge.operators.attributes import AXIS, NOT_NEGATIVE, number
from myoedge.operators.base import QuantizedNode, QuantizedParams, QuantizeInputs, add_operator
from myoedge.operators.chains import generated
from myoedge.operators.common_rules import final_state, same_shape, stream_except_axis, without_time
from myoedge.operators.described import axes_along, operands, result, saturated
from myoedge.operators.filters.definition import KEPT, SAMPLED
from myoedge.operators.filters.quantized import factor
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule, StreamState
from myoedge.operators.traits import Constants, Described, Span

POINT = 16  # fraction bits of a mean square, in squared steps of x
SHARE_BITS = 15  # fraction bits of the smoothing factor
SHARES = (2.0**-14, 0.5)  # limits of the smoothing factor
LEAST = 1 << (POINT - 4)  # smallest mean square to divide by: a deviation of a quarter step
Q = 12  # fraction bits of normalised values
MOST = 256  # largest normalised value, in deviations
POWERS = (0, 1 << (30 + POINT))  # range of a mean square
MOST_SHIFT = 31  # of one shift
POWER = QuantParams(2.0**-POINT, 0, INT64)


def norm_real(attrs: Attrs, x: Array, *before: Array) -> Array:
    """Divide x [.., T, ..] by its running root mean square along attrs["axis"], in floats.

    attrs["share"]   weight of a new sample in the mean square
    attrs["start"]   initial root mean square
    before           optional mean square before the first sample
    """
    signal, powers = _run_float_average(attrs, x, before)
    y = signal / np.sqrt(np.maximum(powers, np.finfo(np.float64).tiny))
    return np.moveaxis(y, 0, attrs["axis"]).astype(np.float32)


def _run_float_average(attrs: Attrs, x: Array, before: Sequence[Array]) -> tuple[Array, Array]:
    """Run the moving average in floats; return (samples, mean squares), time first."""
    signal = np.moveaxis(x, attrs["axis"], 0).astype(np.float64)
    power = before[0] if before else np.full(signal.shape[1:], attrs["start"] ** 2)
    powers = []
    for now in signal:
        power = power + attrs["share"] * (now**2 - power)
        powers.append(power)
    return signal, np.stack(powers)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningParams(QuantizedParams):
    """Integer constants of a running z-score.

    share       weight of a new sample, with `bits` fraction bits
    start       initial mean square, in squared input steps
    mult, offset, shift   conversion of the quotient to output steps
    """

    share: int
    bits: int
    ranges: ClassVar[Mapping[str, Span]] = {
        "start": POWERS,
        "offset": (-(2**62), 2**62),
        "shift": (0, 2 * SHIFT_MAX),
    }
    start: int
    mult: int
    offset: int
    shift: int


def quantize(inputs: QuantizeInputs) -> RunningParams:
    """Return the constants: a 15-bit weight of new samples, the initial mean square in squared
    steps of x, and the factor from Q12 to output steps."""
    x, y, share = inputs.params(0), inputs.target, inputs.attrs["share"]
    bits = SHARE_BITS - math.frexp(share)[1]
    real = min(2.0**-Q / y.scale, 2.0**30 / (MOST << Q))
    start = round((inputs.attrs["start"] / x.scale) ** 2 * 2**POINT)
    scalars = {
        "share": min(round(math.ldexp(share, bits)), 2**SHARE_BITS - 1),
        "bits": bits,
        "start": min(max(start, LEAST), 1 << (30 + POINT)),
    }
    return RunningParams(**scalars, **factor(real, y))


def _normalise_samples(table: None, x: Array, power: Array) -> Array:
    """Return samples over the root of a power, within MOST, with Q fraction bits."""
    inverse, half = inverse_root(np.maximum(power, LEAST).astype(np.int64))
    drop = half + 30 - POINT // 2 - Q
    z = (x.astype(np.int64) * inverse + (np.int64(1) << (drop - 1))) >> drop
    return np.asarray(np.clip(z, -MOST << Q, MOST << Q))


NORMALISED = Primitive(
    "me_normalised",
    "me_normalised.h",
    _normalise_samples,
    lambda table, x, power: (-MOST << Q, MOST << Q),
)


def _running_powers(
    step: QuantizedNode[RunningParams], axes: tuple[Axis, ...], arrays: tuple[Operand, ...]
) -> tuple[Expr, Expr]:
    """Return the samples, and their signal's power after each.

    axes     of x
    arrays   x, and optionally the power before, without time
    """
    c, along, x = step.integers, axes[step.attrs["axis"]], arrays[0][axes]
    others = tuple(axis for axis in axes if axis is not along)
    start = arrays[1][others] if len(arrays) > 1 else c.start

    def moved(power: Expr) -> Expr:
        more = ((x * x << POINT) - power) * c.share
        return Assumed(power + long_shift(more, c.bits), *POWERS)

    return x, scan(along, start, moved, POWERS)


def norm_meaning(step: QuantizedNode[RunningParams]) -> Nest:
    """Describe x int16 [.., T, ..] over its running root mean square, int8 or int16; a second
    operand is the mean square before."""
    c, axes, arrays = step.integers, broadcast_axes(step.out), operands(step)
    z = Call(NORMALISED, None, _running_powers(step, axes, arrays))
    near, rest = minimum(c.shift, MOST_SHIFT), maximum(c.shift - MOST_SHIFT, 0)
    scaled = Binary("long >>", z * c.mult + c.offset, near) >> rest
    return Nest(
        axes, arrays, result(step), tuple(axis.at for axis in axes), saturated(step, scaled)
    )


def power_meaning(step: QuantizedNode[RunningParams]) -> Nest:
    """Describe the mean square after the last sample, int64, in x's shape without time."""
    (axes, others), arrays = axes_along(step.shapes[0], step.attrs["axis"]), operands(step)
    power = last(axes[step.attrs["axis"]], _running_powers(step, axes, arrays)[1])
    return Nest(others, arrays, result(step), tuple(axis.at for axis in others), power)


def norm_streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a running z-score: along time with the mean square as state,
    along other axes frame by frame."""
    if at.operand or at.axis != at.attrs["axis"]:
        return stream_except_axis(at)
    power = StreamState(
        1, "power", without_time(at.attrs, *at.shapes), POWER,
        fill=lambda step: int(step.integers.start), last="running_power",
    )  # fmt: skip
    return StreamingRule(at.axis, carries=(power,))


RUNNING_NORM = add_operator(
    name="running_norm",
    attributes={"axis": AXIS, "share": number(*SHARES), "start": NOT_NEGATIVE},
    doc="samples divided by the running deviation of their signal: [conditioning] zscore_s",
    shape=same_shape,
    real=norm_real,
    integer=Described(norm_meaning),
    constants=Constants(quantize, kinds=(RunningParams,)),
    kernels=generated(*SAMPLED),
    epilogue=True,
    streaming_rule=norm_streaming_rule,
)

RUNNING_POWER = final_state(
    RUNNING_NORM,
    name="running_power",
    kernels=generated(KEPT),
    doc="power of running_norm after the last sample: on streams",
    shape=without_time,
    real=lambda attrs, x, *before: _run_float_average(attrs, x, before)[1][-1].astype(np.float32),
    integer=Described(power_meaning),
    fixed_params=POWER,
)
