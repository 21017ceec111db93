# SPDX-License-Identifier: Apache-2.0
"""The power meter: words to amperes to joules, against a PPK2 that is played; and trouble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from myoedge.backends.build import Build
from myoedge.building import energy_calibration
from myoedge.errors import MyoedgeError
from myoedge.extensions.boards import console, meter
from myoedge.extensions.boards.measured_power import check_duration, energy_of, power_of
from myoedge.extensions.boards.meter import PowerTrace
from tests.conftest import myoedge as command
from tests.extensions.boards.peers import Firmware, Peer, at_the_line

METADATA = (
    b"Calibrated: 0\nR0: 1000.0\nR1: 100.0\nR2: 10.0\nGI2: 1.25\nO2: 8\nI2: 0.0001\nHW: 1\nEND\n"
)
STEP = 2
RUNS, HIGH, LOW = 3, 40, 25  # inferences, samples with the pad high and between
ADC = 1000


def words(runs: int, lost: int = 0) -> bytes:
    """Samples as a PPK2 sends them, without those from the tenth on that are lost."""
    return pad_words(([0] * LOW + [1] * HIGH) * runs + [0] * LOW, lost)


def pad_words(pad: list[int], lost: int = 0, at: int = 10) -> bytes:
    """Samples as a PPK2 sends them with this pad, without lost ones from number `at` on."""
    rows = [
        (ADC if high else 0) | STEP << 14 | (n % 64) << 18 | high << 24
        for n, high in enumerate(pad)
    ]
    rows[at : at + lost] = []
    return np.array(rows, "<u4").tobytes()


def ppk2(samples: bytes) -> Peer:
    """Tells its calibration when it is asked, and its samples when it is started."""

    def answer(came: bytes) -> bytes:
        said = METADATA if b"\x19" in came else b""
        return said + (samples if b"\x06" in came else b"")

    return answer


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with much to do takes longer than a board and a meter."""
    monkeypatch.setattr(console, "START_TIMEOUT_S", 60.0)
    monkeypatch.setattr(console, "ANSWER_TIMEOUT_S", 15.0)
    monkeypatch.setattr(meter, "_SETTLE_S", 1.0)


def test_energy_of_inferences_on_a_board(two: Build, served: bytes, tmp_path: Path) -> None:
    with at_the_line(Firmware(served, tmp_path)) as port, at_the_line(ppk2(words(RUNS))) as at:
        arguments = ("--meter", at, "--port", port, "--times", RUNS, "--json")
        ran = command("bench", two.folder, *arguments, cwd=tmp_path)
    assert ran.code == 0, ran.err
    volts = 1.8 / 163840 * (ADC * 4 - 8)  # over the shunt, as the data sheet's formula has it
    amps = volts / 10.0 * 1.0 * (volts / 10.0) + volts / 10.0 * 1.25 + 0.0001
    seconds = HIGH / 100_000
    assert ran.json["inferences"] == RUNS
    assert ran.json["seconds"] == pytest.approx(seconds)
    assert ran.json["joules"] == pytest.approx(1.8 * amps * seconds)
    assert ran.json["watts"] == pytest.approx(1.8 * amps)
    assert ran.json["spread_joules"] == pytest.approx(0.0, abs=1e-12)


def test_power_of_a_chip_that_waits(two: Build, tmp_path: Path) -> None:
    """The mean of the samples; the printed row is one that `energy calibrate` reads."""
    idle = np.array([ADC | STEP << 14 | (n % 64) << 18 for n in range(500)], "<u4").tobytes()
    with at_the_line(ppk2(idle)) as at:
        arguments = ("--meter", at, "--waiting", "0.005")
        ran = command("bench", two.folder, *arguments, "--json", cwd=tmp_path)
        assert ran.code == 0, ran.err
    volts = 1.8 / 163840 * (ADC * 4 - 8)
    amps = volts / 10.0 * 1.0 * (volts / 10.0) + volts / 10.0 * 1.25 + 0.0001
    assert ran.json["watts"] == pytest.approx(1.8 * amps)
    assert ran.json["seconds"] == pytest.approx(0.005)
    with at_the_line(ppk2(idle)) as at:
        shown = command("bench", two.folder, "--meter", at, "--waiting", "0.005", cwd=tmp_path)
    _, rows = shown.out.split("rows.csv\n", 1)
    (tmp_path / "rows.csv").write_text(rows)
    (row,) = energy_calibration._read_measurement(tmp_path / "rows.csv")
    measured = row.measured
    assert measured.joules == pytest.approx(1.8 * amps * 1e6 / measured.point.clock_hz, rel=1e-3)
    assert rows.splitlines()[1] == ran.json["row"]
    step = next(line for line in shown.err.splitlines() if "energy calibrate" in line)
    assert step.split("#")[0].split()[-3:] == ["energy", "calibrate", "rows.csv"]
    with at_the_line(ppk2(words(RUNS))) as at:
        ran = command("bench", two.folder, "--meter", at, "--waiting", "0.002", cwd=tmp_path)
    assert (ran.code, "stop the front end" in ran.err) == (6, True)


