# SPDX-License-Identifier: Apache-2.0
"""Requirements of a build with their evidence; those on its latency and its power."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from myoedge.building.energy import stale_energies
from myoedge.reports.duty_lines import on_average
from myoedge.reports.period import DECISIONS, decision, limited_s
from myoedge.reports.wording import megahertz

if TYPE_CHECKING:
    from myoedge.backends.build import Build


@dataclass(frozen=True)
class Requirement:
    """A requirement of a build, and the evidence for it.

    key        such as "EXACT-1"
    text       the requirement
    shown      whether the evidence shows it; None if the build sets no limit
    value      measured, counted or found value
    evidence   "test", "measurement" or "analysis", and how to repeat it
    """

    key: str
    text: str
    shown: bool | None
    value: str
    evidence: str


def latency_requirement(build: Build, cycles: int) -> Requirement:
    """Return the requirement on the latency that [budget] limits: of an application's decision, or
    else of an inference."""
    limit_s, clock_hz = build.report["budget"]["latency_s"], build.report["target"]["clock_hz"]
    inference_s, ended, how = cycles / clock_hz, "An inference ends", "measurement: simulated chip"
    value = f"at most {cycles:,} cycles, {1e3 * inference_s:.3f} ms at {megahertz(clock_hz)}"
    taken_s = limited_s({**build.report, "latency_s": inference_s})
    if (found := decision(build.report)) is not None:
        ended = "A decision is on the line"
        value = f"{1e3 * found[0]:.3f} ms, {found[1]}; the network {value}"
        how = how if found[1] == DECISIONS["played"] else "analysis: the plan of the build"
    limit = "no [budget] latency" if limit_s is None else f"limit {1e3 * limit_s:.3f} ms"
    shown = None if limit_s is None or taken_s is None else taken_s <= limit_s
    text = f"{ended} within [budget] latency"
    return Requirement("TIME-1", text, shown, f"{value}; {limit}", how)


def power_requirement(build: Build) -> Iterator[Requirement]:
    """Yield the average power, which has no limit, if the period of inferences is known."""
    if average := on_average(build.report):
        text, stale = "The average power is estimated", stale_energies(build.report)
        value = f"{average}; {stale}" if stale else average
        yield Requirement("POWER-1", text, None, value, "analysis: docs/developers/energy.md")
