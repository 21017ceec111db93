# SPDX-License-Identifier: Apache-2.0
"""A recording, sample by sample, through the generated C of a causal network: symbols as they come.

    python examples/stream.py                  # on this computer
    python examples/stream.py --on simulator   # the firmware, on the simulated GAP9

A symbol is a gesture that the network has seen for HOLD samples; what is printed beside it is what
the recording says at that time. The network sees 21 samples (105 ms) and is trained here, in
seconds, on two repetitions of five gestures; a third one is streamed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

# before torch is imported: its threads sleep while they wait, and leave the processors to others
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import myoedge
from myoedge.extensions.zoo import recordings

RECORDING = Path(__file__).parent / "data" / "libemg_myo.npz"
CHANNELS, GESTURES = 8, 5
FRAMES = 200  # of a training window; a stream is as long as it likes
TYPICAL = 10.0  # steps of the converter in a firm gesture
HOLD = 20  # samples: 100 ms
TRAIN_REPS, STREAMED_REP = (0, 1), 2

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Causal(nn.Module):
    """[1, 8, T] rectified samples -> [1, 5, T] logits, each of the samples up to its own."""

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        self.first = nn.Conv1d(CHANNELS, hidden, 5)
        self.second = nn.Conv1d(hidden, hidden, 5, dilation=4)
        self.head = nn.Conv1d(hidden, GESTURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(nn.functional.pad(x, (4, 0))))
        x = torch.relu(self.second(nn.functional.pad(x, (16, 0))))
        logits: Tensor = self.head(x)
        return logits


def windows(hop: int) -> tuple[Floats, Ints]:
    """Windows [n, 8, FRAMES] of the training repetitions, and the gesture of each."""
    x, y = recordings.windows(recordings.load(RECORDING), TRAIN_REPS, length=FRAMES, hop=hop)
    return x[:, 0] / np.float32(TYPICAL), y


def train(x: Floats, y: Ints, steps: int = 300) -> nn.Module:
    torch.set_num_threads(2)
    torch.manual_seed(0)
    model = Causal().train()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(steps):
        pick = torch.randint(len(inputs), (16,))
        logits = model(inputs[pick])
        wanted = labels[pick, None].expand(-1, FRAMES)
        optimiser.zero_grad()
        nn.functional.cross_entropy(logits, wanted).backward()
        optimiser.step()
    return model.eval()


def build(model: nn.Module, calib: Floats, folder: Path, rate_hz: float) -> myoedge.Build:
    folder.mkdir(parents=True, exist_ok=True)
    archive, settings = folder / "model.pt2", folder / "myoedge.toml"
    example = (torch.zeros(1, CHANNELS, FRAMES),)
    torch.export.save(torch.export.export(model, example), archive)
    settings.write_text(f"[stream]\naxis = 2\nrate = {rate_hz}\n")
    return myoedge.build(
        archive, calib=calib[:, None], output=folder / "out", config=settings, stream=True
    )


def outputs(built: myoedge.Build, samples: Floats, on: str) -> Iterator[Floats]:
    """Logits [5] of every sample that has them, in their order; samples [n, 8]."""
    if on == "simulator":  # all of them at once: a simulated chip has no clock to wait for
        found = myoedge.simulate(built, input=samples.T[None, None]).measurement
        ready = (frame for inference in found.inferences for frame in inference.outputs[0])
    else:
        built.reset()
        ready = (frame for sample in samples for frame in built.push(sample, raw=False))
    for frame in ready:
        yield frame.reshape(-1)


def decided(logits: Iterator[Floats], kept: list[int]) -> Iterator[int]:
    """The largest of every sample's logits, which are kept too."""
    for row in logits:
        kept.append(int(np.argmax(row)))
        yield kept[-1]


def symbols(largest: Iterator[int]) -> Iterator[tuple[int, int]]:
    """(sample, gesture) where one has been the largest for HOLD samples and is not the last one."""
    shown, candidate, since = -1, -1, 0
    for at, now in enumerate(largest):
        if now != candidate:
            candidate, since = now, at
        if candidate != shown and at - since + 1 >= HOLD:
            shown = candidate
            yield at, shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--on", choices=["host", "simulator"], default="host")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/stream"))
    options = parser.parse_args()

    recording = recordings.load(RECORDING)
    streamed = recording.reps == STREAMED_REP
    samples = np.abs(recording.emg[streamed]) / np.float32(TYPICAL)
    truth = recording.labels[streamed]
    x, y = windows(hop=20)
    built = build(train(x, y), x[::8], options.output, recording.fs_hz)
    print(f"{len(samples):,} samples at {recording.fs_hz:g} Hz, pushed one by one ({options.on})")
    largest: list[int] = []
    for at, gesture in symbols(decided(outputs(built, samples, options.on), largest)):
        but = "" if truth[at] == gesture else f"   the recording says {truth[at]}"
        print(f"{at / recording.fs_hz:8.2f} s  gesture {gesture}{but}", flush=True)
    right = np.mean(np.array(largest) == truth[: len(largest)])
    print(f"{right:.1%} of the samples have the right gesture")


if __name__ == "__main__":
    main()
