# SPDX-License-Identifier: Apache-2.0
"""SQNR and errors of outputs as values of report.json."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from myoedge.quantization.fidelity import Fidelity, OutputFidelity

EXACT_DB = 999.0  # stands for "no error": JSON has no infinity, and comparisons still work


def output_fidelity(fidelity: Fidelity | None, tensor: str) -> dict[str, Any]:
    """Return an output's SQNR with the keys of report.json; values are None if not measured."""
    found = None if fidelity is None else fidelity.outputs.get(tensor)
    of = found or OutputFidelity(None)  # not measured: a stream's states
    (worst, worst_db), (most, error) = (
        x or (None, None) for x in (of.worst_sample, of.worst_error)
    )
    return {
        "sqnr_db": decibels(of.db),
        "sqnr_interval_db": interval_db(of.interval_db),
        "sqnr_end_db": decibels(of.end_db),
        "worst_sample": worst,
        "worst_sample_db": decibels(worst_db),
        "worst_error": error,
        "worst_error_sample": most,
        "agreement": rounded(of.agreement),
        "passed_through": None if found is None else found.is_passed_through,
    }


def sqnr(fidelity: Fidelity | None) -> dict[str, Any]:
    """Return a network's SQNR with the keys of report.json; values are None if not measured."""
    return {
        "sqnr_db": None if fidelity is None else decibels(fidelity.worst_db),
        "sqnr_interval_db": None if fidelity is None else interval_db(fidelity.interval_db),
    }


def decibels(value: float | None) -> float | None:
    """Round dB to three decimals, which do not depend on the BLAS library; EXACT_DB for no
    error."""
    if value is None or math.isnan(value):
        return None
    return EXACT_DB if value > EXACT_DB else round(value, 3)


def interval_db(ends: Sequence[float] | None) -> list[float | None] | None:
    """Return the lower and upper end of an SQNR's confidence interval in dB, rounded as `decibels`
    does."""
    return None if ends is None else [*map(decibels, ends)]


def rounded(value: float | None) -> float | None:
    """Round a number to six decimals; None if it is not finite."""
    return None if value is None or not math.isfinite(value) else round(value, 6)
