# SPDX-License-Identifier: Apache-2.0
"""Recognition of torch's associative_scan, which torch.export unrolls into slices.

The algorithm combines pairs of steps and scans the half as many results, which are the results of
odd steps; one more combination gives those of even steps; then both are interleaved. If steps are
combined by sums, by products or as h = a h + b, all of this becomes one operator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Graph, Node, Shape
from myoedge.graph.rewrite import Rewrite, made_by, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder, expand
from myoedge.operators.scan.import_rows import products

FEWEST = 4  # steps
NO_REST = (("", "", ""),)


@dataclass(frozen=True, slots=True)
class InterleavedScan:
    """The interleaved results of one recursion level of an unrolled associative scan.

    axis, n       axis of the steps, and their number
    first, rest   results of step 0 and of steps 2, 4, ...; "" for two steps
    odd           results of steps 1, 3, ...
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
        """Return the tensor whose every second step from `start` on is `name`; "" if there is
        none."""
        return self._cut(name, range(start, self.n if start else 2 * self.pairs, 2), self.n)

    def starts(self, x: str) -> bool:
        """Return whether the first result is the first step of x."""
        return self._cut(self.first, range(1), self.n) == x

    def is_before(self, name: str) -> bool:
        """Return whether a tensor contains, for each step of `rest`, the result of the step
        before."""
        return name == self.odd or self._cut(name, range(self.pairs - 1), self.pairs) == self.odd

    def _cut(self, name: str, steps: range, n: int) -> str:
        """Return the n-step tensor that `name` slices at these steps; "" if there is none."""
        node = made_by(self.graph, name, "slice")
        shape = () if node is None else self.graph.shape(node.inputs[0])
        if node is None or len(shape) <= self.axis or shape[self.axis] != n:
            return ""
        wanted = [steps if d == self.axis else range(extent) for d, extent in enumerate(shape)]
        return node.inputs[0] if [range(*cut) for cut in node.attrs["cuts"]] == wanted else ""


@rewrite_pattern("reshape", "slice")
def roll_associative_scan(graph: Graph, node: Node) -> Rewrite | None:
    """Replace the interleaved results of an associative scan by a scan, cumulative product or
    sum."""
    halves = _halves(graph, node)
    if halves is None or halves.n < FEWEST:
        return None
    patch, shape, axis = GraphBuilder(graph, node), graph.shape(node.name), halves.axis
    if x := _operands(patch, halves, "mul"):
        return patch.same_as(products(patch, x[0], axis))
    if x := _operands(patch, halves, "add"):
        return patch.same_as(patch.add("cumsum", *x, axis=axis))
    pair = [expand(patch, name, shape) for name in _operands(patch, halves, "scan")]
    return patch.same_as(patch.add("scan", *pair, axis=axis)) if pair else None


def _operands(patch: GraphBuilder, halves: InterleavedScan, op: str) -> tuple[str, ...]:
    """Return x of a cumulative sum or product, or (a, b) of states a h + b; () if nothing
    matches."""
    return _recurrence(patch, halves) if op == "scan" else _reduced(patch, halves, op)


def _of_pairs(patch: GraphBuilder, halves: InterleavedScan, op: str) -> tuple[str, ...]:
    """Return the operands of the odd results, computed from pairs: a scan found before, or few
    steps."""
    graph, axis = halves.graph, halves.axis
    node = graph.producer[halves.odd]
    inner = _halves(graph, node) if node.op in ("reshape", "slice") else None
    if inner is not None and inner.axis == axis:
        return _operands(patch, inner, op)
    if node.op != {"add": "cumsum"}.get(op, "scan") or node.attrs["axis"] != axis:
        return ()
    if op == "mul":
        return node.inputs[:1] if _is_only_first(graph, node.inputs[1]) else ()
    return tuple(_unbroadcast(graph, name) for name in node.inputs)


def _halves(graph: Graph, node: Node) -> InterleavedScan | None:
    """Match stack([even, odd]) along one axis, without the last step if their number is odd."""
    view = node if node.op == "reshape" else made_by(graph, node.inputs[0], "reshape")
    stacked = view and made_by(graph, view.inputs[0], "concat")
    if not (view and stacked and len(stacked.inputs) == 2 and stacked.attrs["axis"]):
        return None
    axis = stacked.attrs["axis"] - 1
    even, odd = (made_by(graph, name, "reshape") for name in stacked.inputs)
    if even is None or odd is None:
        return None
    shape = graph.shape(even.inputs[0])
    before, (extent,), rest = shape[:axis], shape[axis : axis + 1], shape[axis + 1 :]
    both, apart = (*before, 2 * extent, *rest), (*before, extent, 1, *rest)
    if graph.shape(view.name) != both or {*map(graph.shape, stacked.inputs)} != {apart}:
        return None
    n = graph.shape(node.name)[axis]
    steps = [*map(range, (*shape[:axis], n, *shape[axis + 1 :]))]
    if node.op == "slice" and [range(*cut) for cut in node.attrs["cuts"]] != steps:
        return None
    return _of_steps(graph, axis, n, even.inputs[0], odd.inputs[0])


