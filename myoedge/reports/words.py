# SPDX-License-Identifier: Apache-2.0
"""Numbers and sentences of a report as people read them, the same on the terminal and in HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from myoedge.operators.layer_names import places, told_apart
from myoedge.reports.rows import EXACT_DB, WEAK_DB, Report, dims

KIB = 1024
UNKNOWN = "–"


def size(count: int | None) -> str:
    """Bytes as B, KiB or MiB with about three digits: "29 B", "3 KiB", "1.5 MiB"."""
    if count is None:
        return UNKNOWN
    if count < KIB:
        return f"{count} B"
    unit, value = ("KiB", count / KIB) if count < KIB * KIB else ("MiB", count / KIB / KIB)
    return f"{three_digits(value)} {unit}"


def count(number: int) -> str:
    """1,234; from a hundred thousand on 346 k and 14.4 M."""
    for limit, unit in ((10**9, "G"), (10**6, "M"), (10**5, "k")):
        if number >= limit:
            return f"{three_digits(number / (10**3 if unit == 'k' else limit))} {unit}"
    return f"{number:,}"


def several(number: int, what: str) -> str:
    """ "1 sample", "1,024 samples"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def run_of(report: Report) -> str:
    """What figures are of: a pass of a stream, or an inference."""
    return "pass" if "stream" in report else "inference"


def three_digits(value: float) -> str:
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def decibels(value: float | None, unit: str = " dB") -> str:
    if value is None:
        return UNKNOWN
    return "exact" if value >= EXACT_DB else f"{value:.1f}{unit}"


def percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.1f} %"


UNITS = re.compile(r"(?<=\d) (?=(?:%|[mµn]?[JWVs]|[kMG]?Hz)(?!\w))")


def firm(text: str) -> str:
    """With numbers that no line ends behind, where their unit follows."""
    return UNITS.sub("\u00a0", text)


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def points(report: Report) -> str:
    """int8 accuracy against float in points: "+0.1 points"; "" where one is not known."""
    q = report["quantization"]
    if q["accuracy_float"] is None or q["accuracy_int8"] is None:
        return ""
    lost = round(100 * (q["accuracy_int8"] - q["accuracy_float"]), 1)
    return "no change" if lost == 0 else f"{lost:+.1f} points"


def unjudged(report: Report) -> str:
    """Why labels that were given say no accuracy; "" where none were given, or they do."""
    told = any(warning["code"] == "W202" for warning in report["warnings"])
    return "Labels were given; see W202 below for why they cannot be compared." if told else ""


RUNG_NAMES = {
    "host": "C on the host",
    "simulator": "simulator",
    "gvsoc": "GVSoC",
    "board": "board",
}
ANSWERS = {True: "same integers", False: "DIFFERENT", None: "not run"}


def calibrated(report: Report) -> str:
    """ "calibrated on 3 example inputs (min-max)"."""
    calibration = report["quantization"]["calibration"]
    method = {"minmax": "min-max"}.get(calibration["observer"], calibration["observer"])
    return f"calibrated on {calibration['source']} ({method})"


def on_examples(report: Report) -> bool:
    """Whether calibration had only the archive's example inputs, so that numbers say little."""
    source = report["quantization"]["calibration"]["source"]
    return re.fullmatch(r"\d+ example inputs?", source) is not None


def bound(report: Report) -> str:
    """How good the placement is: "3 KiB, no placement needs less"."""
    memory = report["memory"]
    arena, least = memory["arena_bytes"], memory["lower_bound_bytes"]
    if memory["l3_bytes"]:
        return f"{size(arena)}, what comes from L3 ahead of use included"
    if arena == least:
        return f"{size(arena)}, no placement needs less"
    proof = "proven smallest" if memory["proven"] else "not proven smallest"
    return f"{size(arena)}, {proof}; at least {size(least)} are alive at once"


def reused(found: Mapping[str, Any]) -> str:
    """ "7 of 9 layers as in the older build; requantised: head.0, head.2"."""
    kept, others = found["kept"], found["requantised"]
    text = f"{len(kept)} of {several(len(kept) + len(others), 'layer')} as in the older build"
    return f"{text}; requantised: {', '.join(others)}" if others else text


def quantise(port: dict[str, Any]) -> str:
    """How an input's floats become integers: "q = round(x / 0.0123) - 128"."""
    if port["scale"] is None:
        return "integers as they are"
    x = "x" if port["border"] is None else "x'"
    return f"q = round({x} / {port['scale']:.6g}){_signed(port['zero_point'])}"


def dequantise(port: dict[str, Any]) -> str:
    """What an output's integers stand for: "y = 0.0123 * (q + 128)"."""
    if port["scale"] is None:
        return "indices"
    zero = _signed(-port["zero_point"])
    return f"y = {port['scale']:.6g} * {f'(q{zero})' if zero else 'q'}"


def border(port: dict[str, Any]) -> str:
    """What the host does first: "x' = x * scale + offset along axis 1"; "" for nothing."""
    found = port["border"]
    if found is None:
        return ""
    if len(found["scale"]) == 1:
        return f"x' = x * {found['scale'][0]:.6g} {_plus(found['offset'][0])}"
    return f"x' = x * scale + offset, one of each along axis {found['axis']}"


def _plus(number: float) -> str:
    return f"{'-' if number < 0 else '+'} {abs(number):.6g}"


def _signed(number: int) -> str:
    return f" {_plus(number)}" if number else ""


def rough_percent(part: float, whole: float) -> str:
    """ "27 %", "<1 %"; "" for nothing."""
    if not part:
        return ""
    rounded = round(100 * share(part, whole))
    return f"{rounded} %" if rounded else "<1 %"


