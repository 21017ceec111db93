# SPDX-License-Identifier: Apache-2.0
"""SQNR of outputs, accuracy of classes and errors of targets as values of report.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.quantization.evaluation import GIVEN, Evaluation
from myoedge.quantization.fidelity import Fidelity, OutputFidelity
from myoedge.quantization.holdout import TEST
from myoedge.quantization.search.state import TriedMove

MOST_CONFUSED = 32  # classes with stored confusions
MOST_CLASSES = 1000  # classes with rows
WILSON_Z = 1.959964  # 95 % of a normal distribution
NETWORKS = ("float", "int8")
ERRORS = ("rmse", "mae", "r2")
MOST_TARGETS = 64  # targets with rows
TEST_SET = "test set"
MAY_BE_TRAINED = "calibration recording; may be training data"
ANY_SAMPLES = "samples given; may be training data"
ALL = "all"


def evaluation_rows(evaluation: Evaluation | None) -> dict[str, Any]:
    """Return the evaluation's entries under `quantization` in report.json; null without an
    evaluation."""
    if evaluation is None:
        keys = ("accuracy_float", "accuracy_int8", "accuracy_source", "classes", "targets")
        return {**dict.fromkeys(keys), "evaluated_on": None}
    sources = {TEST: TEST_SET, GIVEN: ANY_SAMPLES}
    shares, has_classes = evaluation.accuracies, evaluation.has_classes
    return {
        **{f"accuracy_{name}": _round_to_six_digits(shares.get(name)) for name in NETWORKS},
        "accuracy_source": sources.get(evaluation.data, MAY_BE_TRAINED),
        "classes": by_class(evaluation) if has_classes else None,
        "targets": None if has_classes else _target_errors(evaluation),
        "evaluated_on": {
            "data": evaluation.data,
            "samples": evaluation.samples,
            "source": evaluation.source,
            "digest": evaluation.digest,
        },
    }


def with_evaluation(report: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the evaluation in report.json by one of the integer network only; the float network's
    results are kept if the samples and labels are the same.

    found   the new evaluation, with the keys of evaluation_rows
    """
    q = report["quantization"]
    of_samples = (q.get("evaluated_on") or {}).get("digest")
    if of_samples == found["evaluated_on"]["digest"]:
        found = {key: _add_float_results(value, q.get(key), key) for key, value in found.items()}
    return {**report, "quantization": {**q, **found}}


def _add_float_results(new: Any, old: Any, key: str = "") -> Any:
    """Add the float network's results of an older document to a new one without them."""
    if type(new) is type(old) is dict:
        lost = {k: value for k, value in old.items() if k not in new and "float" in k}
        return {**lost, **{k: _add_float_results(value, old.get(k), k) for k, value in new.items()}}
    if type(new) is type(old) is list and len(new) == len(old):
        return [*map(_add_float_results, new, old)]
    return old if new is None and "float" in key else new


# --- classes --------------------------------------------------------------------------------------


def by_class(judged: Evaluation) -> dict[str, Any]:
    """Return counts per class for report.json: samples, correct predictions of the float and int8
    network with confidence intervals, and confusion matrices [label][class], null for too many
    classes."""
    chosen, names = judged.results, judged.names
    largest = max(int(x.max()) for x in (judged.labels, *chosen.values()))
    size = max(1 + largest, len(names))
    seen = np.unique(judged.labels)[:MOST_CLASSES]
    rows = [
        {
            "class": int(x),
            "name": names[x] if names else None,
            **_accuracy_counts(judged.labels, chosen, judged.labels == x),
        }
        for x in seen
    ]
    confusion = {name: _confusion_matrix(judged.labels, x, size) for name, x in chosen.items()}
    return {
        **_accuracy_counts(judged.labels, chosen, np.ones(len(judged.labels), bool)),
        "interval": "Wilson, 95 %",
        "names": [*names],
        "rows": rows,
        "confusion": confusion if size <= MOST_CONFUSED else None,
    }


def _accuracy_counts(labels: Array, chosen: Mapping[str, Array], kept: Array) -> dict[str, Any]:
    """Return the number of samples, the correct predictions of each network, and the accuracies'
    confidence intervals; null for a network that was not run."""
    total, row = int(kept.sum()), dict[str, Any]()
    for name in NETWORKS:
        right = int((chosen[name] == labels)[kept].sum()) if name in chosen else None
        interval = None if right is None else wilson(right, total)
        row |= {f"right_{name}": right, f"interval_{name}": interval}
    return {"samples": total, **row}


def _confusion_matrix(labels: Array, classes: Array, size: int) -> list[list[int]]:
    size = min(size, MOST_CONFUSED)
    counts, few = np.zeros((size, size), np.int64), (labels < size) & (classes < size)
    np.add.at(counts, (labels[few], classes[few]), 1)
    rows: list[list[int]] = counts.tolist()
    return rows


