# SPDX-License-Identifier: Apache-2.0
"""Tree ensembles of ai.onnx.ml against onnxruntime: drawn ones, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, numpy_helper

from myoedge.errors import MyoedgeError
from tests.support.onnx.models import model
from tests.unit.test_classic import (
    FEATURES,
    Rng,
    agree,
    attribute,
    floats,
    loaded,
    ml,
    refused,
    with_ml,
)

ORDERED = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT")


class Drawn:
    """Lists of nodes and of leaves' numbers, as the file has them."""

    def __init__(self, rng: Rng, modes: tuple[str, ...], whole: bool = False) -> None:
        self.rng, self.modes, self.whole = rng, modes, whole
        self.nodes: list[tuple[Any, ...]] = []
        self.leaves: list[tuple[Any, ...]] = []

    def tree(self, number: int, depth: int, results: list[int]) -> None:
        """A root and what lies below it."""
        ids = itertools.count()
        self._grow(number, next(ids), depth, results, ids)

    def _grow(self, tree: int, own: int, depth: int, results: list[int], ids: Any) -> None:
        rng = self.rng
        if depth == 0 or rng.random() < 0.15:
            self.nodes.append((tree, own, 0, "LEAF", 0.0, 0, 0))
            chosen = rng.permutation(results)[: int(rng.integers(1, len(results) + 1))]
            self.leaves += [(tree, own, int(k), float(rng.normal())) for k in chosen]
            return
        value = float(rng.integers(-2, 3)) if self.whole else float(np.float32(rng.normal()))
        yes, no = next(ids), next(ids)
        mode = self.modes[int(rng.integers(len(self.modes)))]
        self.nodes.append((tree, own, int(rng.integers(FEATURES)), mode, value, yes, no))
        self._grow(tree, yes, depth - 1, results, ids)
        self._grow(tree, no, depth - 1, results, ids)

    def attributes(self, what: str) -> dict[str, Any]:
        names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids")
        nodes = zip((*names, "falsenodeids"), zip(*self.nodes, strict=True), strict=True)
        ends = zip(
            ("treeids", "nodeids", "ids", "weights"), zip(*self.leaves, strict=True), strict=True
        )
        lists = {f"nodes_{name}": [*values] for name, values in nodes}
        return lists | {f"{what}_{name}": [*values] for name, values in ends}


def drawn(
    rng: Rng, results: list[int], modes: tuple[str, ...] = ORDERED, whole: bool = False
) -> Drawn:
    made = Drawn(rng, modes, whole)
    for number in range(int(rng.integers(1, 9))):
        made.tree(number, int(rng.integers(5)), results)
    return made


def of_classes(rng: Rng, kind: str, results: list[int], count: int, **more: Any) -> NodeProto:
    lists = drawn(rng, results, **more).attributes("class")
    size = count if len(results) > 1 else 1
    base = floats(rng.normal(size=size)) if rng.integers(2) and results != [1] else None
    labels = [*range(count)]
    return ml(
        "TreeEnsembleClassifier", "x", "label y", post_transform=kind, base_values=base,
        classlabels_int64s=labels, **lists,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["NONE", "SOFTMAX", "LOGISTIC"])
@pytest.mark.parametrize("seed", range(8))
def test_classifier(seed: int, kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 6))
    made = of_classes(rng, kind, [*range(count)], count)
    agree(with_ml(made, outputs=("label", "y")), tmp_path, rng, 1.0)


@pytest.mark.parametrize("kind", ["NONE", "SOFTMAX", "LOGISTIC"])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_two_classes_with_one_score(seed: int, positive: bool, kind: str, tmp_path: Path) -> None:
    """Of the first class: it is the second one's, and the first has the rest. Of the second class:
    the first has none."""
    rng = np.random.default_rng(seed)
    made = of_classes(rng, kind, [seed % 2], 2)
    weights = attribute(made, "class_weights")
    if positive:
        weights.floats[:] = [abs(v) for v in weights.floats]
    agree(with_ml(made, outputs=("label", "y")), tmp_path, rng, 1.0)


