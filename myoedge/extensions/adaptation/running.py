# SPDX-License-Identifier: Apache-2.0
"""Execution of adaptation commands of a build, on the host and in a program for its chip."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.backends import host
from myoedge.backends.names import backends
from myoedge.backends.runner import Runner, check_chip, runner_of
from myoedge.backends.samples import given_data
from myoedge.errors import MyoedgeError, Notice, command, set_in
from myoedge.extensions.adaptation import commands as c
from myoedge.extensions.adaptation import session
from myoedge.extensions.adaptation.commands import Answer, Command
from myoedge.extensions.adaptation.part import AdaptPart
from myoedge.extensions.adaptation.record import Adaptation, Classifier, label_at
from myoedge.extensions.adaptation.table import METHODS
from myoedge.extensions.adaptation.warnings import missing_classes, unlike_decisions
from myoedge.numerics.arrays import Array
from myoedge.quantization.evaluation import GIVEN
from myoedge.quantization.labels import is_whole
from myoedge.quantization.recordings.reading import LABEL, MAKE_CALIBRATION, UNLABELLED
from myoedge.quantization.recordings.sources import AS_GIVEN, RETURNS, read
from myoedge.quantization.samples import Data
from myoedge.streaming.stream import frame_shapes, frames_to_results, ready_specs
from myoedge.system import tools
from myoedge.targets import find_chip

if TYPE_CHECKING:
    from myoedge.backends.build import Build

ADAPT_TABLE = "[adapt] in myoedge.toml, a line of its own, and build again"
SENSOR_JSON = "sensor.json"  # in builds with --app sensor

Answers = list[Answer]
Run = Callable[[Sequence[Command]], Answers]


def settings_of(build: Build) -> Adaptation:
    """Return the settings of a build's adaptation. Errors: E268 a build without [adapt]."""
    part = build.part("adapt")
    if part is None:
        title, tries = f"{build.folder.name} does not adapt", [ADAPT_TABLE]
        raise MyoedgeError("E268", title, {"needs": "a build with [adapt]"}, tries)
    assert isinstance(part, AdaptPart)
    return part.adaptation


def runner(build: Build, backend: str) -> Run:
    """Return a function that runs adaptation commands on a backend and returns their answers; each
    call starts with the built classifier.

    backend   "host", or one that executes programs
    Errors: E204 no such backend, E240 a build for another target, E268 a build without [adapt].
    """
    settings_of(build)
    if backend == "host":
        return on_host(build)
    able = ("host", *(name for name in backends() if runner_of(name).execute))
    if backend not in able:
        title = f"adaptation does not run on {backend}"
        near = get_close_matches(backend.lower(), able, 1) or able
        raise MyoedgeError("E204", title, {"has": ", ".join(able)}, [f"--on {near[0]}"])
    check_chip(build, backends()[backend])
    runner_of(backend).find()
    return in_program(build, runner_of(backend))


def on_host(build: Build) -> Run:
    """Return a function that runs adaptation commands in the generated C on this computer, and
    returns their answers."""

    def run(commands: Sequence[Command]) -> Answers:
        _call_name(build, "me_adapt_reset")
        if build.stream is not None:
            build.reset()
        return [_run_command(build, command) for command in commands]

    return run


NAMES = {
    c.BEGIN: "me_adapt_begin",
    c.WINDOW: "me_adapt_window",
    c.END: "me_adapt_end",
    c.CLASS: "me_adapt_class",
}


def _run_command(build: Build, command: Command) -> Answer:
    """Run one adaptation command in the generated C; builds with the same C share its state."""
    number, content = command.number, command.content
    if number in NAMES:
        given = (command.argument,) if number in (c.BEGIN, c.WINDOW) else ()
        return Answer(_call_name(build, NAMES[number], *given))
    if number == c.SAVE:
        buffer = ctypes.create_string_buffer(c.saved_bytes(settings_of(build)))
        return Answer(_call_name(build, "me_adapt_save", buffer), buffer.raw)
    if number == c.LOAD:
        return Answer(_call_name(build, "me_adapt_load", content, len(content)))
    if number == c.TAKE:
        _call_name(build, "me_adapt_take_features", content)
        _call_name(build, "me_adapt_take_decision", command.argument)
        return Answer(0)
    return _inferences_of_command(build, command)


def _inferences_of_command(build: Build, command: Command) -> Answer:
    network, name = build.network, build.frame_inputs[0]
    numbers = np.frombuffer(command.content, network.dtype(name))
    if build.stream is None:
        build.run_raw([numbers.reshape(network.graph.shape(name))])
    else:
        if command.argument:
            build.reset()
        for frame in numbers.reshape(-1, *frame_shapes(build.stream)[name]):
            host.push(build.library, [frame], ready_specs(build.stream), l3=build.host_image)
    features = (ctypes.c_int8 * settings_of(build).features).in_dll(
        build.library.handle, "me_adapt_features"
    )
    return Answer(_call_name(build, "me_adapt_network_class"), bytes(features))


