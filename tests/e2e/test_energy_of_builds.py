# SPDX-License-Identifier: Apache-2.0
"""Energy of a build: counters of the simulated chip, reports, the verb, calibration from a file."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import myoedge
from myoedge.building.energy import coefficients
from myoedge.errors import MyoedgeError
from myoedge.power.model import PUBLISHED
from tests.conftest import myoedge as command

Build = myoedge.Build


@pytest.fixture(scope="module")
def build(small_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("energy") / "out"
    return myoedge.load_build(shutil.copytree(small_build, folder))


@pytest.fixture(autouse=True)
def own_coefficients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Of this test alone."""
    monkeypatch.setenv("MYOEDGE_ENERGY", str(tmp_path / "energy.json"))
    return tmp_path / "energy.json"


def test_volts_without_a_battery(build: Build) -> None:
    with pytest.raises(myoedge.MyoedgeError, match="--battery") as caught:
        myoedge.energy(build, every="50 ms", volts=3.0)
    assert caught.value.code == "E232"


def test_a_battery_beyond_all_measure(build: Build) -> None:
    with pytest.raises(myoedge.MyoedgeError, match="--battery must be 1,000,000,000 at most"):
        myoedge.energy(build, every="1 s", battery=1e308, volts=1e308)


@pytest.mark.parametrize("battery", [300, 300.0, "300", "300 mAh", "0.3 Ah"])
def test_a_battery_is_given_as_on_the_command_line(build: Build, battery: str | float) -> None:
    by_name = myoedge.energy(build, every="50 ms", battery=battery, volts="3.7 V")
    words = ("--every", "50 ms", "--battery", battery, "--json")
    typed = command("energy", build.folder, *words, cwd=build.folder.parent)
    assert [*by_name["duty"]["hours"]] == typed.json["duty"]["hours"]
    assert by_name["duty"]["hours"][0] > 0
    wrongs: tuple[Any, ...] = ("300 mA", "-3", "much", (100, 3.7), {"mah": 1})
    for wrong in wrongs:
        with pytest.raises(myoedge.MyoedgeError, match="E232"):
            myoedge.energy(build, every="50 ms", battery=wrong)


def test_modelled_then_counted(build: Build) -> None:
    before = myoedge.energy(build)["energy_uj"]
    found = myoedge.simulate(build).report["energy_uj"]
    assert (before["source"], before["counted"]) == ("modelled", False)
    assert (found["source"], found["counted"]) == ("simulated", True)
    for one in (before, found):
        assert 0 < one["low"] < one["value"] < one["high"]
        assert sum(one["parts"].values()) == pytest.approx(one["value"], rel=1e-4)
    width = [(e["high"] - e["low"]) / e["value"] for e in (before, found)]
    assert width[1] < width[0], "counters say more than cycles"


def test_the_cheapest_point_that_keeps_a_latency(build: Build) -> None:
    """Half way between the latencies of 240 and 370 MHz: 325 MHz, as 280 MHz are too slow."""
    myoedge.simulate(build)
    low, high = (myoedge.energy(build, operating_point=name) for name in ("low", "high"))
    between = f"{5e5 * (low['latency_s'] + high['latency_s']):.3f} us"
    found = myoedge.energy(build, operating_point="auto", latency=between)
    assert found["target"]["operating_point"] == "325 MHz"
    assert found["energy_uj"]["points"][0]["volts"] == 0.75
    assert low["energy_uj"]["value"] < found["energy_uj"]["value"] < high["energy_uj"]["value"]
    assert myoedge.energy(build, latency="1 s")["target"]["operating_point"] == "low"
    assert myoedge.energy(build, operating_point="auto")["target"]["operating_point"] == "low"
    told = command("energy", build.folder, "--latency", between, cwd=build.folder).out
    assert f"325 MHz within {between}: the point of the reports now" in " ".join(told.split())
    shown = command("energy", build.folder, "--latency", between, "--json", cwd=build.folder)
    assert json.loads(shown.out)["target"]["operating_point"] == "325 MHz"
    myoedge.energy(build, operating_point="high")


def test_latencies_that_no_point_keeps(build: Build) -> None:
    for latency, code in (("1 us", "E302"), ("soon", "E232")):
        with pytest.raises(MyoedgeError) as raised:
            myoedge.energy(build, latency=latency)
        assert raised.value.code == code
    with pytest.raises(MyoedgeError, match="--latency chooses the operating point") as raised:
        myoedge.energy(build, operating_point="high", latency="1 s")
    assert raised.value.code == "E232"


