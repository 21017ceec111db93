# SPDX-License-Identifier: Apache-2.0
"""Axes of a sweep: each has values that are tried in all combinations, and named in results."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.building.config import from_tables
from myoedge.building.options import BuildOptions
from myoedge.errors import MyoedgeError
from myoedge.extensions.sweeps.results import read_table, regressions
from myoedge.extensions.sweeps.settings import AXES, LABELS, UNSET, Bounds, SweepAxis, read_sweep
from myoedge.extensions.sweeps.tasks import Task, tasks, toml_lines
from tests.conftest import myoedge as command
from tests.conftest import save_exported
from tests.support.limits import l2_with_code

ONE = '[[model]]\npath = "m.pt2"\n'
# Two values of each axis, in the lines of SWEEP.toml; none; one twice
VALUES = {
    "model": (ONE + '[[model]]\npath = "m.pt2"\nname = "b"\n', "model = []\n", ONE + ONE),
    "budget": ('[[budget]]\n[[budget]]\nl1 = "64KiB"\n', "budget = []\n", "[[budget]]\n" * 2),
    "options": ('[[options]]\n[[options]]\nname = "b"\nweights = "fast"\n', "options = []\n",
                "[[options]]\n" * 2),
    "operating_point": ('operating_points = ["high", "low"]\n', "operating_points = []\n",
                        'operating_points = ["low", "low"]\n'),
    "memory": ('memory = ["mram=off", "mram=auto"]\n', "memory = []\n",
               'memory = ["mram=off", "mram=off"]\n'),
    "external": ('external = ["flash", "none"]\n', "external = []\n",
                 'external = ["ram", "ram"]\n'),
}  # fmt: skip


def found(folder: Path, label: str, text: str) -> tuple[Task, ...]:
    (folder / "m.pt2").write_bytes(b"a model")
    (folder / "s.toml").write_text(text if label == "model" else f"{text}{ONE}")
    return tasks(read_sweep(folder / "s.toml"), folder)


@pytest.mark.parametrize("axis", AXES, ids=LABELS)
def test_every_axis_has_its_values_in_results_and_builds(axis: SweepAxis, tmp_path: Path) -> None:
    text, _, _ = VALUES[axis.label]
    one, two = found(tmp_path, axis.label, text)
    differing = {label for label in LABELS if one.labels[label] != two.labels[label]}
    assert differing == {axis.label}
    assert one.key != two.key
    assert one.name != two.name
    given = [(dict(x.chosen), {**x.toml}) for x in (one, two)]
    assert axis.label == "model" or given[0] != given[1]
    for task in (one, two):
        assert {*task.chosen} <= {option.name for option in fields(BuildOptions)}
        from_tables(tomllib.loads("\n".join(toml_lines(task.toml))), "s.toml")


@pytest.mark.parametrize("axis", AXES, ids=LABELS)
def test_every_axis_has_values_of_different_names(axis: SweepAxis, tmp_path: Path) -> None:
    for text, cause in zip(VALUES[axis.label][1:], ["empty list", axis.plural], strict=True):
        with pytest.raises(MyoedgeError, match="E260") as caught:
            found(tmp_path, axis.label, text)
        told = dict(caught.value.notice.facts)[
            text.partition(" =")[0].strip("[]\n").partition("]")[0]
        ]
        assert cause in told


@pytest.mark.parametrize("target", ["gap9", "cortex-m4"])
def test_an_unknown_memory_is_told_when_the_sweep_is_read(target: str, tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError, match="E260") as caught:
        found(tmp_path, "memory", f'memory = ["mram=on"]\ntarget = "{target}"\n')
    assert "mram=on" in dict(caught.value.notice.facts)["memory"]


def test_parts_are_limited_once(tmp_path: Path) -> None:
    text = 'external = ["none"]\n' + ONE + '[[budget]]\nexternal = "flash"\n'
    with pytest.raises(MyoedgeError, match="E260") as caught:
        found(tmp_path, "model", text)
    assert "[[budget]]" in dict(caught.value.notice.facts)["external"]


def test_results_of_before_an_axis_are_compared(tmp_path: Path) -> None:
    labels = {"model": "m", "budget": "free", "options": "default", "operating_point": "high"}
    row = {**labels, "status": "ok", "latency_s": 1.0, "l2_bytes": 9, "cycles_source": "simulated"}
    (tmp_path / "sweep.json").write_text(
        json.dumps({"schema": "myoedge.sweep/1", "results": [row]})
    )
    (old,) = read_table(tmp_path)
    assert (old["memory"], old["external"]) == (UNSET, UNSET)
    new = [{**old, "latency_s": 1.1}]
    assert [x.what for x in regressions([old], new, Bounds())] == ["latency_s"]


SWEEP = """\
memory = ["mram=off", "mram=auto"]
external = ["none", "flash", "ram"]
[[model]]
path = "model.pt2"
calib = "calib.npz"
[[budget]]
l2 = "112KiB"
[[options]]
name = "8"
[[options]]
name = "4"
quant = { "*" = { weights = 4 } }
"""
ALLOWED = {"none": set[str](), "flash": {"flash"}, "ram": {"flash", "ram"}}


def figures(row: dict[str, Any]) -> list[Any]:
    names = ("code", "cycles", "energy_uj", "l2_bytes", "l3_bytes", "mram_bytes", "external_parts")
    return [row[name] for name in names]


def by_hand(folder: Path, bits: str, memory: str, external: str) -> list[Any]:
    """The same figures of a build, of a refused one its code."""
    quant = f'[quant]\n"*" = {{ weights = {bits} }}\n' if bits == "4" else ""
    (folder / "hand.toml").write_text(f'[budget]\nexternal = "{external}"\n{quant}')
    options = {"memory": memory, "l2": "112KiB", "config": folder / "hand.toml", "simulate": True}
    try:
        report = myoedge.build(
            folder / "model.pt2", calib=folder / "calib.npz", output=folder / "hand", **options
        ).report
    except MyoedgeError as error:
        return [error.code, *[None] * 6]
    held, energy = report["memory"], report["energy_uj"]["value"]
    memories = [held["l2_peak_bytes"], held["l3_bytes"], held["levels"].get("mram")]
    return [None, report["cycles"]["total"], energy, *memories, held["external"]]


def test_memories_parts_and_bits_are_compared_in_one_table(tmp_path: Path) -> None:
    """With the figures of builds by hand."""
    torch.manual_seed(0)
    layers = (nn.Flatten(), nn.Linear(512, 320), nn.ReLU(), nn.Linear(320, 5))
    save_exported(nn.Sequential(*layers), (torch.zeros(1, 8, 64),), tmp_path / "model.pt2")
    samples = np.random.default_rng(0).standard_normal((24, 1, 8, 64), np.float32)
    np.savez(tmp_path / "calib.npz", input=samples)
    (tmp_path / "sweep.toml").write_text(SWEEP)
    ran = command("sweep", "sweep.toml", "-o", "out", "-j", "1", cwd=tmp_path)
    assert ran.code == 0, ran.err
    table = json.loads((tmp_path / "out" / "sweep.json").read_text())
    rows = {tuple(row[x] for x in ("options", "memory", "external")): row
            for row in table["results"]}  # fmt: skip
    assert len(rows) == 12
    assert {row["code"] for row in rows.values()} == {None, "E302"}
    for at, row in rows.items():
        parts = row["external_parts"] or []
        assert {*parts} <= ALLOWED[at[2]], "no part that its limit excludes"
        with l2_with_code():
            assert figures(row) == by_hand(tmp_path, *at), at
    assert rows["8", "mram=off", "ram"]["external_parts"] == ["flash", "ram"]
    assert rows["8", "mram=off", "flash"]["status"] == "refused"
    assert rows["8", "mram=auto", "flash"]["status"] == "ok"
    page = (tmp_path / "out" / "sweep.html").read_text()
    assert "<th>parts</th>" in page
    assert "<td>RAM and flash</td>" in page
    assert "RAM and flash" in ran.out