def _call_name(build: Build, name: str, *arguments: Any) -> int:
    function = ctypes.CFUNCTYPE(ctypes.c_int32, *map(_argument_type, arguments))
    with build.library.lock:
        return int(function((name, build.library.handle))(*arguments))


def _argument_type(argument: object) -> Any:
    return ctypes.c_int32 if isinstance(argument, int) else ctypes.c_void_p


def in_program(build: Build, backend: Runner) -> Run:
    """Return a function commands -> answers that runs adaptation commands in the build's program of
    sessions.

    backend   that executes programs
    """
    execute = backend.execute
    assert execute is not None

    def run(commands: Sequence[Command]) -> Answers:
        with tools.scratch() as folder:
            (folder / "adapt.bin").write_bytes(c.packed(commands))
            for name, image in build.images.items():
                (folder / name).write_bytes(image)
            code, printed = execute(build, AdaptPart.name, folder)
            if code != 0:
                facts = {"exit code": code, "printed": printed.strip()[-400:]}
                raise MyoedgeError("E711", "the firmware returned an error", facts)
            return [*c.unpacked((folder / "adapted.bin").read_bytes())]

    return run


def inferences(build: Build, data: Data) -> list[tuple[Command, int]]:
    """Return (inference command, class) for each sample, or for each pass of a stream's recordings
    that gives results.

    data   floats, with one class label per sample or per output frame of a recording
    Errors: E214 labels that are no classes, E215 recordings that are too short for results.
    """
    name = build.frame_inputs[0]
    assert data.labels is not None
    _check_classes(build, data)
    found = [
        one
        for x, label in zip(data.inputs[name], data.labels, strict=True)
        for one in _windows_of_sample(build, build.network.input_integers(name, x), label)
    ]
    if not found:
        tries = ["longer recordings", "[stream] frames: fewer of them are a pass"]
        raise MyoedgeError("E215", f"{data.source}: no recording gives results", tries=tries)
    return found


def _check_classes(build: Build, data: Data) -> None:
    """Raise E214 if labels are not one class per sample, recording, or output frame of a
    recording."""
    labels = np.asarray(data.labels)
    counts, needs = range(1, 2), "integers [samples], a class of each"
    if build.stream is not None and labels.size > len(labels):
        first = data.inputs[build.frame_inputs[0]][0]
        ready = max((n for n, _ in frames_to_results(build.stream, first)), default=0)
        counts = range(ready, ready + build.stream.outputs[0].frames)  # the last pass may be short
        needs += f"; or [samples, {ready}], of each output frame"
    if labels.dtype.kind != "i" or labels.size // len(labels) not in counts:
        raise _no_classes_error(data.source, labels, needs)


def _no_classes_error(source: str, labels: Array, needs: str) -> MyoedgeError:
    one = "label[:, -1]" if labels.dtype.kind == "i" else "label.argmax(axis=1)"
    one = one if labels.ndim > 1 else "label.astype(int)"
    facts = {"needs": needs, "has": f"{labels.dtype} {[*labels.shape]}"}
    tries = [f"label={one}  (a class of each sample)"]
    return MyoedgeError("E214", f"{source}: labels are no classes of windows", facts, tries)


def _windows_of_sample(build: Build, x: Array, label: Array) -> Iterator[tuple[Command, int]]:
    if build.stream is None:
        yield c.infer(x), label_at(label, 1)
        return
    starts = True
    for ready, frames in frames_to_results(build.stream, x):
        yield c.infer(frames, starts=starts), label_at(label, ready)
        starts = False


def windows_of(run: Run, commands: Sequence[Command]) -> list[c.Window]:
    """Run inference commands; return features and decision of each window.

    run        function from `runner`
    commands   inference commands, from `infer`
    """
    return [c.inferred(answer) for answer in run(commands)]


def check_method(build: Build, method: str) -> None:
    """Raise E268 for a method that the build does not support; it names the nearest one."""
    supported = settings_of(build).methods
    if method in supported:
        return
    near = next(iter(get_close_matches(str(method).lower(), METHODS, 1, 0.5)), supported[0])
    wanted = ", ".join(f'"{name}"' for name in (*supported, near))
    line = f"[adapt] methods = [{wanted}] in myoedge.toml, and build again"
    tries = [f"method {near}"] if near in supported else [line, f"method {supported[0]}"]
    facts = {"has": ", ".join(supported)}
    raise MyoedgeError("E268", f"the build has no method {method}", facts, tries)


