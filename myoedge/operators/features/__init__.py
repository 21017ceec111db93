# SPDX-License-Identifier: Apache-2.0
"""Time-domain features of windows, each with a factor and an offset per channel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.requant import INT32_MAX
from myoedge.operators.attributes import NodeSite, Values
from myoedge.operators.base import QuantizedNode, QuantizeInputs, add_operator
from myoedge.operators.features.factors import (
    FRACTION_BITS,
    MOST_ORDER,
    Factor,
    Feature,
    are_factors,
    autocorrelations,
    features_of,
    groups_of,
    positions,
    predictor_in_integers,
    total,
    unpacked,
)
from myoedge.operators.features.tiling import FeaturesParams, in_tiles
from myoedge.operators.format import EITHER_WIDTH
from myoedge.operators.kernel import on_cluster
from myoedge.operators.qdq import Write, Writer, number, whole
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import INTEGERS_32, ByHand, Constants, Learnt, Weights

SUM_BITS = 31  # bits of a sum before the multiplication
LEAST_SHIFT, MOST_SHIFT = 8, 54
TERM_BITS = 62  # bits of the product, and of the shifted offset
FRACTION = 256  # offsets are in 1/256 output steps
OFFSET_MAX = 2**22  # in output steps; no sum brings such a result back into the range


def shape(attrs: Attrs, x: Shape, scale: Shape, offset: Shape) -> Shape:
    """Return the result shape [N, K, C] for x [N, C, T], scale and offset [K, C]."""
    return (x[0], *scale)


def _describe_features_of_windows(value: Any, site: NodeSite) -> bool:
    """Return whether features are as features.factors describes them, in windows of x [N, C, T]."""
    length = site.shapes[0][2]
    return isinstance(value, tuple) and all(are_factors(f, length) for f in value)


def real(attrs: Attrs, x: Array, scale: Array, offset: Array) -> Array:
    """Compute scale * feature + offset for every feature and channel of x [N, C, T], in floats ->
    [N, K, C]."""
    wide = x.astype(np.float64)
    sums = np.stack([total(feature, wide) for feature in features_of(attrs)], axis=1)
    return np.asarray(sums * scale + offset, np.float32)


def quantize(site: QuantizeInputs) -> FeaturesParams:
    """Return the constants: the limits of tests in quantisation steps of the samples, and a factor
    for each sum."""
    x = site.params(0)
    features = [tuple(f.in_steps(x.scale) for f in own) for own in features_of(site.attrs)]
    parts, groups = list[list[int]](), list[list[int]]()
    factors, edges = list[Factor](), [0]
    for group in groups_of(features):
        groups.append([len(parts), len(group.features), len(factors), len(edges), len(group.edges)])
        edges += group.edges
        if group.is_sum:
            own = sorted(group.features[0], key=lambda f: not f.test)
            parts.append(
                [
                    len(factors),
                    len(own),
                    max(_largest_magnitude(site, tuple(own)).bit_length() - SUM_BITS, 0),
                ]
            )
            factors += own
        else:
            parts += group.parts
            factors.append(group.value)
    downs = [part[2] for part in parts]
    largest = [_largest_magnitude(site, f) >> down for f, down in zip(features, downs, strict=True)]
    rows = (
        parts,
        [f.packed() for f in factors],
        groups,
        edges,
        _rescale_features(site, features, downs),
    )
    names = ("parts", "factors", "groups", "edges", "each")
    arrays = {name: np.array(row, np.int32) for name, row in zip(names, rows, strict=True)}
    return FeaturesParams(**arrays, x_zero=x.zero_point, acc_bound=max(1, *largest))


def _largest_magnitude(site: QuantizeInputs, feature: Feature) -> int:
    """Return the largest magnitude of a feature before scaling: a sum, or an AR coefficient."""
    x = site.params(0)
    if feature[0].form == "ar":
        return math.comb(MOST_ORDER, MOST_ORDER // 2) << FRACTION_BITS
    return site.shapes[0][2] * math.prod(f.bound(x.reach, x.high - x.low) for f in feature)


def _rescale_features(
    site: QuantizeInputs, features: Sequence[Feature], downs: Sequence[int]
) -> list[list[int]]:
    """Return multiplier, offset and shift of every feature and channel, [K * C, 3]."""
    x, target, rows = site.params(0), site.target, list[list[int]]()
    scales, offsets = (site.constant(i).astype(np.float64) for i in (1, 2))
    for feature, down, scale, offset in zip(features, downs, scales, offsets, strict=True):
        fraction = FRACTION_BITS if feature[0].form == "ar" else 0
        degree = sum(f.degree for f in feature if not f.test)
        unit = x.scale**degree * 2.0 ** (down - fraction) / target.scale
        zeros = offset / target.scale + target.zero_point
        rows += [
            _rescaling_constants(a * unit, b) for a, b in zip(scale.tolist(), zeros, strict=True)
        ]
    return rows


def _rescaling_constants(factor: float, zero: float) -> list[int]:
    """Return the multiplier, offset and shift that scale sums by `factor` and add `zero`."""
    offset = np.rint(np.clip(zero, -OFFSET_MAX, OFFSET_MAX) * FRACTION) + FRACTION // 2
    most = min(MOST_SHIFT, TERM_BITS + LEAST_SHIFT - int(abs(offset)).bit_length())
    shift = int(np.clip(30 - math.frexp(factor)[1], LEAST_SHIFT, most))
    mult = int(np.clip(np.rint(factor * 2.0**shift), -INT32_MAX, INT32_MAX))
    return [mult, int(offset), shift]


def _rescaling_fits(integers: FeaturesParams, site: QuantizeInputs) -> bool:
    """Return whether multipliers, offsets and shifts are possible results of
    `_rescaling_constants`, and rescaled sums stay in int64."""
    mult, offset, shift = integers.each.astype(np.int64).T
    bits = np.frexp(np.abs(offset).astype(np.float64))[1] + shift - LEAST_SHIFT
    inside = (shift >= LEAST_SHIFT) & (shift <= MOST_SHIFT) & (bits <= TERM_BITS)
    return bool((inside & (np.abs(mult) <= INT32_MAX)).all())


def integer(step: QuantizedNode, x: Array) -> Array:
    """Compute the features of x int8 or int16 [N, C, T] -> int8 or int16 [N, K, C]."""
    numbers, channels = step.integers, x.shape[1]
    centred = x.astype(np.int64) - numbers.x_zero
    sums = [
        row for group in numbers.groups.tolist() for row in _compute_sums(numbers, group, centred)
    ]
    rows = np.split(numbers.each.astype(np.int64), len(numbers.parts))
    results = []
    for acc, each in zip(sums, rows, strict=True):
        mult, offset, shift = each.reshape(channels, 3).T
        results.append(acc * mult + (offset << (shift - LEAST_SHIFT)) >> shift)
    low, high = step.element_type.low, step.element_type.high
    return np.asarray(np.clip(np.stack(results, axis=1), low, high), step.element_type.dtype)


def _compute_sums(numbers: FeaturesParams, group: Sequence[int], x: Array) -> list[Array]:
    """Return the sums of a group's features, shifted right by `down`; each is [N, C]."""
    start, rows, at, edge, edges = group
    parts, factor = numbers.parts[start : start + rows].tolist(), unpacked(numbers.factors[at])
    if edges:
        value = factor.of(x, positions((factor,), x.shape[-1]))
        cells = np.searchsorted(numbers.edges[edge : edge + edges], value, side="right")
        return [((first <= cells) & (cells < end)).sum(-1) for first, end, _ in parts]
    if factor.form == "ar":
        r = autocorrelations(x, factor.a[0])
        r[0] += int(factor.limit)
        return [predictor_in_integers(r)[part[0] - 1] for part in parts]
    ((first, count, down),) = parts
    own = [unpacked(row) for row in numbers.factors[first : first + count]]
    return [total(own, x) >> down]


