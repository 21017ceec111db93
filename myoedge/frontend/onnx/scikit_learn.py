# SPDX-License-Identifier: Apache-2.0
"""Remedies for files of skl2onnx in scikit-learn's terms: estimators, not ONNX operators."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from myoedge.frontend.refusals import Refusal

if TYPE_CHECKING:
    from onnx import ModelProto

PRODUCER = "skl2onnx"
# ONNX operators of a file, of which one is refused -> remedy; the first that are all there.
ESTIMATORS: tuple[tuple[frozenset[str], str], ...] = (
    (
        frozenset({"Imputer", "Pow"}),
        "StandardScaler instead of PowerTransformer: make_pipeline(StandardScaler(), ...)",
    ),
    (
        frozenset({"Imputer"}),
        "the pipeline without its imputer, as samples of a sensor have no gaps:\n"
        'steps = [x for x in pipeline if "Imputer" not in type(x).__name__]\n'
        "to_onnx(make_pipeline(*steps), features[:1])",
    ),
    (
        frozenset({"TopK", "TreeEnsembleRegressor"}),
        "GradientBoostingRegressor() instead of AdaBoostRegressor",
    ),
    (
        frozenset({"TopK"}),
        'SVC(kernel="rbf") or SVR() instead of an estimator that searches nearest neighbours, '
        "such as KNeighborsClassifier",
    ),
    (
        frozenset({"TreeEnsembleClassifier", "ArgMax", "Where", "Cast"}),
        "GradientBoostingClassifier() instead of AdaBoostClassifier",
    ),
    (
        frozenset({"ArrayFeatureExtractor", "Clip"}),
        'CalibratedClassifierCV(..., method="sigmoid") instead of method="isotonic"',
    ),
)
OTHERWISE = (
    "an estimator of docs/train-and-deploy/networks.md, such as LinearDiscriminantAnalysis, SVC or "
    "RandomForestClassifier, or this step on the host, before the network"
)


def in_terms_of_the_source(model: ModelProto, refusals: Sequence[Refusal]) -> Sequence[Refusal]:
    """Return the refusals of a file of skl2onnx with one remedy in scikit-learn's terms; refusals
    of other files are unchanged."""
    if model.producer_name != PRODUCER:
        return refusals
    present = {node.op_type for node in model.graph.node}
    refused = {refusal.target.rpartition(".")[2] for refusal in refusals}
    advice = _advice(present, refused)
    return [replace(refusal, instead=advice) for refusal in refusals]


def _advice(present: Collection[str], refused: Collection[str]) -> str:
    found = (text for ops, text in ESTIMATORS if ops <= {*present} and ops & {*refused})
    return next(found, OTHERWISE)
