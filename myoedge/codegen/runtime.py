# SPDX-License-Identifier: Apache-2.0
"""The runtime of programs for the chip without an SDK: start-up, clocks, cluster, transfers."""

from __future__ import annotations

from myoedge.codegen.render import render, template_dir
from myoedge.targets.chip import OperatingPoint
from myoedge.targets.gap9.chip import GAP9
from myoedge.targets.gap9.clock import chip_clock


def runtime(point: OperatingPoint = GAP9.point) -> dict[str, str]:
    """Return the files that every program for the chip needs, with the operating point's clock."""
    paths = sorted((template_dir() / "runtime").iterdir())
    files = {path.name: path.read_text() for path in paths if path.suffix != ".j2"}
    files["clock.h"] = render("runtime/clock.h.j2", {"clock": chip_clock(point.clock_hz)})
    return {f"firmware/{name}": text for name, text in sorted(files.items())}
