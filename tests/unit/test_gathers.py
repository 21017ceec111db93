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
from torch import Tensor

import myoedge
from myoedge.frontend.onnx.model import load_onnx
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from tests.conftest import save_exported
from tests.support.onnx.models import saved
from tests.support.oracles.torch import Net, agrees, seeded
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
