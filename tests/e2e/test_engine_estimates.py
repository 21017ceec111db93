# SPDX-License-Identifier: Apache-2.0
"""`--engine auto` beside `--engine cores` on the simulated chip, for layers near to the choice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from tests.conftest import save_exported, thinned
from tests.e2e.test_ne16_layers import Attention

MOST_SLOWER = 1.03
MOST_ERROR = 0.15  # of a layer, on either engine


class Sequences(nn.Module):
    """Results of a recurrent layer, of all steps."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[0]  # type: ignore[no-any-return]


def built(
    network: nn.Module, shape: tuple[int, ...], folder: Path, engine: str, l1: str | None = None
) -> myoedge.Build:
    torch.manual_seed(0)
    folder.mkdir()
    model = save_exported(network.eval(), (torch.zeros(shape),), folder / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    options = {"output": folder / "out", "engine": engine, "l1": l1, "simulate": True}
    return myoedge.build(model, calib=calib, **options)  # type: ignore[arg-type]


def compare(
    network: nn.Module, shape: tuple[int, ...], op: str, folder: Path, l1: str | None = None
) -> dict[str, int]:
    """`auto` is hardly slower than the cores, and estimates of both are near to what they take.

    Return the cycles of the network by engine.
    """
    found = {e: built(network, shape, folder / e, e, l1) for e in ("cores", "auto", "ne16")}
    cycles = {engine: build.report["cycles"]["total"] for engine, build in found.items()}
    assert cycles["auto"] <= MOST_SLOWER * cycles["cores"]
    for engine in ("cores", "ne16"):
        row = next(row for row in found[engine].report["layers"] if row["op"] == op)
        assert (row["engine"] == "ne16") == (engine == "ne16")
        assert row["cycles_modelled"] == pytest.approx(row["cycles"], rel=MOST_ERROR)
    return cycles


@pytest.mark.parametrize(
    ("kind", "steps", "inputs", "units"),
    [
        (nn.GRU, 20, 8, 24),
        (nn.GRU, 5, 64, 16),
        pytest.param(nn.LSTM, 20, 8, 40, marks=pytest.mark.slow),
        pytest.param(nn.LSTM, 60, 128, 40, marks=pytest.mark.slow),
    ],
)
def test_gates(kind: type[nn.RNNBase], steps: int, inputs: int, units: int, tmp_path: Path) -> None:
    network = Sequences(kind(inputs, units, batch_first=True))  # type: ignore[call-arg, arg-type]
    compare(network, (1, steps, inputs), "gates", tmp_path)


@pytest.mark.parametrize(
    ("kind", "units"),
    [(nn.LSTM, 96), (nn.GRU, 64), pytest.param(nn.GRU, 128, marks=pytest.mark.slow)],
)
def test_steps(kind: type[nn.RNNBase], units: int, tmp_path: Path) -> None:
    network = Sequences(kind(16, units, batch_first=True))  # type: ignore[call-arg, arg-type]
    compare(network, (1, 20, 16), kind.__name__.lower(), tmp_path)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(120, 120, 3, padding=1, groups=120), (1, 120, 5, 7)),
        (nn.Conv2d(32, 32, 3, padding=1, groups=32), (1, 32, 10, 10)),
        (nn.Conv2d(64, 64, 1), (1, 64, 8, 8)),
    ],
)
def test_convolutions(layer: nn.Module, shape: tuple[int, ...], tmp_path: Path) -> None:
    compare(layer, shape, "conv", tmp_path)


SIZES = [(64, 2, 64), (10, 2, 16), (100, 8, 4), (26, 4, 4), (16, 8, 8), (16, 4, 32), (12, 12, 4)]


@pytest.mark.parametrize(("tokens", "heads", "width"), thinned(SIZES, len(SIZES)))
def test_attention(tokens: int, heads: int, width: int, tmp_path: Path) -> None:
    network = Attention(tokens, heads, width, biased=False)
    compare(network, (1, tokens, heads * width), "attention", tmp_path)


@pytest.mark.parametrize(
    ("tokens", "heads", "width", "l1"), [(64, 4, 32, "40KiB"), (34, 2, 16, "24KiB")]
)
def test_attention_whose_bit_planes_do_not_all_fit_l1(
    tokens: int, heads: int, width: int, l1: str, tmp_path: Path
) -> None:
    network = Attention(tokens, heads, width, biased=False)
    cycles = compare(network, (1, tokens, heads * width), "attention", tmp_path, l1)
    assert cycles["auto"] <= MOST_SLOWER * cycles["ne16"]


def test_windows_with_dilated_columns(tmp_path: Path) -> None:
    """NE16 copies their taps one at a time, which `auto` counts."""
    sizes = {"stride": (1, 3), "padding": (1, 3), "dilation": (1, 3), "groups": 26}
    network = nn.Conv2d(26, 26, 3, **sizes)  # type: ignore[arg-type]
    cycles = {
        engine: built(network, (1, 26, 6, 21), tmp_path / engine, engine).report["cycles"]["total"]
        for engine in ("cores", "auto", "ne16")
    }
    assert cycles["auto"] <= MOST_SLOWER * min(cycles.values())
