# SPDX-License-Identifier: Apache-2.0
"""Linear layers on rotations of rows, as accelerators have them: overlapping windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from myoedge.operators.base import OPS
from myoedge.passes import prepare_for_accelerator
from tests.support.oracles.torch import Net, agrees, close, evaluated, seeded

pytestmark = pytest.mark.filterwarnings("ignore")

Made = Callable[[Tensor], Tensor]


def rotated(shifts: Sequence[int], x: Tensor) -> Tensor:
    return torch.stack([x.roll(by, 2) for by in shifts], 2).flatten(3)


def network(shifts: Sequence[int], result: Made = lambda y: y.mean(2)) -> nn.Module:
    layer = nn.Sequential(nn.Linear(15, 7), nn.ReLU())
    return Net(lambda self, x: result(self.layer(rotated(shifts, x * x))), layer=layer)


@pytest.mark.parametrize("shifts", [(-1, 0, 1), (0, 1), (2, 1, 0), (-2, -1, 0, 1)])
def test_the_mean_over_rotations_is_that_over_windows(shifts: tuple[int, ...]) -> None:
    """torch computes it; two slices at most and a join take the place of a copy a rotation."""
    x, model = seeded(4, 1, 5, 3), network(shifts)
    graph = prepare_for_accelerator(agrees(model, x))
    kept = [node.op for node in graph.nodes if not OPS[node.op].view]
    sides = (min(shifts) < 0) + (max(shifts) > 0)
    assert kept == ["mul", *["slice"] * sides, "concat", "conv", "mean"]
    (found,) = evaluated(graph, [x.numpy()])
    with torch.no_grad():
        close(found, np.asarray(model(x)), 1e-5)


@pytest.mark.parametrize(
    ("shifts", "result"),
    [
        ((-1, 1), lambda y: y.mean(2)),  # windows that are no neighbours
        ((1, 2), lambda y: y.mean(2)),  # none of them the input itself
        ((0, 0, 1), lambda y: y.mean(2)),
        ((-1, 0, 1), lambda y: y),  # an order that somebody sees
        ((-1, 0, 1), lambda y: y.mean(1)),
    ],
)
def test_other_rotations_stay_linear_layers(shifts: tuple[int, ...], result: Made) -> None:
    graph = agrees(network(shifts, result), seeded(4, 1, 5, 3))
    assert prepare_for_accelerator(graph) is graph


def test_a_joined_vector_is_no_rotation() -> None:
    x, model = (
        seeded(4),
        Net(lambda self, x: self.layer(torch.cat([x, x.tanh()], 0)), layer=nn.Linear(8, 3)),
    )
    graph = prepare_for_accelerator(agrees(model, x))
    assert "conv" not in [node.op for node in graph.nodes]
