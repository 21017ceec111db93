# SPDX-License-Identifier: Apache-2.0
"""Numbers and phrases of a report, for the terminal and HTML."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from myoedge.operators.engine_choice import CORES
from myoedge.operators.kernel import CLUSTER, NINE_CORES
from myoedge.operators.layer_names import unique_names
from myoedge.reports.evaluations import EXACT_DB
from myoedge.reports.report_json import Report, dims

KIB = 1024
UNKNOWN = "–"
FINE_DB = 1.0  # width up to which an interval's decimals mean something


def size(count: float | None) -> str:
    """Format bytes as B, KiB or MiB with about three digits: "29 B", "3 KiB", "1.5 MiB"."""
    if count is None:
        return UNKNOWN
    if count < KIB:
        return f"{count:.0f} B"
    unit, value = ("KiB", count / KIB) if count < KIB * KIB else ("MiB", count / KIB / KIB)
    return f"{three_digits(value)} {unit}"


def count(number: int) -> str:
    """Format a count: "1,234"; from 100,000 on "346 k" and "14.4 M"."""
    for limit, unit in ((10**9, "G"), (10**6, "M"), (10**5, "k")):
        if number >= limit:
            return f"{three_digits(number / (10**3 if unit == 'k' else limit))} {unit}"
    return f"{number:,}"


def several(number: int, noun: str) -> str:
    """Format a number with its noun: "1 sample", "1,024 samples"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def loops(report: Report) -> str:
    """Describe the loops of a network, "layers 2 to 12 run 40 times"; "" if it has none."""
    rows = report["model"].get("loops", ())
    parts = [f"{x['first']} to {x['last']} run {several(x['steps'], 'time')}" for x in rows]
    return f"layers {', '.join(parts)}; cycles and MACs are of all iterations" if parts else ""


def three_digits(value: float, digits: int = 3) -> str:
    """Format a number with about `digits` significant digits, without zeros at the end."""
    decimals = digits - (1 if value < 10 else 2 if value < 100 else 3)
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def told_apart(show: Callable[[float, int], str], *values: float) -> list[str]:
    """Format values with as few digits (at least three) as give each value a different text.

    show   (value, digits) -> text
    """
    for digits in range(3, 16):
        texts = [show(value, digits) for value in values]
        if len({*texts}) == len({*values}):
            break
    return texts


def in_full(value: float) -> str:
    """Format a number to nine decimals, without an exponent: "0.000001", "100"."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def decibels(value: float | None, unit: str = " dB") -> str:
    if value is None:
        return UNKNOWN
    return "exact" if value >= EXACT_DB else f"{value:z.1f}{unit}"


def percent(fraction: float | None) -> str:
    return UNKNOWN if fraction is None else f"{100 * fraction:.1f} %"


def percent_range(ends: Sequence[float]) -> str:
    """Format an interval of fractions: "94.2 to 98.3 %"."""
    return "{:.1f} to {:.1f} %".format(*(100 * end for end in ends))


def at_point(volts: float, clock_hz: float, waiting_hz: float = 0) -> str:
    """Format an operating point: "0.80 V, 370 MHz", or "0.65 V, 240 MHz, waiting at 10 MHz"."""
    waiting = f", waiting at {megahertz(waiting_hz)}" if waiting_hz else ""
    return f"{volts:.2f} V, {megahertz(clock_hz)}{waiting}"


def megahertz(clock_hz: float) -> str:
    """Format a clock: "370 MHz", "56.1 MHz"."""
    return f"{clock_hz / 1e6:g} MHz"


def shares_of_clocks(clocks_s: Sequence[Sequence[float]]) -> str:
    """Format the times of several clocks: "10 MHz 98 % of the time, 240 MHz 2 %"; "" for one.

    clocks_s   pairs: clock in Hz, seconds
    """
    rows = sorted(clocks_s, key=lambda pair: -pair[1])
    total_s = sum(seconds for _, seconds in rows)
    shares = [
        f"{three_digits(clock_hz / 1e6)} MHz {rough_percent(seconds, total_s)}"
        for clock_hz, seconds in rows
    ]
    shares[:1] = [f"{share} of the time" for share in shares[:1]]
    return ", ".join(shares) if len(shares) > 1 else ""


UNITS = re.compile(r"(?<=\d) (?=(?:%|[mµn]?[JWVs]|[kMG]?Hz)(?!\w))")


def no_break(text: str) -> str:
    """Replace blanks between numbers and their units by no-break spaces."""
    return UNITS.sub("\u00a0", text)


def fraction(part: float, total: float) -> float:
    return part / total if total else 0.0


COMPARISONS = {True: "same integers", False: "DIFFERENT", None: "not run"}


def reused(reused_layers: Mapping[str, Any]) -> str:
    """Describe the layers reused from an older build: "7 of 9 layers as in the older build;
    requantised: head.0, head.2; with its bits: head.2"."""
    kept, others, bits = (reused_layers.get(x, ()) for x in ("kept", "requantised", "rounded"))
    text = f"{len(kept)} of {several(len(kept) + len(others), 'layer')} as in the older build"
    named = [("requantised", others), ("with its bits", bits)]
    return "; ".join([text, *(f"{label}: {', '.join(x)}" for label, x in named if x)])


