# SPDX-License-Identifier: Apache-2.0
"""`myoedge advise`: suggestions are builds that were made; they stand in the reports."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends import arguments
from myoedge.errors import MyoedgeError
from myoedge.extensions.sweeps import advise, variations
from myoedge.extensions.sweeps.figures import changes, figures
from myoedge.reports.diff import compare
from tests.conftest import myoedge as command
from tests.conftest import save_exported

TOML = '[model]\npath = "model.pt2"\n[calib]\ndata = "calib.npz"\n[stream]\nrate = 1000\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A causal convolution, its samples and settings; two lengths of passes are tried."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.ConstantPad1d((4, 0), 0.0), nn.Conv1d(4, 16, 5), nn.ReLU())
    save_exported(network, (torch.zeros(1, 4, 32),), tmp_path / "model.pt2")
    samples = np.random.default_rng(0).standard_normal((24, 1, 4, 32), np.float32)
    np.savez(tmp_path / "calib.npz", input=samples)
    (tmp_path / "myoedge.toml").write_text(TOML)
    monkeypatch.setattr(variations, "FRAME_FACTORS", (4, 8))
    monkeypatch.setattr(variations, "TUNED_CYCLES", 0)
    return tmp_path


def average_mw(folder: Path) -> float:
    report = json.loads((folder / "report.json").read_text())
    return float(report["duty"]["average_mw"][0])


def test_a_suggestion_is_what_the_build_gives(folder: Path, tmp_path: Path) -> None:
    assert command("build", "--stream", "--simulate", "-o", "out", cwd=folder).code == 0
    before = average_mw(folder / "out")
    ran = command("advise", f"{folder.name}/out", "-j", "1", "--json", cwd=tmp_path.parent)
    assert ran.code == 0, ran.err
    rows = {row["title"]: row for row in ran.json["suggestions"]}
    assert set(rows) == {"frames = 4", "frames = 8", "operating point low"}
    assert ran.json["tried"] >= len(rows)
    told = command("advise", "out", "-j", "1", cwd=folder).out
    assert f"{ran.json['tried']} builds measured: {len(rows)} better" in told
    (folder / "myoedge.toml").write_text(f"{TOML}frames = 8\n")
    assert rows["frames = 8"]["how"] == "[stream]\nframes = 8"
    assert command("build", "--stream", "--simulate", "-o", "new", cwd=folder).code == 0
    assert rows["frames = 8"]["old"]["average_mw"] == before
    assert rows["frames = 8"]["new"]["average_mw"] == average_mw(folder / "new") < before
    typed = shlex.split(rows["operating point low"]["how"])
    low = "myoedge build -o out --stream --operating-point low"
    assert sorted(typed) == sorted(low.split())
    shutil.copytree(folder / "out", folder / "kept")
    assert command(*typed[1:], cwd=folder).code == 0
    lower = json.loads((folder / "out" / "report.json").read_text())
    assert lower["target"]["operating_point"] == "low"
    shutil.rmtree(folder / "out")
    shutil.move(folder / "kept", folder / "out")
    report = json.loads((folder / "out" / "report.json").read_text())
    assert {"schema": "myoedge.advice/1", **report["advice"]} == ran.json
    here = command("report", "out", cwd=folder).out
    assert rows["frames = 8"]["text"] in here
    how = rows["operating point low"]["how"]
    assert f"  {how}\n" in here
    elsewhere = command("report", folder / "out", cwd=tmp_path.parent).out
    assert f"  (cd {folder} && {how})\n" in elsewhere, "on one line, to copy"
    page = (folder / "out" / "report.html").read_text()
    assert '<code class="lines">[stream]\nframes = 8</code>' in page
    with pytest.raises(MyoedgeError) as caught:  # myoedge.toml is another one now
        myoedge.advise(folder / "out", jobs=1)
    assert caught.value.code == "E263"
    (folder / "myoedge.toml").write_text(TOML.removeprefix('[model]\npath = "model.pt2"\n'))
    for _ in ("without a model", "without any myoedge.toml"):
        with pytest.raises(MyoedgeError, match="E202") as caught:
            myoedge.advise(folder / "out", jobs=1)
        assert "myoedge build model.pt2 -o out" in caught.value.notice.tries[0]
        assert "[model] of myoedge.toml" in dict(caught.value.notice.facts)["set in"]
        (folder / "myoedge.toml").unlink(missing_ok=True)


def test_an_interrupt_ends_with_what_was_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the second variation is built; operating points need no build of their own."""
    assert command("build", "--stream", "--simulate", "-o", "out", cwd=folder).code == 0
    measure, built = advise._measure_variation, list[str]()

    def interrupted(variation: variations.Variation, **given: Any) -> advise.Tried:
        built.append(variation.title)
        if len(built) == 3:
            raise KeyboardInterrupt
        return measure(variation, **given)

    monkeypatch.setattr(advise, "_measure_variation", interrupted)
    ran = command("advise", "out", "-j", "1", cwd=folder)
    assert ran.code == 130
    assert built[:2] == ["as it is", "frames = 4"]
    assert "frames = 4: " in ran.out
    assert "operating point low: " in ran.out
    assert re.search(r"interrupted: 1 of \d+ builds are measured", ran.err)
    report = json.loads((folder / "out" / "report.json").read_text())
    assert report["advice"]["left"] > 0
    titles = [row["title"] for row in report["advice"]["suggestions"]]
    assert sorted(titles) == ["frames = 4", "operating point low"]


