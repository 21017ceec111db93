# SPDX-License-Identifier: Apache-2.0
"""Results on disk: a file for each, whole or not there, and the tables made of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from myoedge.errors import MyoedgeError
from myoedge.sweeps.tasks import SCHEMA, Task
from myoedge.sweeps.worker import FIGURES, OUTCOME, Result
from myoedge.system.folder import explained, replace_files, to_json

RUNS, TABLE = "runs", "sweep.json"
LABELS = ("model", "budget", "options", "operating_point")
COLUMNS = (*LABELS, *OUTCOME, *FIGURES)


def kept(folder: Path, task: Task) -> Result | None:
    """A finished result; None where there is none that can be read."""
    try:
        found = json.loads(_file(folder, task.key).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    whole = isinstance(found, dict) and found.get("key") == task.key
    return found if whole and {*COLUMNS} <= found.keys() else None


def keep(folder: Path, result: Result) -> None:
    """Errors: E220, E281."""
    file = _file(folder, result["key"])
    with explained(folder):
        file.parent.mkdir(parents=True, exist_ok=True)
    replace_files(file.parent, {file.name: to_json(result).encode()})


def _file(folder: Path, key: str) -> Path:
    return folder / RUNS / f"{key}.json"


def name_of(row: Mapping[str, Any]) -> str:
    return " / ".join(str(row[label]) for label in LABELS)


def in_order(tasks: Iterable[Task], results: Mapping[str, Result]) -> list[Result]:
    """Results in the order of the sweep's file."""
    return [results[task.key] for task in tasks]


def table_json(rows: Sequence[Result]) -> str:
    return to_json({"schema": SCHEMA, "results": list(rows)})


def table_csv(rows: Sequence[Result]) -> str:
    """A line a result, unknown numbers empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read_table(path: Path) -> list[Result]:
    """sweep.json, or that of a folder. Errors: E261 it is none."""
    file = path / TABLE if path.is_dir() else path
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        rows = [dict(row) for row in found["results"]]
        if found["schema"] != SCHEMA or any(set(LABELS) - row.keys() for row in rows):
            raise ValueError("another schema")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        cause = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise MyoedgeError(
            "E261", f"{path} holds no results of a sweep", {"cause": cause}
        ) from None
    return rows
