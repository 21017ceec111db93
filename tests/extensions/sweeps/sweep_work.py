# SPDX-License-Identifier: Apache-2.0
"""Stands for the real work in tests of the engines: runs in other processes, leaves a log."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from myoedge.errors import MyoedgeError
from myoedge.extensions.sweeps.executors import Result
from myoedge.extensions.sweeps.tasks import Task

LOG, SECONDS = "MYOEDGE_TEST_LOG", 0.3


def logged(task: Task) -> Result:
    """Notes that it begins and ends, with its process."""
    _note("begin", task)
    time.sleep(SECONDS)
    _note("end", task)
    return {"key": task.key, **task.labels}


def _note(what: str, task: Task) -> None:
    line = f"{what} {os.getpid()} {task.key}\n"
    with Path(os.environ[LOG]).open("a") as file:
        file.write(line)  # one write: lines of several processes do not mix


def named(task: Task) -> Result:
    return {"key": task.key}


def fails(task: Task) -> Result:
    raise MyoedgeError("E501", f"no tool for {task.name}", {"needs": "one"}, ["get it"])


def dies(task: Task) -> Result:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}
