# SPDX-License-Identifier: Apache-2.0
"""Import of ai.onnx.ml's scalers, linear models and support vector machines."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.gather import gather
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.library.classifiers import classifier as svm_classifier
from myoedge.operators.library.classifiers import (
    linear,
    matrix,
    of_both_classes,
    rows_of,
    transformed,
    winner,
)
from myoedge.operators.library.classifiers import regressor as svm_regressor
from myoedge.operators.library.known_values import producer
from myoedge.operators.library.reductions import reduction
from myoedge.operators.norm.import_rows import normalized


def _values_per_feature(values: Any, usual: float, features: int) -> Array:
    """Return one value per feature from a list of values: one per feature, one for all features, or
    none (the default `usual`)."""
    given = np.asarray(values or [usual], np.float64)
    if given.size not in (1, features):
        raise ValueError(f"{given.size} numbers for {features} features")
    return np.broadcast_to(given, (features,))


def scaler(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import ONNX's Scaler: (x - offset) * scale for each feature of the last axis."""
    shape = d.shape(a["self"])
    scale = _values_per_feature(a["scale"], 1.0, shape[-1])
    offset = _values_per_feature(a["offset"], 0.0, shape[-1])
    factors = d.constant(scale), d.constant(-offset * scale)
    return d.add("affine", a["self"], *factors, axis=len(shape) - 1)


def normalizer(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import ONNX's Normalizer, which divides a row by its largest element (MAX), the sum of its
    magnitudes (L1) or its length (L2)."""
    x, kind = a["self"], a["norm"]
    rows_of(d, x, "Normalizer")
    if kind == "L2":
        return normalized(d, x, 1, 0.0)
    made = producer(d, x)
    if kind == "L1" and made is not None and made.op == "softmax" and made.attrs["axis"] == 1:
        return str(x)  # the sum of its row is 1 already
    row = {"MAX": reduction("max_pool"), "L1": reduction("sum", [("abs",)])}[kind]
    size = row(d, {"self": x, "dim": (1,), "keepdim": True}, (d.shape(x)[0], 1))
    return d.add("mul", x, d.add("table", size, chain=(("reciprocal",),)))


def linear_regressor(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import ONNX's LinearRegressor: weights times x, plus intercepts."""
    rows_of(d, a["self"], "LinearRegressor")
    weight = matrix(a["coefficients"], a["targets"])
    bias = np.asarray(a["intercepts"] or [0.0] * a["targets"], np.float64)
    return transformed(d, linear(d, a["self"], weight, bias), a["post_transform"])


def linear_classifier(d: GraphBuilder, a: Arguments, out: Any) -> tuple[str | None, str]:
    """Import ONNX's LinearClassifier; return the names of the predicted class index and of the
    scores of the classes."""
    _, features = rows_of(d, a["self"], "LinearClassifier")
    weight = np.asarray(a["coefficients"], np.float64).reshape(-1, features)
    bias = np.asarray(a["intercepts"] or [0.0] * len(weight), np.float64)
    kind, labels = a["post_transform"], a["classlabels_ints"] or a["classlabels_strings"]
    if len(weight) == 1 and len(labels) == 2:
        weight, bias, kind = of_both_classes(weight, bias, kind, is_share=True)
    elif len(weight) != (len(labels) or len(weight)):
        raise ValueError(f"scores of {len(weight)} classes, labels of {len(labels)}")
    y = linear(d, a["self"], weight, bias)
    return winner(d, y, a), transformed(d, y, kind)


def binarizer(d: GraphBuilder, a: Arguments, out: Any) -> str:
    return d.add("table", a["self"], chain=(("gt", a["threshold"]),))


def feature_vectorizer(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import ONNX's FeatureVectorizer, which concatenates the rows of inputs [N, n]."""
    sizes = [rows_of(d, x, "FeatureVectorizer")[1] for x in a["tensors"]]
    if sizes != [*a["inputdimensions"]]:
        raise ValueError(f"inputdimensions {a['inputdimensions']} for {sizes}")
    return d.add("concat", *a["tensors"], axis=1)


def extracted(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import ONNX's ArrayFeatureExtractor: elements of the last axis at constant positions."""
    shape, count = d.shape(a["self"]), math.prod(d.shape(a["index"]))
    columns = d.constant(d.array(a["index"]).reshape(-1))
    picks = {"self": a["self"], "index": columns, "dim": len(shape) - 1}
    return gather(d, picks, (*shape[:-1], count))


LABELS = "classlabels_ints=[], classlabels_strings=[], post_transform='NONE'"
SVM = "kernel_type='LINEAR', kernel_params=[], coefficients=[], support_vectors=[], rho=[0.0]"

ROWS = (
    ImportRow("affine", scaler, onnx="ai.onnx.ml.Scaler(self, *, offset=[], scale=[])"),
    ImportRow("mul", normalizer, onnx="ai.onnx.ml.Normalizer(self, *, norm='MAX')"),
    ImportRow(
        "linear",
        linear_regressor,
        onnx="ai.onnx.ml.LinearRegressor(self, *, coefficients=[], intercepts=[], targets=1, "
        "post_transform='NONE')",
    ),
    ImportRow(
        "linear argmax",
        linear_classifier,
        onnx=f"ai.onnx.ml.LinearClassifier(self, *, coefficients=[], intercepts=[], {LABELS})",
        all_results=True,
    ),
    ImportRow(
        "linear argmax",
        svm_classifier,
        onnx=f"ai.onnx.ml.SVMClassifier(self, *, {SVM}, prob_a=[], prob_b=[], "
        f"vectors_per_class=[], {LABELS})",
        all_results=True,
    ),
    ImportRow(
        "linear",
        svm_regressor,
        onnx=f"ai.onnx.ml.SVMRegressor(self, *, {SVM}, n_supports=0, one_class=0, "
        "post_transform='NONE')",
    ),
    ImportRow("table", binarizer, onnx="ai.onnx.ml.Binarizer(self, *, threshold=0.0)"),
    ImportRow(
        "concat",
        feature_vectorizer,
        onnx="ai.onnx.ml.FeatureVectorizer(*tensors, inputdimensions=[])",
    ),
    ImportRow(
        "slice take gather",
        extracted,
        onnx="ai.onnx.ml.ArrayFeatureExtractor(self, index: weights)",
    ),
)
