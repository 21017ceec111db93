# SPDX-License-Identifier: Apache-2.0
"""Doctor's table: what myoedge needs from outside, what is there, and how to get the rest."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from myoedge.errors import MyoedgeError
from myoedge.run import gvsoc
from myoedge.tool import ZIG, compiler

State = Literal["ok", "missing", "wrong version"]


@dataclass(frozen=True, slots=True)
class ToolRow:
    """One need of myoedge as doctor shows it.

    where    a path, for the person at the terminal only
    blocks   the verbs that cannot run while the state is not "ok"; empty for optional tools
    fix      a command line; empty where all is well
    """

    name: str
    state: State
    version: str
    where: str
    blocks: tuple[str, ...]
    fix: str


# (name, requirement as in pyproject.toml, verbs that need it)
PACKAGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("torch", "torch==2.13.0", ("inspect", "quantize", "build")),
    ("ortools", "ortools>=9.11", ()),  # buffers are placed greedily without it
    ("onnx", "onnx>=1.17", ("build",)),
    ("onnxruntime", "onnxruntime>=1.20", ()),
)


def survey() -> tuple[ToolRow, ...]:
    """Everything outside this package that myoedge uses, versions from running or metadata."""
    python = platform.python_version(), sys.executable
    return (
        _row("python", "python>=3.11", ("build",), "install Python 3.11 or newer", python),
        _row(
            "zig",
            ZIG,
            ("build", "validate", "simulate"),
            f"pip install {ZIG}",
            _compiler_place("zig"),
        ),
        *(_package_row(*package) for package in PACKAGES),
        _row("cc", "", (), "optional: install gcc or clang, or set CC", _compiler_place("cc")),
        _row("gvsoc", "", (), f"optional: {gvsoc.HOW}, or gvsoc on PATH", _gvsoc_place()),
    )


def _row(
    name: str, requirement: str, blocks: tuple[str, ...], fix: str, found: tuple[str, str] | None
) -> ToolRow:
    if found is None:
        return ToolRow(name, "missing", "", "", blocks, fix)
    if satisfies(found[0], requirement):
        return ToolRow(name, "ok", *found, blocks, "")
    return ToolRow(name, "wrong version", *found, blocks, fix)


def _compiler_place(name: str) -> tuple[str, str] | None:
    try:
        found = compiler(name)
    except MyoedgeError:
        return None
    return found.version.removeprefix("zig "), found.command[0]


def _gvsoc_place() -> tuple[str, str] | None:
    """GVSoC tells no version."""
    try:
        return "", str(gvsoc.find().home)
    except MyoedgeError:
        return None


def _package_row(name: str, requirement: str, blocks: tuple[str, ...]) -> ToolRow:
    return _row(name, requirement, blocks, f'pip install "{requirement}"', _package_place(name))


def _package_place(name: str) -> tuple[str, str] | None:
    """Version and folder of a package that could be imported; importing it would take seconds."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return None
    try:
        return importlib.metadata.version(name), str(Path(spec.origin).parent)
    except importlib.metadata.PackageNotFoundError:
        return None


def satisfies(version: str, requirement: str) -> bool:
    """Whether a version meets "name==1.2.3", "name>=1.2" or ""; "+cpu" does not count."""
    public = version.partition("+")[0]
    if "==" in requirement:
        return public == requirement.partition("==")[2]
    return _numbers(public) >= _numbers(requirement.partition(">=")[2])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
