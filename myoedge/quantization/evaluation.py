# SPDX-License-Identifier: Apache-2.0
"""Outputs next to the labels of their samples: classes, or targets of a regression."""

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

GIVEN = "given"  # of what is not known
Outputs = Sequence[Sequence[Array]]  # of every sample


@dataclass(frozen=True)
class Evaluation:
    """Labels of samples, with the predictions of the float and the integer network.

    labels          classes [frames], or targets [samples, numbers], which are floats
    real, integer   alike; `real` None if integers alone have run
    data            "test"; "held-out" or "calibration": parts of the calibration recording; "given"
    source          "225 samples of test.npz"     samples   how many these are
    names           of the classes, by number, or of the numbers; () if classes have none
    digest          of samples and labels
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
        """Classes or numbers by the name of the network that gave them."""
        of_float = {} if self.real is None else {"float": self.real}
        return {**of_float, "int8": self.integer}

    @property
    def accuracies(self) -> dict[str, float]:
        """Return the accuracy of each network over all frames; none for regression targets."""
        if not self.has_classes:
            return {}
        return {name: float(np.mean(x == self.labels)) for name, x in self.results.items()}


def evaluate(
    graph: Graph, data: Data, real: Outputs | None, integer: Outputs, role: str = GIVEN
) -> Evaluation | None:
    """The evaluation of labelled samples by their outputs, dequantised.

    role   of the samples, as Evaluation.data
    None without labels, and where the axis of classes is not known, or the output is a list of
    symbols.
    """
    labels = data.labels
    if labels is None:
        return None
    of_samples = (role, data.source, data.count)
    if labels.dtype.kind == "f":
        count = labels.shape[1]
        of_float = None if real is None else _numbers(real, count)
        names = _number_names(graph, count)
        given = (*of_samples, names, _digest(data))
        return Evaluation(labels, of_float, _numbers(integer, count), *given)
    chosen = [None if x is None else chosen_classes(graph, x, labels) for x in (real, integer)]
    of_float, classes = (None if x is None else np.int64(x).reshape(-1) for x in chosen)
    if classes is None:
        return None
    expected = np.repeat(labels, classes.size // labels.size)  # one of all frames, or one of each
    given = (*of_samples, data.class_names, _digest(data))
    return Evaluation(expected, of_float, classes, *given)


def _digest(data: Data) -> str:
    """Digest of samples and labels, independent of types and files."""
    arrays = [x for _, x in sorted(data.inputs.items())] + [np.asarray(data.labels)]
    digest = hashlib.sha256()
    for x in arrays:
        digest.update(np.float64(x).tobytes())
    return digest.hexdigest()


def _numbers(outputs: Outputs, count: int) -> Array:
    """[samples, count] of the first output, or of all together."""
    rows = (np.concatenate([np.float64(y).reshape(-1) for y in sample]) for sample in outputs)
    return np.stack([row[:count] for row in rows])


def _number_names(graph: Graph, count: int) -> tuple[str, ...]:
    """ "angles[0]", "angles[1]"; of an output of one number its name."""
    names, shown = list[str](), graph.output_names or graph.outputs
    for name, tensor in zip(shown, graph.outputs, strict=True):
        size = math.prod(graph.shape(tensor))
        names += [name] if size == 1 else [f"{name}[{i}]" for i in range(size)]
    return tuple(names[:count])


def evaluated(network: QuantGraph, data: Data, role: str) -> Evaluation | None:
    """The evaluation by the float network and the integers' reference; None without labels, and as
    `evaluate`."""
    if data.labels is None:
        return None
    fidelity = measure(network, data.inputs, layers=False)
    return evaluate(network.graph, data, fidelity.real, fidelity.integer, role)
