# SPDX-License-Identifier: Apache-2.0
"""Energy coefficients: of a calibration on this computer, else the published ones."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from myoedge.errors import MyoedgeError
from myoedge.power.model import PUBLISHED, Coefficients
from myoedge.system.folder import explained, replace_files

FILE = "energy-gap9.json"
VARIABLE = "MYOEDGE_ENERGY"  # names another file; empty: the published coefficients


def coefficients() -> Coefficients:
    """Errors: E251 where the calibration on this computer cannot be read."""
    path = place()
    if path is None or not path.is_file():
        return PUBLISHED
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return _checked(Coefficients(**found))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise MyoedgeError(
            "E251",
            "the calibration of energy cannot be read",
            {"file": path, "cause": str(error).splitlines()[0]},
            ["myoedge energy calibrate MEASUREMENTS.csv again", "or delete that file"],
        ) from None


def _checked(found: Coefficients) -> Coefficients:
    """Numbers as numbers; a ValueError where there are not four, or one cannot be."""
    values = tuple(float(x) for x in found.values)
    rows = tuple(tuple(float(x) for x in row) for row in found.covariance)
    if len(values) != 4 or [len(row) for row in rows] != [4] * 4:
        raise ValueError("it does not hold four coefficients")
    variances = [row[n] for n, row in enumerate(rows)]
    sure = (*values, *variances, float(found.workload), float(found.board))
    if not all(map(math.isfinite, (*sure, *chain(*rows)))) or min(sure) < 0:
        raise ValueError("a number in it is infinite, or below 0")
    return Coefficients(values, rows, float(found.workload), float(found.board), str(found.source))


def keep(found: Coefficients) -> Path:
    """Stores a calibration. Errors: E220 where that is not possible."""
    path = place() or _default()
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(found), indent=2) + "\n"
        replace_files(path.parent, {path.name: text.encode()})
    return path


def place() -> Path | None:
    """Path of the calibration file; None where calibrations are disabled."""
    wanted = os.environ.get(VARIABLE)
    if wanted is not None:
        return Path(wanted).absolute() if wanted else None
    return _default()


def _default() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("myoedge", appauthor=False)) / FILE
