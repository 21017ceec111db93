# SPDX-License-Identifier: Apache-2.0
"""Functions by which a backend finds its programs and runs a build."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from myoedge.backends.build import Build
from myoedge.backends.measurement import Measurement
from myoedge.backends.names import backends, chips_of
from myoedge.errors import MyoedgeError, command
from myoedge.extension import BackendHook
from myoedge.numerics.arrays import Array
from myoedge.system.hooks import load
from myoedge.targets import find_chip


@dataclass(frozen=True)
class Case:
    """A test vector: the inputs of one run, and the results of the reference.

    given     input arrays, in the order of the call
    values    reference value of every tensor
    outputs   expected outputs
    number    number of the pass since the reset; 0 for a sample
    """

    given: Sequence[Array]
    values: Mapping[str, Array]
    outputs: Sequence[Array]
    number: int = 0


Layers = Mapping[str, bytes]  # tensor -> bytes its layer wrote; empty if they are not available
Written = tuple[Layers, Sequence[Array]]  # results of layers, and outputs
Pairs = Generator[tuple[Case, Written]]


def _do_nothing() -> None:
    return None


def _refuse_device(build: Build, board: str | None, port: str | None) -> object:
    return None


def _add_nothing(build: Build) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Functions of a backend, at the place of its BackendHook.

    measure   (build, cases) -> outputs and cycles, or what the backend counts in place of cycles;
              None: nothing is counted
    compare   (build, cases) -> each case with outputs and the bytes that each layer wrote; None:
              `measure` runs all cases at once
    find      raises E501 if a program of the backend is missing; called before anything takes time
    connect   (build, id or board.toml or None, serial port or None) -> device of the backend, which
              the build has as devices[name of the backend]; raises E240 if the build does not suit
    entries   (build) -> entries of report.json about what ran on its device
    execute   (build, name of a part's program, folder with its files) -> exit code and what it
              printed; None: the backend runs firmware.elf only
    """

    measure: Callable[[Build, Sequence[Case]], Measurement] | None = None
    compare: Callable[[Build, Iterable[Case]], Pairs] | None = None
    find: Callable[[], object] = _do_nothing
    connect: Callable[[Build, str | None, str | None], object] = _refuse_device
    entries: Callable[[Build], Mapping[str, Any]] = _add_nothing
    execute: Callable[[Build, str, Path], tuple[int, str]] | None = None

    def pairs(self, build: Build, runs: Iterable[Case]) -> Pairs:
        """Yield each case with outputs and the bytes that each layer wrote, if the backend shows
        layers."""
        if self.compare is not None:
            yield from self.compare(build, runs)
            return
        listed = list(runs)
        measured = self.measured(build, listed)
        for case, inference in zip(listed, measured.inferences, strict=True):
            yield case, (inference.written, inference.outputs)

    def measured(self, build: Build, runs: Sequence[Case]) -> Measurement:
        """Run the cases on a backend that counts cycles."""
        assert self.measure is not None
        return self.measure(build, runs)


def check_chip(build: Build, hook: BackendHook) -> None:
    """Raise E240 if a backend does not run programs for a build's chip."""
    target, chips = str(build.manifest.get("target")), chips_of(hook.name)
    if chips and target not in chips:
        facts = {"needs": " or ".join(chips), "target": target}
        title = f"{hook.text} does not run builds for {target}"
        raise MyoedgeError("E240", title, facts, instead(build, chips[0]))


def instead(build: Build, chip: str) -> list[str]:
    """Return remedies for what only builds for another chip can do: what this build's own chip has,
    or if nothing runs its programs, the command that builds for the other chip."""
    runners = find_chip(str(build.manifest.get("target"))).runners
    if not runners:
        return [build.rebuilt(target=chip)]
    checked = command("validate", build.folder, "--on", runners[0])
    return [checked, command("report", build.folder)]


def runner_of(backend: str) -> Runner:
    """Import and return the functions of a backend by its name."""
    found: Runner = load(backends()[backend])
    return found
