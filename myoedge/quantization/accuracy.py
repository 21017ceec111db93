# SPDX-License-Identifier: Apache-2.0
"""Classes of an output, and the share of labelled samples that a network has right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array

SYMBOLS = ("ctc_greedy", "ctc_new")  # of which none has a label


def class_axis(graph: Graph, name: str, frames: int | None = None) -> int | None:
    """The axis of an output along which classes lie; None where nothing tells.

    frames   labels of a sample, where every frame has one
    The axis of a final softmax, the only one that is longer than 1, or else the one besides which
    there are as many numbers as labels.
    """
    shape, node = graph.shape(name), graph.producer.get(name)
    if node is not None and node.op in ("softmax", "log_softmax"):
        return int(node.attrs["axis"] % len(shape))
    long = [d for d, n in enumerate(shape) if n > 1]
    if len(long) < 2:
        return long[0] if long else len(shape) - 1
    size = math.prod(shape)
    fitting = [d for d in long if size // shape[d] == frames]
    return fitting[0] if len(fitting) == 1 else None


def judges(graph: Graph) -> bool:
    """Whether labels say anything of the first output: nothing of a list of symbols."""
    made = graph.producer.get(graph.outputs[0])
    return made is None or made.op not in SYMBOLS


@dataclass(frozen=True)
class JudgedClasses:
    """Classes of labelled frames, each [frames].

    labels          the right ones
    real, integer   chosen by the float network, and in integers
    """

    labels: Array
    real: Array
    integer: Array

    @property
    def accuracies(self) -> tuple[float, float]:
        """Shares of the frames whose class is the label's: float, integers."""
        return float(np.mean(self.real == self.labels)), float(np.mean(self.integer == self.labels))


def judged_classes(
    graph: Graph,
    real: Sequence[Sequence[Array]],
    integer: Sequence[Sequence[Array]],
    labels: Array,
) -> JudgedClasses | None:
    """Classes of the first output, scores or indices.

    real, integer   outputs of every sample     labels   as chosen_classes has them
    None where the classes' axis is not known, or the output is a list of symbols.
    """
    chosen = [chosen_classes(graph, outputs, labels) for outputs in (real, integer)]
    found = [classes for classes in chosen if classes is not None]
    if len(found) < len(chosen):
        return None
    frames = np.broadcast_to(labels.reshape(len(labels), -1), found[0].shape)
    return JudgedClasses(*(np.int64(x).reshape(-1) for x in (frames, *found)))


def chosen_classes(graph: Graph, outputs: Sequence[Sequence[Array]], labels: Array) -> Array | None:
    """[samples, frames] classes of the first output; None as judged_classes.

    labels   [samples], of all frames of a sample, or [samples, frames]
    """
    if not judges(graph):
        return None
    frames = labels.shape[1] if labels.ndim > 1 else None
    axis = class_axis(graph, graph.outputs[0], frames)
    if graph.tensors[graph.outputs[0]].dtype == "float32" and axis is None:
        return None
    scores = [first[0] for first in outputs]  # or indices of classes
    classes = [(x if x.dtype.kind == "i" else x.argmax(axis)).reshape(-1) for x in scores]
    return None if frames not in (None, classes[0].size) else np.stack(classes)
