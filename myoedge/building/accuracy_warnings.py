# SPDX-License-Identifier: Apache-2.0
"""Warnings about labelled samples: accuracy not measured, or no better than chance."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from myoedge.errors import Notice, notice
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.quantization.accuracy import can_measure_accuracy
from myoedge.quantization.evaluation import Evaluation
from myoedge.quantization.samples import Data
from myoedge.reports import wording

LEAST_FRAMES = 10  # with fewer, an accuracy means little
MARGIN = 0.05  # maximum margin above chance level
FITS = 0.7  # share of the frames that a renumbering must match, and at least twice the chance level
MOST_CLASSES = 256  # for which a renumbering is searched
FRAMES_A_CLASS = 5  # with fewer, some renumbering fits by chance
NEARLY_ALL = 0.95
FEWER_ERRORS = 0.25  # share of the errors that labels in the right order leave

UNTRAINED = "model.load_state_dict(...) with the trained weights, before the export"
OTHER_SCALE = "windows of another scale than in training"
OF_SCALE = ("W111", "W207")  # warnings about values larger or smaller than in training
OTHER_WINDOWS = "the unit, the filters and the scaling that the network was trained with"


def unjudged(graph: Graph, given: Data, evaluation: Evaluation | None) -> Iterable[Notice]:
    scores = (
        "label [samples, frames], a class for every frame",
        "[calib] classes: the names of all classes, as many as the axis of the classes has",
        "a softmax over the classes",
    )
    symbols = ("a build without --ctc: lists of symbols are not judged",)
    if given.labels is not None and evaluation is None:
        yield notice(
            "W202",
            "accuracy not measured: cannot tell which axis of the output holds the classes",
            {"found": f"label {list(given.labels.shape)}"},
            scores if can_measure_accuracy(graph) else symbols,
        )


def warn_chance_accuracy(judged: Evaluation | None, *, accurate: bool = False) -> Iterator[Notice]:
    """Yield W209 if the predictions of the float or the integer network are no better than chance,
    or if most errors vanish with another order of the classes.

    judged     labels and predictions; None: not measured
    accurate   whether --accurate was set

    Chance is random classes with the same frequencies, or for regression targets their mean. There
    is no warning for few frames or a single class.
    """
    if judged is None or len(judged.labels) < LEAST_FRAMES or not np.ptp(judged.labels):
        return
    if judged.has_classes:
        found = [*_no_better_than_chance(judged, accurate)]
        yield from found or _numbered_otherwise(judged)
    else:
        yield from _worse_than_the_mean(judged, accurate)


def _no_better_than_chance(judged: Evaluation, accurate: bool) -> Iterator[Notice]:
    shares_of = judged.accuracies
    chances = {name: chance(judged.labels, chosen) for name, chosen in judged.results.items()}
    guesses = [
        name
        for name, by_chance in chances.items()
        if shares_of[name] <= by_chance + _margin(by_chance, len(judged.labels))
    ]
    if guesses:
        shares = " and ".join(
            f"{name} {wording.percent(shares_of[name])} (by chance {wording.percent(by_chance)})"
            for name, by_chance in chances.items()
        )
        found = f"{shares}, of {len(judged.labels):,} {judged.data} labels"
        is_lost = guesses == ["int8"] and judged.real is not None
        likely, tries = _lost(accurate) if is_lost else _likely(judged)
        facts = {"found": found, "likely": likely}
        yield notice("W209", "the accuracy is no better than chance", facts, tries)


def _numbered_otherwise(judged: Evaluation) -> Iterator[Notice]:
    """Yield W209 if labels in another order than that of the outputs leave a quarter of the errors
    at most: a network that is right by more than chance may have swapped classes, too."""
    chosen = judged.integer if judged.real is None else judged.real
    numbers = find_label_permutation(judged.labels, chosen)
    if numbers is None:
        return
    own, other = (
        np.mean(judged.labels == chosen),
        np.mean(np.array(numbers)[judged.labels] == chosen),
    )
    if 1 - other <= FEWER_ERRORS * (1 - own) and own < other:
        shares = f"{wording.percent(float(own))}, {wording.percent(float(other))} in another order"
        facts = {
            "found": f"{shares}, of {len(judged.labels):,} {judged.data} labels",
            "likely": "labels are numbered otherwise than in training",
        }
        title = "most errors vanish if the classes have another order"
        yield notice("W209", title, facts, (_renumbered(numbers, judged),))


def with_scale_first(chance: Iterable[Notice], others: Iterable[Notice]) -> Iterator[Notice]:
    """Yield the warnings `chance` and `others`; `chance` comes first, with the cause "wrong scale",
    if `others` contain a scale warning.

    chance   W209 warnings
    others   other warnings about the same samples
    """
    is_scaled = any(warning.code in OF_SCALE for warning in others)
    for warning in chance:
        facts = {**dict(warning.facts), "likely": OTHER_SCALE}
        tries = dict.fromkeys((OTHER_WINDOWS, *warning.tries))
        yield notice(warning.code, warning.title, facts, tries) if is_scaled else warning


def _worse_than_the_mean(judged: Evaluation, accurate: bool) -> Iterator[Notice]:
    """Yield W209 if targets are predicted worse than by their mean (R2 below 0)."""
    spread = float(np.sum((judged.labels - judged.labels.mean(axis=0)) ** 2))
    squares = {name: np.sum((x - judged.labels) ** 2) for name, x in judged.results.items()}
    r2 = {name: 1.0 - float(x) / spread for name, x in squares.items()}
    if min(r2.values()) < 0.0:
        found = " and ".join(f"{name} R2 {value:.3g}" for name, value in r2.items())
        is_lost = r2.get("float", -1.0) >= 0.0
        targets = "targets of another unit or order than in training, or untrained weights"
        likely, tries = _lost(accurate) if is_lost else (targets, (UNTRAINED, OTHER_WINDOWS))
        facts = {"found": f"{found}, of {len(judged.labels):,} samples", "likely": likely}
        yield notice("W209", "the mean of the targets has smaller errors", facts, tries)


def chance(labels: Array, chosen: Array) -> float:
    """Return the accuracy that is expected if the predictions were independent of the labels (J.
    Cohen, A coefficient of agreement for nominal scales, 1960).

    chosen   predicted classes
    """
    classes = np.union1d(labels, chosen)
    counts = [np.searchsorted(classes, x) for x in (labels, chosen)]
    label, choice = (np.bincount(x, minlength=len(classes)) / len(labels) for x in counts)
    return float(label @ choice)


def _margin(share: float, count: int) -> float:
    """Return two standard deviations of an accuracy at chance level, at most MARGIN."""
    return min(MARGIN, 2 * math.sqrt(share * (1 - share) / count))


def _likely(judged: Evaluation) -> tuple[str, tuple[str, ...]]:
    """Return the likely cause of poor predictions and its remedies, from the float network's
    predictions if it was run."""
    chosen = judged.integer if judged.real is None else judged.real
    numbers = find_label_permutation(judged.labels, chosen)
    if numbers is not None:
        return "labels are numbered otherwise than in training", (_renumbered(numbers, judged),)
    most = int(np.bincount(chosen).argmax())
    if np.mean(chosen == most) >= NEARLY_ALL:
        likely = f"{OTHER_SCALE}: class {most} is chosen nearly always"
        return likely, (OTHER_WINDOWS, UNTRAINED)
    return "weights are not trained, or the windows differ from training", (
        UNTRAINED,
        OTHER_WINDOWS,
    )


def _renumbered(numbers: Sequence[int], judged: Evaluation) -> str:
    """Return Python or TOML that converts labels to the network's numbering, by class names if they
    are known.

    numbers   the network's class number for each label number
    """
    names = {c: judged.names[label] for label, c in enumerate(numbers) if label < len(judged.names)}
    if len(names) == len(numbers) and -1 not in names:
        listed = json.dumps([names[c] for c in sorted(names)], ensure_ascii=False)
        return f"[calib] classes = {listed}  # in myoedge.toml, in the order of the outputs"
    return f"label=np.array({[*numbers]})[label]"


def _lost(accurate: bool) -> tuple[str, tuple[str, ...]]:
    """Return the cause "lost in int8" and its remedies; --accurate is left out if it was set."""
    more_bits = ("myoedge build ... --accurate",) * (not accurate)
    layers = "myoedge quantize shows the layers that do"
    return "int8 loses what the float network has learnt", (*more_bits, layers)


def find_label_permutation(labels: Array, chosen: Array) -> list[int] | None:
    """Return the network's class for every label if the labels fit the predictions well after
    renumbering; otherwise None.

    chosen   predicted classes
    """
    size = 1 + int(max(labels.max(), chosen.max()))
    if size > MOST_CLASSES or len(labels) < FRAMES_A_CLASS * size:
        return None
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (labels, chosen), 1)
    numbers, right = [-1] * size, 0
    for place in np.argsort(-counts, axis=None, kind="stable"):
        label, choice = divmod(int(place), size)
        if numbers[label] < 0 and choice not in numbers:
            numbers[label], right = choice, right + int(counts[label, choice])
    share = right / len(labels)
    return numbers if share >= max(FITS, 2 * chance(labels, chosen)) else None
