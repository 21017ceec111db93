# SPDX-License-Identifier: Apache-2.0
"""The facts of a build: the values of report.json that summaries, comparisons, checks, sweeps and
trackers show, each defined once; and the verdict on their changes: better or worse."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from myoedge.reports import energy, near_memory, speed, wording

if TYPE_CHECKING:
    from myoedge.reports.diff import Change


Value = float | int | str | bool | list[float] | None


@dataclass(frozen=True, slots=True)
class ValueUnit:
    """A unit of values.

    show     value -> text with unit
    change   difference -> text; None: changes are in percent of the old value
    bound    largest accepted loss -> text
    read     what report.json has -> value
    """

    show: Callable[[Any], str]
    change: Callable[[float], str] | None = None
    bound: Callable[[float], str] = lambda share: f"{100 * share:g} %"
    read: Callable[[Any], Value] = lambda found: found


@dataclass(frozen=True, slots=True)
class Fact:
    """A value of a build, or of a layer.

    key      its path in report.json
    title    its name in messages
    unit     its unit
    better   +1: more is better, -1: less is better, 0: neither
    bound    name of its bound in [check] and in a sweep's [bounds]; "": it has none
    short    its name in tables; "": the title
    alike    paths of report.json: where two builds differ in one of them, neither value is better
    absent   the value of a report without it
    value    the value; None: not known
    """

    key: str
    title: str
    unit: ValueUnit
    better: int = 0
    bound: str = ""
    short: str = ""
    alike: tuple[str, ...] = ()
    absent: Value = None
    value: Value = None

    @property
    def text(self) -> str:
        """The value with its unit."""
        return self.unit.show(self.value)

    def value_in(self, report: Mapping[str, Any]) -> Value:
        """Return the value in a report, or of one of its layers."""
        return self.value_of(value_at(report, self.key))

    def value_of(self, found: Any) -> Value:
        """Return the value of what a report has at its path."""
        return self.absent if found is None else self.unit.read(found)

    def loss(self, bound: float) -> str:
        """Return an accepted loss as text: "2 % more", "0.5 dB less"."""
        return f"{self.unit.bound(bound)} {'less' if self.better > 0 else 'more'}"


def titled(*reports: Mapping[str, Any]) -> list[Fact]:
    """Return FACTS with the names of the last report's memories, without those of memories that no
    report's chip has, and those of further memory levels with data."""
    titles = IN_FLASH if near_memory.has_flash(reports[-1]) else {}
    lacks = {
        key
        for key, size in LEVELS.items()
        if not any(value_at(report, x) for report in reports for x in (key, size))
    }
    known = (fact for fact in FACTS if fact.key not in lacks)
    named = [replace(fact, title=titles.get(fact.key, fact.title)) for fact in known]
    return [*named, *_facts_of_levels(reports)]


def _facts_of_levels(reports: Sequence[Mapping[str, Any]]) -> Iterator[Fact]:
    """Yield the facts of the memory levels other than L3 in which a report has data."""
    names = dict.fromkeys(name for report in reports for name in near_memory.levels(report))
    for name in names:
        short, key = name.upper(), f"memory.levels.{name}"
        if name != "l3":
            yield Fact(key, f"{short} memory", BYTES, -1, "memory", short, alike=CHIP, absent=0)


def facts(report: Mapping[str, Any]) -> list[Fact]:
    """Return the facts of a build that its report knows, in order."""
    made = (replace(fact, value=fact.value_in(report)) for fact in titled(report))
    return [fact for fact in made if fact.value is not None]


def is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def value_at(report: Mapping[str, Any], path: str) -> Any:
    """Return the value at path "a.b", or "a.0" of a list; None if a part of the path is null or
    missing."""
    value: Any = report
    for key in path.split("."):
        if isinstance(value, list | tuple):
            value = dict(enumerate(value)).get(int(key))
        else:
            value = value.get(key) if isinstance(value, Mapping) else None
    return value


TEXT = ValueUnit(str)
COUNT = ValueUnit(lambda value: f"{value:,}" if is_number(value) else str(value))
DIGEST = ValueUnit(lambda digest: str(digest)[:16])
SHARE = ValueUnit(wording.percent, lambda change: f"{100 * change:+z.1f} points")
DECIBELS = ValueUnit(wording.decibels, lambda change: f"{change:+z.1f} dB", lambda db: f"{db:g} dB")
ERROR = ValueUnit("{:.4g}".format)
EXACT = ValueUnit(wording.COMPARISONS.__getitem__)
SECONDS = ValueUnit(speed.duration)
MICROJOULES = ValueUnit(lambda uj: energy.amount(uj / energy.MICRO))
BYTES = ValueUnit(wording.size)
PARTS = ValueUnit(near_memory.part_names, "{:+g}".format, "{:g} parts".format, len)
MILLIWATTS = ValueUnit(lambda mw: f"{wording.three_digits(mw)} mW")
HOURS = ValueUnit(lambda hours: f"{wording.three_digits(hours)} h")
TARGETS = "quantization.targets.all"
OF_LABELS = "quantization.accuracy_source"
# What two values must share to be comparable: path of report.json -> its name in messages.
SHARED = {
    OF_LABELS: "samples",
    "target.chip": "chip",
    "energy_uj.coefficients": "energy coefficients",
    "decision_source": "source, planned or played",
    "duty.source": "source, planned or played",
    "every.others_mw": "--others",
    "every.sleep_mw": "--sleep",
    "every.battery_mah": "--battery",
    "every.battery_volts": "--volts",
}
OPTIONS = "every."  # options of `energy`, which a report keeps
SAMPLES, ENERGY, CHIP = (OF_LABELS,), ("energy_uj.coefficients",), ("target.chip",)
POWER = (*ENERGY, "duty.source", "every.others_mw", "every.sleep_mw")
BATTERY = (*POWER, "every.battery_mah", "every.battery_volts")