def streaming_rule(at: OperandAxis) -> StreamingRule | None:
    return StreamingRule(0) if at.axis == 0 and at.operand == 0 else None


FEATURES = add_operator(
    name="features",
    attributes={
        "features": Values("sums over a window of the operand", _describe_features_of_windows)
    },
    doc="time-domain features: sums over windows of steps, products and tests of neighbours, "
    "bins of histograms, AR coefficients",
    shape=shape,
    real=real,
    integer=ByHand(integer),
    constants=Constants(
        quantize, kinds=(FeaturesParams,), learnt=Learnt({"each": INTEGERS_32}, _rescaling_fits)
    ),
    kernels=on_cluster(in_tiles, EITHER_WIDTH),
    weights=Weights((1, 2)),
    streaming_rule=streaming_rule,
)


TESTS = {"le": ("LessOrEqual", 0.5), "ge": ("GreaterOrEqual", -0.5)}


def _write_features(w: Writer, step: QuantizedNode, x: str) -> str:
    length, rows = step.shapes[0][2], []
    scale_of_x = w.params[step.operands[0]].scale
    for feature in features_of(step.attrs):
        if feature[0].form == "ar":
            rows.append(_write_predictor(w, feature[0].in_steps(scale_of_x), x, length, scale_of_x))
            continue
        count, product = positions(feature, length), ""
        for factor in feature:
            value = _write_factor(w, factor.in_steps(scale_of_x), x, count, scale_of_x)
            product = w.node("Mul", product, value) if product else value
        rows.append(w.node("ReduceSum", product, whole(w, 2), keepdims=0))
    stacked = w.node("Concat", *(w.node("Unsqueeze", row, whole(w, 1)) for row in rows), axis=1)
    scale, offset = (w.float_constant(name) for name in step.node.inputs[1:])
    return w.node("Add", w.node("Mul", stacked, scale), offset)


