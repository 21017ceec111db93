# SPDX-License-Identifier: Apache-2.0
"""Recognition of parallel scans that a model writes out, such as mambapy's `pscan`.

Any such algorithm computes h[t] = a[t] h[t - 1] + b[t] by slices, products and sums. The elements
of the first two steps lead to a and b. The results are polynomials of a and b: they are compared
with the recurrence at a random point, where different polynomials have different values.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import NoMatch, both_orders, first_match, made_by, require, writer
from myoedge.graph.rewrite import Rewrite, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, transpose

FEWEST = 4  # steps
MOVES = ("reshape", "transpose", "slice", "expand", "pad", "concat")
FAR = 1e-9  # relative difference of equal polynomials in float64
Element = tuple[str, int]  # a tensor, and an index into its elements


@rewrite_pattern("reshape", "transpose", "slice", "concat")
def roll_parallel_scan(graph: Graph, node: Node) -> Rewrite:
    """Replace a parallel scan that the model writes out by one operator, `scan`."""
    require(_is_result(graph, node), _reads_concat(graph, node.name))
    axes = [axis for axis, extent in enumerate(graph.shape(node.name)) if extent >= FEWEST]
    elements = Elements(graph)
    axis, a, b = first_match(_operands, ((elements, node, axis) for axis in axes))
    order = _order(elements, node, axis, b)
    _prove(graph, node, axis, (a, b), order)
    patch = GraphBuilder(graph, node)
    pair = [transpose(patch, name, order) for name in (a, b)]
    return patch.same_as(patch.add("scan", *pair, axis=axis))


def _is_move(node: Node) -> bool:
    return node.op in MOVES and not node.attrs.get("value")


def _is_step(node: Node) -> bool:
    """Return whether a node may be a part of a parallel scan."""
    return _is_move(node) or (node.op in ("add", "mul") and "act" not in node.attrs)


def _is_result(graph: Graph, node: Node) -> bool:
    """Return whether something besides a parallel scan reads the node: another operator, or a
    product that only other operators read."""

    def is_other(reader: Node) -> bool:
        after = graph.users.get(reader.name, ())
        return not _is_step(reader) or (reader.op == "mul" and not any(map(_is_step, after)))

    return node.name in graph.outputs or any(map(is_other, graph.users.get(node.name, ())))


def _reads_concat(graph: Graph, name: str) -> bool:
    while (node := made_by(graph, name, *MOVES)) is not None:
        if node.op == "concat":
            return True
        name = node.inputs[0]
    return False


@dataclass
class Elements:
    """Sources of the elements that data movement copies.

    graph    the graph
    numbers  for each tensor, a number per element: that of the element that it is a copy of; 0 for
             padding
    starts   first number of each tensor that no data movement writes, rising
    names    these tensors
    """

    graph: Graph
    numbers: dict[str, Array] = field(default_factory=dict)
    starts: list[int] = field(default_factory=lambda: [0, 1])
    names: list[str] = field(default_factory=lambda: [""])

    def of(self, name: str) -> Array:
        return _computed(self.graph, name, _is_move, self.numbers, self._new)

    def source(self, name: str, index: int) -> Element:
        """Return the element that element `index` of a tensor is a copy of."""
        number = int(self.of(name).reshape(-1)[index])
        at = bisect_right(self.starts, number) - 1
        return self.names[at], number - self.starts[at]

    def _new(self, name: str) -> Array:
        start, shape = self.starts[-1], self.graph.shape(name)
        self.names.append(name)
        self.starts.append(start + int(np.prod(shape)))
        return np.arange(start, self.starts[-1]).reshape(shape)


def _computed(
    graph: Graph,
    name: str,
    is_step: Callable[[Node], bool],
    values: dict[str, Array],
    leaf: Callable[[str], Array],
) -> Array:
    """Return the value of a tensor, computed in floats or integers from leaves; `values` is
    updated."""
    left = [name]
    while left:
        top = left[-1]
        node = made_by(graph, top)
        read = node.inputs if node and is_step(node) and top not in values else ()
        missing = [x for x in read if x not in values]
        left += missing
        if not missing:
            left.pop()
            if top not in values:
                values[top] = _result(node, values) if node and read else leaf(top)
    return values[name]


def _result(node: Node, values: dict[str, Array]) -> Array:
    return OPS[node.op].real(node.attrs, *(values[x] for x in node.inputs))


def _operands(elements: Elements, node: Node, axis: int) -> tuple[int, str, str]:
    """Follow the first two steps, b[0] and a[1] b[0] + b[1]; return (axis, a, b)."""
    graph = elements.graph
    step = int(np.prod(graph.shape(node.name)[axis + 1 :]))
    start, (total, at) = elements.source(node.name, 0), elements.source(node.name, step)
    require(start[0])
    for product, term in both_orders(writer(graph, total, "add", plain=True)):
        if graph.shape(term) == graph.shape(product) and elements.source(term, at)[0] == start[0]:
            name, index = elements.source(product, at)
            for factor, state in _factors(graph, name):
                if elements.source(state, index) == start:
                    return axis, elements.source(factor, index)[0], start[0]
    raise NoMatch


def _factors(graph: Graph, name: str) -> Iterator[tuple[str, str]]:
    """Yield both operands of a product of two equal shapes, in both orders."""
    node = made_by(graph, name, "mul", plain=True)
    if node is not None and {*map(graph.shape, node.inputs)} == {graph.shape(name)}:
        yield from both_orders(node)


def _order(elements: Elements, node: Node, axis: int, b: str) -> tuple[int, ...]:
    """Return the permutation of b's axes that the result has, by its first step."""
    found, first = elements.of(node.name), elements.of(b)
    require(first.ndim == found.ndim)
    for order in itertools.permutations(range(found.ndim)):
        moved = first.transpose(order)
        if moved.shape == found.shape and np.array_equal(moved.take(0, axis), found.take(0, axis)):
            return order
    raise NoMatch


def _prove(
    graph: Graph, node: Node, axis: int, pair: tuple[str, str], order: tuple[int, ...]
) -> None:
    """Compare the node's value with that of the recurrence. Errors: NoMatch."""
    require(graph.shape(pair[0]) == graph.shape(pair[1]))
    rng = np.random.default_rng(0)
    values: dict[str, Array] = {name: rng.uniform(0.5, 1.0, graph.shape(name)) for name in pair}
    steps = [np.moveaxis(values[name].transpose(order), axis, 0) for name in pair]

    def constant(name: str) -> Array:
        require(graph.find_array(name) is not None)
        return graph.array(name).astype(np.float64)

    found = np.moveaxis(_computed(graph, node.name, _is_step, values, constant), axis, 0)
    state = np.zeros_like(found[0])
    for result, a, b in zip(found, *steps, strict=True):
        state = a * state + b
        require(np.allclose(result, state, rtol=FAR, atol=0))
