# SPDX-License-Identifier: Apache-2.0
"""The campaign goes on where it was stopped; a few of its cases, and a part of it at length."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from myoedge.backends.packets import BrokenFrame, Flags
from tests.conftest import thinned
from tests.extensions.sensor.applications import shared
from tests.fuzz import campaign, edits, files, kills, networks, playbacks, sensors, uses

EDITS, BATCH = 1000, 20  # and so many in a test


def test_a_stopped_campaign_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that was cut off is a case that has not run."""

    def case(seed: int, folder: Path) -> dict[str, Any]:
        return {"outcome": "exact" if seed != 3 else "difference"}

    def in_this_process(case: campaign.Case, seeds: list[int]) -> Iterator[dict[str, Any]]:
        return ({"seed": seed, **case(seed, tmp_path)} for seed in seeds)

    kind = campaign.Kind(case, lambda: None, 5)
    monkeypatch.setattr(campaign, "KINDS", {"networks": kind, "files": kind})
    monkeypatch.setattr(campaign, "BATCH", 1)
    monkeypatch.setattr(campaign, "isolated", in_this_process)
    journal = tmp_path / "journal.jsonl"
    assert campaign.campaign({"networks": 5, "files": 2}, journal, None) == 1
    lines = journal.read_text().splitlines()
    assert len(lines) == 7
    journal.write_text("\n".join(lines[:4]) + "\n" + lines[4][:9])
    assert [*campaign.pending({"networks": 5}, campaign.known(journal))]
    assert campaign.campaign({"networks": 5, "files": 2}, journal, None) == 1
    assert next(campaign.pending({"networks": 5}, campaign.known(journal), 4)) == ("networks", [5])
    rows = campaign.known(journal)
    assert sorted((row["kind"], row["seed"]) for row in rows) == sorted(
        {(row["kind"], row["seed"]) for row in map(json.loads, lines)}
    )


def case_that_breaks(seed: int, folder: Path) -> dict[str, Any]:
    if seed == 1:
        raise KeyError(seed)
    if seed == 2:
        raise SystemExit(3)
    return {"outcome": "exact"}


def test_cases_that_break_are_outcomes_and_the_next_ones_run() -> None:
    found = [(row["seed"], row["outcome"]) for row in campaign.isolated(case_that_breaks, range(5))]
    ends = ("exact", "traceback", "crash", "exact", "exact")
    assert found == [*enumerate(ends)]


def test_the_same_seed_is_the_same_network() -> None:
    for seed in range(3):
        first, second = networks.drawn(seed), networks.drawn(seed)
        assert (first.shapes, first.options, first.toml) == (
            second.shapes,
            second.options,
            second.toml,
        )
        values = [p.sum().item() for p in first.model.parameters()]
        assert values == [p.sum().item() for p in second.model.parameters()]


@pytest.mark.parametrize("seed", [0, 1, 2, 30, 55, 141, 918, 925])  # from 30 on, once wrong
def test_drawn_faults_of_a_sensor(seed: int, tmp_path: Path) -> None:
    """No hang, no wrong decision, no loss without a flag, decisions again within a second."""
    found = sensors.run(seed, tmp_path)
    assert found["outcome"] == "exact", found


@pytest.mark.parametrize(
    "seed", [0, *thinned([2, 1, 3], 3), 200_000, 7, 31, 100_001]
)  # the last two once hung
def test_drawn_faults_on_the_simulated_chip(
    seed: int,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(playbacks, "application", partial(shared, tmp_path_factory))
    found = playbacks.run(seed, tmp_path)
    assert found["outcome"] == "exact", found


def test_checks_of_drawn_faults_find_what_is_wrong(tmp_path: Path) -> None:
    case = sensors.played(0, tmp_path)
    first, *rest = case.decisions
    wrong = replace(first, score=first.score + 1)
    assert [*sensors.wrong_decisions(replace(case, found=[wrong, *rest]))]
    assert [*sensors.slow_recoveries(replace(case, found=case.decisions[:4]))]
    silent = [replace(x, flags=Flags(0), sequence=n) for n, x in enumerate(rest) if n != 40]
    shifted = [replace(x, sequence=n) for n, x in enumerate(silent)]
    assert [*sensors.silent_gaps(replace(case, found=shifted))]
    assert [*sensors.wrong_packets(replace(case, found=[BrokenFrame("CRC")]))]


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(EDITS // BATCH))
def test_an_edited_build_is_refused_or_as_good(batch: int, tmp_path: Path) -> None:
    for seed in range(BATCH * batch, BATCH * (batch + 1)):
        (tmp_path / str(seed)).mkdir()
        found = edits.run(seed, tmp_path / str(seed))
        assert found["outcome"] in campaign.GOOD, (seed, found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "prepare", "seeds"),
    [
        (files.run, files.corpus, range(200)),
        (networks.run, networks.warm, range(20)),
        (uses.run, networks.warm, range(20)),
        (kills.run, kills.sound, range(5)),
        (sensors.run, sensors.prepare, range(200)),
    ],
    ids=["files", "networks", "uses", "kills", "sensors"],
)
def test_a_part_of_the_campaign(case: campaign.Case, prepare: Any, seeds: range) -> None:
    prepare()
    for found in campaign.isolated(case, seeds):
        assert found["outcome"] in campaign.GOOD, found
