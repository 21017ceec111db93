# SPDX-License-Identifier: Apache-2.0
"""Parts beside the chip in comparisons: of one network in builds that need every choice of them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import myoedge
from myoedge.building.budget import PARTS
from myoedge.extensions.sweeps.results import regressions
from myoedge.extensions.sweeps.settings import Bounds
from tests.conftest import myoedge as command
from tests.conftest import save_exported
from tests.e2e.test_external_parts import NO_PARTS, OCTOSPI, Trial
from tests.e2e.test_external_parts import PARTS as NEEDED

# What makes a build need the parts: nothing, a board without MRAM to start from, little L2.
LIMITS = {"none": {}, "flash": {"board": NO_PARTS + OCTOSPI}, "ram": {"l2": "64KiB"}}
NAMES = {"none": "none", "flash": "flash", "ram": "RAM and flash"}
PAIRS = [*itertools.product(PARTS, repeat=2)]
KEY, VERBS = "memory.external", ("report", "check")


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, myoedge.Build]:
    folders = {parts: tmp_path_factory.mktemp(parts) for parts in PARTS}
    made = {x: Trial(folders[x], 128, 6, **LIMITS[x]).build() for x in PARTS}
    assert all(made[x].report["memory"]["external"] == [*NEEDED[x]] for x in PARTS)
    return made


def row_of(text: str) -> dict[str, Any]:
    """The row of the parts in JSON of a comparison; {} for none."""
    document = json.loads(text)
    rows = document["rows"] if "rows" in document else document["changes"]
    return next((row for row in rows if row["what"] == KEY), {})


def more(old: str, new: str) -> int:
    return PARTS.index(new) - PARTS.index(old)


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_more_parts_are_worse(
    builds: dict[str, myoedge.Build], old: str, new: str, tmp_path: Path
) -> None:
    """In text and JSON, and by the exit code where nothing else differs."""
    given, change = (builds[new].folder, "--against", builds[old].folder), more(old, new)
    told, checked = (command(x, *given, cwd=tmp_path) for x in VERBS)
    row, found = (row_of(command(x, *given, "--json", cwd=tmp_path).out) for x in VERBS)
    lines = [" ".join(line.split()) for line in told.out.splitlines()]
    assert (f"external parts {NAMES[old]} {NAMES[new]} {change:+d}" in lines) == bool(change), lines
    assert row.get("delta") == (change or None)
    l3 = [line.removeprefix("L3 memory 0 B ") for line in lines if line.startswith("L3 memory 0 B")]
    assert bool(l3) == ("ram" == new != old)
    assert all(text == f"{size} +{size}" for text in l3 for size in [text.split(" +")[0]]), l3
    assert found["status"] == ("worse" if change > 0 else "ok")
    text = f"external parts: {NAMES[old]} -> {NAMES[new]} ({change:+d}), worse: 0 parts more"
    assert (text in " ".join(checked.err.split())) == (change > 0), checked.err
    if "ram" not in (old, new):
        assert checked.code == (3 if change > 0 else 0), checked.err
        words = {
            -1: "better: external parts -1",
            0: "nothing changed",
            1: "worse: external parts +1",
        }
        assert words[change] in told.out


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_the_remedy_allows_just_the_parts_that_it_states(
    builds: dict[str, myoedge.Build], old: str, new: str, tmp_path: Path
) -> None:
    """A higher limit in [check]: one part less is too few."""
    given = (builds[new].folder, "--against", builds[old].folder, "--config", "myoedge.toml")
    for allowed in range(len(PARTS)):
        (tmp_path / "myoedge.toml").write_text(f"[check]\nparts = {allowed}\n")
        ran = command("check", *given, "--json", cwd=tmp_path)
        row, is_worse = row_of(ran.out), more(old, new) > allowed
        assert (row["status"], row["allowed"]) == ("worse" if is_worse else "ok", allowed)
        if "ram" not in (old, new):
            assert ran.code == (3 if is_worse else 0), ran.err
        text = " ".join(ran.err.split())
        assert (f"worse: {allowed} parts more are allowed" in text) == is_worse, text
        assert not is_worse or "try a higher limit in [check]" in text


def test_a_chip_without_parts_has_no_figure_of_them(tmp_path: Path) -> None:
    trial = Trial(tmp_path, 16, 1)
    trial.options["target"] = "host"
    folder = trial.build().folder
    ran = command("check", folder, "--against", folder, "--json", cwd=tmp_path)
    assert not row_of(ran.out)


SWEEP = """\
simulate = false
[[model]]
path = "model.pt2"
calib = "random"
[[budget]]
name = "a"
l2 = "{l2}"
[bounds]
{bounds}
"""


def test_a_sweep_with_more_parts_is_worse(tmp_path: Path) -> None:
    """By [bounds] parts: first of real sweeps, then of their results with all pairs of parts."""
    torch.manual_seed(0)
    inner = (layer for _ in range(6) for layer in (nn.Linear(128, 128), nn.ReLU()))
    network = nn.Sequential(*inner, nn.Linear(128, 4)).eval()
    save_exported(network, (torch.zeros(1, 128),), tmp_path / "model.pt2")
    loose = "latency = 99\nenergy = 99\nmemory = 99\n"
    given = ("sweep", "s.toml", "-j", "1", "-o")
    (tmp_path / "s.toml").write_text(SWEEP.format(l2="1536KiB", bounds=loose))
    assert command(*given, "old", cwd=tmp_path).code == 0
    for bounds, is_worse in (("", True), ("parts = 1", True), ("parts = 2", False)):
        (tmp_path / "s.toml").write_text(SWEEP.format(l2="64KiB", bounds=loose + bounds))
        ran = command(*given, "new", "--against", "old", cwd=tmp_path)
        text = " ".join(ran.err.split())
        assert (ran.code, "L3 0 B ->" in text) == (3, True), "what was nothing has no fraction"
        assert ("external parts none -> RAM and flash" in text) == is_worse, text
    (row,) = json.loads((tmp_path / "new" / "sweep.json").read_text())["results"]
    for (old, new), bound in itertools.product(PAIRS, range(len(PARTS))):
        rows = [[{**row, "external_parts": [*NEEDED[x]]}] for x in (old, new)]
        found = regressions(*rows, Bounds(parts=bound))
        assert [x.change for x in found] == [f"external parts {NAMES[old]} -> {NAMES[new]}"] * (
            more(old, new) > bound
        )
        assert [x.allowed for x in found] == [f"{bound} parts more"] * len(found)