def check_line(build: Build) -> None:
    """Raise E268 for a build without the sensor application, which reads commands of a session."""
    if SENSOR_JSON not in build.digests:
        title = f"{build.folder.name} has no sensor application, which takes labels on its line"
        tries = [command("build", "MODEL", "--calib", "FILE", "--app", "sensor")]
        chip = find_chip(str(build.manifest["target"]))
        if chip.program is None or not chip.program.applications:
            backend = (*chip.runners, "host")[0]
            recorded = ("--data", "NEW", "--test", "OTHER", "--on", backend)
            tries = [command("adapt", build.folder, *recorded)]
        raise MyoedgeError("E268", title, {"needs": "a build with --app sensor"}, tries)


@dataclass(frozen=True)
class AdaptedNetwork:
    """A build with the classifier from a session of adaptation.

    build        the build
    classifier   the new classifier; None: the session gained no accuracy
    normalised   what me_adapt_save gives after a session of norm; None after one of other methods
    judged       whether windows were held back, which evaluated the new classifier
    warnings     W212 classes without windows; W207, W209 about the windows and their labels
    """

    build: Build
    classifier: Classifier | None
    normalised: bytes | None = None
    judged: bool = False
    warnings: tuple[Notice, ...] = ()

    def decide(self, windows: Sequence[Array]) -> Array:
        """Return the predicted class of each window (floats); for a stream, of each pass of the
        recordings that gives results."""
        found, _ = _inferences_of_windows(self.build, windows)
        run, commands = on_host(self.build), [command for command, _ in found]
        loaded = [] if self.normalised is None else [Command(c.LOAD, 0, self.normalised)]
        taken = [c.inferred(answer) for answer in run([*loaded, *commands])[len(loaded) :]]
        if self.classifier is None:
            return np.array([window.decision for window in taken], np.int64)
        x = np.array([window.features for window in taken]).astype(np.int64)
        return self.classifier.decide(x - settings_of(self.build).zero_point)


def adapt(
    build: Build, windows: Sequence[Array], labels: Sequence[int], method: str | None
) -> AdaptedNetwork:
    """Run a session of adaptation with the NumPy reference, on features computed by the generated
    C; return the build with the new classifier.

    windows, labels   inputs in the order in which they are recorded, and their classes; of a
                      stream, recordings
    method            "prototypes", "lda", "head", or "norm", which the generated C computes; None:
                      the first of the build's
    Errors: as given_data and inferences, E268.
    """
    method = settings_of(build).methods[0] if method is None else method
    check_method(build, method)
    found, data = _inferences_of_windows(build, windows, labels)
    run, commands, classes = on_host(build), [x for x, _ in found], [x for _, x in found]
    taken = windows_of(run, commands)
    warnings = (
        *missing_classes(data, classes, settings_of(build).classes),
        *unlike_decisions(build, data, classes, [x.decision for x in taken], GIVEN),
    )
    if method == "norm":
        steps = [*c.session(method, commands, classes), Command(c.SAVE)]
        return AdaptedNetwork(build, None, run(steps)[-1].content, warnings=warnings)
    state = session.begin(settings_of(build), method)
    for window, label in zip(taken, classes, strict=True):
        state = session.window(state, window.features, window.decision, label)
    judged = bool(state.held_counts.any())
    return AdaptedNetwork(build, session.end(state), judged=judged, warnings=warnings)


IN_PYTHON = {  # replacements in remedies, as set_in expects them
    UNLABELLED: "",
    RETURNS: "",
    "--calib of arrays by name": "an argument",
    "--calib pkg.mod:windows, a function without arguments": "windows of one shape, as numbers",
    MAKE_CALIBRATION: "windows [samples, *input shape], and a class of each",
    "[calib] classes": "class numbers, or a build with [calib] classes",
    "label": "labels",
}


def _inferences_of_windows(
    build: Build, windows: Sequence[Array], *labels: object
) -> tuple[list[tuple[Command, int]], Data]:
    """Return the inferences of windows and classes that are arguments, and these as samples;
    classes may have the names of the build's; without classes, class 0. Errors: as given_data and
    inferences."""
    reading = replace(AS_GIVEN, classes=build.class_names)
    with set_in("", IN_PYTHON):
        arrays = {build.frame_inputs[0]: windows, **dict(zip([LABEL], labels, strict=False))}
        given = replace(read(arrays, reading), source="the session")
        found = np.asarray(given.labels)
        if found.dtype.kind == "f" and np.isfinite(found).all() and not is_whole(found):
            raise _no_classes_error(given.source, found, "integers [samples], a class of each")
        data = given_data(build, given, needs_labels=bool(labels), any_length=True)
        if not labels:
            data = replace(data, labels=np.zeros(data.count, np.int64))
        return inferences(build, data), data
