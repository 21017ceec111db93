# SPDX-License-Identifier: Apache-2.0
"""Running z-score: each sample divided by the recent standard deviation of its signal.

The power is an exponential moving average, p += share * (x**2 - p), and y = x / sqrt(p), where p
includes the current sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Attrs
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT64
from myoedge.numerics.fixed_point import inverse_root
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.attributes import AXIS, NOT_NEGATIVE, number
from myoedge.operators.base import OpDef, QuantizedNode, QuantizedParams, QuantizeInputs, register
from myoedge.operators.common_rules import (
    final_state,
    same_shape,
    stream_except_axis,
    without_time,
)
from myoedge.operators.filters.definition import (
    KEPT,
    SAMPLED,
    filter_kernel,
    stored,
)
from myoedge.operators.filters.quantized import factor
from myoedge.operators.kernel import TiledKernel, on_cluster
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule, StreamState
from myoedge.operators.traits import ByHand, Constants
from myoedge.targets.chip import Engine

POINT = 16  # fraction bits of a mean square, in squared steps of x
SHARE_BITS = 15  # fraction bits of the smoothing factor
SHARES = (2.0**-14, 0.5)  # limits of the smoothing factor
LEAST = 1 << (POINT - 4)  # smallest mean square to divide by: a deviation of a quarter step
Q = 12  # fraction bits of normalised values
MOST = 256  # largest normalised value, in deviations
POWER = QuantParams(2.0**-POINT, 0, INT64)


def norm_real(attrs: Attrs, x: Array, *before: Array) -> Array:
    """Divide x [.., T, ..] by its running root mean square along attrs["axis"], in floats.

    attrs["share"]   weight of a new sample in the mean square
    attrs["start"]   initial root mean square
    before           optional mean square before the first sample
    """
    signal, powers = _floats(attrs, x, before)
    y = signal / np.sqrt(np.maximum(powers, np.finfo(np.float64).tiny))
    return np.moveaxis(y, 0, attrs["axis"]).astype(np.float32)


def _floats(attrs: Attrs, x: Array, before: Sequence[Array]) -> tuple[Array, Array]:
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
    acc_bound   largest |intermediate result|
    """

    share: int
    bits: int
    start: int
    acc_bound: int
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
        "acc_bound": 2**30,  # a sample times the inverse root
    }
    return RunningParams(**scalars, **factor(real, y))


def _powers(step: QuantizedNode, x: Array, before: Sequence[Array]) -> tuple[Array, Array]:
    signal = np.moveaxis(x, step.attrs["axis"], 0).astype(np.int64)
    power = before[0] if before else np.full(signal.shape[1:], step.integers.start, np.int64)
    powers, half = [], 1 << (step.integers.bits - 1)
    for now in signal:
        power = power + (
            (((now * now << POINT) - power) * step.integers.share + half) >> step.integers.bits
        )
        powers.append(power)
    return signal, np.stack(powers)


def norm_integer(step: QuantizedNode, x: Array, *before: Array) -> Array:
    """Divide x int16 [.., T, ..] by its running root mean square; return int8 or int16 of the same
    shape.

    before   optional mean square from power_integer
    """
    signal, powers = _powers(step, x, before)
    inverse, half = inverse_root(np.maximum(powers, LEAST))
    drop = half + 30 - POINT // 2 - Q
    z = (signal * inverse + (np.int64(1) << (drop - 1))) >> drop
    return stored(step, np.clip(z, -MOST << Q, MOST << Q))


def power_integer(step: QuantizedNode, x: Array, *before: Array) -> Array:
    """Return the mean square after the last sample, int64, in x's shape without time. Arguments as
    in norm_integer."""
    return np.asarray(_powers(step, x, before)[1][-1])


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


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    numbers = step.integers.named(("share", "bits", "start"))
    each = 0.12 if step.node.op == "running_power" else 1.0
    return filter_kernel(
        step,
        "me_running_norm_s16",
        numbers,
        (1, 8),
        sample_work=lambda signals: -(-signals // engine.cores) * each,
    )


RUNNING_NORM = register(
    OpDef(
        name="running_norm",
        attributes={"axis": AXIS, "share": number(*SHARES), "start": NOT_NEGATIVE},
        doc="samples divided by the running deviation of their signal: [conditioning] zscore_s",
        shape=same_shape,
        real=norm_real,
        integer=ByHand(norm_integer),
        constants=Constants(quantize, kinds=(RunningParams,)),
        kernels=on_cluster(in_tiles, *SAMPLED),
        epilogue=True,
        streaming_rule=norm_streaming_rule,
    )
)

RUNNING_POWER = register(
    final_state(
        RUNNING_NORM,
        name="running_power",
        kernels=on_cluster(in_tiles, KEPT),
        doc="power of running_norm after the last sample: on streams",
        shape=without_time,
        real=lambda attrs, x, *before: _floats(attrs, x, before)[1][-1].astype(np.float32),
        integer=ByHand(power_integer),
        fixed_params=POWER,
    )
)
