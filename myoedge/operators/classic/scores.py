# SPDX-License-Identifier: Apache-2.0
"""Scores of ai.onnx.ml's classifiers and regressors: sums, post-transforms, predicted class."""

from __future__ import annotations

from collections.abc import Sequence

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
