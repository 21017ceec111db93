# SPDX-License-Identifier: Apache-2.0
"""Adaptation of streams: the features of a pass are a window, on the host and on the simulated
chip as in the NumPy reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.backends.build import Build
from myoedge.building.config import Found, from_tables
from myoedge.errors import MyoedgeError
from myoedge.extensions.adaptation import commands as c
from myoedge.extensions.adaptation import session
from myoedge.extensions.adaptation.commands import Command, Window
from myoedge.extensions.adaptation.norm import NormSums, added, no_norm_sums, normalization
from myoedge.extensions.adaptation.record import pooled
from myoedge.extensions.adaptation.running import inferences, runner, settings_of
from myoedge.extensions.adaptation.table import CLASSIFIERS, METHODS
from myoedge.numerics.arrays import Array
from myoedge.quantization.samples import Data
from myoedge.streaming.stream import Stream, passes
from tests.conftest import myoedge as command
from tests.conftest import save_exported, thinned
from tests.extensions.adaptation.adapting import (
    assert_equal,
    host_state,
    norm_state,
    parsed,
    reference_states,
)

CLASSES, CHANNELS, FRAMES, LENGTH = 3, 4, 5, 60


class Causal(nn.Module):
    """A causal convolution, a GRU and a linear layer for every frame.

    last    whether channels are the last axis
    ahead   frames of padding in front; with fewer than 3 a pass begins before the first frame
    """

    def __init__(self, *, last: bool, ahead: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv1d(CHANNELS, 8, 4)
        self.rnn = nn.GRU(8, 8, batch_first=True)
        self.classes = nn.Linear(8, CLASSES)
        self.last, self.ahead = last, ahead

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.conv(nn.functional.pad(x, (self.ahead, 0)))).transpose(1, 2)
        scores = self.classes(self.rnn(y)[0])
        return scores if self.last else scores.transpose(1, 2)


class Unpadded(nn.Module):
    """Convolutions without padding: the first frames have no results."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(CHANNELS, 72, 9), nn.ReLU(), nn.Conv1d(72, CLASSES, 4)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def recordings(count: int, seed: int, gain: float = 1.0) -> tuple[Array, Array]:
    """Recordings of noise, a channel louder for each class."""
    rng, labels = np.random.default_rng(seed), np.arange(count) % CLASSES
    loud = np.ones((count, 1, CHANNELS, 1))
    loud[np.arange(count), 0, labels] = 5
    x = rng.normal(0, gain, (count, 1, CHANNELS, LENGTH)) * loud
    return x.astype(np.float32), labels


def built(folder: Path, network: nn.Module, **adapt: object) -> Build:
    torch.manual_seed(0)
    example = (torch.zeros(1, CHANNELS, LENGTH),)
    model = save_exported(network.eval(), example, folder / "model.pt2")
    x, y = recordings(18, 0)
    tables = {"adapt": adapt, "stream": {"axis": 2, "frames": FRAMES}}
    return myoedge.build(
        model,
        calib={"input": x, "label": y},
        config=Found(from_tables(tables, "myoedge.toml"), folder),
        stream=True,
        output=folder / "build",
        simulate=False,
    )


NETWORKS = {
    "channels_first": lambda: Causal(last=False),
    "channels_last": lambda: Causal(last=True),
    "early": lambda: Causal(last=True, ahead=0),
    "unpadded": Unpadded,
}


@pytest.fixture(
    scope="module", params=thinned(["early", "channels_first", "unpadded", "channels_last"])
)
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    torch.manual_seed(0)
    adapt = {"methods": [*METHODS], "replay": "2KiB", "channels": CHANNELS}
    return built(tmp_path_factory.mktemp("stream"), NETWORKS[request.param](), **adapt)


def stream_of(build: Build) -> Stream:
    assert build.stream
    return build.stream


def reference(stream: Stream, x: Array, norm: object = None) -> Iterator[Mapping[str, Array]]:
    """All tensors of each pass with results, of integers [1, channels, frames]."""
    (port,) = stream.inputs
    ahead = [(stream.early * (d == port.axis), 0) for d in range(x.ndim)]
    padded = np.pad(x, ahead, constant_values=port.fill)
    for one in passes(replace(stream, early=0), {port.name: padded}):
        if one.ready[0].size:
            yield one.values


