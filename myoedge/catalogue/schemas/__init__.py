# SPDX-License-Identifier: Apache-2.0
"""JSON Schemas of the verbs' --json outputs, and of the JSON files of a build folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Return the file names of the JSON Schemas: "report.1.json" describes documents whose `schema`
    is myoedge.report/1."""
    return tuple(sorted(path.name for path in _FOLDER.glob("*.json")))


def schema(name: str) -> Mapping[str, Any]:
    """Return a JSON Schema by file name; its `$ref` point into the same file or a file next to
    it."""
    document: Mapping[str, Any] = json.loads((_FOLDER / name).read_text(encoding="utf-8"))
    return document
