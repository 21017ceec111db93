# SPDX-License-Identifier: Apache-2.0
"""Adaptation in generated C, on the host and on the simulated chip, against the NumPy reference:
every state, weight and decision after every step."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import myoedge
from myoedge.backends.build import Build
from myoedge.backends.equivalence import run_int
from myoedge.building.config import Found, from_tables
from myoedge.errors import MyoedgeError
from myoedge.extensions.adaptation import commands as c
from myoedge.extensions.adaptation import session
from myoedge.extensions.adaptation.commands import Command, Window
from myoedge.extensions.adaptation.norm import added, no_norm_sums, normalization
from myoedge.extensions.adaptation.record import Classifier, l2_bytes
from myoedge.extensions.adaptation.running import runner, settings_of
from myoedge.extensions.adaptation.table import METHODS
from myoedge.numerics.arrays import Array
from tests.conftest import myoedge as command
from tests.extensions.adaptation.adapting import (
    assert_equal,
    host_state,
    norm_state,
    parsed,
    reference_states,
)
from tests.storage.power_cuts import first_record, outcomes
from tests.support.warning_rules import applies

CLASSES, CHANNELS, LENGTH, SIZE = 3, 4, 10, 12
CLASSIFIERS = METHODS[:3]


class Network(torch.nn.Module):
    """Two convolutions, a mean, and a linear layer; or convolutions and a mean of class maps."""

    def __init__(self, channels: int = SIZE, *, maps: bool = False) -> None:
        super().__init__()
        self.first = torch.nn.Conv1d(CHANNELS, channels, 3, padding=1)
        self.second = torch.nn.Conv1d(channels, channels, 3, padding=1)
        last = torch.nn.Conv1d(channels, CLASSES, 1) if maps else None
        self.last = last or torch.nn.Linear(channels, CLASSES)
        self.maps = maps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.second(torch.relu(self.first(x))))
        return self.last(x).mean(-1) if self.maps else self.last(x.mean(-1))


def samples(count: int, seed: int, shift: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Windows of rectified noise, a channel louder for each class; `shift` rotates the channels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    loud = np.ones((count, CHANNELS, 1))
    loud[np.arange(count), (labels + shift) % CHANNELS] = 6
    noise = np.abs(random.normal(size=(count, CHANNELS, LENGTH)))
    return (noise * loud).astype(np.float32), labels


def built(
    folder: Path,
    network: torch.nn.Module,
    adapt: dict[str, object],
    quant: dict[str, object] | None = None,
    **more: object,
) -> Build:
    torch.manual_seed(0)
    x, y = samples(48, 0)
    exported = torch.export.export(network.eval(), (torch.from_numpy(x[:1]),))
    torch.export.save(exported, folder / "model.pt2")
    np.savez(folder / "calib.npz", input=x, label=y)
    tables = {"adapt": adapt, "quant": quant or {}}
    config = Found(from_tables(tables, "myoedge.toml"), folder)
    files = {"calib": folder / "calib.npz", "output": folder / "build", "config": config}
    return myoedge.build(folder / "model.pt2", **files, **more)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    torch.manual_seed(0)
    adapt = {"methods": [*METHODS], "replay": "240", "channels": CHANNELS}
    return built(tmp_path_factory.mktemp("adapt"), Network(), adapt)


@pytest.mark.skipif(not (shutil.which("make") and shutil.which("cc")), reason="make and cc")
def test_the_sources_build_with_plain_make(build: Build, tmp_path: Path) -> None:
    folder = shutil.copytree(build.folder / "src", tmp_path / "src")
    done = subprocess.run(["make", "check"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "bit for bit" in done.stdout


def test_the_report_describes_the_adaptation(build: Build) -> None:
    found = build.report["adaptation"]
    assert found["methods"] == [*METHODS]
    assert (found["layer"], found["features"], found["classes"]) == ("mean", SIZE, CLASSES)
    assert (found["replayed"], found["channels"]) == (20 // CLASSES * CLASSES, CHANNELS)
    saved = runner(build, "host")([Command(c.SAVE)])[0].result
    assert (found["saved_bytes"], found["l2_bytes"]) == (saved, l2_bytes(settings_of(build)))


def drawn(build: Build, count: int, seed: int) -> tuple[list[Window], list[int]]:
    """Windows with features over all of int8, and their classes, in no order."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count)
    centres = random.integers(-100, 100, (CLASSES, settings_of(build).features))
    noise = random.integers(-60, 60, (count, settings_of(build).features))
    features = (centres[labels] + noise).clip(-128, 127).astype(np.int8)
    return [Window(x, int(random.integers(CLASSES))) for x in features], labels.tolist()