def windows(build: Build, x: Sequence[Array]) -> list[Window]:
    """Features and decisions of all passes of recordings, from the reference."""
    stream, adaptation = stream_of(build), settings_of(build)
    (port,) = stream.outputs
    found = []
    for recording in x:
        for values in reference(stream, recording):
            features = pooled(values[adaptation.name].reshape(-1, adaptation.features))
            last = np.take(values[port.name], port.frames - 1, port.axis)
            found.append(Window(features, int(last.argmax())))
    return found


def given(build: Build, count: int, seed: int) -> tuple[list[Array], list[Command], list[int]]:
    """Recordings as integers, and the commands and classes of their passes."""
    x, y = recordings(count, seed)
    name = stream_of(build).inputs[0].name
    found = inferences(build, Data({name: x}, y, "drawn"))
    integers = [build.network.input_integers(name, one) for one in x]
    return integers, [one for one, _ in found], [label for _, label in found]


def test_a_window_is_a_pass(build: Build, request: pytest.FixtureRequest) -> None:
    assert (stream_of(build).early > 0) == ("early" in request.node.name)
    x, commands, labels = given(build, 3, 1)
    expected = windows(build, x)
    assert len(expected) == len(labels) > 20
    for backend in ("host", "simulator"):
        found = [c.inferred(answer) for answer in runner(build, backend)(commands)]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.features, other.features)
            assert one.decision == other.decision


