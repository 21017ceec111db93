# SPDX-License-Identifier: Apache-2.0
"""Scalers, linear models and support vector machines of ai.onnx.ml, built from existing
operators."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.import_rows import Arguments

PLAIN = "post_transform NONE, SOFTMAX or LOGISTIC: the class with the largest score is the same"


def rows_of(d: GraphBuilder, x: str, op: str) -> tuple[int, int]:
    """Return the number of rows and of features of x. Errors: Unsupported unless it has two axes.

    op   operator, for the message
    """
    if len(d.shape(x)) != 2:
        raise Unsupported(f"{op} of {list(d.shape(x))}", "Reshape to [rows, features] before it")
    rows, features = d.shape(x)
    return rows, features


def transformed(d: GraphBuilder, scores: str, kind: str) -> str:
    """Apply ONNX's attribute post_transform to scores [N, C]; return the result's name.

    kind   "NONE", "SOFTMAX" or "LOGISTIC"
    Errors: Unsupported for others.
    """
    if kind == "SOFTMAX":
        return d.add("softmax", scores, axis=1)
    if kind == "LOGISTIC":
        return d.add("table", scores, chain=(("sigmoid",),))
    if kind != "NONE":
        raise Unsupported(f"post_transform {kind}", PLAIN)
    return scores


def of_both_classes(
    weight: Array, bias: Array, kind: str, *, is_share: bool
) -> tuple[Array, Array, str]:
    """Return weights [2, n], biases [2] and post_transform for the scores of both classes of a
    binary classifier, as onnxruntime computes them.

    weight, bias   weights [1, n] and bias [1] of the second class
    kind           post_transform of the model
    is_share       whether the first class's score is 1 - score instead of -score, unless LOGISTIC
    """
    first = 0.0 if kind == "LOGISTIC" else float(is_share)
    both = np.concatenate([-weight, weight]), np.concatenate([first - bias, bias])
    return (*both, "NONE" if kind in ("SOFTMAX", "SOFTMAX_ZERO") else kind)


def linear(d: GraphBuilder, x: str, weight: Array, bias: Array) -> str:
    """Add x W^T + bias for x [N, n]; return the result's name.

    weight, bias   [K, n] and [K]
    """
    if not weight.shape[0] == bias.shape[0] or weight.shape[1] != d.shape(x)[1]:
        raise ValueError(f"weights {list(weight.shape)}, {bias.size} offsets for {d.shape(x)}")
    return d.add("linear", x, d.constant(weight), d.constant(bias))


def matrix(values: Sequence[float], rows: int) -> Array:
    """Return the values of an ONNX attribute as a matrix [rows, n], float64."""
    return np.asarray(values, np.float64).reshape(rows, -1)


def winner(d: GraphBuilder, scores: str, a: Arguments) -> str | None:
    """Add the index of the class with the largest score; return its name, or None if the model's
    classes are not 0, 1, 2 .."""
    if [*a["classlabels_ints"]] != [*range(len(a["classlabels_ints"]))] or a["classlabels_strings"]:
        return None
    return d.add("argmax", scores, axis=1, keepdim=False)


VANISHES = -16.0  # for smaller exponents the exponential is below 2**-23
COUPLED = (
    "SVC(probability=False), which decides by its own scores, or CalibratedClassifierCV around it"
)


def _add_kernel_values(d: GraphBuilder, x: str, vectors: Array, a: Arguments) -> str:
    """Add the kernel function of x [N, F] with each of `vectors` [n, F] -> [N, n]; any kernel
    except LINEAR."""
    gamma, constant, degree = (*a["kernel_params"], 0.0, 0.0, 3.0)[:3]
    if a["kernel_type"] == "RBF":
        return _add_radial_kernel(d, x, vectors, gamma)
    act = {"POLY": ("pow", float(degree)), "SIGMOID": ("tanh",)}.get(a["kernel_type"])
    if act is None:
        raise ValueError(f"kernel_type {a['kernel_type']}")
    y = linear(d, x, gamma * vectors, np.full(len(vectors), constant))
    return d.add("table", y, chain=(act,))


def _add_radial_kernel(d: GraphBuilder, x: str, vectors: Array, gamma: float) -> str:
    """Add the RBF kernel exp(-gamma |x - s|^2), with x and s relative to the mean of the support
    vectors, so that squares stay small."""
    if gamma <= 0.0:
        raise ValueError(f"gamma {gamma}")
    centre = vectors.mean(0)
    x = d.add("affine", x, d.constant(np.ones_like(centre)), d.constant(-centre), axis=1)
    vectors = vectors - centre
    products = linear(d, x, 2 * gamma * vectors, -gamma * np.square(vectors).sum(1))
    parts: dict[str, Any] = {
        "axes": (1,),
        "keepdim": True,
        "divisor": 1 / gamma,
        "centred": False,
        "root": False,
    }
    exponent = d.add("sub", products, d.add("variance", x, **parts))
    return d.add("table", exponent, chain=(("clamp", VANISHES, 0.0), ("exp",)))


def _add_decision_function(
    d: GraphBuilder, x: str, vectors: Array, a: Arguments, forms: Any
) -> str:
    """Add the decision function: weight [K, n] times the kernel values, plus bias [K]; for LINEAR,
    one linear layer on x.

    forms   (weight, bias)
    """
    weight, bias = forms
    if a["kernel_type"] == "LINEAR":
        return linear(d, x, weight @ vectors, bias)
    return linear(d, _add_kernel_values(d, x, vectors, a), weight, bias)


def _pair_weights(coefficients: Array, counts: list[int]) -> Array:
    """Return the weights [pairs, n] of the kernel values for each pair of classes (0, 1), (0, 2) ..
    (1, 2) ..

    coefficients   [classes - 1, n]: for class i against j > i in row j - 1, against j < i in row j
    counts         number of support vectors of each class
    """
    starts = [0, *itertools.accumulate(counts)]
    pairs = list(itertools.combinations(range(len(counts)), 2))
    weight = np.zeros((len(pairs), coefficients.shape[1]))
    for row, (i, j) in zip(weight, pairs, strict=True):
        first, second = (slice(starts[c], starts[c + 1]) for c in (i, j))
        row[first], row[second] = coefficients[j - 1, first], coefficients[i, second]
    return weight


def _add_class_votes(d: GraphBuilder, scores: str, classes: int) -> str:
    """Add the number of pairs that each class wins; class i wins pair (i, j) if its score is
    positive, otherwise j."""
    wins = d.add("table", scores, chain=(("gt", 0.0),))
    pairs = list(itertools.combinations(range(classes), 2))
    weight, bias = np.zeros((classes, len(pairs))), np.zeros(classes)
    for column, (i, j) in enumerate(pairs):
        weight[i, column], weight[j, column] = 1.0, -1.0
        bias[j] += 1.0
    return linear(d, wins, weight, bias)


def classifier(d: GraphBuilder, a: Arguments, out: Any) -> tuple[str | None, str]:
    """Import ONNX's SVMClassifier; return the names of the predicted class index and of the scores.

    There is one score per pair of classes; one per class if there are two classes, no support
    vectors, or probabilities.
    """
    rows_of(d, a["self"], "SVMClassifier")
    classes = len(a["classlabels_ints"]) or len(a["classlabels_strings"])
    counts, rho = [int(n) for n in a["vectors_per_class"]], np.asarray(a["rho"], np.float64)
    if not sum(counts):
        weight = matrix(a["coefficients"], classes)
        y = linear(d, a["self"], weight, np.full(classes, rho[0]))
        return winner(d, y, a), transformed(d, y, a["post_transform"])
    if len(counts) != classes or min(counts) < 0:
        raise ValueError(f"{classes} classes, {len(counts)} numbers of support vectors")
    vectors = matrix(a["support_vectors"], sum(counts))
    weight = _pair_weights(matrix(a["coefficients"], classes - 1), counts)
    if classes == 2:
        return _add_binary_scores(d, a, vectors, weight, rho)
    if a["prob_a"]:
        raise Unsupported("probabilities of more than two classes, which are solved for", COUPLED)
    y = _add_decision_function(d, a["self"], vectors, a, (weight, rho))
    return winner(d, _add_class_votes(d, y, classes), a), transformed(d, y, a["post_transform"])


def _add_binary_scores(
    d: GraphBuilder, a: Arguments, vectors: Array, weight: Array, rho: Array
) -> tuple[str | None, str]:
    """Add the scores of two classes: -s and s, or probabilities by Platt scaling."""
    rows, _ = d.shape(a["self"])
    if a["prob_a"]:
        steep, shift = a["prob_a"][0], a["prob_b"][0]
        weight = np.concatenate([-steep * weight, steep * weight])
        offsets = np.concatenate([-steep * rho - shift, steep * rho + shift])
        y = _add_decision_function(d, a["self"], vectors, a, (weight, offsets))
        shares = d.add("table", y, chain=(("sigmoid",),))
        return winner(d, y, a), transformed(d, shares, a["post_transform"])
    kind = a["post_transform"]
    weight, rho, kind = of_both_classes(weight, rho, kind, is_share=kind == "SOFTMAX")
    y = _add_decision_function(d, a["self"], vectors, a, (weight, rho))
    first = d.add("slice", y, cuts=((0, rows, 1), (1, 2, 1)))  # positive: the class wins
    return winner(d, _add_class_votes(d, first, 2), a), transformed(d, y, kind)


def regressor(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import ONNX's SVMRegressor, with result [N, 1]; a one-class SVM gives 1 inside and -1
    outside."""
    rows_of(d, a["self"], "SVMRegressor")
    rho, coefficients = np.asarray(a["rho"], np.float64)[:1], matrix(a["coefficients"], 1)
    if a["n_supports"]:
        vectors = matrix(a["support_vectors"], a["n_supports"])
        y = _add_decision_function(d, a["self"], vectors, a, (coefficients, rho))
    else:
        y = linear(d, a["self"], coefficients, rho)
    if a["one_class"]:
        return d.add("table", y, chain=(("gt", 0.0), ("affine", 2.0, -1.0)))
    return transformed(d, y, a["post_transform"])
