# SPDX-License-Identifier: Apache-2.0
"""pytest plugin: CPU seconds of each test, as it runs in `make test`.

$MEASURED is a folder; each process writes costs.<pid>.jsonl to it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

import pytest


def cpu_s() -> float:
    """CPU seconds of this process and its finished children."""
    spent = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    began_s = cpu_s()
    try:
        return (yield)
    finally:
        with Path(os.environ["MEASURED"], f"costs.{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps([item.nodeid, round(cpu_s() - began_s, 3)]) + "\n")


def read(folder: Path) -> dict[str, float]:
    """CPU seconds by test, of all processes of a run."""
    files = [file.read_text(encoding="utf-8") for file in sorted(folder.glob("costs.*.jsonl"))]
    return dict(json.loads(line) for text in files for line in text.splitlines())
