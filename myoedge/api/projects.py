# SPDX-License-Identifier: Apache-2.0
"""Verbs for plug-ins, tools, error codes and new projects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from myoedge.api.models import with_plugin_errors
from myoedge.api.results import Tools, WrittenFiles
from myoedge.building.options import StrPath
from myoedge.system.notebook import PlainText

if TYPE_CHECKING:
    from myoedge.building.plugin_check import PluginCheck


@with_plugin_errors
def check_plugin(package: str) -> PluginCheck:
    """Load the plug-ins of an installed package and what stands at the places of its hooks, and
    test each of its operators on random cases.

    Integer results are compared with float results, and the generated C with the integers, bit for
    bit. Errors: E256 no such package, or one without entry points of myoedge; E257 if one of its
    functions raises an exception.
    """
    from myoedge.building.plugin_check import check_package

    return check_package(package)


def doctor() -> Tools:
    """Return the required programs and packages, their versions, and how to install missing
    ones."""
    from myoedge.backends.doctor import tool_rows

    return Tools(tool_rows())


def explain(code: str | None = None) -> PlainText:
    """Return the explanation of an error or warning code; without a code, one line for every code.

    Errors: E208 unknown code.
    """
    from myoedge.catalogue import explanation, meanings

    return PlainText(meanings() if code is None else explanation(code))


@with_plugin_errors
def init(
    folder: StrPath = ".",
    *,
    model: StrPath | None = None,
    factory: str | None = None,
    calib: StrPath | None = None,
) -> WrittenFiles:
    """Write myoedge.toml into a folder, and make_calib.py if there are no samples yet; existing
    files are not replaced.

    model     model file to name; its input shape is read
    factory   "pkg.mod:make_model", for checkpoints
    calib     samples; None: search the folder for calib.npz, recordings/, or files of one format
    Errors: as load for a model; E210 no such samples, E220 not writable, E223 a file exists.
    """
    from myoedge.building.plugins import load_named
    from myoedge.building.project_template import write_project_template

    if model is not None:
        load_named()
    return WrittenFiles(write_project_template(Path(folder), model, factory, calib))