@pytest.mark.parametrize("method", CLASSIFIERS)
def test_every_state_is_the_references(build: Build, method: str) -> None:
    """On the chip all of a session's memory is written out after every call."""
    windows, labels = drawn(build, 30, METHODS.index(method))
    steps = [*c.session(method, windows, labels)][:-1]
    stated = [one for step in steps for one in (step, Command(c.STATE))]
    answers = runner(build, "simulator")(stated)
    states = [parsed(settings_of(build), x.content) for x in answers[1::2]]
    expected = [*reference_states(settings_of(build), method, windows, labels)]
    assert_equal(states[0], expected[0])
    for found, state in zip(states[2::2], expected[1:], strict=True):
        assert_equal(found, state)
    run = runner(build, "host")
    for count in (0, 1, 12, 30):
        run(steps[: 1 + 2 * count])
        assert_equal(parsed(settings_of(build), host_state(build)), expected[count])


def reference(
    build: Build, method: str, windows: Sequence[Window], labels: Sequence[int]
) -> Classifier | None:
    state = session.begin(settings_of(build), method)
    for window, label in zip(windows, labels, strict=True):
        state = session.window(state, window.features, window.decision, label)
    return session.end(state)


@pytest.mark.parametrize("method", CLASSIFIERS)
@pytest.mark.parametrize("count", [0, 1, 5, 70])
def test_every_weight_and_decision_is_the_references(build: Build, method: str, count: int) -> None:
    windows, labels = drawn(build, count, count)
    tested, _ = drawn(build, 40, 99)
    commands = [*c.session(method, windows, labels), *c.decisions(tested), Command(c.SAVE)]
    on_host = runner(build, "host")(commands)
    classifier = reference(build, method, windows, labels)
    assert on_host[2 * count + 1].result == (classifier is not None)
    expected = [window.decision for window in tested]
    if classifier is not None:
        x = np.array([window.features for window in tested]).astype(int)
        expected = classifier.decide(x - settings_of(build).zero_point).tolist()
        saved = on_host[-1].content
        weights = np.frombuffer(saved, np.int16, CLASSES * SIZE, 24 + 4 * CLASSES)
        np.testing.assert_array_equal(weights, classifier.weights.reshape(-1))
        bias = np.frombuffer(saved, np.int32, CLASSES, 24)
        np.testing.assert_array_equal(bias, classifier.bias)
    assert [x.result for x in on_host[2 * count + 2 : -1]][1::2] == expected
    if method != "head" or count == 5:  # a thousand updates take long on a simulator
        on_chip = runner(build, "simulator")(commands)
        assert [(x.result, x.content) for x in on_chip] == [(x.result, x.content) for x in on_host]


def test_inferences_give_the_references_features(build: Build) -> None:
    x, _ = samples(4, 5)
    network = build.network
    inputs = [network.input_integers("x", sample[None]) for sample in x]
    commands = [c.infer(integers) for integers in inputs]
    for backend in ("host", "simulator"):
        for integers, answer in zip(inputs, runner(build, backend)(commands), strict=True):
            values = run_int(network.steps, network.constants, {"x": integers})
            expected = values[settings_of(build).name].reshape(-1)
            np.testing.assert_array_equal(c.inferred(answer).features, expected)
            assert answer.result == values[network.graph.outputs[0]].argmax()


def test_large_maps_are_averaged_over_positions(tmp_path: Path) -> None:
    """Forty channels at ten positions are more numbers than a window may have."""
    torch.manual_seed(1)
    build = built(tmp_path, Network(40, maps=True), {"methods": ["prototypes"]})
    adaptation = settings_of(build)
    assert (adaptation.features, adaptation.positions, adaptation.group) == (40, LENGTH, 1)
    has_means_of(build, 40)


@pytest.mark.parametrize("maps", [False, True])
def test_many_channels_are_averaged_in_groups(tmp_path: Path, maps: bool) -> None:
    """Of 301 channels two are a feature, and the last alone."""
    torch.manual_seed(1)
    build = built(tmp_path, Network(301, maps=maps), {"methods": ["prototypes"]})
    assert (settings_of(build).features, settings_of(build).group) == (151, 2)
    has_means_of(build, 301)


def has_means_of(build: Build, channels: int) -> None:
    """Features by exact means of the reference's results, on both backends."""
    adaptation, network = settings_of(build), build.network
    x, _ = samples(3, 6)
    for sample in x:
        integers = network.input_integers("x", sample[None])
        values = run_int(network.steps, network.constants, {"x": integers})
        results = values[adaptation.name].reshape(-1, channels)
        groups = [
            results[:, i : i + adaptation.group] for i in range(0, channels, adaptation.group)
        ]
        means = [Fraction(int(group.astype(int).sum()), group.size) for group in groups]
        expected = [math.floor(mean + Fraction(1, 2)) for mean in means]
        for backend in ("host", "simulator"):
            (answer,) = runner(build, backend)([c.infer(integers)])
            np.testing.assert_array_equal(c.inferred(answer).features, expected)


