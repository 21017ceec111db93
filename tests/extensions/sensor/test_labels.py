# SPDX-License-Identifier: Apache-2.0
"""A sensor application that adapts by commands on the line, on the simulated chip: it learns which
windows it should, and decides as the reference does from then on."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.packets import (
    NO_LABEL,
    PSEUDO_LABEL,
    CommandAnswer,
    Decision,
    Record,
    command_message,
    decoded,
    unstuffed,
)
from myoedge.extensions.adaptation import commands as c
from myoedge.extensions.adaptation import session
from myoedge.extensions.adaptation.record import pooled
from myoedge.extensions.adaptation.running import runner, settings_of, windows_of
from myoedge.extensions.sensor.playback import playback_of, program_of
from myoedge.extensions.sensor.program import SensorProgram
from myoedge.numerics.arrays import Array
from myoedge.simulator import simulate
from myoedge.streaming.stream import passes as passes_of
from tests.extensions.sensor import applications
from tests.extensions.sensor.packets import crc16
from tests.extensions.sensor.sensor_player import integers, window

LENGTH, HOP = 40, 10
LDA = 2
COMMANDS = {
    30: ("label", 3),  # no session
    50: ("begin", LDA),
    52: ("label", 5),  # no such class
    54: ("label", PSEUDO_LABEL),  # not in the build
    60: ("label", 3),
    400: ("label", 1),
    700: ("end", 0),
    720: ("label", 1),  # no session
}
ANSWERS = [-1, 0, -1, -1, 0, 0, 1, -1]
SENSOR = {"front_end": "uart", "bits": 24, "input_range": "0.4 V", "hop": HOP, "channels": 8}


@pytest.fixture(scope="module", params=["30 MHz", "240/30 MHz"])
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder, sensor = tmp_path_factory.mktemp("labels"), {**SENSOR, "rate": 1000, "unit": "uV"}
    tables = {"sensor": sensor, "adapt": {"methods": ["lda"]}}
    return applications.built(folder, applications.Windows, LENGTH, request.param, **tables)


def played(build: Build, program: SensorProgram, counts: Array) -> list[Record]:
    """What the application sends while samples come, and commands between them."""
    playback = playback_of(program, counts)
    rows = [*playback.counts]
    for number, command in sorted(COMMANDS.items(), reverse=True):
        message = command_message(*command)
        rows.insert(number, np.frombuffer(message.ljust(len(rows[0]), b"\0"), np.uint8))
    run = simulate(build.written("sensor.elf"), playback=replace(playback, counts=np.array(rows)))
    return [record for _, record in decoded(run.line)]


def inferred(
    build: Build, program: SensorProgram, counts: Array, frames: Sequence[int]
) -> list[c.Window]:
    """Features and decisions of the windows that end with these samples, by the C on the host."""
    q = integers(program, counts)
    dtype, (name,) = np.dtype(program.sample_type), build.network.graph.inputs
    shape = build.network.graph.shape(name)
    inputs = [window(program, q, f - LENGTH + 1).astype(dtype).reshape(shape) for f in frames]
    return windows_of(runner(build, "host"), [c.infer(x) for x in inputs])


def test_windows_between_two_commands_are_learnt(build: Build) -> None:
    program = program_of(build)
    rng = np.random.default_rng(4)
    counts = rng.normal(0, 3000, (1100, 8)).astype(np.int64)
    counts[400:700, :4] *= 8
    counts[900:, :4] *= 8
    records = played(build, program, counts)
    found = inferred(build, program, counts, [r.frame for r in records if isinstance(r, Decision)])
    state, classifier, label, start = session.begin(settings_of(build), "lda"), None, NO_LABEL, 0
    answers, learnt, windows = [], [], iter(found)
    given = iter(COMMANDS.values())
    for record in records:
        if isinstance(record, CommandAnswer):
            command, argument = next(given)
            assert record.command == command
            answers.append(record.result)
            is_label = command == "label" and record.result == 0
            label, start = (argument if is_label else NO_LABEL), record.frame + 1
            classifier = session.end(state) if command == "end" else classifier
        elif isinstance(record, Decision):
            one = next(windows)
            assert record.class_index == decided(build, classifier, one)
            if label != NO_LABEL and record.frame - LENGTH + 1 >= start:
                state = session.window(state, one.features, one.decision, label)
                learnt.append((record.frame, label))
    assert answers == ANSWERS
    assert {label for _, label in learnt} == {1, 3}
    assert len(learnt) > 40
    assert min(frame for frame, label in learnt if label == 1) - LENGTH + 1 >= 400
    after = [r.class_index for r in records if isinstance(r, Decision) and r.frame > 950]
    assert {*after} == {1}


FRAMES = 4  # of a pass


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Build:
    sensor = {key: value for key, value in SENSOR.items() if key != "hop"}
    tables = {"sensor": {**sensor, "rate": 1000, "unit": "uV"}, "adapt": {"methods": ["lda"]}}
    tables["stream"] = {"axis": 2, "frames": FRAMES, "rate": 1000}
    folder = tmp_path_factory.mktemp("stream")
    return applications.built(folder, applications.Causal, 100, **tables)


def test_passes_between_two_commands_are_learnt(stream: Build) -> None:
    """Before the session each frame has its own class, then all of a pass have the pass's."""
    program = program_of(stream)
    counts = np.random.default_rng(6).normal(0, 3000, (1100, 8)).astype(np.int64)
    counts[400:700, :4] *= 8
    counts[900:, :4] *= 8
    records = played(stream, program, counts)
    frames = [r.frame for r in records if isinstance(r, Decision)]
    passes = iter(reference_passes(stream, integers(program, counts), frames))
    state, classifier, label, start = session.begin(settings_of(stream), "lda"), None, NO_LABEL, 0
    answers, learnt, given, decisions = [], [], iter(COMMANDS.values()), [*records]
    while decisions:
        record = decisions.pop(0)
        if isinstance(record, CommandAnswer):
            command, argument = next(given)
            answers.append(record.result)
            is_label = command == "label" and record.result == 0
            label, start = (argument if is_label else NO_LABEL), record.frame + 1
            classifier = session.end(state) if command == "end" else classifier
        elif isinstance(record, Decision):
            window, classes = next(passes)
            of_pass = [record, *(r for r in decisions if isinstance(r, Decision))][:FRAMES]
            decisions = [r for r in decisions if r not in of_pass]
            if classifier is not None:
                classes = [decided(stream, classifier, window)] * FRAMES
            assert [r.class_index for r in of_pass] == classes
            if label != NO_LABEL and record.frame >= start:
                state = session.window(state, window.features, window.decision, label)
                learnt.append((record.frame, label))
    assert answers == ANSWERS
    assert {label for _, label in learnt} == {1, 3}
    assert len(learnt) > 100
    assert min(frame for frame, label in learnt if label == 1) >= 400


