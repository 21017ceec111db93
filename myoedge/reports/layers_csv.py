# SPDX-License-Identifier: Apache-2.0
"""layers.csv: the rows of the report's layers as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

from myoedge.reports.report_json import CAUSES, Report, dims

COLUMNS = (
    "name",
    "label",
    "op",
    "activation",
    "function",
    "origin",
    "in_shapes",
    "out_shape",
    "dtype",
    "in_dtypes",
    "weight_dtype",
    "macs",
    "cycles",
    "cycles_compute",
    "cycles_dma",
    "macs_per_cycle",
    "energy_uj",
    "energy_low_uj",
    "energy_high_uj",
    "instructions",
    *(f"{cause}_percent" for cause in CAUSES),
    "l1_bytes",
    "tile",
    "tiles",
    "cycles_modelled",
    "engine",
    "weights_in",
    "weights_bytes",
    "weights_l2_bytes",
    "weights_l3_bytes",
    "l3_moved_bytes",
    "read_bytes",
    "out_bytes",
    "sqnr_db",
    "sqnr_local_db",
)


FORMATS: dict[str, Callable[[Any], str]] = {
    "origin": lambda rows: " + ".join(f"{o['path']} ({o['source']})".strip() for o in rows),
    "in_dtypes": " ".join,
    "in_shapes": lambda shapes: " ".join(map(dims, shapes)),
    "out_shape": lambda shape: dims(shape) if shape != "" else "",
}


def layers_csv(report: Report) -> str:
    """One line a layer under a header; shapes as 1x8x40, unknown numbers empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in report["layers"]:
        stalls = {f"{cause}_percent": share for cause, share in (row.get("stalls") or {}).items()}
        values = {key: value for key, value in {**row, **stalls}.items() if value is not None}
        writer.writerow([FORMATS.get(key, str)(values.get(key, "")) for key in COLUMNS])
    return text.getvalue()
