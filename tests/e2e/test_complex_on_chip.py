# SPDX-License-Identifier: Apache-2.0
"""Spectra with phases on the simulated chip: larger than L1, exact, and as torch has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from tests.conftest import save_exported


class Phases(nn.Module):
    """Phases and magnitudes of STFTs that nothing else shares, and a filter of frequencies."""

    window: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(60))
        self.factors = nn.Parameter(torch.randn(61, dtype=torch.complex64))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        spectra = torch.stft(x, 60, 9, window=self.window, return_complex=True)
        filtered = torch.fft.irfft(torch.fft.rfft(x[:, :120]) * self.factors, n=120)
        return spectra.angle(), spectra.abs(), filtered


@pytest.mark.filterwarnings("ignore:The tensor attributes")
def test_exact_in_tiles(tmp_path: Path) -> None:
    torch.manual_seed(0)
    calib = np.random.default_rng(0).standard_normal((4, 7, 1800)).astype(np.float32)
    model = save_exported(Phases().eval(), (torch.zeros(7, 1800),), tmp_path / "model.pt2")
    build = myoedge.build(
        model, target="gap9", calib=calib, output=tmp_path / "out", engine="cores"
    )
    found = myoedge.validate(build, on=("host", "simulator"), onnx=True)
    assert (found.exact["host"], found.exact["simulator"]) == (True, True)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    layers = {layer["op"]: layer for layer in report["layers"]}
    assert layers["atan2"]["tile"]
    assert layers["magnitude"]["tile"]
    assert found.onnx_db is not None
    assert found.onnx_db >= 40.0


class Denoised(nn.Module):
    """Frames times a mask of their magnitudes, and back; a spectrum of many samples."""

    window: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(32))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        spectra = torch.stft(x, 32, 8, window=self.window, return_complex=True)
        kept = torch.istft(spectra * torch.sigmoid(spectra.abs()), 32, 8, window=self.window)
        return kept, torch.fft.rfft(x).abs()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The tensor attributes")
def test_inverse_transforms_and_stages_are_exact(tmp_path: Path) -> None:
    calib = np.random.default_rng(0).standard_normal((4, 2, 1200)).astype(np.float32)
    model = save_exported(Denoised().eval(), (torch.zeros(2, 1200),), tmp_path / "model.pt2")
    build = myoedge.build(model, target="gap9", calib=calib, output=tmp_path / "out")
    found = myoedge.validate(build, on=("host", "simulator"), onnx=True)
    assert (found.exact["host"], found.exact["simulator"]) == (True, True)
    assert build.report["quantization"]["sqnr_db"] >= 33.0


class Power(nn.Module):
    """Log power of frames of 60 samples: stages of 2, 3 and 5."""

    window: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(60))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spectra = torch.stft(x, 60, 24, window=self.window, return_complex=True)
        return torch.log10(spectra.abs().square() + 1e-3)


@pytest.mark.filterwarnings("ignore:The tensor attributes")
def test_spectrograms_of_mixed_radix_are_exact(tmp_path: Path) -> None:
    calib = np.random.default_rng(0).standard_normal((2, 3, 300)).astype(np.float32)
    model = save_exported(Power().eval(), (torch.zeros(3, 300),), tmp_path / "model.pt2")
    build = myoedge.build(model, target="gap9", calib=calib, output=tmp_path / "out")
    found = myoedge.validate(build, on=("host", "simulator"), onnx=True)
    assert (found.exact["host"], found.exact["simulator"]) == (True, True)
    assert build.report["quantization"]["sqnr_db"] >= 40.0
