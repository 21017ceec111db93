# SPDX-License-Identifier: Apache-2.0
"""pytest plugin: CPU seconds of each test; with $MEASURES=reach also which parts of the product it
reaches.

A part is a branch of a function in myoedge/, a C file that a build compiles, or a few instructions
of a function in firmware_templates/ or of an extension that the simulated chip executes. Nothing
tells which lines run of what a test compiles or starts itself: such a test is marked.
What several tests share is recorded by itself, as the first of them makes it for all: fixtures of
a wider scope, and cached functions of the tests.

$MEASURED is a folder; each process writes rows.<pid>.jsonl and parts.<pid>.bin to it.
"""

from __future__ import annotations

import bisect
import ctypes
import functools
import hashlib
import json
import os
import re
import resource
import sys
from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coverage
import pytest

from tests.selection.deferred import measures_reach

ROOT = Path(__file__).resolve().parents[2]
PACKAGE, TEMPLATES = ROOT / "myoedge", ROOT / "firmware_templates"
EXTENSIONS = PACKAGE / "extensions"
TESTS = ("tests.", "test_", "conftest")  # modules of pytest files have no folder in their name


@dataclass
class Reach:
    """What a test, or something that tests share, costs and reaches itself.

    name       id of a test, or "shared: " and a name
    uses       names of what it shares with others
    is_opaque  whether it compiles C or starts a process itself
    """

    name: str
    cpu_s: float = 0.0
    parts: set[int] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)
    is_opaque: bool = False


class Recorder:
    """Branches that coverage.py traces, given to the innermost of what is running."""

    def __init__(self, folder: Path) -> None:
        options = {"data_file": None, "branch": True, "config_file": False}
        self.tracer = coverage.Coverage(source=[str(PACKAGE)], **options)
        self.running: list[Reach] = []
        self.named: set[str] = set()  # parts since the last flush that are no branches
        self.since_s = 0.0
        self.process = os.getpid()
        self.rows = (folder / f"rows.{self.process}.jsonl").open("w", buffering=1)
        self.parts = (folder / f"parts.{self.process}.bin").open("wb")

    def flush(self) -> None:
        """Give what was reached since the last flush to the innermost that is running."""
        now_s = cpu_s()
        data = self.tracer._collector.data if measures_reach() else {}
        found = {number(name) for name in self.named}
        for file, branches in [*data.items()]:
            found.update(number(file, branch) for branch in [*branches])
            branches.clear()
        self.named.clear()
        if self.running:
            self.running[-1].cpu_s += now_s - self.since_s
            self.running[-1].parts |= found
        self.since_s = cpu_s()

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        if os.getpid() != self.process:  # a fork of a test
            yield
            return
        self.flush()
        if self.running:
            self.running[-1].uses.add(name)
        self.running.append(Reach(name))
        try:
            yield
        finally:
            self.flush()
            reach = self.running.pop()
            row = {"name": name, "cpu_s": round(reach.cpu_s, 3), "uses": sorted(reach.uses)}
            row["is_opaque"] = reach.is_opaque
            self.parts.write(array("Q", reach.parts).tobytes())
            self.parts.flush()
            self.rows.write(json.dumps({**row, "parts": len(reach.parts)}) + "\n")


