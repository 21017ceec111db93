# SPDX-License-Identifier: Apache-2.0
"""Predicted classes of a network's outputs, and the axis that holds the classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS

LIKELY = 0.5  # probability above which a single output means class 1


def _outputs_scores(node: Node) -> bool:
    op = OPS[node.op]
    return op.operands.are_compared and op.result.dtype == "float32"


def class_axis(
    graph: Graph, name: str, frames: int | None = None, classes: int | None = None
) -> int | None:
    """Return the axis of an output that holds the classes; None if it is ambiguous.

    frames    labels per sample, if every frame has its own label
    classes   number of class names, if they are known

    It is the axis of a final softmax; otherwise the only axis longer than 1; otherwise the only
    axis whose removal leaves `frames` elements; otherwise the only axis of length `classes`.
    """
    shape, node = graph.shape(name), graph.producer.get(name)
    if node is not None and _outputs_scores(node):
        return int(node.attrs["axis"] % len(shape))
    long = [d for d, n in enumerate(shape) if n > 1]
    if len(long) < 2:
        return next(iter(long), len(shape) - 1)
    size = math.prod(shape)
    by_frames = _only_axis_with_count(long, {d: size // shape[d] for d in long}, frames)
    return (
        _only_axis_with_count(long, dict(enumerate(shape)), classes)
        if by_frames is None
        else by_frames
    )


def _only_axis_with_count(
    axes: Sequence[int], counts: Mapping[int, int], count: int | None
) -> int | None:
    """Return the only axis with this count; None if there is none, or several."""
    found = [axis for axis in axes if counts[axis] == count]
    return found[0] if len(found) == 1 else None


def decides_every_row(graph: Graph, rows: int) -> bool:
    """Return whether the first output has a class for every row of a window of `rows` rows."""
    name = graph.outputs[0]
    shape = graph.shape(name)
    if graph.tensors[name].dtype != "float32":  # class indices
        return math.prod(shape) == rows > 1
    axis = class_axis(graph, name, rows)
    return axis is not None and math.prod(shape) // shape[axis] == rows > 1


def can_measure_accuracy(graph: Graph) -> bool:
    """Return whether accuracy can be measured on the first output: not if it is a list of decoded
    symbols."""
    made = graph.producer.get(graph.outputs[0])
    return made is None or not OPS[made.op].result.are_symbols


def is_binary(graph: Graph, name: str) -> bool:
    """Return whether an output is a single sigmoid: the probability of class 1 of two classes."""
    node = graph.producer.get(name)
    while node is not None and node.op == "reshape":
        node = graph.producer.get(node.inputs[0])
    if node is None or math.prod(graph.shape(name)) != 1:
        return False
    chain = node.attrs.get("chain" if node.op == "table" else "act", ())
    return bool(chain) and chain[-1] == ("sigmoid",)


def chosen_classes(
    graph: Graph, outputs: Sequence[Sequence[Array]], labels: Array, known: int = 0
) -> Array | None:
    """Return the predicted classes of the first output [samples, frames]; None if the class axis is
    ambiguous, or the output is a list of symbols.

    outputs  per sample, the arrays of all outputs
    labels   [samples], or one per frame [samples, frames]
    known    number of class names; 0: unknown
    """
    if not can_measure_accuracy(graph):
        return None
    frames = next(iter(labels.shape[1:]), None)
    axis = class_axis(graph, graph.outputs[0], frames, known)
    if graph.tensors[graph.outputs[0]].dtype == "float32" and axis is None:
        return None
    scores = [first[0] for first in outputs]  # or class indices
    if is_binary(graph, graph.outputs[0]):
        return np.stack([(x > LIKELY).reshape(-1).astype(int) for x in scores])
    classes = [(x if x.dtype.kind == "i" else x.argmax(axis)).reshape(-1) for x in scores]
    return None if frames not in (None, classes[0].size) else np.stack(classes)
