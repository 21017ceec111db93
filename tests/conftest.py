# SPDX-License-Identifier: Apache-2.0
"""What several test files share: small exported networks, calibration data, the command line."""

from __future__ import annotations

import contextlib
import gc
import io
import itertools
import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
collect_ignore = ["extensions/integrations"]  # libraries of their own: `make test-integrations`
os.environ["MYOEDGE_ENERGY"] = ""  # never a calibration of this computer
os.environ["MYOEDGE_STAGES"] = "off"  # a test computes what it looks at; test_stages.py turns it on
# How long a drawn case takes says what else the machine does, not whether the case holds. A commit
# passes or fails on every run alike; other cases are drawn with `--drawn-cases fresh`.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fresh", unhurried)
settings.register_profile("same", unhurried, derandomize=True)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--renew-golden", action="store_true", help="write the C under tests/golden anew"
    )
    parser.addoption(
        "--drawn-cases",
        choices=["same", "fresh"],
        default="same",
        help="draw the cases of property tests by their names, or anew in every run",
    )


def pytest_configure(config: pytest.Config) -> None:
    from tests.support.run import memory_folder

    settings.load_profile(config.getoption("--drawn-cases"))
    if folder := memory_folder():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder))
    gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """make test leaves out tests by cost and reach (tests/selection/record.py)."""
    from tests.selection.deferred import mark_slow, measures_reach, read_deferred

    if not measures_reach():
        mark_slow(items, read_deferred())


def pytest_collection_finish() -> None:
    """The garbage collector leaves out what imports and collection have made."""
    gc.freeze()


TESTS_OF_GARBAGE = itertools.cycle([*range(50)])


def pytest_runtest_logfinish() -> None:
    """The garbage collector, off since the start, runs once after so many tests: by itself it took
    a quarter of the time of collection, and a twentieth of that of builds. What is left then lasts:
    to look through it again took half a second."""
    if next(TESTS_OF_GARBAGE) == 0:
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """torch keeps to one thread, also where an example asks for two: tests run side by side, and
    threads that wait for each other took twenty times the time of the training itself."""
    import torch

    from tests.support.run import cheap_exports

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch, cheap_exports():
        patch.setattr(torch, "set_num_threads", lambda count: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def estimated_cycles() -> Iterator[None]:
    """Builds end with estimated cycles, but for tests that pass simulate=True or --simulate: most
    do not look at cycles, or simulate by themselves. test_simulated_builds.py has the default."""
    from myoedge.building.finishing import SimulationOptions

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            SimulationOptions, "is_wanted", property(lambda self: bool(self.simulate or self.tune))
        )
        yield


@pytest.fixture(autouse=True, scope="session")
def unchecked_goldens(request: pytest.FixtureRequest) -> Iterator[None]:
    """In make test, no build runs its golden sample but those of test_golden_check.py: a tenth of a
    second each, and most tests compare all integers by themselves."""
    from myoedge.building import finished_build

    with pytest.MonkeyPatch.context() as patch:
        if request.config.option.markexpr == "not slow":
            patch.setattr(finished_build, "check_golden", lambda files: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def data_in_l2() -> Iterator[None]:
    """[budget] l2 limits data only, but for tests of limits with code."""
    from tests.support.limits import l2_of_data

    with l2_of_data():
        yield


def thinned(cases: Iterable[Any], step: int = 2) -> list[Any]:
    """Parameters of a test: every `step`-th case runs in make test, the others in make test-all."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=[pytest.mark.slow] if index % step else [],
        )
        for index, case in enumerate(cases)
    ]


@dataclass(frozen=True)
class Ran:
    """A finished command line."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


STEP = re.compile(r"^(?:next:|     ) ([^ #].*?)(?: {3}#.*)?$")


def steps(err: str) -> list[str]:
    """Commands behind `next:`, without their remarks."""
    lines = err.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith("next:")), len(lines))
    found = (STEP.match(line) for line in lines[first:])
    return [match[1] for match in found if match]


