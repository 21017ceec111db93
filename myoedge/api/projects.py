# SPDX-License-Identifier: Apache-2.0
"""Many builds, and verbs that need none: tools, codes of errors, new projects."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from myoedge.api.models import as_build, silent
from myoedge.api.plugin_errors import with_plugin_errors
from myoedge.api.results import Tools, WrittenFiles
from myoedge.backends.build import Build
from myoedge.building.options import StrPath
from myoedge.building.pipeline import Progress
from myoedge.system.notebook import PlainText

if TYPE_CHECKING:
    from myoedge.building.plugin_check import PluginCheck
    from myoedge.sweeps.advise import Advice
    from myoedge.sweeps.sweep import Swept


def sweep(
    file: StrPath,
    *,
    output: StrPath | None = None,
    jobs: int | None = None,
    against: StrPath | None = None,
    scheduler: str | None = None,
    say: Progress = silent,
) -> Swept:
    """Builds and simulates every combination that SWEEP.toml describes (docs/sweep.md).

    output      folder, build/<file>-sweep without it; results that are there are not computed again
    jobs        processes, as many as processors without it
    against     an earlier sweep's folder or sweep.json; what is worse is in the result
    scheduler   "tcp://host:8786": a Dask cluster does the work, not this computer
    A model that is refused or over its budget is a result, not an error. Errors: E220, E260, E261,
    E501, E503, and bugs.
    """
    from myoedge.sweeps.sweep import sweep as run_sweep

    folder, old = (None if path is None else Path(path) for path in (output, against))
    return run_sweep(Path(file), folder, jobs, old, scheduler, say)


@with_plugin_errors
def advise(build: Build | StrPath, *, jobs: int | None = None, say: Progress = silent) -> Advice:
    """Measured suggestions for a build, at most five, each with its gain and its price.

    The network is built and simulated again, as it is and with one thing changed at a time: frames
    of a stream's passes, 16 bits or 4 at layers, ranges, engine, tiles, operating point. The
    suggestions are in the reports of the folder from then on.
    jobs    builds at a time; half of the processors without it
    Errors: E222, E240 no firmware, E262, E263 the arguments of the build; those of build.
    """
    from myoedge.sweeps.advise import advise as run_advise

    return run_advise(as_build(build), jobs or max((os.cpu_count() or 1) // 2, 1), say)


def check_regressions(swept: Swept) -> None:
    """Raise E305 for regressions beyond the bounds, E307 if no result is valid, E401 if outputs
    differ from the reference."""
    from myoedge.sweeps.results import raise_worse, raise_wrong

    raise_wrong(swept.results)
    raise_worse(swept.regressions)


@with_plugin_errors
def check_plugin(package: str) -> PluginCheck:
    """Loads the plug-ins of an installed package and tests its operators on uses that they draw.

    Integers are held to the float meaning, the generated C to the integers, bit for bit. What it
    finds is in the result. Errors: E256 no such package, or one without entry points of myoedge;
    E257 if a function of it raises.
    """
    from myoedge.building.plugin_check import check_package

    return check_package(package)


def doctor() -> Tools:
    """Required programs and packages, their versions, and how to install missing ones."""
    from myoedge.backends.doctor import tool_rows

    return Tools(tool_rows())


def explain(code: str | None = None) -> PlainText:
    """Explanation of an error or warning code; every code's meaning, a line each, without one.

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
    """Writes myoedge.toml into a folder, and make_calib.py if there are no samples yet; never over
    files that are there.

    model   named in the file, and looked into for the input's shape
    factory "pkg.mod:make_model", for checkpoints
    calib   samples; without it those in the folder: calib.npz, recordings/, or files of one format
    Errors: E210 no such samples, E223 if a file exists, E220 not writable; those of load for a
    model.
    """
    from myoedge.building.plugins import load_named
    from myoedge.building.project_template import write_project_template

    if model is not None:
        load_named()
    return WrittenFiles(write_project_template(Path(folder), model, factory, calib))
