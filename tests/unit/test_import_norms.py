# SPDX-License-Identifier: Apache-2.0
"""Norms, variances and lengths in every form that exporters give them, against torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from myoedge.frontend.torch.export import from_exported
from tests.support.oracles.torch import (
    X1,
    X2,
    Case,
    case,
    check_forms,
    close,
    evaluated,
    module,
    seeded,
)

LONG = seeded(1, 3, 1200)


def centred_by_hand(x: Tensor) -> Tensor:
    middle = x.mean(1, keepdim=True)
    return (x - middle) / torch.sqrt((x - middle).pow(2).mean(1, keepdim=True) + 1e-6)


def scores(x: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6)


def phasors(x: Tensor) -> Tensor:
    """Real and imaginary parts by the amplitude."""
    return x / (x[..., 0] ** 2 + x[..., 1] ** 2 + 1e-6).sqrt().unsqueeze(-1)


# Case, and the operators that it becomes in every form, transposes and reshapes aside.
CASES: tuple[tuple[Case, str], ...] = (
    (module("group", nn.GroupNorm(2, 6), X1), "group_norm"),
    (module("group_plain", nn.GroupNorm(3, 6, affine=False), X1), "group_norm"),
    (module("group_of_maps", nn.GroupNorm(2, 4), X2), "group_norm"),
    (module("instance", nn.InstanceNorm1d(6), X1), "group_norm"),
    (module("instance_affine", nn.InstanceNorm2d(4, affine=True), X2), "group_norm"),
    (module("layer_long", nn.LayerNorm(1200), LONG), "group_norm"),
    (module("layer_of_two_axes", nn.LayerNorm((3, 1200)), LONG), "group_norm"),
    (
        case(
            "between_convolutions",
            lambda net, x: net.d(F.relu(net.n(net.c(x)))),
            X1,
            c=nn.Conv1d(6, 8, 3),
            d=nn.Conv1d(8, 4, 3),
            n=nn.GroupNorm(4, 8),
        ),
        "conv group_norm conv",
    ),
    (case("unit_long", lambda x: F.normalize(x, dim=-1), LONG), "group_norm"),
    (case("unit", lambda x: F.normalize(x, dim=1), X1), "rms_norm"),
    (case("root_mean_square", lambda x: x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt(), X1),
     "rms_norm"),
    (case("root_mean_square_of_rows", lambda x: x * (x.pow(2).mean(-1) + 1e-6).rsqrt()[..., None],
          X1), "rms_norm"),
    (case("phasors", phasors, seeded(1, 6, 20, 2)), "rms_norm"),
    (case("layer_by_hand", centred_by_hand, X1), "layer_norm"),
    (case("scores", scores, X1), "layer_norm"),
    (case("std", lambda x: x.std(-1), X1), "variance"),
    (case("std_of_all", lambda x: x.std(dim=(0, 1, 2), correction=0, keepdim=True), X1),
     "variance"),
    (case("std_apart", lambda x: x.std((0, 2), correction=0), X1), "variance"),
    (case("var", lambda x: x.var(1, correction=2), X1), "variance"),
    (case("log_of_var", lambda x: x.var(-1).clamp(1e-6, 1e6).log(), X1), "variance"),
    (case("root_of_mean_square", lambda x: x.square().mean(-1).sqrt(), X1), "variance"),
    (case("length", lambda x: x.norm(dim=-1), X1), "variance"),
    (case("length_of_all", lambda x: torch.linalg.vector_norm(x), X1), "variance"),
    (case("sum_of_absolutes", lambda x: x.norm(p=1, dim=-1), X1), "table sum"),
    (case("largest", lambda x: x.norm(p=float("inf"), dim=-1), X1), "table max_pool"),
)  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("made", "operators"), CASES, ids=[made.name for made, _ in CASES])
def test_a_form_becomes_its_operators(made: Case, operators: str, tmp_path: Path) -> None:
    check_forms(made, operators, tmp_path)


def test_variance_and_mean_are_two_results() -> None:
    for function in (torch.var_mean, torch.std_mean):
        net = case("both", lambda x, function=function: function(x, 1), X1).model.eval()
        graph = from_exported(torch.export.export(net, (X1,)))
        pairs = zip(evaluated(graph, [X1.numpy()]), function(X1, 1), strict=True)
        for given, wanted in pairs:
            close(given, wanted.numpy(), 1e-5)


def test_the_norm_of_running_statistics_is_a_batch_norm() -> None:
    made = module("running", nn.InstanceNorm2d(4, affine=True, track_running_stats=True), X2)
    graph = from_exported(torch.export.export(made.model.eval(), made.inputs))
    assert [n.op for n in graph.nodes] == ["affine"]
    with torch.no_grad():
        wanted = made.model(X2).numpy()
    np.testing.assert_allclose(evaluated(graph, [X2.numpy()])[0], wanted, rtol=1e-5, atol=1e-5)
