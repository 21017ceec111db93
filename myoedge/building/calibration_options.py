# SPDX-License-Identifier: Apache-2.0
"""Validation of the options for observers and the held-out fraction."""

from __future__ import annotations

from myoedge.building.options import QuantizeOptions
from myoedge.errors import MyoedgeError
from myoedge.operators.engine_choice import AUTO
from myoedge.quantization.calibrate import Observer
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.moves.observer import METHODS_TRIED

LARGEST_HOLDOUT = 0.9
METHODS = ("auto", *METHODS_TRIED)


def observers_of(options: QuantizeOptions) -> list[Observer]:
    """Return the observers that calibration may choose from; only one if the options name it or an
    older build used it.

    Errors: E203 unknown method, or a percentile out of range.
    """
    method, percentile = str(options.method), float(options.percentile or 0.0)
    if method not in METHODS:
        raise MyoedgeError("E203", f"there is no method {method!r}", {"has": ", ".join(METHODS)})
    if not 50.0 < percentile <= 100.0:
        facts = {"needs": "more than 50, at most 100", "has": percentile}
        raise MyoedgeError("E203", "the percentile is out of range", facts)
    if options.samples is not None and options.samples < 1:
        raise MyoedgeError("E203", "at least one sample is needed", {"has": options.samples})
    if method != AUTO:
        return [Observer(method, percentile)]
    if isinstance(options.reuse, QuantGraph):
        return [options.reuse.calibration.observer]
    return [Observer(tried, percentile) for tried in METHODS_TRIED]


def holdout_share(options: QuantizeOptions) -> float:
    """Return the fraction of samples held out for evaluation. Errors: E203."""
    share = float(options.holdout or 0.0)
    if not 0.0 <= share <= LARGEST_HOLDOUT:
        facts = {"needs": f"0 to {LARGEST_HOLDOUT}", "has": share}
        title = "the share of samples that are held out is out of range"
        raise MyoedgeError("E203", title, facts, ["--holdout 0.2", "--holdout 0: none"])
    return share
