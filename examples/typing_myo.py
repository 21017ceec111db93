# SPDX-License-Identifier: Apache-2.0
"""Four keys from an armband: the network of Kao's size, trained, built, compared with floats.

Run it with `python examples/typing_myo.py`. Nobody typed for it: a press of a key is a stretch of
one of four gestures out of a real recording, faded in and out between stretches of the same
recording's rest. Presses and rests of the first two repetitions are trained on, those of the third
are the test. So its error rates say nothing of typing; what int8 costs the network is real.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# before torch is imported: its threads sleep while they wait, and leave the processors to others
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import myoedge
from myoedge.extensions.zoo import recordings
from myoedge.extensions.zoo.emg2qwerty import KAO_CLASSES, kao_with_front_end

RECORDING = Path(__file__).parent / "data" / "libemg_myo.npz"
KEYS = " jkl;r"  # classes 0 .. 5; the last class is the blank
BLANK = KAO_CLASSES - 1
GESTURES = {1: 0, 2: 1, 3: 3, 4: 4}  # class of a key: the gesture that presses it
REST = 2
TRAIN_REPS, TEST_REPS = (0, 1), (2,)
SAMPLES = 1000  # of a window: 5 s
PRESS, GAP = (80, 130), (40, 90)  # samples of a press, and between presses
FADE = 16
BATCH, RATE = 16, 1e-3

Floats = NDArray[np.float32]
Window = tuple[Floats, list[int]]


@dataclass(frozen=True)
class Comparison:
    """Float network and generated C on the same windows.

    agreement     share of frames with the same best class
    wrong_float, wrong_int8   character error rates
    """

    windows: int
    frames: int
    sqnr_db: float
    agreement: float
    wrong_float: float
    wrong_int8: float


def stretches(reps: Sequence[int]) -> dict[int, list[Floats]]:
    """The recording by gesture, one stretch a repetition."""
    found = recordings.load(RECORDING)
    return {g: [found.emg[(found.labels == g) & (found.reps == r)] for r in reps] for g in range(5)}


def window(rng: np.random.Generator, parts: dict[int, list[Floats]]) -> Window:
    """Samples [SAMPLES, 1, 8] with presses at random times, and their classes in order."""
    x = _cut(rng, parts[REST], SAMPLES).copy()
    at, keys = int(rng.integers(*GAP)), []
    while at + PRESS[1] < SAMPLES:
        size, key = int(rng.integers(*PRESS)), int(rng.choice(list(GESTURES)))
        ramp = np.clip(np.minimum(np.arange(size), np.arange(size)[::-1]) / FADE, 0.0, 1.0)
        pressed = _cut(rng, parts[GESTURES[key]], size) * rng.uniform(0.8, 1.2)
        x[at : at + size] += ramp[:, None].astype(np.float32) * pressed.astype(np.float32)
        keys.append(key)
        at += size + int(rng.integers(*GAP))
    return x[:, None], keys


def _cut(rng: np.random.Generator, parts: list[Floats], size: int) -> Floats:
    """A stretch out of one of the parts, which goes round where it is too short."""
    part = parts[int(rng.integers(len(parts)))]
    start = int(rng.integers(len(part)))
    return part[(start + np.arange(size)) % len(part)]


def windows(reps: Sequence[int], count: int, seed: int) -> list[Window]:
    rng, parts = np.random.default_rng(seed), stretches(reps)
    return [window(rng, parts) for _ in range(count)]


def train(steps: int, seed: int = 0) -> nn.Module:
    """By the loss of CTC on windows that are all new."""
    torch.manual_seed(seed)
    model = kao_with_front_end().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2 * RATE, total_steps=steps)
    rng, parts = np.random.default_rng(seed), stretches(TRAIN_REPS)
    for step in range(steps):
        drawn = [window(rng, parts) for _ in range(BATCH)]
        scores = model(torch.from_numpy(np.concatenate([x for x, _ in drawn], 1)))
        loss = _loss(scores, [keys for _, keys in drawn])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        plan.step()
        if step % 20 == 19:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    return model.eval()


def _loss(scores: Tensor, keys: list[list[int]]) -> Tensor:
    lengths = torch.tensor([len(each) for each in keys])
    frames = torch.full((len(keys),), len(scores))
    targets = torch.tensor([key for each in keys for key in each])
    return nn.functional.ctc_loss(scores, targets, frames, lengths, BLANK)


def build(model: nn.Module, folder: Path, calib: list[Window]) -> myoedge.Build:
    """Samples of 16 bits in, log-probabilities of every frame out."""
    archive = folder / "typing.pt2"
    torch.export.save(torch.export.export(model, (torch.zeros(SAMPLES, 1, 8),)), archive)
    samples = np.stack([x for x, _ in calib])
    return myoedge.build(archive, target="gap9", calib=samples, output=folder / "typing")


def compare(model: nn.Module, made: myoedge.Build, given: list[Window]) -> Comparison:
    """By the bytes that the device computes: the generated C, run here."""
    agree, frames, wrong, typed = 0, 0, [0, 0], 0
    for x, keys in given:
        with torch.no_grad():
            real = model(torch.from_numpy(x))[:, 0].argmax(-1).numpy()
        found = np.asarray(made.run(x))[:, 0].argmax(-1)
        agree, frames = agree + int((real == found).sum()), frames + len(real)
        wrong = [w + distance(symbols(b), keys) for w, b in zip(wrong, (real, found), strict=True)]
        typed += len(keys)
    sqnr_db = made.report["quantization"]["sqnr_db"]
    return Comparison(
        len(given), frames, sqnr_db, agree / frames, wrong[0] / typed, wrong[1] / typed
    )


def symbols(best: NDArray[np.int64]) -> list[int]:
    """Classes of frames without repetitions and blanks."""
    kept = np.append(True, best[1:] != best[:-1]) & (best != BLANK)
    return [int(key) for key in best[kept]]


def distance(a: Sequence[int], b: Sequence[int]) -> int:
    """Insertions, deletions and replacements between two texts."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            above, row[j] = row[j], min(above + (left != right), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--windows", type=int, default=64, help="of the test")
    parser.add_argument("--chip", action="store_true", help="also on the simulated chip")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    model = train(given.steps)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.output or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        made = build(model, folder, windows(TRAIN_REPS, 48, seed=1))
        found = compare(model, made, windows(TEST_REPS, given.windows, seed=2))
        print(found)
        if given.chip:
            assert myoedge.validate(made, on=("simulator",)).difference is None
            print(f"{myoedge.simulate(made).report['cycles']['total']:,} cycles a window")


if __name__ == "__main__":
    main()
