# SPDX-License-Identifier: Apache-2.0
"""Sweeps of real builds, by the command line: results, resuming, comparing, being killed."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import myoedge
from tests.conftest import myoedge as command
from tests.conftest import started

HEAD = """\
operating_points = ["high", "low"]
[[model]]
path = "{small}/model.pt2"
calib = "{small}/calib.npz"
name = "small"
"""
REFUSED = '[[budget]]\nname = "free"\n[[budget]]\nname = "tiny"\nlatency = "1 us"\n'


def written(folder: Path, small: Path, text: str = "", head: str = "") -> Path:
    file = folder / "sweep.toml"
    file.write_text(head + HEAD.format(small=small) + text)
    return file


def results(folder: Path) -> dict[str, dict[str, Any]]:
    rows = json.loads((folder / "sweep.json").read_text())["results"]
    return {f"{row['budget']} {row['options']} {row['operating_point']}": row for row in rows}


@pytest.mark.slow
def test_figures_are_those_of_build_and_simulate(small: Path, tmp_path: Path) -> None:
    written(tmp_path, small, REFUSED)
    ran = command("sweep", "sweep.toml", "-o", "out", "-j", "1", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "4/4" in ran.err
    found = results(tmp_path / "out")
    assert [row["status"] for row in found.values()] == ["ok", "ok", "refused", "refused"]
    assert found["tiny default high"]["code"] == "E302"
    chosen = {"calib": small / "calib.npz", "output": tmp_path / "by hand"}
    report = myoedge.simulate(myoedge.build(small / "model.pt2", **chosen)).report
    row = found["free default high"]
    assert row["cycles"] == report["cycles"]["total"]
    assert row["latency_s"] == report["latency_s"]
    assert row["energy_uj"] == report["energy_uj"]["value"]
    assert row["sqnr_db"] == report["quantization"]["sqnr_db"]
    assert row["l2_bytes"] == report["memory"]["l2_peak_bytes"]
    assert found["free default low"]["latency_s"] / row["latency_s"] == pytest.approx(370 / 240)
    assert len((tmp_path / "out" / "sweep.csv").read_text().splitlines()) == 5
    assert "polyline" in (tmp_path / "out" / "sweep.html").read_text()
    check_nothing_is_computed_again(tmp_path, found)
    check_what_is_worse_ends_with_3(tmp_path)


def check_nothing_is_computed_again(folder: Path, before: dict[str, dict[str, Any]]) -> None:
    again = command("sweep", "sweep.toml", "-o", "out", "--json", cwd=folder)
    assert again.json["computed"] == 0
    assert results(folder / "out") == before


def check_what_is_worse_ends_with_3(folder: Path) -> None:
    table = json.loads((folder / "out" / "sweep.json").read_text())
    old = folder / "old.json"
    same = ("sweep", "sweep.toml", "-o", "out", "--against", "old.json")
    old.write_text(json.dumps(table))
    assert command(*same, cwd=folder).code == 0
    table["results"][0]["latency_s"] *= 0.9
    old.write_text(json.dumps(table))
    ran = command(*same, "--json", cwd=folder)
    assert (ran.code, "latency" in ran.err) == (3, True)
    assert json.loads(ran.out.splitlines()[0])["regressions"][0]["what"] == "latency_s"


def test_where_everything_is_refused_the_exit_code_is_3(small: Path, tmp_path: Path) -> None:
    written(tmp_path, small, '[[budget]]\nlatency = "1 us"\n', "simulate = false\n")
    ran = command("sweep", "sweep.toml", "-o", "out", "-j", "1", "--json", cwd=tmp_path)
    assert (ran.code, "E307" in ran.err, "E302" in ran.err) == (3, True, True)
    assert [row["code"] for row in results(tmp_path / "out").values()] == ["E302", "E302"]
    (remedy,) = re.findall(r"^ +try +myoedge (.+)$", ran.err, re.MULTILINE)
    explained = command(*remedy.split(), cwd=tmp_path)
    assert (explained.code, explained.out.startswith("E302")) == (0, True)


def test_a_target_that_is_not_simulated_is_built(small: Path, tmp_path: Path) -> None:
    head, (_, _, models) = 'target = "cortex-m4"\n', HEAD.partition("\n")
    file = tmp_path / "sweep.toml"
    file.write_text(head + models.format(small=small))
    ran = command("sweep", "sweep.toml", "-o", "out", "-j", "1", "-q", cwd=tmp_path)
    assert ran.code == 0, ran.err
    (row,) = results(tmp_path / "out").values()
    assert (row["status"], row["cycles"]) == ("ok", None)
    assert row["sqnr_db"] > 0
    file.write_text(f"simulate = true\n{file.read_text()}")
    ran = command("sweep", "sweep.toml", "-o", "out", "-j", "1", "-q", cwd=tmp_path)
    assert (ran.code, "E204" in ran.err) == (2, True)
    (remedy,) = re.findall(r"^ +try +(.+)$", ran.err, re.MULTILINE)
    file.write_text(file.read_text().replace("simulate = true", remedy))
    assert command("sweep", "sweep.toml", "-o", "out", "-j", "1", "-q", cwd=tmp_path).code == 0


def test_errors_of_the_file(tmp_path: Path) -> None:
    ran = command("sweep", "none.toml", cwd=tmp_path)
    assert (ran.code, "E260" in ran.err) == (2, True)
    assert not (tmp_path / "build").exists()


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_where_it_was(small: Path, tmp_path: Path) -> None:
    options = "".join(f'[[options]]\nname = "o{n}"\nsamples = {n}\n' for n in range(4, 8))
    written(tmp_path, small, options)
    runs = tmp_path / "out" / "runs"
    assert ended(tmp_path, 2, signal.SIGKILL)[0] == -signal.SIGKILL
    done = {file.name: file.stat().st_mtime_ns for file in runs.glob("[0-9a-f]*.json")}
    ran = command("sweep", "sweep.toml", "-o", "out", "-j", "2", "--json", cwd=tmp_path)
    assert ran.json["computed"] == 8 - len(done)
    assert {name: (runs / name).stat().st_mtime_ns for name in done} == done
    assert command("sweep", "sweep.toml", "-o", "whole", "-q", cwd=tmp_path).code == 0
    assert results(tmp_path / "out") == results(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_and_its_processes(
    small: Path, tmp_path: Path, by: signal.Signals
) -> None:
    options = "".join(f'[[options]]\nname = "o{n}"\nsamples = {n}\n' for n in range(4, 8))
    written(tmp_path, small, options)
    assert ended(tmp_path, 1, by) == (130, "interrupted")


def ended(folder: Path, finished: int, by: signal.Signals) -> tuple[int, str]:
    """Exit code and last line of a sweep that gets a signal when so many results are there."""
    process = started("sweep", "sweep.toml", "-o", "out", "-j", "2", cwd=folder)
    while len(list((folder / "out" / "runs").glob("[0-9a-f]*.json"))) < finished:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    workers = children(process.pid)
    assert workers
    os.kill(process.pid, by)
    _, told = process.communicate()
    gone_by = time.monotonic() + 30
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < gone_by, "workers outlive the sweep"
        time.sleep(0.05)
    return process.returncode, told.splitlines()[-1]


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def alive(pid: int) -> bool:
    """A process that has ended but was not waited for yet is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