def reference_passes(
    build: Build, q: Array, frames: Sequence[int]
) -> list[tuple[c.Window, list[int]]]:
    """Window, and classes of the frames, of the passes whose frames end with these samples; after a
    gap the stream has started again."""
    assert build.stream
    name, output = build.stream.inputs[0].name, build.stream.outputs[0]
    starts = [i for i, frame in enumerate(frames) if i == 0 or frame != frames[i - 1] + 1]
    found = []
    for first, last in zip(starts, [*starts[1:], len(frames)], strict=True):
        x = q[frames[first] : frames[last - 1] + 1].T[None]
        for one in passes_of(build.stream, {name: x.astype(build.network.dtype(name))}):
            features = one.values[settings_of(build).name].reshape(-1, settings_of(build).features)
            scores = np.moveaxis(one.values[output.name], output.axis, 0).reshape(FRAMES, -1)
            classes = scores.argmax(1).tolist()
            found.append((c.Window(pooled(features), classes[-1]), classes))
    return found


def decided(build: Build, classifier: session.Classifier | None, one: c.Window) -> int:
    if classifier is None:
        return one.decision
    x = one.features[None].astype(int) - settings_of(build).zero_point
    return int(classifier.decide(x)[0])


def test_a_command_message() -> None:
    content = struct.pack("<BBBBH", 17, 1, 2, 0, 3)
    with_crc = content + struct.pack("<H", crc16(content))
    assert unstuffed(command_message("label", 3)[:-1]) == with_crc


def test_an_application_with_a_chip_takes_commands_too(tmp_path: Path) -> None:
    """Without any it decides as the network."""
    tables = {"sensor": {**applications.ADS1298, "hop": HOP}, "adapt": {"methods": ["lda"]}}
    build = applications.built(tmp_path, applications.Windows, LENGTH, **tables)
    signal = np.random.default_rng(5).normal(0, 60, (300, 8))
    assert myoedge.play(build, signal).exact
