# SPDX-License-Identifier: Apache-2.0
"""Networks that adapt to a new session on the chip: trained, built with [adapt], and measured.

Run it with `python examples/adaptation.py demo` (or convolutions, lstm, keys, tinymyo). In the last
repetition of a recording the armband sits rotated: its first half is what a session learns from,
its second half the test, the third repetition the old session. Nobody typed for `keys`: a key is
a drawn strength of eight electrodes, and the new user has strengths of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

# before torch is imported: its threads sleep while they wait, and leave the processors to others
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import demo
import tinymyo_myo
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import myoedge
from myoedge.extensions.zoo import recordings
from myoedge.extensions.zoo.emg2qwerty import KAO_CLASSES, kao_with_front_end

Floats = NDArray[np.float32]
Labelled = tuple[Floats, NDArray[np.int64]]
Part = tuple[float, float]
TRAIN_REPS, OLD_REPS, NEW_REPS = (0, 1), (2,), (3,)
FIRST_HALF, SECOND_HALF, WHOLE = (0.0, 0.5), (0.5, 1.0), (0.0, 1.0)
KEY_SAMPLES = 96  # at 200 Hz
KEY_LAYER = "*fc_block*"  # the layer in front of the last one has too many numbers
ELECTRODES = 8


@dataclass(frozen=True)
class Task:
    """A trained network and what it is adapted with.

    example   an input of the network
    calib     samples of its training set
    new       windows that a session learns from
    rest      other windows of the same session
    old       windows of the session before
    every     time between two windows of a class
    window    duration of a window
    replay    memory for features of the training set
    layer     whose results are the features; None: in front of the last layer
    """

    model: nn.Module
    example: Tensor
    calib: Labelled
    new: Labelled
    rest: Labelled
    old: Labelled
    every: str
    window: str
    replay: str
    layer: str | None = None


# --- networks -------------------------------------------------------------------------------------


class Convolutions(nn.Module):
    """Two 1-d convolutions, their mean over a window, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(ELECTRODES, 32, 5, padding=2)
        self.second = nn.Conv1d(32, 64, 5, padding=2)
        self.head = nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.relu(self.second(torch.relu(self.first(x))))
        return self.head(maps.mean(-1))  # type: ignore[no-any-return]


class Lstm(nn.Module):
    """An LSTM over a window's samples, and a linear layer of its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(ELECTRODES, 32, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x.transpose(1, 2))[0][:, -1])  # type: ignore[no-any-return]


class Keys(nn.Module):
    """Kao's network for six keys, from samples [T, N, 8] to the scores of the last frame [N, 7]."""

    def __init__(self) -> None:
        super().__init__()
        self.network = kao_with_front_end()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[-1]  # type: ignore[no-any-return]


def fitted(
    model: nn.Module, labelled: Labelled, steps: int, rate: float, axis: int = 0
) -> nn.Module:
    """The network after so many steps; axis: of the samples in its input."""
    x, y = (torch.from_numpy(array) for array in labelled)
    optimiser = torch.optim.Adam(model.train().parameters(), lr=rate)
    for _ in range(steps):
        pick = torch.randint(len(y), (32,))
        batch = x[pick] if axis == 0 else torch.cat([*x[pick]], axis)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(batch), y[pick]).backward()
        optimiser.step()
    return model.eval()


# --- tasks ----------------------------------------------------------------------------------------


def every(labelled: Labelled, step: int) -> Labelled:
    """One sample in so many."""
    x, y = labelled
    return x[::step], y[::step]


def of_demo(seed: int) -> Task:
    """The demo's network on 15 ms windows, which are hard on purpose."""
    trained = demo.data(TRAIN_REPS, hop=1)
    model = demo.train(trained, seed=seed)
    new = demo.data(NEW_REPS, hop=1, part=FIRST_HALF)
    rest, old = demo.data(NEW_REPS, part=SECOND_HALF), demo.data(OLD_REPS)
    example, calib = torch.from_numpy(new[0][:1]), every(trained, 8)
    return Task(model, example, calib, new, rest, old, "5 ms", "15 ms", "64KiB")