def what(row: dict[str, Any]) -> str:
    """An operator and what is fused into it: "conv + relu"; of a table its functions."""
    joint = " " if row["op"] == "table" else " + "
    return joint.join(filter(None, (row["op"], row["activation"])))


def advice(report: Report) -> str:
    """One sentence on the layer that adds most noise, with a remedy only where one is needed."""
    weakest = report["quantization"]["weakest"]
    if weakest is None:
        return ""
    name = layer_names(report)[weakest["name"]]
    found = f"{name} adds most noise: {decibels(weakest['sqnr_local_db'])} on its own"
    if weakest["sqnr_local_db"] >= WEAK_DB:
        return f"{found}, which is good"
    return f"{found}; try another observer (percentile, mse) for it, or more calibration samples"


def shapes(ports: list[dict[str, Any]]) -> str:
    return ", ".join(f"{port['name']} {dims(port['shape'])}" for port in ports)


def layer_names(report: Report) -> dict[str, str]:
    """Layers by what report.json calls them, as people read them everywhere."""
    layers = report["layers"]
    names = (row["name"] for row in layers)
    return dict(zip(names, told_apart(layers), strict=True))


def layer_places(report: Report) -> dict[str, str]:
    """The same where the operator stands beside them."""
    layers = report["layers"]
    return {row["name"]: name for row, name in zip(layers, places(layers), strict=True)}


ELLIPSIS = "…"
LONG_LEAD = 4  # characters that all names begin with and that are worth leaving out


def shortened(names: Sequence[str], most: int) -> list[str]:
    """Names of at most so many characters: where one is longer, without the modules that all begin
    with, then cut where most of them stay apart: at the end, in the middle, or at the beginning.
    """
    if all(len(name) <= most for name in names):
        return list(names)
    lead = _shared(min(names), max(names))
    same = lead.rfind("/" if "/" in lead else ".") + 1  # "layer.0" is one of ONNX's names
    if same >= LONG_LEAD and len(names) > 1:
        names = [ELLIPSIS + name[same:] for name in names]
    kept = max(most - 1, 1)
    ways = [[_cut(name, most, head) for name in names] for head in (kept, kept // 2, 0)]
    return max(ways, key=lambda found: len(set(found)))


def _shared(a: str, b: str) -> str:
    """What both begin with."""
    pairs = zip(a, b, strict=False)
    return a[: next((n for n, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))]


def _cut(name: str, most: int, head: int) -> str:
    """So many characters of its beginning, and as many of its end as there is room for."""
    if len(name) <= most:
        return name
    tail = max(most - 1 - head, 0)
    return name[:head] + ELLIPSIS + name[len(name) - tail :]


ENDINGS = {"log_softmax": "log-softmax", "ctc_greedy": "greedy decoding"}


def before(functions: Sequence[str]) -> str:
    """Where an SQNR "at the output" is measured: ", before the softmax"; "" at the very end."""
    names = [f"the {ENDINGS.get(name, name)}" for name in functions]
    return f", before {' and '.join(names)}" if names else ""


def at_outputs(each_db: Mapping[str, float | None], functions: Sequence[str]) -> str:
    """What an SQNR is of: "at the output", "over the outputs scores (40.1 dB), state (37.0 dB)"."""
    if len(each_db) < 2:
        return f"at the output{before(functions)}"
    listed = ", ".join(f"{name} ({decibels(db)})" for name, db in each_db.items())
    return f"over the outputs {listed}{before(functions)}"


def last_so_far(report: Report) -> str:
    """Whether "so far" of the last layer is the SQNR of the network."""
    if functions := report["quantization"].get("sqnr_before"):
        return f" The network's SQNR is that{before(functions).removeprefix(',')}."
    outputs = report["stream"]["outputs"] if "stream" in report else report["outputs"]
    return " The last layer's is the network's." if len(outputs) == 1 else ""


def judged(report: Report) -> str:
    """What SQNR was measured with: "integer reference ..., 1,000 samples"."""
    q = report["quantization"]
    return (
        ""
        if q["samples"] is None
        else f"{q['source']}, {several(q['samples'], 'calibration sample')}"
    )


MOST_FACTORS = 32


def factors(port: dict[str, Any]) -> list[tuple[float, float]]:
    """The first per-channel scales and offsets of an input."""
    return list(zip(port["border"]["scale"], port["border"]["offset"], strict=True))[:MOST_FACTORS]


def step_name(report: Report, step: int) -> str:
    layers = report["layers"]
    return told_apart(layers)[step] if step < len(layers) else "the copy to the outputs"


def peak(report: Report) -> str:
    """Who makes the peak: "features.0 + 1 1.5 KiB, features.2 + 3 1.5 KiB"."""
    names = layer_names(report)
    memory = report["memory"]
    alive = [b for b in memory["buffers"] if b["name"] in memory["peak_buffers"]]
    results = [f"{names[b['name']]} ({size(b['size_bytes'])})" for b in alive if b["name"] in names]
    far = sum(b["size_bytes"] for b in alive if b["name"] not in names)
    return ", ".join([*results, *([f"what comes from L3 ({size(far)})"] if far else [])])


def from_l3(report: Report) -> str:
    """What every run moves from L3 and back; "" for nothing."""
    memory = report["memory"]
    maps = sum(row["size_bytes"] for row in memory.get("l3_maps", ()))
    parts = {"weights": memory.get("l3_weights_bytes", memory["l3_bytes"]), "feature maps": maps}
    return ", ".join(f"{name} {size(count)}" for name, count in parts.items() if count)


METER_DB = 60.0  # a full bar: int8 can hardly be better


def meter(value: float | None) -> str:
    """Percent of a bar that stands for an SQNR."""
    return f"{100 * min(max(value or 0.0, 0.0) / METER_DB, 1.0):.1f}"