def test_what_is_replayed(build: Build) -> None:
    """Equal numbers of passes of each class, all of the calibration recordings."""
    adaptation, stream = settings_of(build), stream_of(build)
    each = min(2048 // adaptation.features // CLASSES, 6 * (LENGTH // FRAMES))
    assert 0.7 * each < np.bincount(adaptation.replay_labels).min()
    assert np.bincount(adaptation.replay_labels).max() <= each
    name = stream.inputs[0].name
    x, y = recordings(18, 0)
    for label in range(CLASSES):
        known = windows(build, [build.network.input_integers(name, one) for one in x[y == label]])
        rows = {tuple(window.features.tolist()) for window in known}
        kept = adaptation.replay[adaptation.replay_labels == label]
        assert {tuple(row.tolist()) for row in kept} <= rows


@pytest.mark.parametrize("method", CLASSIFIERS)
def test_every_state_is_the_references(build: Build, method: str) -> None:
    x, commands, labels = given(build, 3, 2)
    steps = [*c.session(method, commands, labels)][:-1]
    stated = [one for step in steps for one in (step, Command(c.STATE))]
    on_chip = runner(build, "simulator")(stated)[1::2]
    expected = [*reference_states(settings_of(build), method, windows(build, x), labels)]
    for answer, state in zip(on_chip[::2], expected, strict=True):
        assert_equal(parsed(settings_of(build), answer.content), state)
    run = runner(build, "host")
    for count in (0, 1, len(labels)):
        run(steps[: 1 + 2 * count])
        assert_equal(parsed(settings_of(build), host_state(build)), expected[count])


@pytest.mark.parametrize("method", CLASSIFIERS)
def test_every_weight_and_decision_is_the_references(build: Build, method: str) -> None:
    x, commands, labels = given(build, 6, 3)
    labels = [(label + 1) % CLASSES for label in labels]
    tested, more, _ = given(build, 2, 4)
    state = session.begin(settings_of(build), method)
    for window, label in zip(windows(build, x), labels, strict=True):
        state = session.window(state, window.features, window.decision, label)
    classifier = session.end(state)
    assert classifier is not None
    found = np.array([window.features for window in windows(build, tested)]).astype(int)
    expected = classifier.decide(found - settings_of(build).zero_point).tolist()
    steps = [*c.session(method, commands, labels), *c.decisions(more), Command(c.SAVE)]
    for backend in ("host",) if method == "head" else ("host", "simulator"):
        answers = runner(build, backend)(steps)
        assert [one.result for one in answers[-2 * len(more) : -1 : 2]] == expected
        saved = answers[-1].content
        weights = np.frombuffer(saved, np.int16, classifier.weights.size, 24 + 4 * CLASSES)
        np.testing.assert_array_equal(weights, classifier.weights.reshape(-1))


def test_norm_rescales_the_inputs_of_passes(build: Build) -> None:
    """Those ahead of a stream's first frame too."""
    norm, stream = settings_of(build).norm, stream_of(build)
    assert norm
    (port,), (output,) = stream.inputs, stream.outputs
    x, commands, labels = given(build, 3, 5)
    sums = [no_norm_sums(norm)]
    for one in x:
        for values in reference(stream, one):
            sums.append(added(norm, sums[-1], values[port.name]))
    assert_sums(build, commands, labels, sums)
    changed, (tested, more, _) = normalization(norm, sums[-1]), given(build, 2, 6)
    expected = []
    for one in tested:
        ahead = [(stream.early * (d == port.axis), 0) for d in range(one.ndim)]
        padded = np.pad(one, ahead, constant_values=port.fill)
        long = replace(norm, inner=padded.shape[port.axis])
        rescaled = {port.name: changed.apply(long, padded)}
        for run in passes(replace(stream, early=0), rescaled):
            if run.ready[0].size:
                last = np.take(run.values[output.name], output.frames - 1, output.axis)
                expected.append(int(last.argmax()))
    steps = [*c.session("norm", commands, labels), *more]
    for backend in ("host", "simulator"):
        answers = runner(build, backend)(steps)
        assert [one.result for one in answers[-len(more) :]] == expected


def assert_sums(
    build: Build, commands: Sequence[Command], labels: Sequence[int], sums: Sequence[NormSums]
) -> None:
    """After every pass, and the last on the host too."""
    steps = [*c.session("norm", commands, labels)][:-1]
    stated = [one for step in steps for one in (step, Command(c.STATE))]
    on_chip = [x.content for x in runner(build, "simulator")(stated)[1::2]][::2]
    runner(build, "host")(steps)
    for content, expected in zip([*on_chip, host_state(build)], [*sums, sums[-1]], strict=True):
        state = norm_state(settings_of(build), content)
        assert state["norm_count"] == expected.count
        assert state["norm_sums"].tolist() == [*expected.sums, *expected.squares]


def test_python_and_command_line(build: Build, tmp_path: Path) -> None:
    """Recordings with a class each, and with one of each output frame."""
    (x, y), (tx, ty) = recordings(12, 7), recordings(6, 8)
    stream = stream_of(build)
    ready = LENGTH + stream.early - stream.warmup
    adapted = build.adapt(x, (y + 1) % CLASSES, method="lda")
    decided = adapted.decide(tx)
    per_recording = decided.reshape(6, -1)
    accuracy = 100 * np.mean(per_recording == (ty[:, None] + 1) % CLASSES)
    np.savez(tmp_path / "new.npz", input=x, label=(y + 1) % CLASSES)
    each = np.repeat((ty[:, None] + 1) % CLASSES, ready, 1)
    np.savez(tmp_path / "rest.npz", input=tx, label=each)
    files = ("--data", "new.npz", "--test", "rest.npz", "--method", "lda", "--method", "norm")
    ran = command("adapt", build.folder, *files, "--json", cwd=tmp_path)
    rows = ran.json["rows"]
    assert rows[3]["accuracy_after"] == accuracy > 70 > rows[3]["accuracy_before"]
    assert rows[3]["windows"] == 12 * per_recording.shape[1]


def test_short_recordings_are_no_windows(build: Build) -> None:
    x, y = recordings(3, 9)
    with pytest.raises(MyoedgeError, match="E215"):
        build.adapt(x[..., : FRAMES - 1], y, method="lda")


def test_labels_of_passes_are_refused(tmp_path: Path) -> None:
    """Replay reads a class of each recording, or of each output frame."""
    torch.manual_seed(0)
    x, y = recordings(6, 0)
    model = save_exported(Causal(last=True), (torch.zeros(x.shape[1:]),), tmp_path / "model.pt2")
    tables = {"adapt": {"methods": ["head"], "replay": "2KiB"}, "stream": {"frames": FRAMES}}
    config = Found(from_tables(tables, "myoedge.toml"), tmp_path)
    options = {"config": config, "stream": True, "simulate": False}
    labels = np.repeat(y[:, None], LENGTH // FRAMES, 1)
    with pytest.raises(MyoedgeError, match="E267") as caught:
        myoedge.build(model, calib={"input": x, "label": labels}, output=tmp_path / "no", **options)
    assert f"[samples, {LENGTH}]" in str(caught.value)
    assert "label=label[:, -1]" in caught.value.notice.tries[0]
    for right in (labels[:, -1], np.repeat(y[:, None], LENGTH, 1)):
        calib = {"input": x, "label": right}
        build = myoedge.build(model, calib=calib, output=tmp_path / str(right.ndim), **options)
        assert build.report["adaptation"]["replayed"] > 0


def test_one_recording_is_a_session(build: Build) -> None:
    (one, *_), _ = recordings(1, 9)
    for x, y in ((one, 0), (one[None], 0), (one, [0])):
        assert build.adapt(x, y, method="lda").classifier is None
