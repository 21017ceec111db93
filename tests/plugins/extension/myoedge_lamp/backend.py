# SPDX-License-Identifier: Apache-2.0
"""The backend "lamp", which runs the generated C on the host and adds the number of its port to
every output; and its row in the table of doctor."""

from __future__ import annotations

from collections.abc import Iterable

from myoedge.backends.build import Build
from myoedge.backends.doctor import ToolRow, tool_row
from myoedge.backends.runner import Case, Pairs, Runner


def compared(build: Build, runs: Iterable[Case]) -> Pairs:
    for case in runs:
        outputs = build.run_raw(case.given)
        yield case, ({}, [output + build.devices["lamp"] for output in outputs])


def connected(build: Build, board: str | None, port: str | None) -> int:
    return int(port or 0)


def tool() -> ToolRow:
    return tool_row("lamp", "", ("validate --on lamp",), "pip install lamp", None)


LAMP = Runner(compare=compared, connect=connected)
