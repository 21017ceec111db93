# SPDX-License-Identifier: Apache-2.0
"""The front end of emg2qwerty on the simulated chip: exact on a real recording, and fast enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import myoedge
from myoedge.extensions.zoo.emg2qwerty import FRAME, HOP, LogSpectrogram
from tests.conftest import save_exported

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
