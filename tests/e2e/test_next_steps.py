# SPDX-License-Identifier: Apache-2.0
"""`next:` after every verb: each command that is printed is run here, and what these print."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import torch

from myoedge.cli import commands
from myoedge.cli.next_steps import given_words
from myoedge.cli.runs import validate
from myoedge.extensions.sweeps import variations
from tests.conftest import Ran, steps
from tests.conftest import myoedge as command

# by a board, its probe and its meter: tests/extensions/boards
ON_BOARDS = ("flash", "run", "bench")


@pytest.fixture
def folder(tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and a recording; browsers stay closed, the SDK is not installed."""
    shutil.copy(small / "model.pt2", tmp_path)
    with np.load(small / "calib.npz") as calib:
        np.save(tmp_path / "recording.npy", calib["input"])
    monkeypatch.setattr(variations, "TUNED_CYCLES", 0)
    monkeypatch.setattr(click, "launch", lambda page: Path(page).stat() and 0)
    monkeypatch.delenv("GAP_SDK_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def followed(folder: Path, *first: str) -> Iterator[tuple[str, Ran]]:
    """Commands in the order in which they are printed, each run once, with what came of it."""
    waiting, seen = list(first), set[str]()
    while waiting:
        line = waiting.pop(0)
        if line in seen:
            continue
        seen.add(line)
        name, *words = shlex.split(line)
        if name != "myoedge":
            subprocess.run(line, shell=True, cwd=folder, check=True)
            continue
        ran = command(*words, cwd=folder)
        yield line, ran
        waiting += steps(ran.err)


def checked(folder: Path, *first: str) -> set[str]:
    """Verbs of the commands that were followed; every one succeeds and says what comes next."""
    ran = dict(followed(folder, *first))
    assert not {line: result.err for line, result in ran.items() if result.code}
    assert not [line for line, result in ran.items() if not steps(result.err)]
    return {line.split()[1] for line in ran}


def test_every_command_that_is_printed_runs(folder: Path) -> None:
    quiet = command("quantize", "model.pt2", "--calib", "random", "-q", cwd=folder)
    assert (quiet.code, quiet.err) == (0, "")
    starts = ("init --from model.pt2", "doctor", "explain", "ops", "boards",
              "quantize --calib random --samples 8 --method minmax")  # fmt: skip
    verbs = checked(folder, *(f"myoedge {words}" for words in starts))
    assert verbs == {row.name for row in commands()} - {
        *ON_BOARDS,
        "adapt",
        "check",
        "diff",
        "evidence",
        "monitor",
        "sweep",
        "plugin",
        "completion",
    }  # whose output a shell reads


@pytest.mark.slow
def test_a_sweep_is_compared_with_itself(folder: Path) -> None:
    text = 'simulate = false\n[[model]]\npath = "model.pt2"\ncalib = "random"\n'
    (folder / "sweep.toml").write_text(text)
    assert checked(folder, "myoedge sweep sweep.toml -j 1") == {"sweep", "explain"}


def test_a_model_without_samples_is_built_from_random_ones(folder: Path) -> None:
    inspected = command("inspect", "model.pt2", cwd=folder)
    assert steps(inspected.err) == [
        "myoedge init --from model.pt2",
        "myoedge build model.pt2 --calib random",
    ]
    built = command("build", "model.pt2", "--calib", "random", "--app", "gap-sdk", cwd=folder)
    assert steps(built.err)[-4:] == [
        ". GAP9_SDK/configs/gap9_evk_audio.sh",
        "cmake -S build/model-gap9/gap_sdk -B build/model-gap9/gap_sdk/build",
        "cmake --build build/model-gap9/gap_sdk/build --target image",
        "myoedge flash build/model-gap9",
    ]


def test_a_project_says_what_is_to_be_written_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model, or the function that makes a checkpoint's network: then the steps can be run."""
    monkeypatch.delitem(sys.modules, "net", raising=False)  # of another test
    plain = command("init", "new", cwd=folder)
    first, *_ = [x for x in plain.err.splitlines() if "first" in x]
    assert "# first save the network, in Python: torch.export.save(" in first
    assert '"model.pt2")' in first
    torch.save(torch.nn.Linear(40, 3).state_dict(), folder / "net.pt")
    windows = np.random.default_rng(0).normal(size=(30, 8, 40)).astype(np.float32)
    np.savez(folder / "calib.npz", emg=windows, label=np.zeros(30, int))
    (folder / "recording.npy").unlink()
    ran = command("init", "--from", "net.pt", cwd=folder)
    assert "# first write net.py: def make_model() returns the network" in ran.err
    text = (folder / "myoedge.toml").read_text()
    assert "emg [samples, 8, 40]" in text
    assert "# [test] " in text
    np.savez(folder / "test.npz", emg=windows, label=np.zeros(30, int))
    (build,) = steps(ran.err)
    refused = command(*build.split()[1:], cwd=folder)
    assert (refused.code, "E206" in refused.err) == (2, True)
    assert "[model] factory net:make_model could not be imported" in refused.err
    assert re.search(r"set in +\[model\] of myoedge.toml", refused.err)
    again = command("init", "--from", "net.pt", cwd=folder)
    assert "edit myoedge.toml, or move it away" in again.err
    assert "def make_model():\n" in refused.err
    made = "import torch\n\ndef make_model():\n    return torch.nn.Linear(40, 3)\n"
    (folder / "net.py").write_text(made)
    assert command(*build.split()[1:], cwd=folder).code == 0
    (folder / "myoedge.toml").unlink()
    assert "first" not in command("init", "--from", "net.pt", cwd=folder).err
    with (folder / "myoedge.toml").open("rb") as file:
        tables = tomllib.load(file)
    assert (tables["calib"]["data"], tables["test"]["data"]) == ("calib.npz", "test.npz")
    for name in ("myoedge.toml", "calib.npz"):
        (folder / name).unlink()
    assert command("init", "--from", "net.pt", cwd=folder).code == 0
    assert (folder / "make_calib.py").exists(), "a test set calibrates nothing"


def test_what_comes_first_is_what_a_warning_of_unusable_samples_advises(folder: Path) -> None:
    windows = np.load(folder / "recording.npy")[:4]
    np.savez(folder / "few.npz", input=windows)
    few = command("quantize", "model.pt2", "--calib", "few.npz", cwd=folder)
    assert re.search(r"^next: # first, for W205: ", few.err, re.MULTILINE)
    assert steps(few.err) == ["myoedge quantize model.pt2 --calib few.npz"]
    shutil.copy(folder / "few.npz", folder / "calib.npz")
    few = command("quantize", "model.pt2", "--calib", "few.npz", "--method", "mse", cwd=folder)
    better = "myoedge quantize model.pt2 --method mse --calib calib.npz"
    assert steps(few.err) == [better], "what is proposed is not what was just warned of"
    (folder / "few.npz").unlink()
    advice = {
        ("--calib", "calib.npz"): "more windows in calib.npz",
        (): "myoedge build ... --calib calib.npz",
    }
    for words, remedy in advice.items():
        assert f"try    {remedy}" in command("quantize", "model.pt2", *words, cwd=folder).err
    for name in ("calib.npz", "recording.npy"):
        (folder / name).unlink()
    assert "init  writes a script" in command("quantize", "model.pt2", cwd=folder).err


def test_options_are_repeated_as_they_were_typed(folder: Path) -> None:
    words = ("--calib", "random", "--holdout", "0.0", "--accurate", "--method", "mse")
    ran = command("quantize", "model.pt2", *words, "--no-color", cwd=folder)
    (step,) = steps(ran.err)
    parsed = shlex.split(step)
    assert parsed[:3] == ["myoedge", "build", "model.pt2"]
    assert sorted(parsed[3:]) == sorted(words)


def test_an_option_that_was_given_twice_is_repeated_twice() -> None:
    words = ["--on", "host,simulator", "--on", "board", "--test", "c.csv"]
    with validate.make_context("validate", ["out", *words]):
        assert given_words() == ["out", *words]


def test_an_option_that_a_build_lacks_is_in_a_command_that_runs(folder: Path) -> None:
    """What `diff` needs: the build of this folder again, typed where the verb was called."""
    words = ("--target", "host", "--calib", "recording.npy", "-o", "out", "--method", "mse")
    assert command("build", "model.pt2", *words, cwd=folder).code == 0

    def tried(place: Path) -> str:
        refused = command("diff", folder / "out", folder / "out", cwd=place)
        (line,) = [x.strip() for x in refused.err.splitlines() if "--weights-blob" in x]
        return line.removeprefix("try").strip()

    (folder / "below").mkdir()
    again = tried(folder)
    assert "--method mse" in again
    assert tried(folder / "below") == f"cd {shlex.quote(str(folder))} && {again}"
    assert command(*shlex.split(again)[1:], cwd=folder).code == 0
    assert command("diff", "out", "out", cwd=folder).code == 0