def _of_steps(graph: Graph, axis: int, n: int, even: str, odd: str) -> InterleavedScan | None:
    """Match even results (first and rest) and odd results, which are padded if there are fewer."""
    joined = made_by(graph, even, "concat")
    first, rest = (even, "") if joined is None else (joined.inputs[0], joined.inputs[-1])
    if joined is not None and (len(joined.inputs) != 2 or joined.attrs["axis"] != axis):
        return None
    if n % 2:
        padded = made_by(graph, odd, "pad")
        odd = "" if padded is None else padded.inputs[0]
    has = [0 if not x else _extent(graph.shape(x), axis) for x in (first, rest, odd)]
    is_even = has == [1, (n + 1) // 2 - 1, n // 2]
    return InterleavedScan(graph, axis, n, first, rest, odd) if n > 1 and is_even else None


def _extent(shape: Shape, axis: int) -> int:
    return shape[axis] if axis < len(shape) else 0


# ---- sums and products


def _reduced(patch: GraphBuilder, halves: InterleavedScan, op: str) -> tuple[str, ...]:
    graph, odd = halves.graph, halves.odd
    if halves.pairs > 1:
        (odd,) = _of_pairs(patch, halves, op) or ("",)
    for one, other in _pair(graph, odd, op):
        x = halves.whole(one, 0)
        if not x or halves.whole(other, 1) != x or not halves.starts(x):
            continue
        if not halves.rest or any(
            halves.is_before(before) and halves.whole(now, 2) == x
            for before, now in _pair(graph, halves.rest, op)
        ):
            return (x,)
    return ()


def _is_only_first(graph: Graph, name: str) -> bool:
    node = made_by(graph, name, "concat")
    zeros = graph.find_array(node.inputs[-1]) if node is not None else None
    return zeros is not None and not zeros.any()


# ---- linear recurrences


def _recurrence(patch: GraphBuilder, halves: InterleavedScan) -> tuple[str, ...]:
    graph, products, odd = halves.graph, "", halves.odd
    if halves.pairs > 1:
        products, odd = _of_pairs(patch, halves, "scan") or ("", "")
    for a_odd, before, now in _moves(graph, odd):
        b = halves.whole(now, 1)
        if not b or halves.whole(before, 0) != b or not halves.starts(b):
            continue
        for a_even, state, term in _moves(graph, halves.rest) if halves.rest else NO_REST:
            if halves.rest and not (halves.is_before(state) and halves.whole(term, 2) == b):
                continue
            a = _factor(patch, halves, (a_odd, a_even), products)
            if a:
                return a, b
    return ()


def _moves(graph: Graph, name: str) -> Iterator[tuple[str, str, str]]:
    """Yield (a, h, b) for a tensor a h + b, in every order."""
    for product, term in _pair(graph, name, "add"):
        for factor, state in _pair(graph, product, "mul"):
            yield factor, state, term


def _pair(graph: Graph, name: str, op: str) -> Iterator[tuple[str, str]]:
    """Yield both operands, in both orders, of a tensor without an activation."""
    node = made_by(graph, name, op)
    if node is not None and "act" not in node.attrs:
        one, other = node.inputs
        yield from ((one, other), (other, one))


def _factor(
    patch: GraphBuilder, halves: InterleavedScan, halved: tuple[str, str], products: str
) -> str:
    """Merge the factors of odd and even steps; "" if they come from different tensors.

    products   factors of pairs; "" if there is one pair
    """
    graph, (odd, even) = halves.graph, halved
    a = halves.whole(odd, 1)
    if a:
        pairs = _pair(graph, products, "mul")
        known = any((halves.whole(x, 0), halves.whole(y, 1)) == (a, a) for x, y in pairs)
        same = not even or halves.whole(even, 2) == a
        return a if same and (known or not products) else ""
    constants = {**graph.arrays, **patch.arrays}
    if any(name and name not in constants for name in (odd, even, products)):
        return ""
    value = _interleaved(constants[odd], constants.get(even), halves)
    return patch.constant(value) if _fits(value, constants.get(products), halves.axis) else ""


def _interleaved(odd: Array, even: Array | None, halves: InterleavedScan) -> Array:
    """Return the factors of all steps; the factor of the first step, which is never used, is 0."""
    odd = np.moveaxis(odd, halves.axis, 0)
    found = np.zeros((halves.n, *odd.shape[1:]), odd.dtype)
    found[1::2] = odd
    if even is not None:
        found[2::2] = np.moveaxis(even, halves.axis, 0)
    return np.moveaxis(found, 0, halves.axis)


def _fits(value: Array, pairs: Array | None, axis: int) -> bool:
    """Return whether factors of pairs, except the first, are products of the factors."""
    if pairs is None:
        return True
    steps = np.moveaxis(value, axis, 0)
    made = steps[1::2] * steps[: 2 * len(steps[1::2]) : 2]
    return np.array_equal(np.moveaxis(pairs, axis, 0)[1:], made[1:])


def _unbroadcast(graph: Graph, name: str) -> str:
    node = made_by(graph, name, "expand")
    return name if node is None else node.inputs[0]
