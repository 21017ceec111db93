# SPDX-License-Identifier: Apache-2.0
"""A task of a sweep and its result; runs in a process of its own, here or on another computer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.sweeps.tasks import Source, Task, toml_lines
from myoedge.system import tools

RESULTS = (1, 2, 3, 4, 7)  # exit codes that say something of the model or its limits
DIFFER = 4
OK, DIFFERS, REFUSED = "ok", "differs", "refused"
FIGURES: Mapping[str, str] = {
    "cycles": "cycles.total",
    "cycles_source": "cycles.source",
    "latency_s": "latency_s",
    "energy_uj": "energy_uj.value",
    "energy_low_uj": "energy_uj.low",
    "energy_high_uj": "energy_uj.high",
    "coefficients": "energy_uj.coefficients",
    "sqnr_db": "quantization.sqnr_db",
    "accuracy_int8": "quantization.accuracy_int8",
    "l1_bytes": "memory.l1_peak_bytes",
    "l2_bytes": "memory.l2_peak_bytes",
    "l3_bytes": "memory.l3_bytes",
    "code_bytes": "memory.code_bytes",
    "macs": "model.macs",
    "params": "model.params",
    "digest": "model.digest",
}
OUTCOME = ("status", "code", "title")

Result = dict[str, Any]


def work(task: Task) -> Result:
    """Result of one build, simulated where the sweep says so.

    A model or a budget that is refused is a result too. Errors: everything else (a missing tool, a
    bug), with the name of the task in front.
    """
    blank = {"key": task.key, **task.labels, **dict.fromkeys((*OUTCOME, *FIGURES))}
    try:
        with tools.scratch() as folder:
            return {**blank, **_built(task, folder)}
    except MyoedgeError as error:
        if error.exit_code not in RESULTS:
            raise MyoedgeError(
                error.code, f"{task.name}: {error.notice.title}", dict(error.notice.facts)
            ) from None
        status = DIFFERS if error.exit_code == DIFFER else REFUSED
        return {**blank, "status": status, "code": error.code, "title": error.notice.title}


def _built(task: Task, folder: Path) -> Result:
    settings = folder / "myoedge.toml"
    settings.write_text("\n".join(toml_lines(task.toml)) + "\n", encoding="utf-8")
    chosen = {"calib": _file(task.calib, folder / "calib"), **task.chosen}
    build = myoedge.build(
        _file(task.model, folder / "model"),
        config=settings,
        output=folder / "out",
        simulate=task.simulate,
        **chosen,
    )
    return {"status": OK, **figures(build.report)}


def _file(source: Source | None, place: Path) -> str | None:
    """Path of a file; bytes that came along are written first, under the file's own name."""
    if source is None:
        return None
    if source.content is None:
        return source.path
    place.mkdir()
    path = place / os.path.basename(source.path)
    path.write_bytes(source.content)
    return str(path)


def figures(report: Mapping[str, Any]) -> Result:
    """Figures of report.json that a sweep keeps; null where they are not known."""
    return {name: _value(report, path) for name, path in FIGURES.items()}


def _value(report: Mapping[str, Any], path: str) -> Any:
    value: Any = report
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
