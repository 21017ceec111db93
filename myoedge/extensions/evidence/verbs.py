# SPDX-License-Identifier: Apache-2.0
"""The verb that collects evidence for a build's requirements."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from myoedge.api.models import as_build, with_plugin_errors
from myoedge.api.runs import prepared, validate
from myoedge.backends.build import Build
from myoedge.building.options import StrPath
from myoedge.quantization.samples import Given
from myoedge.system.folder import explained, replace_files
from myoedge.targets import find_chip

if TYPE_CHECKING:
    from myoedge.extensions.evidence.evidence import Evidence


def _check_files(folder: Path, names: Iterable[str]) -> None:
    """Raise the error (E220, E281) of writing files to a folder, perhaps a new one."""
    with explained(folder):
        if any((folder / name).is_dir() for name in names):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
        tempfile.TemporaryFile(dir=nearest).close()


@with_plugin_errors
def evidence(
    build: Build | StrPath,
    *,
    output: StrPath | None = None,
    input: Given | None = None,
    drawn: int = 8,
) -> Evidence:
    """Collect evidence for the requirements of a build: compare it with the reference, run it on
    the simulated or emulated chip, and analyse its program.

    output   folder for evidence.json, evidence.md, sbom.cdx.json and misra.md; None: nothing is
             written
    input    float samples to run, as for calibration; None: the golden sample
    drawn    number of random inputs to run in addition
    Errors: as `validate`; E220 output not writable, E240 no firmware, E501 a compiler, or
    cyclonedx-python-lib if `output` is given.
    """
    from myoedge.building.simulate import samples_for
    from myoedge.extensions.evidence.evidence import FILES, HOST, collect_evidence

    if output is not None:
        _check_files(Path(output), FILES)
    chosen = as_build(build)
    given = None if input is None else samples_for(chosen, input)
    chosen.firmware()  # of a host there is none
    backend = find_chip(str(chosen.manifest["target"])).runners[0]
    exact = validate(chosen, on=(HOST, backend)).exact
    chosen = prepared(chosen, [backend], None, None)
    found = collect_evidence(chosen, {x: exact[x] for x in (HOST, backend)}, given, drawn)
    if output is not None:
        folder, files = Path(output), found.files()
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        replace_files(folder, files)
    return found