def test_saved_classifiers_come_back_whole_or_not_at_all(build: Build) -> None:
    windows, labels = drawn(build, 40, 3)
    tested, _ = drawn(build, 20, 4)
    decide = [*c.decisions(tested)]
    learnt = [*c.session("lda", windows, labels), *decide, Command(c.SAVE)]
    answers = runner(build, "host")(learnt)
    saved, decisions = answers[-1].content, [x.result for x in answers[-len(decide) - 1 : -1]]
    assert len(saved) == c.saved_bytes(settings_of(build))
    damaged = [saved[:at] + bytes([saved[at] ^ 1]) + saved[at + 1 :] for at in range(len(saved))]
    damaged += [saved[:-1], saved + b"\0", b"", saved[:28]]
    for backend in ("host", "simulator"):
        run = runner(build, backend)
        loaded = run([Command(c.LOAD, 0, saved), *decide, Command(c.SAVE)])
        assert [x.result for x in loaded[1:-1]] == decisions
        assert (loaded[0].result, loaded[-1].content) == (0, saved)
    run = runner(build, "host")
    kept = run([Command(c.LOAD, 0, saved), *(Command(c.LOAD, 0, x) for x in damaged), *decide])
    assert [x.result for x in kept] == [0, *[-1] * len(damaged), *decisions]
    assert [x.result for x in run(decide)][1::2] == [window.decision for window in tested]


def test_what_the_c_refuses(build: Build) -> None:
    windows, _ = drawn(build, 1, 0)
    alone = [c.take(windows[0]), Command(c.WINDOW, 0), Command(c.END)]
    started = [Command(c.BEGIN, 1), Command(c.WINDOW, -1), Command(c.WINDOW, CLASSES)]
    begins = [Command(c.BEGIN, method) for method in (0, 5, -1, 32)]
    answers = runner(build, "host")(
        [Command(c.BEGIN, 1), Command(c.END), *alone, *started, *begins]
    )
    assert [x.result for x in answers] == [0, 0, 0, -1, -1, 0, -1, -1, *[-1] * 4]


@pytest.mark.parametrize("method", CLASSIFIERS)
@pytest.mark.parametrize("count", [0, 1, 9])
def test_one_class_gives_no_classifier(build: Build, method: str, count: int) -> None:
    """It would decide this class always, and rightly in every held-back window."""
    windows, _ = drawn(build, count, 5)
    steps = [*c.session(method, windows, [1] * count), Command(c.CLASS)]
    for backend in ("host", "simulator"):
        end, decided = runner(build, backend)(steps)[-2:]
        assert end.result == 0
        assert not windows or decided.result == windows[-1].decision


def test_a_loaded_classifier_ends_the_session(build: Build) -> None:
    """Windows that were held back before were decided by another one; so does a reset."""
    windows, labels = drawn(build, 8, 3)
    saved = runner(build, "host")([*c.session("lda", windows, labels), Command(c.SAVE)])[-1].content
    left = [Command(c.BEGIN, 1), c.take(windows[0]), Command(c.WINDOW, 0)]
    for backend in ("host", "simulator"):
        run = runner(build, backend)
        answers = run([*left, Command(c.LOAD, 0, saved), Command(c.END)])
        assert [x.result for x in answers[-2:]] == [0, -1]
        run(left)
        assert run([Command(c.WINDOW, 0), Command(c.END)])[-1].result == -1


def test_sessions_of_few_windows(build: Build, tmp_path: Path) -> None:
    """An eighth of two windows of a class is none, and no session."""
    for count, expected in ((1, [1]), (3, [3]), (6, [3, 6])):
        x, y = samples(count, 4)
        np.savez(tmp_path / "few.npz", input=x, label=y)
        given = ("--data", "few.npz", "--test", "few.npz", "--on", "simulator", "--json")
        ran = command("adapt", build.folder, *given, "--method", "lda", cwd=tmp_path)
        assert [row["windows"] for row in ran.json["rows"]] == expected


def test_what_nobody_judged_is_no_gain(build: Build, tmp_path: Path) -> None:
    """Of three windows of a class none is held back, nor of a session of norm; of twelve some."""
    x, y = samples(36, 4, 1)
    np.savez(tmp_path / "day.npz", input=x, label=y)
    np.savez(tmp_path / "one.npz", input=x[y == 0], label=y[y == 0])
    given = (build.folder, "--test", "day.npz", "--method", "lda", "--method", "norm")
    keys = ("method", "windows", "judged", "gained", "in_force")
    ran = command("adapt", *given, "--data", "day.npz", "--json", cwd=tmp_path)
    assert [tuple(row[key] for key in keys) for row in ran.json["rows"]][::3] == [
        ("lda", 6, False, False, True),
        ("lda", 36, True, True, True),
        ("norm", 18, False, False, True),
    ]
    ran = command("adapt", *given, "--data", "one.npz", "--json", cwd=tmp_path)
    assert [row["in_force"] for row in ran.json["rows"]] == [False] * 4 + [True] * 4
    assert not any(row["gained"] for row in ran.json["rows"])
    lines = command("adapt", *given, "--data", "day.npz", cwd=tmp_path).out.splitlines()
    first, *_, last = (line for line in lines if line.startswith("lda"))
    assert first.split()[1] == "**" != last.split()[1]
    assert any(line.startswith("** not judged") for line in lines)
    assert build.adapt(x, y, method="lda").judged
    assert not build.adapt(x[:9], y[:9], method="lda").judged


