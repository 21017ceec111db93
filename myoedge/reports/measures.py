# SPDX-License-Identifier: Apache-2.0
"""Values that are compared between two reports, and the verdict on them: better or worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from myoedge.reports import energy, speed, wording

if TYPE_CHECKING:
    from myoedge.reports.diff import Change


Value = float | int | str | bool | list[float] | None


@dataclass(frozen=True, slots=True)
class Measure:
    """A value that is compared between two reports.

    path     its path in report.json
    title    its name in messages
    better   +1: more is better, -1: less is better, 0: neither
    show     value -> text with unit
    points   whether a change is a difference of two percentages
    """

    path: str
    title: str
    better: int
    show: Callable[[Any], str] = str
    points: bool = False


def is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def value_at(report: Mapping[str, Any], path: str) -> Any:
    """Return the value at path "a.b"; None if a part of the path is null or missing."""
    value: Any = report
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _number(value: Any) -> str:
    return f"{value:,}" if is_number(value) else str(value)


TARGETS = "quantization.targets.all"


def _error(value: float) -> str:
    return f"{value:.4g}"


NETWORK = (
    Measure("model.name", "model", 0),
    Measure("model.integer_digest", "model digest", 0, lambda digest: str(digest)[:16]),
    Measure("model.digest", "float network", 0, lambda digest: str(digest)[:16]),
    Measure("target.chip", "target", 0),
    Measure("target.operating_point", "operating point", 0),
    Measure("quantization.accuracy_float", "accuracy, float", 1, wording.percent, points=True),
    Measure("quantization.accuracy_int8", "accuracy, int8", 1, wording.percent, points=True),
    Measure("quantization.classes.interval_int8", "95 % interval, int8", 0, wording.percent_range),
    *(
        Measure(f"{TARGETS}.{error}_{network}", f"{title}, {network}", better, _error)
        for error, title, better in (("rmse", "RMSE", -1), ("mae", "MAE", -1), ("r2", "R2", 1))
        for network in ("float", "int8")
    ),
    Measure("quantization.accuracy_source", "accuracy of", 0),
    Measure("quantization.evaluated_on.source", "labels of", 0),
    Measure("quantization.sqnr_db", "SQNR", 1, wording.decibels, points=True),
    Measure("quantization.calibration.source", "calibration", 0),
    Measure("quantization.calibration.digest", "calibration data", 0, lambda d: str(d)[:16]),
    Measure("quantization.calibration.observer", "observer", 0),
    Measure("exact.host", "exact on the host", 0, wording.COMPARISONS.__getitem__),
    Measure("exact.simulator", "exact on the simulator", 0, wording.COMPARISONS.__getitem__),
    Measure("exact.gvsoc", "exact on GVSoC", 0, wording.COMPARISONS.__getitem__),
    Measure("exact.board", "exact on the board", 0, wording.COMPARISONS.__getitem__),
    Measure("cycles.total", "cycles", -1, _number),
    Measure("cycles.source", "cycles come from", 0),
    Measure("cycles.macs_per_cycle", "MAC/cycle", 1, _number),
    Measure("latency_s", "latency", -1, speed.duration),
    Measure("cycles.startup", "start-up cycles", -1, _number),
    Measure("energy_uj.value", "energy", -1, lambda uj: energy.amount(uj / energy.MICRO)),
    Measure("energy_uj.low", "energy, at least", -1, lambda uj: energy.amount(uj / energy.MICRO)),
    Measure("energy_uj.high", "energy, at most", -1, lambda uj: energy.amount(uj / energy.MICRO)),
    Measure("energy_uj.coefficients", "energy by", 0),
    Measure("model.params", "parameters", -1, _number),
    Measure("model.macs", "MACs", -1, _number),
    Measure("memory.l1_peak_bytes", "L1 in use at most", -1, wording.size),
    Measure("memory.l2_peak_bytes", "L2 without code", -1, wording.size),
    Measure("memory.l3_bytes", "L3 memory", -1, wording.size),
    Measure("memory.code_bytes", "code", -1, wording.size),
    Measure("memory.weights_bytes", "weights", -1, wording.size),
    Measure("memory.arena_bytes", "activations", -1, wording.size),
)
LAYER = (
    Measure("op", "operator", 0),
    Measure("activation", "activation", 0, lambda name: name or "none"),
    Measure("out_shape", "output", 0),
    Measure("macs", "MACs", -1, _number),
    Measure("cycles", "cycles", -1, _number),
    Measure("cycles_modelled", "cycles, modelled", -1, _number),
    Measure("weights_bytes", "weights", -1, wording.size),
    Measure("out_bytes", "output size", -1, wording.size),
    Measure("sqnr_local_db", "SQNR alone", 1, wording.decibels, points=True),
    Measure("sqnr_db", "SQNR so far", 1, wording.decibels, points=True),
)
ROW = Measure("layer", "layer", 0)

# Metrics measured in a run; before a run, the cost model or the plan estimates them.
MEASURED = (
    *("cycles.total", "cycles.macs_per_cycle", "latency_s"),
    *("energy_uj.value", "energy_uj.low", "energy_uj.high"),
    "memory.l1_peak_bytes",
)
# Metrics of labelled samples, and facts that identify these samples.
LABELLED = ("quantization.accuracy_", "quantization.targets.")
LAYER_CYCLES = {"cycles": "counted", "cycles_modelled": "modelled"}


# --- verdict --------------------------------------------------------------------------------------


# Tolerances: a fraction of the old value, decibels, or shares (0.01 is a point).
TOLERATED: Mapping[str, float] = {
    "latency": 0.02, "energy": 0.02, "memory": 0.0, "sqnr_db": 0.5, "accuracy": 0.01,
    "rmse": 0.02,
}  # fmt: skip
KINDS = {
    "quantization.accuracy_int8": "accuracy",
    "quantization.targets.all.rmse_int8": "rmse",
    "quantization.sqnr_db": "sqnr_db",
    "latency_s": "latency",
    "energy_uj.value": "energy",
    **{f"memory.{name}_bytes": "memory" for name in ("l1_peak", "l2_peak", "l3", "code")},
}
OF_LABELS = "quantization.accuracy_source"
RESULTS = {(True, True): "mixed", (True, False): "better", (False, True): "worse"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Summary of the key figures that changed by more than TOLERATED.

    result             "better", "worse", "mixed" or "same"
    better, worse      the figures as text: "latency -12.5 %"
    has_other_labels   whether accuracies or errors were measured on different samples, and are not
                       compared
    """

    result: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    has_other_labels: bool = False

    def __str__(self) -> str:
        """Return the summary as text: "mixed: better latency -12.5 %; worse SQNR -3.1 dB"."""
        if self.has_other_labels:
            others = "accuracies are not of the same samples, and not compared"
            return f"{replace(self, has_other_labels=False)}; {others}".replace("accuracy, ", "")
        if self.result == "same":
            return "same: accuracy, SQNR, latency, energy and memory are as before"
        parts = {"better": ", ".join(self.better), "worse": ", ".join(self.worse)}
        if self.result != "mixed":
            return f"{self.result}: {parts[self.result]}"
        return f"mixed: better {parts['better']}; worse {parts['worse']}"


def verdict_of(changes: Sequence[Change]) -> Verdict:
    """Return the verdict on changes; only figures of the whole network count."""
    found = [(change, text) for change, text in _decisive(changes)]
    better = tuple(text for change, text in found if change.is_better)
    worse = tuple(text for change, text in found if not change.is_better)
    result = RESULTS.get((bool(better), bool(worse)), "same")
    return Verdict(result, better, worse, any(c.measure.path == OF_LABELS for c in changes))


def _decisive(changes: Sequence[Change]) -> Iterator[tuple[Change, str]]:
    for change in changes:
        path, title = change.measure.path, change.measure.title
        if path.startswith("exact.") and False in (change.old, change.new):
            yield change, f"{title}: {change.measure.show(change.new)}"
        elif path in KINDS and change.delta is not None and change.is_better is not None:
            bound = TOLERATED[KINDS[path]]
            allowed = bound if change.measure.points else bound * change.magnitude
            if abs(change.delta) > allowed:
                yield change, f"{title} {change.text}"
