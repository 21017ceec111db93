# SPDX-License-Identifier: Apache-2.0
"""Predictions compared with labels: classes, or regression targets."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.quantization.accuracy import chosen_classes
from myoedge.quantization.samples import Data
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import measure

GIVEN = "given"  # role of samples whose origin is unknown
MARGIN = 0.05  # maximum margin above chance level
FITS = 0.7  # share of the frames that a renumbering must match, and at least twice the chance level
MOST_CLASSES = 256  # for which a renumbering is searched
FRAMES_A_CLASS = 5  # with fewer, some renumbering fits by chance
Outputs = Sequence[Sequence[Array]]  # arrays of all outputs, per sample


@dataclass(frozen=True)
class Evaluation:
    """Labels of samples, with the predictions of the float and the integer network.

    labels    classes [frames], or float targets [samples, targets]
    real      predictions of the float network, shaped like the labels; None if it was not run
    integer   predictions of the integer network, shaped like the labels
    data      role of the samples: "test"; "held-out" or "calibration", parts of the calibration
              recording; or "given"
    source    description of the samples, such as "225 samples of test.npz"
    samples   number of samples
    names     names of the classes or targets; () for unnamed classes
    digest    digest of samples and labels
    """

    labels: Array
    real: Array | None
    integer: Array
    data: str = GIVEN
    source: str = ""
    samples: int = 0
    names: tuple[str, ...] = ()
    digest: str = ""

    @property
    def has_classes(self) -> bool:
        return self.labels.dtype.kind == "i"

    @property
    def results(self) -> dict[str, Array]:
        """Predictions by network: "float" and "int8"."""
        of_float = {} if self.real is None else {"float": self.real}
        return {**of_float, "int8": self.integer}

    @property
    def accuracies(self) -> dict[str, float]:
        """Return the accuracy of each network over all frames; {} for regression targets."""
        if not self.has_classes:
            return {}
        return {name: float(np.mean(x == self.labels)) for name, x in self.results.items()}

    @property
    def chances(self) -> dict[str, float]:
        """Accuracy of each network by chance: see `chance`."""
        return {name: chance(self.labels, x) for name, x in self.results.items()}

    @property
    def at_chance(self) -> list[str]:
        """Networks whose accuracy is no better than by chance."""
        return [name for name, x in self.results.items() if is_at_chance(self.labels, x)]


def evaluate(
    graph: Graph, data: Data, real: Outputs | None, integer: Outputs, role: str = GIVEN
) -> Evaluation | None:
    """Compare dequantised outputs with the labels; return None if there are no labels, or the class
    axis is ambiguous.

    real, integer   outputs of the float and the integer network
    role            as Evaluation.data
    """
    labels = data.labels
    if labels is None:
        return None
    of_samples = (role, data.source, data.count)
    if labels.dtype.kind == "f":
        count = labels.shape[1]
        of_float = None if real is None else _first_values(real, count)
        names = _target_names(graph, count)
        given = (*of_samples, names, _data_digest(data))
        return Evaluation(labels, of_float, _first_values(integer, count), *given)
    known = len(data.class_names)
    chosen = [
        None if x is None else chosen_classes(graph, x, labels, known) for x in (real, integer)
    ]
    of_float, classes = (None if x is None else np.int64(x).reshape(-1) for x in chosen)
    if classes is None:
        return None
    expected = np.repeat(labels, classes.size // labels.size)  # one label per sample or per frame
    given = (*of_samples, data.class_names, _data_digest(data))
    return Evaluation(expected, of_float, classes, *given)


def _data_digest(data: Data) -> str:
    """Return the sha256 of samples and labels, the same for any element type or file format."""
    arrays = [x for _, x in sorted(data.inputs.items())] + [np.asarray(data.labels)]
    digest = hashlib.sha256()
    for x in arrays:
        digest.update(np.float64(x).tobytes())
    return digest.hexdigest()


def _first_values(outputs: Outputs, count: int) -> Array:
    """Return the first `count` values of each sample's outputs, [samples, count]."""
    rows = (np.concatenate([np.float64(y).reshape(-1) for y in sample]) for sample in outputs)
    return np.stack([row[:count] for row in rows])


def _target_names(graph: Graph, count: int) -> tuple[str, ...]:
    """Return names of the regression targets: "angles[0]", "angles[1]"; the output's name if it has
    one element."""
    names, shown = list[str](), graph.output_labels
    for name, tensor in zip(shown, graph.outputs, strict=True):
        size = math.prod(graph.shape(tensor))
        names += [name] if size == 1 else [f"{name}[{i}]" for i in range(size)]
    return tuple(names[:count])


def evaluated(network: QuantGraph, data: Data, role: str) -> Evaluation | None:
    """Run the float network and the integer network on samples and evaluate their predictions; None
    as in `evaluate`."""
    if data.labels is None:
        return None
    fidelity = measure(network, data.inputs, layers=False)
    return evaluate(network.graph, data, fidelity.real, fidelity.integer, role)


def chance(labels: Array, chosen: Array) -> float:
    """Return the accuracy that is expected if the predictions were independent of the labels (J.
    Cohen, A coefficient of agreement for nominal scales, 1960).

    chosen   predicted classes
    """
    classes = np.union1d(labels, chosen)
    counts = [np.searchsorted(classes, x) for x in (labels, chosen)]
    label, choice = (np.bincount(x, minlength=len(classes)) / len(labels) for x in counts)
    return float(label @ choice)


def is_at_chance(labels: Array, chosen: Array) -> bool:
    """Return whether an accuracy is within two standard deviations, at most MARGIN, of that by
    chance. Of labels that are predicted without an error: whether they can show no more, as those
    of a single class.

    chosen   predicted classes
    """
    expected = chance(labels, chosen)
    margin = min(MARGIN, 2 * math.sqrt(expected * (1 - expected) / len(labels)))
    return bool(np.mean(labels == chosen) <= expected + margin)


def find_label_permutation(labels: Array, chosen: Array) -> list[int] | None:
    """Return the network's class for every label if the labels fit the predictions well after
    renumbering, and better than by chance; otherwise None.

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
    fits = right / len(labels) >= max(FITS, 2 * chance(labels, chosen))
    return numbers if fits and not is_at_chance(np.array(numbers)[labels], chosen) else None
