# SPDX-License-Identifier: Apache-2.0
"""Whether a stored report has energies of before a calibration."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from myoedge.building.energy import coefficients, is_of
from myoedge.errors import MyoedgeError
from myoedge.reports.energy import energy_row


def stale_energies(report: Mapping[str, Any]) -> str:
    """Describe the coefficients of a stored report's energies: "energies of before a calibration
    (published figures, no board; now calibrated with 2 measurements)"; "" if they are those in use,
    or if these cannot be read, which `energy` reports."""
    row = energy_row(report)
    with suppress(MyoedgeError):
        by = coefficients()
        if row and not is_of(report, by):
            return f"energies of before a calibration ({row['coefficients']}; now {by.source})"
    return ""
