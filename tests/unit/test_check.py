# SPDX-License-Identifier: Apache-2.0
"""`myoedge check`: bounds, what is gone, JUnit, annotations, exit code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.reports.check import check_reports
from myoedge.reports.diff import compare
from myoedge.reports.facts import verdict_of
from myoedge.reports.html import comparison_html
from tests.conftest import myoedge as command
from tests.conftest import save_exported
from tests.support.reports import changed

GUIDE = Path(__file__).parents[2] / "docs" / "product" / "releases.md"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> myoedge.Build:
    folder = tmp_path_factory.mktemp("good")
    torch.manual_seed(0)
    model = save_exported(torch.nn.Linear(16, 8), (torch.zeros(1, 16),), folder / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((16, 1, 16), np.float32)
    np.savez(folder / "calib.npz", input=calib)
    return myoedge.build(model, calib=calib, output=folder / "good")


def statuses(old: dict[str, Any], new: dict[str, Any], **bounds: float) -> dict[str, str]:
    rows = check_reports(old, new, bounds).figures
    return {row.change.fact.key: row.status for row in rows if row.status != "ok"}


# (figure, its bound in [check], factor on the old value, verdict): by hand from the defaults
@pytest.mark.parametrize(
    ("path", "factor", "bounds", "status"),
    [
        ("cycles.total", 1.019, {}, None),
        ("cycles.total", 1.021, {}, "worse"),
        ("cycles.total", 1.021, {"cycles": 0.03}, None),
        ("cycles.total", 1.001, {"cycles": 0.0}, "worse"),
        ("cycles.total", 0.5, {"cycles": 0.0}, None),
        ("energy_uj.value", 1.1, {}, "worse"),
        ("energy_uj.value", 1.1, {"energy": 0.2}, None),
        ("memory.l2_peak_bytes", 1.01, {}, "worse"),
        ("memory.l2_peak_bytes", 1.01, {"memory": 0.02}, None),
    ],
)
def test_a_figure_may_be_worse_by_its_bound(
    good: myoedge.Build, path: str, factor: float, bounds: dict[str, float], status: str | None
) -> None:
    old = dict(good.report)
    value: Any = old
    for key in path.split("."):
        value = value[key]
    new = changed(old, path, value * factor)
    assert statuses(old, new, **bounds).get(path) == status


@pytest.mark.parametrize(
    ("before", "after", "text", "status"),
    [
        ({}, {"mram": 1024}, "0 B -> 1 KiB (+1 KiB)", "worse"),
        ({"mram": 1024}, {}, "1 KiB -> 0 B (-100.0 %)", "ok"),
        ({"mram": 1024}, {"mram": 2048}, "1 KiB -> 2 KiB (+100.0 %)", "worse"),
        ({"mram": 0}, {}, None, None),
    ],
)
def test_memory_levels_are_compared_also_where_one_build_has_none(
    good: myoedge.Build,
    before: dict[str, int],
    after: dict[str, int],
    text: str | None,
    status: str | None,
) -> None:
    old, new = (changed(dict(good.report), "memory.levels", x) for x in (before, after))
    rows = {row.change.fact.title: row for row in check_reports(old, new, {}).figures}
    row = rows.get("MRAM memory")
    assert (row and row.status) == status
    assert (text or "") in (row.text if row else "")
    told = [change for change in compare(old, new) if change.fact.title == "MRAM memory"]
    assert len(told) == bool(text)


def test_decibels_are_absolute(good: myoedge.Build) -> None:
    old = dict(good.report)
    db = old["quantization"]["sqnr_db"]
    for lost, bounds, found in ((0.4, {}, None), (0.6, {}, "worse"), (0.6, {"sqnr_db": 1.0}, None)):
        new = changed(old, "quantization.sqnr_db", db - lost)
        assert statuses(old, new, **bounds).get("quantization.sqnr_db") == found  # type: ignore[arg-type]


def test_what_is_gone_or_wrong_fails(good: myoedge.Build) -> None:
    old = changed(dict(good.report), "exact.simulator", True)
    for value, status in ((None, "gone"), (False, "worse"), (True, None)):
        new = changed(old, "exact.simulator", value)
        assert statuses(old, new).get("exact.simulator") == status
    assert "gone" in statuses(old, changed(old, "energy_uj", None)).values()


def test_what_was_not_measured_again_names_the_command(good: myoedge.Build) -> None:
    old = changed(dict(good.report), "exact.simulator", True)
    found = check_reports(old, changed(old, "exact.simulator", None), {})
    with pytest.raises(MyoedgeError) as caught:
        found.raise_worse()
    text = str(caught.value)
    assert "exact on the simulator: same integers -> not measured" in text
    assert "try    myoedge validate NEW --on simulator" in text


def test_other_samples_are_not_compared(good: myoedge.Build) -> None:
    old = changed(dict(good.report), "quantization.accuracy_int8", 0.9)
    new = changed(old, "quantization.accuracy_int8", 0.8)
    assert statuses(old, new) == {"quantization.accuracy_int8": "worse"}
    elsewhere = changed(new, "quantization.accuracy_source", "another file")
    assert statuses(old, elsewhere) == {"quantization.accuracy_int8": "skipped"}


@pytest.mark.parametrize(
    ("path", "value", "remedy"),
    [
        ("target.chip", "host", "myoedge build --target host"),
        ("target.operating_point", "low", "myoedge energy NEW --operating-point low"),
    ],
)
def test_figures_of_another_target_or_point_are_not_compared(
    good: myoedge.Build, path: str, value: str, remedy: str
) -> None:
    new = dict(good.report)
    old = changed(changed(new, path, value), "latency_s", new["latency_s"] * 2)
    found = statuses(old, new)
    assert found.pop(path) == "differs"
    kinds = ("cycles", "latency", "energy", "memory")
    assert set(found.values()) == {"skipped"}
    assert {name.split("_")[0].split(".")[0] for name in found} == {*kinds}
    check = check_reports(old, new, {})
    assert f"{value} -> {new['target'][path.split('.')[1]]}, differs" in check.failed[0].text
    with pytest.raises(MyoedgeError, match="cannot be compared") as caught:
        check.raise_worse()
    assert remedy in caught.value.notice.tries
    (case,) = (c for c in ElementTree.fromstring(check.junit())[0] if c.find("error") is not None)
    assert "differs" in ElementTree.tostring(case, encoding="unicode")


def test_memories_of_another_chip_are_not_better_or_worse(good: myoedge.Build) -> None:
    """Weights are in L2 of one chip, and in the flash of another; only one has points."""
    new = dict(good.report)
    old = changed(changed(new, "target.chip", "cortex-m4"), "target.operating_point", "any")
    for key in ("l2_peak_bytes", "weights_bytes", "code_bytes"):
        old = changed(old, f"memory.{key}", 2 * new["memory"][key])
    verdict = str(verdict_of(compare(old, new)))
    assert verdict.startswith("same but for what is not comparable: ")
    assert "weights" in verdict
    check = check_reports(old, new, {})
    assert {row.unlike for row in check.figures if row.status == "skipped"} >= {
        "chip and operating point"
    }
    assert not any(row.unlike.count("chip") > 1 for row in check.figures)
    with pytest.raises(MyoedgeError) as caught:
        check.raise_worse()
    assert not any("--operating-point" in text for text in caught.value.notice.tries)
    page = comparison_html(old, changed(new, "cycles", None), ("old", "new"))
    assert "those of the other counted" not in page


def test_the_remedy_for_another_operating_point_works(good: myoedge.Build, tmp_path: Path) -> None:
    shutil.copytree(good.folder, tmp_path / "NEW")
    arguments = ("check", "NEW", "--against", good.folder)
    assert command("energy", "NEW", "--operating-point", "low", cwd=tmp_path).code == 0
    ran = command(*arguments, cwd=tmp_path)
    assert ran.code == 3
    assert "myoedge energy NEW --operating-point high" in ran.err
    assert command("energy", "NEW", "--operating-point", "high", cwd=tmp_path).code == 0
    assert command(*arguments, cwd=tmp_path).code == 0


def test_junit_and_annotations_name_the_figure(good: myoedge.Build) -> None:
    old = dict(good.report)
    found = check_reports(old, changed(old, "cycles.total", old["cycles"]["total"] * 2), {})
    suite = ElementTree.fromstring(found.junit())[0]
    assert (suite.get("failures"), suite.get("errors")) == ("1", "0")
    (line,) = found.annotations()
    assert re.match(r"::error title=model%3A myoedge check::cycles%3A .*100\.0 %25.*worse", line)
    with pytest.raises(MyoedgeError, match="E305"):
        found.raise_worse()


def test_the_verb_says_and_exits(good: myoedge.Build, tmp_path: Path) -> None:
    (tmp_path / "same.toml").write_text("[check]\ncycles = 0.0\n")
    arguments = ("check", good.folder, "--against", good.folder)
    ran = command(*arguments, "--config", "same.toml", "--junit", "x.xml", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "cycles" in ran.out
    assert 'failures="0"' in (tmp_path / "x.xml").read_text()
    assert (
        json.loads(command(*arguments, "--json", cwd=tmp_path).out)["schema"] == "myoedge.check/1"
    )
    (tmp_path / "wrong.toml").write_text("[check]\ncycels = 0.0\n")
    assert command(*arguments, "--config", "wrong.toml", cwd=tmp_path).code == 2


def test_two_files_of_the_accepted_build_suffice(good: myoedge.Build, tmp_path: Path) -> None:
    """As the guide says."""
    for name in ("report.json", "manifest.json"):
        (tmp_path / name).write_bytes((good.folder / name).read_bytes())
    assert not myoedge.check(good, against=tmp_path).failed
    for verb in ("check", "report"):
        ran = command(verb, good.folder, "--against", ".", cwd=tmp_path)
        assert ran.code == 0, ran.err
    text = (tmp_path / "report.json").read_text()
    (tmp_path / "report.json").write_text(text.replace('"cycles"', '"cycels"', 1))
    with pytest.raises(MyoedgeError, match="E222"):
        myoedge.check(good, against=tmp_path)


@pytest.mark.parametrize("bound", [float("nan"), -0.1])
def test_what_is_no_bound_is_refused(good: myoedge.Build, bound: float) -> None:
    with pytest.raises(MyoedgeError, match="E232"):
        check_reports(good.report, good.report, {"cycles": bound})


def test_a_larger_network_is_worse(good: myoedge.Build, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(16, 96), torch.nn.ReLU(), torch.nn.Linear(96, 8))
    model = save_exported(network, (torch.zeros(1, 16),), tmp_path / "model.pt2")
    myoedge.build(model, calib=good.folder.parent / "calib.npz", output=tmp_path / "now")
    ran = command("check", "now", "--against", good.folder, "--annotations", cwd=tmp_path)
    assert ran.code == 3
    assert "E305" in ran.err
    assert f"myoedge report now --against {good.folder}, layer by layer" in " ".join(
        ran.err.split()
    )
    assert "::error title=model%3A myoedge check::latency" in ran.err


def test_the_guide_s_workflow_runs_from_a_clean_folder(good: myoedge.Build, tmp_path: Path) -> None:
    """Its myoedge commands, as they stand, in a folder with model, samples and `accepted`."""
    for name in ("model.pt2", "calib.npz"):
        (tmp_path / name).write_bytes((good.folder.parent / name).read_bytes())
    with np.load(tmp_path / "calib.npz") as calib:
        np.savez(tmp_path / "test.npz", input=calib["input"], label=np.arange(16) % 8)
    (tmp_path / "myoedge.toml").write_text("[check]\ncycles = 0.0\n")
    lines = re.findall(r"^ +- run: myoedge (.*)$", GUIDE.read_text(), re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["build", "validate", "check"]
    command(*lines[0].replace("-o now", "-o accepted").split(), cwd=tmp_path)
    for line in lines:
        ran = command(*line.split(), cwd=tmp_path)
        assert ran.code == 0, (line, ran.err)
    assert {"validate.xml", "check.xml"} <= {path.name for path in tmp_path.iterdir()}


def test_a_folder_without_the_accepted_build(good: myoedge.Build, tmp_path: Path) -> None:
    """The error names the option, and its remedy makes the folder."""
    old = tmp_path / "accepted"
    with pytest.raises(MyoedgeError) as caught:
        myoedge.check(good, against=old)
    notice = caught.value.notice
    assert (notice.code, dict(notice.facts)["set in"]) == ("E222", "--against")
    remedy = notice.tries[0].partition(",")[0].replace("NEW", str(good.folder))
    subprocess.run(remedy.split(), check=True)
    assert not myoedge.check(good, against=old).failed


def test_memory_has_one_name_for_one_meaning(good: myoedge.Build, tmp_path: Path) -> None:
    """A report's L2 memory includes the code, check has both parts by themselves."""
    shown = command("report", good.folder, cwd=tmp_path).out
    checked = {row.change.fact.title for row in myoedge.check(good, against=good).figures}
    assert {"L1 in use at most", "L2 without code", "code"} <= checked
    for title in ("L1 memory", "L2 memory"):
        assert title in shown
        assert title not in checked
