# SPDX-License-Identifier: Apache-2.0
"""The table of `doctor`: required tools and packages, their versions, how to install them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from myoedge.backends import gvsoc
from myoedge.errors import MyoedgeError
from myoedge.frontend.torch.archive import TORCH
from myoedge.system import tools
from myoedge.system.hooks import load, with_hooks
from myoedge.system.toolchain import ZIG, compiler
from myoedge.targets import ENGINE_TEXTS

State = Literal["ok", "missing", "wrong version", "broken"]
IMPORT_S = 60.0  # time limit of an import; torch from a cold disk takes 10 s


@dataclass(frozen=True, slots=True)
class ToolRow:
    """A tool or package in the table of `doctor`.

    name      its name
    state     "ok", or what is wrong; "broken": installed, but its import fails
    version   its version; "" if unknown
    where     its path, for the terminal only
    blocks    verbs, or options of verbs, that cannot run unless the state is "ok"
    fix       a command line that installs it; "" if the state is "ok"
    needed    whether doctor fails without it; false for tools of boards and options
    works     what still works without it, if `blocks` could be misread as everything
    """

    name: str
    state: State
    version: str
    where: str
    blocks: tuple[str, ...]
    fix: str
    needed: bool = True
    works: str = ""


WITHOUT_TORCH = "model.onnx and most model.pt2 build"
OF_TORCH = ("build weights.pt --factory net:make_model",)
# (name, requirement as in pyproject.toml, commands that need it, whether it is required)
PACKAGES: tuple[tuple[str, str, tuple[str, ...], bool], ...] = (
    ("torch", TORCH, OF_TORCH, False),
    ("ortools", "ortools>=9.11", (), False),  # otherwise buffers are placed greedily
    ("onnx", "onnx>=1.17", ("build",), True),
    ("onnxruntime", "onnxruntime>=1.20", ("validate --onnx",), False),
)
ON_GVSOC = ("validate --on gvsoc", "simulate --on gvsoc")
CC = "xcode-select --install" if sys.platform == "darwin" else "sudo apt-get install gcc"


def tool_rows() -> tuple[ToolRow, ...]:
    """Return a row for every external tool and package, with its version and state."""
    python = platform.python_version(), sys.executable
    compiles = ("build", "validate", "simulate")
    optional = (
        tool_row("cc", "", ("validate --cc cc",), CC, _find_compiler("cc")),
        _gvsoc_row(),
    )
    with ThreadPoolExecutor() as pool:  # imports in programs of their own, at once
        packages = [*pool.map(lambda package: package_row(*package), PACKAGES)]
    rows = with_hooks(optional, "tools")
    found = [row if isinstance(row, ToolRow) else load(row)() for row in rows]
    return (
        tool_row("python", "python>=3.11", ("build",), "uv venv --python 3.11", python),
        tool_row("zig", ZIG, compiles, f"pip install {ZIG}", _find_compiler("zig")),
        *packages,
        *(replace(row, needed=False) for row in found),
    )


def tool_row(
    name: str, requirement: str, blocks: tuple[str, ...], fix: str, place: tuple[str, str] | None
) -> ToolRow:
    """Return the row of a tool.

    requirement   as for `satisfies`
    place         (version or "", path); None: the tool is missing
    """
    if place is None:
        return ToolRow(name, "missing", "", "", blocks, fix)
    if satisfies(place[0], requirement):
        return ToolRow(name, "ok", *place, blocks, "")
    return ToolRow(name, "wrong version", *place, blocks, fix)


def _find_compiler(name: str) -> tuple[str, str] | None:
    try:
        cc = compiler(name)
    except MyoedgeError:
        return None
    return cc.version.removeprefix("zig "), cc.command[0]


def _gvsoc_row() -> ToolRow:
    """Return the row of GVSoC, which reports no version: installed with or without its models of
    engines, or missing, also if its Python packages are."""
    try:
        installation = gvsoc.find()
    except MyoedgeError:
        return tool_row("gvsoc", "", ON_GVSOC, gvsoc.GET, None)
    found = installation.engines
    said = (f"{'with' if x in found else 'no'} {ENGINE_TEXTS[x]}" for x in gvsoc.SYSTEM.models)
    place = (", ".join(said), str(installation.home)) if gvsoc.starts(installation) else None
    return tool_row("gvsoc", "", ON_GVSOC, gvsoc.GET_PYTHON, place)


def package_row(
    name: str, requirement: str, blocks: tuple[str, ...], needed: bool, module: str = ""
) -> ToolRow:
    """Return the row of a Python package.

    needed   whether doctor fails without it
    module   its module, if that has another name
    """
    module, fix = module or name, f'pip install "{requirement}"'
    row = tool_row(name, requirement, blocks, fix, _find_package(name, module))
    if row.state == "ok" and module not in sys.modules and not _can_be_imported(module):
        row = replace(row, state="broken", fix=f"{fix} --force-reinstall")
    return replace(
        row, needed=needed, works="model.onnx and most model.pt2 build" if name == "torch" else ""
    )


def _can_be_imported(module: str) -> bool:
    """Return whether another Python imports a module within IMPORT_S; it may lack a shared
    library, or end Python."""
    paths = os.pathsep.join(map(os.path.abspath, sys.path))
    command = (sys.executable, "-c", f"import {module}")
    try:
        ran = tools.run(command, cwd=Path.cwd(), env={"PYTHONPATH": paths}, timeout_s=IMPORT_S)
    except MyoedgeError:
        return False
    return ran.returncode == 0


def _find_package(name: str, module: str) -> tuple[str, str] | None:
    """Return (version, folder) of a package from its metadata; None if missing."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    try:
        return importlib.metadata.version(name), str(Path(spec.origin).parent)
    except importlib.metadata.PackageNotFoundError:
        return None


def satisfies(version: str, requirement: str) -> bool:
    """Return whether a version meets a requirement: "name==1.2.3", "name>=1.2,<2" or "";
    pre-releases never do."""
    return not requirement or Requirement(requirement).specifier.contains(version, False)
