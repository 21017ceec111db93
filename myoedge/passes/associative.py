# SPDX-License-Identifier: Apache-2.0
"""Recognition of torch's associative_scan, which torch.export unrolls into slices.

The algorithm combines pairs of steps and scans the pairs, which gives the results of odd steps. One
more combination gives the results of even steps, and both are interleaved. If steps are
combined by sums, by products or as h = a h + b, all of this becomes one operator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import attempt, behind, both_orders, made_by, require, writer
from myoedge.graph.rewrite import Rewrite, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder, expand
from myoedge.operators.scan.import_rows import products
from myoedge.passes.forms import is_zeros

FEWEST = 4  # steps of a scan
NO_REST = (("", "", ""),)


@dataclass(frozen=True, slots=True)
class InterleavedScan:
    """The results of one recursion level of an unrolled associative scan, in separate tensors for
    even and odd steps.

    graph   the graph
    axis    axis of the steps
    n       number of steps
    first   result of step 0
    rest    results of steps 2, 4, ..; "" for two steps
    odd     results of steps 1, 3, ..
    """

    graph: Graph
    axis: int
    n: int
    first: str
    rest: str
    odd: str

    @property
    def pairs(self) -> int:
        return self.n // 2

    def whole(self, name: str, start: int) -> str:
        """Return the tensor from which `name` takes every second step, beginning at `start`; "" if
        there is none."""
        return self._cut(name, range(start, self.n if start else 2 * self.pairs, 2), self.n)

    def whole_from(self, even: str, odd: str) -> str:
        """Return the tensor whose even and odd steps are these two slices, and whose first step is
        the scan's first result; "" if there is none."""
        found = {self.whole(even, 0), self.whole(odd, 1), self._cut(self.first, range(1), self.n)}
        return found.pop() if len(found) == 1 else ""

    def goes_on(self, before: str, now: str, x: str) -> bool:
        """Return whether the results of `rest` combine `before`, the results of the preceding odd
        steps, with `now`, the same steps of the input x."""
        is_before = self.odd in (before, self._cut(before, range(self.pairs - 1), self.pairs))
        return is_before and self.whole(now, 2) == x

    def _cut(self, name: str, steps: range, n: int) -> str:
        """Return the tensor of n steps from which the slice `name` takes exactly these steps; "" if
        there is none."""
        node = made_by(self.graph, name, "slice")
        shape = () if node is None else self.graph.shape(node.inputs[0])
        if node is None or shape[self.axis : self.axis + 1] != (n,):
            return ""
        wanted = [steps if d == self.axis else range(extent) for d, extent in enumerate(shape)]
        return node.inputs[0] if [range(*cut) for cut in node.attrs["cuts"]] == wanted else ""


@rewrite_pattern("reshape", "slice")
def roll_associative_scan(graph: Graph, node: Node) -> Rewrite:
    """Replace an unrolled associative scan by one operator: scan, cumulative product or sum."""
    halves = _halves(graph, node)
    require(halves.n >= FEWEST)
    patch, shape, axis = GraphBuilder(graph, node), graph.shape(node.name), halves.axis
    if x := _operands(patch, halves, "mul"):
        return patch.same_as(products(patch, x[0], axis))
    if x := _operands(patch, halves, "add"):
        return patch.same_as(patch.add("cumsum", *x, axis=axis))
    pair = [expand(patch, name, shape) for name in _operands(patch, halves, "scan")]
    require(pair)
    return patch.same_as(patch.add("scan", *pair, axis=axis))


def _operands(patch: GraphBuilder, halves: InterleavedScan, op: str) -> tuple[str, ...]:
    """Return the operands of the scan: (x,) of a cumulative sum or product, (a, b) of h = a h + b;
    () if the graph does not match `op`."""
    return _recurrence(patch, halves) if op == "scan" else _reduced(patch, halves, op)


def _of_pairs(patch: GraphBuilder, halves: InterleavedScan, op: str) -> tuple[str, ...]:
    """Return the operands of the recursion's inner scan, over pairs of steps; it is already one
    operator, or short enough to be unrolled; () if the graph does not match `op`."""
    graph, axis = halves.graph, halves.axis
    node = graph.producer[halves.odd]
    inner = attempt(_halves, graph, node) if node.op in ("reshape", "slice") else None
    if inner is not None and inner.axis == axis:
        return _operands(patch, inner, op)
    if node.op != {"add": "cumsum"}.get(op, "scan") or node.attrs["axis"] != axis:
        return ()
    if op == "mul":
        return node.inputs[:1] if _is_only_first(graph, node.inputs[1]) else ()
    return tuple(behind(graph, name, "expand") for name in node.inputs)


