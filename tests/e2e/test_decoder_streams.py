# SPDX-License-Identifier: Apache-2.0
"""Builds of streams with other output rates: generated C against torch over a longer recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from tests.conftest import save_exported
from tests.support.networks.causal import Decoder, DoublePooled
from tests.support.schemas import check_folder

FRAMES, CHANNELS = 24, 4


def upsampled() -> nn.Module:
    """Two results of every frame, between layers that pad after the data."""
    torch.manual_seed(3)
    up = nn.ConvTranspose1d(6, 6, 4, 2, 1)
    parts = (Decoder(CHANNELS, (2, 0), up), nn.Upsample(scale_factor=2))
    return nn.Sequential(*parts, nn.Conv1d(CHANNELS, 3, 3, padding=1)).eval()


def judge(network: nn.Module, folder: Path, **options: str) -> myoedge.Build:
    """Build a network with passes of 4 frames; compare what its C makes of a recording, frame by
    frame, with torch."""
    toml = folder / "myoedge.toml"
    toml.write_text("[stream]\naxis = 2\nframes = 4\n")
    archive = save_exported(network, (torch.zeros(1, CHANNELS, FRAMES),), folder / "model.pt2")
    samples = np.random.default_rng(1).normal(size=(4, 1, CHANNELS, FRAMES)).astype(np.float32)
    build = myoedge.build(
        archive, calib=samples, output=folder / "out", config=toml, stream=True, **options
    )
    x = np.concatenate([*samples], 2)
    found = np.concatenate([build.push(x[:, :, at]) for at in range(x.shape[2])])
    with torch.no_grad():
        wanted = np.moveaxis(network(torch.from_numpy(x)).numpy(), 2, 0)
    stream = build.report["stream"]
    late = stream["future_frames"] / stream["frames_per_output"]
    assert len(found) >= len(wanted) - late
    error = found - wanted[: len(found)]
    assert 10 * np.log10(np.sum(wanted[: len(found)] ** 2) / np.sum(error**2)) > 25
    return build


def test_c_of_a_decoder_gives_torchs_frames(tmp_path: Path) -> None:
    build = judge(upsampled(), tmp_path, target="host")
    check_folder(build.folder)
    stream = build.report["stream"]
    assert (stream["pass_outputs"], stream["frames_per_output"]) == (8, 0.5)
    assert stream["future_frames"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["upsampled", "two levels"])
def test_a_decoder_on_the_chip_has_the_integers_of_the_host(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    network = upsampled() if kind == "upsampled" else DoublePooled(CHANNELS).eval()
    build = judge(network, tmp_path, target="gap9")
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference
