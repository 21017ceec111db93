# SPDX-License-Identifier: Apache-2.0
"""Logarithms of mel spectrograms: 16 bits between the transform, the filters and the logarithm."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from tests.conftest import save_exported


class LogMel(nn.Module):
    """log(mel filters of |STFT|^2 + 1e-6), as torchaudio's MelSpectrogram has its filters (HTK)."""

    window: torch.Tensor
    filters: torch.Tensor

    def __init__(self, size: int, hop: int, mels: int, rate_hz: float) -> None:
        super().__init__()
        self.size, self.hop = size, hop
        self.register_buffer("window", torch.hann_window(size))
        top = 2595.0 * math.log10(1.0 + rate_hz / 1400.0)
        edges = 700.0 * (10.0 ** (torch.linspace(0.0, top, mels + 2) / 2595.0) - 1.0)
        away = edges[None] - torch.linspace(0.0, rate_hz / 2, size // 2 + 1)[:, None]
        width = edges.diff()
        sides = torch.minimum(-away[:, :-2] / width[:-1], away[:, 2:] / width[1:])
        self.register_buffer("filters", sides.clamp(min=0.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spectra = torch.stft(x, self.size, self.hop, window=self.window, return_complex=True)
        power = spectra.abs().pow(2.0).transpose(-1, -2)
        return torch.log(power @ self.filters + 1e-6)


@pytest.mark.filterwarnings("ignore:The tensor attributes")
def test_a_log_mel_spectrogram_keeps_30_db(tmp_path: Path) -> None:
    """Bursts of noise 30 dB apart; with 8 bits in front of the logarithm it keeps less than 10."""
    rng = np.random.default_rng(0)
    loud = np.repeat(10.0 ** rng.uniform(-1.5, 0.0, (6, 1, 8)), 32, axis=-1)
    calib = (loud * rng.standard_normal((6, 1, 256))).astype(np.float32)
    net = LogMel(64, 32, 10, 1000.0).eval()
    model = save_exported(net, (torch.zeros(1, 256),), tmp_path / "model.pt2")
    build = myoedge.build(model, target="gap9", calib=calib, output=tmp_path / "out")
    found = myoedge.validate(build, on=("host", "simulator"), onnx=True)
    assert (found.exact["host"], found.exact["simulator"]) == (True, True)
    assert build.report["quantization"]["sqnr_db"] >= 30.0
    assert found.onnx_db is not None
    assert found.onnx_db >= 30.0
    assert "table" in {layer["op"] for layer in build.report["layers"]}
