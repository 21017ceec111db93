# SPDX-License-Identifier: Apache-2.0
"""Warnings of labels: an accuracy that is not measured, of samples known before, or no better than
chance."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator

import numpy as np

from myoedge.errors import Notice, notice
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.quantization.accuracy import can_measure_accuracy
from myoedge.quantization.evaluation import Evaluation
from myoedge.quantization.samples import Data
from myoedge.reports import wording

LEAST_FRAMES = 10  # of fewer, an accuracy says little
MARGIN = 0.05  # above chance, at most
FITS = 0.7  # share of the frames that another numbering has right, and twice what chance has
MOST_CLASSES = 256  # whose numbering is looked for
FRAMES_A_CLASS = 5  # of fewer, some numbering fits by chance
NEARLY_ALL = 0.95

UNTRAINED = "model.load_state_dict(...) of the trained weights, in front of the export"
OTHER_WINDOWS = "the unit, the filters and the scaling that the network was trained with"


def unjudged(graph: Graph, given: Data, evaluation: Evaluation | None) -> Iterable[Notice]:
    scores = ("label [samples, frames], a class for every frame", "a softmax over the classes")
    symbols = ("a build without --ctc: lists of symbols are not judged",)
    if given.labels is not None and evaluation is None:
        yield notice(
            "W202",
            "accuracy not measured: cannot tell which axis of the output holds the classes",
            {"found": f"label {list(given.labels.shape)}"},
            scores if can_measure_accuracy(graph) else symbols,
        )


def seen_before(calibration: Data, test: Data | None) -> Iterator[Notice]:
    """W211 if samples of the test set are in the calibration recording."""
    if test is None or calibration.is_random:
        return
    known = {*_samples(calibration)}
    count = sum(sample in known for sample in _samples(test))
    if count:
        yield notice(
            "W211",
            "samples of the test set are in the calibration recording too",
            {"found": f"{count:,} of {test.count:,} samples"},
            ("another recording, session or repetition as --test",),
        )


def _samples(data: Data) -> Iterator[bytes]:
    """A digest of each sample."""
    for number in range(data.count):
        digest = hashlib.sha256()
        for x in data.inputs.values():
            digest.update(np.ascontiguousarray(x[number]).data)
        yield digest.digest()


def warn_chance_accuracy(judged: Evaluation | None) -> Iterator[Notice]:
    """W209 if floats or integers are right no more often than classes drawn as often as they
    choose them would be; nothing is reported for few frames, nor of one class only.
    """
    if judged is None or not judged.has_classes or judged.real is None:
        return
    if len(judged.labels) < LEAST_FRAMES or not np.ptp(judged.labels):
        return
    shares_of = judged.accuracies
    real, integer = shares_of["float"], shares_of["int8"]
    chances = [chance(judged.labels, chosen) for chosen in (judged.real, judged.integer)]
    is_guess = [
        share <= by_chance + _margin(by_chance, len(judged.labels))
        for share, by_chance in zip((real, integer), chances, strict=True)
    ]
    if any(is_guess):
        shares = " and ".join(
            f"{name} {wording.percent(share)} (by chance {wording.percent(by_chance)})"
            for name, share, by_chance in zip(
                ("float", "int8"), (real, integer), chances, strict=True
            )
        )
        found = f"{shares}, of {len(judged.labels):,} {judged.data} labels"
        likely, tries = _likely(judged.labels, judged.real) if is_guess[0] else _lost()
        facts = {"found": found, "likely": likely}
        yield notice("W209", "the accuracy is no better than chance", facts, tries)


def chance(labels: Array, chosen: Array) -> float:
    """Share that is right if both are independent: J. Cohen, A coefficient of agreement for
    nominal scales, 1960."""
    classes = np.union1d(labels, chosen)
    counts = [np.searchsorted(classes, x) for x in (labels, chosen)]
    label, choice = (np.bincount(x, minlength=len(classes)) / len(labels) for x in counts)
    return float(label @ choice)


def _margin(share: float, count: int) -> float:
    """Two deviations of a share that chance gives."""
    return min(MARGIN, 2 * math.sqrt(share * (1 - share) / count))


def _likely(labels: Array, real: Array) -> tuple[str, tuple[str, ...]]:
    """The cause that the float network's choices point to, and remedies."""
    numbers = find_label_permutation(labels, real)
    if numbers is not None:
        renumbered = f"label=np.array({numbers})[label]"
        return "labels are numbered otherwise than in training", (renumbered,)
    most = int(np.bincount(real).argmax())
    if np.mean(real == most) >= NEARLY_ALL:
        likely = f"windows of another scale than in training: class {most} is chosen nearly always"
        return likely, (OTHER_WINDOWS, UNTRAINED)
    return "weights are not trained, or windows are not those of training", (
        UNTRAINED,
        OTHER_WINDOWS,
    )


def _lost() -> tuple[str, tuple[str, ...]]:
    likely = "8 bits lose what the float network knows"
    return likely, ("myoedge build ... --accurate", "myoedge quantize shows the layers that do")


def find_label_permutation(labels: Array, chosen: Array) -> list[int] | None:
    """Class of the network for every label, if another numbering of the labels fits well."""
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
