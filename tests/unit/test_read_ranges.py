# SPDX-License-Identifier: Apache-2.0
"""Ranges of what maxima are taken of, and weights of 8 bits that are rounded for the samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.frontend.torch.export import from_exported
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Calibration, InputArrays, Observer, calibrate
from myoedge.quantization.few_bits import with_rounded_weights


def graph_of(model: nn.Module, *shape: int) -> Graph:
    return prepare(from_exported(torch.export.export(model.eval(), (torch.zeros(shape),))))


def calibration(graph: Graph, samples: InputArrays) -> Calibration:
    return calibrate(graph, samples, Observer(), "drawn")


def test_what_a_maximum_discards_takes_no_range() -> None:
    """Against torch: the range of what a max pool gives, not of what it reads."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.MaxPool1d(4), nn.Conv1d(4, 2, 1))
    graph = graph_of(model, 1, 2, 66)
    x = np.random.default_rng(2).standard_normal((8, 1, 2, 66)).astype(np.float32)
    found = calibration(graph, {graph.inputs[0]: x})
    with torch.no_grad():
        read = model[0](torch.from_numpy(x[:, 0]))
        given = model[1](read)
    node = next(n for n in graph.nodes if n.op == "conv")
    low, high = found.ranges[node.name]
    assert low == pytest.approx(float(given.min()), rel=1e-3)
    assert high == pytest.approx(float(given.max()), rel=1e-3)
    assert float(read.min()) < 1.5 * low


def test_what_else_is_read_keeps_its_range() -> None:
    """A tensor that a sum reads beside a max pool, and one that is an output."""

    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.pool = nn.Conv1d(2, 4, 3), nn.MaxPool1d(4)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y = self.first(x)
            return self.pool(y), y.mean(-1)

    torch.manual_seed(1)
    graph = graph_of(Beside(), 1, 2, 66)
    x = np.random.default_rng(2).standard_normal((8, 1, 2, 66)).astype(np.float32)
    found = calibration(graph, {graph.inputs[0]: x})
    conv, pool = (next(n for n in graph.nodes if n.op == op) for op in ("conv", "max_pool"))
    assert found.ranges[conv.name][0] < found.ranges[pool.name][0]


def sums(w: Array, x: Array) -> Array:
    return np.asarray(x @ w.T)


def test_rounded_weights_of_8_bits_change_sums_less() -> None:
    """Integers times scales against the floats, by the vectors that are multiplied."""
    torch.manual_seed(4)
    graph = graph_of(nn.Linear(24, 6), 1, 24)
    rng = np.random.default_rng(5)
    x = rng.standard_normal((200, 1, 1)) + 0.1 * rng.standard_normal((200, 1, 24))
    x = x.astype(np.float32)  # inputs that go together
    node = next(n for n in graph.nodes if n.op == "linear")
    w = graph.array(node.inputs[1]).astype(np.float64)
    rounded = with_rounded_weights(graph, {graph.inputs[0]: x}, {node.name: 8})
    form = rounded.formats[node.inputs[1]]
    assert form.integers is not None
    ours = form.integers * np.array(form.scale)[:, None]
    step = np.abs(w).max(axis=1, keepdims=True) / 127
    errors = [
        np.sum((sums(q, x[:, 0]) - sums(w, x[:, 0])) ** 2) for q in (ours, np.rint(w / step) * step)
    ]
    assert errors[0] < 0.5 * errors[1]
    assert int(np.abs(form.integers).max()) <= 127