def test_the_latency_of_the_advice_is_kept(build: Build) -> None:
    with pytest.raises(MyoedgeError) as raised:
        myoedge.energy(build, latency="1 us")
    option, latency = raised.value.notice.tries[0].split(" ", 1)
    assert option == "--latency"
    assert myoedge.energy(build, latency=latency)["target"]["operating_point"] == "high"


def test_what_is_counted_is_what_the_cores_did(build: Build) -> None:
    """Between the marks of layers, so nearly all of the run but its start; DMA in the layers."""
    found = myoedge.simulate(build)
    assert found.run is not None
    layers = found.measurement.inferences[0].layers
    activities = [layer.activity for layer in layers if layer.activity]
    assert len(activities) == len(layers)
    counts, first, last = found.run.counts, found.run.marks[0], found.run.marks[len(layers)]
    instructions = sum(
        b.instructions - a.instructions for a, b in zip(first.counts, last.counts, strict=True)
    )
    assert sum(a.instructions + a.fc_instructions for a in activities) == instructions
    assert sum(a.dma_bytes for a in activities) == last.dma_bytes - first.dma_bytes
    reached = sum(c.loads + c.stores for c in counts[:9])
    assert 0 < sum(a.accesses for a in activities) < reached
    for layer, activity in zip(layers, activities, strict=True):
        assert activity.instructions >= layer.instructions, "core 8 too"


def test_layers_add_up_and_are_in_every_report(build: Build, tmp_path: Path) -> None:
    report = myoedge.simulate(build).report
    layers = [row["energy_uj"] for row in report["layers"]]
    assert sum(layers) == pytest.approx(report["energy_uj"]["value"], rel=0.01)
    rows = list(csv.DictReader(io.StringIO((build.folder / "layers.csv").read_text())))
    assert [float(row["energy_uj"]) for row in rows] == layers
    assert "mW" in (build.folder / "report.html").read_text()
    shown = command("report", build.folder, cwd=tmp_path).out
    assert "energy" in shown
    assert "0.65 V, 240 MHz" in shown


def test_latency_and_energy_at_both_points(build: Build) -> None:
    high, low = myoedge.simulate(build, operating_point="high").report["energy_uj"]["points"]
    assert (high["name"], low["name"]) == ("high", "low")
    assert low["latency_s"] / high["latency_s"] == pytest.approx(370 / 240)
    assert low["value"] < high["value"]
    assert high["power_mw"] == pytest.approx(high["value"] / high["latency_s"] * 1e-3, rel=1e-4)
    auto = myoedge.simulate(build, operating_point="auto").report
    assert auto["target"]["operating_point"] == "low", "no latency to keep"
    between = myoedge.simulate(build, operating_point="305MHz").report
    assert [p["name"] for p in between["energy_uj"]["points"]] == ["305 MHz", "high", "low"]
    assert len(myoedge.simulate(build).report["energy_uj"]["points"]) == 3
    assert (
        len(myoedge.simulate(build, operating_point="high").report["target"]["operating_points"])
        == 2
    )


def test_the_verb(build: Build, tmp_path: Path) -> None:
    ran = command("energy", build.folder, "--every", "50ms", "--battery", "150", cwd=tmp_path)
    assert ran.code == 0
    for text in ("0.80 V, 370 MHz", "0.65 V, 240 MHz", "duty cycle", "battery", "no board"):
        assert text in ran.out
    assert re.search(r"^battery +150 mAh at 3\.7 V: ", ran.out, re.MULTILINE)
    assert "1.2 ms of each period, idle" in ran.out, "GAP9's SDK says how long waking takes"
    found = command("energy", build.folder, "--json", "--every", "1 s", cwd=tmp_path).json
    assert found["duty"]["keeps_up"]
    report = json.loads((build.folder / "report.json").read_text())
    assert (found["energy_uj"], found["duty"]) == (report["energy_uj"], report["duty"])
    average = report["duty"]["average_mw"]
    again = myoedge.simulate(build, operating_point="low").report
    assert again["every"]["period_s"] == 1.0
    assert again["duty"]["average_mw"][0] < average[0], "a period is remembered"
    told = " ".join(command("report", build.folder, cwd=tmp_path).out.split())
    value, low, high = (f"{x:.3g}" for x in again["duty"]["average_mw"])
    assert f"on average {value} mW ({low} to {high}) with one every 1 s (chip only: no" in told
    assert "wide because the chip's sleep power is not published: the value assumes" in told


