# SPDX-License-Identifier: Apache-2.0
"""Cycles, latency and stalls of a run, and costs of int16, as text for the terminal and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from myoedge.backends.names import backends, by_source, cycle_text
from myoedge.numerics import element_type
from myoedge.reports import wording
from myoedge.reports.period import at_other_clocks as at_other_clocks
from myoedge.reports.period import decision, inference_s
from myoedge.reports.report_json import Report
from myoedge.targets import ACCELERATOR

INT16 = str(element_type.INT16)

CAUSE_NAMES = {
    "busy": "busy",
    "engine": f"for {ACCELERATOR.text}",
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
    "engine": f"Asleep while {ACCELERATOR.text} computes; not a stall.",
    "sleep": f"Asleep at a barrier or waiting for a transfer, {ACCELERATOR.text} idle.",
    "load_use": "An instruction needs the result of the preceding load.",
    "outside": "A load or store to L2 or a device, outside the cluster's own memory.",
    "fetch": "The next instruction is not in the instruction cache.",
    "bank": "Another core or the DMA uses the same L1 bank.",
    "jump": "A jump, or a taken branch, fetches from another address.",
    "arithmetic": "A multiplication's upper half, or a division, takes several cycles.",
    "misaligned": "A load or store that crosses a word takes two accesses.",
}


def cycles(report: Report) -> dict[str, Any] | None:
    """Return the report's entry on the cycles of an inference, counted in a run or estimated by the
    cost model; None for a chip without a clock."""
    counts: dict[str, Any] | None = report.get("cycles")
    return counts


def is_modelled(report: Report) -> bool:
    """Return whether the cycles are estimates of the cost model."""
    counts = cycles(report)
    return counts is not None and counts["source"] == "modelled"


def layer_cycles(row: Mapping[str, Any]) -> int | None:
    """Return the cycles of a layer: counted in a run, otherwise the cost model's estimate."""
    counted: int | None = row["cycles"]
    return row.get("cycles_modelled") if counted is None else counted


def cycles_by_layer(report: Report) -> list[int]:
    """Return the cycles of every layer; 0 if unknown."""
    return [layer_cycles(row) or 0 for row in report["layers"]]


def outside_layers(report: Report) -> tuple[str, int] | None:
    """Return (name, number) of the cycles outside all layers; None if there are none."""
    counts = cycles(report)
    cycles_outside = (counts or {}).get("outside_layers") or 0
    if cycles_outside <= 0:
        return None
    return ("states copied" if "stream" in report else "outputs copied"), cycles_outside


def waiting(row: Mapping[str, Any]) -> int:
    """Return the cycles of a layer that it waits for transfers, as estimated, and at most all."""
    return min(row.get("waiting_modelled") or 0, layer_cycles(row) or 0)


def measured_on(report: Report) -> str:
    """Return the name of the chip or simulator that counted the cycles: "simulated" with
    the chip's name, "GVSoC"."""
    chip = report["target"]["chip"].upper()
    if is_modelled(report):
        return f"cost model of {chip}"
    return cycle_text(report["cycles"]["source"]).format(chip)


def the_place(report: Report) -> str:
    """Return the name of the chip or simulator that counted the cycles, with its article for the
    middle of a sentence."""
    name = measured_on(report)
    return name if name.startswith(backends()["gvsoc"].chip) else f"the {name}"


def outputs_compared(report: Report, backend: str) -> bool:
    """Return whether only outputs have been compared with the reference on this backend, as at the
    end of a build; `validate` compares every layer."""
    simulated = (report["cycles"] or {}).get("source") == "simulated"
    return simulated and backend == "simulator" and report["exact"].get(backend) is None


def exactness(report: Report) -> str:
    """Return the result of the bit-exact comparison on the backend that counted the cycles; "" if
    it was not run."""
    backend = by_source().get(report["cycles"]["source"], "")
    is_exact = outputs_compared(report, backend) or report["exact"].get(backend)
    if is_exact is None:
        return ""
    return f"outputs {'' if is_exact else 'NOT '}bit for bit those of the reference"


def rate(macs: int, cycles: int | None) -> str:
    """Format multiply-accumulates per cycle to two decimals; "" without MACs or cycles."""
    return f"{macs / cycles:,.2f}" if macs and cycles else ""


def peak(report: Report, row: Mapping[str, Any]) -> int | None:
    """Return the maximum int8 multiply-accumulates per cycle of a layer's engine; None if
    unknown."""
    engines: Sequence[Mapping[str, Any]] = report["target"].get("engines") or ()
    rates = {engine["name"]: int(engine["macs_per_cycle"]) for engine in engines}
    return rates.get(row["engine"]) if row["macs"] else None


