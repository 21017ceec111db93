# SPDX-License-Identifier: Apache-2.0
"""Pattern that merges many small sums and differences of one tensor's elements into a linear layer.

An exported one-vs-one support vector machine sums slices of its pairwise scores in this way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import require
from myoedge.graph.rewrite import Rewrite, RewritePattern, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, reshape

SMALL = 512  # maximum elements of a tensor
MOST_DEPTH, MOST_TENSORS = 64, 2048  # maximum operators on a path, and tensors in all
LEAST_SUMS = 4  # minimum number of sums that the layer replaces
MOVES = ("slice", "reshape", "transpose")


@dataclass
class _Parts:
    """Tensors computed from one source tensor by sums and data movement, each as an affine
    function.

    source   name of the source tensor; "" until it is found
    known    tensor -> coefficients [*shape, elements of the source + 1], the constant last
    """

    graph: Graph
    source: str = ""
    known: dict[str, Array] = field(default_factory=dict)

    def of(self, name: str, depth: int = 0) -> Array:
        """Return the coefficients of a tensor as an affine function of the source. Errors: NoMatch.

        depth   operators between this tensor and the result
        """
        require(depth <= MOST_DEPTH, len(self.known) <= MOST_TENSORS)
        if name not in self.known:
            value, shape = self.graph.find_array(name), self.graph.shape(name)
            require(math.prod(shape) <= SMALL)
            node = self.graph.producer.get(name)
            if value is not None:
                self.known[name] = value[..., None].astype(np.float64)
            elif node is None or not _is_linear(node):
                require(self.source in ("", name))
                self.source = name
                rows = np.eye(math.prod(shape), math.prod(shape) + 1)
                self.known[name] = rows.reshape(*shape, -1)
            else:
                require(self.graph.given(name) is None)
                self.known[name] = self._computed(node, depth)
        return self.known[name]

    def _computed(self, node: Node, depth: int) -> Array:
        parts = [self.of(x, depth + 1) for x in node.inputs]
        count = max(part.shape[-1] for part in parts)
        parts = [part if part.shape[-1] == count else _constant(part, count) for part in parts]
        if node.op in ("add", "sub"):
            return parts[0] + (parts[1] if node.op == "add" else -parts[1])
        if node.op == "concat":
            return np.concatenate(parts, axis=node.attrs["axis"])
        if node.op == "table":
            return _scaled(parts[0], node)
        columns = [OPS[node.op].real(node.attrs, column) for column in np.moveaxis(parts[0], -1, 0)]
        return np.stack(columns, axis=-1)


def _is_linear(node: Node) -> bool:
    steps = node.attrs.get("chain", ())
    plain = "act" not in node.attrs
    return plain and (
        node.op in (*MOVES, "add", "sub", "concat")
        or (node.op == "table" and all(name in ("affine", "neg") for name, *_ in steps))
    )


def _constant(part: Array, count: int) -> Array:
    """Return the coefficients of a constant tensor: zeros, then its values."""
    return np.concatenate([np.zeros((*part.shape[:-1], count - 1)), part], axis=-1)


def _scaled(part: Array, node: Node) -> Array:
    for name, *numbers in node.attrs["chain"]:
        factor, offset = numbers if name == "affine" else (-1.0, 0.0)
        part = part * factor
        part[..., -1] += offset
    return part


@rewrite_pattern("concat")
def sums_as_linear(graph: Graph, node: Node) -> Rewrite:
    """Replace a concat of sums of one tensor's elements by a linear layer on this tensor."""
    require(len(node.inputs) > 1, math.prod(graph.shape(node.name)) <= SMALL)
    require(all(name in graph.producer for name in node.inputs))
    parts = _Parts(graph)
    factors = parts.of(node.name)
    made = [graph.producer[name].op for name in parts.known if name in graph.producer]
    require(parts.source, sum(op in ("add", "sub") for op in made) >= LEAST_SUMS)
    rows = factors.reshape(-1, factors.shape[-1])
    patch, count = GraphBuilder(graph, node), rows.shape[1] - 1
    x = reshape(patch, parts.source, (1, count))
    y = patch.add("linear", x, patch.constant(rows[:, :-1]), patch.constant(rows[:, -1]))
    return patch.same_as(reshape(patch, y, graph.shape(node.name)))


LINEAR_PARTS: tuple[RewritePattern, ...] = (sums_as_linear,)
