# SPDX-License-Identifier: Apache-2.0
"""build ends by simulating one inference: cycles, budgets and candidates are of that run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import myoedge
from myoedge.building import confirm, stream_rate
from myoedge.building.confirm import first_accepted
from myoedge.building.finishing import Finished, SimulationOptions
from myoedge.building.stages import STAGES
from myoedge.codegen.firmware import ProgramTooLarge
from myoedge.errors import MyoedgeError
from myoedge.reports import report_json
from myoedge.targets.gap9.chip import GAP9
from tests.conftest import Ran, of_networks, save_exported
from tests.e2e.test_streams import CHANNELS, FRAMES, network, samples
from tests.support.warning_rules import applies

IS_WANTED = SimulationOptions.is_wanted  # taken before the fixture of conftest.py replaces it
REPORTS = {"report.json", "report.html", "layers.csv"}


@pytest.fixture(autouse=True)
def by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulationOptions, "is_wanted", IS_WANTED)


def built(small: Path, folder: Path, table: str = "", **options: Any) -> myoedge.Build:
    config = folder / "myoedge.toml"
    config.write_text(table)
    chosen = {"calib": small / "calib.npz", "output": folder / "out", "config": config, **options}
    return myoedge.build(small / "model.pt2", **chosen)


def scaled(monkeypatch: pytest.MonkeyPatch, module: Any, factor: float) -> None:
    """Estimated cycles of networks that are wrong by a factor, as one module reads them."""
    estimate = module.modelled_cycles
    monkeypatch.setattr(module, "modelled_cycles", lambda plan: factor * estimate(plan))


def scaled_rows(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Estimated cycles of layers that are wrong by a factor, as reports read them."""
    latency_s = report_json.latency_s
    monkeypatch.setattr(report_json, "latency_s", lambda plan: factor * (latency_s(plan) or 0.0))
    for name in ("layer_cycles", "layer_waits"):
        of_layers = getattr(report_json, name)
        monkeypatch.setattr(
            report_json, name, lambda plan, of=of_layers: [round(factor * x) for x in of(plan)]
        )


def test_times_of_a_build_with_several_plans_add_up(small: Path, tmp_path: Path) -> None:
    """By a clock around the build: a limit of L2 below its code takes several plans."""
    (tmp_path / "l2.toml").write_text('[budget]\nl2 = "9 KiB"\n')
    began = time.perf_counter()
    build = built(small, tmp_path, simulate=False, config=tmp_path / "l2.toml")
    wall_s = time.perf_counter() - began
    assert wall_s - 2.0 < sum(build.times_s.values()) <= wall_s
    assert "other" in build.times_s


def test_cycles_of_build_are_those_of_simulate(small: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []
    build = built(small, tmp_path, progress=lambda *cycles: seen.append(cycles))
    report = build.report
    assert report["cycles"]["source"] == report["energy_uj"]["source"] == "simulated"
    assert report["exact"]["simulator"] is None, "null until validate"
    assert "same outputs" in (build.folder / "report.html").read_text()
    assert len(report["cycles"]["inferences"]) == 1
    assert not build.warnings
    times_s = dict(build.times_s)
    assert times_s.pop("other") >= 0.0
    assert [*times_s] == [name for name in STAGES if name in times_s], "as numbered"
    assert seen[-1][0] >= report["cycles"]["total"]
    simulated = myoedge.simulate(build).report
    assert simulated == {**report, "exact": {**report["exact"], "simulator": True}}


def test_the_same_input_gives_the_same_bytes(small: Path, tmp_path: Path) -> None:
    first, second = (built(small, tmp_path, output=tmp_path / name) for name in ("a", "b"))
    assert first.digests == second.digests


def test_without_simulation_only_reports_differ(small: Path, tmp_path: Path) -> None:
    build = built(small, tmp_path, simulate=False, output=tmp_path / "estimated")
    assert build.report["cycles"]["source"] == "modelled"
    assert not build.warnings
    assert "simulate" not in build.times_s
    simulated = built(small, tmp_path)
    for name in build.digests.keys() - REPORTS:
        assert build.digests[name] == simulated.digests[name], name
    assert all(build.digests[name] != simulated.digests[name] for name in REPORTS)


@pytest.mark.parametrize("limit", [None, "600 KiB"])
def test_code_that_is_longer_than_planned_for_takes_the_place_of_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None
) -> None:
    """Code of all but 160 KiB of L2, where the plan had room to spare for data of 190 KiB, also
    below a limit."""
    model = torch.nn.Sequential(*(torch.nn.Linear(250, 250) for _ in range(3)))
    save_exported(model.eval(), (torch.zeros(1, 250),), tmp_path / "m.pt2")
    has_bytes, tried = 160 << 10, list[int]()
    make = confirm.make_contents

    def linked(build_plan: Any, *given: Any) -> Any:
        tried.append(build_plan.plan.l2_bytes)
        if tried[-1] > has_bytes:
            raise ProgramTooLarge("L2", tried[-1] - has_bytes)
        return make(build_plan, *given)

    monkeypatch.setattr(confirm, "make_contents", linked)
    myoedge.build(tmp_path / "m.pt2", output=tmp_path / "out", simulate=False, l2=limit)
    before, after = tried
    assert before > has_bytes >= after