def test_costs_name_their_operating_point(build: Build, tmp_path: Path) -> None:
    x, y = samples(12, 4)
    np.savez(tmp_path / "day.npz", input=x, label=y)
    given = (build.folder, "--data", "day.npz", "--test", "day.npz", "--method", "prototypes")
    on_chip = command("adapt", *given, "--on", "simulator", "--json", cwd=tmp_path).json
    point, row = on_chip["operating_point"], on_chip["rows"][-1]
    assert row["time_us_per_step"] == 1e6 * row["cycles_per_step"] / point["clock_hz"]
    assert (point["volts"], point["clock_hz"]) == (0.8, 370e6)
    shown = command("adapt", *given, "--on", "simulator", cwd=tmp_path).out
    assert "time and energy at 0.80 V, 370 MHz" in shown
    assert command("adapt", *given, "--json", cwd=tmp_path).json["operating_point"] is None


def test_the_length_of_windows_alone_is_refused(build: Build, tmp_path: Path) -> None:
    x, y = samples(60, 4)
    np.savez(tmp_path / "day.npz", input=x, label=y)
    given = (build.folder, "--data", "day.npz", "--test", "day.npz", "--method", "prototypes")
    ran = command("adapt", *given, "--window", "100 ms", cwd=tmp_path)
    assert "E204" in ran.err
    tried = re.search(r"try +(--every) '(.+)'", ran.err)
    assert tried
    assert command("adapt", *given, "--window", "100 ms", *tried.groups(), cwd=tmp_path).code == 0


def test_the_page_has_a_table_of_the_adaptation(build: Build) -> None:
    found, page = build.report["adaptation"], (build.folder / "report.html").read_text()
    section = page.partition("<h2>Adaptation</h2>")[2].partition("</section>")[0]
    text = re.sub(r"<[^>]+>|&nbsp;|\s+", " ", section).replace("\u00a0", " ")
    for part in (
        ", ".join(METHODS),
        f"{SIZE} features of mean",
        f"{found['replayed']} calibration samples, {found['replayed'] * (SIZE + 1)} B",
        "pseudo-labels",
        f"{found['saved_bytes']} B",
        f"{found['l2_bytes'] / 1024:.2f} KiB",
    ):
        assert part in text, text


def test_the_header_has_the_bytes_of_a_saved_state(build: Build) -> None:
    """At compile time, and as an array's size."""
    cc = next(name for name in ("cc", "gcc", "clang") if shutil.which(name))
    code = '#include "model.h"\nunsigned char buffer[MODEL_ADAPT_SAVED_BYTES];\n'
    wanted = build.report["adaptation"]["saved_bytes"]
    code += f'_Static_assert(sizeof buffer == {wanted}, "");\n'
    words = [cc, "-std=c11", "-fsyntax-only", "-Isrc", "-xc", "-"]
    subprocess.run(words, cwd=build.folder, input=code, text=True, check=True)


@pytest.mark.parametrize("method", CLASSIFIERS)
def test_wrong_labels_gain_nothing(build: Build, method: str) -> None:
    """The network decides rightly what is held back: no classifier decides more."""
    windows, labels = drawn(build, 60, 7)
    right = [Window(w.features, label) for w, label in zip(windows, labels, strict=True)]
    answers = runner(build, "host")([*c.session(method, right, labels)])
    assert answers[-1].result == 0


