# SPDX-License-Identifier: Apache-2.0
"""Factorisation of a product whose axes are tracked through views and broadcasts by labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import (
    attempt,
    made_by,
    require,
)
from myoedge.passes.forms import factor_of

Labels = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A tensor with one label per axis; labels identify axes after views and broadcasts.

    name     name of the tensor
    labels   label of each axis; None: extent 1
    """

    name: str
    labels: Labels

    @property
    def long_axes(self) -> list[int]:
        """Labels of the tensor's axes longer than 1, in order."""
        return [label for label in self.labels if label is not None]

    @property
    def axes(self) -> frozenset[int]:
        return frozenset(self.long_axes)

    def moves(
        self, axes: Sequence[int], extents: Sequence[int]
    ) -> tuple[list[int], list[int], list[int]]:
        """Return (shape, permutation, shape) of a reshape, transpose and reshape that bring a
        tensor's axes into a given order; missing axes get extent 1.

        axes      labels in the target order
        extents   extent of each label's axis
        """
        has = self.long_axes
        order = [has.index(axis) for axis in axes if axis in has]
        shape = [extents[axis] if axis in has else 1 for axis in axes]
        return [extents[axis] for axis in has], order, shape


def numbered(graph: Graph, name: str) -> Labelled:
    """Return a tensor labelled with its own axis numbers."""
    return Labelled(name, tuple(i if n > 1 else None for i, n in enumerate(graph.shape(name))))


def divided(
    rows: Iterable[Labelled], holds: Callable[[Labelled], bool]
) -> tuple[tuple[Labelled, ...], tuple[Labelled, ...]]:
    """Split operands into those for which `holds` is true and the rest."""
    found = [(some, holds(some)) for some in rows]
    return tuple(x for x, ok in found if ok), tuple(x for x, ok in found if not ok)


def viewed(graph: Graph, some: Labelled) -> Labelled:
    """Follow reshapes, transposes and broadcasts back to their source; return it with its axes
    labelled."""
    while (node := made_by(graph, some.name, "reshape", "transpose", "expand")) is not None:
        source = node.inputs[0]
        labels = attempt(_labels_of_view_input, graph.shape(source), node, some.labels)
        if labels is None:
            return some
        some = Labelled(source, labels)
    return some


def _labels_of_view_input(shape: Sequence[int], node: Node, labels: Labels) -> Labels:
    """Return the labels of a view's input, from the labels of its output. Errors: NoMatch if the
    view merges or splits axes."""
    if node.op == "transpose":
        by_axis = dict(zip(node.attrs["perm"], labels, strict=True))
        return tuple(by_axis[axis] for axis in range(len(shape)))
    if node.op == "expand":
        return aligned(shape, labels)
    before, after = ([n for n in some if n > 1] for some in (shape, node.attrs["shape"]))
    require(before == after)
    left = (x for n, x in zip(node.attrs["shape"], labels, strict=True) if n > 1)
    return tuple(next(left) if n > 1 else None for n in shape)


def aligned(shape: Sequence[int], labels: Labels) -> Labels:
    """Return the labels of an operand's axes, broadcast to a tensor with `labels`."""
    own = labels[len(labels) - len(shape) :]
    return tuple(label if n > 1 else None for n, label in zip(shape, own, strict=True))


def factors_of(graph: Graph, some: Labelled) -> tuple[float, list[Labelled]]:
    """Factor a tensor into a constant and a list of tensors, through products and scalings."""
    some = viewed(graph, some)
    node = graph.producer.get(some.name)
    if node is None or "act" in node.attrs:
        return 1.0, [some]
    if node.op == "mul":
        return all_factors(graph, [broadcast_to(graph, x, some.labels) for x in node.inputs])
    scale = attempt(factor_of, node.attrs["chain"]) if node.op == "table" else None
    if scale is None:
        return 1.0, [some]
    factor, factors = factors_of(graph, Labelled(node.inputs[0], some.labels))
    return scale * factor, factors


def all_factors(graph: Graph, operands: Iterable[Labelled]) -> tuple[float, list[Labelled]]:
    """Factor the product of several tensors into a constant scalar and a list of tensors."""
    made = [factors_of(graph, some) for some in operands]
    return math.prod(scale for scale, _ in made), [x for _, factors in made for x in factors]


def broadcast_to(graph: Graph, name: str, labels: Labels) -> Labelled:
    """Return the labelled operand `name`, which is broadcast to a tensor with `labels`."""
    return Labelled(name, aligned(graph.shape(name), labels))