def test_progress_tells_gains_and_time(folder: Path) -> None:
    assert command("build", "--stream", "--simulate", "-o", "out", cwd=folder).code == 0
    ran = command("advise", "out", "-j", "1", cwd=folder)
    lines = ran.err.splitlines()
    at = [next(n for n, line in enumerate(lines) if text in line) for text in (
        "building and simulating the unchanged network", "unchanged build simulated",
        "operating point low: ", "1/", "2/",
    )]  # fmt: skip
    assert at == sorted(at)
    assert re.search(r"1/\d+  frames = 4: .* mW.*; \d+ s, about \d+ s more", ran.err)


@pytest.mark.parametrize("named", [True, False])
def test_a_changed_model_is_named(folder: Path, named: bool) -> None:
    """Its file, the digest of the network in it, and that of the build."""
    model = folder / "model.pt2"
    given: dict[str, Any] = {"model": model} if named else {}
    build = myoedge.build(**given, config=folder / "myoedge.toml", output=folder / "out")
    old = build.manifest["model"]["digest"][:16]
    torch.manual_seed(1)
    network = nn.Sequential(nn.ConstantPad1d((4, 0), 0.0), nn.Conv1d(4, 16, 5), nn.ReLU())
    save_exported(network, (torch.zeros(1, 4, 32),), model)
    with pytest.raises(MyoedgeError, match="E263") as caught:
        myoedge.advise(folder / "out", jobs=1)
    told = dict(caught.value.notice.facts)["model"]
    again = myoedge.build(model, config=folder / "myoedge.toml", output=folder / "again")
    new = again.manifest["model"]["digest"][:16]
    assert told.endswith(f"model.pt2 is another network now: {new}; {old} in {folder / 'out'}")


def test_arguments_are_known_on_the_computer_that_built(folder: Path, tmp_path: Path) -> None:
    built = myoedge.build(
        folder / "model.pt2", calib={"input": np.ones((2, 1, 4, 32), np.float32)},
        output=folder / "out", config=folder / "myoedge.toml",
    )  # fmt: skip
    known = arguments.recalled(built)
    assert set(known.given) == {"model", "calib", "config", "engine"}
    with pytest.raises(MyoedgeError) as caught:  # arrays are not kept
        arguments.recalled(myoedge.load_build(folder / "out"))
    assert caught.value.code == "E262"
    again = myoedge.build(folder / "model.pt2", output=folder / "out", holdout=0.0,
                          calib=folder / "calib.npz", config=folder / "myoedge.toml")  # fmt: skip
    shutil.copytree(folder / "out", folder / "copy")
    found = arguments.recalled(myoedge.load_build(folder / "copy"))
    assert found.folder == arguments.recalled(again).folder
    assert found.given == {name: str(x) if isinstance(x, Path) else x
                           for name, x in arguments.recalled(again).given.items()}  # fmt: skip
    assert found.given["holdout"] == 0.0
    toml = folder / "elsewhere.toml"  # gives the same files by arguments that are gone later
    shutil.copy(folder / "myoedge.toml", toml)
    myoedge.build(folder / "model.pt2", output=folder / "other", holdout=0.0,
                  calib=folder / "calib.npz", config=toml)  # fmt: skip
    toml.unlink()
    assert arguments.recalled(myoedge.load_build(folder / "out")) == found
    assert arguments.recalled(myoedge.load_build(folder / "other")) == found
    (folder / "model.pt2").unlink()
    with pytest.raises(MyoedgeError, match="built from is missing") as caught:
        arguments.recalled(myoedge.load_build(folder / "out"))
    assert dict(caught.value.notice.facts)["missing"] == str(folder / "model.pt2")


# --- weights outside L2 ---------------------------------------------------------------------------

# What a suggestion calls a figure of `myoedge diff` that is worse, by its bound or name in tables
CALLED = {
    "cycles": ("cycles",), "latency": ("cycles", "later"), "energy": ("energy",),
    "sqnr_db": ("dB",), "L2": ("L2",), "L3": ("L3",), "MRAM": ("MRAM",),
}  # fmt: skip


