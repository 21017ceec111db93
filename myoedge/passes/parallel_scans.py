# SPDX-License-Identifier: Apache-2.0
"""Recognition of parallel scans that a program writes out in slices, as torch's associative_scan
and the scans of Mamba libraries do.

Such a program adds and multiplies slices of one or two tensors in an order of its own. The order
does not matter: the part of the graph is evaluated on random numbers and compared with the
cumulative product and with the recurrence h_t = a_t h_(t-1) + b_t. Polynomials that agree at random
points are equal (Schwartz-Zippel lemma).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Graph, Node, Shape
from myoedge.graph.match import made_by
from myoedge.graph.rewrite import Rewrite, RewritePattern, apply
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder, expand
from myoedge.operators.interpreter import real_node
from myoedge.operators.scan import products
from myoedge.operators.scan import real as states_of

FEWEST = 4  # steps of a scan
SOURCES = 2  # maximum number of tensors that a scan reads
MOVES = ("concat", "expand", "pad", "reshape", "slice", "transpose")
SUMS = ("add", "cumsum", "mul", "scan")
PARTS = (*MOVES, *SUMS)
TOLERANCE = 1e-6  # of each value's terms, for products of many steps are tiny; in float64


@dataclass(frozen=True, slots=True)
class ScanPart:
    """A part of a graph that computes one tensor.

    nodes     its nodes, last first
    sources   the tensors that it reads, besides constants
    """

    nodes: tuple[Node, ...]
    sources: tuple[str, ...]

    @property
    def end(self) -> str:
        return self.nodes[0].name

    def value(self, graph: Graph, given: Mapping[str, Array]) -> Array:
        """Evaluate the part in float64, given its sources by name."""
        values = {**graph.arrays, **given}
        for node in reversed(self.nodes):
            _, values[node.name] = real_node(node, [values[x] for x in node.inputs])
        return values[self.end]


@dataclass(frozen=True, slots=True)
class FoundScan:
    """A scan that a part of the graph computes.

    op         "scan", "cumsum" or "cumprod"
    axis       axis of the steps
    operands   tensors or constants that it reads: (a, b) of a scan, otherwise (x,)
    """

    op: str
    axis: int
    operands: tuple[str | Array, ...]


def roll_scans(graph: Graph) -> Graph:
    """Replace each scan that is written out in slices by one operator: scan, cumulative product or
    sum."""
    found: dict[str, FoundScan] = {}
    taken: set[str] = set()
    order = {node.name: -at for at, node in enumerate(graph.nodes)}
    for node in reversed(graph.nodes):  # a scan's results before what is computed on the way
        if node.op not in PARTS or node.name in taken:
            continue
        for part in [*_candidate_parts(graph, node, order)][::-1]:  # the largest first
            if (scan := _identify_scan(graph, part)) is not None:
                found[node.name] = scan
                taken.update(x.name for x in part.nodes)
                break
    rule = RewritePattern(
        lambda view, node: _replace_by_scan(view, node, found.get(node.name)), PARTS
    )
    return apply((rule,), graph) if found else graph


def _candidate_parts(graph: Graph, end: Node, order: Mapping[str, int]) -> Iterator[ScanPart]:
    """Yield the parts that compute a node's result from at most two tensors of its shape, the
    smallest first.

    order   negative positions of the nodes in the graph
    """
    shape, seen, nodes = graph.shape(end.name), {end.name}, list[Node]()
    waiting, sources = [(order[end.name], end.name)], list[str]()
    while waiting and len(sources) <= SOURCES and _all_broadcast_to(graph, sources, shape):
        node = graph.producer[heapq.heappop(waiting)[1]]
        nodes.append(node)
        for name in sorted({*node.inputs} - {*graph.constants} - seen):
            seen.add(name)
            if made_by(graph, name, *PARTS, plain=True) is None:
                sources.append(name)
            else:
                heapq.heappush(waiting, (order[name], name))
        read = (*sources, *(name for _, name in waiting))
        if (
            len(read) <= SOURCES
            and _all_broadcast_to(graph, read, shape)
            and _has_scan_length(nodes)
        ):
            yield ScanPart(tuple(nodes), read)


def _has_scan_length(nodes: Sequence[Node]) -> bool:
    """Return whether nodes have as many slices and sums as the shortest scan, of four steps."""
    ops = [node.op for node in nodes]
    return ops.count("slice") >= 3 and sum(map(ops.count, SUMS)) >= 2


def _all_broadcast_to(graph: Graph, names: Iterable[str], shape: Shape) -> bool:
    """Return whether all of these tensors broadcast to a shape."""
    for name in names:
        own = graph.shape(name)
        pairs = zip(reversed(own), reversed(shape), strict=False)
        if len(own) > len(shape) or any(n not in (1, other) for n, other in pairs):
            return False
    return True


@np.errstate(all="ignore")  # a value that is not finite equals none
def _identify_scan(graph: Graph, part: ScanPart) -> FoundScan | None:
    """Return the scan that a part computes; None for anything else."""
    cases = _random_cases(graph, part)
    first = next(cases)
    axes = [axis for axis, n in enumerate(first.result.shape) if n >= FEWEST]
    scans: Iterator[FoundScan | None]
    if len(part.sources) == SOURCES:  # h_t = a_t h_(t-1) + b_t, in either order
        found = itertools.product(axes, (part.sources, part.sources[::-1]))
        scans = (
            FoundScan("scan", axis, pair) for axis, pair in found if first.is_scan(axis, *pair)
        )
    else:
        second = next(cases)
        scans = (_scan_of_one(axis, part.sources[0], first, second) for axis in axes)
    return next((scan for scan in scans if scan is not None), None)


def _random_cases(graph: Graph, part: ScanPart) -> Iterator[_Case]:
    """Yield a part's result for two sets of random sources."""
    rng = np.random.default_rng(0)
    for _ in range(2):
        # Of either sign and far from 0, so that products of many stay in range
        shapes = {name: graph.shape(name) for name in part.sources}
        given = {
            n: rng.choice((-1.0, 1.0), x) * rng.uniform(0.5, 1.5, x) for n, x in shapes.items()
        }
        yield _Case(given, part.value(graph, given))


