# SPDX-License-Identifier: Apache-2.0
"""From a recording to verified int8 C: train, export, build, validate, compare; then fine-tune.

Run it with `make demo`. For data of your own, change `data` and `train`; the rest stays.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# before torch is imported: its threads sleep while they wait, and leave the processors to others
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

import myoedge
from myoedge.extensions.zoo import all_convnet, recordings

RECORDING = Path(__file__).parent / "data" / "libemg_myo.npz"
SEED = 0
# 15 ms, unsmoothed: hard enough that the float network makes mistakes and a loss would show
LENGTH = 3
# rectified amplitudes of a firm gesture, in steps of the armband's converter; brings inputs near 1
TYPICAL = 10.0
TRAIN_REPS, TEST_REPS, ROTATED_REPS = (0, 1), (2,), (3,)
FIRST_HALF, SECOND_HALF = (0.0, 0.5), (0.5, 1.0)

Floats = NDArray[np.float32]
Labelled = tuple[Floats, NDArray[np.int64]]
console = Console()


@dataclass(frozen=True)
class Comparison:
    """Float network and generated C on the same windows; accuracies and agreement in percent."""

    windows: int
    accuracy_float: float
    accuracy_int8: float
    agreement: float


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Prints how long a step took."""
    start = time.monotonic()
    yield
    console.print(f"[dim]{step} took {time.monotonic() - start:.0f} s", highlight=False)


# --- training -----------------------------------------------------------------------------------


def data(
    reps: Collection[int], *, hop: int = LENGTH, part: tuple[float, float] = (0.0, 1.0)
) -> Labelled:
    """Windows [n, 1, 8, LENGTH] and their gestures [n]; by default no two share a sample."""
    recording = recordings.load(RECORDING)
    x, y = recordings.windows(recording, reps, length=LENGTH, hop=hop, part=part)
    return x / np.float32(TYPICAL), y


