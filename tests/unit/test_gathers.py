# SPDX-License-Identifier: Apache-2.0
"""Parts of tensors by computed indices of several axes, as torch and ONNX write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import myoedge
from myoedge.frontend.onnx.model import load_onnx
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from tests.conftest import save_exported
from tests.support.onnx.models import saved
from tests.support.oracles.torch import Net, agrees, randomized, seeded
from tests.support.refusals.models import drawn, ints, parsed

X = {"x": drawn(3, 5, 4)}
FROM_5, FROM_4 = np.array([[1], [-1], [0]]), np.array([[2], [0], [-2]])
PAIR = np.hstack([FROM_5, FROM_4])
BATCH = {"a": np.arange(3)[:, None]}
PAIRS = np.array([[[1], [-1]], [[0], [3]], [[2], [2]]])
ARGMAX = (
    "m = ArgMax<axis=2>(h) p = Slice(m, zero, two, one) k = Concat<axis=2>(a, p) y = GatherND(h, k)"
)

# Nodes behind h = Tanh(x), inputs besides x, constants.
MODELS: Mapping[str, tuple[str, Mapping[str, Array], Mapping[str, Any]]] = {
    "of each of a batch": ("k = Concat<axis=1>(a, i) y = GatherND(h, k)", {"i": FROM_5}, BATCH),
    "constants behind": ("k = Concat<axis=1>(i, a) y = GatherND(h, k)", {"i": FROM_5}, BATCH),
    "both": ("k = Concat<axis=1>(j, i) y = GatherND(h, k)", {"j": FROM_4, "i": FROM_5}, {}),
    "an input of two": ("y = GatherND(h, k)", {"k": np.array([[1, -1], [0, 3]])}, {}),
    "an input of all": ("y = GatherND(h, k)", {"k": np.array([[1, -1, 0], [0, 3, -2]])}, {}),
    "several of each": ("y = GatherND<batch_dims=1>(h, k)", {"k": PAIRS}, {}),
    "two of each": ("y = GatherND<batch_dims=1>(h, k)", {"k": PAIR}, {}),
    "constants of each": ("y = GatherND<batch_dims=1>(h, k)", {}, {"k": PAIRS}),
    "two constants of each": ("y = GatherND<batch_dims=1>(h, k)", {}, {"k": PAIR}),
    "of the largest": (
        ARGMAX,
        {},
        {"a": np.arange(3)[:, None, None] * np.ones((3, 2, 1), np.int64), "zero": ints(0),
         "two": ints(2), "one": ints(1)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_onnx(name: str, tmp_path: Path) -> None:
    body, more, constants = MODELS[name]
    inputs = {**X, **more}
    path = saved(parsed(f"h = Tanh(x) {body}", inputs, 18, constants), tmp_path)
    options = ort.SessionOptions()
    options.log_severity_level = 4  # outputs here declare shapes that are not theirs
    (wanted,) = ort.InferenceSession(str(path), options).run(None, dict(inputs))
    found = load_onnx(path).graph
    for graph in (found, prepare(found)):
        values = run_float(graph, {port: inputs[port] for port in graph.inputs})
        np.testing.assert_allclose(values[graph.outputs[0]], wanted, rtol=1e-5, atol=1e-6)


FIRST, SECOND = torch.tensor([0, 2]), torch.tensor([-1, 3])
TORCH: Mapping[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
    "of each of a batch": (lambda net, x, i: x.tanh()[torch.arange(2), i], (FIRST,)),
    "both computed": (lambda net, x, i, j: x.tanh()[:, i, j], (FIRST, SECOND)),
    "of the largest": (lambda net, x: x.tanh()[torch.arange(2)[:, None], x.argmax(-1)[:, :3]], ()),
    "a grid": (lambda net, x, i, j: x.tanh()[:, i[:, None], j], (FIRST, SECOND)),
    "beside a constant": (
        lambda net, x, i: x.tanh()[0].flatten()[torch.cat([i, torch.tensor([4, 1])])],
        (FIRST,),
    ),
    "types": (
        lambda net, x, i, j: x.tanh()[0].flatten()[torch.stack([i.long(), j], 1)],
        (FIRST.byte(), SECOND),
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch(name: str) -> None:
    function, indices = TORCH[name]
    agrees(Net(function), seeded(2, 5, 4), *indices)


@pytest.mark.parametrize("name", ["both computed", "of each of a batch"])
def test_builds(name: str, tmp_path: Path) -> None:
    function, indices = TORCH[name]
    x = seeded(8, 2, 5, 4)
    model = save_exported(Net(function).eval(), (x[0], *indices), tmp_path / "model.pt2")
    names = torch.export.load(model).graph_signature.user_inputs
    samples = [x, *(i.repeat(8, 1) for i in indices)]
    calib = {str(n): s.numpy() for n, s in zip(names, samples, strict=True)}
    build = myoedge.build(model, calib=calib, output=tmp_path / "out")
    assert all(myoedge.validate(build, on="host,simulator").exact[x] for x in ("host", "simulator"))
    found = build.run({port: values[0] for port, values in calib.items()})
    wanted = function(None, x[0], *indices)
    np.testing.assert_allclose(found, wanted.numpy(), atol=0.01)


# --- embeddings -----------------------------------------------------------------------------------


MATRIX = seeded(12, 20, seed=4)
Form = Callable[..., Tensor]


def one_hot(x: Tensor, n: int = 12) -> Tensor:
    return F.one_hot(x.argmax(-1), n).float()


@pytest.mark.parametrize(
    ("function", "inputs", "operators"),
    [
        (lambda net, x: net.linear(one_hot(x)), ((3, 9, 12),), {"argmax", "embedding"}),
        (lambda net, x: one_hot(x) @ MATRIX, ((3, 9, 12),), {"argmax", "embedding"}),
        (lambda net, x, rows: one_hot(x) @ rows, ((9, 12), (12, 20)), {"argmax", "gather"}),
        (
            lambda net, x, rows: one_hot(x) @ rows,
            ((1, 9, 12), (1, 12, 20)),
            {"argmax", "gather"},
        ),
    ],
)
def test_a_one_hot_times_a_matrix_reads_rows(
    function: Form, inputs: tuple[tuple[int, ...], ...], operators: set[str]
) -> None:
    net = randomized(Net(function, linear=nn.Linear(12, 20)))
    graph = agrees(net, *(seeded(*shape, seed=i) for i, shape in enumerate(inputs)))
    assert {node.op for node in graph.nodes} - {"reshape"} == operators


def test_products_of_a_matrix_for_each_stay() -> None:
    graph = agrees(Net(lambda net, x, rows: one_hot(x) @ rows), seeded(3, 9, 12), seeded(3, 12, 20))
    assert "matmul" in {node.op for node in graph.nodes}


def test_a_larger_table_stays_a_product() -> None:
    """1,000 rows of 2 that become 200: the table would be a hundred times as large."""
    table, matrix = seeded(1000, 2), seeded(2, 200)
    net = Net(lambda net, x: F.embedding(x.argmax(-1), table) @ matrix)
    graph = agrees(net, seeded(3, 1000))
    assert [node.op for node in graph.nodes] == ["argmax", "embedding", "linear"]


def test_a_function_of_a_single_entry_moves_into_the_table() -> None:
    graph = agrees(Net(lambda net, x: torch.tanh((x.argmax() == 3).float() - 0.3)), seeded(12))
    assert [node.op for node in graph.nodes] == ["argmax", "embedding"]