def myoedge(*arguments: object, cwd: Path) -> Ran:
    """The command line in this process, in a folder, at a width of 100 columns; what it prints with
    --json meets its schema."""
    from myoedge.cli import main
    from tests.support.schemas import check

    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("COLUMNS", "100")
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
    if "--json" in arguments and out.getvalue():
        check(json.loads(out.getvalue()))
    return Ran(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def started(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    """`python -m myoedge` as a process of its own."""

    def listening() -> None:
        # A shell's background job ignores Ctrl-C, one below nohup a closed terminal, and so would
        # all that they start.
        for ignored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_DFL)

    command = [sys.executable, "-m", "myoedge", *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=cwd, env=env, text=True, stdout=pipe, stderr=pipe, preexec_fn=listening
    )


class Forked:
    """The command line in a fork of this process, which has torch: a new one imports it for five
    seconds. `limit` bounds the size of a file, in bytes."""

    def __init__(self, *arguments: object, cwd: Path, limit: int | None = None) -> None:
        context = multiprocessing.get_context("fork")
        self._ran, sends = context.Pipe(duplex=False)

        def call() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            sends.send(myoedge(*arguments, cwd=cwd))

        self.process = context.Process(target=call)
        self.process.start()

    def ran(self, timeout_s: float) -> Ran:
        assert self._ran.poll(timeout_s)
        ran: Ran = self._ran.recv()
        self.process.join()
        return ran


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Ran]:
    """The command line in an empty folder."""

    def in_folder(*arguments: object, **options: Any) -> Ran:
        return myoedge(*arguments, **{"cwd": tmp_path, **options})

    return in_folder


@pytest.fixture
def another_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """`another_cache("objects")` is a new cache that shares these folders, and zig's, with the
    machine's; on its file system, as files are moved into a cache."""
    from myoedge.system.tools import cache_folder, scratch

    with scratch() as folder:

        def made(*shared: str) -> Path:
            for name in ("zig", *shared):
                (folder / name).symlink_to(cache_folder(name))
            monkeypatch.setenv("MYOEDGE_CACHE", str(folder))
            return folder

        yield made


def save_exported(model: Any, examples: tuple[Any, ...], path: Path) -> Path:
    """model.eval() as a torch.export archive."""
    import torch

    torch.export.save(torch.export.export(model.eval(), examples), path)
    return path


def edit_as_if_generated(
    folder: Path, edit: Callable[[str], str], name: str = "src/network.c"
) -> None:
    """Edit C of a build, which then counts as what this computer generated: as if code generation
    were wrong."""
    from myoedge.backends.report_folder import remember_made_here
    from myoedge.system.cache import sha256

    source, path = folder / name, folder / "manifest.json"
    source.write_text(edit(source.read_text()))
    manifest = json.loads(path.read_text())
    manifest["files"][name] = sha256(source.read_bytes())
    path.write_text(json.dumps(manifest))
    remember_made_here(manifest)


def small_network() -> Any:
    """Two convolutions with batch norm, a residual addition, a head; input [1, 2, 12]."""
    from tests.support.networks.small import Small

    return Small()


def of_networks(warnings: Iterable[Any]) -> list[str]:
    """Codes of warnings, notices or rows of a report, but of few samples, which tests have."""
    codes = [row["code"] if isinstance(row, dict) else row.code for row in warnings]
    return [code for code in codes if code != "W205"]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.pt2 and calib.npz of the small network."""
    import torch

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("small")
    save_exported(small_network(), (torch.zeros(1, 2, 12),), folder / "model.pt2")
    rng = np.random.default_rng(0)
    windows = rng.standard_normal((32, 1, 2, 12), np.float32)
    np.savez(folder / "calib.npz", input=windows, label=rng.integers(0, 3, 32))
    return folder


@pytest.fixture(scope="session")
def small_build(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the small network's build, for tests that only read or copy it."""
    import myoedge as package
    from tests.support.shared import made_once

    files = {"calib": small / "calib.npz"}
    return (
        made_once(
            tmp_path_factory,
            "small",
            lambda folder: package.build(small / "model.pt2", **files, output=folder / "out"),
        )
        / "out"
    )
