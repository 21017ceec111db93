# SPDX-License-Identifier: Apache-2.0
"""Names of inputs and outputs, made valid for file names, C and Python."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LONGEST = 120
# names in use in calibration files and in the code that writes them
_TAKEN = frozenset(("label", "file", "np", "numpy", "recording", *keyword.kwlist))


def port_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of inputs or outputs changed so that they are unique and made of letters, digits
    and underscores."""
    found: list[str] = []
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9_]", "_", name)[:LONGEST] or "value"
        stem = f"_{stem}" if stem[0].isdigit() else f"{stem}_" if stem in _TAKEN else stem
        choice, count = stem, 1
        while choice in found:
            choice, count = f"{stem}_{count}", count + 1
        found.append(choice)
    return tuple(found)


def under_port_names(arrays: Mapping[str, Any], names: Iterable[str]) -> Mapping[str, Any]:
    """Return arrays by the network's input names; keys as in the model's file, such as onnx::Add_0
    for onnx__Add_0, are replaced.

    names   names of the inputs
    """
    ports = dict(zip(arrays, port_names([*map(str, arrays)]), strict=True))
    left = {*names} - {*arrays}
    return {port if (port := ports[name]) in left else name: x for name, x in arrays.items()}
