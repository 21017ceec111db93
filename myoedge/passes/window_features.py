# SPDX-License-Identifier: Apache-2.0
"""Patterns that find time-domain features: sums over a window of values of neighbouring samples.

The patterns match tests of samples written with slices: zero crossings, slope sign changes and
jumps. Features of one window that are concatenated become one operator, together with a scaler
after them: also waveform length and autocorrelations, which are faster as chains if they are alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import (
    NoMatch,
    attempt,
    behind,
    first_match,
    made_by,
    require,
    writer,
)
from myoedge.graph.rewrite import Rewrite, RewritePattern, joined_origins, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.features.factors import (
    MOST_FACTORS,
    TESTS,
    Factor,
    Feature,
    features_of,
    positions,
)
from myoedge.operators.graph_builder import GraphBuilder, concat, reshape, transpose

Taps = tuple[int, int]
MOST_DEPTH = 10  # maximum operators between the samples and a sum
PARTS = ("maximum", "mul", "slice", "sub", "table")


@dataclass(frozen=True)
class SampleWindow:
    """The tensor of samples from which features are computed, and its time axis."""

    graph: Graph
    source: str
    axis: int

    def taps(self, name: str, shift: int = 0, depth: int = 0) -> Taps:
        """Return the sample offsets that a slice of the window, or a difference of two slices,
        reads. Errors: NoMatch."""
        require(depth <= MOST_DEPTH)
        if name == self.source:
            return shift, -1
        node = writer(self.graph, name, "slice", "sub", plain=True)
        if node.op == "slice":
            return self.taps(node.inputs[0], shift + self._first_time_index(node), depth + 1)
        first, second = (self.taps(x, shift, depth + 1) for x in node.inputs)
        require(first[1] < 0, second[1] < 0)
        return first[0], second[0]

    def _first_time_index(self, node: Node) -> int:
        """Return the first index of a slice along the time axis. Errors: NoMatch if it cuts other
        axes or has a step."""
        cuts = [*node.attrs["cuts"]]
        first, _, step = cuts.pop(self.axis)
        others = [*self.graph.shape(node.inputs[0])]
        others.pop(self.axis)
        require(step == 1, cuts == [(0, n, 1) for n in others])
        return int(first)

    def factors(self, name: str, depth: int = 0) -> Feature:
        """Express the summand of a feature as a product of factors of samples.

        depth   operators between this tensor and the sum

        Errors: NoMatch.
        """
        require(depth <= MOST_DEPTH)
        rules = {
            "mul": self._match_product,
            "maximum": self._match_either,
            "table": self._match_function,
        }
        node = made_by(self.graph, name, *rules, plain=True)
        if node is not None:
            return rules[node.op](node, depth + 1)
        a = self.taps(name)
        return (Factor("value", a, a),)

    def _match_product(self, node: Node, depth: int) -> Feature:
        """Return the factors of a product: the tests on both sides, or one product of two samples.
        Errors: NoMatch."""
        tests = attempt(self._match_tests, node, depth)
        if tests is not None:
            return tests
        a, b = (self.taps(x) for x in node.inputs)
        return (Factor("product", a, b),)

    def _match_tests(self, node: Node, depth: int) -> Feature:
        tests = tuple(factor for x in node.inputs for factor in self.factors(x, depth))
        require(all(factor.test for factor in tests))
        return tests

    def _match_either(self, node: Node, depth: int) -> Feature:
        """Express (|a| >= c or |b| >= c) as the test max(|a|, |b|) >= c. Errors: NoMatch."""
        first, second = (self.factors(x, depth) for x in node.inputs)
        require(len(first) == len(second) == 1)
        a, b = first[0], second[0]
        require(a.form == b.form == "abs", a[3:] == b[3:], a.test in ("gt", "ge"))
        return (a._replace(form="larger", b=b.a),)

    def _match_function(self, node: Node, depth: int) -> Feature:
        factors = self.factors(node.inputs[0], depth)
        for call in node.attrs["chain"]:
            require(len(factors) == 1)
            factors = (_apply_pointwise_function(factors[0], *call),)
        return factors


def _apply_pointwise_function(factor: Factor, name: str, *numbers: float) -> Factor:
    """Apply a pointwise function (test, abs or square) to a factor. Errors: NoMatch for other
    functions."""
    require(not factor.test)
    if name in TESTS:
        return factor._replace(test=name, limit=float(numbers[0]))
    require(factor.form == "value", name in ("abs", "square"))
    return factor._replace(form="abs" if name == "abs" else "product")


def feature_of(graph: Graph, node: Node, least: int) -> tuple[SampleWindow, Feature]:
    """Match a sum or mean of a function of samples; return its window and its summand as a feature.

    least   minimum number of following samples that a factor reads
    Errors: NoMatch.
    """
    require(node.op in ("sum", "mean"), "act" not in node.attrs, len(node.attrs["axes"]) == 1)
    (axis,), name = node.attrs["axes"], node.inputs[0]
    sources = [name]
    while len(sources) <= MOST_DEPTH and (maker := made_by(graph, sources[-1], *PARTS)):
        sources.append(maker.inputs[0])
    windows = [(SampleWindow(graph, source, axis), name) for source in sources[::-1]]
    window, factors = first_match(lambda w, x: (w, w.factors(x)), windows)
    length, count = graph.shape(window.source)[axis], graph.shape(name)[axis]
    require(positions(factors, length) == count, max(f.reach for f in factors) >= least)
    require(len(factors) <= MOST_FACTORS, sum(not f.test for f in factors) < 2)
    return window, factors


def added(patch: GraphBuilder, window: SampleWindow, parts: Sequence[tuple[Feature, float]]) -> str:
    """Add a `features` operator on a window; return its result [N, K, C].

    parts   features with their factors
    """
    shape = window.graph.shape(window.source)
    last = len(shape) - 1
    perm = [*(d for d in range(last + 1) if d != window.axis), window.axis]
    lead = tuple(shape[d] for d in perm[:-1])
    channels = lead[-1] if lead else 1
    x = transpose(patch, window.source, perm)
    x = reshape(patch, x, (math.prod(lead[:-1]), channels, shape[window.axis]))
    scale = np.repeat([[number] for _, number in parts], channels, axis=1)
    numbers = patch.constant(scale), patch.constant(np.zeros_like(scale))
    return patch.add("features", x, *numbers, features=tuple(feature for feature, _ in parts))


def share(graph: Graph, node: Node) -> float:
    return 1.0 / graph.shape(node.inputs[0])[node.attrs["axes"][0]] if node.op == "mean" else 1.0


def _counts_tests(feature: Feature) -> bool:
    """Return whether a feature counts tests, which differences and products in int8 would decide
    less exactly, or is a coefficient of a predictor; a chain computes other sums faster."""
    return any(factor.test or factor.form == "ar" for factor in feature)


def are_bins(features: Sequence[Feature]) -> bool:
    """Return whether all features are tests of the same value (histogram bins), which the kernel
    counts in one pass."""
    tests = [f for feature in features for f in feature]
    return all(f.test for f in tests) and len({f[:3] for f in tests}) == 1


@rewrite_pattern("sum", "mean")
def feature_of_neighbours(graph: Graph, node: Node) -> Rewrite:
    """Replace a sum of tests of neighbouring samples by a `features` operator."""
    window, feature = feature_of(graph, node, least=1)
    require(_counts_tests(feature))
    patch = GraphBuilder(graph, node)
    y = added(patch, window, [(feature, share(graph, node))])
    return patch.same_as(reshape(patch, y, graph.shape(node.name)))


@dataclass(frozen=True)
class _FeaturePart:
    """An operand of a concat as features of a window, with factors and offsets [K, C]."""

    window: SampleWindow
    features: tuple[Feature, ...]
    numbers: tuple[Array, Array]


def _match_feature_part(graph: Graph, name: str, reader: Node) -> _FeaturePart:
    """Match an operand of a concat as features; also a sum of plain samples. Errors: NoMatch."""
    while (view := made_by(graph, name, "reshape", reader=reader)) is not None:
        name, reader = view.inputs[0], view
    node = writer(graph, name, "features", "sum", "mean", reader=reader)
    if node.op == "features":
        scale, offset = (graph.array(x) for x in node.inputs[1:])
        x, axis = node.inputs[0], 2
        return _FeaturePart(SampleWindow(graph, x, axis), features_of(node.attrs), (scale, offset))
    window, feature = feature_of(graph, node, least=0)
    shape = graph.shape(window.source)
    require(window.axis == len(shape) - 1)
    scale = np.full((1, shape[-2] if len(shape) > 1 else 1), share(graph, node), np.float32)
    return _FeaturePart(window, (feature,), (scale, np.zeros_like(scale)))


def _windows_are_equal(graph: Graph, a: _FeaturePart, b: _FeaturePart) -> bool:
    starts = [behind(graph, part.window.source, "reshape") for part in (a, b)]
    return starts[0] == starts[1] and a.numbers[0].shape[1] == b.numbers[0].shape[1]


@rewrite_pattern("concat")
def features_of_one_window(graph: Graph, node: Node) -> Rewrite:
    """Merge features of the same window that are adjacent in a concat into one operator."""
    parts = [attempt(_match_feature_part, graph, name, node) for name in node.inputs]
    for at, (a, b) in enumerate(itertools.pairwise(parts)):
        if a is None or b is None or not _windows_are_equal(graph, a, b):
            continue
        features = (*a.features, *b.features)
        if max(f.reach for feature in features for f in feature) == 0 and not are_bins(features):
            continue
        if not any(map(_counts_tests, features)):
            continue
        joined = attempt(_join_features, graph, node, at, a, b)
        if joined is not None:
            return joined
    raise NoMatch


def _join_features(graph: Graph, node: Node, at: int, a: _FeaturePart, b: _FeaturePart) -> Rewrite:
    axis, patch = node.attrs["axis"], GraphBuilder(graph, node)
    shapes = [graph.shape(name) for name in node.inputs[at : at + 2]]
    channels, count = a.numbers[0].shape[1], len(a.features) + len(b.features)
    inner = [math.prod(shape[axis:]) for shape in shapes]
    side_by_side = inner == [channels * len(part.features) for part in (a, b)]
    require(side_by_side or (inner == [1, 1] and count == 2))
    window = a.window if made_by(graph, a.window.source, "reshape") is None else b.window
    shape = graph.shape(window.source)
    x = reshape(patch, window.source, (math.prod(shape[:-2]), channels, shape[-1]))
    numbers = [
        patch.constant(np.concatenate(pair)) for pair in zip(a.numbers, b.numbers, strict=True)
    ]
    y = patch.add("features", x, *numbers, features=(*a.features, *b.features))
    y = y if side_by_side else transpose(patch, y, (0, 2, 1))
    sizes = shapes[0][axis] + shapes[1][axis]
    y = reshape(patch, y, (*shapes[0][:axis], sizes, *shapes[0][axis + 1 :]))
    names = (*node.inputs[:at], y, *node.inputs[at + 2 :])
    return patch.same_as(concat(patch, names, axis))


@rewrite_pattern("affine", "table")
def factor_of_features(graph: Graph, node: Node) -> Rewrite:
    """Fold a factor and an offset after a `features` operator into its own."""
    name, reader = node.inputs[0], node
    while (view := made_by(graph, name, "reshape", reader=reader)) is not None:
        name, reader = view.inputs[0], view
    features = writer(graph, name, "features", reader=reader)
    scale, offset = (graph.array(name).astype(np.float64) for name in features.inputs[1:])
    if node.op == "table":
        (name, *numbers), *rest = node.attrs["chain"]
        require(name == "affine", not rest)
        a, b = (np.full(scale.shape, number) for number in numbers)
    else:
        require(node.attrs["axis"] == len(graph.shape(node.name)) - 1, "act" not in node.attrs)
        a, b = (graph.array(name).astype(np.float64) for name in node.inputs[1:])
        require(a.size == scale.size)
        a, b = a.reshape(scale.shape), b.reshape(scale.shape)
    patch = GraphBuilder(graph, node)
    numbers = patch.constant(scale * a), patch.constant(offset * a + b)
    origin = joined_origins(features, node)
    y = patch.add("features", features.inputs[0], *numbers, **features.attrs, origin=origin)
    return patch.same_as(reshape(patch, y, graph.shape(node.name)))


@rewrite_pattern("affine")
def factor_of_parts(graph: Graph, node: Node) -> Rewrite:
    """Move a factor and an offset per channel after a concat to the concat's operands, if one of
    them is features."""
    join = writer(graph, node.inputs[0], "concat", reader=node)
    require(join.attrs["axis"] == node.attrs["axis"], "act" not in node.attrs)
    require(
        any(attempt(_match_feature_part, graph, name, join) is not None for name in join.inputs)
    )
    patch, axis = GraphBuilder(graph, node), node.attrs["axis"]
    ends = np.cumsum([graph.shape(name)[axis] for name in join.inputs])[:-1]
    numbers = [np.split(graph.array(name), ends) for name in node.inputs[1:]]
    parts = [
        patch.add("affine", name, patch.constant(a), patch.constant(b), axis=axis)
        for name, a, b in zip(join.inputs, *numbers, strict=True)
    ]
    return patch.same_as(concat(patch, parts, axis))


FIND_FEATURES: tuple[RewritePattern, ...] = (feature_of_neighbours,)
FOLD_FEATURES: tuple[RewritePattern, ...] = (
    features_of_one_window,
    factor_of_features,
    factor_of_parts,
)
