# SPDX-License-Identifier: Apache-2.0
"""The GAP SDK application of a stream: frames over the serial line, exact pass by pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.errors import MyoedgeError
from myoedge.extensions.boards import console
from tests.conftest import save_exported
from tests.extensions.boards.peers import Firmware, at_the_line
from tests.extensions.gap_sdk import sdk
from tests.support.networks.causal import Convolution

CHANNELS, FRAMES = 4, 12
WIDE = 128  # channels of layers that take a while
CLOSE, LARGE_CYCLES = 0.02, 20_000


def streamed(
    folder: Path, channels: int, *, frames: int, recording: int, engine: str = "auto"
) -> Build:
    """Two causal convolutions: the second reads states of the first pass."""
    torch.manual_seed(5)
    shape = (1, channels, recording)
    layers = (Convolution(channels, 3, 1, 1, 2, 1), Convolution(channels, 4, 1, 1, 3, 1))
    model = save_exported(nn.Sequential(*layers).eval(), (torch.zeros(shape),), folder / "m.pt2")
    config = folder / "myoedge.toml"
    config.write_text(f"[stream]\naxis = 2\nframes = {frames}\n")
    calib = np.random.default_rng(0).standard_normal((4, *shape)).astype(np.float32)
    chosen = {"calib": calib, "output": folder / "out", "config": config}
    return myoedge.build(model, app="gap-sdk", stream=True, engine=engine, **chosen)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Four frames a pass."""
    return streamed(tmp_path_factory.mktemp("stream"), CHANNELS, frames=4, recording=FRAMES)


@pytest.fixture(scope="module")
def served(build: Build) -> bytes:
    return sdk.for_chip(build, "SHIM_CHECKS", *sdk.UART).elf


def test_frames_over_the_line_are_exact_pass_by_pass(
    build: Build, served: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulated bare-metal program and the reference say what they must be; a second stream
    begins anew."""
    monkeypatch.setattr(console, "START_TIMEOUT_S", 60.0)
    monkeypatch.setattr(console, "ANSWER_TIMEOUT_S", 30.0)
    x = np.random.default_rng(7).standard_normal((2, 1, CHANNELS, FRAMES)).astype(np.float32)
    with at_the_line(Firmware(served, tmp_path)) as port:
        ran = myoedge.run(build, input=x, port=port)
    assert ran.exact
    assert len(ran.measurement.inferences) == 2 * FRAMES // 4
    bare = myoedge.simulate(build, input=x).measurement
    for found, wanted in zip(ran.measurement.inferences, bare.inferences, strict=True):
        for y, z in zip(found.outputs, wanted.outputs, strict=True):
            np.testing.assert_array_equal(y, z)
        assert len(found.layers) == len(wanted.layers)
        assert all(layer.cycles > 0 for layer in found.layers)


@pytest.mark.slow
def test_cycles_of_a_stream_are_those_of_the_bare_metal_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pass by pass and layer by layer, the first one with its cold caches too; on the cores, where
    both layers take a while."""
    monkeypatch.setattr(console, "START_TIMEOUT_S", 60.0)
    monkeypatch.setattr(console, "ANSWER_TIMEOUT_S", 30.0)
    build = streamed(tmp_path, WIDE, frames=16, recording=32, engine="cores")
    x = np.random.default_rng(8).standard_normal((1, 1, WIDE, 48)).astype(np.float32)
    with at_the_line(Firmware(sdk.for_chip(build, *sdk.UART).elf, tmp_path)) as port:
        served = myoedge.run(build, input=x, port=port).measurement.inferences
    bare = myoedge.simulate(build, input=x).measurement.inferences
    pairs = [
        (f.cycles, w.cycles)
        for found, wanted in zip(served, bare, strict=True)
        for f, w in zip((*found.layers, found), (*wanted.layers, wanted), strict=True)
    ]
    large = [(f, w) for f, w in pairs if w >= LARGE_CYCLES]
    assert len(served) == 3
    assert len(large) == 3 * 3, "two layers and their sum, each pass"
    assert all(abs(f - w) <= CLOSE * w for f, w in large), pairs


def test_without_a_line_a_stream_is_no_program(build: Build) -> None:
    with pytest.raises(MyoedgeError, match="comes over the serial line"):
        sdk.for_chip(build)


def test_a_meter_measures_no_stream(build: Build) -> None:
    with pytest.raises(MyoedgeError) as caught:
        myoedge.bench(build, meter="/dev/null")
    assert caught.value.code == "E237"
