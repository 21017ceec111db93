# SPDX-License-Identifier: Apache-2.0
"""Maxima over padding with infinities, the k largest elements, and sums by index, against torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from tests.conftest import save_exported, thinned
from tests.support.oracles.torch import Net, agrees, seeded
from tests.unit.test_cell_steps import decibels

INF = float("inf")
X, IMAGE = seeded(1, 6, 12), seeded(1, 3, 8, 9)
PLACES = torch.tensor([0, 4, 0])

PADDED: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "pool": (lambda x: F.max_pool1d(F.pad(x - 9, (2, 1), value=-INF), 3, 2), X),
    "images": (lambda x: F.max_pool2d(F.pad(x - 9, (0, 1, 1, 0), value=-INF), 3, 2, 1), IMAGE),
    "unbatched": (lambda x: F.max_pool1d(F.pad(x[0] - 9, (2, 2), value=-INF), 4), X),
    "adaptive": (lambda x: F.adaptive_max_pool1d(F.pad(x - 9, (1, 2), value=-INF), 3), X),
    "one axis": (lambda x: F.pad(x - 9, (3, 2), value=-INF).amax(-1), X),
    "two axes": (lambda x: F.pad(x - 9, (1, 1, 2, 0), value=-INF).amax((2, 3)), IMAGE),
    "minimum": (lambda x: F.pad(x + 9, (3, 2), value=INF).amin(-1, keepdim=True), X),
    "softmax": (lambda x: F.pad(x, (3, 2), value=-INF).softmax(-1), X),
}
SUMS: dict[str, Callable[[Tensor], Tensor]] = {
    "index_add": lambda x: x.index_add(1, PLACES, x[:, :3]),
    "the last axis": lambda x: x.index_add(-1, PLACES, x[..., 2:5], alpha=-2),
    "into zeros": lambda x: torch.zeros(1, 5, 12).index_add(1, PLACES, x[:, 3:]),
    "logcumsumexp": lambda x: torch.logcumsumexp(4 * x, -1),
    "logcumsumexp, another axis": lambda x: torch.logcumsumexp(x, 1),
}


@pytest.mark.parametrize("name", PADDED)
def test_a_maximum_leaves_padding_with_infinities_out(name: str) -> None:
    function, x = PADDED[name]
    graph = agrees(Net(lambda net, x: function(x)), x)
    values = [node.attrs.get("value", 0.0) for node in graph.nodes]
    assert np.isfinite(values).all()


@pytest.mark.parametrize("name", SUMS)
def test_sums(name: str) -> None:
    agrees(Net(lambda net, x: SUMS[name](x)), X)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.pad(x, (1, 1), value=-INF),
        lambda x: F.pad(x, (1, 1), value=INF).amax(-1),
        lambda x: F.pad(x, (0, 0, 1, 1), value=-INF).amax(-1),
        lambda x: F.max_pool1d(F.pad(x, (0, 0, 1, 0), value=-INF), 3),
        lambda x: F.max_pool1d(F.pad(x, (2, 2), value=-INF), 3, dilation=2),
    ],
)
def test_infinities_that_are_left_are_refused(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(MyoedgeError, match=r"E112.* pads with (minus|plus) infinity"):
        agrees(Net(lambda net, x: function(x)), X)


@pytest.mark.parametrize("fill", [-1e4, -1e9])
def test_padding_far_below_all_values_needs_no_range(fill: float) -> None:
    def function(x: Tensor) -> Tensor:
        return F.max_pool1d(F.pad(x - 9, (2, 1), value=fill), 3, 2, ceil_mode=True)

    graph = agrees(Net(lambda net, x: function(x)), X)
    given = {graph.inputs[0]: seeded(16, *X.shape).numpy()}
    network = quantize_graph(graph, calibrate(graph, given, Observer(), ""))
    wanted = torch.stack([function(torch.as_tensor(x)) for x in given[graph.inputs[0]]])
    assert decibels(network, given, [wanted.numpy()])[0] > 40.0


def test_a_window_of_padding_alone_is_refused() -> None:
    with pytest.raises(MyoedgeError, match="a window that covers only padding"):
        agrees(Net(lambda net, x: F.max_pool1d(F.pad(x, (3, 0), value=-INF), 3)), X)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize(("k", "axis"), [(1, 1), (2, -1), (5, 1), (8, 2)])
def test_the_k_largest_elements(k: int, axis: int, largest: bool) -> None:
    """Values and places; also all elements of a row, one of which is its smallest."""

    def top(x: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.topk(x, k, axis, largest=largest))

    agrees(Net(lambda net, x: top(x)), X)
    agrees(Net(lambda net, x: top(x.sign() * x.abs().clamp(min=1))[0]), X)  # equal elements
    if k == 5:
        agrees(Net(lambda net, x: top(x[:, :5])), X)


def built(folder: Path, function: Callable[[Tensor], Tensor]) -> tuple[myoedge.Build, Any, Any]:
    """(build, what torch computes on the calibration samples, and the build's error there)."""
    model = save_exported(Net(lambda net, x: function(x)), (X,), folder / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((32, *X.shape), np.float32)
    build = myoedge.build(model, calib=calib, target="host", output=folder / "out")
    assert myoedge.validate(build).exact["host"]
    wanted = np.array([function(torch.from_numpy(x)).numpy() for x in calib])
    return build, wanted, wanted - np.array([build.run(x) for x in calib])


@pytest.mark.slow
def test_the_c_of_a_pool_rounds_its_input_alone(tmp_path: Path) -> None:
    build, _, error = built(tmp_path, lambda x: F.max_pool1d(F.pad(x, (2, 1), value=-INF), 3, 2))
    step = build.network.params[build.network.graph.inputs[0]].scale
    assert np.abs(error).max() <= 0.501 * step


@pytest.mark.parametrize(("function", "least_db"), thinned([
    (lambda x: torch.topk(x, 3, -1)[0], 35.0),
    (lambda x: x.index_add(1, PLACES, x[:, :3]), 33.0),
    (lambda x: torch.logcumsumexp(x, -1), 25.0),
], 3))  # fmt: skip
def test_their_c(tmp_path: Path, function: Callable[[Tensor], Tensor], least_db: float) -> None:
    _, wanted, error = built(tmp_path, function)
    assert 10 * np.log10(np.sum(wanted**2) / np.sum(error**2)) > least_db