@dataclass(frozen=True, slots=True)
class _Case:
    """Random sources of a part, by name, and its result."""

    given: Mapping[str, Array]
    result: Array

    def source(self, name: str) -> Array:
        return np.broadcast_to(self.given[name], self.result.shape)

    def equals(self, value: Array, scale: Array) -> bool:
        """Return whether the result is `value`, within TOLERANCE of the sum of the magnitudes of
        its terms."""
        return bool((np.abs(value - self.result) <= TOLERANCE * scale).all())

    def is_scan(self, axis: int, a: str | Array, b: str) -> bool:
        """Return whether the result is the states h_t = a_t h_(t-1) + b_t along an axis."""
        factors, terms = self.source(a) if isinstance(a, str) else a, self.source(b)
        scale = states_of({"axis": axis}, np.abs(factors), np.abs(terms))
        return self.equals(states_of({"axis": axis}, factors, terms), scale)


def _scan_of_one(axis: int, x: str, first: _Case, second: _Case) -> FoundScan | None:
    """Return the scan of one tensor: its cumulative product, or h_t = a_t h_(t-1) + x_t with
    constant factors, which one case gives and the other confirms."""
    product = np.cumprod(first.source(x), axis)
    if first.equals(product, np.abs(product)):
        return FoundScan("cumprod", axis, (x,))
    h, terms = (np.moveaxis(y, axis, 0) for y in (first.result, first.source(x)))
    factors = np.zeros_like(h)
    factors[1:] = (h[1:] - terms[1:]) / h[:-1]
    if np.allclose(factors[1:], factors[1], rtol=TOLERANCE, atol=0.0):  # the first multiplies 0
        factors[:] = factors[1]
    a = np.moveaxis(factors, 0, axis)
    if not factors.any() or not second.is_scan(axis, a, x):
        return None
    if np.allclose(factors[1:], 1.0, rtol=0.0, atol=1e-9):
        return FoundScan("cumsum", axis, (x,))
    return FoundScan("scan", axis, (a, x))


def _replace_by_scan(graph: Graph, node: Node, found: FoundScan | None) -> Rewrite | None:
    if found is None:
        return None
    patch, shape = GraphBuilder(graph, node), graph.shape(node.name)
    operands = (x if isinstance(x, str) else patch.constant(x) for x in found.operands)
    whole = [expand(patch, x, shape) for x in operands]
    if found.op == "cumprod":
        return patch.same_as(products(patch, whole[0], found.axis))
    return patch.same_as(patch.add(found.op, *whole, axis=found.axis))
