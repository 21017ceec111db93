# SPDX-License-Identifier: Apache-2.0
"""ONNX files in the forms that exporters write beside the usual one: domains by their long name,
without an import of the default domain, GroupNormalization with a scale per group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import ModelProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.file import read_onnx
from myoedge.frontend.onnx.model import load_onnx
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from tests.support.onnx.models import saved
from tests.support.oracles.torch import evaluated

FLOAT = onnx.TensorProto.FLOAT
X = np.random.default_rng(0).standard_normal((1, 6, 8), np.float32)


def model(
    nodes: list[onnx.NodeProto], imports: list[tuple[str, int]], out: list[int], **constants: Any
) -> ModelProto:
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    ports = [helper.make_tensor_value_info(n, FLOAT, s) for n, s in (("x", [1, 6, 8]), ("y", out))]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], stored)
    opsets = [helper.make_opsetid(*one) for one in imports]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def loaded(made: ModelProto, folder: Path) -> Graph:
    return load_onnx(saved(made, folder)).graph


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
@pytest.mark.parametrize(
    "imports", [[("", 17)], [("ai.onnx", 17)], [("ai.onnx", 17), ("ai.onnx.ml", 3)]]
)
def test_the_default_domain_has_two_names(
    tmp_path: Path, domain: str, imports: list[tuple[str, int]]
) -> None:
    """In nodes, in the list of imports, and in a branch."""
    branch = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["z"], domain=domain)],
        "b", [], [helper.make_tensor_value_info("z", FLOAT, [1, 6, 4])],
    )  # fmt: skip
    nodes = [
        helper.make_node("If", ["c"], ["h"], domain=domain, then_branch=branch, else_branch=branch),
        helper.make_node("Relu", ["h"], ["y"], domain=domain),
    ]
    w = np.random.default_rng(1).standard_normal((8, 4), np.float32)
    graph = loaded(model(nodes, imports, [1, 6, 4], w=w, c=np.array(True)), tmp_path)
    np.testing.assert_allclose(evaluated(graph, [X])[0], np.maximum(X @ w, 0), atol=1e-5)


def trees() -> ModelProto:
    """A tree as onnxmltools writes XGBoost's: nothing imports the default domain."""
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml",
        nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[1, 0, 0],
        nodes_modes=["BRANCH_LT", "LEAF", "LEAF"], nodes_values=[0.25, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0], n_targets=1,
        target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0],
        target_weights=[-1.5, 2.0],
    )  # fmt: skip
    ports = [helper.make_tensor_value_info(n, FLOAT, s) for n, s in (("x", [1, 3]), ("y", [1, 1]))]
    graph = helper.make_graph([node], "g", ports[:1], ports[1:])
    imports = [helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


def test_a_file_of_trees_alone_imports_no_other_domain(tmp_path: Path) -> None:
    made = trees()
    onnx.checker.check_model(made)
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    graph = loaded(made, tmp_path)
    for value in (-1.0, 0.25, 1.0):
        x = np.array([[0.5, value, 0.0]], np.float32)
        np.testing.assert_array_equal(evaluated(graph, [x])[0], session.run(None, {"x": x})[0])


def test_an_operator_of_a_domain_that_nothing_imports_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    with pytest.raises(MyoedgeError, match="E120"):
        loaded(model(nodes, [("ai.onnx.ml", 3)], [1, 6, 8]), tmp_path)


def group_norm(opset: int, groups: int, count: int) -> tuple[ModelProto, Array, Array]:
    node = helper.make_node(
        "GroupNormalization", ["x", "s", "b"], ["y"], num_groups=groups, epsilon=1e-3
    )
    scale = np.linspace(0.5, 2.0, count, dtype=np.float32)
    bias = np.linspace(-1.0, 1.0, count, dtype=np.float32)
    return model([node], [("", opset)], [1, 6, 8], s=scale, b=bias), scale, bias


@pytest.mark.parametrize("opset", [18, 20])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_normalization_with_a_scale_per_group(
    tmp_path: Path, opset: int, groups: int
) -> None:
    made, scale, bias = group_norm(opset, groups, groups)
    rows = torch.from_numpy(X).reshape(1, groups, -1)
    wanted = torch.nn.functional.instance_norm(
        rows, weight=torch.from_numpy(scale), bias=torch.from_numpy(bias), eps=1e-3
    )
    found = evaluated(loaded(made, tmp_path), [X])[0]
    np.testing.assert_allclose(found, wanted.reshape(X.shape).numpy(), atol=2e-5)


def test_group_normalization_with_a_scale_per_channel(tmp_path: Path) -> None:
    made, _, _ = group_norm(21, 2, 6)
    wanted = ReferenceEvaluator(made).run(None, {"x": X})[0]
    np.testing.assert_allclose(evaluated(loaded(made, tmp_path), [X])[0], wanted, atol=2e-5)


def test_a_file_in_the_usual_form_is_read_as_it_is(tmp_path: Path) -> None:
    made = model([helper.make_node("Relu", ["x"], ["y"])], [("", 17)], [1, 6, 8])
    found, notes = read_onnx(saved(made, tmp_path))
    assert (found, notes) == (made, ())