def _halves(graph: Graph, node: Node) -> InterleavedScan:
    """Match the interleaving of even and odd results, stack([even, odd]) along one axis; an odd
    number of steps ends with an even one."""
    view = node if node.op == "reshape" else writer(graph, node.inputs[0], "reshape")
    stacked = writer(graph, view.inputs[0], "concat")
    axis = stacked.attrs["axis"] - 1
    require(len(stacked.inputs) == 2, axis >= 0)
    even, odd = (writer(graph, name, "reshape") for name in stacked.inputs)
    shape = graph.shape(even.inputs[0])
    before, (extent,), rest = shape[:axis], shape[axis : axis + 1], shape[axis + 1 :]
    both, apart = (*before, 2 * extent, *rest), (*before, extent, 1, *rest)
    require(graph.shape(view.name) == both, {*map(graph.shape, stacked.inputs)} == {apart})
    n = graph.shape(node.name)[axis]
    steps = [*map(range, (*shape[:axis], n, *shape[axis + 1 :]))]
    require(node.op != "slice" or [range(*cut) for cut in node.attrs["cuts"]] == steps)
    return _of_steps(graph, axis, n, even.inputs[0], odd.inputs[0])


def _of_steps(graph: Graph, axis: int, n: int, even: str, odd: str) -> InterleavedScan:
    """Match the even results (the first step, then the rest) and the odd results, which are padded
    if there is one fewer."""
    first, rest = even, ""
    if (joined := made_by(graph, even, "concat")) is not None:
        require(len(joined.inputs) == 2, joined.attrs["axis"] == axis)
        first, rest = joined.inputs
    if n % 2:
        odd = writer(graph, odd, "pad").inputs[0]
    has = [sum(graph.shape(x)[axis : axis + 1]) if x else 0 for x in (first, rest, odd)]
    require(n > 1, has == [1, (n + 1) // 2 - 1, n // 2])
    return InterleavedScan(graph, axis, n, first, rest, odd)


# ---- sums and products


def _reduced(patch: GraphBuilder, halves: InterleavedScan, op: str) -> tuple[str, ...]:
    graph, odd = halves.graph, halves.odd
    if halves.pairs > 1:
        (odd,) = _of_pairs(patch, halves, op) or ("",)
    for one, other in _pair(graph, odd, op):
        x = halves.whole_from(one, other)
        continues = (halves.goes_on(*pair, x) for pair in _pair(graph, halves.rest, op))
        if x and (not halves.rest or any(continues)):
            return (x,)
    return ()


def _is_only_first(graph: Graph, name: str) -> bool:
    node = made_by(graph, name, "concat")
    return node is not None and is_zeros(graph, node.inputs[-1])


# ---- linear recurrences


def _recurrence(patch: GraphBuilder, halves: InterleavedScan) -> tuple[str, ...]:
    graph, products, odd = halves.graph, "", halves.odd
    if halves.pairs > 1:
        products, odd = _of_pairs(patch, halves, "scan") or ("", "")
    for a_odd, before, now in _moves(graph, odd):
        b = halves.whole_from(before, now)
        for a_even, state, term in _moves(graph, halves.rest) if halves.rest else NO_REST:
            continues = not halves.rest or halves.goes_on(state, term, b)
            a = _factor(patch, halves, (a_odd, a_even), products) if b and continues else ""
            if a:
                return a, b
    return ()


def _moves(graph: Graph, name: str) -> Iterator[tuple[str, str, str]]:
    """Yield (a, h, b) for each way to read a tensor as a h + b."""
    for product, term in _pair(graph, name, "add"):
        for factor, state in _pair(graph, product, "mul"):
            yield factor, state, term


def _pair(graph: Graph, name: str, op: str) -> Iterator[tuple[str, str]]:
    """Yield both operands of a sum or product, in both orders; nothing if it has an activation."""
    node = made_by(graph, name, op, plain=True)
    yield from () if node is None else both_orders(node)


def _factor(
    patch: GraphBuilder, halves: InterleavedScan, halved: tuple[str, str], products: str
) -> str:
    """Return the factors `a` of all steps, merged from those of odd and even steps; "" if they come
    from different tensors.

    halved     factors of the odd and of the even steps
    products   factors of pairs of steps; "" if there is only one pair
    """
    graph, (odd, even) = halves.graph, halved
    a = halves.whole(odd, 1)
    if a:
        pairs = _pair(graph, products, "mul")
        known = any((halves.whole(x, 0), halves.whole(y, 1)) == (a, a) for x, y in pairs)
        same = not even or halves.whole(even, 2) == a
        return a if same and (known or not products) else ""
    constants = {**graph.arrays, **patch.arrays}
    if not {odd, even, products} <= {"", *constants}:
        return ""
    value = _interleaved(constants[odd], constants.get(even), halves)
    return patch.constant(value) if _fits(value, constants.get(products), halves.axis) else ""


def _interleaved(odd: Array, even: Array | None, halves: InterleavedScan) -> Array:
    """Interleave constant factors of odd and even steps; the first step's factor, which is never
    used, is 0."""
    odd = np.moveaxis(odd, halves.axis, 0)
    found = np.zeros((halves.n, *odd.shape[1:]), odd.dtype)
    found[1::2] = odd
    if even is not None:
        found[2::2] = np.moveaxis(even, halves.axis, 0)
    return np.moveaxis(found, 0, halves.axis)


def _fits(value: Array, pairs: Array | None, axis: int) -> bool:
    """Return whether the factors of pairs are the products of their two steps' factors; the first
    pair is not compared."""
    if pairs is None:
        return True
    steps = np.moveaxis(value, axis, 0)
    made = steps[1::2] * steps[: 2 * len(steps[1::2]) : 2]
    return np.array_equal(np.moveaxis(pairs, axis, 0)[1:], made[1:])
