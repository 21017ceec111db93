# SPDX-License-Identifier: Apache-2.0
"""The sensor application against formulas: clean signals, and faults of every kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from myoedge.extensions.sensor.program import SampleLayout, SensorProgram
from myoedge.numerics.arrays import Array
from myoedge.targets.gap9.chip import GAP9
from tests.conftest import thinned
from tests.extensions.sensor import sensor_player as player

PERIOD_US = 1000
CHANNELS = 8


def signal(frames: int, channels: int = CHANNELS, bits: int = 24) -> Array:
    rng = np.random.default_rng(frames)
    return rng.integers(-(2**15), 2**15, (frames, channels)) >> (24 - bits)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> tuple[SensorProgram, Path]:
    made = player.program(SampleLayout(8, 20, 1), hop=6)
    return made, player.compiled(made, tmp_path_factory.mktemp("windows"))


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> tuple[SensorProgram, Path]:
    made = player.program(SampleLayout(1, 3, 8), hop=2, frames=4)
    return made, player.compiled(made, tmp_path_factory.mktemp("stream"))


def decided(found: list[player.Packet], frames: int) -> list[player.Packet]:
    return [x for x in found if x.kind == player.DECISION and x.frame < frames]


def check_windows(made: SensorProgram, counts: Array, found: list[player.Packet]) -> list[int]:
    """Every decision is that of the true samples up to its frame. -> their frames"""
    q = player.integers(made, counts)
    rows = decided(found, len(counts))
    for packet in rows:
        first = packet.frame - made.layout.samples + 1
        scores = player.results(made, player.window(made, q, first))
        assert packet.decision == player.decision(scores)
    return [packet.frame for packet in rows]


def check_stream(made: SensorProgram, counts: Array, found: list[player.Packet]) -> list[int]:
    """Every decision is that of a stream from the start, or from a flag on. -> their frames"""
    q = player.integers(made, counts)
    rows = decided(found, len(counts))
    restart = player.LOST | player.SKIPPED
    expected: dict[int, tuple[int, int]] = {}
    for number, packet in enumerate(rows):
        if number == 0 or packet.flags & restart:
            expected = player.stream_decisions(made, q, packet.frame - made.layout.samples + 1)
        assert packet.decision == expected[packet.frame]
    return [packet.frame for packet in rows]


def last_status(found: list[player.Packet]) -> dict[str, int]:
    return [x.counters for x in found if x.kind == player.STATUS][-1]


# ---- a clean signal


def test_windows(windows: tuple[SensorProgram, Path]) -> None:
    made, app = windows
    counts = signal(1500)
    found = player.played(app, counts)
    frames = check_windows(made, counts, found)
    assert frames == [*range(19, 1500, 6)]
    rows = decided(found, len(counts))
    assert not any(packet.flags for packet in found)
    start_us = rows[0].time_us - rows[0].frame * PERIOD_US
    assert all(abs(x.time_us - start_us - x.frame * PERIOD_US) <= 1 for x in rows)
    # the pass takes 300 us, a packet of 22 bytes 220
    late_ns = [x.end_ns - 1000 * x.time_us for x in rows if x.sequence]
    assert max(late_ns) < 900_000
    assert [x.sequence for x in found] == [*range(len(found))]


def test_a_stream(stream: tuple[SensorProgram, Path]) -> None:
    made, app = stream
    counts = signal(1000)
    found = player.played(app, counts)
    assert check_stream(made, counts, found) == [*range(2, 1000, 2)]
    assert not any(packet.flags for packet in found)


def test_start_and_status(windows: tuple[SensorProgram, Path]) -> None:
    _, app = windows
    first, *rest = player.played(app, signal(3100))
    assert (first.kind, first.rest[:8].hex()) == (player.START, player.DIGEST[:16])
    assert first.rest[8:] == bytes([8, 0, *(1_000_000).to_bytes(4, "little"), 5, 0, 0])
    rows = [x for x in rest if x.kind == player.STATUS]
    # Behind the first decision a second of signal, in whole hops, after the last one's
    assert [x.frame for x in rows] == [1015, 2017, 3019]
    assert not any(any(x.counters.values()) for x in rows)


def test_after_the_watchdog(windows: tuple[SensorProgram, Path]) -> None:
    _, app = windows
    found = player.played(app, signal(1200), RESTARTS="1")
    first, *rest = found
    assert (first.rest[-1], first.flags) == (1, player.WATCHDOG)
    assert [x.flags for x in rest if x.kind == player.DECISION][:2] == [player.WATCHDOG, 0]
    assert last_status(found)["restarts"] == 1


def test_interrupts_at_the_end_of_packets_that_do_not_come(
    windows: tuple[SensorProgram, Path],
) -> None:
    """Of every third packet; the next turn of the main loop sends what waits."""
    _, app = windows
    plain, found = (player.played(app, signal(600), **env) for env in ({}, {"LOSES_SENT": "1"}))
    assert [x.sequence for x in found] == [x.sequence for x in plain]
    assert [x.decision for x in found if x.kind == player.DECISION] == [
        x.decision for x in plain if x.kind == player.DECISION
    ]


# ---- faults

ONE_LOST = {
    "missed": (300, "missed", 0),
    "late, then early": (300, "jitter", 700),
    "a bit of the status word": (300, "spi", 6),
}


@pytest.mark.parametrize("name", ONE_LOST)
def test_a_lost_sample_is_in_no_window(windows: tuple[SensorProgram, Path], name: str) -> None:
    made, app = windows
    counts = signal(700)
    found = player.played(app, counts, [ONE_LOST[name]])
    frames = check_windows(made, counts, found)
    gap = range(frames[frames.index(295) + 1] - made.layout.samples + 1, 302 + 20)
    assert 301 <= gap.start <= 304
    assert frames == [*range(19, 300, 6), *range(gap.start + 19, 700, 6)]
    flagged = [x for x in decided(found, 700) if x.flags]
    wanted = player.LOST | (player.SPI if name.startswith("a bit") else 0)
    assert [(x.frame, x.flags) for x in flagged] == [(gap.start + 19, wanted)]
    counters = last_status(found)
    assert counters["lost"] == gap.start - 300
    assert counters["resets"] == 0


@pytest.mark.parametrize("name", ONE_LOST)
def test_a_stream_starts_again_after_a_lost_sample(
    stream: tuple[SensorProgram, Path], name: str
) -> None:
    made, app = stream
    counts = signal(700)
    found = player.played(app, counts, [ONE_LOST[name]])
    frames = check_stream(made, counts, found)
    assert sum(bool(x.flags & player.LOST) for x in decided(found, 700)) == 1
    assert frames[-1] > 690


def test_small_jitter_and_doubled_edges_change_nothing(
    windows: tuple[SensorProgram, Path],
) -> None:
    made, app = windows
    counts = signal(700)
    faults = [(100 + 7 * n, "jitter", 12 * n) for n in range(10)]
    found = player.played(app, counts, [*faults, (400, "doubled", 200), (500, "doubled", 50)])
    assert check_windows(made, counts, found) == [*range(19, 700, 6)]
    assert not any(x.flags for x in decided(found, 700))
    assert last_status(found)["overruns"] == 2


@pytest.mark.parametrize("kind", ["reset", "dead"])
def test_the_front_end_is_started_again(windows: tuple[SensorProgram, Path], kind: str) -> None:
    made, app = windows
    counts = signal(2000)
    found = player.played(app, counts, [(700, kind, 0)])
    frames = check_windows(made, counts, found)
    before, after = (frames.index(697), frames.index(697) + 1)
    assert frames[before] < 700 < frames[after] < 700 + 500
    flagged = [x for x in decided(found, 2000) if x.flags]
    assert [(x.frame, x.flags) for x in flagged] == [(frames[after], player.LOST | player.RESET)]
    counters = last_status(found)
    assert (counters["resets"], counters["lost"]) == (1, frames[after] - 19 - 700)


def test_a_pass_that_is_late_skips_whole_passes(windows: tuple[SensorProgram, Path]) -> None:
    made, app = windows
    counts = signal(900)
    found = player.played(app, counts, [(300, "slow", 150_000)])
    frames = check_windows(made, counts, found)
    steps = np.diff(frames)
    assert all(steps % 6 == 0)
    assert sum(steps > 6) == 1
    flagged = [x for x in decided(found, 900) if x.flags]
    assert [x.flags for x in flagged] == [player.SKIPPED]
    assert last_status(found) == {
        **dict.fromkeys((*player.COUNTERS, "open"), 0),
        "skipped": max(steps) // 6 - 1,
    }


def test_a_late_stream(stream: tuple[SensorProgram, Path]) -> None:
    made, app = stream
    counts = signal(900)
    found = player.played(app, counts, [(300, "slow", 150_000)])
    check_stream(made, counts, found)
    assert [x.flags for x in decided(found, 900) if x.flags] == [player.SKIPPED]


def test_a_stalled_line_drops_the_oldest_packets(windows: tuple[SensorProgram, Path]) -> None:
    made, app = windows
    counts = signal(1100)
    found = player.played(app, counts, [(300, "stall", 300_000)])
    frames = check_windows(made, counts, found)
    missing = [*{*range(19, 1100, 6)} - {*frames}]
    assert 20 < len(missing) < 50
    assert min(missing) > 300
    numbers = [x.sequence for x in found]
    assert numbers == sorted(numbers)
    assert numbers[-1] - len(numbers) + 1 in (len(missing), len(missing) + 1)  # a status, perhaps
    assert last_status(found)["lost"] == 0


def test_open_and_saturated_electrodes(windows: tuple[SensorProgram, Path]) -> None:
    made, app = windows
    counts = signal(900)
    counts[500:503, 2] = 2**23 - 1
    counts[600, 7] = -(2**23)
    faults = [(frame, "open", 0b10010) for frame in range(200, 260)]
    found = player.played(app, counts, faults)
    assert check_windows(made, counts, found) == [*range(19, 900, 6)]
    for packet in decided(found, 900):
        seen = {*range(packet.frame - 19, packet.frame + 1)}
        assert bool(packet.flags & player.OPEN) == bool(seen & {*range(200, 260)})
        assert bool(packet.flags & player.SATURATED) == bool(seen & {500, 501, 502, 600})
        assert not packet.flags & ~(player.OPEN | player.SATURATED)
    rows = [x.counters for x in found if x.kind == player.STATUS]
    assert 0b10010 in [x["open"] for x in rows]
    assert rows[-1]["open"] == 0


@pytest.mark.parametrize("seed", thinned(range(12)))
def test_drawn_faults(
    windows: tuple[SensorProgram, Path], stream: tuple[SensorProgram, Path], seed: int
) -> None:
    """No hang, no wrong decision, and decisions again within a second."""
    rng = np.random.default_rng(seed)
    kinds = {
        "missed": 1, "jitter": 1500, "doubled": 900, "spi": 4, "reset": 1, "dead": 1,
        "stall": 300_000, "slow": 200_000,
    }  # fmt: skip
    frames = np.sort(rng.choice(2500, 25, replace=False)) + 100
    drawn = rng.choice([*kinds], len(frames))
    faults = [
        (int(f), str(k), int(rng.integers(0, kinds[k]))) for f, k in zip(frames, drawn, strict=True)
    ]
    counts = signal(4000)
    for (made, app), check in ((windows, check_windows), (stream, check_stream)):
        decided_frames = check(made, counts, player.played(app, counts, faults))
        assert decided_frames == sorted(decided_frames)
        first_after = min(f for f in decided_frames if f > max(frames))
        assert first_after < max(frames) + 1000
        assert decided_frames[-1] > 3900


# ---- through PMSIS


@pytest.fixture(scope="module")
def pmsis(tmp_path_factory: pytest.TempPathFactory) -> tuple[SensorProgram, Path]:
    """At two clocks, the one of waiting a 24th of the other: the shim looks at the dividers."""
    made = player.program(SampleLayout(8, 20, 1), hop=6)
    made = replace(made, point=GAP9.at("240/10 MHz").point)
    return made, player.compiled(made, tmp_path_factory.mktemp("sdk"), sdk=True)


def test_windows_with_the_sdk(pmsis: tuple[SensorProgram, Path]) -> None:
    made, app = pmsis
    counts = signal(1500)
    found = player.played(app, counts)
    assert check_windows(made, counts, found) == [*range(19, 1500, 6)]
    assert not any(packet.flags for packet in found)


@pytest.mark.parametrize("kind", ["missed", "reset", "dead", "stall"])
def test_faults_with_the_sdk(pmsis: tuple[SensorProgram, Path], kind: str) -> None:
    made, app = pmsis
    counts = signal(2000)
    found = player.played(app, counts, [(700, kind, 100_000)])
    frames = check_windows(made, counts, found)
    assert min(frame for frame in frames if frame > 700) < 1200
    assert frames[-1] > 1990


# ---- samples on the line


@pytest.mark.parametrize("sdk", [False, True])
@pytest.mark.parametrize(
    ("kind", "value", "flags"),
    [
        ("missed", 0, player.LOST),
        ("spi", 70, player.LOST | player.SPI),
        ("jitter", 700, 0),
        ("doubled", 300, 0),
    ],
)
def test_samples_on_the_line(kind: str, value: int, flags: int, sdk: bool, tmp_path: Path) -> None:
    table = {"front_end": "uart", "bits": 24, "unit": "counts", "pins": {"start": 43}}
    made = player.program(SampleLayout(8, 20, 1), 6, **table)
    app = player.compiled(made, tmp_path, sdk=sdk)
    counts = signal(1100)
    found = player.played(app, counts, [(200, kind, value)])
    frames = check_windows(made, counts, found)
    assert len(frames) == 181 - 3 * bool(flags)
    assert [x.flags for x in decided(found, 1100) if x.flags] == [flags] * bool(flags)
    assert last_status(found)["overruns"] == (kind == "doubled")


# ---- other front ends and formats


@pytest.mark.parametrize(
    ("layout", "table"),
    [
        (SampleLayout(1, 10, 64), {"rate": 2000.0, "spi_clock": "20 MHz", "baud_rate": 3_000_000}),
        (SampleLayout(4, 10, 2), {"front_end": "ads1299", "gain": 24, "rate": 250.0}),
        (SampleLayout(1, 5, 3), {"front_end": "ads1298", "pins": {"data_ready": 3}}),
        (
            SampleLayout(8, 40, 1),
            {
                "front_end": "spi",
                "bits": 16,
                "header_bytes": 2,
                "input_range": "5 V",
                "rate": 200.0,
            },
        ),
        (SampleLayout(2, 8, 2), {"front_end": "spi", "bits": 20, "input_range": "1 V"}),
    ],
)
def test_front_ends(layout: SampleLayout, table: dict[str, object], tmp_path: Path) -> None:
    made = player.program(layout, 4, **table)
    app = player.compiled(made, tmp_path)
    channels = layout.outer * layout.inner
    sent = channels if made.sensor.kind is None else 8 * made.sensor.chips
    counts = signal(400, sent, made.sensor.bits)
    found = player.played(app, counts, [(200, "missed", 0)])
    frames = check_windows(made, counts[:, :channels], found)
    assert len(frames) > (400 - 2 * layout.samples) / 4 - 2
    assert [x.flags for x in decided(found, 400) if x.flags] == [player.LOST]


@pytest.mark.parametrize(("results", "content"), [(300, "outputs"), (5, "outputs")])
def test_packets_with_all_values(results: int, content: str, tmp_path: Path) -> None:
    made = player.program(SampleLayout(8, 20, 1), 6, results=results, packets=content)
    counts = signal(200)
    found = player.played(player.compiled(made, tmp_path), counts)
    q = player.integers(made, counts)
    rows = [x for x in found if x.kind == player.OUTPUTS and x.frame < 200]
    assert len(rows) > 25
    for packet in rows:
        scores = player.results(made, player.window(made, q, packet.frame - 19))
        assert packet.decision == player.decision(scores)
        assert packet.rest[4:7] == bytes([1, *results.to_bytes(2, "little")])
        assert packet.rest[7:] == scores.tobytes()
