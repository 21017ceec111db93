# SPDX-License-Identifier: Apache-2.0
"""The part "lamp" of a firmware: network.c counts inferences by calls of this package's C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.building.config_tables import Config
from myoedge.building.options import BuildOptions
from myoedge.codegen.application import FirmwarePart, PartCalls
from myoedge.plan.plan import Plan
from myoedge.quantization.samples import Data
from myoedge.reports.report_json import Report
from myoedge.reports.tables import ReportTable
from myoedge.streaming.stream import Stream

HEADER = "#include <stdint.h>\nextern uint32_t lamp_counts[4];\n"
COUNTS = '#include "library/lamp.h"\n\nuint32_t lamp_counts[4];\n'


@dataclass(frozen=True)
class LampPart(FirmwarePart):
    pin: int
    name = "lamp"

    def calls(self, plan: Plan, stream: Stream | None, prefix: str) -> PartCalls:
        return PartCalls(
            "library/lamp.h",
            before=("lamp_counts[0]++;",),
            after=("lamp_counts[1]++;",),
            after_layer={0: "lamp_counts[2]++;"},
            public=(f"#define {prefix.upper()}_LAMP_PIN {self.pin}",),
        )

    def files(self, plan: Plan, values: Mapping[str, Any]) -> dict[str, str]:
        return {"library/lamp.h": HEADER, "library/lamp.c": COUNTS}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"pin": np.array(self.pin)}

    def reported(self) -> dict[str, Any]:
        return {"lamp": {"pin": self.pin}}


@dataclass(frozen=True)
class BlinkRequest:
    pin: int

    def part(self, plan: Plan, data: Data, stream: Stream | None) -> FirmwarePart:
        return LampPart(self.pin)


def requested(options: BuildOptions, settings: Config) -> BlinkRequest | None:
    table = settings.table("lamp")
    return BlinkRequest(table.pin) if table.blinks else None


def restored(arrays: Mapping[str, np.ndarray]) -> LampPart:
    return LampPart(int(arrays["pin"]))


def line(report: Report) -> str:
    return f"blinks on pin {report['lamp']['pin']}"


def panel(report: Report) -> str:
    return f"<p>It blinks {report['target']['chip']} awake.</p>\n"


def table(report: Report) -> ReportTable:
    return ReportTable(("what", "where"), (("pin", str(report["lamp"]["pin"])),))
