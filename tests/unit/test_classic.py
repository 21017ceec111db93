# SPDX-License-Identifier: Apache-2.0
"""Operators of ai.onnx.ml against onnxruntime: drawn models, and uses that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, NodeProto, helper

from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.model import load_onnx
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from tests.support.onnx.models import model, node, saved

FEATURES = 5
Rng = np.random.Generator


def ml(op: str, inputs: str = "x", outputs: str = "y", **attrs: Any) -> NodeProto:
    given = {key: value for key, value in attrs.items() if value is not None}
    return node(op, inputs, outputs, domain="ai.onnx.ml", **given)


def with_ml(*nodes: NodeProto, outputs: tuple[str, ...] = ("y",), version: int = 3) -> ModelProto:
    """A model of x [1, 5]; outputs of any type, as converters write them without a shape."""
    made = model(nodes, {"x": (1, FEATURES)}, outputs)
    made.opset_import.append(helper.make_opsetid("ai.onnx.ml", version))
    return made


def floats(values: Array) -> list[float]:
    return [float(np.float32(v)) for v in np.ravel(values)]


def theirs(made: ModelProto, x: Array) -> list[Any]:
    for value in made.graph.output:
        value.ClearField("type")
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, {"x": x}))


def attribute(made: NodeProto, name: str) -> Any:
    return next(a for a in made.attribute if a.name == name)


def agree(
    made: ModelProto,
    folder: Path,
    rng: Rng,
    spread: float = 2.0,
    atol: float = 2e-5,
    *,
    whole: bool = False,
) -> None:
    """The last result of theirs is ours, before and after the passes.

    spread   of the inputs     whole   whether they are whole numbers
    """
    graph = load_onnx(saved(made, folder)).graph
    for _ in range(5):
        x = rng.normal(0.0, spread, (1, FEATURES)).astype(np.float32)
        x = np.rint(x) if whole else x
        wanted = theirs(made, x)
        for found in (graph, prepare(graph)):
            values = run_float(found, {found.inputs[0]: x})
            mine = [values[name] for name in found.outputs]
            np.testing.assert_allclose(mine[-1], wanted[-1], rtol=2e-4, atol=atol)


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_normalizer(norm: str, tmp_path: Path) -> None:
    agree(with_ml(ml("Normalizer", norm=norm)), tmp_path, np.random.default_rng(0))


@pytest.mark.parametrize("norm", ["MAX", "L1"])
def test_normalizer_after_softmax(norm: str, tmp_path: Path) -> None:
    nodes = (node("Softmax", "x", "p", axis=1), ml("Normalizer", "p", norm=norm))
    agree(with_ml(*nodes), tmp_path, np.random.default_rng(0))


@pytest.mark.parametrize("seed", range(4))
def test_scaler(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    n = (FEATURES, 1)[seed % 2]
    attrs = {"offset": floats(rng.normal(size=n)), "scale": floats(rng.normal(size=n))}
    agree(with_ml(ml("Scaler", **attrs)), tmp_path, rng)


def linear(rng: Rng, kind: str) -> ModelProto:
    classes = int(rng.integers(2, 5))
    rows = 1 if classes == 2 and rng.integers(2) else classes
    node_ = ml(
        "LinearClassifier", "x", "label y", post_transform=kind,
        coefficients=floats(rng.normal(size=(rows, FEATURES))),
        intercepts=floats(rng.normal(size=rows)), classlabels_ints=[*range(classes)],
        multi_class=1,
    )  # fmt: skip
    return with_ml(node_, outputs=("label", "y"))


@pytest.mark.parametrize("kind", ["NONE", "SOFTMAX", "LOGISTIC"])
@pytest.mark.parametrize("seed", range(6))
def test_linear_classifier(seed: int, kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    agree(linear(rng, kind), tmp_path, rng)


@pytest.mark.parametrize("seed", range(4))
def test_linear_regressor(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    targets = 1 + seed
    attrs = {
        "coefficients": floats(rng.normal(size=(targets, FEATURES))),
        "intercepts": floats(rng.normal(size=targets)) if seed % 2 else None,
        "targets": targets,
    }
    agree(with_ml(ml("LinearRegressor", **attrs)), tmp_path, rng)


KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")


def machine(rng: Rng, kernel: str, kind: str = "NONE", **attrs: Any) -> NodeProto:
    classes = attrs.pop("classes", int(rng.integers(2, 5)))
    counts = rng.integers(1, 6, classes)
    n, pairs = int(counts.sum()), classes * (classes - 1) // 2
    return ml(
        "SVMClassifier", "x", "label y", kernel_type=kernel, post_transform=kind,
        kernel_params=[0.2, 0.5, 3.0], classlabels_ints=[*range(classes)],
        coefficients=floats(rng.normal(size=(classes - 1, n))), rho=floats(rng.normal(size=pairs)),
        support_vectors=floats(rng.normal(size=(n, FEATURES))),
        vectors_per_class=[int(c) for c in counts], **attrs,
    )  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("kind", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("seed", range(4))
def test_svm_classifier(kernel: str, seed: int, kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    made = machine(rng, kernel, kind, classes=(2, 2, 3, 4)[seed])
    agree(with_ml(made, outputs=("label", "y")), tmp_path, rng, 1.0)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("kernel", KERNELS)
def test_label_of_an_svm_is_by_votes(kernel: str, classes: int, tmp_path: Path) -> None:
    """Also of two classes, where the second score is the one that the first class wins by."""
    rng = np.random.default_rng(1)
    made = with_ml(machine(rng, kernel, classes=classes), outputs=("label",))
    agree(made, tmp_path, rng, 1.0)


@pytest.mark.parametrize("kind", ["NONE", "LOGISTIC", "SOFTMAX"])
def test_platts_probabilities_of_two_classes(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    made = machine(rng, "RBF", kind, classes=2, prob_a=[-1.3], prob_b=[0.2])
    # libsvm's iteration, which has a closed form for two classes, ends within 0.005 / 2
    agree(with_ml(made, outputs=("label", "y")), tmp_path, rng, 1.0, 0.0025)


@pytest.mark.parametrize("seed", range(3))
def test_coefficients_that_are_all_positive(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    made = machine(rng, "RBF", ("NONE", "LOGISTIC", "SOFTMAX")[seed], classes=2)
    at = attribute(made, "coefficients")
    at.floats[:] = [abs(v) for v in at.floats]
    agree(with_ml(made, outputs=("label", "y")), tmp_path, rng, 1.0)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kernel", KERNELS)
def test_svm_regressor(kernel: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    made = ml(
        "SVMRegressor", kernel_type=kernel, kernel_params=[0.3, 0.1, 2.0], n_supports=7,
        coefficients=floats(rng.normal(size=7)), rho=[0.3], one_class=seed,
        support_vectors=floats(rng.normal(size=(7, FEATURES))),
    )  # fmt: skip
    agree(with_ml(made), tmp_path, rng, 1.0)


def test_machines_without_support_vectors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kernel: dict[str, Any] = {"kernel_params": [0.0, 0.0, 0.0], "rho": [0.3]}
    made = ml("SVMRegressor", coefficients=floats(rng.normal(size=FEATURES)), **kernel)
    agree(with_ml(made), tmp_path, rng)
    made = ml(
        "SVMClassifier", "x", "label y", classlabels_ints=[0, 1, 2],
        coefficients=floats(rng.normal(size=(3, FEATURES))), **kernel,
    )  # fmt: skip
    agree(with_ml(made, outputs=("label", "y")), tmp_path, rng)


def test_features_side_by_side_and_picked(tmp_path: Path) -> None:
    """FeatureVectorizer, Binarizer, ArrayFeatureExtractor."""
    nodes = [
        ml("Binarizer", "x", "b", threshold=0.3),
        ml("FeatureVectorizer", "x b", "f", inputdimensions=[FEATURES, FEATURES]),
        ml("ArrayFeatureExtractor", "f columns", "y"),
    ]
    made = model(nodes, {"x": (1, FEATURES)}, constants={"columns": np.array([[7, 2, 9]])})
    made.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    agree(made, tmp_path, np.random.default_rng(0))


def loaded(made: ModelProto, folder: Path) -> Any:
    return load_onnx(saved(made, folder))


def test_labels_and_dictionaries_become_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = linear(rng, "SOFTMAX")
    count = len(attribute(made.graph.node[0], "classlabels_ints").ints)
    names = [f"g{i}".encode() for i in range(count)]
    cast = helper.make_node("Cast", ["label"], ["output_label"], to=7)
    made.graph.node.extend([cast, ml("ZipMap", "y", "output", classlabels_strings=names)])
    for value, name in zip(made.graph.output, ("output_label", "output"), strict=True):
        value.name = name
    found = loaded(made, tmp_path)
    assert [*found.graph.output_names] == ["output"]
    assert found.graph.shape(found.graph.outputs[0]) == (1, count)
    listed = ", ".join(f"g{i}" for i in range(count))
    assert f"scores are of the classes {listed}" in found.notes
    assert "output output_label is left out: the largest score is the class" in found.notes
    del made.graph.output[1]
    found = loaded(made, tmp_path)
    assert [*found.graph.output_names] == ["output_label"]
    assert found.graph.shape(found.graph.outputs[0]) == (1, count)


@pytest.mark.parametrize("classes", [2, 3])
def test_labels_stay_beside_scores_of_pairs(classes: int, tmp_path: Path) -> None:
    """The largest of them is no class: of two, the second is the score of the first."""
    made = with_ml(
        machine(np.random.default_rng(0), "RBF", classes=classes), outputs=("label", "y")
    )
    assert [*loaded(made, tmp_path).graph.output_names] == ["label_", "y"]


def refused(made: ModelProto, folder: Path) -> MyoedgeError:
    with pytest.raises(MyoedgeError) as caught:
        loaded(made, folder)
    return caught.value


def test_what_is_refused_says_why(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    several = machine(rng, "RBF", classes=3, prob_a=[1.0] * 3, prob_b=[0.0] * 3)
    cases = {
        "more than two classes": with_ml(several, outputs=("label", "y")),
        "post_transform PROBIT": linear(rng, "PROBIT"),
        "post_transform PROBIT (ai.onnx.ml.SVM": with_ml(
            machine(rng, "RBF", "PROBIT", classes=2), outputs=("label", "y")
        ),
        "ai.onnx.ml.DictVectorizer": with_ml(ml("DictVectorizer", string_vocabulary=[b"a"])),
    }
    for text, made in cases.items():
        error = refused(made, tmp_path)
        assert error.code == "E111"
        assert text in str(error)
        assert error.notice.tries


def test_numbers_that_do_not_go_together(tmp_path: Path) -> None:
    """Scores and labels, and support vectors of a class below 0."""
    rng = np.random.default_rng(0)
    labels = {"classlabels_ints": [0, 1, 2]}
    scores = ml(
        "LinearClassifier", "x", "label y", coefficients=floats(rng.normal(size=FEATURES)), **labels
    )
    several = machine(rng, "RBF", classes=2)
    counts = attribute(several, "vectors_per_class").ints
    counts[:] = [-2, sum(counts) + 2]
    for made in (scores, several):
        assert refused(with_ml(made, outputs=("label", "y")), tmp_path).code == "E119"


def test_classes_of_other_numbers_are_no_values(tmp_path: Path) -> None:
    """What computes with a label reads its number, which the position is not."""
    made = linear(np.random.default_rng(0), "NONE")
    labels = attribute(made.graph.node[0], "classlabels_ints")
    labels.ints[:] = [n + 1 for n in labels.ints]
    made.graph.node.append(helper.make_node("Cast", ["label"], ["f"], to=1))
    made.graph.node.append(helper.make_node("Add", ["y", "f"], ["z"]))
    made.graph.output[1].name = "z"
    assert "class labels other than 0, 1, 2" in str(refused(made, tmp_path))