def test_python_and_command_line(build: Build, tmp_path: Path) -> None:
    """A rotated electrode: one of three classes has become another's channel."""
    (x, y), (tx, ty), (ox, oy) = samples(120, 1, 1), samples(60, 2, 1), samples(60, 3)
    adapted = build.adapt(x, y, method="lda")
    by_python = 100 * np.mean(adapted.decide(tx) == ty)
    for name, arrays in {"new": (x, y), "rest": (tx, ty), "old": (ox, oy)}.items():
        np.savez(tmp_path / f"{name}.npz", input=arrays[0], label=arrays[1])
    given = ("--data", "new.npz", "--test", "rest.npz", "--old", "old.npz", "--method", "lda")
    ran = command("adapt", build.folder, *given, "--json", cwd=tmp_path)
    rows = ran.json["rows"]
    assert [row["windows"] for row in rows] == [15, 30, 60, 120]
    assert rows[-1]["accuracy_after"] == by_python > rows[-1]["accuracy_before"]
    timed = command("adapt", build.folder, *given, "--every", "0.1 s", "--json", cwd=tmp_path)
    assert [(row["seconds"], row["windows"]) for row in timed.json["rows"]] == [
        (1, 9), (2, 18), (4, 39), (7.5, 75)
    ]  # fmt: skip
    assert "seconds" in command("adapt", build.folder, *given, "--every", "1 s", cwd=tmp_path).out
    for every in ("1 ms", "100 s"):  # less than the shortest session, and more than the longest one
        whole = command("adapt", build.folder, *given, "--every", every, "--json", cwd=tmp_path)
        assert [row["windows"] for row in whole.json["rows"]] == [120]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A build that decides its classes, whose labels have numbers but no names."""
    torch.manual_seed(0)
    network = Network()
    x, y = map(torch.from_numpy, samples(300, 9))
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    adapt = {"methods": ["lda", "norm"], "channels": CHANNELS}
    return built(tmp_path_factory.mktemp("trained"), network, adapt)


def test_names_that_sort_otherwise_than_the_classes(trained: Build, tmp_path: Path) -> None:
    """Names of classes that the build does not know are numbered in alphabetical order: W209 as
    from `quantize`, with a remedy that leaves the right accuracy and no warning."""
    x, y = samples(90, 1)
    named = np.array(["rest", "wave", "fist"])[y]
    np.savez(tmp_path / "day.npz", input=x, label=named)
    given = ("adapt", trained.folder, "--data", "day.npz", "--test", "day.npz", "--method", "lda")
    ran = command(*given, cwd=tmp_path)
    assert "warning[W209]" in ran.err
    (lines,) = re.findall(r"try +(\[calib\]\n +classes = .*\n)", ran.err)
    assert tomllib.loads(lines)["calib"]["classes"] == ["rest", "wave", "fist"]
    for method in ("lda", "norm"):
        (warning,) = trained.adapt(x, named, method=method).warnings
        assert warning.code == "W209"
        assert lines in str(warning)
        assert not trained.adapt(x, y, method=method).warnings
    (tmp_path / "myoedge.toml").write_text(lines)
    ran = command(*given, "--json", cwd=tmp_path)
    assert "warning" not in ran.err
    assert ran.json["rows"][-1]["accuracy_before"] == 100


@applies("W212", "windows of", "all classes")
@pytest.mark.parametrize(("left", "told"), [((1,), "of 1 only"), ((0, 2), "of 0, 2 only")])
def test_sessions_that_lack_a_class(
    trained: Build, tmp_path: Path, left: tuple[int, ...], told: str
) -> None:
    x, y = samples(60, 1)
    kept = np.isin(y, left)
    np.savez(tmp_path / "part.npz", input=x[kept], label=y[kept])
    np.savez(tmp_path / "day.npz", input=x, label=y)
    given = ("adapt", trained.folder, "--data", "part.npz", "--test", "day.npz")
    told_by_command = command(*given, cwd=tmp_path).err
    assert "warning[W212]" in told_by_command
    assert told in told_by_command
    (warning,) = trained.adapt(x[kept], y[kept]).warnings
    assert warning.code == "W212"
    assert told in dict(warning.facts)["has"]
    whole = command(*given[:3], "day.npz", *given[4:], cwd=tmp_path).err
    assert "warning" not in whole


def test_the_tables_fit_a_terminal(build: Build, tmp_path: Path) -> None:
    x, y = samples(24, 1)
    np.savez(tmp_path / "day.npz", input=x, label=y)
    files = ("--data", "day.npz", "--test", "day.npz", "--old", "day.npz")
    given = (*files, "--on", "simulator", "--method", "prototypes", "--every", "50 ms")
    out = command("adapt", build.folder, *given, cwd=tmp_path).out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    for title in ("old session", "cycles a step", "cycles, end"):
        assert title in out


@pytest.mark.parametrize("option", ["--data", "--test", "--old"])
def test_missing_labels_name_their_option(build: Build, tmp_path: Path, option: str) -> None:
    x, y = samples(12, 1)
    np.savez(tmp_path / "day.npz", input=x, label=y)
    np.savez(tmp_path / "none.npz", input=x)
    files = {"--data": "day.npz", "--test": "day.npz", "--old": "day.npz", option: "none.npz"}
    given = [word for pair in files.items() for word in pair]
    ran = command("adapt", build.folder, *given, cwd=tmp_path)
    assert "E211" in ran.err
    assert {name for name in files if name in ran.err} == {option}


@pytest.mark.parametrize(
    "adapt",
    [
        {"methods": []},
        {"methods": ["lda"], "channels": CHANNELS},
        {"methods": ["lda"], "replay": "1KiB"},
        {"methods": ["norm"], "channels": CHANNELS, "layer": "mean"},
    ],
)
def test_a_key_that_no_method_reads(tmp_path: Path, adapt: dict[str, object]) -> None:
    has_remedy(tmp_path, adapt, "E232")


@pytest.mark.parametrize(
    "adapt",
    [
        {"methods": ["head"], "replay": "1 B"},
        {"methods": ["head"], "replay": CLASSES * SIZE - 1},
        {"methods": ["norm"]},
        {"methods": ["norm"], "channels": 5},
    ],
)
def test_a_value_that_does_not_fit(tmp_path: Path, adapt: dict[str, object]) -> None:
    has_remedy(tmp_path, adapt, "E267")


def has_remedy(tmp_path: Path, adapt: dict[str, object], code: str) -> None:
    """The remedy builds."""
    torch.manual_seed(0)
    with pytest.raises(MyoedgeError) as caught:
        built(tmp_path, Network(), adapt, simulate=False)
    assert caught.value.code == code
    line = tomllib.loads(caught.value.notice.tries[0].removeprefix("[adapt] "))
    built(tmp_path, Network(), {**adapt, **line}, simulate=False)


def test_errors_before_anything_runs(build: Build, tmp_path: Path) -> None:
    x, y = samples(6, 0)
    for labels, method, code in (
        (y[:3], "lda", "E218"),
        (y + 9, "lda", "E225"),
        (np.repeat(y[:, None], 2, 1), "lda", "E214"),
        (np.linspace(0, 1, 18).reshape(6, 3), "lda", "E214"),
        (y, "sgd", "E268"),
    ):
        with pytest.raises(MyoedgeError, match=code) as caught:
            build.adapt(x, labels, method=method)
    assert caught.value.notice.tries == ("method prototypes",)
    for name, near in (("LDA", "lda"), ("prototype", "prototypes"), ("Norm", "norm")):
        with pytest.raises(MyoedgeError, match="E268") as caught:
            build.adapt(x, y, method=name)
        assert caught.value.notice.tries == (f"method {near}",)
    for name, near in (("board", "host"), ("Simulator", "simulator")):
        with pytest.raises(MyoedgeError, match="E204") as caught:
            runner(build, name)
        assert caught.value.notice.tries == (f"--on {near}",)
    torch.manual_seed(0)
    with pytest.raises(MyoedgeError, match="E267") as caught:
        built(tmp_path, Network(), {"layer": "none"}, simulate=False)
    line = caught.value.notice.tries[0].removeprefix("[adapt] ")
    built(tmp_path, Network(), tomllib.loads(line), simulate=False)


def test_a_method_that_the_build_lacks(tmp_path: Path) -> None:
    """The remedy is a line of myoedge.toml, with which the build has the method."""
    torch.manual_seed(0)
    (tmp_path / "more").mkdir()
    build = built(tmp_path, Network(), {}, simulate=False)
    x, y = samples(24, 1, 1)
    assert np.array_equal(
        build.adapt(x, y).decide(x), build.adapt(x, y, method="prototypes").decide(x)
    )
    with pytest.raises(MyoedgeError, match="E268") as caught:
        build.adapt(x, y, method="Lda")
    line, other = caught.value.notice.tries
    assert other == "method prototypes"
    table = line.removeprefix("[adapt] ").removesuffix(" in myoedge.toml, and build again")
    assert table != line
    again = built(tmp_path / "more", Network(), tomllib.loads(table), simulate=False)
    assert {*again.adapt(x, y, method="lda").decide(x)} <= {*range(CLASSES)}


@pytest.mark.parametrize("methods", ["lda", "LDA", ["Lda"], ["protoypes"]])
def test_remedies_of_method_names_in_a_file(methods: str | list[str]) -> None:
    with pytest.raises(MyoedgeError, match="E232") as caught:
        from_tables({"adapt": {"methods": methods}}, "myoedge.toml")
    (line,) = caught.value.notice.tries
    if isinstance(methods, str):
        found = tomllib.loads(line.removeprefix("[adapt] "))["methods"]
    else:
        old, found = line.split("  ->  ")
        assert json.loads(old) == methods[0]
        found = [json.loads(found)]
    adapt = from_tables({"adapt": {"methods": found}}, "myoedge.toml").table("adapt")
    assert adapt
    assert adapt.methods == (["prototypes"] if methods == ["protoypes"] else ["lda"])


def test_remedies_of_arguments_are_python(build: Build) -> None:
    """Each is an expression of the argument's name, with which the call works."""
    x, y = samples(12, 1)
    for labels in (y[None], y + 9, np.repeat(y[:, None], 2, 1), np.eye(CLASSES)[y] * 0.5, y + 0.5):
        with pytest.raises(MyoedgeError) as caught:
            build.adapt(x, labels, method="lda")
        line, *_ = caught.value.notice.tries
        code = line.removeprefix("labels=").partition(",  (")[0].partition("  (")[0]
        code = code.partition(", if")[0]
        again = eval(code, {"labels": labels, "int": int})
        assert build.adapt(x, again, method="lda").judged
    with pytest.raises(MyoedgeError, match="E218") as caught:
        build.adapt(x, y[:5])
    assert caught.value.notice.tries == ("labels: 12 of them, in the order of the windows or rows",)
    for wrong in ([x[0], x[1][:2]], [], None):
        with pytest.raises(MyoedgeError) as caught:
            build.adapt(wrong, y[:2], method="lda")
        assert not any("calib" in line for line in caught.value.notice.tries)