def test_powers_of_the_module(build: Build, tmp_path: Path) -> None:
    """Without them the chip only, with a range that is named as such."""
    chip = command("energy", build.folder, "--every", "50ms", "--battery", "150", cwd=tmp_path)
    duty = myoedge.load_build(build.folder).report["duty"]
    assert duty["hours"][2] > 2 * duty["hours"][1]
    told = " ".join(chip.out.split())
    assert "counted chip only: no front end, no radio" in told
    assert "range wide because the chip's sleep power is not" in told
    command("energy", build.folder, "--others", "8mW", "--sleep", "50 uW", cwd=tmp_path)
    given = myoedge.load_build(build.folder).report
    later = command("energy", build.folder, cwd=tmp_path)
    shown = "as in the last run: --every 0.05s --battery 150mAh --volts 3.7V --others 8mW --sleep"
    assert f"{shown} 0.05mW" in " ".join(later.out.split())
    assert f"myoedge energy {build.folder} --reset" in later.out.replace("\n", "")
    assert given["every"] == {
        "period_s": 0.05,
        "battery_mah": 150,
        "battery_volts": 3.7,
        "others_mw": 8,
        "sleep_mw": 0.05,
    }
    board = tmp_path / "mine.toml"
    board.write_text(
        'id = "mine"\nname = "Mine"\nchip = "gap9"\ntried = false\n'
        "[energy]\nothers_mw = 8\nsleep_mw = 0.05\n"
    )
    again = myoedge.energy(build, every="50ms", board=str(board))
    assert list(again["duty"]["average_mw"]) == given["duty"]["average_mw"]
    assert again["duty"]["average_mw"][0] > 8 > duty["average_mw"][2]
    page = (build.folder / "report.html").read_text().replace("\u00a0", " ")
    assert "(the chip, and 8 mW of all else)" in page
    assert "wide because" not in page
    new = command("energy", build.folder, "--every", "1s", cwd=tmp_path)
    shown = "as in the last run: --battery 150mAh --volts 3.7V --others 8mW --sleep 0.05mW"
    assert shown in " ".join(new.out.split())
    reset = command("energy", build.folder, "--reset", "--json", cwd=tmp_path)
    assert (reset.json["every"], reset.json["duty"]) == (None, None)
    assert "every" not in myoedge.load_build(build.folder).report


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("0mW", "0"),
        ("100 mW", "100"),
        ("0.1 W", "100"),
        ("5 \u00b5W", "0.005"),
        ("5 \u03bcW", "0.005"),
    ],
)
def test_powers_asleep_are_shown_in_full(
    build: Build, tmp_path: Path, given: str, shown: str
) -> None:
    ran = command("energy", build.folder, "--every", "1s", "--sleep", given, cwd=tmp_path)
    assert f"of each period, at {shown} mW" in " ".join(ran.out.split()), ran.err
    later = command("energy", build.folder, cwd=tmp_path)
    assert f"--sleep {shown}mW" in " ".join(later.out.split())
    myoedge.energy(build, reset=True)


def test_a_period_shorter_than_an_inference_is_refused(build: Build, tmp_path: Path) -> None:
    for point, clock in (("high", "0.80 V, 370 MHz"), ("low", "0.65 V, 240 MHz")):
        words = ("energy", build.folder, "--operating-point", point, "--every")
        ran = command(*words, "1 us", "--json", cwd=tmp_path)
        error = ran.json["error"]
        assert (ran.code, error["code"], error["facts"]["has"]) == (2, "E232", "1 µs")
        assert error["facts"]["needs"].endswith(f"an inference at {clock}")
        (remedy,) = error["tries"]
        assert command(*words, remedy.removeprefix("--every "), cwd=tmp_path).code == 0, remedy
        with pytest.raises(MyoedgeError, match="E232"):
            myoedge.energy(build, operating_point=point, every="1us")
    myoedge.energy(build, operating_point="high", reset=True)


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["--every", "soon"], "E232", 2),
        (["--every", "0 ms"], "E232", 2),
        (["--every", "1 s", "--battery", "-3"], "E232", 2),
        (["--battery", "3"], "E232", 2),
        (["--every", "1 s", "--battery", "3", "--volts", "low"], "--volts", 2),
        (["--others", "8"], "E232", 2),
        (["--sleep", "-1 mW"], "E232", 2),
        (["--board", "no-such"], "E253", 2),
        (["--operating-point", "warp"], "E204", 2),
    ],
)
def test_refused(
    build: Build, tmp_path: Path, arguments: list[str], code: str, exit_code: int
) -> None:
    ran = command("energy", build.folder, *arguments, cwd=tmp_path)
    assert (ran.code, code in ran.err) == (exit_code, True), ran.err


