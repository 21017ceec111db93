# SPDX-License-Identifier: Apache-2.0
"""Executors of a sweep: processes of this computer, or an existing Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from myoedge.errors import MyoedgeError
from myoedge.sweeps.tasks import Task, with_files
from myoedge.sweeps.worker import Result, work

Work = Callable[[Task], Result]

CONNECT_S = 10.0
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # a process computes on one


def on_processes(tasks: Sequence[Task], jobs: int, do: Work = work) -> Iterator[Result]:
    """Results as they come. Errors: E503 a process died; those of work."""
    context = multiprocessing.get_context("spawn")
    # Children take the environment as it is when they start.
    os.environ.update({name: os.environ.get(name, "1") for name in ONE_THREAD})
    pool = ProcessPoolExecutor(min(jobs, len(tasks)), context, initializer=_started)
    try:
        with _apart_from_the_caller():
            futures = [pool.submit(do, task) for task in tasks]  # which starts the processes
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        cause = {"cause": "a process of the sweep was ended from outside, or had no memory left"}
        raise _gone(cause) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()


@contextmanager
def _apart_from_the_caller() -> Iterator[None]:
    """A script that calls is no part of the work: a process that imported it would run it again,
    where it has no `if __name__ == "__main__":`.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _started() -> None:
    """A process whose parent was killed would wait for work for ever; Ctrl-C is the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def on_cluster(tasks: Sequence[Task], address: str, do: Work = work) -> Iterator[Result]:
    """Runs tasks on the workers of a Dask scheduler, which need no files of this computer.

    Tasks of a worker that dies go to another. Results are fetched as soon as there are any, and
    forgotten by the cluster then, so that a worker that dies later takes none of them along.
    Errors: E501 without distributed, E503 no scheduler there, or a task that kills its workers.
    """
    distributed = _distributed()
    # ImportError: a worker without myoedge, or with another version of it
    lost = (distributed.KilledWorker, distributed.CancelledError, OSError, ImportError)
    try:
        client = distributed.Client(address, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise _gone({"scheduler": address, "cause": str(error) or "no answer"}) from None
    with client:
        sent = (client.submit(do, with_files(t), key=t.key, pure=False) for t in tasks)
        found = distributed.as_completed(list(sent), with_results=True)
        try:
            for future, result in found:
                future.release()
                yield result
        except lost as error:
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise _gone({"scheduler": address, "cause": cause}) from None


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        tries = ["pip install 'myoedge[dask]'"]
        raise MyoedgeError("E501", "Dask distributed is not installed", tries=tries) from None
    return distributed


def _gone(facts: dict[str, str]) -> MyoedgeError:
    tries = ["the same command again: results that are finished are kept"]
    return MyoedgeError("E503", "whoever worked on the sweep is gone", facts, tries)
