# SPDX-License-Identifier: Apache-2.0
"""Transposed convolutions against torch: the convolutions that they are written as."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.support.oracles.torch import X1, X2, Case, agrees, case, module, randomized, seeded


def transposed(x: torch.Tensor, to: int, size: Any, **options: Any) -> Case:
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d)[x.dim() - 3]
    label = "_".join(f"{key}{value}" for key, value in options.items())
    return module(f"{kind.__name__}_{to}_{size}_{label}", kind(x.shape[1], to, size, **options), x)


CASES = [
    transposed(X1, 5, 2, stride=2),
    transposed(X1, 5, 4, stride=2, padding=1),
    transposed(X1, 5, 3, stride=2, padding=1, output_padding=1),
    transposed(X1, 4, 5, stride=3, padding=4, output_padding=2),
    transposed(X1, 4, 2, stride=5),
    transposed(X1, 4, 3, dilation=2),
    transposed(X1, 4, 3, dilation=2, stride=3, padding=2),
    transposed(X1, 4, 3, padding=2),
    transposed(X1, 4, 3, padding=4, dilation=3, output_padding=2),
    transposed(X1, 6, 4, stride=2, groups=3, bias=False),
    transposed(X1, 6, 4, stride=2, groups=6, padding=1),
    transposed(X1, 4, 4, stride=2, padding=9),
    transposed(X2, 5, 4, stride=2, padding=1),
    transposed(X2, 5, (3, 2), stride=(2, 1)),
    transposed(X2, 5, (1, 3), stride=(1, 2), padding=(0, 1), output_padding=(0, 1)),
    transposed(X2, 6, (3, 4), stride=(3, 2), groups=2, dilation=(2, 1), padding=(2, 1)),
    transposed(X2, 8, 3, stride=2, groups=4, bias=False),
    module("without_batch", nn.ConvTranspose1d(6, 3, 4, stride=2), seeded(6, 9)),
    case("own_weight", lambda x: F.conv_transpose1d(x, torch.ones(6, 2, 3), stride=2), X1),
    case(
        "convolution",
        lambda x: torch.convolution(x, torch.ones(6, 2, 3), None, [2], [1], [1], True, [1], 1),
        X1,
    ),
]


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_transposed_convolutions_mean_what_torch_says(one: Case) -> None:
    agrees(randomized(one.model), *one.inputs)


@pytest.mark.parametrize("seed", range(40))
def test_drawn_transposed_convolutions_mean_what_torch_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rank, groups = int(rng.integers(1, 3)), int(rng.choice([1, 1, 2, 3]))

    def drawn(low: int, high: int) -> list[int]:
        return [int(n) for n in rng.integers(low, high, rank)]

    stride, dilation, size = drawn(1, 4), drawn(1, 4), drawn(1, 5)
    n = drawn(3, 7)
    lengths = zip(n, stride, dilation, size, strict=True)
    most = [((m - 1) * s + (k - 1) * d) // 2 for m, s, d, k in lengths]
    more = [
        min(int(rng.integers(0, 3)), max(s, d) - 1) for s, d in zip(stride, dilation, strict=True)
    ]
    options: dict[str, Any] = {"stride": stride, "dilation": dilation, "output_padding": more}
    options["padding"] = [int(rng.integers(0, p + 1)) for p in most]
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d)[rank - 1]
    made = kind(2 * groups, 3 * groups, size, groups=groups, **options)
    agrees(randomized(made), seeded(2, 2 * groups, *n, seed=seed))


def ops_of(*layers: nn.Module, x: torch.Tensor = X1) -> Sequence[str]:
    return [node.op for node in agrees(randomized(nn.Sequential(*layers)), x).nodes]


@pytest.mark.parametrize("padding", [0, 1])
def test_a_batch_norm_and_an_activation_behind_it_are_fused(padding: int) -> None:
    behind = (nn.BatchNorm1d(5), nn.GELU())
    ops = ops_of(nn.ConvTranspose1d(6, 5, 4, stride=2, padding=padding), *behind)
    assert not {"affine", "table"} & {*ops}
    assert ops.count("conv") == 1
    behind = (nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 3, 3))
    ops = ops_of(nn.ConvTranspose2d(4, 5, 4, stride=2, padding=padding), *behind, x=X2)
    assert not {"affine", "table"} & {*ops}
    assert ops.count("conv") == 2


def test_a_stride_of_1_is_one_convolution() -> None:
    assert [*ops_of(nn.Conv1d(6, 4, 1), nn.ConvTranspose1d(4, 5, 3, padding=1))].count("slice") == 0