@pytest.mark.parametrize("windows", [3, 2.5, None, "x", [], {}, object()])
def test_what_is_no_windows_is_told_with_a_code(build: Build, windows: Any) -> None:
    """The same for a session and for its result, which needs no classes."""
    x, y = samples(24, 1)
    adapted = build.adapt(x, y, method="lda")
    told = []
    for call in (lambda: adapted.decide(windows), lambda: build.adapt(windows, y)):
        with pytest.raises(MyoedgeError) as raised:
            call()
        told.append(raised.value.code)
        facts = dict(raised.value.notice.facts)
        assert {"needs", "has"} <= {*facts} or "cause" in facts
        assert raised.value.notice.tries
    assert told[0] in ("E213", "E214", "E255")
    assert told[0] == told[1]


def test_a_build_for_this_computer_is_not_simulated(tmp_path: Path) -> None:
    torch.manual_seed(0)
    build = built(tmp_path, Network(), {}, target="host", simulate=False)
    x, y = samples(24, 1, 1)
    day = {"input": x, "label": y}
    assert myoedge.adapt(build, data=day, test=day, methods=["prototypes"]).sessions[-1].gained
    with pytest.raises(MyoedgeError, match="E240"):
        myoedge.adapt(build, data=day, test=day, on="simulator")


