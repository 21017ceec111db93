# SPDX-License-Identifier: Apache-2.0
"""Cycles, latency and lost time of a run as people read them, on the terminal and in HTML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myoedge.reports import words
from myoedge.reports.rows import Report

CAUSE_NAMES = {
    "busy": "busy",
    "sleep": "waiting",
    "load_use": "load-use",
    "outside": "L2",
    "fetch": "I-cache",
    "bank": "L1 banks",
    "jump": "jumps",
    "arithmetic": "mul/div",
    "misaligned": "misaligned",
}
CAUSE_MEANINGS = {
    "busy": "An instruction in this cycle.",
    "sleep": "Asleep at a barrier or for a transfer: others have more to do.",
    "load_use": "An instruction needs what the one before it is still loading.",
    "outside": "A load or store to L2 or a device, beyond the cluster's own memory.",
    "fetch": "The next instruction is not in the instruction cache.",
    "bank": "Another core or the DMA has the bank of L1 that is needed.",
    "jump": "A jump, or a branch that is taken, fetches from another place.",
    "arithmetic": "A multiplication's upper half, or a division, takes several cycles.",
    "misaligned": "A load or store that crosses a word takes two accesses.",
}
MEASURED_ON = {
    "modelled": "cost model of {}",
    "simulated": "simulated {}",
    "gvsoc": "GVSoC",
    "board": "{} board",
}


def cycles(report: Report) -> dict[str, Any] | None:
    """What a run has shown, before that what the cost model says; None without a clock."""
    found: dict[str, Any] | None = report.get("cycles")
    return found


def is_modelled(report: Report) -> bool:
    """Whether the cycles are the cost model's: nothing has run."""
    found = cycles(report)
    return found is not None and found["source"] == "modelled"


def layer_cycles(row: Mapping[str, Any]) -> int | None:
    """Of a layer, as far as `cycles` knows: counted, else modelled."""
    counted: int | None = row["cycles"]
    return row.get("cycles_modelled") if counted is None else counted


def outside_layers(report: Report) -> tuple[str, int] | None:
    """(what it is, cycles) of the total beyond the sum of all layers; None where that is all."""
    found = cycles(report)
    outside = (found or {}).get("outside_layers") or 0
    if outside <= 0:
        return None
    if is_modelled(report):
        return "waiting for L3", outside
    return ("states kept" if "stream" in report else "outputs copied"), outside


def measured_on(report: Report) -> str:
    """ "simulated GAP9", "GVSoC"."""
    return MEASURED_ON[report["cycles"]["source"]].format(report["target"]["chip"].upper())


def the_place(report: Report) -> str:
    """measured_on inside a sentence: "the simulated GAP9", "GVSoC"."""
    name = measured_on(report)
    return name if name == MEASURED_ON["gvsoc"] else f"the {name}"


RUNGS = {"simulated": "simulator", "gvsoc": "gvsoc", "board": "board"}


def exactness(report: Report) -> str:
    """What the place that counted the cycles gave; "" where nothing was compared there."""
    answer = report["exact"].get(RUNGS.get(report["cycles"]["source"], ""))
    if answer is None:
        return ""
    return f"outputs {'' if answer else 'NOT '}bit for bit those of the reference"


def rate(macs: int, cycles: int | None) -> str:
    """MAC/cycle to two decimals; "" where there is nothing to divide."""
    return f"{macs / cycles:,.2f}" if macs and cycles else ""


def duration(seconds: float) -> str:
    """ "45.6 µs", "3.34 ms", "1.2 s": about three digits."""
    for scale, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * scale < 999.5:
            return f"{words.three_digits(seconds * scale)} {unit}"
    return f"{words.three_digits(seconds)} s"


def latencies(report: Report) -> list[tuple[str, str]]:
    """Time of an inference by operating point, the chosen one first: ("3.34 ms", "0.80 V, ...")."""
    target = report["target"]
    known = target.get("operating_points") or []
    chosen = [point for point in known if point["name"] == target["operating_point"]]
    others = [point for point in known if point not in chosen]
    total = report["cycles"]["total"]
    return [(duration(total / p["clock_hz"]), _point(p)) for p in (*chosen, *others)]


def _point(point: Mapping[str, Any]) -> str:
    return f"{point['volts']:.2f} V, {point['clock_hz'] / 1e6:.0f} MHz"


def latency(report: Report) -> str:
    """ "3.34 ms at 0.80 V, 370 MHz; 5.15 ms at 0.65 V, 240 MHz"."""
    return "; ".join(f"{time} at {point}" for time, point in latencies(report))


def in_short(report: Report) -> str:
    """ "10,125 cycles, 0.14 MAC/cycle; 27.4 µs at 0.80 V, 42.2 µs at 0.65 V"."""
    total = report["cycles"]["total"]
    cycles = f"{total:,}" if total < 10**7 else words.count(total)
    parts = [f"{cycles} cycles", f"{rate(report['model']['macs'], total) or 0} MAC/cycle"]
    times = [f"{time} at {point.partition(',')[0]}" for time, point in latencies(report)]
    return f"{', '.join(parts)}; {', '.join(times)}"


def startup(report: Report) -> str:
    """What comes before the first layer; "" where it is not known."""
    found = report["cycles"].get("startup")
    return "" if found is None else f"{found:,} cycles before the first layer, not counted above"


def repeats(report: Report) -> str:
    """ "100 inferences of 1,234 to 1,240 cycles"; of a stream "the last of 4 passes; the first, its
    code in no cache yet, took 1,300 cycles"; "" for a single one."""
    counted = report["cycles"].get("inferences") or []
    if len(counted) < 2:
        return ""
    if report["cycles"].get("shown"):
        first = f"the first, its code in no cache yet, took {counted[0]:,} cycles"
        return f"the last of {len(counted):,} passes; {first}"
    low, high = min(counted), max(counted)
    span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{len(counted):,} inferences of {span} cycles"


def most_time(report: Report) -> str:
    """The layer that takes longest, and where all time goes."""
    total = report["cycles"]["total"]
    row = max(report["layers"], key=lambda r: layer_cycles(r) or 0, default=None)
    longest = layer_cycles(row) if row else None
    if not row or not longest:
        return ""
    name = words.layer_names(report)[row["name"]]
    found = f"{name} takes {words.rough_percent(longest, total)} of the time"
    lost = [pair for pair in (report["cycles"].get("stalls") or {}).items() if pair[0] != "busy"]
    if not lost:
        return found
    cause, share = max(lost, key=lambda pair: pair[1])
    name = CAUSE_NAMES.get(cause, cause)
    return f"{found}; of the cores' time most is lost to {name}, {share:.0f} %"
