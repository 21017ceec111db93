# SPDX-License-Identifier: Apache-2.0
"""Warnings of samples and exports that are likely mistakes, and none for sound ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from myoedge.building.loading import Model, PrePostProcessing, load_model
from myoedge.building.model_inputs import ModelInputs
from myoedge.building.quantized import Known
from myoedge.building.warning_rules import warned
from myoedge.errors import MyoedgeError, Notice
from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.reading import Reading
from myoedge.quantization.samples import Data

UNIT = 40.0  # of the recording: its deviation


def recording(count: int) -> Array:
    """Rows of four channels of unequal power, in microvolts."""
    noise = np.random.default_rng(0).normal(size=(count, 4))
    return (UNIT * noise * [0.4, 1.6, 0.8, 1.0]).astype(np.float32)


WINDOWS = recording(50 * 30).reshape(50, 30, 4).transpose(0, 2, 1)


class Net(nn.Module):
    """Trained as far as that its batch norm knows the recording."""

    def __init__(self, norm: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv1d(4, 6, 5), nn.BatchNorm1d(6) if norm else nn.Identity()
        self.head = nn.Linear(6, 3)
        for _ in range(40):
            self.train()(torch.from_numpy(WINDOWS.copy()))
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(torch.relu(self.norm(self.conv(x))).mean(2))
        return scores


def loaded(folder: Path, example: torch.Tensor, norm: bool = True) -> Model:
    torch.export.save(torch.export.export(Net(norm), (example,)), folder / "m.pt2")
    return load_model(folder / "m.pt2")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return loaded(tmp_path_factory.mktemp("net"), torch.zeros(1, 4, 30))


def chosen(model: Model, given: Any) -> Data:
    inputs = ModelInputs(Path(), None, given, PrePostProcessing(), Reading())
    return inputs._choose_samples(model)


def doubtful(model: Model, given: Any) -> tuple[Notice, ...]:
    return warned(Known(model=model, data=chosen(model, given)), "samples")


def codes(model: Model, given: Any) -> list[str]:
    return [n.code for n in doubtful(model, given)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (WINDOWS, []),
        (WINDOWS * 3, []),
        (WINDOWS[:19], ["W205"]),
        (WINDOWS[:20], []),
        (WINDOWS * 100, ["W207"]),
        (WINDOWS / 1e6, ["W207"]),
        (WINDOWS.transpose(0, 2, 1).reshape(-1, 4, 30), ["W208"]),
        ("random", []),
        (None, ["W205"]),  # the example input
        (np.ones_like(WINDOWS), []),
    ],
    ids=["sound", "x3", "19", "20", "x100", "volts", "reshaped", "random", "none", "constant"],
)
def test_warnings(model: Model, given: object, expected: list[str]) -> None:
    assert codes(model, given) == expected


@pytest.mark.parametrize("exponent", [-30, 20, 34])
def test_a_scale_whose_squares_float32_has_not(exponent: int, model: Model, tmp_path: Path) -> None:
    """As of files of another byte order: the power of ten is the one that was multiplied by."""
    given = (np.float64(WINDOWS) * 10.0**exponent).astype(np.float32)
    by_real = loaded(tmp_path, torch.from_numpy(WINDOWS[:1].copy()), norm=False)
    for network in (by_real, *[model] * (exponent > 0)):  # a norm's offsets hide what is tiny
        (scale,) = doubtful(network, given)
        assert scale.code == "W207"
        shown = f"/ {10.0**exponent:g}" if exponent > 0 else f"* {10.0**-exponent:g}"
        assert f"input=windows {shown}," in scale.tries[0]
        assert len(scale.title) < 70


@pytest.mark.parametrize("rows", [2, 3, 4, 7, 9])
def test_windows_of_fewer_rows_than_channels_are_sound(tmp_path: Path, rows: int) -> None:
    powers = np.random.default_rng(1).uniform(0.3, 2.0, 8)
    kept = np.random.default_rng(0).normal(size=(1200, rows, 8)).astype(np.float32) * powers
    program = torch.export.export(nn.Conv1d(8, 2, 2).eval(), (torch.zeros(1, 8, rows),))
    torch.export.save(program, tmp_path / "m.pt2")
    small = load_model(tmp_path / "m.pt2")
    assert codes(small, kept.transpose(0, 2, 1)) == []
    assert codes(small, kept.reshape(1200, 8, rows)) == (["W208"] if rows > 8 else [])


def test_without_a_norm_the_example_input_tells_the_scale(tmp_path: Path) -> None:
    real = torch.from_numpy(WINDOWS[:1].copy())
    by_real = loaded(tmp_path, real, norm=False)
    assert codes(by_real, WINDOWS) == []
    assert codes(by_real, WINDOWS / 100) == ["W207"]
    for made_up in (torch.randn(1, 4, 30), torch.rand(1, 4, 30), torch.ones(1, 4, 30)):
        assert codes(loaded(tmp_path, made_up, norm=False), WINDOWS) == []


def test_a_batch_in_the_export(tmp_path: Path) -> None:
    batched = loaded(tmp_path, torch.zeros(16, 4, 30))
    assert codes(batched, "random") == ["W206"]
    with pytest.raises(MyoedgeError, match=r"example\[:1\]") as caught:
        codes(batched, WINDOWS)
    assert caught.value.code == "E213"


def test_axes_of_samples_in_another_order(model: Model) -> None:
    swapped = WINDOWS.transpose(0, 2, 1)
    with pytest.raises(MyoedgeError, match=r"windows\.transpose\(0, 2, 1\)") as caught:
        codes(model, swapped)
    assert caught.value.code == "E213"
    assert codes(model, swapped.transpose(0, 2, 1)) == []


def test_time_first_is_no_batch(tmp_path: Path) -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.lstm(x)[0]
            return y

    for network, shape in ((Recurrent(), (12, 3, 4)), (nn.Linear(4, 5), (12, 1, 4))):
        exported = torch.export.export(network.eval(), (torch.zeros(shape),))
        torch.export.save(exported, tmp_path / "m.pt2")
        assert codes(load_model(tmp_path / "m.pt2"), "random") == []
