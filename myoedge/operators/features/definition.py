# SPDX-License-Identifier: Apache-2.0
"""Time-domain features of windows, each with a factor and an offset per channel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.fixed_point import INT32_MAX
from myoedge.operators.base import (
    OpDef,
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    register,
)
from myoedge.operators.common_rules import stored_bound
from myoedge.operators.features.factors import features_of, total, unpacked
from myoedge.operators.features.tiling import in_tiles
from myoedge.operators.format import EITHER_WIDTH
from myoedge.operators.kernel import on_cluster
from myoedge.operators.loop_nest import LoopNest
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule

SUM_BITS = 31  # of a sum that is multiplied
LEAST_SHIFT, MOST_SHIFT = 8, 54
TERM_BITS = 62  # of the product, and of the shifted offset
FRACTION = 256  # of an output step, in which offsets are
OFFSET_MAX = 2**22  # in output steps: no sum brings it back


def shape(attrs: Attrs, x: Shape, scale: Shape, offset: Shape) -> Shape:
    """x [N, C, T], scale and offset [K, C] -> [N, K, C]."""
    return (x[0], *scale)


def nest(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> LoopNest:
    n, c = (("n", 1),), (("c", 1),)
    axes = {"n": out[0], "k": out[1], "c": out[2], "t": shapes[0][2]}
    operands = {"x": (n, c, (("t", 1),)), "y": (n, (("k", 1),), c)}
    return LoopNest(axes, operands, frozenset("t"))


def real(attrs: Attrs, x: Array, scale: Array, offset: Array) -> Array:
    """Compute scale * feature + offset for every feature and channel."""
    wide = x.astype(np.float64)
    sums = np.stack([total(feature, wide) for feature in features_of(attrs)], axis=1)
    return np.asarray(sums * scale + offset, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesParams(QuantizedParams):
    """Integer constants of features: y = (((sum >> down) * mult + (offset << shift - 8)) >> shift.

    parts     int32 [K, 3]: first factor, number of factors, down
    factors   int32 [f, 7]: form, a, b, test and limit, as in operators/features/factors.py
    each      int32 [K * C, 3]: mult, offset in 1/256 output steps, shift
    x_zero    zero point of the samples
    """

    parts: Array
    factors: Array
    each: Array
    x_zero: int
    acc_bound: int


def quantize(site: QuantizeInputs) -> FeaturesParams:
    """Return the constants: limits of tests in steps of the samples, and a factor for each sum."""
    x, length = site.params(0), site.shapes[0][2]
    scales, offsets = (site.constant(i).astype(np.float64) for i in (1, 2))
    parts, factors, each, largest = [], list[list[int]](), [], 1
    for feature, scale, offset in zip(features_of(site.attrs), scales, offsets, strict=True):
        own = sorted((f.in_steps(x.scale) for f in feature), key=lambda f: not f.test)
        bound = length * math.prod(f.bound(x.reach, x.high - x.low) for f in own)
        down = max(bound.bit_length() - SUM_BITS, 0)
        unit = x.scale ** sum(f.degree for f in own if not f.test) * 2.0**down / site.target.scale
        zeros = offset / site.target.scale + site.target.zero_point
        parts.append([len(factors), len(own), down])
        factors += [factor.packed() for factor in own]
        each += [_rescaling(a * unit, b) for a, b in zip(scale.tolist(), zeros, strict=True)]
        largest = max(largest, bound >> down)
    arrays = (np.array(rows, np.int32) for rows in (parts, factors, each))
    names = dict(zip(("parts", "factors", "each"), arrays, strict=True))
    return FeaturesParams(**names, x_zero=x.zero_point, acc_bound=largest)


def _rescaling(factor: float, zero: float) -> list[int]:
    """Return multiplier, offset and shift of sums that are multiplied by `factor`."""
    offset = np.rint(np.clip(zero, -OFFSET_MAX, OFFSET_MAX) * FRACTION) + FRACTION // 2
    most = min(MOST_SHIFT, TERM_BITS + LEAST_SHIFT - int(abs(offset)).bit_length())
    shift = int(np.clip(30 - math.frexp(factor)[1], LEAST_SHIFT, most))
    mult = int(np.clip(np.rint(factor * 2.0**shift), -INT32_MAX, INT32_MAX))
    return [mult, int(offset), shift]


def integer(step: QuantizedNode, x: Array) -> Array:
    """Compute the features of x int8 or int16 [N, C, T] -> int8 or int16 [N, K, C]."""
    numbers, channels = step.integers, x.shape[1]
    centred = x.astype(np.int64) - numbers.x_zero
    rows = np.split(numbers.each.astype(np.int64), len(numbers.parts))
    results = []
    for (first, count, down), each in zip(numbers.parts.tolist(), rows, strict=True):
        own = [unpacked(row) for row in numbers.factors[first : first + count].tolist()]
        mult, offset, shift = each.reshape(channels, 3).T
        acc = total(own, centred) >> down
        results.append(acc * mult + (offset << (shift - LEAST_SHIFT)) >> shift)
    low, high = step.element_type.low, step.element_type.high
    return np.asarray(np.clip(np.stack(results, axis=1), low, high), step.element_type.dtype)


def streaming_rule(at: OperandAxis) -> StreamingRule | None:
    return StreamingRule(0) if at.axis == 0 and at.operand == 0 else None


FEATURES = register(
    OpDef(
        name="features",
        doc="time-domain features: sums over windows of steps, products and tests of neighbours",
        shape=shape,
        nest=nest,
        real=real,
        integer=integer,
        quantize=quantize,
        params=(FeaturesParams,),
        acc_bound=stored_bound,
        kernels=on_cluster(in_tiles, EITHER_WIDTH),
        weights=(1, 2),
        streaming_rule=streaming_rule,
    )
)
