# SPDX-License-Identifier: Apache-2.0
"""Products of very many terms are sums of layers of fewer: the floats are torch's."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import run_float
from myoedge.passes import linear_layers, prepare
from tests.conftest import save_exported

MOST, PART = 24, 12  # in the place of sizes that would take long

LAYERS = {  # by their inputs' shape: with padding, strides and holes, along either axis
    "linear": (nn.Linear(37, 5), (3, 37)),
    "gelu": (nn.Sequential(nn.Linear(25, 4), nn.GELU()), (2, 25)),
    "conv1d": (nn.Conv1d(2, 5, 31, stride=2, padding=9, dilation=2), (1, 2, 80)),
    "mostly padding": (nn.Conv1d(1, 4, 29, padding=28, dilation=2), (1, 1, 5)),
    "rows": (nn.Conv2d(2, 4, (9, 3), padding=(4, 1), bias=False), (1, 2, 12, 7)),
    "both axes": (nn.Conv2d(7, 3, (5, 4), stride=(2, 1), dilation=(1, 2)), (1, 7, 9, 11)),
    "few terms": (nn.Linear(24, 5), (3, 24)),
}


def prepared(model: nn.Module, shape: tuple[int, ...]) -> Graph:
    return prepare(from_exported(torch.export.export(model.eval(), (torch.zeros(shape),))))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_layers, "MOST", MOST)
    monkeypatch.setattr(linear_layers, "PART", PART)


@pytest.mark.parametrize("name", LAYERS)
def test_parts_add_up_to_torchs_result(name: str) -> None:
    torch.manual_seed(0)
    model, shape = LAYERS[name]
    graph = prepared(model, shape)
    x = torch.randn(shape)
    y = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(y, model(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    products = [node for node in graph.nodes if node.op in ("linear", "conv")]
    terms = [math.prod(graph.shape(node.inputs[1])[1:]) for node in products]
    assert max(terms) <= PART or terms == [MOST]
    assert not any("act" in node.attrs for node in products)


def test_parts_are_exact_in_c(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model, shape = LAYERS["conv1d"]
    path = tmp_path / "model.pt2"
    save_exported(nn.Sequential(model, nn.ReLU()), (torch.zeros(shape),), path)
    x = np.random.default_rng(0).standard_normal((8, *shape)).astype(np.float32)
    build = myoedge.build(path, calib={"input": x}, output=tmp_path / "out")
    ops = [layer["op"] for layer in build.report["layers"]]
    assert ops.count("conv") > 1
    assert build.report["quantization"]["sqnr_db"] > 30.0
    assert myoedge.validate(build, on=("host",)).exact["host"]
