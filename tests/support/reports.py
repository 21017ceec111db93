# SPDX-License-Identifier: Apache-2.0
"""Reports with other values."""

from __future__ import annotations

import copy
from typing import Any


def changed(report: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of a report with another value at path "a.b"."""
    new = copy.deepcopy(report)
    *tables, key = path.split(".")
    table = new
    for name in tables:
        table = table[name]
    table[key] = value
    return new
