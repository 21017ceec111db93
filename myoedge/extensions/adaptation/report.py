# SPDX-License-Identifier: Apache-2.0
"""On-device adaptation in a report: one line for the terminal, a table for report.html."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from myoedge.reports.near_memory import name, title
from myoedge.reports.report_json import Report
from myoedge.reports.tables import ReportTable
from myoedge.reports.wording import percent, several, size

TITLES = ("part", "what the firmware has")


def one_line(report: Report) -> str:
    """Describe how the firmware adapts to a new session."""
    found = report["adaptation"]
    features = f" on {_describe_features(found)}" if found["features"] else ""
    return f"{', '.join(found['methods'])}{features}; {size(found['l2_bytes'])} of {name(report)}"


def adaptation_table(report: Report) -> ReportTable:
    """Return the methods, features, stored windows and memory of the adaptation."""
    return ReportTable(TITLES, tuple(_report_rows(report)), words=TITLES)


def _report_rows(report: Report) -> Iterator[tuple[str, str]]:
    found = report["adaptation"]
    yield "methods", ", ".join(found["methods"])
    if found["features"]:
        # Describe what a feature is the mean of; "" if it is a single number
        counts = {"position": found["positions"], "neighbouring channel": found["group"]}
        parts = [several(count, noun) for noun, count in counts.items() if count > 1]
        averages = f", means over {' and '.join(parts)}" if parts else ""
        yield (
            "features",
            f"{_describe_features(found)}{averages}; {found['classes']} classes",
        )
        yield "held back to judge", f"at most {several(found['held_back'], 'window')} of a class"
        pseudo = found.get("pseudo")
        yield "pseudo-labels", "off" if pseudo is None else f"from {percent(pseudo)} confidence on"
    if "head" in found["methods"]:
        replay = several(found["replayed"], "calibration sample")
        replay_bytes = found["replayed"] * (found["features"] + 1)
        yield "stored for head", f"at most {several(found['kept'], 'window')} of a class"
        yield "replay", f"{replay}, {size(replay_bytes)}" if replay_bytes else "none"
    if found["channels"] is not None:
        yield "norm", f"{several(found['channels'], 'channel')} of the input"
    yield title(report), size(found["l2_bytes"])
    yield "saved state", f"{found['saved_bytes']:,} B"


def _describe_features(found: Mapping[str, Any]) -> str:
    return f"{several(found['features'], 'feature')} of {found['layer']}"


# --- table of exponentials with 15 bits after the point, as in me_adapt_exponentials.h ------------

STEPS = 256  # of 1 / 16 each
EXPONENTIALS = np.round(32768 * np.exp(-np.arange(STEPS) / 16)).astype(np.int64)