def _write_factor(w: Writer, factor: Factor, x: str, count: int, step: float) -> str:
    """Write a factor as ONNX nodes; a test compares with a value half a quantisation step beside
    its limit."""
    a = _select_taps(w, factor.a, x, count)
    if factor.form == "product":
        a = w.node("Mul", a, _select_taps(w, factor.b, x, count))
    elif factor.form != "value":
        a = w.node("Abs", a)
    if factor.form == "larger":
        a = w.node("Max", a, w.node("Abs", _select_taps(w, factor.b, x, count)))
    if not factor.test:
        return a
    test, apart = TESTS[factor.test]
    limit = number(w, (factor.limit + apart) * step**factor.degree)
    return w.cast(w.node(test, a, limit), "float32")


def _write_predictor(w: Writer, factor: Factor, x: str, length: int, step: float) -> str:
    """Write the Levinson-Durbin recursion as ONNX nodes, up to one final coefficient."""
    r, rows = list[str](), list[str]()
    for k in range(factor.a[0] + 1):
        taps = (_select_taps(w, (at, -1), x, length - k) for at in (0, k))
        r.append(w.node("ReduceSum", w.node("Mul", *taps), whole(w, 2), keepdims=0))
    # only a window of zeros has less energy
    energy = w.node("Add", r[0], number(w, factor.limit * step**2 + 2.0**-20 * step**2))
    for i in range(1, len(r)):
        ratio = r[i]
        for j, a in enumerate(rows, 1):
            ratio = w.node("Sub", ratio, w.node("Mul", a, r[i - j]))
        ratio = w.node("Div", ratio, energy)
        pairs = zip(rows, rows[::-1], strict=True)
        rows = [w.node("Sub", a, w.node("Mul", ratio, b)) for a, b in pairs] + [ratio]
        left = w.node("Sub", number(w, 1.0), w.node("Mul", ratio, ratio))
        energy = w.node("Mul", energy, left)
    return rows[factor.b[0] - 1]


def _select_taps(w: Writer, taps: tuple[int, int], x: str, count: int) -> str:
    parts = [
        w.node("Slice", x, whole(w, at), whole(w, at + count), whole(w, 2))
        for at in taps
        if at >= 0
    ]
    return w.node("Sub", *parts) if len(parts) == 2 else parts[0]


WRITE: Mapping[str, Write] = {"features": _write_features}