FACTS = (
    Fact("model.name", "model", TEXT),
    Fact("model.integer_digest", "model digest", DIGEST),
    Fact("model.digest", "float network", DIGEST),
    Fact("target.chip", "target", TEXT),
    Fact("target.operating_point", "operating point", TEXT),
    Fact("quantization.accuracy_float", "accuracy, float", SHARE, 1, alike=SAMPLES),
    Fact("quantization.accuracy_int8", "accuracy, int8", SHARE, 1, "accuracy", "accuracy", SAMPLES),
    Fact(
        "quantization.classes.interval_int8",
        "95 % interval, int8",
        ValueUnit(wording.percent_range),
    ),
    Fact(f"{TARGETS}.rmse_float", "RMSE, float", ERROR, -1, alike=SAMPLES),
    Fact(f"{TARGETS}.rmse_int8", "RMSE, int8", ERROR, -1, "rmse", "RMSE", SAMPLES),
    Fact(f"{TARGETS}.mae_float", "MAE, float", ERROR, -1, alike=SAMPLES),
    Fact(f"{TARGETS}.mae_int8", "MAE, int8", ERROR, -1, alike=SAMPLES),
    Fact(f"{TARGETS}.r2_float", "R2, float", ERROR, 1, alike=SAMPLES),
    Fact(f"{TARGETS}.r2_int8", "R2, int8", ERROR, 1, alike=SAMPLES),
    Fact("quantization.accuracy_source", "accuracy of", TEXT),
    Fact("quantization.evaluated_on.source", "labels of", TEXT),
    Fact("quantization.sqnr_db", "SQNR", DECIBELS, 1, "sqnr_db"),
    Fact("quantization.calibration.source", "calibration", TEXT),
    Fact("quantization.calibration.digest", "calibration data", DIGEST),
    Fact("quantization.calibration.observer", "observer", TEXT),
    Fact("exact.host", "exact on the host", EXACT),
    Fact("exact.simulator", "exact on the simulator", EXACT),
    Fact("exact.gvsoc", "exact on GVSoC", EXACT),
    Fact("exact.qemu", "exact in QEMU", EXACT),
    Fact("exact.board", "exact on the board", EXACT),
    Fact("cycles.total", "cycles", COUNT, -1, "cycles"),
    Fact("cycles.source", "cycles come from", TEXT),
    Fact("instructions.total", "instructions", COUNT, -1, "cycles"),
    Fact("cycles.macs_per_cycle", "MAC/cycle", COUNT, 1),
    Fact("latency_s", "latency", SECONDS, -1, "latency"),
    Fact("cycles.startup", "start-up cycles", COUNT, -1),
    Fact("energy_uj.value", "energy", MICROJOULES, -1, "energy", alike=ENERGY),
    Fact("energy_uj.low", "energy, at least", MICROJOULES, -1, alike=ENERGY),
    Fact("energy_uj.high", "energy, at most", MICROJOULES, -1, alike=ENERGY),
    Fact("energy_uj.coefficients", "energy by", TEXT),
    Fact("decision_s", "latency of a decision", SECONDS, -1, "latency", alike=("decision_source",)),
    Fact("decision_source", "latency of a decision is", TEXT),
    Fact("duty.period_s", "an inference every", SECONDS),
    Fact("duty.average_mw.0", "average power", MILLIWATTS, -1, "power", alike=POWER),
    Fact("duty.source", "average power is", TEXT),
    Fact("duty.hours.0", "battery life", HOURS, 1, "power", alike=BATTERY),
    Fact("model.params", "parameters", COUNT, -1),
    Fact("model.macs", "MACs", COUNT, -1),
    Fact("memory.l1_peak_bytes", "L1 in use at most", BYTES, -1, "memory", "L1", alike=CHIP),
    Fact("memory.l2_peak_bytes", "L2 without code", BYTES, -1, "memory", "L2", alike=CHIP),
    Fact("memory.l3_bytes", "L3 memory", BYTES, -1, "memory", "L3", alike=CHIP),
    Fact("memory.external", "external parts", PARTS, -1, "parts", alike=CHIP),
    Fact("memory.code_bytes", "code", BYTES, -1, "memory", alike=CHIP),
    Fact("memory.variables_bytes", "variables in RAM", BYTES, -1, "memory", alike=CHIP),
    Fact("memory.weights_bytes", "weights", BYTES, -1, "memory", alike=CHIP),
    Fact("memory.arena_bytes", "activations", BYTES, -1, alike=CHIP),
)
# Bytes in a memory that a chip may lack -> its size; parts -> the boot image
LEVELS = {
    "memory.l1_peak_bytes": "target.l1_bytes",
    "memory.l3_bytes": "target.l3_bytes",
    "memory.external": "memory.boot_image_bytes",
}
# Titles where code and weights are read in place from flash
IN_FLASH = {
    "memory.l2_peak_bytes": "RAM without variables",
    "memory.code_bytes": f"{near_memory.PROGRAM_CODE} in flash",
    "memory.weights_bytes": "weights in flash",
}
FACT_OF = {fact.key: fact for fact in FACTS}
LAYER = (
    Fact("op", "operator", TEXT),
    Fact("activation", "activation", ValueUnit(lambda name: name or "none")),
    Fact("out_shape", "output", TEXT),
    Fact("macs", "MACs", COUNT, -1),
    Fact("cycles", "cycles", COUNT, -1),
    Fact("cycles_modelled", "cycles, modelled", COUNT, -1),
    Fact("weights_bytes", "weights", BYTES, -1),
    Fact("out_bytes", "output size", BYTES, -1),
    Fact("sqnr_local_db", "SQNR alone", DECIBELS, 1),
    Fact("sqnr_db", "SQNR so far", DECIBELS, 1),
)
ROW = Fact("layer", "layer", TEXT)

