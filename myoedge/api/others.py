# SPDX-License-Identifier: Apache-2.0
"""Many builds at once, and the verbs that need no build."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from myoedge.api.models import silent
from myoedge.building.pipeline import Progress, StrPath

if TYPE_CHECKING:
    from myoedge.backends.doctor import ToolRow
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
    from myoedge.sweeps.sweep import sweep as whole

    paths = (None if path is None else Path(path) for path in (output, against))
    folder, old = paths
    return whole(Path(file), folder, jobs, old, scheduler, say)


def check_regressions(swept: Swept) -> None:
    """Errors: E305 where something is worse than the bounds allow, E307 where no result is in
    order, E401 where outputs are not the reference's.
    """
    from myoedge.sweeps.results import raise_worse, raise_wrong

    raise_wrong(swept.results)
    raise_worse(swept.regressions)


def doctor() -> tuple[ToolRow, ...]:
    """Required programs and packages, their versions, and how to install missing ones."""
    from myoedge.backends.doctor import tool_rows

    return tool_rows()


def explain(code: str) -> str:
    """Explanation of an error or warning code. Errors: E208 unknown code."""
    from myoedge.catalogue import explanation

    return explanation(code)


def init(folder: StrPath = ".", *, model: StrPath | None = None) -> tuple[Path, ...]:
    """Writes myoedge.toml and make_calib.py into a folder; never over files that are there.

    model   named in the file, and looked into for the input's shape
    Errors: E223 where a file exists, E220 not writable.
    """
    from myoedge.building.project_template import write_project_template

    return write_project_template(Path(folder), model)
