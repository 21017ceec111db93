# SPDX-License-Identifier: Apache-2.0
"""Verbs for sweeps and suggestions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from myoedge.api.models import as_build, with_plugin_errors
from myoedge.backends.build import Build
from myoedge.building.options import StrPath, silent
from myoedge.building.pipeline_options import Progress

if TYPE_CHECKING:
    from myoedge.extensions.sweeps.advise import Advice
    from myoedge.extensions.sweeps.sweep import Swept


def sweep(
    file: StrPath,
    *,
    output: StrPath | None = None,
    jobs: int | None = None,
    against: StrPath | None = None,
    scheduler: str | None = None,
    say: Progress = silent,
) -> Swept:
    """Build and simulate every combination of SWEEP.toml (docs/train-and-deploy/limits.md).

    output      folder; None: build/<file>-sweep. Results that it already contains are reused
    jobs        processes; None: one per processor
    against     an earlier sweep's folder or sweep.json; the result lists the regressions
    scheduler   "tcp://host:8786": run the builds on a Dask cluster instead of this computer
    A model that is refused or over its budget is a result, not an error. Errors: E220, E260, E261,
    E501, E503, and bugs.
    """
    from myoedge.extensions.sweeps.sweep import sweep as run_sweep

    folder, old = (None if path is None else Path(path) for path in (output, against))
    return run_sweep(Path(file), folder, jobs, old, scheduler, say)


@with_plugin_errors
def advise(build: Build | StrPath, *, jobs: int | None = None, say: Progress = silent) -> Advice:
    """Return at most five measured suggestions for a build, each with all gains and costs.

    The network is built and simulated again unchanged, then with one change at a time: frames per
    pass of a stream, 16-bit or 4-bit layers, ranges, memories and parts beside the chip, engine,
    tiles, operating point. The suggestions are added to the reports in the folder. A
    KeyboardInterrupt while variations are built ends with the suggestions found until then; `left`
    of the result is not 0.
    jobs    builds in parallel; None: half of the processors
    Errors: E222, E240 no firmware, E262, E263 the arguments of the build; as build.
    """
    from myoedge.extensions.sweeps.advise import advise as run_advise

    return run_advise(as_build(build), jobs or max((os.cpu_count() or 1) // 2, 1), say)


def check_regressions(swept: Swept) -> None:
    """Raise E305 if a sweep has regressions beyond the bounds, E307 if it has no valid result, E401
    if outputs differ from the reference."""
    from myoedge.extensions.sweeps.results import raise_worse, raise_wrong

    raise_wrong(swept.results)
    raise_worse(swept.regressions)
