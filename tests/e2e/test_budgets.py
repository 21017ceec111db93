# SPDX-License-Identifier: Apache-2.0
"""Budgets: the same network in less and less L1 gives the same bytes; what is too much is told."""

from __future__ import annotations

import json
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import myoedge
from myoedge.building import plans
from myoedge.building.budget import Budget, within
from myoedge.building.build_files import with_digest
from myoedge.building.config import from_tables
from myoedge.building.quantities import seconds, size_bytes
from myoedge.building.request import possible
from myoedge.errors import DoesNotFit, MyoedgeError, Notice
from myoedge.operators import layer_names as naming
from myoedge.plan.plan import Plan
from myoedge.quantization.scales import QuantGraph
from myoedge.reports import near_memory
from myoedge.reports.budget import over_goals
from myoedge.targets import Chip, find_chip
from tests.conftest import myoedge as command
from tests.conftest import of_networks, save_exported, thinned
from tests.e2e.test_memory import Mixed
from tests.support.limits import l2_with_code
from tests.support.pages import summary
from tests.support.schemas import check
from tests.support.warning_rules import applies

BUDGETS = ("128KiB", "40KiB", "20KiB", "16KiB", "14KiB")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("budgets")
    return save_exported(Mixed(), (torch.zeros(1, 3, 19, 17),), folder / "m.pt2")


JOULES = {"nJ": 1e-9, "µJ": 1e-6, "mJ": 1e-3}


def built(model: Path, folder: Path, l1: str) -> myoedge.Build:
    calib = np.random.default_rng(0).standard_normal((8, 1, 3, 19, 17), np.float32)
    return myoedge.build(model, calib=calib, output=folder, l1=l1)


@pytest.mark.parametrize("budgets", thinned([[*BUDGETS[::2]], [*BUDGETS]]))
def test_less_l1_gives_the_same_bytes(model: Path, tmp_path: Path, budgets: list[str]) -> None:
    counts, found = [], []
    sample = [np.random.default_rng(1).integers(-128, 128, (1, 3, 19, 17), np.int8)]
    for l1 in budgets:
        build = built(model, tmp_path / l1, l1)
        assert myoedge.validate(build, on="host,simulator").difference is None, l1
        found.append([y.tobytes() for y in build.run_raw(sample)])
        plan = json.loads(build.written("plan.json"))
        counts.append(sum(step["tiles"]["count"] for step in plan["steps"] if step["tiles"]))
    assert all(outputs == found[0] for outputs in found)
    assert max(counts) >= 2 * counts[0], counts


def test_a_layer_without_a_tile_for_the_budget(model: Path, tmp_path: Path) -> None:
    """The message names the operand to blame and an L1 that is enough."""
    with pytest.raises(MyoedgeError) as raised:
        built(model, tmp_path / "out", "12800")
    found = raised.value.notice
    assert (found.code, found.exit_code) == ("E304", 3)
    facts = dict(found.facts)
    has = int(facts["has"].split()[0].replace(",", ""))
    assert 400 < has < 512, "512 B, without the marks of the layers"
    assert "weights" in facts["largest"]
    enough = found.tries[0].split()[1]
    assert 13 <= int(enough.removesuffix("KiB")) <= int(BUDGETS[-1].removesuffix("KiB"))
    build = built(model, tmp_path / "out", enough)
    assert not [told for told in build.warnings if told.code == "W301"]


@applies("W301", "{smaller}")
def test_a_layer_without_a_tile_for_the_chip(tmp_path: Path) -> None:
    """All of L1 is no limit: the layer is computed in L2, which is told."""
    torch.manual_seed(0)
    model = torch.nn.Conv1d(2, 2, 3001, dilation=25).eval()  # a window of 150 KB
    wide = save_exported(model, (torch.zeros(1, 2, 75_200),), tmp_path / "wide.pt2")
    calib = np.random.default_rng(0).standard_normal((2, 1, 2, 75_200), np.float32)
    for l1 in (None, "128KiB"):
        build = myoedge.build(wide, calib=calib, output=tmp_path / "out", l1=l1)
        assert of_networks(build.warnings) == ["W301"], l1
        (told,) = (x for x in build.warnings if x.code == "W301")
        assert told.tries == ("smaller kernels in this layer",), "a channel's window is too large"
    either = ("fewer channels or smaller kernels in this layer",)
    for channels, taps, dilation, tries in (
        (2, 301, 25, ()),
        (4, 3001, 12, either),
        (1, 3001, 12, ()),
    ):
        layer = torch.nn.Conv1d(channels, channels, taps, dilation=dilation).eval()
        example = torch.zeros(1, channels, 36_400)
        other = save_exported(layer, (example,), tmp_path / "other.pt2")
        given = {"calib": example.numpy()[None] + 1.0, "output": tmp_path / "out"}
        build = myoedge.build(other, simulate=False, **given)
        assert tuple(x for w in build.warnings if w.code == "W301" for x in w.tries) == tries
    with pytest.raises(MyoedgeError) as raised:
        myoedge.build(wide, calib=calib, output=tmp_path / "out", l1="100KiB")
    assert raised.value.code == "E304"
    assert "no --l1" in raised.value.notice.tries[0], "128 KiB would not do"


