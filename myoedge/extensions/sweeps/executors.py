# SPDX-License-Identifier: Apache-2.0
"""Execution of a sweep's tasks, in local processes or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.extensions.sweeps.tasks import Source, Task, toml_lines, with_files
from myoedge.reports.facts import value_at
from myoedge.system import tools
from myoedge.system.tools import install_command
from myoedge.targets import CHIPS

CONNECT_S = 10.0
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # each process uses one thread
RESULTS = (1, 2, 3, 4, 7)  # exit codes that concern the model or its limits
DIFFER = 4
OK, DIFFERS, REFUSED = "ok", "differs", "refused"
PARTS = "external_parts"
# Memories of weights besides L2 and L3
OTHER_LEVELS = sorted({level.name for chip in CHIPS.values() for level in chip.optional_levels})
FIGURES: Mapping[str, str] = {
    "cycles": "cycles.total",
    "cycles_source": "cycles.source",
    "latency_s": "latency_s",
    "energy_uj": "energy_uj.value",
    "energy_low_uj": "energy_uj.low",
    "energy_high_uj": "energy_uj.high",
    "coefficients": "energy_uj.coefficients",
    "sqnr_db": "quantization.sqnr_db",
    "accuracy_float": "quantization.accuracy_float",
    "accuracy_int8": "quantization.accuracy_int8",
    "accuracy_low": "quantization.classes.interval_int8.0",
    "accuracy_high": "quantization.classes.interval_int8.1",
    "rmse_float": "quantization.targets.all.rmse_float",
    "rmse_int8": "quantization.targets.all.rmse_int8",
    "evaluated_on": "quantization.evaluated_on.data",
    "l1_bytes": "memory.l1_peak_bytes",
    "l2_bytes": "memory.l2_peak_bytes",
    "l3_bytes": "memory.l3_bytes",
    **{f"{name}_bytes": f"memory.levels.{name}" for name in OTHER_LEVELS},
    PARTS: "memory.external",
    "boot_image_bytes": "memory.boot_image_bytes",
    "code_bytes": "memory.code_bytes",
    "variables_bytes": "memory.variables_bytes",
    "macs": "model.macs",
    "params": "model.params",
    "integer_digest": "model.integer_digest",
}
OUTCOME = ("status", "code", "title")
WARNINGS = "warnings"  # of the build, as in report.json
# A sweep's own words for what warnings call the settings of one build.
OWN_WORDS = {"[calib] ": "[[model]] ", "myoedge.toml": "the sweep's file"}

Result = dict[str, Any]


def work(task: Task) -> Result:
    """Run one build of a sweep, and simulate it if the sweep requests that.

    A refused model or an exceeded budget is a result, too. All other errors (a missing tool, a bug)
    are raised, prefixed with the task's name.
    """
    blank: Result = {
        "key": task.key,
        **task.labels,
        **dict.fromkeys((*OUTCOME, *FIGURES)),
        WARNINGS: [],
    }
    try:
        with tools.scratch() as folder:
            return {**blank, **_build_task(task, folder)}
    except MyoedgeError as error:
        if error.exit_code not in RESULTS:
            raise MyoedgeError(
                error.code, f"{task.name}: {error.notice.title}", dict(error.notice.facts)
            ) from None
        status = DIFFERS if error.exit_code == DIFFER else REFUSED
        return {**blank, "status": status, "code": error.code, "title": error.notice.title}


def _build_task(task: Task, folder: Path) -> Result:
    settings = folder / "myoedge.toml"
    settings.write_text("\n".join(toml_lines(task.toml)) + "\n", encoding="utf-8")
    given = {"calib": task.calib, "test": task.test}
    files = {name: _task_file(source, folder / name) for name, source in given.items()}
    chosen = {**files, **task.chosen}
    build = myoedge.build(
        _task_file(task.model, folder / "model"),
        config=settings,
        output=folder / "out",
        simulate=task.simulate,
        **chosen,
    )
    figures = {name: value_at(build.report, path) for name, path in FIGURES.items()}
    return {"status": OK, **figures, WARNINGS: [*map(_read_warning, build.report["warnings"])]}


def _read_warning(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a warning of report.json with remedies for the sweep's file."""
    tries = []
    for line in row["tries"]:
        text = line
        for word, own in OWN_WORDS.items():
            text = text.replace(word, own)
        tries.append(text)
    return {**row, "tries": tries}


def _task_file(source: Source | None, place: Path) -> str | None:
    """Return the path of a task's file; bytes that came with the task are first written to the
    folder `place`."""
    if source is None:
        return None
    if source.content is None:
        return source.path
    place.mkdir()
    path = place / os.path.basename(source.path)
    path.write_bytes(source.content)
    return str(path)


# --- executors ------------------------------------------------------------------------------------

Work = Callable[[Task], Result]
Given = TypeVar("Given")
Done = TypeVar("Done")


def on_processes(tasks: Sequence[Given], jobs: int, do: Callable[[Given], Done]) -> Iterator[Done]:
    """Run tasks in `jobs` local processes; yield results as they finish.

    do   task -> result
    Errors: E503 a process died; as `do`.
    """
    context = multiprocessing.get_context("spawn")
    # Child processes inherit the environment at their start.
    os.environ.update({name: os.environ.get(name, "1") for name in ONE_THREAD})
    pool = ProcessPoolExecutor(min(jobs, len(tasks)), context, initializer=_prepare_worker)
    try:
        with _isolate_workers():
            futures = [pool.submit(do, task) for task in tasks]  # starts the processes
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        cause = {"cause": "a process of the sweep was ended from outside, or had no memory left"}
        raise _worker_ended_error(cause) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()


@contextmanager
def _isolate_workers() -> Iterator[None]:
    """Context manager: keep worker processes from importing the calling script, which would run
    again without `if __name__ == "__main__":`."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _prepare_worker() -> None:
    """Prepare a worker process: it ignores Ctrl-C, and ends if its parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def on_cluster(tasks: Sequence[Task], address: str, do: Work = work) -> Iterator[Result]:
    """Run tasks on the workers of a Dask scheduler, which receive all files of the tasks.

    Tasks of a worker that dies are run again elsewhere. Each result is fetched as soon as it is
    ready, so that it is not lost with its worker. Errors: E501 without distributed, E503 no
    scheduler there, or a task that kills its workers.
    """
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        tries = [install_command("dask")]
        raise MyoedgeError("E501", "Dask distributed is not installed", tries=tries) from None
    # ImportError: a worker without myoedge, or with another version.
    lost = (distributed.KilledWorker, distributed.CancelledError, OSError, ImportError)
    try:
        client = distributed.Client(address, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise _worker_ended_error(
            {"scheduler": address, "cause": str(error) or "no answer"}
        ) from None
    with client:
        sent = (client.submit(do, with_files(t), key=t.key, pure=False) for t in tasks)
        found = distributed.as_completed(list(sent), with_results=True)
        try:
            for future, result in found:
                future.release()
                yield result
        except lost as error:
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise _worker_ended_error({"scheduler": address, "cause": cause}) from None


def _worker_ended_error(facts: dict[str, str]) -> MyoedgeError:
    tries = ["the same command again: results that are finished are kept"]
    return MyoedgeError("E503", "the processes of the sweep have ended", facts, tries)
