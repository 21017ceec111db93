# SPDX-License-Identifier: Apache-2.0
"""Requirements of a build with their evidence; those on its latency and its power."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from myoedge.building.operating_points import planned_decision_s
from myoedge.building.stale_energies import stale_energies
from myoedge.reports import near_memory
from myoedge.reports.duty_lines import on_average
from myoedge.reports.energy import played_states
from myoedge.reports.period import decision
from myoedge.reports.wording import megahertz

if TYPE_CHECKING:
    from myoedge.backends.build import Build
    from myoedge.reports.report_json import Report


# Played decisions that show a latency: of that many and more decisions, at most a tenth are later
# than the longest one with 95 % certainty (the rule of three). Of fewer the plan counts too.
LEAST_DECISIONS = 30
LOOP = re.compile(r"\b(?:for|while) \(.*")
COUNTED = re.compile(r"for \(int32_t (\w+) = \d+; \1 < \d+; \1(?:\+\+| \+= \d+)\)")


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


def memory_requirement(build: Build) -> Iterator[Requirement]:
    """Yield the requirements on the memories of the chip."""
    report, how = build.report, "analysis: plan.json and the linker"
    memory, target, near = report["memory"], report["target"], near_memory.bytes_in_use(report)
    used = {
        ("Data, stacks and code fit L1", target["l1_bytes"]): memory["l1_planned_bytes"],
        ("Data, stacks and code fit L2", target["l2_bytes"]): near,
    }
    if near_memory.has_flash(report):
        in_flash = near_memory.used_bytes(near_memory.flash_sizes(report))
        text, taken = _with_stack(build, near)
        used = {
            (text, target["l2_bytes"]): taken,
            ("Weights and code fit the flash", target["flash_bytes"]): in_flash,
        }
    for number, ((text, size), taken) in enumerate(used.items(), 1):
        value = f"{taken:,} of {size:,} bytes"
        yield Requirement(f"MEM-{number}", text, taken <= size, value, how)


def _with_stack(build: Build, near_bytes: int) -> tuple[str, int]:
    """Return what is to fit RAM, as text, and its bytes: without a limit also a run's stack, which
    the report tells beside the bytes in use and [budget] leaves out.

    near_bytes   bytes of data and variables
    """
    stack_bytes, data = build.report["memory"]["stack_bytes"], "Data and variables"
    if build.report["budget"]["l2_bytes"] is not None:
        text = f"{data} fit [budget] l2, without the stack of a run ({stack_bytes:,} bytes)"
        return text, near_bytes
    own = f"{data} ({near_bytes:,} bytes, as in the report)"
    return f"{own} and the stack of a run ({stack_bytes:,}) fit RAM", near_bytes + stack_bytes


def latency_requirement(build: Build, cycles: int) -> Iterator[Requirement]:
    """Yield the requirement on the latency that [budget] limits: of an application's decision, or
    else of an inference; none for a chip without a clock, which has no such limit."""
    if build.report["target"]["clock_hz"] is None:
        return
    limit_s, clock_hz = build.report["budget"]["latency_s"], build.report["target"]["clock_hz"]
    taken_s, ended, how = cycles / clock_hz, "An inference ends", "measurement: simulated chip"
    value = f"at most {cycles:,} cycles, {1e3 * taken_s:.3f} ms at {megahertz(clock_hz)}"
    if (found := _shown_decision(build.report)) is not None:
        (taken_s, source, is_played), ended = found, "A decision is on the line"
        value = f"{1e3 * taken_s:.3f} ms, {source}; the network {value}"
        how = how if is_played else "analysis: the plan of the build"
    limit = "no [budget] latency" if limit_s is None else f"limit {1e3 * limit_s:.3f} ms"
    shown = None if limit_s is None else taken_s <= limit_s
    text = f"{ended} within [budget] latency"
    yield Requirement("TIME-1", text, shown, f"{value}; {limit}", how)


def _shown_decision(report: Report) -> tuple[float, str, bool] | None:
    """Return the seconds of an application's decision, as text where they are from, and whether
    they were played: of a playback that is not sound, or too short, the longer of the played and
    the planned ones. None without an application."""
    known, played = decision(report), played_states(report)
    if known is None or played is None or report["decision_source"] != "played":
        return None if known is None else (*known, False)
    if played.is_sound and played.decisions >= LEAST_DECISIONS:
        return *known, True
    planned_s = planned_decision_s(report)
    few = f"{played.decisions} decisions were played"
    cause = few if played.is_sound else "the playback is not known to be sound"
    source = f"planned, as {cause}; {LEAST_DECISIONS} are needed"
    return (planned_s, source, False) if planned_s >= known[0] else (*known, True)


def power_requirement(build: Build) -> Iterator[Requirement]:
    """Yield the average power, which has no limit, if the period of inferences is known."""
    if average := on_average(build.report):
        text, stale = "The average power is estimated", stale_energies(build.report)
        value = f"{average}; {stale}" if stale else average
        yield Requirement("POWER-1", text, None, value, "analysis: docs/developers/energy.md")


def loop_requirement(network: str) -> Requirement:
    """Return the requirement that all loops of network.c have constant bounds; kernels get their
    bounds as arguments from network.c."""
    loops = LOOP.findall(network)
    others = [loop for loop in loops if not COUNTED.match(loop)]
    value = f"{len(loops) - len(others)} of {len(loops)}"
    value += f"; not constant: {others[0]}" if others else ""
    text = "Loops of network.c have constant bounds"
    return Requirement("LOOP-1", text, not others, value, "analysis: src/network.c")