def test_one_window_is_a_session(build: Build) -> None:
    """With or without an axis of windows, its class as a number or a list: nothing comes of it."""
    (window, *_), _ = samples(1, 1)
    for windows, labels in ((window, 0), (window[None], 0), (window, [0]), (window[None], [0])):
        assert build.adapt(windows, labels, method="lda").classifier is None


def test_norm_alone_needs_no_layer(tmp_path: Path) -> None:
    """The only layer reads the input; other methods have no features then."""
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(CHANNELS * LENGTH, CLASSES))
    with pytest.raises(MyoedgeError, match="E267"):
        built(tmp_path, linear, {"methods": ["lda"]}, simulate=False)
    adapt = {"methods": ["norm"], "channels": CHANNELS}
    build = built(tmp_path, linear, adapt, simulate=False)
    found = build.report["adaptation"]
    assert (found["layer"], found["features"]) == (None, 0)
    x, y = samples(24, 3)
    gains = np.array([0.3, 2.5, 0.6, 1.8], np.float32)[:, None]
    (name,) = build.network.graph.inputs
    inputs = [c.infer(build.network.input_integers(name, w[None])) for w in x * gains]
    steps = [*c.session("norm", inputs, [-1] * 24), *inputs, Command(c.SAVE)]
    answers = runner(build, "host")(steps)
    on_chip = runner(build, "simulator")(steps)
    assert [(a.result, a.content) for a in on_chip] == [(a.result, a.content) for a in answers]
    assert len(answers[-1].content) == found["saved_bytes"]
    decided = build.adapt(x * gains, y).decide(x * gains)
    assert decided.tolist() == [answer.result for answer in answers[-25:-1]]
    loaded = runner(build, "host")([Command(c.LOAD, 0, answers[-1].content), *inputs])
    assert [a.result for a in loaded[1:]] == decided.tolist()


def test_power_cuts_leave_the_old_classifier_or_the_new_one(build: Build) -> None:
    """python -m tests.storage.power_cuts draws a thousand."""
    found = [*outcomes(build, first_record(build), 30, 3)]
    assert {*found} == {"old", "new"}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Inputs of 16 bits."""
    torch.manual_seed(0)
    adapt = {"methods": ["norm"], "channels": CHANNELS}
    quant = {"x": {"activations": 16}}
    return built(tmp_path_factory.mktemp("wide"), Network(), adapt, quant, simulate=False)


def inputs_of(build: Build, count: int, seed: int) -> list[Array]:
    """Integers over all of the input's type, one channel constant."""
    norm = settings_of(build).norm
    assert norm
    limits = np.iinfo(norm.dtype)
    shape = (count, 1, CHANNELS, LENGTH)
    x = np.random.default_rng(seed).integers(limits.min, limits.max + 1, shape)
    x[:, :, 1] = limits.max
    return [*x.astype(norm.dtype)]


@pytest.mark.parametrize("name", ["build", "wide"])
def test_norm_has_the_references_decisions(name: str, request: pytest.FixtureRequest) -> None:
    """The normalised inputs' features and decisions, and what is saved."""
    build = request.getfixturevalue(name)
    norm = settings_of(build).norm
    assert norm
    inputs, tested = inputs_of(build, 9, 11), inputs_of(build, 5, 12)
    steps = [*c.session("norm", [c.infer(x) for x in inputs], [-1] * len(inputs))]
    windows = [one for x in tested for one in (c.infer(x), Command(c.CLASS))]
    sums, expected = no_norm_sums(norm), []
    for x in inputs:
        sums = added(norm, sums, x)
    changed = normalization(norm, sums)
    for x in tested:
        values = run_int(
            build.network.steps, build.network.constants, {"x": changed.apply(norm, x)}
        )
        layer = settings_of(build).name  # "" of a build with norm only
        features = values[layer].reshape(-1).tolist() if layer else []
        expected.append((features, values[build.network.graph.outputs[0]].argmax()))
    saved = {}
    for backend in ("host", "simulator"):
        run = runner(build, backend)
        answers = run([*steps, *windows, Command(c.SAVE)])
        assert answers[len(steps) - 1].result == 1
        found = answers[len(steps) : -1 : 2]
        decided = answers[len(steps) + 1 : -1 : 2]
        assert [(c.inferred(x).features.tolist(), x.result) for x in found] == expected
        assert [x.result for x in decided] == [decision for _, decision in expected]
        saved[backend] = answers[-1].content
        again = run([Command(c.LOAD, 0, saved[backend]), *windows, Command(c.SAVE)])
        assert [x.result for x in again[1:-1]] == [x.result for x in answers[len(steps) : -1]]
        assert again[-1].content == saved[backend]
        kept = np.frombuffer(saved[backend], np.int32, 1 + 2 * CHANNELS, len(saved[backend]) - 40)
        assert kept.tolist() == [1, *changed.means, *changed.gains]
    assert saved["host"] == saved["simulator"]


