# SPDX-License-Identifier: Apache-2.0
"""`[conditioning]`: filters in front of a network, against scipy; samples go in as 16 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import signal
from torch import nn

import myoedge
from myoedge.extensions.zoo.emg2qwerty import LogSpectrogram
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_int
from myoedge.quantization.sqnr import quantized_inputs, real_values
from tests.conftest import save_exported

pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes")
RECORDING = Path(__file__).parents[2] / "examples" / "data" / "libemg_myo.npz"
TABLE = "rate_hz = 200\nband_hz = [20, 90]\nnotch_hz = 50\n"
SAMPLES = 400


def filtered(x: Array, axis: int) -> Array:
    """The pipeline of the armband's datasets, forwards alone, in float64."""
    band = signal.butter(4, [20, 90], "bandpass", fs=200, output="sos")
    b, a = signal.iirnotch(50, 30, 200)
    return np.asarray(signal.lfilter(b, a, signal.sosfilt(band, x, axis), axis))


def recording() -> Array:
    """Four stretches [4, 1, 8, SAMPLES]."""
    x = np.load(RECORDING)["emg"][: 4 * SAMPLES]
    return x.reshape(4, SAMPLES, 8).swapaxes(1, 2)[:, None].astype(np.float32)


def built(network: nn.Module, x: Array, folder: Path, table: str = TABLE, **more: Any) -> Any:
    config = folder / "myoedge.toml"
    config.write_text(f"[conditioning]\n{table}")
    example = (torch.zeros(x.shape[1:]),)
    model = save_exported(network.eval(), example, folder / "model.pt2")
    return myoedge.build(model, calib=x, config=config, output=folder / "out", **more)


def db(wanted: Array, found: Array) -> float:
    return float(10 * np.log10(np.square(wanted).sum() / np.square(found - wanted).sum()))


