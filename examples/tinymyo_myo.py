# SPDX-License-Identifier: Apache-2.0
"""TinyMyo's small variant on the five gestures of an armband: trained, built, compared with floats.

Run it with `python examples/tinymyo_myo.py`. In the recording's last repetition the armband sits
rotated, so that the first two are trained on and the third is the test.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# before torch is imported: its threads sleep while they wait, and leave the processors to others
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import torch
from numpy.typing import NDArray

import myoedge
from myoedge.extensions.zoo import recordings, tinymyo

RECORDING = Path(__file__).parent / "data" / "libemg_myo.npz"
TRAIN_REPS, TEST_REPS = (0, 1), (2,)
LENGTH = 200  # samples: a second
TYPICAL = 16.0  # standard deviation of a gesture, in steps of the armband's converter
BATCH = 32

Floats = NDArray[np.float32]
Labelled = tuple[Floats, NDArray[np.int64]]


@dataclass(frozen=True)
class Comparison:
    """Float network and generated C on the same windows: shares that are right, and that agree, and
    what the logits keep."""

    windows: int
    right_float: float
    right_int8: float
    agreement: float
    sqnr_db: float


def data(reps: Collection[int], hop: int) -> Labelled:
    """Windows [n, 1, 8, LENGTH] and their gestures [n]."""
    recording = recordings.load(RECORDING)
    x, y = recordings.windows(recording, reps, length=LENGTH, hop=hop, rectify=False)
    return x / np.float32(TYPICAL), y


def train(labelled: Labelled, epochs: int, seed: int = 0) -> torch.nn.Module:
    """A trained network of four layers for five gestures; noise and gain vary what it sees."""
    torch.manual_seed(seed)
    head = tinymyo.encoder.Classification(8, 5)
    model = tinymyo.TinyMyo(head, 8, LENGTH, version=2, layers=4).train()
    x, y = (torch.from_numpy(array) for array in labelled)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.01)
    for epoch in range(epochs):
        order = torch.randperm(len(x))
        for at in order.split(BATCH):
            gain = 0.8 + 0.4 * torch.rand(len(at), 1, 1)
            seen = x[at, 0] * gain + 0.05 * torch.randn(len(at), 8, LENGTH)
            loss = torch.nn.functional.cross_entropy(model(seen), y[at])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}", flush=True)
    return model.eval()


def build(
    model: torch.nn.Module, calib: Floats, folder: Path, weight_bits: int = 8
) -> myoedge.Build:
    """The network for GAP9, verified on host and simulated chip."""
    archive, config = folder / "tinymyo.pt2", folder / "myoedge.toml"
    torch.export.save(torch.export.export(model, (torch.zeros(1, 8, LENGTH),)), archive)
    config.write_text(f'[quant]\n"*" = {{ weights = {weight_bits} }}\n')
    made = myoedge.build(
        archive, target="gap9", calib=calib, config=config, output=folder / "tinymyo"
    )
    assert myoedge.validate(made, on=("host", "simulator")).difference is None
    return made


def compare(model: torch.nn.Module, made: myoedge.Build, labelled: Labelled) -> Comparison:
    """By the bytes that the device computes: the generated C, run here."""
    x, y = labelled
    with torch.no_grad():
        real = np.stack([model(torch.from_numpy(one)).numpy().ravel() for one in x])
    mine = np.stack([np.ravel(made.run(one)) for one in x])
    floats, device = real.argmax(1), mine.argmax(1)
    shares = [float(np.mean(a)) for a in (floats == y, device == y, floats == device)]
    noise = np.sum((real - mine) ** 2) / np.sum(real**2)
    return Comparison(len(x), *shares, float(-10 * np.log10(noise)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--hop", type=int, default=10, help="samples between training windows")
    parser.add_argument("--weights", type=int, default=8, help="bits of weights, 2 to 8")
    options = parser.parse_args()
    training = data(TRAIN_REPS, options.hop)
    model = train(training, options.epochs)
    with tempfile.TemporaryDirectory() as folder:
        made = build(model, training[0][::8], Path(folder), options.weights)
        found = compare(model, made, data(TEST_REPS, 2))
        myoedge.simulate(made)
        cycles = made.report["cycles"]["total"]
    print(f"{found.windows} windows of a repetition that was not trained on:")
    print(f"right in floats {found.right_float:.1%}, on the device {found.right_int8:.1%}")
    print(f"the same answer {found.agreement:.1%}, {found.sqnr_db:.1f} dB of the logits")
    print(f"{cycles / 1e6:.2f} M cycles a window")


if __name__ == "__main__":
    main()
