# SPDX-License-Identifier: Apache-2.0
"""Patterns that split layers with very many products per output.

The weights of four channels must fit L1, which is impossible for more than MOST products per
output. Each part is a separate layer with its own scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import attempt, require
from myoedge.graph.rewrite import Rewrite, RewritePattern, rewrite_pattern
from myoedge.operators.graph_builder import GraphBuilder, slice_axis

MOST = 20480  # products per output; four channels' weights take 80 KiB, two thirds of GAP9's L1
PART = 4608  # products per output of a part, which leaves space in L1 for the windows
WORD = 4  # parts of an axis begin at multiples of it, in bytes


@rewrite_pattern("linear")
def split_inputs(graph: Graph, node: Node) -> Rewrite:
    """Split a linear layer over its inputs: x W^T + b = x[:n] W[:, :n]^T + b + x[n:] W[:, n:]^T."""
    x, weight, *bias = node.inputs
    terms = graph.shape(weight)[-1]
    require(terms > MOST, not node.attrs, graph.is_const(weight))
    patch, last = GraphBuilder(graph, node), len(graph.shape(x)) - 1
    parts = []
    for start, stop in _even_parts(terms, -(-terms // PART), WORD):
        columns = patch.constant(graph.array(weight)[:, start:stop])
        read = slice_axis(patch, x, last, start, stop)
        parts.append(patch.add("linear", read, columns, *(bias if not start else ())))
    return _sum_of(patch, parts)


@rewrite_pattern("conv")
def split_taps(graph: Graph, node: Node) -> Rewrite:
    """Split a convolution along its longest kernel axis into a sum of convolutions, each on the
    part of the input that its taps read."""
    _, weight, *bias = node.inputs
    require(graph.is_const(weight), "act" not in node.attrs, node.attrs["groups"] == 1)
    w = graph.array(weight)
    terms, axis = math.prod(w.shape[1:]), 1 + max(range(w.ndim - 2), key=lambda d: w.shape[1 + d])
    require(terms > MOST, w.shape[axis] > 1)
    patch, in_one = GraphBuilder(graph, node), max(1, PART * w.shape[axis] // terms)
    parts = list[str]()
    for start, stop in _even_parts(w.shape[axis], -(-w.shape[axis] // in_one)):
        if (reached := attempt(_reached, patch, node, axis, start, stop)) is not None:
            taps = patch.constant(w.take(range(start, stop), axis))
            attrs = {**node.attrs, "pads": reached[1]}
            added = () if parts else bias
            parts.append(patch.add("conv", reached[0], taps, *added, **attrs))
    require(parts)
    return _sum_of(patch, parts)


def _reached(
    patch: GraphBuilder, node: Node, axis: int, first: int, end: int
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the slice of the input that kernel taps first .. end - 1 along an axis read, and its
    padding.

    Errors: NoMatch if these taps read only padding.
    """
    at, x = axis - 1, node.inputs[0]
    step, stride = node.attrs["dilation"][at], node.attrs["stride"][at]
    length, windows = patch.shape(x)[axis], patch.graph.shape(node.name)[axis]
    start = first * step - node.attrs["pads"][at][0]
    stop = start + (windows - 1) * stride + (end - first - 1) * step + 1
    low, high = max(start, 0), min(stop, length)
    require(low < high)
    pads = list(node.attrs["pads"])
    pads[at] = (low - start, stop - high)
    return slice_axis(patch, x, axis, low, high), tuple(pads)


def _even_parts(length: int, count: int, unit: int = 1) -> Iterator[tuple[int, int]]:
    most = -(-length // (count * unit)) * unit
    return ((start, min(start + most, length)) for start in range(0, length, most))


def _sum_of(patch: GraphBuilder, parts: list[str]) -> Rewrite:
    total, *others = parts
    if not others:
        return patch.same_as(total)
    for other in others[:-1]:
        total = patch.add("add", total, other)
    return patch.last("add", total, others[-1])


LONG_SUMS: tuple[RewritePattern, ...] = (split_inputs, split_taps)