@pytest.mark.slow
def test_filters_stand_in_front_and_are_rectified_for_nothing(tmp_path: Path) -> None:
    class Rectified(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.abs()

    x = recording()
    build = built(Rectified(), x, tmp_path)
    assert [step.node.op for step in build.network.steps] == ["biquads"]
    assert build.network.dtype("x") == "int16"
    found = np.stack([build.run(window) for window in x])
    wanted = np.abs(filtered(x, axis=3))
    assert db(wanted, found) >= 30.0  # of int8 over a range that is 40 times the typical value
    step = build.report["outputs"][0]["scale"]
    assert np.abs(found - wanted).max() <= 1.6 * step
    exact = myoedge.validate(build, on=("host", "simulator"), onnx=True)
    assert exact.exact["simulator"] is True
    assert exact.onnx_db is not None
    assert exact.onnx_db >= 40.0


def test_between_filters_and_spectra_there_are_16_bits(tmp_path: Path) -> None:
    x = recording()[:, 0].swapaxes(1, 2)[:, :, None]
    build = built(LogSpectrogram(), x, tmp_path, TABLE + "axis = 0\n", target="host")
    q = build.network
    (step,) = (step for step in q.steps if step.node.op == "biquads")
    values = run_int(q.steps, q.constants, quantized_inputs(q, {"x": x[0]}))
    assert values[step.node.name].dtype == np.int16
    found = real_values(q, step.node.name, values[step.node.name])
    assert db(filtered(x[0], axis=0), found.reshape(x[0].shape)) >= 70.0
    assert myoedge.validate(build).difference is None


def test_filters_on_a_stream_are_those_of_scipy_over_the_whole_recording(tmp_path: Path) -> None:
    """Frame by frame through the C: one filter, at rest before the first sample and never again."""
    x = np.load(RECORDING)["emg"][: 3 * SAMPLES, :].T.astype(np.float32)
    table = TABLE + "[stream]\naxis = 2\n"
    build = built(nn.ReLU(), x[None, None, :, :SAMPLES], tmp_path, table, stream=True)
    found = np.concatenate([build.push(x[None, :, at]) for at in range(x.shape[1])])[:, 0].T
    wanted = np.maximum(filtered(x, axis=1), 0.0)
    step = build.report["outputs"][0]["scale"]
    inside = wanted < 254 * step
    assert inside.mean() > 0.99
    assert np.abs(found - wanted)[inside].max() <= 1.6 * step
    checked = myoedge.validate(build, on=("host", "simulator"), input=x[None, None, :, :50])
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


def test_a_running_z_score_on_a_stream(tmp_path: Path) -> None:
    """Against scipy's filters and a power of first order from the deviation given, in floats."""
    x = np.load(RECORDING)["emg"][: 2 * SAMPLES, :].T.astype(np.float32)
    more = "zscore_s = 0.5\ndeviation = 8.0\nrectify = true\n[stream]\naxis = 2\nframes = 4\n"
    build = built(nn.Identity(), x[None, None], tmp_path, TABLE + more, stream=True)
    ready = [build.push(x[None, :, at]) for at in range(x.shape[1])]
    found = np.concatenate(ready)[:, 0].T
    y, share = filtered(x, axis=1), 1 / (0.5 * 200)
    begin = np.full((8, 1), (1 - share) * 8.0**2)
    power, _ = signal.lfilter([share], [1.0, share - 1.0], y**2, zi=begin)
    wanted = np.abs(y / np.sqrt(power))
    step = build.report["outputs"][0]["scale"]
    assert np.abs(found - wanted).max() <= 2.0 * step
    assert db(wanted, found) >= 34.0
    checked = myoedge.validate(build, on=("host", "simulator"), input=x[None, None, :, :40])
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
    first = myoedge.simulate(build).measurement.inferences[0]
    rows = zip(build.report["layers"], first.layers, strict=True)
    (pair,) = ((row, cost) for row, cost in rows if row["op"] == "running_power")
    assert pair[0]["cycles_modelled"] == pytest.approx(pair[1].cycles, rel=0.3)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("band_hz = [20, 90]", "rate_hz is not given"),
        ("rate_hz = 200", "neither a band nor a notch"),
        ("rate_hz = 100\nband_hz = [20, 90]", "between 0 and 50, half of rate_hz"),
        ("rate_hz = 200\nband_hz = [90, 20]", "band_hz has to rise"),
        ("rate_hz = 100\nnotch_hz = 50", "notch_hz must be between"),
        ("rate_hz = 200\nnotch_hz = 50\naxis = 7", "no axis 7"),
        ("rate_hz = 200\nzscore_s = 1", "zscore_s and deviation go together"),
        ("rate_hz = 200\nzscore_s = 60\ndeviation = 1", "4 to 4,096 samples"),
    ],
)
def test_filters_that_cannot_be(table: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(myoedge.MyoedgeError) as caught:
        built(nn.ReLU(), recording(), tmp_path, table)
    assert caught.value.code == "E238"
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("channels", "samples", "axis", "table"),
    [
        (16, 40, 1, ""),
        (3, 100, 0, "notch_hz = 50\n"),
        (16, 60, 0, "zscore_s = 0.5\ndeviation = 20\n"),
    ],
)
def test_filters_take_about_what_is_modelled(
    channels: int, samples: int, axis: int, table: str, tmp_path: Path
) -> None:
    shape = (channels, samples) if axis else (samples, channels)
    x = np.random.default_rng(0).normal(0, 20, (4, *shape)).astype(np.float32)
    band = f"rate_hz = 200\nband_hz = [20, 90]\naxis = {axis}\n" + table
    head = nn.Conv1d(channels, 4, 3) if axis else nn.Linear(channels, 4)
    build = built(head, x, tmp_path, band, target="gap9")
    rows = myoedge.simulate(build).report["layers"]
    filters = [row for row in rows if row["op"] in ("biquads", "running_norm")]
    assert len(filters) == 1 + ("zscore_s" in table)
    assert [r["cycles_modelled"] for r in filters] == pytest.approx(
        [r["cycles"] for r in filters], rel=0.2
    )
