# SPDX-License-Identifier: Apache-2.0
"""Drawn layers on NE16: equal integers in NumPy, on the host and on the simulated chip."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import thinned
from tests.e2e.test_ne16_layers import assert_exact, built, engines
from tests.support.networks.layers import Rng, pick

L1_SIZES = (None, "24KiB", "40KiB")
Drawn = tuple[nn.Module, tuple[int, ...]]


def drawn(rng: Rng) -> Drawn:
    """A linear layer or a convolution, in one group or depthwise, with an activation or without."""
    c, k = (int(n) for n in rng.integers(1, 80, 2))
    kind, act = rng.integers(4), (nn.ReLU(), nn.GELU(), nn.Identity())[rng.integers(3)]
    if kind == 0:
        return nn.Sequential(nn.Linear(c, k), act), (int(rng.integers(1, 90)), c)
    if kind == 3:
        c = int(rng.integers(60, 260))
        each = nn.Conv2d(c, c, 3, padding=int(rng.integers(0, 3)), groups=c)
        return nn.Sequential(each, act), (1, c, *(int(n) for n in rng.integers(3, 14, 2)))
    rank = int(kind)
    kernel, stride, dilation = (
        tuple(int(n) for n in rng.integers(1, most, rank)) for most in (6, 4, 3)
    )
    padding = tuple(int(rng.integers(0, n)) for n in kernel)
    if rng.integers(3) == 0:
        kernel, stride, dilation, padding = ((n,) * rank for n in (3, 1, 1, 1))
    least = [(n - 1) * d + 1 for n, d in zip(kernel, dilation, strict=True)]
    size = tuple(n + int(rng.integers(0, 40 if rank == 1 else 14)) for n in least)
    layer = (nn.Conv1d, nn.Conv2d)[rank - 1]
    conv = layer(c, k, kernel, stride, padding, dilation)  # type: ignore[arg-type]
    return nn.Sequential(conv, act), (1, c, *size)


def assert_drawn_exact(seed: int, folder: Path) -> bool:
    """Whether a layer ran on the engine."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network, shape = drawn(rng)
    build = built(network, shape, folder, L1_SIZES[rng.integers(3)])
    assert_exact(build)
    return "ne16" in engines(build)


@pytest.mark.slow
def test_sixty_drawn_layers_are_exact(tmp_path: Path) -> None:
    ran = 0
    for seed in range(60):
        (tmp_path / str(seed)).mkdir()
        ran += assert_drawn_exact(seed, tmp_path / str(seed))
    assert ran > 30


