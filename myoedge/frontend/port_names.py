# SPDX-License-Identifier: Apache-2.0
"""Names of inputs and outputs, made valid for file names, C and Python."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

LONGEST = 120
# taken in calibration files, and in the lines that write them
_TAKEN = frozenset(("label", "file", "np", "numpy", "recording", *keyword.kwlist))


def port_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return valid, unique names made of letters, digits and underscores."""
    found: list[str] = []
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9_]", "_", name)[:LONGEST] or "value"
        stem = f"_{stem}" if stem[0].isdigit() else f"{stem}_" if stem in _TAKEN else stem
        choice, count = stem, 1
        while choice in found:
            choice, count = f"{stem}_{count}", count + 1
        found.append(choice)
    return tuple(found)
