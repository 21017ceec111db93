# SPDX-License-Identifier: Apache-2.0
"""Summary whether a build is better or worse than an older one, by its key figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from myoedge.reports.diff import Change

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
