# SPDX-License-Identifier: Apache-2.0
"""Execution of a build's adaptation on the host and on the simulated chip."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.adaptation import commands as c
from myoedge.adaptation import session
from myoedge.adaptation.commands import Answer, Command
from myoedge.adaptation.norm import Normalization, added, no_norm_sums, normalization
from myoedge.adaptation.record import Classifier
from myoedge.backends.build_folder import ADAPT_ELF
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.quantization.samples import Data, fit

if TYPE_CHECKING:
    from myoedge.backends.build import Build

BACKENDS = ("host", "simulator")
MOST_CYCLES = 1 << 40

Answers = list[Answer]
Run = Callable[[Sequence[Command]], Answers]


def runner(build: Build, backend: str) -> Run:
    """Return a function commands -> answers that runs adaptation commands on a backend; each call
    starts without adaptation.

    backend   "host" or "simulator"
    Errors: E204 no such backend, E268 a build without [adapt].
    """
    assert build.adaptation
    if backend not in BACKENDS:
        title = f"adaptation does not run on {backend}"
        raise MyoedgeError("E204", title, {"has": ", ".join(BACKENDS)}, ["--on host"])
    return on_host(build) if backend == "host" else on_simulator(build)


def on_host(build: Build) -> Run:
    """Return a function commands -> answers that runs adaptation commands in the generated C on
    this computer."""

    def run(commands: Sequence[Command]) -> Answers:
        _call(build, "me_adapt_reset")
        return [_answer(build, command) for command in commands]

    return run


NAMES = {
    c.BEGIN: "me_adapt_begin",
    c.WINDOW: "me_adapt_window",
    c.END: "me_adapt_end",
    c.CLASS: "me_adapt_class",
}


def _answer(build: Build, command: Command) -> Answer:
    """Run one command in the library; all builds with the same C share one state."""
    number, content = command.number, command.content
    if number in NAMES:
        given = (command.argument,) if number in (c.BEGIN, c.WINDOW) else ()
        return Answer(_call(build, NAMES[number], *given))
    if number == c.SAVE:
        buffer = ctypes.create_string_buffer(c.saved_bytes(build.adaptation))
        return Answer(_call(build, "me_adapt_save", buffer), buffer.raw)
    if number == c.LOAD:
        return Answer(_call(build, "me_adapt_load", content, len(content)))
    if number == c.TAKE:
        _call(build, "me_adapt_take_features", content)
        _call(build, "me_adapt_take_decision", command.argument)
        return Answer(0)
    return _inferred(build, content)


def _inferred(build: Build, content: bytes) -> Answer:
    network, size = build.network, build.adaptation.features
    (name,) = network.graph.inputs
    inputs = np.frombuffer(content, network.dtype(name)).reshape(network.graph.shape(name))
    build.run_raw([inputs])
    features = (ctypes.c_int8 * size).in_dll(build.library.handle, "me_adapt_features")
    return Answer(_call(build, "me_adapt_network_class"), bytes(features))


def _call(build: Build, name: str, *arguments: Any) -> int:
    function = ctypes.CFUNCTYPE(ctypes.c_int32, *map(_type, arguments))
    with build.library.lock:
        return int(function((name, build.library.handle))(*arguments))


def _type(argument: object) -> Any:
    return ctypes.c_int32 if isinstance(argument, int) else ctypes.c_void_p


def on_simulator(build: Build) -> Run:
    """Return a function commands -> answers that runs adaptation commands in adapt.elf on the
    simulated chip."""
    from myoedge.simulator import read_elf, simulate
    from myoedge.system import tools

    program = read_elf(build.written(ADAPT_ELF), ADAPT_ELF)

    def run(commands: Sequence[Command]) -> Answers:
        with tools.scratch() as folder:
            (folder / "adapt.bin").write_bytes(c.packed(commands))
            if build.l3_image is not None:
                (folder / "l3.bin").write_bytes(build.l3_image)
            done = simulate(program, folder=folder, max_cycles=MOST_CYCLES)
            if done.exit_code != 0:
                facts = {"exit code": done.exit_code, "printed": done.output.strip()[-400:]}
                raise MyoedgeError("E711", "the firmware returned an error", facts)
            return [*c.unpacked((folder / "adapted.bin").read_bytes())]

    return run


def windows_of(run: Run, inputs: Sequence[Array]) -> list[c.Window]:
    """Run the network on each input; return features and decision of each.

    run      function commands -> answers
    inputs   integer arrays of the network's input
    """
    return [c.inferred(answer) for answer in run([c.infer(x) for x in inputs])]


def check_method(build: Build, method: str) -> None:
    """Raise E268 for a method that the build does not support."""
    if method not in build.adaptation.methods:
        facts = {"has": ", ".join(build.adaptation.methods)}
        tries = [f'[adapt] methods = ["{method}"] in myoedge.toml']
        raise MyoedgeError("E268", f"the build has no method {method}", facts, tries)


@dataclass(frozen=True)
class AdaptedNetwork:
    """A build with the classifier that a session of adaptation produced.

    build        the build
    classifier   the new classifier; None: the session gained no accuracy
    """

    build: Build
    classifier: Classifier | None
    normalization: Normalization | None = None

    def decide(self, windows: Sequence[Array]) -> Array:
        """Return the class of each window, given as floats."""
        taken = windows_of(on_host(self.build), self._inputs(windows))
        if self.classifier is None:
            return np.array([window.decision for window in taken], np.int64)
        x = np.array([window.features for window in taken]).astype(np.int64)
        return self.classifier.decide(x - self.build.adaptation.zero_point)

    def _inputs(self, windows: Iterable[Array]) -> list[Array]:
        inputs, norm = _integers(self.build, windows), self.build.adaptation.norm
        if self.normalization is None or norm is None:
            return inputs
        return [self.normalization.apply(norm, x) for x in inputs]


def adapt(
    build: Build, windows: Sequence[Array], labels: Sequence[int], method: str
) -> AdaptedNetwork:
    """Run a session of adaptation with the NumPy reference, on features computed by the generated
    C; return the build with the new classifier.

    windows, labels   inputs in the order in which they are recorded, and their classes
    method            "prototypes", "lda" or "head"
    Errors: as fit, E268.
    """
    check_method(build, method)
    (name,) = build.network.graph.inputs
    given = Data({name: np.asarray(windows)}, np.asarray(labels), "the session")
    data = fit(given, build.network.graph)
    assert data.labels is not None
    inputs = _integers(build, data.inputs[name])
    if method == "norm":
        return AdaptedNetwork(build, None, _normalization(build, inputs))
    taken = windows_of(on_host(build), inputs)
    state = session.begin(build.adaptation, method)
    for window, label in zip(taken, data.labels, strict=True):
        state = session.window(state, window.features, window.decision, int(label))
    return AdaptedNetwork(build, session.end(state))


def _integers(build: Build, windows: Iterable[Array]) -> list[Array]:
    network = build.network
    (name,) = network.graph.inputs
    shape = network.graph.shape(name)
    return [network.input_integers(name, np.asarray(x).reshape(shape)) for x in windows]


def _normalization(build: Build, inputs: Iterable[Array]) -> Normalization | None:
    norm = build.adaptation.norm
    assert norm
    sums = no_norm_sums(norm)
    for x in inputs:
        sums = added(norm, sums, x)
    return normalization(norm, sums) if sums.count else None
