# SPDX-License-Identifier: Apache-2.0
"""Classes of an output, and the share of labelled samples that a network has right."""

from __future__ import annotations

import math

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


def accuracy(graph: Graph, outputs: tuple[tuple[Array, ...], ...], labels: Array) -> float | None:
    """Share of frames whose class in the first output, scores or indices, is the label's.

    labels   [samples], of all frames of a sample, or [samples, frames]
    None where the classes' axis is not known, or the output is a list of symbols.
    """
    if not judges(graph):
        return None
    frames = labels.shape[1] if labels.ndim > 1 else None
    axis = class_axis(graph, graph.outputs[0], frames)
    if graph.tensors[graph.outputs[0]].dtype == "float32" and axis is None:
        return None
    scores = [first[0] for first in outputs]  # or indices of classes
    classes = [(x if x.dtype.kind == "i" else x.argmax(axis)).reshape(-1) for x in scores]
    if frames is not None and classes[0].size != frames:
        return None
    pairs = zip(classes, labels, strict=True)
    return float(np.mean([np.mean(best == label) for best, label in pairs]))