class Recurrent(torch.nn.Module):
    """Bidirectional layers whose weights come to L1 in parts, as many as find room."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.GRU(88, 234, 2, batch_first=True, bidirectional=True)
        self.head = torch.nn.Linear(468, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.layers(x)[0])
        return scores


@pytest.mark.slow
def test_l1_has_room_for_the_arguments_of_any_kernels(tmp_path: Path) -> None:
    """Those of recurrences and copies are the longest: 16 bytes more than is reserved for all."""
    torch.manual_seed(0)
    model = save_exported(Recurrent().eval(), (torch.zeros(1, 20, 88),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((2, 1, 20, 88), np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", simulate=True)
    memory = build.report["memory"]
    assert memory["l1_reserved_bytes"] > GAP9.l1_reserved_bytes
    assert build.program.symbols["me_l1_end"] <= 0x1000_0000 + GAP9.l1_bytes


def test_a_host_has_nothing_to_simulate(small: Path, tmp_path: Path) -> None:
    build = built(small, tmp_path, target="host")
    assert build.report["cycles"] is None
    assert not build.warnings


@pytest.mark.parametrize("option", ["simulate", "tune"])
def test_what_a_host_cannot_do_is_refused(small: Path, tmp_path: Path, option: str) -> None:
    with pytest.raises(MyoedgeError) as caught:
        built(small, tmp_path, target="host", **{option: True})
    assert caught.value.code == "E204"


def test_the_command_line(run: Callable[..., Ran], small: Path) -> None:
    given = ("build", small / "model.pt2", "--calib", small / "calib.npz", "-o", "out")
    told = run(*given)
    assert "simulate ..." in told.err
    assert "simulated GAP9" in told.out
    left_out = run(*given, "--no-simulate")
    assert "simulate ..." not in left_out.err
    assert "modelled" in left_out.out


@applies("W303", "--simulate")
def test_long_runs_are_simulated_where_asked_for(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirm, "LONGEST_CYCLES", 1000)
    build = built(small, tmp_path, strict=True)
    (told,) = build.warnings
    assert (told.code, told.tries) == ("W303", ("--simulate",))
    assert build.report["cycles"]["source"] == "modelled"
    assert [row["code"] for row in build.report["warnings"]] == ["W303"]
    forced = built(small, tmp_path, simulate=True)
    assert (forced.report["cycles"]["source"], forced.warnings) == ("simulated", ())


def test_a_simulator_that_does_not_compile(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rejected(*_: object) -> None:
        raise MyoedgeError("E910", "the C does not compile")

    monkeypatch.setattr(confirm, "core", rejected)
    build = built(small, tmp_path)
    (told,) = build.warnings
    assert (told.code, dict(told.facts)["cause"]) == ("W304", "the C does not compile")
    assert build.report["cycles"]["source"] == "modelled"
    with pytest.raises(MyoedgeError, match="E910"):
        built(small, tmp_path, simulate=True)


def test_outputs_that_differ_leave_no_folder(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = confirm.make_contents

    def off_by_one(*arguments: Any) -> Any:
        contents = make(*arguments)
        return replace(contents, values={name: x + 1 for name, x in contents.values.items()})

    monkeypatch.setattr(confirm, "make_contents", off_by_one)
    with pytest.raises(MyoedgeError) as raised:
        built(small, tmp_path)
    assert (raised.value.code, raised.value.exit_code) == ("E401", 4)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_simulation_leaves_the_older_build(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = built(small, tmp_path)
    digests = dict(before.digests)
    monkeypatch.setattr(confirm, "_simulate_inference", interrupted)
    with pytest.raises(KeyboardInterrupt):
        built(small, tmp_path, calib="random")
    assert myoedge.load_build(tmp_path / "out").digests == digests
    assert sorted(path.name for path in tmp_path.iterdir()) == ["myoedge.toml", "out"]


# --- where an estimate is wrong -------------------------------------------------------------------


def test_budgets_are_judged_by_simulated_cycles(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latency_s = built(small, tmp_path).report["latency_s"]
    below, above = (f'[budget]\nlatency = "{f * latency_s * 1e6:.4f} us"\n' for f in (0.99, 1.01))
    for factor in (0.1, 10.0):
        with monkeypatch.context() as patch:
            scaled_rows(patch, factor)
            kept = built(small, tmp_path, above, output=tmp_path / f"kept{factor}")
            assert kept.report["latency_s"] == latency_s
            with pytest.raises(MyoedgeError) as raised:
                built(small, tmp_path, below, output=tmp_path / "no")
        assert raised.value.exit_code == 3
        assert "simulated, at 0.80 V" in dict(raised.value.notice.facts)["build"]
        assert not (tmp_path / "no").exists()


def test_auto_takes_the_point_by_simulated_cycles(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = built(small, tmp_path).report
    high, low = report["energy_uj"]["points"]
    assert (high["name"], low["name"]) == ("high", "low")
    enough = f'[budget]\nlatency = "{1.01e6 * low["latency_s"]:.4f} us"\n'
    estimated = sum(row["cycles_modelled"] for row in report["layers"])
    scaled_rows(monkeypatch, 1.15 * report["cycles"]["total"] / estimated)
    for simulate, name in ((False, "280 MHz"), (True, "low")):
        build = built(small, tmp_path, enough, operating_point="auto", simulate=simulate)
        assert build.report["target"]["operating_point"] == name


@pytest.mark.slow
def test_a_stream_that_is_slower_than_estimated_has_more_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Estimated at half the cycles, two frames of a pass would do; simulated, they do not."""
    example = (torch.zeros(1, CHANNELS, FRAMES),)
    archive = save_exported(network(), example, tmp_path / "model.pt2")
    config = tmp_path / "myoedge.toml"

    def report_at(rate: float) -> dict[str, Any]:
        config.write_text(f"[stream]\naxis = 2\nrate = {rate}\nhop = 5\n")
        return myoedge.build(
            archive, calib=samples(), output=tmp_path / "out", config=config, stream=True
        ).report

    slow = report_at(100.0)
    assert (slow["stream"]["pass_frames"], slow["cycles"]["source"]) == (2, "simulated")
    assert len(slow["cycles"]["inferences"]) == 1, "one pass"
    scaled(monkeypatch, stream_rate, 0.5)
    finished: list[Finished] = []
    make = confirm._finish_candidate
    monkeypatch.setattr(
        confirm, "_finish_candidate", lambda *given: finished.append(make(*given)) or finished[-1]
    )
    report = report_at(5 * 1.3 * 2 * 370e6 / slow["cycles"]["total"])
    tried = [result.report["stream"] for result in finished]
    frames = [stream["pass_frames"] for stream in tried]
    assert frames == list(range(2, 2 * len(frames) + 1, 2))
    assert [stream["points"][0]["keeps_up"] for stream in tried[:-1]] == [False] * (len(tried) - 1)
    assert len(tried) > 1
    assert report["stream"]["points"][0]["keeps_up"]
    assert report["stream"]["least_frames"]["high"] == report["stream"]["pass_frames"]
    assert not of_networks(report["warnings"])


def test_candidates_are_tried_until_one_holds() -> None:
    tried: list[int] = []

    def evaluate(candidate: int) -> int:
        tried.append(candidate)
        return 10 * candidate

    assert first_accepted([3, 1, 2, 5], evaluate, lambda result: result < 25) == 10
    assert tried == [3, 1]
    assert first_accepted([3, 4], evaluate, lambda result: False) == 40, "the last one"