def test_a_host_build_has_no_energy(small: Path, tmp_path: Path) -> None:
    model, calib = small / "model.pt2", small / "calib.npz"
    host = myoedge.build(model, calib=calib, target="host", output=tmp_path / "host")
    assert host.report["energy_uj"] is None
    with pytest.raises(MyoedgeError) as raised:
        myoedge.energy(host)
    assert raised.value.code == "E240"


# --- calibration ----------------------------------------------------------------------------------


def measurements(folder: Path, *rows: str) -> Path:
    path = folder / "measured.csv"
    path.write_text(
        "\n".join(["build,operating_point,energy_uj,power_mw,sigma_percent", *rows]) + "\n"
    )
    return path


def test_calibrated_from_a_file(build: Build, tmp_path: Path, own_coefficients: Path) -> None:
    def at_high(energy: dict[str, Any]) -> dict[str, Any]:
        return next(point for point in energy["points"] if point["name"] == "high")

    before = myoedge.simulate(build).report["energy_uj"]
    wanted = 1.2 * at_high(before)["value"]
    folder = os.path.relpath(build.folder, tmp_path)  # a short one, which no table wraps
    rows = ("idle,high,,17.5,", f"{folder},high,{wanted},,1", "idle,low,,9.1,")
    ran = command("energy", "calibrate", measurements(tmp_path, *rows), cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "residual" in ran.out
    shown = [line.split() for line in ran.out.splitlines()]
    assert ["idle", "high", "17.5", "mW"] in [words[:4] for words in shown], "idle has a power"
    (energies,) = (words for words in shown if words[:2] == [folder, "high"])
    assert {"nJ", "µJ"} & {*energies}
    assert own_coefficients.is_file()
    after = myoedge.energy(build)["energy_uj"]
    assert after["coefficients"] == "calibrated with 3 measurements"
    old, new = at_high(before), at_high(after)
    assert abs(new["value"] - wanted) < abs(old["value"] - wanted)
    widths = [(e["high"] - e["low"]) / e["value"] for e in (old, new)]
    assert widths[1] < widths[0]
    own_coefficients.unlink()
    assert myoedge.energy(build)["energy_uj"] == before


@pytest.mark.parametrize(
    "row",
    [
        "idle,high,,,",
        "idle,high,3,4,",
        "idle,high,3,,",
        "idle,high,,much,",
        "idle,high,,-4,",
        "idle,high,,nan,",
        ",high,,4,",
        "",
    ],
)
def test_measurements_that_are_none(tmp_path: Path, row: str, own_coefficients: Path) -> None:
    with pytest.raises(MyoedgeError) as raised:
        myoedge.calibrate_energy(measurements(tmp_path, *filter(None, [row])))
    assert raised.value.code == "E250"
    assert not own_coefficients.exists()


@pytest.mark.parametrize(
    ("row", "code"), [("idle,fast,,4,", "E204"), ("no-build,high,,4,", "E222")]
)
def test_a_measurement_with_an_unknown_name_is_located(
    tmp_path: Path, row: str, code: str, own_coefficients: Path
) -> None:
    path = measurements(tmp_path, "idle,high,,16,", row)
    with pytest.raises(MyoedgeError, match=code) as raised:
        myoedge.calibrate_energy(path)
    assert dict(raised.value.notice.facts)["set in"] == f"{path}, line 3"
    assert not own_coefficients.exists()


def test_a_report_of_before_a_calibration_is_marked(
    build: Build, tmp_path: Path, own_coefficients: Path
) -> None:
    myoedge.energy(build)
    assert "before a calibration" not in command("report", build.folder, cwd=tmp_path).out
    own_coefficients.write_text(json.dumps(asdict(replace(PUBLISHED, source="my board"))))
    marked = command("report", build.folder, cwd=tmp_path).out
    assert "energies of before a calibration (" in marked
    assert f"; now my board): renew them by myoedge energy {build.folder}" in marked
    assert command("energy", build.folder, cwd=tmp_path).code == 0
    assert "before a calibration" not in command("report", build.folder, cwd=tmp_path).out
    own_coefficients.write_text("damaged")
    assert command("report", build.folder, cwd=tmp_path).code == 0


@pytest.mark.parametrize("kind", ["inference", "with a period"])
def test_a_report_of_other_coefficients_is_marked_whatever_differs(
    build: Build, tmp_path: Path, own_coefficients: Path, kind: str
) -> None:
    """Each number of a calibration that a figure of the report depends on; with the same source."""
    known = replace(PUBLISHED, source="my board", waiting=replace(PUBLISHED, board=0.0))
    assert known.waiting is not None
    values, covariance = list(PUBLISHED.values), np.array(PUBLISHED.covariance)
    others: dict[str, Any] = {"workload": 0.2, "board": 0.1}
    others["values"] = (values[0] + 1e-3, *values[1:])
    others["covariance"] = (covariance * 1.01).tolist()
    own_coefficients.write_text(json.dumps(asdict(known)))
    every = {} if kind == "inference" else {"every": "1 s"}
    myoedge.energy(build, reset=True)
    myoedge.energy(build, **every)
    assert "before a calibration" not in command("report", build.folder, cwd=tmp_path).out
    for name, value in others.items():
        own_coefficients.write_text(json.dumps(asdict(replace(known, **{name: value}))))
        marked = command("report", build.folder, cwd=tmp_path).out
        assert "before a calibration" in marked, name
    myoedge.energy(build, reset=True)


def test_other_columns_a_missing_file_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    for content in (b"a,b\n1,2\n", b"\xff\xfe\x00", None):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        with pytest.raises(MyoedgeError) as raised:
            myoedge.calibrate_energy(path)
        assert raised.value.code == "E250"


def test_a_build_that_has_not_run(small_build: Path, tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError) as raised:
        myoedge.calibrate_energy(measurements(tmp_path, f"{small_build},high,4,,"))
    assert raised.value.code == "E250"
    assert "simulate" in raised.value.notice.tries[0]


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"values": [1]}', "\x00"])
def test_a_damaged_calibration_is_told(
    build: Build, tmp_path: Path, own_coefficients: Path, content: str
) -> None:
    own_coefficients.write_text(content)
    ran = command("energy", build.folder, cwd=tmp_path)
    assert (ran.code, "E251" in ran.err) == (2, True)