# Metrics measured in a run; before a run, the cost model or the plan estimates them.
MEASURED = (
    *("cycles.total", "cycles.macs_per_cycle", "latency_s"),
    *("energy_uj.value", "energy_uj.low", "energy_uj.high"),
    "memory.l1_peak_bytes",
)
# Metrics that follow from them.
POWERS = ("decision_s", "duty.average_mw.0", "duty.hours.0")
LAYER_CYCLES = {"cycles": "counted", "cycles_modelled": "modelled"}


# --- verdict --------------------------------------------------------------------------------------


# Tolerances: a fraction of the old value, decibels, shares (0.01 is a point), or parts.
TOLERATED: Mapping[str, float] = {
    "latency": 0.02, "energy": 0.02, "power": 0.02, "memory": 0.0, "sqnr_db": 0.5, "accuracy": 0.01,
    "rmse": 0.02, "parts": 0.0,
}  # fmt: skip
SAME = "same: accuracy, SQNR, latency, energy, power and memory are as before"
RESULTS = {(True, True): "mixed", (True, False): "better", (False, True): "worse"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Summary of the key figures that changed by more than TOLERATED.

    result             "better", "worse", "mixed" or "same"
    better, worse      the figures as text: "latency -12.5 %"
    has_other_labels   whether accuracies or errors were measured on different samples, and are not
                       compared
    apart              names of other figures that are not comparable: planned and played, say
    """

    result: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    has_other_labels: bool = False
    apart: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the summary as text: "mixed: better latency -12.5 %; worse SQNR -3.1 dB"."""
        if self.apart:
            rest = f"{replace(self, apart=())}; not comparable"
            rest = rest.replace(f"{SAME}; ", "same but for what is ")
            return f"{rest}: {', '.join(self.apart)}"
        if self.has_other_labels:
            others = "accuracies are not of the same samples, and not compared"
            return f"{replace(self, has_other_labels=False)}; {others}".replace("accuracy, ", "")
        if self.result == "same":
            return SAME
        parts = {"better": ", ".join(self.better), "worse": ", ".join(self.worse)}
        if self.result != "mixed":
            return f"{self.result}: {parts[self.result]}"
        return f"mixed: better {parts['better']}; worse {parts['worse']}"


def verdict_of(changes: Sequence[Change]) -> Verdict:
    """Return the verdict on changes; only figures of the whole network count."""
    found = [(change, text) for change, text in _decisive_change(changes)]
    better = tuple(text for change, text in found if change.is_better)
    worse = tuple(text for change, text in found if not change.is_better)
    result = RESULTS.get((bool(better), bool(worse)), "same")
    has_other_labels = any(c.fact.key == OF_LABELS for c in changes)
    return Verdict(result, better, worse, has_other_labels, tuple(_incomparable(changes)))


def _incomparable(changes: Sequence[Change]) -> Iterator[str]:
    """Yield the names of figures that changes show or leave out, and that are not comparable."""
    for change in changes:
        is_of_source = change.fact.key == "cycles.source"
        if is_of_source and "modelled" in (change.old, change.new):
            yield from ("latency", "energy")
        elif change.unlike and change.fact.bound and change.fact.alike != SAMPLES:
            yield change.fact.title


def _decisive_change(changes: Sequence[Change]) -> Iterator[tuple[Change, str]]:
    for change in changes:
        fact = change.fact
        if fact.key.startswith("exact.") and False in (change.old, change.new):
            yield change, f"{fact.title}: {fact.unit.show(change.new)}"
        elif change.is_better is not None and change.is_beyond(TOLERATED.get(fact.bound, math.inf)):
            yield change, f"{fact.title} {change.text}"
