# SPDX-License-Identifier: Apache-2.0
"""Predicted classes of a network's outputs, and the axis that holds the classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS

LIKELY = 0.5  # probability above which a single output means class 1


def class_axis(graph: Graph, name: str, frames: int | None = None) -> int | None:
    """Return the axis of an output that holds the classes; None if it is ambiguous.

    frames   labels per sample, if every frame has its own label

    It is the axis of a final softmax; otherwise the only axis longer than 1; otherwise the only
    axis whose removal leaves `frames` elements.
    """
    shape, node = graph.shape(name), graph.producer.get(name)
    if node is not None and OPS[node.op].compares_rows and OPS[node.op].out_dtype == "float32":
        return int(node.attrs["axis"] % len(shape))
    long = [d for d, n in enumerate(shape) if n > 1]
    if len(long) < 2:
        return next(iter(long), len(shape) - 1)
    size = math.prod(shape)
    fitting = [d for d in long if size // shape[d] == frames]
    return fitting[0] if len(fitting) == 1 else None


def can_measure_accuracy(graph: Graph) -> bool:
    """Return whether accuracy can be measured on the first output: not if it is a list of decoded
    symbols."""
    made = graph.producer.get(graph.outputs[0])
    return made is None or not OPS[made.op].decodes


def is_binary(graph: Graph, name: str) -> bool:
    """Return whether an output is a single sigmoid: the probability of class 1 of two classes."""
    node = graph.producer.get(name)
    while node is not None and node.op == "reshape":
        node = graph.producer.get(node.inputs[0])
    if node is None or math.prod(graph.shape(name)) != 1:
        return False
    chain = node.attrs.get("chain" if node.op == "table" else "act", ())
    return bool(chain) and chain[-1] == ("sigmoid",)


def chosen_classes(graph: Graph, outputs: Sequence[Sequence[Array]], labels: Array) -> Array | None:
    """Return the predicted classes of the first output [samples, frames]; None if the class axis is
    ambiguous, or the output is a list of symbols.

    outputs  per sample, the arrays of all outputs
    labels   [samples], or one per frame [samples, frames]
    """
    if not can_measure_accuracy(graph):
        return None
    frames = next(iter(labels.shape[1:]), None)
    axis = class_axis(graph, graph.outputs[0], frames)
    if graph.tensors[graph.outputs[0]].dtype == "float32" and axis is None:
        return None
    scores = [first[0] for first in outputs]  # or class indices
    if is_binary(graph, graph.outputs[0]):
        return np.stack([(x > LIKELY).reshape(-1).astype(int) for x in scores])
    classes = [(x if x.dtype.kind == "i" else x.argmax(axis)).reshape(-1) for x in scores]
    return None if frames not in (None, classes[0].size) else np.stack(classes)
