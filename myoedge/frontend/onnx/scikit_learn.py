# SPDX-License-Identifier: Apache-2.0
"""Files of skl2onnx: remedies in scikit-learn's terms, and the outputs of classifiers.
The outputs of ai.onnx.ml classifiers are replaced by scores, whose argmax is the class. Label
outputs are dropped if the model outputs scores too, otherwise replaced by scores; a ZipMap's
dictionaries are replaced by its input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from myoedge.frontend.onnx.fold import attributes_of
from myoedge.frontend.onnx.names import shown
from myoedge.frontend.refusals import Refusal

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

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
    found = (text for ops, text in ESTIMATORS if ops <= {*present} and ops & {*refused})
    advice = next(found, OTHERWISE)
    return [replace(refusal, instead=advice) for refusal in refusals]


ML = "ai.onnx.ml"
UNLEARNT = ("nodes_hitrates",)  # attributes with floats that do not affect results
CLASSIFIERS = ("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier")
PASSES = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")  # after a label
SHOWN_CLASSES = 12

Makers = Mapping[str, "NodeProto"]


class _LabelOutput(NamedTuple):
    """A label output: the tensor of scores whose argmax it is, and the node of class names."""

    scores: str
    classes: NodeProto


def without_labels(graph: GraphProto) -> list[str]:
    """Replace a classifier's outputs, class labels and dictionaries of scores, by scores; return
    notes for the user."""
    makers = {name: node for node in graph.node for name in node.output}
    notes: list[str] = []
    for value in graph.output:
        made = makers.get(value.name)
        if made is not None and (made.domain, made.op_type) == (ML, "ZipMap"):
            notes += _class_names_note(made)
            _replace_by_identity(made, made.input[0])
            value.type.Clear()
    kept = [value.name for value in graph.output if _classifier_label(value.name, makers) is None]
    for value in [*graph.output]:
        label = _classifier_label(value.name, makers)
        if label is None:
            continue
        notes += _class_names_note(label.classes)
        if _compares_class_pairs(label, kept, makers):
            continue
        if kept:
            notes.append(f"output {shown(value.name)} is left out: the largest score is the class")
            graph.output.remove(value)
        else:
            notes.append(f"output {shown(value.name)} is its scores: the largest is the class")
            _replace_by_identity(makers[value.name], label.scores)
            value.type.Clear()
    return [*dict.fromkeys(notes)]


def _replace_by_identity(node: NodeProto, source: str) -> None:
    """Replace a node by an Identity of the tensor `source`."""
    from onnx import helper

    node.CopyFrom(helper.make_node("Identity", [source], node.output[:1], name=node.name))


def _classifier_label(name: str, makers: Makers) -> _LabelOutput | None:
    """Return the classifier's label that a tensor is computed from by casts and lookups of class
    names; None for other tensors."""
    names: NodeProto | None = None
    while (node := makers.get(name)) is not None:
        if node.domain == ML and node.op_type in CLASSIFIERS and node.output[0] == name:
            return _LabelOutput(node.output[1], names or node)
        if node.op_type == "ArgMax" and names is not None:
            return _LabelOutput(node.input[0], names)
        if node.domain == ML and node.op_type in ("ArrayFeatureExtractor", "LabelEncoder"):
            names, name = node, node.input[node.op_type == "ArrayFeatureExtractor"]
        elif node.op_type in PASSES:
            name = node.input[0]
        else:
            return None
    return None


def _compares_class_pairs(label: _LabelOutput, kept: list[str], makers: Makers) -> bool:
    """Return whether a label cannot be replaced by its scores: they compare pairs of classes (SVM),
    so that their argmax is no class, and the model outputs no other scores.

    kept   names of the outputs that are kept
    """
    node = makers[label.scores]
    attrs = attributes_of(node)
    pairs = bool(sum(attrs.get("vectors_per_class", ()))) and not attrs.get("prob_a")
    sources = set()
    for name in kept:
        source = name
        while source in makers and makers[source].op_type in PASSES:
            source = makers[source].input[0]
        sources.add(source)
    return node.op_type == "SVMClassifier" and pairs and sources <= {label.scores}


def _class_names_note(node: NodeProto) -> Iterator[str]:
    """Yield a note that lists a classifier's class names in the order of the scores; or nothing."""
    if names := _class_names(node):
        more = ", .." if len(names) > SHOWN_CLASSES else ""
        listed = ", ".join(shown(x) for x in names[:SHOWN_CLASSES])
        yield f"scores are of the classes {listed}{more}"


def _class_names(node: NodeProto) -> tuple[str, ...]:
    """Return a classifier's class names; () if the classes are numbered from 0."""
    attrs = attributes_of(node)
    keys = ("classlabels_int64s", "classlabels_ints", "classlabels_strings", "values_strings")
    names = next((attrs[key] for key in keys if attrs.get(key)), ())
    return () if [*names] == [*range(len(names))] else tuple(map(str, names))


def class_names(graph: GraphProto) -> tuple[str, ...]:
    """Return the names of a model's classes, in the order of its scores; () if it has none.

    graph   the model's graph before `without_labels`
    """
    makers = {name: node for node in graph.node for name in node.output}
    for value in graph.output:
        label, node = _classifier_label(value.name, makers), makers.get(value.name)
        node = node if label is None else label.classes
        if node is not None and (names := _class_names(node)):
            return names
    return ()