def worse_figures(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, ...]]:
    """What the figures that `myoedge diff` finds worse beyond their tolerance are called; of the
    memories those that grow by 2 % of L2."""
    found = []
    for change in compare(old, new):
        names = CALLED.get(change.fact.short) or CALLED.get(change.fact.bound)
        is_worse = not change.where and names and change.is_better is False
        least = 0.02 * old["target"]["l2_bytes"] if change.fact.bound == "memory" else 0.0
        if is_worse and abs(change.delta or 0) >= least and change.is_beyond(0.021):
            found.append(names)
    parts = [set(one["memory"]["external"]) for one in (old, new)]
    return [*found, *[("an external",)] * bool(parts[1] - parts[0])]


def applied(how: str, build: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """The report of a build by the lines of a suggestion: those for myoedge.toml, its command."""
    lines = how.split("\n")
    typed = [line for line in lines if line.startswith("myoedge ")]
    (folder / "myoedge.toml").write_text("\n".join(x for x in lines if x not in typed))
    words = (*shlex.split(typed[0])[1:], "--simulate") if typed else build
    assert command(*words, cwd=folder).code == 0
    (folder / "myoedge.toml").unlink()
    return myoedge.load_build(folder / "out").report


@pytest.mark.parametrize(
    ("memory", "suggested"),
    [
        ("off", {'weights in MRAM, external = "flash"', "4 bits for weights of 1 + 2"}),
        ("auto", {'external = "flash"', "operating point low", "4 bits for weights of 1 + 2"}),
    ],
)
def test_weights_outside_l2_are_told_where_they_cost_less(
    memory: str, suggested: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each suggestion is the build that its lines give; no variation is worse in silence."""
    torch.manual_seed(0)
    layers = (nn.Flatten(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 5))
    save_exported(nn.Sequential(*layers), (torch.zeros(1, 8, 64),), tmp_path / "model.pt2")
    samples = np.random.default_rng(0).standard_normal((24, 1, 8, 64), np.float32)
    np.savez(tmp_path / "calib.npz", input=samples)
    monkeypatch.setattr(variations, "TUNED_CYCLES", 0)
    build = ("build", "model.pt2", "--calib", "calib.npz", "--l2", "112KiB", "--simulate",
             "-o", "out", "--memory", f"mram={memory}")  # fmt: skip
    build = build[:-2] if memory == "off" else build
    assert command(*build, cwd=tmp_path).code == 0
    before = myoedge.load_build(tmp_path / "out").report
    tried, measure = list[advise.Tried](), advise._measure_variation

    def noted(variation: variations.Variation, **given: Any) -> advise.Tried:
        tried.append(measure(variation, **given))
        return tried[-1]

    monkeypatch.setattr(advise, "_measure_variation", noted)
    advice = myoedge.advise(tmp_path / "out", jobs=1)
    for one in tried[1:]:
        if one.report is not None:
            costs = changes(figures(before), figures(one.report)).costs
            for names in worse_figures(before, one.report):
                assert any(name in text for name in names for text in costs), (names, costs)
    assert any(worse_figures(before, x.report) for x in tried if x.report is not None)
    assert suggested <= {x.title for x in advice.suggestions}
    for row in advice.suggestions:
        after = applied(row.how, build, tmp_path)
        assert row.new["cycles"] == after["cycles"]["total"]
        assert row.new["energy_uj"] == after["energy_uj"]["value"]
        assert row.new["external_parts"] == len(after["memory"]["external"])
        assert row.new["l3_bytes"] == after["memory"]["l3_bytes"]


def test_a_build_for_the_host_has_nothing_to_simulate(folder: Path) -> None:
    assert command("build", "--target", "host", "-o", "out", cwd=folder).code == 0
    ran = command("advise", "out", cwd=folder)
    assert (ran.code, "E240" in ran.err) == (2, True)


def test_a_current_folder_that_is_gone_is_no_reason_to_fail(folder: Path) -> None:
    samples = np.random.default_rng(1).standard_normal((24, 1, 4, 32), np.float32)
    np.savez(folder / "calib.npz", input=samples)  # no other test has built this content
    gone = folder / "gone"
    gone.mkdir()
    with arguments.inside(str(gone)):
        gone.rmdir()
        built = myoedge.build(folder / "model.pt2", calib=folder / "calib.npz",
                              config=folder / "myoedge.toml", output=folder / "out")  # fmt: skip
        with arguments.inside(str(folder)):
            assert Path.cwd() == folder.resolve()
    with pytest.raises(MyoedgeError, match="was not built on this computer"):
        arguments.recalled(myoedge.load_build(built.folder))
