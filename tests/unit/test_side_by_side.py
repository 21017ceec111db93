# SPDX-License-Identifier: Apache-2.0
"""Convolutions whose windows lie side by side: taps become channels, the results stay torch's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import myoedge
from myoedge.graph.ir import Graph
from myoedge.passes import prepare, prepare_whole
from tests.conftest import save_exported
from tests.unit.test_recurrent import imported, values

KINDS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def kernels(network: nn.Module, x: torch.Tensor) -> list[tuple[int, ...]]:
    """Kernels of the convolutions, their channels last; the results are equal to torch's."""
    graph = prepare_whole(prepare(imported(network, x)))
    (mine,), theirs = values(graph, x), network(x)
    np.testing.assert_allclose(mine, theirs.detach().numpy(), atol=1e-5)
    return _kernels(graph)


def _kernels(graph: Graph) -> list[tuple[int, ...]]:
    return [graph.shape(n.inputs[1])[1:] for n in graph.nodes if n.op == "conv"]


@pytest.mark.parametrize(
    ("conv", "shape", "kernel"),
    [
        (nn.Conv1d(1, 12, 20, stride=20), (1, 1, 400), (1, 20)),
        (nn.Conv1d(4, 12, 5, stride=5), (2, 4, 43), (1, 20)),
        (nn.Conv2d(3, 12, (5, 6)), (1, 3, 5, 6), (1, 1, 90)),
        (nn.Conv2d(3, 12, (5, 2), stride=(1, 2)), (1, 3, 5, 6), (5, 1, 6)),
        (nn.Conv2d(3, 12, 2, stride=2), (1, 3, 6, 6), (2, 1, 6)),
        (nn.Conv2d(1, 12, (3, 1), stride=(3, 1)), (1, 1, 9, 1), (1, 1, 3)),
        (nn.Conv2d(1, 12, (40, 16), stride=16), (1, 1, 40, 24), (1, 1, 640)),
        (nn.Conv1d(2, 12, 3, dilation=2), (1, 2, 5), (3, 2)),
        (nn.Conv1d(2, 12, 3, stride=2), (1, 2, 9), (3, 2)),
        (nn.Conv1d(2, 12, 3, stride=3, padding=1), (1, 2, 9), (3, 2)),
        (nn.Conv1d(4, 12, 3, stride=3, groups=2), (1, 4, 9), (3, 2)),
    ],
    ids=str,
)
def test_taps_become_channels(
    conv: nn.Module, shape: tuple[int, ...], kernel: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    assert kernels(conv, torch.randn(shape)) == [kernel]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3),
    *(st.lists(st.integers(1, 5), min_size=3, max_size=3) for _ in range(3)),
    *(st.integers(1, 3) for _ in range(2)),
)
def test_results_are_those_of_torch(
    rank: int, taps: list[int], strides: list[int], windows: list[int], c: int, n: int
) -> None:
    torch.manual_seed(0)
    conv = KINDS[rank - 1](c, 4, taps[:rank], stride=strides[:rank])
    sides = (r + s * (w - 1) for r, s, w in zip(taps, strides, windows, strict=True))
    kernels(conv, torch.randn(n, c, *[*sides][:rank]))


@pytest.mark.parametrize("engine", ["auto", "cores"])
def test_they_are_exact_on_host_and_simulator(engine: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 24, (4, 5), stride=5), nn.ReLU(), nn.Conv2d(24, 10, (1, 8)), nn.Flatten()
    )
    x = torch.randn(1, 1, 4, 42)
    model = save_exported(network.eval(), (x,), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((16, *x.shape)).astype(np.float32)
    build = myoedge.build(
        model, calib=calib, output=tmp_path / "out", engine=engine, simulate=False
    )
    exact = myoedge.validate(build, on=("host", "simulator")).exact
    assert all(exact[name] for name in ("host", "simulator"))
