# SPDX-License-Identifier: Apache-2.0
"""The sensor application of a network: where samples go, what its integers are, what is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.building.config import Found, from_tables
from myoedge.errors import MyoedgeError
from myoedge.extensions.sensor.application import registers
from myoedge.extensions.sensor.program import JSON, SampleLayout, from_json, window_layout
from tests.conftest import save_exported
from tests.support.schemas import check_folder

SENSOR: dict[str, Any] = {
    "rate": 1000,
    "hop": 5,
    "channels": 8,
    "unit": "uV",
    "pins": {"data_ready": 42},
}


class Scaled(nn.Module):
    """Electrodes scaled one by one, which the host does, then five classes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.arange(1.0, 9.0)[:, None] / 100)
        self.layer = nn.Conv1d(8, 5, 20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x * self.scale + 0.25).flatten(1)


def built(folder: Path, network: nn.Module, shape: tuple[int, ...], **tables: Any) -> Build:
    """A build with --app sensor, for the chip but not simulated."""
    torch.manual_seed(0)
    model = save_exported(network.eval(), (torch.zeros(shape),), folder / "model.pt2")
    data = np.random.default_rng(0).normal(0, 300, (8, *shape)).astype(np.float32)
    config = Found(from_tables({"sensor": SENSOR, **tables}, "myoedge.toml"), Path())
    return myoedge.build(
        model, calib=data, app="sensor", config=config, output=folder / "out", simulate=False,
        stream="rate" in tables.get("stream", {}),
    )  # fmt: skip


def test_a_channels_integers_follow_its_own_factor(tmp_path: Path) -> None:
    build = built(tmp_path, Scaled(), (1, 8, 20), calib={"scale": 0.001}, stream={"axis": 2})
    import json

    program = from_json(json.loads(build.written(JSON)))
    assert program.layout == SampleLayout(8, 20, 1)
    assert (program.results, program.classes, program.hop) == (5, "largest", 5)
    params = build.network.params[build.network.graph.inputs[0]]
    counts = np.random.default_rng(1).integers(-(2**21), 2**21, (500, 8))
    unit = Fraction("2.4") / 6 / (2**23 - 1) * 10**6 / 1000  # microvolts, scaled to millivolts
    found = program.conversion.integers(counts)
    steps = set()
    for row, made in zip(counts, found, strict=True):
        for channel in range(8):
            real = (
                int(row[channel])
                * unit
                * Fraction(float(np.float32(channel + 1) / np.float32(100)))
            )
            q = (real + Fraction(1, 4)) / Fraction(params.scale) + params.zero_point
            wanted = min(max(float(q), params.low), params.high)
            steps.add(abs(made[channel] - wanted) <= 0.5 + 1e-4)
    assert steps == {True}


