# SPDX-License-Identifier: Apache-2.0
"""Convolutions over three axes against torch: the convolutions over two that they become."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.oracles.torch import agrees, randomized, seeded

ROOM = seeded(2, 4, 5, 6, 7)


def ops_of(x: torch.Tensor, *sizes: Any, **options: Any) -> list[str]:
    return [node.op for node in agrees(randomized(nn.Conv3d(*sizes, **options)), x).nodes]


@pytest.mark.parametrize("seed", range(24))
def test_drawn_convolutions_over_three_axes_mean_what_torch_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 2, 4]))

    def drawn(low: int, high: int) -> list[int]:
        return [int(n) for n in rng.integers(low, high, 3)]

    size, options = drawn(1, 4), {"stride": drawn(1, 3), "dilation": drawn(1, 3)}
    made = nn.Conv3d(4, 8, size, padding=drawn(0, 3), groups=groups, **options)
    agrees(randomized(made), ROOM)


@pytest.mark.parametrize("size", [(5, 1, 1), (1, 6, 1), (1, 1, 7), (1, 1, 1)])
def test_windows_along_one_axis_at_an_end_move_nothing(size: tuple[int, int, int]) -> None:
    moved = ops_of(seeded(1, 1, 5, 6, 7), 1, 3, size)
    assert not {"concat", "slice"} & {*moved}
    assert moved.count("transpose") == 1  # to the model's order


def test_without_a_batch_and_with_padding_by_name() -> None:
    agrees(randomized(nn.Conv3d(3, 2, (2, 3, 3), padding="same")), seeded(3, 4, 5, 6))


def test_the_axis_with_the_fewest_windows_is_laid_out() -> None:
    assert ops_of(seeded(1, 1, 2, 6, 7), 1, 3, (2, 3, 3)).count("slice") == 2
    assert ops_of(seeded(1, 1, 6, 7, 3), 1, 3, (3, 3, 3)).count("slice") == 3


@pytest.mark.parametrize("size", [(5, 1, 1), (2, 3, 2)])
def test_a_batch_norm_and_an_activation_behind_it_are_fused(size: tuple[int, int, int]) -> None:
    made = nn.Sequential(nn.Conv3d(4, 6, size), nn.BatchNorm3d(6), nn.ELU())
    ops = [node.op for node in agrees(randomized(made), ROOM).nodes]
    assert not {"affine", "table"} & {*ops}