def cpu_s() -> float:
    """CPU seconds of this process and its finished children."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


@functools.cache
def number(name: str, branch: int = 0) -> int:
    """A number for a part, equal in all processes."""
    relative = name.removeprefix(str(PACKAGE))
    digest = hashlib.blake2b(f"{relative} {branch}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


RECORDER = Recorder(Path(os.environ["MEASURED"]))


def shares(cached: Callable[..., Any]) -> Callable[..., Any]:
    """functools.cache, which records what functions of the tests make for several."""

    @functools.wraps(cached)
    def cache(function: Callable[..., Any]) -> Any:
        if not (function.__module__ or "").startswith(TESTS):
            return cached(function)

        def name_of(given: Any, named: Any) -> str:
            arguments = hash((given, tuple(named.items())))
            return f"shared: {function.__module__}.{function.__qualname__} {arguments}"

        @cached
        def made(*given: Any, **named: Any) -> Any:
            with RECORDER.of(name_of(given, named)):
                return function(*given, **named)

        @functools.wraps(function)
        def looked_up(*given: Any, **named: Any) -> Any:
            if RECORDER.running:
                RECORDER.running[-1].uses.add(name_of(given, named))
            return made(*given, **named)

        looked_up.cache_clear = made.cache_clear  # type: ignore[attr-defined]
        return looked_up

    return cache


def pytest_sessionstart() -> None:
    from myoedge.simulator import machine
    from myoedge.system import library, toolchain

    functools.cache = shares(functools.cache)
    if not measures_reach():
        return
    watch(library, "compile_objects", c_files)
    watch(toolchain, "compile_sources", compiled)
    watch(machine, "_set_observers", lambda core, chip, *_: (core.machine_profile(chip), ())[1])
    watch(machine, "_load_program", lambda core, chip, program: PROGRAMS.append(program) or ())
    watch(machine, "_simulation_result", executed)
    RECORDER.tracer.start()


def c_files(sources: Any, options: Any) -> Iterator[str]:
    chip = any("riscv" in flag for flag in options.flags)
    return (f"{'chip' if chip else 'host'} {source.name}" for source in sources)


def compiled(*_: Any, **__: Any) -> tuple[str, ...]:
    """No part, but a mark where a test calls the compiler, not by a build."""
    if is_by_a_test(sys._getframe(2), ("myoedge.system.",)) and RECORDER.running:
        RECORDER.running[-1].is_opaque = True
    return ()


def pytest_configure() -> None:
    sys.addaudithook(started)


def started(event: str, _: object) -> None:
    """Mark a test that starts a process."""
    is_start = event in ("subprocess.Popen", "os.fork") and RECORDER.running
    if is_start and is_by_a_test(sys._getframe(1), ("subprocess", "multiprocessing.")):
        RECORDER.running[-1].is_opaque = True


def is_by_a_test(frame: Any, within: tuple[str, ...]) -> bool:
    """Whether the caller, but for modules with these names, is a module of the tests."""
    while frame.f_globals["__name__"].startswith(within):
        frame = frame.f_back
    return bool(frame.f_globals["__name__"].startswith(TESTS))


PROGRAMS: list[Any] = []  # the one that is simulated is the last


@functools.cache
def written_names() -> frozenset[str]:
    """Words of C and assembly that are not generated."""
    sources = [*TEMPLATES.rglob("*"), *(x for x in EXTENSIONS.rglob("*") if ".py" not in x.suffix)]
    texts = (path.read_text(errors="ignore") for path in sources if path.is_file())
    return frozenset(word for text in texts for word in re.findall(r"\w+", text))


def executed(core: Any, chip: int, *_: Any) -> Iterator[str]:
    """16 bytes of code each, by function, but of generated functions."""
    from myoedge.simulator import RunOptions, binding, machine

    recorded = binding.Recorded()
    core.machine_recorded(chip, ctypes.byref(recorded))
    profiled = RunOptions(profile=True)
    counts = machine._counts_by_address(core, chip, recorded.executed, profiled)
    names = {at: name for name, at in PROGRAMS.pop().symbols.items()}
    starts = [0, *sorted(names)]
    for address in counts:
        at = starts[bisect.bisect_right(starts, address) - 1]
        if names.get(at) in written_names():
            yield f"executed {names[at]} {(address - at) // 16}"


def watch(module: Any, name: str, parts: Callable[..., Any]) -> None:
    """Each call of a function reaches the parts with these names."""
    function = getattr(module, name)

    @functools.wraps(function)
    def watched(*given: Any, **named: Any) -> Any:
        RECORDER.named.update(parts(*given, **named))
        return function(*given, **named)

    for other in [*sys.modules.values()]:
        if getattr(other, name, None) is function:
            setattr(other, name, watched)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with RECORDER.of(item.nodeid):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: Any
) -> Generator[None, object, object]:
    if fixturedef.scope == "function":
        return (yield)
    with RECORDER.of(shared_name(fixturedef, getattr(request, "param_index", 0))):
        return (yield)


def shared_name(fixture: pytest.FixtureDef[Any], index: int) -> str:
    return f"shared: {fixture.baseid}::{fixture.argname}[{index}]"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: Any) -> None:
    """A test uses fixtures that another one has made."""
    indices = item.callspec.indices if hasattr(item, "callspec") else {}
    for name, fixtures in item._fixtureinfo.name2fixturedefs.items():
        if fixtures[-1].scope != "function":
            RECORDER.running[-1].uses.add(shared_name(fixtures[-1], indices.get(name, 0)))