class PlusInput(nn.Module):
    """A layer and the sum of its results and its input."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(x)  # type: ignore[no-any-return]


def rows(rng: Rng) -> Drawn:
    """Rows of a linear layer, with a residual or without."""
    c, n = int(rng.integers(20, 70)), int(rng.integers(60, 180))
    if rng.integers(2):
        return PlusInput(nn.Linear(c, c)), (1, n, c)
    return nn.Linear(c, int(rng.integers(20, 100))), (1, n, c)


def filters(rng: Rng) -> Drawn:
    """A convolution of 3x3 or 1x1 filters, or one that needs other windows."""
    c, k = int(rng.integers(5, 30)), int(rng.integers(5, 50))
    size, stride = pick(rng, 1, 3, 3, 5), pick(rng, 1, 1, 2)
    conv = nn.Conv2d(c, k, size, stride, size // 2)
    return conv, (1, c, *map(int, rng.integers(10, 18, 2)))


def long_filters(rng: Rng) -> Drawn:
    """A signal's convolution, in a group, in several or depthwise."""
    each, groups = int(rng.integers(3, 12)), pick(rng, 1, 1, 3, 4)
    c = each * groups
    taps, dilation = pick(rng, 3, 7, 9, 18), pick(rng, 1, 1, 2)
    groups = c if rng.random() < 0.3 else groups
    conv = nn.Conv1d(c, 2 * c, taps, padding=taps // 2, dilation=dilation, groups=groups)
    return conv, (1, c, int(rng.integers(150, 400)))


def images_of_channels(rng: Rng) -> Drawn:
    """A depthwise convolution of 3x3 filters."""
    c = int(rng.integers(20, 90))
    return nn.Conv2d(c, c, 3, padding=1, groups=c), (1, c, *map(int, rng.integers(8, 16, 2)))


def pixels(rng: Rng) -> Drawn:
    """Two pointwise convolutions of an image, or two linear layers of rows."""
    c, k = int(rng.integers(5, 60)), int(rng.integers(5, 90))
    if rng.integers(2):
        layers = nn.Sequential(nn.Linear(c, c), nn.Linear(c, k))
        return layers, (1, int(rng.integers(20, 200)), c)
    layers = nn.Sequential(nn.Conv2d(c, c, 1), nn.Conv2d(c, k, 1))
    return layers, (1, c, *map(int, rng.integers(8, 18, 2)))


@pytest.mark.parametrize("l1", thinned(["24KiB", None]))
def test_results_of_16_bits_are_exact(l1: str | None, tmp_path: Path) -> None:
    """The cores requantise NE16's sums to int16."""
    for seed in range(6):
        torch.manual_seed(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        network, shape = pixels(np.random.default_rng(seed))
        rule = '[quant]\n"1" = { activations = 16 }'
        build = built(network, shape, folder, l1, "ne16", rule)
        assert engines(build) == {"ne16"}
        assert "int16" in {row["dtype"] for row in build.report["layers"]}
        assert_exact(build)


def cut(draw: Callable[[Rng], Drawn], seed: int, folder: Path) -> bool:
    """Whether a layer, in L1 of 19 to 24 KiB, has several tiles. Errors: AssertionError if its
    integers differ."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    act = (nn.ReLU(), nn.GELU(), nn.Identity())[rng.integers(3)]
    network, shape = draw(rng)
    l1 = f"{rng.integers(19, 25)}KiB"
    build = built(nn.Sequential(network, act), shape, folder, l1, "ne16")
    assert engines(build) == {"ne16"}
    assert_exact(build)
    steps = json.loads((build.folder / "plan.json").read_text())["steps"]
    return any(step["tiles"]["count"] > 1 for step in steps)


@pytest.mark.parametrize("draw", thinned([rows, long_filters, filters, images_of_channels]))
def test_layers_of_several_tiles_and_jobs_are_exact(
    draw: Callable[[Rng], Drawn], tmp_path: Path
) -> None:
    """The cores prepare the first job of the next tile while the last ones of a tile run. Odd
    channels: rows end inside a word."""
    several = 0
    for seed in range(5):
        (tmp_path / str(seed)).mkdir()
        several += cut(draw, seed, tmp_path / str(seed))
    assert several >= 3


WIDE = {  # what has 16 bits
    "input": '"input" = { activations = 16 }',
    "result": '"0*" = { activations = 16 }',
    "both": '"input" = { activations = 16 }\n"*" = { activations = 16 }',
}
ANY_WINDOWS = (rows, filters, long_filters, pixels)


def runs_wide(seed: int, draw: Callable[[Rng], Drawn], folder: Path) -> tuple[bool, bool]:
    """Whether a layer that reads or makes 16 bits ran on the engine, and in several tiles. Errors:
    AssertionError if its integers differ."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    act = (nn.ReLU(), nn.ReLU6(), nn.GELU(), nn.Identity())[rng.integers(4)]
    network, shape = draw(rng)
    l1 = (None, f"{rng.integers(24, 40)}KiB")[rng.integers(2)]
    rule = "[quant]\n" + tuple(WIDE.values())[pick(rng, 0, 1, 2)]
    build = built(nn.Sequential(network, act), shape, folder, l1, "ne16", rule)
    assert_exact(build)
    found = [row for row in build.report["layers"] if row["engine"] == "ne16" and row["macs"]]
    wide = [row for row in found if row["weight_dtype"] == "int16"]
    return bool(wide), any(row["tiles"] > 1 for row in wide)


def count_wide(seeds: range, draw: Callable[[Rng], Drawn], folder: Path) -> tuple[int, int]:
    """How many of the drawn layers did each."""
    counts = []
    for seed in seeds:
        (folder / str(seed)).mkdir()
        counts.append(runs_wide(seed, draw, folder / str(seed)))
    return sum(ran for ran, _ in counts), sum(cut for _, cut in counts)


def test_products_of_16_bits_are_exact(tmp_path: Path) -> None:
    """The engine reads 16 bits, or makes sums of the halves of weights that the cores join."""
    assert count_wide(range(3), filters, tmp_path)[0] >= 2


@pytest.mark.slow
@pytest.mark.parametrize("draw", ANY_WINDOWS)
def test_products_of_16_bits_in_any_windows_are_exact(
    draw: Callable[[Rng], Drawn], tmp_path: Path
) -> None:
    ran, cut = count_wide(range(4, 24), draw, tmp_path)
    assert ran >= 8
    assert cut >= 3