def engines(report: Report) -> str:
    """Format MAC layers by engine, "ENGINE: 6 of 8 MAC layers; cores: 2"; "" without
    accelerator."""
    rows = [row for row in report["layers"] if row["macs"]]
    if not any(row.get("other_engine") for row in rows):
        return ""
    by_engine = Counter(map(engine, rows))
    on_cores = by_engine.pop(CORES, 0)
    counts = [(name.upper(), count) for name, count in by_engine.items()]
    counts += [("cores", on_cores)] * (on_cores > 0)
    (first, number), *rest = counts
    parts = [f"{first}: {number} of {several(len(rows), 'MAC layer')}"]
    return "; ".join([*parts, *(f"{name}: {count}" for name, count in rest)])


def engine(row: Mapping[str, Any]) -> str:
    """Return the engine of a layer, "cores" for eight and nine cores; "" if it has none."""
    return CORES if row["engine"] in (CLUSTER, NINE_CORES) else row["engine"] or ""


def quantise(port: dict[str, Any]) -> str:
    """Return the formula by which the host quantises an input: "q = round(x / 0.0123) - 128"."""
    if port["scale"] is None:
        return "integers as they are"
    x = "x" if port["border"] is None else "x'"
    return f"q = round({x} / {port['scale']:.6g}){_signed_text(port['zero_point'])}"


def dequantise(port: dict[str, Any]) -> str:
    """Return the formula by which the host dequantises an output: "y = 0.0123 * (q + 128)"."""
    if port["scale"] is None:
        return "indices"
    zero = _signed_text(-port["zero_point"])
    return f"y = {port['scale']:.6g} * {f'(q{zero})' if zero else 'q'}"


def normalization(port: dict[str, Any]) -> str:
    """Return the formula that the host applies to an input, "x' = x * scale + offset along axis 1";
    "" for none."""
    border = port["border"]
    if border is None:
        return ""
    if len(border["scale"]) == 1:
        return f"x' = x * {border['scale'][0]:.6g} {_plus_sign(border['offset'][0])}"
    return f"x' = x * scale + offset, one of each along axis {border['axis']}"


def _plus_sign(number: float) -> str:
    return f"{'-' if number < 0 else '+'} {abs(number):.6g}"


def _signed_text(number: int) -> str:
    return f" {_plus_sign(number)}" if number else ""


def rough_percent(part: float, total: float) -> str:
    """Format part / total as a whole percentage: "27 %", "<1 %"; "" for zero."""
    if not part:
        return ""
    rounded = round(100 * fraction(part, total))
    return f"{rounded} %" if rounded else "<1 %"


CHAIN_NAMES = 4  # of a chain; of a longer one the first two and the last are shown


def operator(row: dict[str, Any]) -> str:
    """Return an operator with its fused function, "conv + relu"; for a lookup table the names of
    its functions, for a chain those of its operators."""
    if members := row.get("members"):
        shown = members if len(members) <= CHAIN_NAMES else [*members[:2], "...", members[-1]]
        return ", ".join(shown)
    joint = " " if row["op"] == "table" else " + "
    return joint.join(filter(None, (row["op"], row["activation"])))


def results(row: Mapping[str, Any]) -> list[str]:
    """Return the names of the tensors that a layer writes; reports made before layers with several
    results have its name alone."""
    return list(row.get("writes") or [row["name"]])


def shapes(ports: list[dict[str, Any]]) -> str:
    return ", ".join(f"{port['name']} {dims(port['shape'])}" for port in ports)


def layer_names(report: Report) -> dict[str, str]:
    """Return the display names of the layers, by their names in report.json."""
    layers = report["layers"]
    names = (row["name"] for row in layers)
    return dict(zip(names, unique_names(layers), strict=True))


MAX_FACTORS = 32


def factors(port: dict[str, Any]) -> list[tuple[float, float]]:
    """Return (scale, offset) of the first MAX_FACTORS channels of an input's normalisation."""
    return list(zip(port["border"]["scale"], port["border"]["offset"], strict=True))[:MAX_FACTORS]


def step_name(report: Report, step: int) -> str:
    layers = report["layers"]
    return unique_names(layers)[step] if step < len(layers) else "the copy to the outputs"


METER_DB = 60.0  # a full bar; int8 can hardly reach more


def meter(value: float | None) -> str:
    """Return the length in percent of a bar that shows an SQNR; METER_DB dB is 100 %."""
    return f"{100 * min(max(value or 0.0, 0.0) / METER_DB, 1.0):.1f}"