@pytest.mark.parametrize("kind", ["folder", "link to nothing", "link to itself"])
def test_what_is_no_file_is_no_calibration(own_coefficients: Path, kind: str) -> None:
    """Rather than none, with which energies are published ones."""
    assert coefficients() is PUBLISHED
    if kind == "folder":
        own_coefficients.mkdir()
    else:
        own_coefficients.symlink_to(own_coefficients if "itself" in kind else "nothing")
    with pytest.raises(MyoedgeError) as raised:
        coefficients()
    assert raised.value.code == "E251"
    assert "or delete that file" in raised.value.notice.tries
    own_coefficients.rmdir() if kind == "folder" else own_coefficients.unlink()
    assert coefficients() is PUBLISHED


@pytest.mark.parametrize(
    ("key", "value"),
    [("values", [math.inf, 1, 1, 1, 1, 1]), ("values", [1, math.nan, 1, 1, 1, 1]),
     ("values", [-1, 1, 1, 1, 1, 1]), ("workload", -0.1), ("board", math.inf),
     ("covariance", [[-1.0] * 6] * 6), ("waiting", "x"), ("waiting", {"values": [1]}),
     ("waiting", {**asdict(PUBLISHED), "values": [-1.0] * 6})],
)  # fmt: skip
def test_coefficients_that_cannot_be(own_coefficients: Path, key: str, value: Any) -> None:
    sound = asdict(PUBLISHED)
    own_coefficients.write_text(json.dumps(sound))
    assert coefficients().values == PUBLISHED.values
    own_coefficients.write_text(json.dumps({**sound, key: value}))
    with pytest.raises(MyoedgeError) as raised:
        coefficients()
    assert raised.value.code == "E251"
    assert "Coefficients" not in str(raised.value)


@pytest.mark.parametrize("count", [4, 5])
def test_a_calibration_of_before_ne16_and_mram_takes_the_published_ones(
    own_coefficients: Path, count: int
) -> None:
    known = (4.0, 30.0, 2.0, 500.0, 130.0)[:count]
    older = asdict(replace(PUBLISHED, values=known, source="a board"))
    older["covariance"] = np.eye(count).tolist()
    own_coefficients.write_text(json.dumps(older))
    found = coefficients()
    assert found.values == (*known, *PUBLISHED.values[count:])
    wanted = np.eye(6)
    for n in range(count, 6):
        wanted[n, n] = PUBLISHED.covariance[n][n]
    assert np.array_equal(found.covariance, wanted)
    assert found.source == "a board"


def test_a_power_that_nobody_measures(tmp_path: Path) -> None:
    with pytest.raises(MyoedgeError, match="at most") as raised:
        myoedge.calibrate_energy(measurements(tmp_path, "idle,high,,1e300,"))
    assert raised.value.code == "E250"