def wilson(right: int, total: int) -> list[float]:
    """Return the 95 % confidence interval of a fraction right / total; 0 to 1 for no trials.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    if not total:
        return [0.0, 1.0]
    share, z2 = right / total, WILSON_Z**2
    middle = share + z2 / (2 * total)
    half = WILSON_Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    ends = ((middle - half) / (1 + z2 / total), (middle + half) / (1 + z2 / total))
    return [round(min(max(end, 0.0), 1.0), 6) for end in ends]


# --- errors of targets ----------------------------------------------------------------------------


def _target_errors(evaluation: Evaluation) -> dict[str, Any]:
    """Return RMSE, MAE and R2 for every output value and for all; the total R2 is their mean."""
    wanted, results = evaluation.labels, evaluation.results
    rows: list[dict[str, Any]] = [
        {"name": name, **error_measures(wanted[:, i], {n: x[:, i] for n, x in results.items()})}
        for i, name in enumerate(evaluation.names)
    ]
    total: dict[str, Any] = {"name": ALL, **error_measures(wanted, results)}
    for network in results:
        known = [row[f"r2_{network}"] for row in rows if row[f"r2_{network}"] is not None]
        total[f"r2_{network}"] = _round_to_six_digits(float(np.mean(known))) if known else None
    return {"samples": evaluation.samples, "all": total, "rows": rows[:MOST_TARGETS]}


def error_measures(wanted: Array, results: Mapping[str, Array]) -> dict[str, float | None]:
    """Return RMSE, MAE and R2 of each network, by "rmse_float" and so on; None for a network that
    was not run, and for R2 of constant targets."""
    found: dict[str, float | None] = {}
    for error in ERRORS:
        found |= {f"{error}_{network}": None for network in NETWORKS}
    spread = float(np.sum((wanted - wanted.mean(axis=0)) ** 2))
    for network, given in results.items():
        difference = given - wanted
        squares = float(np.sum(difference**2))
        found[f"rmse_{network}"] = _round_to_six_digits(math.sqrt(squares / difference.size))
        found[f"mae_{network}"] = _round_to_six_digits(float(np.mean(np.abs(difference))))
        found[f"r2_{network}"] = _round_to_six_digits(1.0 - squares / spread) if spread else None
    return found


def _round_to_six_digits(value: float | None) -> float | None:
    """Round a number to six significant digits; None if it is not finite."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


# --- SQNR -----------------------------------------------------------------------------------------


EXACT_DB = 999.0  # stands for "no error": JSON has no infinity, and comparisons still work


def output_fidelity(fidelity: Fidelity | None, tensor: str) -> dict[str, Any]:
    """Return an output's SQNR with the keys of report.json; values are None if not measured."""
    found = None if fidelity is None else fidelity.outputs.get(tensor)
    of = found or OutputFidelity(None)  # not measured: a stream's states
    (worst, worst_db), (most, error) = (
        x or (None, None) for x in (of.worst_sample, of.worst_error)
    )
    return {
        "sqnr_db": decibels(of.db),
        "sqnr_interval_db": interval_db(of.interval_db),
        "sqnr_end_db": decibels(of.end_db),
        "worst_sample": worst,
        "worst_sample_db": decibels(worst_db),
        "worst_error": error,
        "worst_error_sample": most,
        "agreement": rounded(of.agreement),
        "passed_through": None if found is None else found.is_passed_through,
    }


def sqnr(fidelity: Fidelity | None) -> dict[str, Any]:
    """Return a network's SQNR with the keys of report.json; values are None if not measured."""
    return {
        "sqnr_db": None if fidelity is None else decibels(fidelity.worst_db),
        "sqnr_interval_db": None if fidelity is None else interval_db(fidelity.interval_db),
    }


def decibels(value: float | None) -> float | None:
    """Round dB to three decimals, which do not depend on the BLAS library; EXACT_DB for no
    error."""
    if value is None or math.isnan(value):
        return None
    return EXACT_DB if value > EXACT_DB else round(value, 3)


def interval_db(ends: Sequence[float] | None) -> list[float | None] | None:
    """Return the lower and upper end of an SQNR's confidence interval in dB, rounded as `decibels`
    does."""
    return None if ends is None else [*map(decibels, ends)]


def rounded(value: float | None) -> float | None:
    """Round a number to six decimals; None if it is not finite."""
    return None if value is None or not math.isfinite(value) else round(value, 6)


def choice_row(choice: TriedMove) -> dict[str, Any]:
    """Return a move of the precision search as JSON values."""
    return {
        "remedy": choice.remedy,
        "worst_db": decibels(choice.worst_db),
        "more_cycles": rounded(choice.more_cycles),
        "int16_tensors": choice.tensors,
        "kept": choice.is_kept,
        "setting": choice.setting or None,
    }