def test_a_layer_of_one_channel_is_not_to_have_fewer(tmp_path: Path) -> None:
    model = torch.nn.Conv1d(1, 1, 3001, dilation=40).eval()
    long = save_exported(model, (torch.zeros(1, 1, 120_500),), tmp_path / "long.pt2")
    calib = np.random.default_rng(0).standard_normal((2, 1, 1, 120_500), np.float32)
    build = myoedge.build(long, calib=calib, output=tmp_path / "out", simulate=False)
    (told,) = (x for x in build.warnings if x.code == "W301")
    assert told.tries == ("smaller kernels in this layer",)


def test_a_layer_without_a_tile_that_a_small_l2_could_feed(tmp_path: Path) -> None:
    """Its 512 B of exponentials lie in L2 as a whole, beside all else in parts: tiles are in L1."""

    class Attending(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = torch.nn.Linear(8, 24)
            sizes = ((8, 64), (64, 64), (64, 8))
            self.head = torch.nn.Sequential(*(torch.nn.Linear(a, b) for a, b in sizes))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.qkv(x).view(1, 12, 3, 2, 4).permute(2, 0, 3, 1, 4)
            y = torch.nn.functional.scaled_dot_product_attention(q, k, v)
            return self.head(y.transpose(1, 2).reshape(1, 12, 8).mean(1).relu())

    torch.manual_seed(0)
    model = save_exported(Attending(), (torch.zeros(1, 12, 8),), tmp_path / "m.pt2")
    calib = np.random.default_rng(0).standard_normal((4, 1, 12, 8), np.float32)
    for l1 in (None, "64KiB"):
        build = myoedge.build(model, calib=calib, output=tmp_path / "out", l1=l1, l2=1800)
        assert not of_networks(build.warnings)
        assert myoedge.validate(build, on="host,simulator").difference is None


def test_no_room_at_all_says_what_is_reserved(model: Path, tmp_path: Path) -> None:
    for l1 in ("8KiB", "12 KiB", "0"):
        with pytest.raises(MyoedgeError) as raised:
            built(model, tmp_path / "out", l1)
        assert raised.value.code == "E302"
        facts = dict(raised.value.notice.facts)
        assert "12,288 B" in facts["needs"]
        assert "nothing would be left" in facts["has"]
    with pytest.raises(MyoedgeError, match="over budget: l1"):
        within(find_chip("gap9"), Budget(l1_bytes=0, l2_bytes=0))


# --- [budget] -------------------------------------------------------------------------------------


def with_table(model: Path, folder: Path, table: str, **options: str) -> myoedge.Build:
    (folder / "myoedge.toml").write_text(f"[budget]\n{table}\n")
    calib = np.random.default_rng(0).standard_normal((8, 1, 3, 19, 17), np.float32)
    chosen = {"config": folder / "myoedge.toml", "output": folder / "out", **options}
    return myoedge.build(model, calib=calib, **chosen)


def refusal(model: Path, folder: Path, table: str, **options: str) -> Notice:
    with pytest.raises(MyoedgeError) as raised:
        with_table(model, folder, table, **options)
    assert raised.value.exit_code == (2 if raised.value.code[1] == "2" else 3)
    assert not (folder / "out").exists()
    return raised.value.notice


def test_what_each_of_several_goals_costs_is_told(model: Path, tmp_path: Path) -> None:
    """Cycles of a limited L1 against a build with all of it; one goal alone is not priced."""
    calib = np.random.default_rng(0).standard_normal((8, 1, 3, 19, 17), np.float32)
    toml, cycles = tmp_path / "myoedge.toml", dict[str, int]()
    for name, l1 in (("all", None), ("limited", "16KiB")):
        toml.write_text('[budget]\nlatency = "1 s"\nsqnr = 10\n' if l1 else "")
        build = myoedge.build(
            model, calib=calib, config=toml, l1=l1, simulate=False, output=tmp_path / name
        )
        cycles[name] = build.report["cycles"]["total"]
    more = cycles["limited"] / cycles["all"] - 1
    assert more > 0.005
    assert build.report["budget"]["more_cycles"] == {"l1": pytest.approx(more, abs=1e-4)}
    check(build.report)
    told = " ".join(summary(build.report, width=100).split())
    assert "budget latency 1 s: takes " in told
    assert f"SQNR 10 dB: keeps {build.report['quantization']['sqnr_db']:.1f} dB, for no" in told
    assert re.search(r"L1 16 KiB: takes \S+ KiB, for \S+ % more cycles than with all of it", told)
    assert "more energy than at low, which takes" in told
    assert "more_cycles" not in built(model, tmp_path / "one", "16KiB").report["budget"]


def test_latency_is_judged_by_modelled_cycles(model: Path, tmp_path: Path) -> None:
    rows = with_table(model, tmp_path, 'latency = "1 s"').layers
    shutil.rmtree(tmp_path / "out")
    slowest = max(rows, key=lambda row: row["cycles_modelled"] or 0)
    told = refusal(model, tmp_path, 'latency = "10 us"')
    facts = dict(told.facts)
    assert (told.code, facts["budget"]) == ("E302", "10 µs")
    assert "modelled, at 0.80 V, 370 MHz" in facts["build"]
    lines = facts["most"].splitlines()
    cycles = [int(line.split()[0].replace(",", "")) for line in lines]
    assert len(lines) == 3
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[0] >= slowest["cycles_modelled"]
    assert all(".py:" in line for line in lines), "source lines"


def test_energy_is_judged_at_the_operating_point(model: Path, tmp_path: Path) -> None:
    report = with_table(model, tmp_path, 'energy = "1 J"').report
    high, low = report["energy_uj"]["points"]
    shutil.rmtree(tmp_path / "out")
    limit = f'energy = "{(high["value"] + low["value"]) / 2:.6f} uJ"'
    refused = refusal(model, tmp_path, limit)
    facts = dict(refused.facts)
    assert "modelled, at 0.80 V, 370 MHz" in facts["build"]
    assert refused.tries[0] == "--operating-point low"
    in_between = f'latency = "{(high["latency_s"] + low["latency_s"]) / 2 * 1e6:.3f} us"'
    hurried = refusal(model, tmp_path, f"{limit}\n{in_between}")
    assert not any("--operating-point" in line for line in hurried.tries), "too slow there"
    slow = refusal(model, tmp_path, in_between, operating_point="low")
    assert slow.tries[0] == "--operating-point high"
    frugal = refusal(model, tmp_path, f"{limit}\n{in_between}", operating_point="low")
    assert not any("--operating-point" in line for line in frugal.tries), "too much there"
    told = [line.split("  ", 1) for line in facts["most"].splitlines()]
    assert len(told) == 3
    joules = [float(text.split()[0]) * JOULES[text.split()[1]] for text, _ in told]
    assert joules == sorted(joules, reverse=True)
    assert all(".py:" in where for _, where in told), "source lines"
    built_low = with_table(model, tmp_path, limit, operating_point="low").report
    assert built_low["target"]["operating_point"] == "low"
    assert built_low["energy_uj"]["value"] == low["value"]


def test_auto_takes_the_cheapest_point_streaming_rule(model: Path, tmp_path: Path) -> None:
    """Half way between the latencies of both points 280 MHz would be too slow: the highest clock
    of the next voltage."""
    free = with_table(model, tmp_path, "", operating_point="auto").report
    low, high = free["energy_uj"]["points"]
    assert free["target"]["operating_point"] == "low"
    between = f'latency = "{(low["latency_s"] + high["latency_s"]) / 2 * 1e6:.3f} us"'
    held = with_table(model, tmp_path, between, operating_point="auto").report
    assert (held["target"]["operating_point"], held["budget"]["latency_s"]) == (
        "325 MHz",
        pytest.approx((low["latency_s"] + high["latency_s"]) / 2, abs=1e-9),
    )
    told = refusal(*fresh(model, tmp_path), 'latency = "1 us"', operating_point="auto")
    assert "370 MHz" in dict(told.facts)["build"], "not even the fastest"
    for name in ("fast", "500MHz", "1MHz"):
        assert refusal(model, tmp_path, "", operating_point=name).code == "E204"


def fresh(model: Path, folder: Path) -> tuple[Path, Path]:
    shutil.rmtree(folder / "out")
    return model, folder


def test_noise_is_told_with_the_noisiest_layers(model: Path, tmp_path: Path) -> None:
    facts = dict(refusal(model, tmp_path, "sqnr = 90.0").facts)
    assert facts["16 bits"].startswith("tried")
    (tmp_path / "older").mkdir()
    older = with_table(model, tmp_path / "older", "")
    kept = dict(refusal(model, tmp_path, "sqnr = 90.0", reuse=older.folder).facts)
    assert kept["16 bits"].startswith("not tried: --reuse")
    db = [row["sqnr_local_db"] for row in older.layers if row["sqnr_local_db"] is not None]
    told = [float(line.split()[0]) for line in kept["most"].splitlines()]
    assert told == pytest.approx(sorted(db)[:3], abs=0.06)


@pytest.mark.slow
def test_16_bits_that_l2_has_no_room_for_are_told_as_such(model: Path, tmp_path: Path) -> None:
    (tmp_path / "free").mkdir()
    free = with_table(model, tmp_path / "free", "")
    room = free.report["memory"]["l2_peak_bytes"]
    facts = dict(refusal(model, tmp_path, f'sqnr = 60.0\nl2 = "{room} B"').facts)
    assert facts["16 bits"].startswith("tried: too large for the memories")


def test_an_sqnr_that_is_kept_anyway_changes_nothing(tmp_path: Path) -> None:
    """Also where calibration's samples keep it barely; what is missed has 16 bits."""
    torch.manual_seed(0)
    layers = (torch.nn.Linear(16, 24), torch.nn.LayerNorm(24), torch.nn.Linear(24, 3))
    example = (torch.zeros(1, 16),)
    net = save_exported(torch.nn.Sequential(*layers).eval(), example, tmp_path / "net.pt2")
    calib = np.random.default_rng(0).standard_normal((32, 1, 16), np.float32)

    def built_for(sqnr: float | None) -> myoedge.Build:
        table = "[budget]\n" if sqnr is None else f"[budget]\nsqnr = {sqnr}\n"
        (tmp_path / "myoedge.toml").write_text(f"[calib]\nholdout = 0.0\n{table}")
        config, output = tmp_path / "myoedge.toml", tmp_path / str(sqnr)
        return myoedge.build(net, calib=calib, config=config, output=output)

    plain = built_for(None)
    found_db = plain.report["quantization"]["sqnr_db"]
    for sqnr in (found_db - 0.1, found_db + 0.1):
        build = built_for(sqnr)
        same = build.written("src/network.c") == plain.written("src/network.c")
        assert same == (sqnr < found_db)
        assert ("int16" in {row["dtype"] for row in build.layers}) == (sqnr > found_db)


class Silent(torch.nn.Module):
    """Outputs that are 0 for [a, 2 a, ..]: of exact integers ("zero"), and with errors ("near"),
    beside one with a signal ("loud")."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names, self.head = names, torch.nn.Linear(4, 3)
        self.near = torch.nn.Linear(4, 1, bias=False)
        self.near.weight.data = torch.tensor([[1.0, -0.5, 0.0, 0.0]])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = {"zero": torch.relu(self.head(x) - 1000.0), "near": self.near(x) * 3.0}
        found["loud"] = torch.tanh(self.head(x))
        return tuple(found[name] for name in self.names)


SILENT = {  # outputs -> SQNR in report.json of each (None: no signal; "": a number), the worst one
    ("zero",): ([999.0], 999.0),
    ("near",): ([None], None),
    ("zero", "loud"): ([999.0, ""], ""),
    ("near", "loud"): ([None, ""], ""),
    ("zero", "near"): ([999.0, None], 999.0),
}


@pytest.mark.parametrize("names", SILENT)
def test_outputs_that_are_0_in_floats_are_judged(tmp_path: Path, names: tuple[str, ...]) -> None:
    """No error is exact; errors without a signal have no SQNR, and keep no budget, not even beside
    other outputs. report.json has no infinity."""
    torch.manual_seed(0)
    net = save_exported(Silent(*names).eval(), (torch.zeros(1, 4),), tmp_path / "net.pt2")
    drawn = np.random.default_rng(0).standard_normal((96, 1, 4)).astype(np.float32)
    drawn[..., 1] = 2 * drawn[..., 0]
    config = tmp_path / "myoedge.toml"

    def built(table: str) -> myoedge.Build:
        config.write_text(table)
        given = {"calib": drawn, "config": config, "simulate": False}
        return myoedge.build(net, **given, output=tmp_path / "out")

    report = built("").report
    wanted, worst = SILENT[names]
    found = [port["sqnr_db"] for port in report["outputs"]]
    assert [x if y != "" else "" for x, y in zip(found, wanted, strict=True)] == wanted
    assert (report["quantization"]["sqnr_db"] == worst) == (worst != "")
    json.dumps(report, allow_nan=False)
    if "near" not in names:
        built("[budget]\nsqnr = 20\n")
        return
    with pytest.raises(myoedge.MyoedgeError) as caught:
        built("[budget]\nsqnr = 20\n")
    facts = dict(caught.value.notice.facts)
    assert (caught.value.code, facts["budget"]) == ("E302", "20 dB")
    assert facts["build"].startswith("no SQNR: errors, and a float output that is 0")
    assert (
        caught.value.notice.tries[0] == "samples in which the output is not 0, in --calib or --test"
    )
    assert all(facts.values())


def test_a_budget_of_one_output_is_kept_by_that_output(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = save_exported(Heads().eval(), (torch.zeros(1, 16),), tmp_path / "heads.pt2")
    calib = np.random.default_rng(1).standard_normal((16, 1, 16), np.float32)

    def built(sqnr: str) -> dict[str, float]:
        (tmp_path / "myoedge.toml").write_text(f"[budget]\n{sqnr}\n")
        given = {"calib": calib, "config": tmp_path / "myoedge.toml", "simulate": False}
        ports = myoedge.build(net, **given, output=tmp_path / "out").report["outputs"]
        return {port["name"]: port["sqnr_db"] for port in ports}

    first, last = built("").items()
    after = built(f"sqnr = {{ {last[0]} = {last[1] + 0.5:.1f} }}")
    assert after[last[0]] > last[1] + 0.4
    assert after[first[0]] >= first[1]  # of inputs of 16 bits it has its share
    config = tmp_path / "myoedge.toml"
    config.write_text(f'[budget]\nlatency = "1 s"\nsqnr = {{ {first[0]} = 10, {last[0]} = 11 }}\n')
    build = myoedge.build(net, calib=calib, config=config, simulate=False, output=tmp_path / "low")
    kept = ", ".join(f"{x['name']} {x['sqnr_db']:.1f} dB" for x in build.report["outputs"])
    told = " ".join(summary(build.report, width=120).split())
    assert f"SQNR {first[0]} 10 dB, {last[0]} 11 dB: keeps {kept}, for" in told
    with pytest.raises(myoedge.MyoedgeError) as error:
        built(f"sqnr = {{ {last[0]} = 90.0 }}")
    assert error.value.code == "E302"
    assert dict(error.value.notice.facts)["budget"] == f"{last[0]} 90 dB"
    with pytest.raises(myoedge.MyoedgeError, match="there is no output 'elsewhere'") as error:
        built("sqnr = { elsewhere = 30.0 }")
    assert error.value.code == "E233"
    assert error.value.notice.tries == (f'[budget] sqnr = {{ "{first[0]}" = 30.0 }}',)


class Heads(torch.nn.Module):
    """A layer, and one behind a norm, side by side: an output each."""

    def __init__(self) -> None:
        super().__init__()
        norm = (torch.nn.Linear(16, 24), torch.nn.LayerNorm(24), torch.nn.Linear(24, 60))
        self.a, self.b = torch.nn.Linear(16, 5), torch.nn.Sequential(*norm)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.a(x), self.b(x)


class Twice(torch.nn.Module):
    """One layer at two places of the network, which have one place in the program."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.fc(x)))


def test_layers_of_one_place_are_told_apart_as_in_reports(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = save_exported(Twice(), (torch.zeros(1, 6),), tmp_path / "twice.pt2")
    given = {"calib": np.random.default_rng(0).standard_normal((8, 1, 6), np.float32)}
    names = naming.unique_names(myoedge.build(model, **given, output=tmp_path / "out").layers)
    assert names == ["fc (linear)", "fc (linear 2)"]
    table = 'sqnr = 120\nlatency = "1 us"\nenergy = "0.001 uJ"'
    (tmp_path / "myoedge.toml").write_text(f"[budget]\n{table}\n")
    with pytest.raises(MyoedgeError) as raised:
        myoedge.build(model, **given, config=tmp_path / "myoedge.toml", output=tmp_path / "no")
    facts = dict(raised.value.notice.facts)
    for name in ("sqnr", "latency", "energy"):
        told = [line.split("  ")[1] for line in facts[f"{name}, most"].splitlines()]
        assert sorted(re.sub(r", .*\)$", ")", line) for line in told) == sorted(names)
        assert all(".py:" in line for line in told)
    with pytest.raises(MyoedgeError) as raised:
        myoedge.build(model, **given, l2="64", l3="1", output=tmp_path / "no")
    largest = dict(raised.value.notice.facts)["largest"].splitlines()
    told = {line.split("  ")[1].removeprefix("output of ") for line in largest}
    assert {re.sub(r", .*\)$", ")", line) for line in told} == {*names}


def test_every_budget_that_is_broken_is_told_at_once(model: Path, tmp_path: Path) -> None:
    table = 'latency = "10 us"\nenergy = "0.001 uJ"\nsqnr = 1'
    told = refusal(model, tmp_path, table)
    assert told.title == "over budget: latency, energy"
    facts = dict(told.facts)
    assert (facts["latency, budget"], facts["energy, budget"]) == ("10 µs", "1 nJ")
    assert len(facts["latency, most"].splitlines()) == len(facts["energy, most"].splitlines()) == 3
    assert all(" to " in line for line in facts["energy, most"].splitlines()), "intervals"
    assert "sqnr, budget" not in facts
    assert len(told.tries) == 2, "one that helps both, one that gives both up"
    assert told.tries[1].startswith("[budget] latency, energy = ")


@pytest.mark.slow
def test_a_memory_that_is_too_small_hides_no_other_budget(model: Path, tmp_path: Path) -> None:
    """They are judged with all of the chip's memory: what is too slow then is too slow."""
    table = 'l2 = "2 KiB"\nlatency = "10 us"\nenergy = "1 J"\nsqnr = 90'
    told = refusal(model, tmp_path, table)
    assert (told.code, told.title) == ("E302", "over budget: l2, latency, sqnr")
    facts = dict(told.facts)
    assert (facts["l2, has"], facts["latency, budget"]) == ("2,048 B", "10 µs")
    assert facts["judged"] == "latency, sqnr: with all memory"
    narrow = refusal(model, tmp_path, 'l1 = "12800"\nsqnr = 90')
    assert (narrow.code, narrow.title) == ("E302", "over budget: l1, sqnr")


def test_an_l1_with_which_l2_is_too_small_is_told_as_that(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = plans.plan_within

    def plan_within(network: QuantGraph, chip: Chip, limits: Budget) -> Plan:
        if limits.l1_bytes is not None and limits.l1_bytes <= 64 << 10:
            raise DoesNotFit("E301", "no place in L2", {"needs": "2,000 B", "has": "1,000 B"})
        return whole(network, chip, limits)

    monkeypatch.setattr(plans, "plan_within", plan_within)
    told = refusal(model, tmp_path, 'l1 = "64 KiB"')
    assert told.code == "E302"
    assert told.title == "over budget: l1, with which the network does not fit L2"
    option, size = told.tries[0].split()[:2]
    assert option == "--l1"
    assert with_table(model, tmp_path, "", l1=size).layers


def test_memories_of_the_table_limit_the_planner(model: Path, tmp_path: Path) -> None:
    wide = with_table(model, tmp_path, 'l1 = "128 KiB"').report["memory"]["l1_peak_bytes"]
    limited = with_table(model, tmp_path, 'l1 = "25 KiB"')
    assert limited.report["memory"]["l1_peak_bytes"] <= 25 * 1024 < wide
    given = with_table(model, tmp_path, 'l1 = "8 KiB"', l1="128KiB")
    assert given.report["memory"]["l1_peak_bytes"] == wide, "the command line comes first"


@pytest.mark.parametrize(
    ("table", "options"), thinned([('l2 = "2 KiB"', {}), ("", {"l2": "2KiB"})])
)
def test_l2_that_is_too_small(
    model: Path, tmp_path: Path, table: str, options: dict[str, str]
) -> None:
    told = refusal(model, tmp_path, table, **options)
    facts = dict(told.facts)
    assert (told.code, told.title) == ("E302", "over budget: l2")
    assert facts["has"] == "2,048 B"
    assert len(facts["largest"].splitlines()) == 3
    option, size = told.tries[0].split()[:2]
    assert option == "--l2"
    needs_bytes = int(facts["needs"].split()[0].replace(",", ""))
    assert 2048 < needs_bytes <= int(size.removesuffix("KiB")) * 1024, "needs agrees with advice"
    assert with_table(model, tmp_path, "", l2=size).layers, "what is advised does"


def test_l2_is_of_code_too(model: Path, tmp_path: Path) -> None:
    """What is advised does, and a KiB less than the data and code of that does not."""
    with l2_with_code():
        told = refusal(model, tmp_path, 'l2 = "20 KiB"')
        assert (told.code, told.title) == ("E302", "over budget: l2")
        assert dict(told.facts)["has"].startswith("20,480 B")
        assert "code" in dict(told.facts)["needs"]
        advised = told.tries[0].split()[1]
        kept = with_table(model, tmp_path, f'l2 = "{advised}"').report
        used, limit = near_memory.bytes_in_use(kept), int(advised.removesuffix("KiB")) * 1024
        assert kept["memory"]["code_bytes"] > 10_000
        assert used <= limit == kept["budget"]["l2_bytes"] == kept["target"]["l2_bytes"]
        least = with_table(model, tmp_path, f'l2 = "{used} B"').report
        assert near_memory.bytes_in_use(least) == used
        host = with_table(model, tmp_path, 'l2 = "30 KiB"', target="host").report
        assert host["memory"]["code_bytes"] is None, "nothing is linked"


def test_l2_that_is_advised_is_the_smallest_that_was_built(model: Path, tmp_path: Path) -> None:
    """To the KiB: what is advised builds with the cycles that are told, and no less was built."""
    build = partial(myoedge.build, model, simulate=False, output=tmp_path / "out")
    with l2_with_code():
        free = build().report
        most = -(-near_memory.bytes_in_use(free) // 1024)
        with pytest.raises(MyoedgeError) as told:
            build(l2=f"{most // 2}KiB")
        option, size, cycles, *_ = told.value.notice.tries[0].replace("(", "").split()
        report = build(l2=size).report
    assert option == "--l2"
    total, least = report["cycles"]["total"], free["cycles"]["total"]
    assert total == int(cycles.replace(",", ""))
    told_least = f"; {least:,} without a limit)" in told.value.notice.tries[0]
    assert told_least == (least != total)
    needs = int(dict(told.value.notice.facts)["needs"].split()[0].replace(",", ""))
    assert needs == near_memory.bytes_in_use(report)
    kib = int(size.removesuffix("KiB"))
    with l2_with_code(), pytest.raises(MyoedgeError) as told:
        build(l2=f"{kib - 1}KiB")
    assert told.value.notice.tries[0].split()[1] == size, "a KiB less is too little"


def test_a_network_fits_the_l2_that_it_takes(tmp_path: Path) -> None:
    """No estimate of the code refuses what fits, to the KiB; each size that is advised does."""
    calib = np.random.default_rng(0).standard_normal((8, 1, 16), np.float32)
    model = save_exported(torch.nn.Linear(16, 4), (torch.zeros(1, 16),), tmp_path / "m.pt2")
    with l2_with_code():
        free = myoedge.build(model, calib=calib, output=tmp_path / "free")
        kib = -(-near_memory.bytes_in_use(free.report) // 1024)
        kept = myoedge.build(model, calib=calib, output=tmp_path / "kept", l2=f"{kib}KiB")
        assert near_memory.bytes_in_use(kept.report) == near_memory.bytes_in_use(free.report)
        for limit in (f"{kib - 1}KiB", "4KiB", "0 B"):  # less than the code alone takes
            with pytest.raises(MyoedgeError) as told:
                myoedge.build(model, calib=calib, output=tmp_path / "small", l2=limit)
            assert told.value.code == "E302"
            advised = told.value.notice.tries[0].split()[1]
            assert int(advised.removesuffix("KiB")) <= 2 * kib
            assert myoedge.build(model, calib=calib, output=tmp_path / limit, l2=advised).layers


class Softmaxes(torch.nn.Module):
    """Layers of two kernels, whose program is small."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(24):
            x = torch.softmax(torch.tanh(x) * 3, -1)
        return x


def test_code_that_is_smaller_than_its_estimate_is_not_refused(tmp_path: Path) -> None:
    """The program without a limit fits; what is needed is more than what there is."""
    model = save_exported(Softmaxes(), (torch.zeros(1, 16),), tmp_path / "model.pt2")
    samples = np.random.default_rng(0).standard_normal((8, 1, 16), np.float32)
    build = partial(myoedge.build, model, calib=samples, output=tmp_path / "out")
    with l2_with_code():
        used_bytes = near_memory.bytes_in_use(build().report)
        kib = -(-used_bytes // 1024)
        assert near_memory.bytes_in_use(build(l2=f"{kib}KiB").report) == used_bytes
        with pytest.raises(MyoedgeError, match="E302") as told:
            build(l2=f"{kib - 1}KiB")
        facts, advised = dict(told.value.notice.facts), told.value.notice.tries[0].split()[1]
        needs, has = (int(facts[x].split()[0].replace(",", "")) for x in ("needs", "has"))
        assert has == (kib - 1) * 1024 < needs
        assert near_memory.bytes_in_use(build(l2=advised).report) == needs


@pytest.mark.parametrize(
    ("table", "target", "code"),
    [
        ('energy = "1 mJ"', "host", "E234"),
        ("energy = 0.1", "gap9", "E232"),
        ('energy = "0.1"', "gap9", "E232"),
        ('latency = "1 s"', "host", "E234"),
        ('latency = "fast"', "gap9", "E232"),
        ('latency = "20"', "gap9", "E232"),
        ("latency = 20", "gap9", "E232"),
        ('l3 = "3 elephants"', "gap9", "E232"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    model: Path, tmp_path: Path, table: str, target: str, code: str
) -> None:
    assert refusal(model, tmp_path, table, target=target).code == code


@pytest.mark.parametrize(
    ("text", "wanted"), [("20 ms", 0.02), ("785us", 785e-6), ("785 µs", 785e-6), ("0.1 s", 0.1)]
)
def test_latencies(text: str, wanted: float) -> None:
    assert seconds(text, "--every") == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("sqnr", -3, "budget.sqnr must be above 0"),
        ("sqnr", 0.0, "budget.sqnr must be above 0"),
        ("latency", "0 ms", "budget.latency must be above 0"),
        ("energy", "0 uJ", "budget.energy must be above 0"),
        ("latency", True, "latency = "),
        ("l2", True, 'l2 = "900 KiB"'),
    ],
)
def test_limits_that_no_build_could_keep_to(key: str, value: object, says: str) -> None:
    with pytest.raises(MyoedgeError) as raised:
        from_tables({"budget": {key: value}}, "myoedge.toml")
    assert raised.value.code == "E232"
    assert says in str(raised.value)
    assert raised.value.notice.tries[0].startswith(f"{key} = ")


def limit_of(chip: str, memory: str) -> int:
    """Return the bytes of a chip's memory; 0: it has none."""
    return int(getattr(find_chip(chip), f"{memory}_bytes"))


BOARD = """id = "small"
name = "small"
chip = "{chip}"
tried = false
{table}
"""
LESS = {  # chip -> a board with less of a memory
    "gap9": '[ram]\npart = "RAM"\nbytes = 65_536\n',
    "cortex-m4": "[core]\nclock_hz = 1\ncurrent_ma = 1.0\nsupply_v = 1.0\nflash_bytes = 131072\n",
}
# Chip, memory, whether an option sets the limit: --flash is none; and whether a board is named.
TOO_MUCH = [
    (chip, name, is_typed, of_board)
    for chip in LESS
    for name in ("l1", "l2", "l3", "flash")
    for is_typed in (True, False)
    for of_board in (True, False)
    if limit_of(chip, name) and not (is_typed and name == "flash")
]


@pytest.mark.parametrize(("chip", "name", "is_typed", "of_board"), TOO_MUCH)
def test_more_of_a_memory_than_there_is(
    model: Path, tmp_path: Path, chip: str, name: str, is_typed: bool, of_board: bool
) -> None:
    """Each remedy is for the option or the key that sets the limit."""
    (tmp_path / "board.toml").write_text(BOARD.format(chip=chip, table=LESS[chip]))
    board = str(tmp_path / "board.toml") if of_board else None

    def build(size: str | None) -> myoedge.Build:
        given = {name: size} if is_typed else {}
        text = "" if size is None or is_typed else f'{name} = "{size}"'
        return with_table(model, tmp_path, text, target=chip, board=board, **given)

    with pytest.raises(MyoedgeError) as raised:
        build(f"{limit_of(chip, name) + 1} B")
    found = raised.value.notice
    assert found.code == "E232"
    key = f"--{name}" if is_typed else f"[budget] {name}"
    limited, without = found.tries
    assert without == f"without {key}"
    assert limited.startswith(f"{key} ")
    most = limited.removeprefix(key).strip(' ="')
    has = {"l3": 65_536, "flash": 131_072} if of_board else {}
    assert size_bytes(most, "--l2") == has.get(name, limit_of(chip, name))
    assert ("the board small" if of_board else chip) in found.title
    for size in (most, None):
        build(size)
    assert possible(find_chip("host"), Budget(l1_bytes=10**6)).l1_bytes == 10**6, "host has no L1"


def test_simulate_judges_the_latency_by_what_it_counts(model: Path, tmp_path: Path) -> None:
    """A budget between the modelled latency and the counted one, at whichever point that is."""
    build = with_table(model, tmp_path, "")
    first = myoedge.simulate(build)
    assert first.over is None
    rows = {row["name"]: row["cycles"] for row in first.report["layers"]}
    over_s = first.report["latency_s"] * 0.999
    report = {**build.report, "budget": {**build.report["budget"], "latency_s": over_s}}
    (build.folder / "report.json").write_text(json.dumps(with_digest(report)))
    told = myoedge.simulate(build).over
    assert told is not None
    assert (told.code, told.title, told.exit_code) == ("E302", "over budget: latency", 3)
    facts = dict(told.facts)
    assert "simulated, at " in facts["build"]
    slowest = [int(line.split()[0].replace(",", "")) for line in facts["most"].splitlines()]
    assert slowest == sorted(rows.values(), reverse=True)[:3]
    again = myoedge.load_build(build.folder).report
    assert "over budget: latency" in summary(again)
    over_j = first.report["energy_uj"]["value"] * 1e-6 * 0.999
    both = {**report, "budget": {**report["budget"], "energy_j": over_j}}
    energy = over_goals({**first.report, "budget": both["budget"]})
    assert energy is not None
    assert energy.title == "over budget: latency, energy"
    assert "over budget" not in summary(first.report)
    ran = command("simulate", build.folder, "--json", cwd=tmp_path)
    assert (ran.code, ran.json["exact"]) == (3, True)
    assert ran.json["over_budget"]["title"] == told.title
    assert str(told) in ran.err
    assert myoedge.load_build(build.folder).report["cycles"]["source"] == "simulated"