def test_how_the_power_varies() -> None:
    """Three parts of 0.1 s, each with its own power."""
    amps = np.repeat([1.0, 2.0, 6.0], 10_000)
    found = power_of(PowerTrace(amps, np.zeros(30_000, bool), 1e5), 2.0, "low")
    assert (found.watts, found.seconds) == (pytest.approx(6.0), pytest.approx(0.3))
    assert found.spread_watts == pytest.approx(2.0 * np.std([1.0, 2.0, 6.0]))


@pytest.mark.parametrize(
    ("peer", "code"),
    [
        (ppk2(words(RUNS, lost=1)), "E614"),
        (ppk2(words(RUNS + 1)), "E614"),
        (ppk2(b""), "E604"),
        (lambda came: b"R0: 1.2.3\nEND\n" if b"\x19" in came else b"", "E605"),
        pytest.param(lambda _: b"", "E604", marks=pytest.mark.slow),  # waits for an answer
        pytest.param(lambda came: b"hello\n" * len(came), "E605", marks=pytest.mark.slow),
    ],
    ids=["lost", "another count", "no samples", "damaged", "silent", "something else"],
)
def test_a_meter_in_trouble(
    two: Build, served: bytes, tmp_path: Path, peer: Peer, code: str
) -> None:
    with at_the_line(Firmware(served, tmp_path)) as port, at_the_line(peer) as at:
        arguments = ("--meter", at, "--port", port, "--times", RUNS)
        ran = command("bench", two.folder, *arguments, cwd=tmp_path)
    assert (ran.code, code in ran.err) == (6, True), ran.err


def test_energy_is_the_integral_while_the_pad_is_high() -> None:
    rng = np.random.default_rng(0)
    amps = rng.random(1000)
    high = np.zeros(1000, bool)
    high[100:150] = high[400:500] = high[999:] = True
    found = energy_of(PowerTrace(amps, high, 1e5), 1.8, 3)
    each = [amps[100:150].sum(), amps[400:500].sum(), amps[999]]
    assert found.joules == pytest.approx(1.8 * np.mean(each) / 1e5)
    assert found.spread_joules == pytest.approx(1.8 * np.std(each) / 1e5)
    assert found.watts == pytest.approx(1.8 * np.sum(each) / 151)
    with pytest.raises(MyoedgeError) as caught:
        energy_of(PowerTrace(amps, high, 1e5), 1.8, 2)
    assert caught.value.code == "E614"


def test_a_record_that_is_too_short_or_without_power() -> None:
    """64 lost samples leave no gap in the samples' numbers."""
    trace = PowerTrace(np.zeros(936), np.zeros(936, bool), 1e5)
    for raises in (lambda: check_duration(trace, 0.01), lambda: power_of(trace, 1.8, "low")):
        with pytest.raises(MyoedgeError) as caught:
            raises()
        assert caught.value.code == "E614"
    for seconds in (0.00936, 0.009361, 0.009362):  # two clocks that differ by 200 ppm
        check_duration(trace, seconds)
    with pytest.raises(MyoedgeError):
        check_duration(trace, 0.009373)


@pytest.mark.parametrize(
    "given",
    [
        ("--phases", 1, "--waiting", 1),
        ("--phases", 1, "--card", "a.json"),
        ("--waiting", 1, "--times", 3),
        ("--phases", 1, "--on", "jtag"),
    ],
)
def test_options_of_different_measurements(
    two: Build, tmp_path: Path, given: tuple[object, ...]
) -> None:
    assert command("bench", two.folder, "--meter", "none", *given, cwd=tmp_path).code == 2