def train(
    labelled: Labelled,
    *,
    steps: int = 400,
    seed: int = SEED,
    start: torch.nn.Module | None = None,
    lr: float = 1e-3,
) -> torch.nn.Module:
    """A trained All-ConvNet; goes on from `start`, which is changed, where one is given.

    The same seed gives the same weights on one machine: the number of threads decides the order
    of float additions, so it is fixed.
    """
    torch.set_num_threads(2)
    torch.manual_seed(seed)
    model = (start or all_convnet.myo()).train()
    x, y = (torch.from_numpy(array) for array in labelled)
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=lr, total_steps=steps)
    for _ in progress(steps, "training" if start is None else "fine-tuning"):
        pick = torch.randint(len(x), (32,))
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x[pick]), y[pick]).backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def progress(steps: int, what: str) -> Iterable[int]:
    """range(steps) with a bar on a terminal, with four lines elsewhere."""
    if console.is_terminal:
        yield from track(range(steps), what, console=console, transient=True)
        return
    for step in range(steps):
        yield step
        if (step + 1) % max(steps // 4, 1) == 0:
            print(f"{what}: step {step + 1} of {steps}", flush=True)


def predict_float(model: torch.nn.Module, x: Floats) -> Floats:
    """Logits [n, 5] of the float network."""
    with torch.inference_mode():
        logits: Floats = model(torch.from_numpy(x)).numpy()
    return logits


# --- what myoedge gets: the model, and samples to calibrate on ------------------------------------


def export(model: torch.nn.Module, folder: Path, calib: Labelled, test: Labelled) -> None:
    """Writes model.pt2, calib.npz and test.npz; the shape of the model's input is one window's."""
    folder.mkdir(parents=True, exist_ok=True)
    example = torch.from_numpy(calib[0][:1])
    torch.export.save(torch.export.export(model, (example,)), folder / "model.pt2")
    for name, (x, y) in (("calib", calib), ("test", test)):
        np.savez(folder / f"{name}.npz", input=x, label=y)


# --- the command line, as a person would type it --------------------------------------------------


def build(folder: Path) -> Path:
    """`myoedge build`, `validate` and `simulate` on what `export` wrote; the build's own folder."""
    built = folder / "gap9"
    model, calib, test = (folder / name for name in ("model.pt2", "calib.npz", "test.npz"))
    run("build", "--target", "gap9", model, "--calib", calib, "--test", test, "-o", built)
    run("validate", built, "--on", "host,simulator")
    run("simulate", built)
    return built


def run(*arguments: str | Path) -> None:
    """One myoedge command, shown before it runs; ends the demo with its exit code if it fails."""
    words = [str(argument) for argument in arguments]
    console.print(f"\n[bold]$ myoedge {' '.join(words)}", highlight=False, soft_wrap=True)
    with timed(f"myoedge {words[0]}"):
        done = subprocess.run([sys.executable, "-m", "myoedge", *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def predict_int8(built: Path, x: Floats) -> Floats:
    """Logits [n, 5] of the generated C: float in, float out, integers within."""
    logits: Floats = myoedge.load_build(built).run(x)
    return logits


# --- what came out --------------------------------------------------------------------------------


def compare(model: torch.nn.Module, built: Path, labelled: Labelled) -> Comparison:
    x, y = labelled
    by_float = predict_float(model, x).argmax(axis=1)
    by_int8 = predict_int8(built, x).argmax(axis=1)
    shares = (by_float == y, by_int8 == y, by_int8 == by_float)
    return Comparison(len(y), *(100 * float(share.mean()) for share in shares))


def show_build(built: Path, result: Comparison) -> None:
    report = json.loads((built / "report.json").read_text())
    memory, exact = report["memory"], report["exact"]
    answers = {True: "yes", False: "NO", None: "not run"}
    table = Table(title=f"test set, repetition 2: {result.windows} windows", show_header=False)
    for row in (
        ("accuracy, float", f"{result.accuracy_float:.1f} %"),
        ("accuracy, int8 C", f"{result.accuracy_int8:.1f} %"),
        ("same decision", f"{result.agreement:.1f} %"),
        ("SQNR of the output", f"{report['quantization']['sqnr_db']:.1f} dB"),
        ("C = NumPy, bit for bit", answers[exact["host"]]),
        ("the same on simulated GAP9", answers[exact["simulator"]]),
        ("cycles", f"{report['cycles']['total']:,}"),
        ("latency at 370 MHz", f"{report['latency_s'] * 1e6:.0f} µs"),
        ("weights and tables", f"{memory['weights_bytes'] / 1024:.0f} KiB"),
        ("activations", f"{memory['arena_bytes'] / 1024:.0f} KiB"),
        ("L2 peak, without code", f"{memory['l2_peak_bytes'] / 1024:.0f} KiB"),
    ):
        table.add_row(*row)
    console.print("\n", table)
    console.print(f"report: {built / 'report.html'}", highlight=False, soft_wrap=True)


def show_rotation(before: Comparison, after: Comparison) -> None:
    title = f"rotated armband: second half of repetition 3, {before.windows} windows"
    table = Table("", "float", "int8 C", "same decision", title=title)
    for name, row in (("as trained", before), ("fine-tuned on the first half", after)):
        shares = (row.accuracy_float, row.accuracy_int8, row.agreement)
        table.add_row(name, *(f"{share:.1f} %" for share in shares))
    console.print("\n", table)


# --- the two chapters -----------------------------------------------------------------------------


def trained(folder: Path, seed: int = SEED) -> torch.nn.Module:
    """Chapter one without the build: trained on repetitions 0 and 1, exported into the folder."""
    with timed("training"):
        model = train(data(TRAIN_REPS, hop=1), seed=seed)
    export(model, folder, calib=data(TRAIN_REPS, hop=4 * LENGTH), test=data(TEST_REPS))
    return model


def fine_tuned(model: torch.nn.Module, folder: Path, seed: int = SEED) -> torch.nn.Module:
    """Chapter two without the build: learns the rotation from the first half of repetition 3."""
    few = data(ROTATED_REPS, hop=1, part=FIRST_HALF)
    with timed("fine-tuning"):
        model = train(few, steps=200, seed=seed, start=model)
    export(model, folder, calib=few, test=data(ROTATED_REPS, part=SECOND_HALF))
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="folder to write to")
    parser.add_argument("--seed", type=int, default=SEED, help="of weights and training order")
    options = parser.parse_args()
    out, rotated = options.out, data(ROTATED_REPS, part=SECOND_HALF)

    model = trained(out, options.seed)
    built = build(out)
    result, before = compare(model, built, data(TEST_REPS)), compare(model, built, rotated)

    model = fine_tuned(model, out / "finetuned", options.seed)
    after = compare(model, build(out / "finetuned"), rotated)

    show_build(built, result)
    show_rotation(before, after)


if __name__ == "__main__":
    main()
