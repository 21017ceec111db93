# SPDX-License-Identifier: Apache-2.0
"""What pages show of a terminal, made by running it: python -m tests.transcripts

A transcript is an indented block that begins with `$ myoedge`. The line `...` stands for lines that
are left out. Commands run in one folder, each once, in the order of the pages, on a network that
was trained as docs/train-and-deploy/tutorial.md says.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from myoedge.extensions.zoo import recordings

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "tests" / "fixtures" / "gestures" / "model.pt2"
RECORDING = ROOT / "examples" / "data" / "libemg_myo.npz"
GUIDES = ("train-and-deploy/tutorial.md", "train-and-deploy/networks.md", "wearable/sensor.md")
PAGES = (ROOT / "README.md", *(ROOT / "docs" / name for name in GUIDES))
SETTINGS = re.compile(r"^    # sensor\.toml\n((?:    [^\n]+\n)+)", re.MULTILINE)
BLOCK = re.compile(
    r"^    \$ (myoedge [^\n]*)\n((?:    (?!\$ )[^\n]*\n|\n+(?=    (?!\$ )))*)", re.MULTILINE
)
STAGE = re.compile(r"  \w+ \.\.\.")  # progress
LEFT_OUT = "..."
WIDTH = 100
DECODER = """\
import torch


class Decoder(torch.nn.Module):
    def forward(self, scores):
        probabilities = scores.softmax(-1)
        return probabilities.sort(-1).values
"""
EXPORT = """\
import torch
from decoder import Decoder

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.decoder = Decoder()

    def forward(self, scores):
        return self.decoder(scores)

torch.export.save(torch.export.export(Network(), (torch.zeros(1, 5),)), "rank.pt2")
"""


@dataclass(frozen=True)
class Transcript:
    """One command of a page, and the lines below it, without their indentation."""

    command: str
    lines: tuple[str, ...]


def transcripts(page: Path) -> Iterator[Transcript]:
    """The transcripts of a page, in order."""
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield Transcript(found[1], tuple(line[4:] for line in found[2].splitlines()))


def prepare(folder: Path) -> None:
    """model.pt2, calib.npz and test.npz of the tutorial; rank.pt2, a network that is refused; the
    recording, and settings of the page about sensors."""
    shutil.copy(MODEL, folder / "model.pt2")
    recording, scale = recordings.load(RECORDING), np.float32(10.0)
    x, _ = recordings.windows(recording, (0, 1), length=40, hop=5)
    test_x, test_y = recordings.windows(recording, (2,), length=40, hop=40)
    np.savez(folder / "calib.npz", input=x[:, 0] / scale)
    np.savez(folder / "test.npz", input=test_x[:, 0] / scale, label=test_y)
    np.savez(folder / "counts.npz", input=x[:, 0])
    np.savez(folder / "recording.npz", emg=np.abs(recording.emg), fs=recording.fs_hz)
    settings = SETTINGS.search(PAGES[-1].read_text(encoding="utf-8"))
    assert settings
    (folder / "sensor.toml").write_text(settings[1].replace("    ", ""))
    (folder / "decoder.py").write_text(DECODER)
    subprocess.run([sys.executable, "-W", "ignore", "-c", EXPORT], cwd=folder, check=True)


@functools.cache
def told(command: str, folder: Path) -> list[str]:
    """The result that a command prints on a terminal of 100 columns, or else its error."""
    words = [sys.executable, "-m", *command.split()]
    own = {"COLUMNS": str(WIDTH), "PYTHONPATH": str(ROOT), "MYOEDGE_STAGES": "off"}
    environment = {**os.environ, **own}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if not STAGE.fullmatch(line)]
    return [line.rstrip() for line in done.stdout.splitlines() or errors]


def as_shown(lines: list[str], shown: tuple[str, ...]) -> list[str]:
    """The lines that a page shows of these: all, or as many as before around `...`."""
    if LEFT_OUT not in shown:
        return lines
    before = shown.index(LEFT_OUT)
    after = len(shown) - before - 1
    return [*lines[:before], LEFT_OUT, *lines[len(lines) - after :]]


def written_anew(page: Path, folder: Path) -> str:
    """A page's text with its commands' output of today."""

    def anew(found: re.Match[str]) -> str:
        shown = tuple(line[4:] for line in found[2].splitlines())
        lines = as_shown(told(found[1], folder), shown)
        return "\n".join(f"    {line}".rstrip() for line in (f"$ {found[1]}", *lines)) + "\n"

    return BLOCK.sub(anew, page.read_text(encoding="utf-8"))


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for page in PAGES:
            page.write_text(written_anew(page, Path(folder)), encoding="utf-8")


if __name__ == "__main__":
    main()
