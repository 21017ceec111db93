# SPDX-License-Identifier: Apache-2.0
"""Packages that an optional extra of myoedge requires."""

from __future__ import annotations

import shlex
from importlib import metadata


def install_command(extra: str) -> str:
    """Return the pip command that installs the packages of an extra such as "recordings"; they are
    named individually, as myoedge itself may not be on an index."""
    from packaging.requirements import Requirement

    rows = map(Requirement, metadata.requires("myoedge") or ())
    needed = (row for row in rows if row.marker and row.marker.evaluate({"extra": extra}))
    return shlex.join(["pip", "install", *(f"{row.name}{row.specifier}" for row in needed)])