def windows(reps: Collection[int], hop: int, part: Part = WHOLE) -> Labelled:
    """Windows [n, 8, 40] of 200 ms, and their gestures."""
    recording = recordings.load(demo.RECORDING)
    x, y = recordings.windows(recording, reps, length=40, hop=hop, part=part)
    return (x / np.float32(demo.TYPICAL))[:, 0], y


def of_windows(model: nn.Module, rate: float) -> Task:
    """A network on windows of 200 ms."""
    trained = windows(TRAIN_REPS, 4)
    model = fitted(model, trained, 300, rate)
    new, rest = windows(NEW_REPS, 4, FIRST_HALF), windows(NEW_REPS, 8, SECOND_HALF)
    example, calib = torch.from_numpy(new[0][:1]), every(trained, 4)
    old = windows(OLD_REPS, 8)
    return Task(model, example, calib, new, rest, old, "20 ms", "200 ms", "16KiB")


def of_convolutions(seed: int) -> Task:
    torch.manual_seed(seed)
    return of_windows(Convolutions(), 2e-3)


def of_lstm(seed: int) -> Task:
    torch.manual_seed(seed)
    return of_windows(Lstm(), 5e-3)


def seconds(reps: Collection[int], hop: int, part: Part = WHOLE) -> Labelled:
    """Windows [n, 1, 8, 200] of a second, as TinyMyo is trained on, and their gestures."""
    recording = recordings.load(tinymyo_myo.RECORDING)
    size = tinymyo_myo.LENGTH
    x, y = recordings.windows(recording, reps, length=size, hop=hop, part=part, rectify=False)
    return x / np.float32(tinymyo_myo.TYPICAL), y


def of_tinymyo(seed: int) -> Task:
    """TinyMyo of four layers on windows of a second."""
    trained = seconds(TRAIN_REPS, 10)
    model = tinymyo_myo.train(trained, 12, seed)
    new, rest = seconds(NEW_REPS, 10, FIRST_HALF), seconds(NEW_REPS, 5, SECOND_HALF)
    example, calib = torch.from_numpy(new[0][0]), every(trained, 8)
    old = seconds(OLD_REPS, 10)
    return Task(model, example, calib, new, rest, old, "50 ms", "1 s", "16KiB")


def typed(rng: np.random.Generator, strengths: Floats, each: int) -> Labelled:
    """Windows [n, KEY_SAMPLES, 1, 8] of noise with the strengths of keys, `each` of every key."""
    keys = np.arange(each * KAO_CLASSES) % KAO_CLASSES
    noise = rng.normal(size=(2, len(keys), KEY_SAMPLES, 1, ELECTRODES))
    size = rng.uniform(6.0, 12.0, (len(keys), 1, 1, 1))
    x = noise[0] * size * strengths[keys][:, None, None] + 2.0 * noise[1]
    return x.astype(np.float32), keys