def peaks(report: Report) -> str:
    """Format the maximum MAC/cycle of each engine that runs MAC layers: "at best 144 on an
    accelerator, 36 on cores"; "" if unknown."""
    known: dict[str, int] = {}
    for row in report["layers"]:
        if best := peak(report, row):
            name = wording.engine(row)
            known[name] = max(best, known.get(name, 0))
    texts = [f"{n} on {name}" for name, n in sorted(known.items(), key=lambda pair: -pair[1])]
    return f"at best {', '.join(texts)}" if texts else ""


def duration(seconds: float, digits: int = 3) -> str:
    """Format a time with `digits` significant digits: "45.6 µs", "3.34 ms", "1.2 s"."""
    for scale, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * scale < 999.5:
            return f"{wording.three_digits(seconds * scale, digits)} {unit}"
    return f"{wording.three_digits(seconds, digits)} s"


def latencies(report: Report) -> list[tuple[str, str]]:
    """Return (latency, operating point) as text, the selected point first."""
    target = report["target"]
    points = target.get("operating_points") or []
    chosen = [point for point in points if point["name"] == target["operating_point"]]
    others = [point for point in points if point not in chosen]
    return [
        (
            duration(inference_s(report, p["clock_hz"])),
            wording.at_point(p["volts"], p["clock_hz"], p.get("waiting_hz", 0)),
        )
        for p in (*chosen, *others)
    ]


def latency(report: Report) -> str:
    """Format the latency by operating point: "3.34 ms at 0.80 V, 370 MHz; 5.15 ms at 0.65 V, 240
    MHz"; of an application also that of its decision."""
    texts = [f"{time} at {point}" for time, point in latencies(report)]
    if (found := decision(report)) is not None:
        texts.append(f"of a decision {duration(found[0])}, {found[1]}")
    return "; ".join(texts)


def one_line(report: Report) -> str:
    """Return a summary of the speed: "10,125 cycles, 0.14 MAC/cycle; 27.4 µs at 0.80 V, 42.2 µs at
    0.65 V"."""
    total = report["cycles"]["total"]
    cycles = f"{total:,}" if total < 10**7 else wording.count(total)
    parts = [f"{cycles} cycles", f"{rate(report['model']['macs'], total) or 0} MAC/cycle"]
    times = [f"{time} at {point.partition(',')[0]}" for time, point in latencies(report)]
    return f"{', '.join(parts)}; {', '.join(times)}"


def startup(report: Report) -> str:
    """Format the cycles from reset to the first layer; "" if unknown."""
    startup_cycles = report["cycles"].get("startup")
    if startup_cycles is None:
        return ""
    text = f"{startup_cycles:,} cycles before the first layer, not counted above"
    return f"{text}. {written}" if (written := startup_writes(report)) else text


def startup_writes(report: Report) -> str:
    """Tell that start-up cycles write weights into MRAM; "" without weights there."""
    stored = report["memory"].get("levels", {}).get("mram")
    text = f"They write {wording.size(stored)} of weights into MRAM, once per device"
    return f"{text}; later ones compare" if stored else ""


def accelerator_cycles(report: Report) -> Mapping[str, int]:
    """Return the busy and idle cycles of the accelerator in an inference; {} if it did not run."""
    found: Mapping[str, int] = report["cycles"].get(ACCELERATOR.name) or {}
    return found


def accelerator(report: Report) -> str:
    """Format the busy and idle cycles of the accelerator; "" if it did not run."""
    cycles = accelerator_cycles(report)
    if not cycles:
        return ""
    busy, idle = cycles["busy"], cycles["idle"]
    return f"{busy:,} cycles busy, {idle:,} idle ({100 * idle / max(1, busy + idle):.0f} %)"


def repeats(report: Report) -> str:
    """Describe the cycles of several inferences, "100 inferences of 1,234 to 1,240 cycles"; for a
    stream "the last of 4 passes; the first, with cold instruction caches, took 1,300 cycles"; ""
    for a single inference."""
    counted = report["cycles"].get("inferences") or []
    if len(counted) < 2:
        return ""
    if report["cycles"].get("shown"):
        first = f"the first, with cold instruction caches, took {counted[0]:,} cycles"
        return f"the last of {len(counted):,} passes; {first}"
    low, high = min(counted), max(counted)
    span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{len(counted):,} inferences of {span} cycles"


NO_STALLS = ("busy", "engine")


