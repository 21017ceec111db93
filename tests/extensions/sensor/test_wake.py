# SPDX-License-Identifier: Apache-2.0
"""[wake]: the gate by its definition, in the reference, in C on this machine, on the simulated
chip."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.packets import Flags
from myoedge.building.config import Found, from_tables
from myoedge.errors import MyoedgeError
from myoedge.extensions.sensor.playback import program_of
from myoedge.extensions.sensor.program import JSON, SampleLayout, SensorProgram, from_json
from myoedge.extensions.sensor.wake import (
    Gate,
    WakeTable,
    check_wake,
    energies,
    unit_energy,
)
from myoedge.extensions.sensor.wake_report import wake_table
from myoedge.numerics.arrays import Array
from myoedge.numerics.counts import CountConversion
from myoedge.reports.sections import sections
from myoedge.simulator import Fault
from tests.conftest import myoedge as command
from tests.conftest import thinned
from tests.extensions.sensor import applications
from tests.extensions.sensor import sensor_player as player
from tests.support.schemas import check, check_folder

SENSOR = {"sensor": {**applications.ARMBAND, "hop": 8}}
WAKE = {"wake": {"threshold": 10.0, "hold": 3}}
LAYOUT, HOP = SampleLayout(4, 20, 2), 6
NEVER = 1 << 63


def alternating(seed: int, samples: int = 1500, most: int = 2**15) -> Array:
    """Counts of rest and gestures in turn, of drawn lengths and strengths, on drifting offsets."""
    rng = np.random.default_rng(seed)
    size, rows = np.zeros(samples), 0
    while rows < samples:
        length = int(rng.integers(5, 200))
        size[rows : rows + length] = rng.choice([0.0, 0.01, 0.03, 0.3, 1.0])
        rows += length
    drift = most / 8 * np.sin(np.arange(samples) / 300)
    noise = rng.normal(0, most / 4, (samples, 8)) * size[:, None]
    return np.clip(noise + drift[:, None], -most, most - 1).astype(np.int64)


def gated(limit: int, hold: int, rest: int = 0, **changes: Any) -> SensorProgram:
    return replace(player.program(LAYOUT, HOP), gate=Gate(limit, hold, rest, 0.0), **changes)


def energy_of(rows: Array) -> Fraction:
    return player.spread(rows) * len(rows) ** 2


# ---- the definition


@pytest.mark.parametrize(("low", "high"), [(-128, 127), (0, 255), (-32768, 32767), (0, 1)])
def test_energies_are_variances(low: int, high: int) -> None:
    rng = np.random.default_rng(high)
    windows = rng.integers(low, high + 1, (5, 30, 6))
    windows[0] = low
    windows[1] = np.where(np.arange(30)[:, None] % 2, low, high)
    assert [*energies(windows, 1)] == [energy_of(x) for x in windows]
    turned = windows.reshape(5, 30, 2, 3).transpose(0, 2, 1, 3)
    assert [*energies(turned, 2)] == [energy_of(x) for x in windows]


@pytest.mark.parametrize("hold", [0, 1, 5, 1000])
def test_the_reference_rests_by_definition(hold: int) -> None:
    made = player.program(LAYOUT, HOP)
    q = player.integers(made, alternating(hold))
    starts = range(0, len(q) - 19, HOP)
    known = sorted(int(energy_of(q[s : s + 20])) for s in starts)
    for limit in (0, 1, known[0], known[len(known) // 2], known[-1], known[-1] + 1, NEVER):
        gate, first = Gate(limit, hold, 0, 0.0), limit % 7
        windows = np.stack([q[s : s + 20] for s in range(first, len(q) - 19, HOP)])
        found = gate.resting(map(int, energies(windows, 1)))
        assert found == [*player.resting(gate, 20, q, first, HOP).values()]
        assert not any(found[:hold])
        assert limit > 0 or not any(found)


# ---- in C on this machine


def check_gate(made: SensorProgram, counts: Array, found: list[player.Packet]) -> list[bool]:
    """Every decision is that of its window, or the class of rest. -> whether each rests"""
    gate, q = made.gate, player.integers(made, counts)
    assert gate is not None
    rows = [x for x in found if x.kind == player.DECISION and x.frame < len(counts)]
    rests: dict[int, bool] = {}
    for number, packet in enumerate(rows):
        first = packet.frame - made.layout.samples + 1
        if number == 0 or packet.flags & (player.LOST | player.SKIPPED):
            rests = player.resting(gate, made.layout.samples, q, first, made.hop)
        assert bool(packet.flags & player.RESTING) == rests[packet.frame]
        scores = player.results(made, player.window(made, q, first))
        wanted = (gate.rest, 0) if rests[packet.frame] else player.decision(scores)
        assert packet.decision == wanted
    return [bool(x.flags & player.RESTING) for x in rows]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> tuple[SensorProgram, Path]:
    made = gated(2_000_000, 3, rest=2)
    return made, player.compiled(made, tmp_path_factory.mktemp("gated"))


@pytest.mark.parametrize("seed", thinned(range(6)))
def test_recordings_of_rest_and_gestures(host: tuple[SensorProgram, Path], seed: int) -> None:
    made, app = host
    counts = alternating(seed)
    found = player.played(app, counts)
    rests = check_gate(made, counts, found)
    assert len(rests) == len(range(19, len(counts), HOP))
    assert {*rests} == {False, True}
    assert not any(x.flags & ~player.RESTING for x in found)
    assert [x.sequence for x in found] == [*range(len(found))]


def test_a_recording_with_the_sdk(tmp_path: Path) -> None:
    made, counts = gated(2_000_000, 3, rest=2), alternating(0)
    found = player.played(player.compiled(made, tmp_path, sdk=True), counts)
    assert {*check_gate(made, counts, found)} == {False, True}


@pytest.mark.parametrize(
    ("limit", "hold", "resting"),
    [(0, 0, 0), (0, 5, 0), (NEVER, 0, 247), (NEVER, 5, 242), (NEVER, 1000, 0)],
)
def test_limits_at_the_ends(limit: int, hold: int, resting: int, tmp_path: Path) -> None:
    made = gated(limit, hold)
    counts = alternating(1)
    rests = check_gate(made, counts, player.played(player.compiled(made, tmp_path), counts))
    assert sum(rests) == resting
    assert rests == [number >= len(rests) - resting for number in range(len(rests))]


FAULTS = {
    "missed": (0, player.LOST),
    "spi": (6, player.LOST | player.SPI),
    "reset": (0, player.LOST | player.RESET),
    "dead": (0, player.LOST | player.RESET),
    "jitter": (100, 0),
    "doubled": (50, 0),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_faults_while_the_network_rests(host: tuple[SensorProgram, Path], kind: str) -> None:
    """The gap is flagged, and the `hold` windows after it run."""
    made, app = host
    value, flags = FAULTS[kind]
    counts = alternating(3, 2000)
    counts[500:1500] = 0
    found = player.played(app, counts, [(700, kind, value)])
    rests = check_gate(made, counts, found)
    rows = [x for x in found if x.kind == player.DECISION and x.frame < 2000]
    flagged = [n for n, x in enumerate(rows) if x.flags & ~player.RESTING]
    assert [rows[n].flags for n in flagged] == [flags] * bool(flags)
    for n in flagged:
        assert rests[n - 1 : n + 4] == [True, False, False, False, True]


@pytest.mark.parametrize("seed", thinned(range(8)))
def test_drawn_faults(host: tuple[SensorProgram, Path], seed: int) -> None:
    made, app = host
    rng = np.random.default_rng(seed)
    most = {"missed": 1, "jitter": 1500, "doubled": 900, "spi": 4, "reset": 1, "dead": 1}
    most["slow"] = 200_000
    frames = np.sort(rng.choice(1500, 20, replace=False)) + 100
    kinds = rng.choice([*most], len(frames))
    faults = [
        (int(f), str(k), int(rng.integers(most[k]))) for f, k in zip(frames, kinds, strict=True)
    ]
    counts = alternating(seed + 100, 3000)
    assert {*check_gate(made, counts, player.played(app, counts, faults))} == {False, True}


def test_a_stalled_line_drops_packets_at_rest_as_others(
    host: tuple[SensorProgram, Path],
) -> None:
    """Their flag is none of an event, which would protect them."""
    made, app = host
    counts = alternating(5, 2000)
    counts[300:1200] = 0
    counts[600:605] = 2**23 - 1
    found = player.played(app, counts, [(500, "stall", 400_000)])
    check_gate(made, counts, found)
    rows = [x for x in found if x.kind == player.DECISION and x.frame < 2000]
    missing = {*range(19, 2000, HOP)} - {x.frame for x in rows}
    assert len(missing) > 20
    saturated = {x.frame for x in rows if x.flags & player.SATURATED}
    assert saturated == {f for f in range(19, 2000, HOP) if 600 <= f < 605 + 19}


@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_the_largest_energies_fit(kind: str, tmp_path: Path) -> None:
    """A window from end to end of the range has the limit; one step less has not."""
    reach = 1 << (15 if kind == "int16" else 7)
    most = reach - 1
    samples = 1000 if kind == "int8" else 600
    layout = SampleLayout(1, samples, 8)
    conversion = CountConversion((1 << 20,), (0,), 20, -reach, most)
    sensor = player.program(layout, samples).sensor
    counts = np.where(np.arange(2 * samples)[:, None] % 2, most, -reach).repeat(8, 1)
    counts[2 * samples - 1, 3] -= 1
    first, second = (int(energy_of(counts[n * samples :][:samples])) for n in range(2))
    assert first > second > 1 << 32
    for limit, resting in (
        (first, [False, True]),
        (second, [False, False]),
        (first + 1, [True] * 2),
    ):
        made = replace(
            gated(limit, 0), layout=layout, conversion=conversion, sensor=sensor, hop=samples,
            sample_type=kind,
        )  # fmt: skip
        check_wake(WakeTable(), made)
        folder = tmp_path / str(limit)
        folder.mkdir()
        found = player.played(player.compiled(made, folder), counts)
        rows = [x for x in found if x.kind == player.DECISION and x.frame < len(counts)]
        assert [bool(x.flags & player.RESTING) for x in rows] == resting


def test_windows_whose_energy_might_not_fit_are_refused() -> None:
    """All that are not have energies below 2**63, and sums and squares as the C code keeps them."""
    made, refused = player.program(LAYOUT, HOP), []
    for (low, high), samples, channels in product(
        [(-128, 127), (-32768, 32767), (0, 65535), (-(2**17), 2**17)],
        [1, 2, 40, 4000, 100_000, 2**24],
        [1, 8, 128],
    ):
        conversion = CountConversion((1,), (0,), 1, low, high)
        sensor = replace(made.sensor, channels=channels)
        wide = replace(
            made, sensor=sensor, conversion=conversion, layout=SampleLayout(1, samples, channels)
        )
        reach = max(-low, high)
        most = channels * samples**2 * reach**2
        fits = most < 2**63 and samples * reach < 2**31 and reach**2 < 2**32 and samples > 1
        refused.append(not fits)
        with nullcontext() if fits else pytest.raises(MyoedgeError, match="E265"):
            check_wake(WakeTable(), wide)
    assert {*refused} == {False, True}


def test_packets_with_all_values_have_none_at_rest(tmp_path: Path) -> None:
    made = replace(player.program(LAYOUT, HOP, packets="outputs"), gate=Gate(2_000_000, 0, 4, 0.0))
    found = player.played(player.compiled(made, tmp_path), alternating(2))
    rows = [x for x in found if x.kind in (player.DECISION, player.OUTPUTS)]
    assert {(x.kind, bool(x.flags & player.RESTING)) for x in rows} == {
        (player.DECISION, True),
        (player.OUTPUTS, False),
    }
    assert {x.decision for x in rows if x.kind == player.DECISION} == {(4, 0)}


# ---- on the simulated chip


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return applications.shared(tmp_path_factory, "gated")


def armband(seed: int) -> Array:
    return np.clip(np.rint(alternating(seed, 1000, 512) / 4), -120, 120)


@pytest.mark.parametrize("seed", thinned(range(3)))
def test_a_playback(build: Build, seed: int) -> None:
    played = myoedge.play(build, armband(seed))
    assert (played.exact, played.samples_lost) == (True, 0)
    assert [x.frame for x in played.decisions] == [*range(39, 1000, 8)]
    program = program_of(build)
    assert program.gate is not None
    q = program.conversion.integers(armband(seed).astype(np.int64))
    rests = [*player.resting(program.gate, 40, q, 0, 8).values()]
    assert [bool(x.flags & Flags.RESTING) for x in played.decisions] == rests
    assert {*rests} == {False, True}
    network = [
        build.run(armband(seed)[f - 39 : f + 1].T[None])[0].argmax() for f in range(39, 1000, 8)
    ]
    for decision, rest, best in zip(played.decisions, rests, network, strict=True):
        assert decision.class_index == (0 if rest else best)
    woken = sum(a and not b for a, b in pairwise(rests))
    assert played.wake is not None
    assert played.wake["wake_ups_per_minute"] == pytest.approx(woken / (1000 / 200) * 60)
    assert (played.wake["passes"], played.wake["resting"]) == (rests.count(False), sum(rests))
    overruled = sum(rest and best != 0 for rest, best in zip(rests, network, strict=True))
    assert played.wake["overruled"] == overruled
    document = {"schema": "myoedge.playback/1", **played.to_json()}
    assert check(document)
    assert document["flagged_decisions"] == 0
    assert f"{sum(rests):,} windows at rest" in "\n".join(played.lines())


def test_labels_of_a_recording(build: Build, tmp_path: Path) -> None:
    """The accuracy is the share of decisions that are the label; other labels are named."""
    counts = armband(0)
    played = myoedge.play(build, counts)
    classes = np.zeros(1000, np.int64)
    classes[500:] = 2
    np.savez(tmp_path / "a.npz", emg=counts, fs=200, labels=classes)
    found = myoedge.play(build, tmp_path / "a.npz")
    rows = [(x, classes[x.frame - 39 : x.frame + 1]) for x in played.decisions]
    same = [x.class_index == labels[0] for x, labels in rows if np.ptp(labels) == 0]
    assert found.accuracy is not None
    assert found.accuracy["windows"] == len(same)
    assert found.accuracy["decisions"] == pytest.approx(np.mean(same))
    for labels in (classes[:-1], classes + 0.5, np.full(1000, "fist"), classes[:, None]):
        np.savez(tmp_path / "b.npz", emg=counts, fs=200, labels=labels)
        other = myoedge.play(build, tmp_path / "b.npz")
        assert other.accuracy is None
        assert "labels are not used: they are no class numbers, one per sample" in other.lines()
    assert not any("labels" in line for line in (*found.lines(), *played.lines()))


def test_the_cluster_stays_off_at_rest(tmp_path: Path) -> None:
    """Its power rises for the first windows and the one after them, and no pass runs later."""
    build = applications.built(tmp_path, applications.Windows, 40, "high", **SENSOR, **WAKE)
    played = myoedge.play(build, np.zeros((1000, 8)))
    assert [x.is_resting for x in played.decisions] == [n >= 3 for n in range(121)]
    loud = myoedge.play(build, 60.0 * (np.arange(1000)[:, None] % 2) * np.ones(8))
    assert not any(x.is_resting for x in loud.decisions)
    quiet_s, loud_s = played.power.states_s, loud.power.states_s
    assert quiet_s["run"] == pytest.approx(loud_s["run"] * 3 / 121, rel=0.1)
    assert quiet_s["idle"] == pytest.approx(loud_s["idle"] * 4 / 121, rel=0.1)
    assert played.power.network_j is not None
    assert loud.power.network_j is not None
    assert played.power.network_j[0] == pytest.approx(loud.power.network_j[0] * 3 / 121)


@pytest.mark.parametrize("kind", ["missed", "hold"])
def test_faults_on_the_chip(build: Build, kind: str) -> None:
    counts = armband(0)
    counts[300:800] = 0
    value = round(0.3 * program_of(build).clock_hz) if kind == "hold" else 0
    played = myoedge.play(build, counts, faults=[Fault(500, kind, value)])
    assert not played.compared.wrong
    assert bool(played.samples_lost) == (kind == "missed")
    after = [x for x in played.decisions if x.flags & Flags.SAMPLES_LOST]
    assert [x.is_resting for x in after] == [False] * (kind == "missed")


def test_a_program_that_never_rests_is_that_without_a_gate(
    build: Build, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = applications.shared(tmp_path_factory, "windows")
    assert not [name for name in plain.manifest["files"] if "wake" in name]
    names = ("wake.c", "wake.h", "wake_energy.c")
    assert [x for x in build.manifest["files"] if "wake" in x] == [
        f"src/firmware/sensor/{name}" for name in names
    ]
    counts = armband(1)
    decided = [
        {
            (x.frame, x.class_index, x.score)
            for x in myoedge.play(b, counts).decisions
            if not x.is_resting
        }
        for b in (build, plain)
    ]
    assert 0 < len(decided[0]) < len(decided[1])
    assert decided[0] < decided[1]


# ---- the threshold, and what is refused


def test_a_given_threshold_is_an_rms_of_the_input(build: Build) -> None:
    """10 counts, however the integers are scaled."""
    gate = program_of(build).gate
    assert gate is not None
    step = float(build.network.params[build.network.graph.inputs[0]].scale)
    assert gate.limit == pytest.approx((10 / step) ** 2 * 40**2 * 8, rel=1e-6)
    assert (gate.threshold, gate.miss, gate.hold, gate.rest) == (10.0, None, 3, 0)
    assert from_json(json.loads(build.written(JSON))).gate == gate
    assert build.report["wake"]["limit"] == gate.limit


def test_the_unit_of_a_threshold(tmp_path: Path) -> None:
    """Square waves around an offset, in millivolts: below and above a threshold of 50 mV."""
    sensor = {**applications.ADS1298, "hop": 10, "unit": "mV"}
    wake = {"threshold": 50.0, "hold": 0, "rest": 1}
    tables = {"sensor": sensor, "wake": wake, "calib": {"scale": 0.5}}
    build = applications.built(tmp_path, applications.Windows, 40, **tables)
    wave = np.where(np.arange(1000)[:, None] % 2, 1.0, -1.0) * np.ones(8)
    for factor, is_resting in ((46.0, True), (54.0, False)):
        played = myoedge.play(build, factor * wave + 20.0)
        assert played.exact
        assert {x.is_resting for x in played.decisions} == {is_resting}
        assert {x.class_index for x in played.decisions if x.is_resting} <= {1}


def test_channels_of_different_factors() -> None:
    """The limit is the energy of a window with that RMS on every channel."""
    multipliers = tuple(range(1000, 9000, 1000))
    conversion = CountConversion(multipliers, (0,) * 8, 3, -(2**15), 2**15 - 1)
    made = replace(player.program(LAYOUT, HOP, unit="counts"), conversion=conversion)
    wave = np.where(np.arange(20)[:, None] % 2, 16, -16) * np.ones((20, 8), np.int64)
    assert 16**2 * unit_energy(made) == energy_of(conversion.integers(wave))


@pytest.mark.parametrize("miss", [None, 0.0, 0.3, 0.99])
def test_a_threshold_by_missed_windows(tmp_path: Path, miss: float | None) -> None:
    """At most this share of the windows with another decision lies below; midway to those of rest,
    if these lie lower."""
    wake = {"rest": 3, **({} if miss is None else {"miss": miss})}
    build = applications.built(tmp_path, applications.Windows, 40, **SENSOR, wake=wake)
    gate, network = program_of(build).gate, build.network
    assert gate is not None
    assert gate.miss == (0.01 if miss is None else miss)
    rows = applications.emg()[: 16 * 40].reshape(16, 40, 8)
    q = [network.input_integers(network.graph.inputs[0], x.T[None]) for x in rows]
    other = [int(build.run(x.T[None])[0].argmax()) != 3 for x in rows]
    energy = [energy_of(x.reshape(8, 40).T) for x in q]
    assert 4 < sum(other) < 16
    judged = sorted(e for e, is_other in zip(energy, other, strict=True) if is_other)
    at_rest = sorted(e for e, is_other in zip(energy, other, strict=True) if not is_other)
    allowed = math.floor(gate.miss * len(judged))
    assert sum(e < gate.limit for e in judged) <= allowed
    end = at_rest[math.ceil((1 - gate.miss) * len(at_rest)) - 1]
    if end < judged[allowed]:
        assert gate.limit**2 == pytest.approx(float(end * judged[allowed]), rel=1e-3)
    else:
        assert gate.limit == judged[allowed]
    assert (gate.windows, gate.others) == (16, len(judged))
    assert gate.missed == sum(e < gate.limit for e in judged)
    assert gate.below == sum(e < gate.limit for e in energy)
    step = float(network.params[network.graph.inputs[0]].scale)
    assert gate.threshold == pytest.approx(math.sqrt(gate.limit / (40**2 * 8)) * step, rel=1e-6)
    assert "myoedge.sensor/1" in check_folder(build.folder)
    shown = command("report", str(build.folder), cwd=tmp_path).out
    assert f"{gate.below} of 16 calibration windows below" in " ".join(shown.split())
    assert "wake" in [hook.name for hook in sections(build.report)]
    values = [value for _, value in wake_table(build.report).rows]
    assert values[-4:-1] == ["16", str(gate.below), str(len(judged))]
    assert values[-1].startswith(f"{gate.missed};")


@pytest.mark.parametrize(
    ("tables", "code", "says"),
    [
        ({"wake": {"threshold": -1.0}}, "E232", "wake.threshold"),
        ({"wake": {"threshold": float("inf")}}, "E232", "wake.threshold"),
        ({"wake": {"threshold": float("nan")}}, "E232", "wake.threshold"),
        ({"wake": {"miss": 1.0}}, "E232", "wake.miss"),
        ({"wake": {"miss": float("nan")}}, "E232", "wake.miss"),
        ({"wake": {"miss": 0.1, "threshold": 1.0}}, "E232", "one of the two"),
        ({"wake": {"hold": -1}}, "E232", "wake.hold"),
        ({"wake": {"hold": 1 << 17}}, "E232", "wake.hold"),
        ({"wake": {"rest": 0xFFFF}}, "E232", "wake.rest"),
        ({"wake": {"theshold": 1.0}}, "E230", "threshold"),
        ({"wake": {"threshold": 1.0, "rest": 5}}, "E265", "rest = 0 to 4"),
        ({"wake": {}, "adapt": {"methods": ["prototypes"]}}, "E265", "[adapt]"),
        ({"wake": {"model": "a.pt2", "output": "b"}}, "E232", "wake.output"),
        ({"wake": {"rest_output": 1}}, "E232", "wake.rest_output"),
        ({"wake": {"model": "absent.pt2"}}, "E101", "[wake] model"),
        ({"wake": {"output": "absent"}}, "E265", "an output after the first one"),
    ],
)
def test_what_is_refused(tmp_path: Path, tables: dict[str, Any], code: str, says: str) -> None:
    with pytest.raises(MyoedgeError, match=code) as raised:
        applications.built(tmp_path, applications.Windows, 40, **SENSOR, **tables)
    assert says in str(raised.value)


def test_streams_have_no_gate(tmp_path: Path) -> None:
    stream = {"sensor": applications.ARMBAND, "stream": {**applications.STREAM, "rate": 200}}
    with pytest.raises(MyoedgeError, match="E265") as raised:
        applications.built(tmp_path, applications.Causal, 100, **stream, wake={"threshold": 1.0})
    assert "a stream needs every frame" in str(raised.value)


def test_random_windows_choose_no_threshold(tmp_path: Path) -> None:
    model = applications.built(tmp_path, applications.Windows, 40, **SENSOR).folder.parent
    with pytest.raises(MyoedgeError, match="E265") as raised:
        myoedge.build(
            model / "model.pt2",
            calib="random",
            app="sensor",
            config=Found(from_tables({**SENSOR, "wake": {}}, "myoedge.toml"), Path()),
            output=tmp_path / "random",
            simulate=False,
        )
    assert "[wake] threshold" in str(raised.value)