def of_keys(seed: int) -> Task:
    """Kao's network on drawn typing; a user's strengths are the common ones, turned and changed."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    common = rng.uniform(0.1, 1.0, (KAO_CLASSES, ELECTRODES)) ** 2
    common[-1] = 0.02  # no key

    def user(turned: int, changed: float) -> Floats:
        gain = np.exp(changed * rng.normal(size=common.shape))
        return (np.roll(common, turned, axis=1) * gain).astype(np.float32)

    users = [typed(rng, user(0, 0.15), 40) for _ in range(6)]
    trained = np.concatenate([x for x, _ in users]), np.concatenate([y for _, y in users])
    model = fitted(Keys(), trained, 250, 2e-3, axis=1)
    stranger = user(1, 0.4)
    new, rest, old = (
        typed(rng, stranger, 40),
        typed(rng, stranger, 60),
        typed(rng, user(0, 0.15), 60),
    )
    example, calib = torch.from_numpy(new[0][0]), every(trained, 4)
    return Task(model, example, calib, new, rest, old, "160 ms", "480 ms", "16KiB", KEY_LAYER)


TASKS: dict[str, Callable[[int], Task]] = {
    "demo": of_demo,
    "convolutions": of_convolutions,
    "lstm": of_lstm,
    "keys": of_keys,
    "tinymyo": of_tinymyo,
}


# --- what myoedge does ----------------------------------------------------------------------------


def build(task: Task, folder: Path, methods: Sequence[str]) -> myoedge.Build:
    """The build for GAP9 with [adapt]."""
    archive, config, calib = (folder / name for name in ("model.pt2", "myoedge.toml", "calib.npz"))
    torch.export.save(torch.export.export(task.model, (task.example,)), archive)
    table: dict[str, object] = {"methods": [*methods], "layer": task.layer}
    table["replay"] = task.replay if "head" in methods else None
    table["channels"] = ELECTRODES if "norm" in methods else None
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if value]
    config.write_text("\n".join(["[adapt]", *lines, ""]))
    np.savez(calib, input=task.calib[0], label=task.calib[1])
    files = {"calib": calib, "config": config, "output": folder / "build"}
    return myoedge.build(archive, target="gap9", simulate=False, **files)


def mislabelled(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    """Labels of which a share is replaced by other classes, drawn."""
    rng, classes = np.random.default_rng(seed), int(labels.max()) + 1
    wrong = rng.random(len(labels)) < share
    return np.where(wrong, (labels + rng.integers(1, classes, len(labels))) % classes, labels)


def rows(name: str, seed: int, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Sessions of one training."""
    task = TASKS[name](seed)
    task = replace(task, layer=given.layer or task.layer, replay=given.replay or task.replay)
    new = task.new[0], mislabelled(task.new[1], given.wrong, seed)
    sets = zip(("data", "test", "old"), (new, task.rest, task.old), strict=True)
    samples = {key: {"input": x, "label": y} for key, (x, y) in sets}
    with tempfile.TemporaryDirectory() as folder:
        made = build(task, Path(folder), given.methods)
        layer = made.report["adaptation"]
        print(f"{name} {seed}: {layer['features']} features of {layer['layer']}")
        times = {"every": task.every, "window": task.window, "on": given.on}
        found = myoedge.adapt(made, **samples, **times)
        assert found.exact is not False
        return [{"network": name, "seed": seed, **row} for row in found.rows()]


def show(found: Sequence[dict[str, Any]]) -> None:
    """Mean and spread over the trainings, a line a method and length."""
    keys = dict.fromkeys((row["network"], row["method"], row["seconds"]) for row in found)
    for key in keys:
        same = [r for r in found if (r["network"], r["method"], r["seconds"]) == key]
        before, after, old = (
            np.array([row[f"accuracy_{what}"] for row in same])
            for what in ("before", "after", "old_session")
        )
        kept = sum(not row["in_force"] for row in same)
        print(
            f"{key[0]:12} {key[1]:10} {key[2]:5g} s {same[0]['windows']:5} windows: "
            f"{before.mean():5.1f} -> {after.mean():5.1f} ± {after.std():4.1f} %, "
            f"old {old.mean():5.1f} %" + (f", {kept} kept" if kept else "")
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="+", choices=TASKS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--wrong", type=float, default=0.0, help="share of wrong labels")
    parser.add_argument("--methods", nargs="+", default=["prototypes", "lda", "head"])
    parser.add_argument("--layer", help="whose results are the features")
    parser.add_argument("--replay", help='memory for features of the training set: "0"')
    parser.add_argument("--on", default="host", help="or simulator")
    parser.add_argument("-o", "--output", type=Path, help="a JSON file")
    given = parser.parse_args()
    found = []
    for name in given.networks:
        for seed in range(given.seeds):
            found += rows(name, seed, given)
    show(found)
    if given.output:
        given.output.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
