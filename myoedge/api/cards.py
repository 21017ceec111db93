# SPDX-License-Identifier: Apache-2.0
"""The verb `bench --card`: all that a board's owner can measure, in one JSON file."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from myoedge.api.devices import bench, flash, run
from myoedge.api.models import as_build, silent
from myoedge.api.plugin_errors import with_plugin_errors
from myoedge.api.projects import doctor
from myoedge.backends.build import Build
from myoedge.building.options import StrPath
from myoedge.building.pipeline_options import Progress
from myoedge.errors import MyoedgeError
from myoedge.reports.board_card import CARD, BoardCard, figures
from myoedge.system.cache import sha256
from myoedge.system.folder import MANIFEST
from myoedge.version import __version__

if TYPE_CHECKING:
    from myoedge.backends.meter import MeasuredEnergy

PROGRAM = "gap_sdk/build/myoedge_app"  # where the SDK's CMake puts it
T = TypeVar("T")


@with_plugin_errors
def board_card(
    build: Build | StrPath,
    *,
    on: str = "board",
    board: str | None = None,
    port: str | None = None,
    meter: str | None = None,
    times: int = 20,
    say: Progress = silent,
) -> BoardCard:
    """Measure a build on a board: check tools, flash, compare outputs, count cycles by layer,
    measure energy. A failed step is recorded, and the others follow.

    on      "board": the application, flashed if the SDK has compiled it; "jtag": firmware.elf
    board, port, times   as for run and bench
    meter   serial port of a PPK2; None: no energy
    """
    chosen = as_build(build)
    before, steps = chosen.report, list[dict[str, Any]]()
    say("doctor")
    tools = {row.name: {"state": row.state, "version": row.version} for row in doctor()}
    if on == "board":
        is_compiled = (chosen.folder / PROGRAM).is_file()
        say("flash")
        _tried(steps, "flash", lambda: flash(chosen, board=board, port=port), is_compiled)
    say("run")
    ran = _tried(steps, "run", lambda: run(chosen, on=on, board=board, port=port))
    energy: MeasuredEnergy | None = None
    if meter is not None and on == "board":
        say("energy")
        energy = _tried(
            steps, "energy", lambda: bench(chosen, meter=meter, times=times, board=board, port=port)
        )
    document = {
        "schema": CARD,
        "myoedge": __version__,
        "host": {"system": platform.system(), "machine": platform.machine()},
        "tools": tools,
        "board": board or "gap9_evk",
        "on": on,
        "build": sha256((chosen.folder / MANIFEST).read_bytes()),
        "steps": steps,
        **figures(before, None if ran is None else ran.report, None if ran is None else ran.exact),
        "energy": None if energy is None else asdict(energy),
    }
    return BoardCard(document)


def _tried(
    steps: list[dict[str, Any]], name: str, do: Callable[[], T], is_possible: bool = True
) -> T | None:
    """Run a step and record its outcome in `steps`; return its result, None if it failed or is
    impossible."""
    if not is_possible:
        steps.append(_row(name, "skipped"))
        return None
    try:
        found = do()
    except MyoedgeError as error:
        steps.append(_row(name, "failed", error))
        return None
    steps.append(_row(name, "ok"))
    return found


def _row(name: str, state: str, error: MyoedgeError | None = None) -> dict[str, Any]:
    facts: Mapping[str, Any] = {} if error is None else dict(error.notice.facts)
    return {
        "step": name,
        "state": state,
        "code": None if error is None else error.code,
        "title": None if error is None else error.notice.title,
        "facts": {key: str(value) for key, value in facts.items()},
    }
