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
from myoedge.extensions.zoo.emg2qwerty import FRAME, HOP, LogSpectrogram
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


# --- on the chip ----------------------------------------------------------------------------------


RECORDING = Path(__file__).parents[2] / "examples" / "data" / "libemg_myo.npz"
FRAMES = 16
MOST_CYCLES = 17_000  # a frame of 32 electrodes


@pytest.mark.filterwarnings("ignore:The tensor attributes")
def test_exact_and_fast(tmp_path: Path) -> None:
    samples = FRAME + (FRAMES - 1) * HOP
    x = np.tile(np.load(RECORDING)["emg"][: 3 * samples], (1, 4))
    calib = x.reshape(3, samples, 1, 2, 16).astype(np.float32)
    example = (torch.zeros(calib.shape[1:]),)
    model = save_exported(LogSpectrogram().eval(), example, tmp_path / "model.pt2")
    build = myoedge.build(model, target="gap9", calib=calib, output=tmp_path / "out")
    assert build.report["quantization"]["sqnr_db"] >= 40.0
    exact = myoedge.validate(build, on=("host", "simulator"), onnx=True)
    assert exact.exact["host"] is True
    assert exact.exact["simulator"] is True
    assert exact.onnx_db is not None
    assert exact.onnx_db >= 40.0
    cycles = myoedge.simulate(build).report["cycles"]["total"]
    assert cycles / FRAMES <= MOST_CYCLES


@pytest.mark.filterwarnings("ignore:The tensor attributes")
def test_samples_go_in_as_16_bits(tmp_path: Path) -> None:
    example = (torch.zeros(FRAME + HOP, 1, 2, 16),)
    model = save_exported(LogSpectrogram().eval(), example, tmp_path / "model.pt2")
    build = myoedge.build(model, calib="random", output=tmp_path / "out")
    shape = (FRAME + HOP, 1, 2, 16)
    assert build.run(np.zeros(shape, np.int16), raw=True).shape == (2, 1, 2, 16, 33)
    with pytest.raises(myoedge.MyoedgeError, match="must be int16"):
        build.run(np.zeros(shape, np.int8), raw=True)
    assert "int16_t" in (build.folder / "src" / f"{build.prefix}.h").read_text()
