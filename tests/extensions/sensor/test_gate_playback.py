# SPDX-License-Identifier: Apache-2.0
"""How a gate worked in a playback: onsets, wake-ups and accuracy, counted by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from myoedge.backends.packets import Decision, Flags
from myoedge.extensions.sensor.gate_playback import accuracy, accuracy_lines, rested
from myoedge.extensions.sensor.played_panel import gate_texts
from myoedge.extensions.sensor.program import SampleLayout, SensorProgram
from myoedge.extensions.sensor.wake import Gate
from tests.extensions.sensor import sensor_player as player

WINDOW, HOP = 4, 2
PLAIN = player.program(SampleLayout(1, WINDOW, 8), HOP)
GATED = replace(PLAIN, gate=Gate(1, 0, 0, 2.5))


def decisions(rests: str, network: str, program: SensorProgram = GATED) -> list[Decision]:
    """A decision per window; `r` in rests: the network rests."""
    rows = []
    for number, (rest, decided) in enumerate(zip(rests, network, strict=True)):
        flags = Flags.RESTING if rest == "r" else Flags(0)
        found = 0 if rest == "r" else int(decided)
        frame = WINDOW - 1 + number * HOP
        rows.append(Decision(number, frame * 1000, frame, flags, found, 0, ()))
    return rows


def classes(network: str) -> list[int]:
    return [int(x) for x in network]


def labels(of_last_sample: str) -> np.ndarray:
    """Labels whose last sample of each window is as given."""
    found = np.zeros(WINDOW + HOP * (len(of_last_sample) - 1), np.int64)
    for number, label in enumerate(of_last_sample):
        found[WINDOW - HOP + number * HOP : WINDOW + number * HOP] = int(label)
    return found


@pytest.mark.parametrize(
    ("rests", "network", "truth", "onsets", "missed", "late", "windows_late"),
    [
        ("rrr...rr", "00011100", None, 1, 0, 0, 0),
        ("rrrr..rr", "00011100", None, 1, 0, 1, 1),
        ("rrrrrrrr", "00011100", None, 1, 1, 0, 0),
        ("....rrrr", "11110000", None, 0, 0, 0, 0),  # no rest before it
        ("rr.r.rr.", "00102003", None, 3, 0, 0, 0),
        ("rrrrr.rr", "00100300", "01100110", 2, 1, 0, 0),
        ("rr.....r", "00001100", "01111110", 1, 0, 0, 0),  # the network alone finds it as late
        ("rrrrrrrr", "00000000", "01111110", 0, 0, 0, 0),  # nor does the network
    ],
)
def test_onsets(
    rests: str,
    network: str,
    truth: str | None,
    onsets: int,
    missed: int,
    late: int,
    windows_late: int,
) -> None:
    known = None if truth is None else labels(truth)
    samples = WINDOW + HOP * (len(rests) - 1)
    found = rested(GATED, known, decisions(rests, network), classes(network), samples)
    assert found is not None
    assert (found["onsets"], found["missed_onsets"], found["late_onsets"]) == (onsets, missed, late)
    assert found["latest_s"] == pytest.approx(windows_late * HOP / GATED.sensor.rate_hz)
    text = "\n".join(gate_texts(found))
    assert ("of gestures" in text) == (onsets > 0)
    assert ("none missed" in text) == (onsets > missed == 0)


@pytest.mark.parametrize("seed", range(4))
def test_counts(seed: int) -> None:
    """Passes, rests, wake-ups, and wake-ups at rest, of drawn windows."""
    rng = np.random.default_rng(seed)
    rests = "".join(rng.choice(["r", "."], 60, p=[0.6, 0.4]))
    network = "".join(map(str, rng.choice([0, 0, 0, 1, 2], 60)))
    samples = WINDOW + HOP * 59
    found = rested(GATED, None, decisions(rests, network), classes(network), samples)
    assert found is not None
    assert (found["passes"], found["resting"]) == (rests.count("."), rests.count("r"))
    woken = [n for n in range(1, 60) if rests[n - 1 : n + 1] == "r."]
    minutes = samples / float(GATED.sensor.rate_hz) / 60
    assert found["wake_ups_per_minute"] == pytest.approx(len(woken) / minutes)
    overruled = sum(a == "r" and b != "0" for a, b in zip(rests, network, strict=True))
    assert found["overruled"] == overruled
    ends = [*woken, 60]
    runs = [
        network[a : a + len(rests[a:b].split("r")[0])] for a, b in pairwise(ends) if b is not None
    ]
    assert found["false_wake_ups"] == sum({*run} == {"0"} for run in runs)


def accuracies(
    program: SensorProgram, rests: str, network: str, of_samples: Sequence[int]
) -> tuple[int, float, float | None] | None:
    rows = decisions(rests, network)
    found = accuracy(program, np.array(of_samples), rows, classes(network))
    assert (found is None) == (accuracy_lines(found) == [])
    return None if found is None else (found["windows"], found["decisions"], found["network"])


def test_accuracy_leaves_windows_of_two_labels_out() -> None:
    of_samples = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]  # windows at 0, 2, 4, 6
    assert accuracies(GATED, "rr..", "0011", of_samples) == (3, 1.0, 1.0)
    assert accuracies(GATED, "rrrr", "0011", of_samples) == (3, 2 / 3, 1.0)
    assert accuracies(PLAIN, "....", "0110", of_samples) == (3, 1 / 3, None)
    assert accuracies(PLAIN, "....", "0110", [7] * 10) is None  # no class of the network
    assert accuracies(PLAIN, "....", "0110", [-1] * 10) is None


def test_nothing_without_labels_and_without_a_gate() -> None:
    rows = decisions("..", "01")
    assert accuracy(GATED, None, rows, [0, 1]) is None
    assert rested(PLAIN, None, rows, [0, 1], 6) is None
    assert gate_texts(None) == []