@pytest.mark.parametrize(
    ("shape", "channels", "axis", "layout"),
    [
        ((1, 8, 20), 8, None, (8, 20, 1)),
        ((1, 20, 8), 8, None, (1, 20, 8)),
        ((1, 1, 8, 200), 8, None, (8, 200, 1)),
        ((1, 4, 50, 2), 8, None, (4, 50, 2)),
        ((1, 1, 8, 16), 128, None, (1, 1, 128)),
        ((1, 8, 8), 8, 2, (8, 8, 1)),
        ((1, 8, 8), 8, -2, (1, 8, 8)),
    ],
)
def test_the_axis_of_samples(
    shape: tuple[int, ...], channels: int, axis: int | None, layout: tuple[int, int, int]
) -> None:
    found = window_layout(shape, channels, axis)
    assert (found.outer, found.samples, found.inner) == layout
    samples = np.arange(np.prod(shape)).reshape(found.samples, channels)
    arranged = found.arranged(samples).reshape(found.outer, found.samples, found.inner)
    for sample, channel in ((0, 0), (found.samples - 1, 3), (found.samples // 2, channels - 1)):
        outer, inner = divmod(channel, found.inner)
        assert arranged[outer, sample, inner] == samples[sample, channel]


@pytest.mark.parametrize(
    ("shape", "channels", "axis"), [((1, 8, 8), 8, None), ((1, 8, 20), 6, None), ((1, 8, 20), 8, 1)]
)
def test_no_axis_of_samples(shape: tuple[int, ...], channels: int, axis: int | None) -> None:
    with pytest.raises(MyoedgeError, match="E265"):
        window_layout(shape, channels, axis)


@pytest.mark.parametrize(("shape", "fitting"), [((1, 8, 40), (8, 40)), ((1, 16, 8), (8, 16, 128))])
def test_numbers_of_channels_that_would_fit(shape: tuple[int, ...], fitting: tuple[int]) -> None:
    for channels in (3, 4):
        with pytest.raises(MyoedgeError) as raised:
            window_layout(shape, channels, None)
        tries = f"[sensor] channels = {' or '.join(map(str, fitting))}"
        assert raised.value.notice.tries == (tries,)
    for channels in fitting:
        assert window_layout(shape, channels, None)


class Causal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(8, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(nn.functional.pad(x, (2, 0)))
        return y


class TwoInputs(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.abs()


def test_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError, match="E265") as raised:
        built(tmp_path, TwoInputs(), (1, 8, 20))
    assert "outputs" in str(raised.value)
    with pytest.raises(MyoedgeError, match="E264"):
        built(tmp_path, TwoInputs(), (1, 8, 20), calib={"scale": {"a*": 2.0}})
    with pytest.raises(MyoedgeError, match="E264"):
        built(tmp_path, TwoInputs(), (1, 8, 20), sensor={**SENSOR, "gain": 5})


def test_a_frame_with_other_samples_than_the_stream_says(tmp_path: Path) -> None:
    stream = {"axis": 2, "rate": 1000, "hop": 4, "window": 8}
    with pytest.raises(MyoedgeError, match="E265") as raised:
        built(tmp_path, Causal(), (1, 8, 20), stream=stream, sensor={**SENSOR, "channels": 8})
    assert "[stream] window" in str(raised.value)


def test_a_build_has_the_program_and_its_description(tmp_path: Path) -> None:
    sensor = {**SENSOR, "packets": "outputs"}
    build = built(tmp_path, TwoInputs(), (1, 8, 20), sensor=sensor)
    assert build.written("sensor.elf")[:4] == b"\x7fELF"
    assert "myoedge.sensor/1" in check_folder(build.folder)
    assert b"me_sensor_ready" not in build.written("firmware.elf")
    header = build.written("src/firmware/sensor/sensor_network.h").decode()
    assert "#define ME_RESULTS 160u" in header
    assert "#define ME_WINDOW 20u" in header


# Registers by the data sheets' tables, written out for one setting of each chip.
EXPECTED = {
    ("ads1298", 1000, 6, "2.4 V", 8): [0x85, 0x40, 0xCC, 0x03, *[0x00] * 8],
    ("ads1298", 250, 12, "4 V", 2): [0x06, 0x40, 0xEC, 0x03, 0x60, 0x60, *[0x81] * 6],
    ("ads1298", 16000, 1, "4 V", 16): [0xA1, 0x40, 0xEC, 0x03, *[0x10] * 8],
    ("ads1299", 250, 24, "4.5 V", 8): [0x96, 0xC0, 0xEC, 0x00, *[0x60] * 8],
    ("ads1299", 16000, 1, "4.5 V", 8): [0x90, 0xC0, 0xEC, 0x00, *[0x00] * 8],
}


@pytest.mark.parametrize("setting", EXPECTED)
def test_registers(setting: tuple[str, int, int, str, int]) -> None:
    from myoedge.extensions.sensor.settings import sensor_of
    from myoedge.targets.sensor import SensorTable

    name, rate, gain, reference, channels = setting
    table = SensorTable(
        front_end=name, rate=rate, gain=gain, reference=reference, spi_clock="20 MHz",
        pins={"data_ready": 1}, hop=1, unit="uV",
    )  # fmt: skip
    electrodes = 0xFF if channels >= 8 else (1 << channels) - 1
    found = registers(sensor_of(table, channels))
    assert found == [*EXPECTED[setting], 0, 0, electrodes, electrodes, 0]