@pytest.mark.parametrize("seed", range(6))
def test_comparisons_for_equality(seed: int, tmp_path: Path) -> None:
    """Features are whole numbers, as categories are."""
    rng = np.random.default_rng(seed)
    modes = ("BRANCH_EQ", "BRANCH_NEQ", "BRANCH_LT", "BRANCH_GTE")
    made = of_classes(rng, "NONE", [0, 1, 2], 3, modes=modes, whole=True)
    agree(with_ml(made, outputs=("label", "y")), tmp_path, rng, 1.0, whole=True)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_regressor(seed: int, average: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    targets = int(rng.integers(1, 4))
    lists = drawn(rng, [*range(targets)]).attributes("target")
    made = ml(
        "TreeEnsembleRegressor", n_targets=targets, **lists,
        base_values=floats(rng.normal(size=targets)) if seed % 2 else None,
        aggregate_function="AVERAGE" if average else "SUM",
    )  # fmt: skip
    agree(with_ml(made), tmp_path, rng, 1.0)


def test_numbers_in_tensors_of_doubles(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    lists = drawn(rng, [0, 1]).attributes("target")
    plain = ml("TreeEnsembleRegressor", n_targets=2, **lists)
    for name in ("nodes_values", "target_weights"):
        array = np.array(lists.pop(name), np.float64)
        lists[f"{name}_as_tensor"] = numpy_helper.from_array(array)
    made = ml("TreeEnsembleRegressor", n_targets=2, **lists)
    graphs = [loaded(with_ml(each), tmp_path).graph for each in (plain, made)]
    for a, b in zip(*(graph.arrays.values() for graph in graphs), strict=True):
        np.testing.assert_array_equal(a, b)


def whole_ensemble(**changed: Any) -> ModelProto:
    """TreeEnsemble of opset 5, two trees: the second one asks whether a feature is in a set."""
    lists: dict[str, Any] = {
        "nodes_splits": np.array([0.5, -0.3, 1.0], np.float32),
        "nodes_modes": np.array([0, 1, 6], np.uint8),
        "membership_values": np.array([-1.0, 1.0, 2.0, np.nan], np.float32),
        "leaf_weights": np.array([1.0, -2.0, 0.5, 3.0, 4.0], np.float32),
    }
    numbers: dict[str, Any] = {
        "nodes_featureids": [0, 1, 2], "nodes_truenodeids": [1, 0, 3], "nodes_trueleafs": [0, 1, 1],
        "nodes_falsenodeids": [2, 1, 4], "nodes_falseleafs": [1, 1, 1],
        "leaf_targetids": [0, 1, 1, 0, 1], "tree_roots": [0, 2], "n_targets": 2,
        "aggregate_function": 1, "post_transform": 0,
    }  # fmt: skip
    tensors = {name: numpy_helper.from_array(value) for name, value in lists.items()}
    return with_ml(ml("TreeEnsemble", **{**tensors, **numbers, **changed}), version=5)


@pytest.mark.parametrize("aggregate", [0, 1])
def test_ensemble_of_opset_5(aggregate: int, tmp_path: Path) -> None:
    made = whole_ensemble(aggregate_function=aggregate)
    agree(made, tmp_path, np.random.default_rng(0), 1.0, whole=True)


def test_missing_values_change_nothing_for_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    made = of_classes(rng, "NONE", [0, 1, 2], 3)
    count = len(attribute(made, "nodes_modes").strings)
    tracks = onnx.helper.make_attribute("nodes_missing_value_tracks_true", [1] * count)
    made.attribute.append(tracks)
    agree(with_ml(made, outputs=("label", "y")), tmp_path, rng, 1.0)


def test_what_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lists = drawn(rng, [0]).attributes("target")
    cases = {
        "aggregate_function MIN": with_ml(
            ml("TreeEnsembleRegressor", aggregate_function="MIN", **lists)
        ),
        "1,099,511,627,776 results": with_ml(ml("TreeEnsembleRegressor", n_targets=2**40, **lists)),
        "aggregate_function 3": whole_ensemble(aggregate_function=3),
        "post_transform SOFTMAX_ZERO": whole_ensemble(post_transform=3),
        "post_transform PROBIT": with_ml(
            of_classes(rng, "PROBIT", [0, 1, 2], 3), outputs=("label", "y")
        ),
    }
    for text, made in cases.items():
        error = refused(made, tmp_path)
        assert error.code == "E111"
        assert text in str(error)
        assert error.notice.tries


def stump(feature: int = 0, **more: Any) -> NodeProto:
    """A tree of one test."""
    made = Drawn(np.random.default_rng(0), ORDERED)
    ends = [(0, at, 0, "LEAF", 0.0, 0, 0) for at in (1, 2)]
    made.nodes = [(0, 0, feature, "BRANCH_LEQ", 0.5, 1, 2), *ends]
    made.leaves = [(0, 1, 0, 1.0), (0, 2, 0, -2.0)]
    return ml("TreeEnsembleRegressor", **{**made.attributes("target"), **more})


def chain(nodes: int) -> NodeProto:
    """A tree of which every test has a leaf."""
    made = Drawn(np.random.default_rng(0), ORDERED)
    for at in range(0, 2 * nodes, 2):
        made.nodes.append((0, at, 0, "BRANCH_LEQ", float(at), at + 1, at + 2))
        made.nodes.append((0, at + 1, 0, "LEAF", 0.0, 0, 0))
        made.leaves.append((0, at + 1, 0, float(at)))
    made.nodes.append((0, 2 * nodes, 0, "LEAF", 0.0, 0, 0))
    return ml("TreeEnsembleRegressor", **made.attributes("target"))


@pytest.mark.parametrize(
    ("code", "text", "made"),
    [
        ("E111", "40,000 features", stump(39_999)),
        ("E111", "a tree of more than 32,768 nodes", chain(32_769)),
        ("E111", "20,000 results of 2 leaves", stump(n_targets=20_000)),
        ("E111", f"{2**40:,} results", stump(n_targets=2**40)),
        ("E119", "0 results", stump(n_targets=0)),
        ("E119", "an index below 0", stump(target_ids=[0, -1], n_targets=2)),
    ],
)
def test_more_than_the_kernel_can_number_is_refused(
    code: str, text: str, made: NodeProto, tmp_path: Path
) -> None:
    """16 bits of a node hold its feature, links and results."""
    whole = model([made], {"x": (1, 40_000 if "features" in text else FEATURES)}, ("y",))
    whole.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    error = refused(whole, tmp_path)
    assert error.code == code
    assert text in str(error)


def outcome(made: ModelProto, folder: Path) -> str:
    try:
        loaded(made, folder)
    except MyoedgeError as error:
        return error.code
    return "read"


@pytest.mark.parametrize("seed", range(40))
def test_damaged_lists_are_refused(seed: int, tmp_path: Path) -> None:
    """Nodes that are missing, in a circle, or of a feature that is not there; never a crash."""
    rng = np.random.default_rng(seed)
    made = of_classes(rng, "NONE", [0, 1, 2], 3)
    lists = [a for a in made.attribute if len(a.ints) > 1]
    chosen = lists[int(rng.integers(len(lists)))]
    at = int(rng.integers(len(chosen.ints)))
    if rng.integers(2):
        chosen.ints[at] = int(rng.choice([-1, 0, 1, 7, 2**31, 2**40]))
    else:
        del chosen.ints[at]
    found = outcome(with_ml(made, outputs=("label", "y")), tmp_path)
    assert found in ("read", "E111", "E112", "E119")