@pytest.mark.parametrize("name", ["build", "wide"])
def test_sums_of_norm_are_the_references(name: str, request: pytest.FixtureRequest) -> None:
    """After every window."""
    build = request.getfixturevalue(name)
    norm = settings_of(build).norm
    assert norm
    inputs = inputs_of(build, 6, 13)
    steps = [*c.session("norm", [c.infer(x) for x in inputs], [-1] * len(inputs))][:-1]
    stated = [one for step in steps for one in (step, Command(c.STATE))]
    answers = runner(build, "simulator")(stated)[1::2]
    sums = no_norm_sums(norm)
    for number, x in enumerate([None, *inputs]):
        sums = sums if x is None else added(norm, sums, x)
        state = norm_state(settings_of(build), answers[2 * number].content)
        assert state["norm_count"] == sums.count
        assert state["norm_sums"].tolist() == [*sums.sums, *sums.squares]
    run = runner(build, "host")
    run(steps)
    state = norm_state(settings_of(build), host_state(build))
    assert state["norm_sums"].tolist() == [*sums.sums, *sums.squares]


def test_norm_gives_the_network_back_a_louder_session(build: Build) -> None:
    """A gain of each channel and an offset, which only norm undoes; without windows it does not."""
    x, y = samples(60, 21)
    gains = np.array([0.3, 2.5, 0.6, 1.8], np.float32)[:, None]
    run = runner(build, "host")
    integers = [build.network.input_integers("x", window[None] * gains) for window in x]
    plain = run([c.infer(build.network.input_integers("x", w[None])) for w in x])
    usual = np.mean([a.result for a in plain] == y)
    assert run([*c.session("norm", [], [])])[-1].result == 0
    before = np.mean([a.result for a in run([c.infer(i) for i in integers])] == y)
    session = [*c.session("norm", [c.infer(i) for i in integers], [-1] * 60)]
    after = run([*session, *(c.infer(i) for i in integers)])[len(session) :]
    same = np.mean([a.result for a in after] == np.array([a.result for a in plain]))
    assert same > 0.9, (usual, before)
    adapted = build.adapt(x * gains, y, method="norm")
    assert adapted.decide(x * gains).tolist() == [a.result for a in after]


@pytest.mark.parametrize("softmax", [False, True])
def test_pseudo_labels_are_confident_decisions(tmp_path: Path, softmax: bool) -> None:
    """Each label by the reference's confidence, then the session's classifier and decisions."""
    torch.manual_seed(2)
    network: torch.nn.Module = Network()
    with torch.no_grad():
        network.last.weight.mul_(8)
        network.last.bias.zero_()
    if softmax:
        network = torch.nn.Sequential(network, torch.nn.Softmax(-1))
    build = built(tmp_path, network, {"methods": ["lda"], "pseudo": 0.8}, simulate=False)
    pseudo, net = settings_of(build).pseudo, build.network
    assert pseudo
    assert pseudo.is_probability == softmax
    (name,) = net.graph.inputs
    inputs = [net.input_integers(name, 2 * window[None]) for window in samples(40, 31)[0]]
    output = net.graph.outputs[0]
    state = session.begin(settings_of(build), "lda", is_pseudo=True)
    labels = []
    for x in inputs:
        values = run_int(net.steps, net.constants, {name: x})
        labels.append(pseudo.label(values[output]))
        features, decision = values[settings_of(build).name].reshape(-1), values[output].argmax()
        if labels[-1] >= 0:
            state = session.window(state, features, int(decision), labels[-1])
    assert 0 < labels.count(-1) < len(labels)
    classifier = session.end(state)
    steps = [*c.session("lda", [c.infer(x) for x in inputs], [c.PSEUDO] * len(inputs))]
    for backend in ("host", "simulator"):
        answers = runner(build, backend)([*steps, Command(c.SAVE)])
        taken = [answer.result >= 0 for answer in answers[2 : len(steps) - 1 : 2]]
        assert taken == [label >= 0 for label in labels]
        assert answers[-2].result == (classifier is not None)
        if classifier is not None:
            weights = np.frombuffer(answers[-1].content, np.int16, CLASSES * SIZE, 24 + 4 * CLASSES)
            np.testing.assert_array_equal(weights, classifier.weights.reshape(-1))
