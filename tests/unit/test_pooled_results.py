# SPDX-License-Identifier: Apache-2.0
"""Convolutions compute the results that their pools read; taps that read nothing but padding are
left out; pools of single elements, too: the floats are torch's."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.building.loading import load_model
from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.operators.interpreter import run_float
from myoedge.passes import prepare
from tests.conftest import save_exported

CASES = {
    # kernel, stride, padding, pool -> results that are computed along the last axis
    "one beyond": (nn.Conv1d(3, 4, 4, 1, 2), nn.MaxPool1d(8), 40, 40),
    "average": (nn.Conv1d(3, 4, 4, 1, 2), nn.AvgPool1d(8), 40, 40),
    "stride": (nn.Conv1d(3, 4, 5, 2, 4), nn.MaxPool1d(4), 40, 20),
    "all are read": (nn.Conv1d(3, 4, 3, 1, 1), nn.MaxPool1d(8), 40, 40),
    "no padding to leave out": (nn.Conv1d(3, 4, 3), nn.MaxPool1d(8), 40, 38),
    "a pool that reads its own padding": (nn.Conv1d(3, 4, 4, 1, 2), nn.MaxPool1d(8, 8, 4), 40, 41),
    "a window beyond": (nn.Conv1d(3, 4, 4, 1, 2), nn.MaxPool1d(8, ceil_mode=True), 40, 41),
}


def graph_of(layers: nn.Module, shape: tuple[int, ...], folder: Path) -> Graph:
    model = save_exported(layers.eval(), (torch.zeros(shape),), folder / "model.pt2")
    return load_model(model).graph


@pytest.mark.parametrize("name", CASES)
def test_results_that_a_pool_reads(tmp_path: Path, name: str) -> None:
    conv, pool, samples, computed = CASES[name]
    layers = nn.Sequential(conv, nn.ReLU(), pool)
    graph = graph_of(layers, (1, 3, samples), tmp_path)
    (node,) = (node for node in graph.nodes if node.op == "conv")
    assert graph.shape(node.name)[1] == computed
    x = np.random.default_rng(0).standard_normal((1, 3, samples)).astype(np.float32)
    found = run_float(graph, {graph.inputs[0]: x})[graph.outputs[0]]
    with torch.no_grad():
        np.testing.assert_allclose(found, layers(torch.from_numpy(x)), atol=1e-6)


def test_results_with_another_reader_stay(tmp_path: Path) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.pool = nn.Conv1d(3, 4, 4, 1, 2), nn.MaxPool1d(8)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y = self.conv(x)
            return self.pool(y), y.sum(-1)

    graph = graph_of(Both(), (1, 3, 40), tmp_path)
    (node,) = (node for node in graph.nodes if node.op == "conv")
    assert graph.shape(node.name)[1] == 41


@pytest.mark.parametrize("pool", [nn.MaxPool2d(1), nn.AvgPool2d((1, 1)), nn.MaxPool2d(1, 2)])
def test_pools_of_single_elements_are_left_out(tmp_path: Path, pool: nn.Module) -> None:
    graph = graph_of(nn.Sequential(nn.Conv2d(3, 4, 3), pool), (1, 3, 8, 9), tmp_path)
    has_pool = any(node.op.endswith("pool") for node in graph.nodes)
    assert has_pool == (pool.stride == 2)


# --- padding --------------------------------------------------------------------------------------


def kernel_of(model: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Extents of the kernel behind the passes, whose result is torch's."""
    torch.manual_seed(0)
    graph = prepare(from_exported(torch.export.export(model.eval(), (torch.zeros(shape),))))
    x = torch.randn(shape)
    y = run_float(graph, {graph.inputs[0]: x.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(y, model(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    (node,) = (node for node in graph.nodes if node.op == "conv")
    return graph.shape(node.inputs[1])[1:-1]


@pytest.mark.parametrize(
    ("image", "kernel", "padding", "left"),
    [((1, 1), (3, 3), (1, 1), (1, 1)), ((1, 9), (3, 3), (1, 1), (1, 3)),
     ((2, 2), (7, 5), (3, 2), (3, 3)), ((9, 9), (3, 3), (1, 1), (3, 3))],
)  # fmt: skip
def test_taps_that_read_no_pixel_are_left_out(
    image: tuple[int, int], kernel: tuple[int, int], padding: tuple[int, int], left: tuple[int, int]
) -> None:
    model = nn.Conv2d(2, 3, kernel, padding=padding)
    assert kernel_of(model, (1, 2, *image)) == left


def test_strides_and_holes() -> None:
    """Every tap that stays at an end reads the input in some window."""
    for length, taps, pad, step, stride in itertools.product(
        (1, 2, 5), (6,), (1, 4), (1, 2), (1, 3)
    ):
        reach = (taps - 1) * step + 1
        if length + 2 * pad < reach:
            continue
        model = nn.Conv1d(2, 3, taps, stride=stride, padding=pad, dilation=step)
        (left,) = kernel_of(model, (1, 2, length))
        windows = range(0, length + 2 * pad - reach + 1, stride)
        reading = [
            t for t in range(taps) if any(pad <= w + t * step < pad + length for w in windows)
        ]
        assert len(reading) <= left <= taps
