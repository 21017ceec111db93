# SPDX-License-Identifier: Apache-2.0
"""Figures by which `advise` compares two builds, and the changes of them as text: every figure that
becomes better or worse by more than a negligible amount is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from myoedge.reports import near_memory, wording
from myoedge.reports.facts import value_at
from myoedge.reports.report_json import Report
from myoedge.reports.speed import duration

LEAST_GAIN = 0.02  # fraction of energy or cycles
LEAST_MEMORY_GAIN = 0.02  # fraction of L2
PATHS = {
    "cycles": "cycles.total",
    "latency_s": "latency_s",
    "energy_uj": "energy_uj.value",
    "sqnr_db": "quantization.sqnr_db",
    "accuracy": "quantization.accuracy_int8",
    "rmse": "quantization.targets.all.rmse_int8",
    "l2_bytes": "memory.l2_peak_bytes",
    "l3_bytes": "memory.l3_bytes",
    "chip_l2_bytes": "target.l2_bytes",
    "pass_frames": "stream.pass_frames",
}
LEVEL = "_bytes"  # end of the name of a memory's figure
STORED = "_stored"  # of a flash on the chip: its bytes with those of the program

Figures = Mapping[str, float | None]
Text = Callable[[float, float], str]  # old value, new value -> "" if the change is negligible


def figures(report: Report, more_mw: float = 0.0) -> dict[str, float | None]:
    """Return the figures of a build: those in PATHS, the average power if the period is known, a
    stream's delay in seconds from the first sample of a pass to its outputs or an application's to
    its decision, the number of parts beside the chip, the bytes in memories behind L2, and in a
    flash on the chip also with the program, if that is stored there.

    more_mw   to be added to the average power
    """
    levels = near_memory.levels(report)
    values: dict[str, float | None] = {f"{name}{LEVEL}": size for name, size in levels.items()}
    values |= {name: value_at(report, path) for name, path in PATHS.items()}
    duty = report.get("duty") or {}
    values["average_mw"] = duty["average_mw"][0] + more_mw if duty.get("keeps_up") else None
    stream = report.get("stream")
    hops_s = stream["pass_frames"] / stream["frame_hz"] if stream and stream["frame_hz"] else 0.0
    inference_s, decision_s = values["latency_s"], report.get("decision_s")
    other_s = None if inference_s is None else inference_s + hops_s
    values["delay_s"] = other_s if decision_s is None else decision_s
    values["external_parts"] = len(report["memory"]["external"])
    stored = near_memory.bytes_with_program(report)
    return values | {f"{flash}{STORED}": count for flash, count in stored.items()}


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """A figure that is compared.

    name       its name among the figures
    text       its change as text
    better     +1: more is better, -1: less is better
    absent     its value where it is not known; None: it is not compared
    """

    name: str
    text: Text
    better: int = -1
    absent: float | None = None

    def change(self, base: Figures, new: Figures) -> tuple[str, bool] | None:
        """Return the change as text, and whether it is better; None if there is none, or a value is
        not known."""
        old, now = (
            self.absent if (value := build.get(self.name)) is None else value
            for build in (base, new)
        )
        if old is None or now is None or not (text := self.text(old, now)):
            return None
        return text, self.better * (now - old) > 0


def external_text(old: float, new: float) -> str:
    """Return the parts beside the chip that are no longer needed, "no external RAM and flash", or
    needed now, "an external flash"."""
    few, many = sorted((int(old), int(new)))
    parts = " and ".join(near_memory.PARTS[few:many][::-1])
    return "" if few == many else f"{'no' if new < old else 'an'} external {parts}"


def compared(base: Figures, new: Figures) -> Sequence[ComparedFigure]:
    """Return the figures to compare of two builds, in the order of text: energy and cycles, which
    are of one pass of a stream, only of passes as long."""
    names = {name.removesuffix(LEVEL) for name in (*_memories(base), *_memories(new))}
    stored = {name.removesuffix(STORED) for x in (base, new) for name in x if name.endswith(STORED)}
    memories = {f"{x}{STORED if x in stored else LEVEL}": x.upper() for x in sorted(names | stored)}
    least = LEAST_MEMORY_GAIN * (base["chip_l2_bytes"] or math.inf)
    of_pass = (
        ComparedFigure("energy_uj", lambda old, now: _percent_text(old, now, "energy")),
        ComparedFigure("cycles", lambda old, now: _percent_text(old, now, "cycles")),
    )
    is_one_pass = base.get("pass_frames") == new.get("pass_frames")
    return (
        ComparedFigure("average_mw", _power_text, absent=math.inf),  # does not keep up
        ComparedFigure("accuracy", lambda old, now: _rounded_text(100 * (now - old), "points"), 1),
        ComparedFigure("rmse", lambda old, now: _percent_text(old, now, "RMSE")),
        ComparedFigure("sqnr_db", lambda old, now: _rounded_text(now - old, "dB"), 1),
        *(of_pass if is_one_pass else ()),
        *(
            ComparedFigure(x, _memory_text(memory, least), absent=0)
            for x, memory in memories.items()
        ),
        ComparedFigure("external_parts", external_text),
        ComparedFigure("delay_s", _delay_text),
    )


def memory_bytes(build: Figures) -> float:
    """Return the bytes in L2 and in all memories behind it."""
    return sum(build[name] or 0 for name in _memories(build))


def _memories(build: Figures) -> list[str]:
    return [name for name in build if name.endswith(LEVEL) and name != "chip_l2_bytes"]


@dataclass(frozen=True, slots=True)
class FigureChanges:
    """Gains and costs of a build against another, each as text: "-12 % energy", "+6.0 dB"."""

    gains: tuple[str, ...]
    costs: tuple[str, ...]

    @property
    def text(self) -> str:
        """Gains and costs: "+6.0 dB; costs: +2 % cycles"; "no change"."""
        costs = f"costs: {', '.join(self.costs)}" if self.costs else ""
        return "; ".join(filter(None, [", ".join(self.gains), costs])) or "no change"


def changes(base: Figures, new: Figures) -> FigureChanges:
    """Return the gains and costs of a build against another."""
    changed = ((one.name, one.change(base, new)) for one in compared(base, new))
    told = {name: change for name, change in changed if change is not None}
    better = {name: is_better for name, (_, is_better) in told.items()}
    # without a period, cycles tell the delay, unless the clock is another
    if base["average_mw"] is None and better.get("delay_s") == better.get("cycles"):
        told.pop("delay_s", None)
    gains, costs = (
        tuple(text for text, is_better in told.values() if is_better == kind)
        for kind in (True, False)
    )
    return FigureChanges(gains, costs)


def keeps_up_now(base: Figures, new: Figures) -> bool:
    """Return whether only the new build processes the stream in real time."""
    return base["average_mw"] is None and new["average_mw"] is not None


def _power_text(old: float, now: float) -> str:
    if old == now:
        return ""
    if now == math.inf:
        return "no longer keeps up with the stream"
    if old == math.inf:
        return f"keeps up with the stream, at {wording.three_digits(now)} mW"
    if not old or abs(now / old - 1) < LEAST_GAIN / 2:
        return ""
    return f"{wording.three_digits(now)} instead of {wording.three_digits(old)} mW"


def _rounded_text(change: float, unit: str) -> str:
    return f"{change:+.1f} {unit}" if round(change, 1) else ""


def _percent_text(old: float, now: float, noun: str) -> str:
    percent = round(100 * (now / old - 1)) if old else 0
    return f"{percent:+d} % {noun}" if percent else ""


def _memory_text(memory: str, least: float) -> Text:
    """Return the text of a memory's changes by at least `least` bytes: "90 KiB less of L3"."""

    def text(old: float, now: float) -> str:
        change = round(now - old)
        if abs(change) < least:
            return ""
        return f"{wording.size(abs(change))} {'less' if change < 0 else 'more'} of {memory}"

    return text


def _delay_text(old: float, now: float) -> str:
    if abs(now - old) < LEAST_GAIN * old:
        return ""
    return f"{duration(abs(now - old))} {'later' if now > old else 'earlier'}"
