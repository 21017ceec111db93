# SPDX-License-Identifier: Apache-2.0
"""SplashNet's front end as a stream: six bands of a log spectrogram, normalised over past frames.

Run it with `python examples/rolling_normalisation.py`. SplashNet (Hadidi et al. 2025,
arXiv 2506.12356) types from emg2qwerty's wristbands with two changes in front of the network: 6
bands instead of 33 frequencies, and every band of every electrode normalised by its mean and
deviation over all frames so far. On a stream that never ends, sums over all frames do not fit into
a state (E131). Here both are taken over the last PAST frames, which an AvgPool1d does. A louder
signal adds a constant to all log powers, which the mean removes.

The recording is an armband's (8 electrodes, 200 Hz), so bands are a tenth of SplashNet's in Hz.
Nothing is trained: the output are the normalised bands.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import myoedge
from myoedge.extensions.zoo import recordings
from myoedge.extensions.zoo.emg2qwerty import FRAME, FREQUENCIES, HOP, LogSpectrogram

RECORDING = Path(__file__).parent / "data" / "libemg_myo.npz"
ELECTRODES, RATE_HZ = 8, 200
EDGES = (1, 2, 4, 8, 12, 22, FREQUENCIES)  # of the bands, in bins of rate / 64
PAST = 25  # frames of 16 samples: 2 s
FRAMES = 4 * PAST  # of the exported network; a stream is as long as it likes
VARIANCE_FLOOR = 0.1  # SplashNet's

Floats = NDArray[np.float32]


class Bands(nn.Module):
    """Layer that averages frequencies by band: [T, N, E, 33] -> [T, N, E, 6]."""

    shares: Tensor

    def __init__(self) -> None:
        super().__init__()
        shares = torch.zeros(FREQUENCIES, len(EDGES) - 1)
        for band, (first, end) in enumerate(pairwise(EDGES)):
            shares[first:end, band] = 1 / (end - first)
        self.register_buffer("shares", shares)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.shares


class RollingNorm(nn.Module):
    """Layer that normalises every feature over the last `past` frames: [T, ...] -> [T - 2 past + 2,
    ...].

    The mean is removed first, and deviations are squared after that, so that no two large numbers
    are subtracted from each other.
    """

    def __init__(self, past: int = PAST) -> None:
        super().__init__()
        self.past, self.mean = past, nn.AvgPool1d(past, stride=1)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.movedim(0, -1).reshape(1, -1, x.shape[0])
        deviation = rows[:, :, self.past - 1 :] - self.mean(rows)
        variance = self.mean(deviation * deviation)
        normed = deviation[:, :, self.past - 1 :] / torch.sqrt(variance + VARIANCE_FLOOR)
        return normed[0].transpose(0, 1).reshape(-1, *x.shape[1:])


def front_end() -> nn.Sequential:
    """Samples [T, 1, 8] -> normalised bands [T', 1, 8, 6], a frame per 16 samples."""
    return nn.Sequential(LogSpectrogram(), Bands(), RollingNorm()).eval()


def windows() -> Floats:
    """The recording in windows of the exported network: [n, T, 1, 8]."""
    emg, length = recordings.load(RECORDING).emg, FRAME + HOP * (FRAMES - 1)
    return np.stack([emg[at : at + length, None] for at in range(0, len(emg) - length, length)])


def build(folder: Path) -> myoedge.Build:
    """Build the front end as a stream."""
    folder.mkdir(parents=True, exist_ok=True)
    archive, settings, samples = folder / "bands.pt2", folder / "myoedge.toml", windows()
    torch.export.save(torch.export.export(front_end(), (torch.zeros(samples[0].shape),)), archive)
    settings.write_text(f"[stream]\naxis = 0\nrate = {RATE_HZ}\nframes = {4 * HOP}\n")
    return myoedge.build(
        archive, calib=samples, output=folder / "bands", config=settings, stream=True
    )


def pushed(made: myoedge.Build, samples: Floats) -> Floats:
    """Normalised bands [frames, 8, 6] of samples [n, 8], by the C on this computer."""
    made.reset()
    ready = [made.push(sample[None], raw=False) for sample in samples]
    return np.concatenate([frames for frames in ready if len(frames)])[:, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("build/rolling"))
    made = build(parser.parse_args().output)
    checked = myoedge.validate(made, on=("host", "simulator"))
    print(f"host and chip equal the reference: {checked.difference is None}")
    print(f"{made.report['quantization']['sqnr_db']:.1f} dB against floats")
    emg = recordings.load(RECORDING).emg[:4000]
    quiet = pushed(made, emg / 2)
    change = np.abs(pushed(made, emg) - quiet)
    print(f"half as loud: bands change by {np.median(change):.2f} deviations in the median")


if __name__ == "__main__":
    main()