def slowest_layer(report: Report) -> str:
    """Describe the slowest layer: its fraction of the time, the accelerator's part of that,
    and the largest stall cause."""
    total = report["cycles"]["total"]
    row = max(report["layers"], key=lambda r: layer_cycles(r) or 0, default=None)
    longest = layer_cycles(row) if row else None
    if not row or not longest:
        return ""
    name = wording.layer_names(report)[row["name"]]
    parts = [f"{name} takes {wording.rough_percent(longest, total)} of the time"]
    if engine := accelerator_cycles(report):
        share = wording.rough_percent(engine["busy"], total)
        parts.append(f"{ACCELERATOR.text} computes for {share} of it")
    shares = (report["cycles"].get("stalls") or {}).items()
    if stalls := [pair for pair in shares if pair[0] not in NO_STALLS]:
        cause, percent = max(stalls, key=lambda pair: pair[1])
        name = CAUSE_NAMES.get(cause, cause)
        parts.append(f"largest stall cause: {name}, {percent:.0f} % of the cores' time")
    return "; ".join(parts)


# Cycles from barrier to barrier of a layer that computes next to nothing, in a single run with cold
# instruction caches: half of it is instruction fetch (drawn layers on the simulated chip).
START_CYCLES = 1_000
LOOP_START_CYCLES = 150  # in a loop: code and arguments are in the caches
MOSTLY_START = 0.3  # fraction of the cycles
OFTEN_WAITS = 0.03


def work_rate(report: Report) -> str:
    """Describe the cycles of an inference: "0.19 MAC/cycle, 72 % of them to start layers, 3 %
    waiting for transfers"; each part only if it is large."""
    total = report["cycles"]["total"]
    waits = sum(map(waiting, report["layers"]))
    waits_often = waits > OFTEN_WAITS * total
    shares = {
        "to start layers": start_percent(report),
        "waiting for transfers": wording.rough_percent(waits, total) if waits_often else "",
    }
    found = (f"{percent} of them {name}" for name, percent in shares.items() if percent)
    return ", ".join([f"{rate(report['model']['macs'], total) or 0} MAC/cycle", *found])


def start_percent(report: Report) -> str:
    """Return the part of an inference that starting layers takes, "72 %"; "" if it is small."""
    rows, counts = report["layers"], cycles(report)
    if not rows or counts is None or not counts["total"]:
        return ""
    starts = [
        min(layer_cycles(row) or 0, START_CYCLES + LOOP_START_CYCLES * (times - 1))
        for row, times in zip(rows, _iterations_by_layer(report), strict=True)
    ]
    if sum(starts) < MOSTLY_START * counts["total"]:
        return ""
    return wording.rough_percent(sum(starts), counts["total"])


def small_layers(report: Report) -> str:
    """Describe the time that starting layers takes, if it is a large part of a run: "starting
    12 layers takes about 57 % of the cycles; ..."; otherwise ""."""
    percent, count = start_percent(report), sum(_iterations_by_layer(report))
    if not percent:
        return ""
    parts = [f"starting {wording.several(count, 'layer')} takes about {percent} of the cycles"]
    fetch = ((cycles(report) or {}).get("stalls") or {}).get("fetch")
    parts += [f"cores wait for instructions {fetch:.0f} % of the time"] if fetch else []
    parts += ["fewer, wider layers are faster"] if count > 1 else []
    return "; ".join(parts)


def _iterations_by_layer(report: Report) -> list[int]:
    """Return how often each layer starts in an inference: more than once in a loop, unless one
    call computes all iterations."""
    names = [row["name"] for row in report["layers"]]
    times = [1] * len(names)
    for loop in report["model"].get("loops", ()):
        if not loop.get("in_one_call"):
            for i in range(loop["first"], loop["last"] + 1):
                times[i] = loop["steps"]
    return times


def int16_layers(report: Report) -> list[dict[str, Any]]:
    """Return the layers with int16 results."""
    return [row for row in report["layers"] if row.get("dtype") == INT16]


def int16_costs(report: Report) -> str:
    """Describe the cost of int16: "3 tensors, 12 KiB more than in int8; 2 layers with int16
    weights, 90 KiB; layers that read or write them take 34 % of the cycles"; "" if every result is
    int8."""
    rows, layers = int16_layers(report), report["layers"]
    if not rows:
        return ""
    more_bytes = wording.size(sum(row["out_bytes"] // 2 for row in rows))
    texts = [f"{wording.several(len(rows), 'tensor')}, {more_bytes} more than in int8"]
    if weighted := [row for row in layers if row.get("weight_dtype") == INT16]:
        size = wording.size(sum(row["weights_bytes"] for row in weighted))
        texts.append(f"{wording.several(len(weighted), 'layer')} with int16 weights, {size}")
    if cycles(report) is not None:
        pairs = zip(layers, cycles_by_layer(report), strict=True)
        counted = sum(n for row, n in pairs if INT16 in (row["dtype"], *row["in_dtypes"]))
        percent = wording.rough_percent(counted, report["cycles"]["total"])
        texts.append(f"layers that read or write them take {percent} of the cycles")
    return "; ".join(texts)
