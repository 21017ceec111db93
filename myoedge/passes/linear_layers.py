# SPDX-License-Identifier: Apache-2.0
"""Patterns on linear layers and convolutions.

Many small sums and differences of one tensor's elements become a linear layer: an exported
one-vs-one support vector machine sums slices of its pairwise scores in this way. Layers with very
many products per output are split, because the weights of four channels must fit L1; each part is a
separate layer with its own scale. Linear layers averaged over rotations of their rows become
convolutions, whose overlapping windows an accelerator reads without copies. Weights of a model file
with more than 8 bits are split into two int8 parts, for operators without 16-bit weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import attempt, found, made_by, require, writer
from myoedge.graph.rewrite import Rewrite, RewritePattern, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT8, INT16
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, concat, reshape, slice_axis
from myoedge.operators.kernel_formats import layer_shapes, may_weigh
from myoedge.passes.forms import cut_axis

SMALL = 512  # maximum elements of a tensor
MOST_DEPTH, MOST_TENSORS = 64, 2048  # maximum operators on a path, and tensors in all
LEAST_SUMS = 4  # minimum number of sums that the layer replaces
MOVES = ("slice", "reshape", "transpose")


@dataclass
class _AffineParts:
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
                self.known[name] = self._compute_parts(node, depth)
        return self.known[name]

    def _compute_parts(self, node: Node, depth: int) -> Array:
        parts = [self.of(x, depth + 1) for x in node.inputs]
        count = max(part.shape[-1] for part in parts)
        parts = [
            part
            if part.shape[-1] == count
            else np.concatenate([np.zeros((*part.shape[:-1], count - 1)), part], axis=-1)
            for part in parts
        ]
        if node.op in ("add", "sub"):
            return parts[0] + (parts[1] if node.op == "add" else -parts[1])
        if node.op == "concat":
            return np.concatenate(parts, axis=node.attrs["axis"])
        if node.op == "table":
            return _scale_part(parts[0], node)
        columns = [OPS[node.op].real(node.attrs, column) for column in np.moveaxis(parts[0], -1, 0)]
        return np.stack(columns, axis=-1)


def _is_linear(node: Node) -> bool:
    steps = node.attrs.get("chain", ())
    plain = "act" not in node.attrs
    return plain and (
        node.op in (*MOVES, "add", "sub", "concat")
        or (node.op == "table" and all(name in ("affine", "neg") for name, *_ in steps))
    )


def _scale_part(part: Array, node: Node) -> Array:
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
    parts = _AffineParts(graph)
    factors = parts.of(node.name)
    made = [graph.producer[name].op for name in parts.known if name in graph.producer]
    require(parts.source, sum(op in ("add", "sub") for op in made) >= LEAST_SUMS)
    rows = factors.reshape(-1, factors.shape[-1])
    patch, count = GraphBuilder(graph, node), rows.shape[1] - 1
    x = reshape(patch, parts.source, (1, count))
    y = patch.add("linear", x, patch.constant(rows[:, :-1]), patch.constant(rows[:, -1]))
    return patch.same_as(reshape(patch, y, graph.shape(node.name)))


LINEAR_PARTS: tuple[RewritePattern, ...] = (sums_as_linear,)


PLAIN: Mapping[str, Any] = {
    "stride": (1, 1),
    "dilation": (1, 1),
    "pads": ((0, 0), (0, 0)),
    "groups": 1,
}


@rewrite_pattern("linear", beside="concat")
def rotations_as_windows(graph: Graph, node: Node) -> Rewrite:
    """Replace the mean of a linear layer over rotations of its E input rows, by lo .. hi rows, by a
    convolution with an E-row kernel.

    Its input holds the rows E + lo .. E - 1, 0 .. E - 1, 0 .. hi - 1.
    """
    stack = _match_rotated_stack(graph, node)
    *lead, e, f = graph.shape(stack.name)
    require(not graph.all_given)
    rows = math.prod(lead[:-1])
    parts = [_strip_leading_reshapes(graph, part) for part in stack.inputs]
    turned = [attempt(_match_rotation, graph, part) or (part, 0) for part in parts]
    sources, shifts = {x for x, _ in turned}, sorted((by + e // 2) % e - e // 2 for _, by in turned)
    low, high = shifts[0], shifts[-1]
    require(len(sources) == 1, shifts == list(range(low, high + 1)), low <= 0 <= high)
    b, (source,) = GraphBuilder(graph, node), sources
    x = reshape(b, source, (1, rows, e, f))
    first = [slice_axis(b, x, 2, e + low, e)] if low else []
    last = [slice_axis(b, x, 2, 0, high)] if high else []
    padded = concat(b, [*first, x, *last], 2)
    weight, *bias = node.inputs[1:]
    kernel = b.constant(graph.array(weight).reshape(-1, 1, e, f))
    y = b.add("conv", padded, kernel, *bias, **PLAIN, **node.attrs)
    return b.last("reshape", y, shape=graph.shape(node.name))


def _match_rotated_stack(graph: Graph, node: Node) -> Node:
    """Match the concat of rotated tensors [.., 1, E, F] before a linear layer, `node`, whose
    results are averaged over the rotations."""
    flat = writer(graph, node.inputs[0], "reshape", reader=node)
    stack, mean = writer(graph, flat.inputs[0], "concat", reader=flat), graph.only_user(node.name)
    require(len(graph.shape(stack.name)) > 2)
    *lead, e, f = graph.shape(stack.name)
    axis = len(lead) - 1
    require(found(mean).op == "mean", tuple(found(mean).attrs.get("axes", ())) == (axis,))
    require(stack.attrs["axis"] == axis, lead[-1] == len(stack.inputs) > 1)
    require(graph.shape(node.inputs[0]) == (*lead, e * f))
    require(math.prod(lead[:-1]) == max(lead[:-1], default=1))  # at most one long axis
    require(all(name in graph.constants for name in node.inputs[1:]))
    return stack


def _match_rotation(graph: Graph, name: str) -> tuple[str, int]:
    """Match a rotation of rows, concat of two slices; return (tensor, the row that comes first)."""
    join = writer(graph, name, "concat")
    parts = [writer(graph, x, "slice") for x in join.inputs]
    cuts = [(part.inputs[0], *cut_axis(graph, part)) for part in parts]
    x, axis, by = parts[0].inputs[0], len(graph.shape(name)) - 2, len(cuts[-1][2])
    ends = range(by, graph.shape(name)[axis]), range(by)
    require(join.attrs["axis"] == axis, cuts == [(x, axis, end) for end in ends])
    return _strip_leading_reshapes(graph, x), by


def _strip_leading_reshapes(graph: Graph, name: str) -> str:
    """Follow reshapes that keep the last two axes back to the tensor that they view."""
    while (view := made_by(graph, name, "reshape")) is not None:
        if graph.shape(view.inputs[0])[-2:] != graph.shape(name)[-2:]:
            break
        name = view.inputs[0]
    return name


@rewrite_pattern("conv")
def weights_in_parts(graph: Graph, node: Node) -> Rewrite:
    """Split 9-bit weights (uint8 minus zero point) into two int8 weights w = w1 + w2 of one layer
    that reads every input channel twice."""
    x, weight, *bias = node.inputs
    stated = found(graph.format(weight))
    steps = found(stated.steps(graph.array(weight)))
    shapes, out = layer_shapes(graph, node)
    require(steps.size, not may_weigh(node, INT16.bits, shapes, out))
    count = max(-(-int(steps.max()) // INT8.high), -(-int(steps.min()) // INT8.low))
    require(count > 1)
    channels, groups = shapes[0][-1], node.attrs["groups"]
    each = np.arange(channels).reshape(groups, -1)
    index = tuple(map(int, np.tile(each, (1, count)).reshape(-1)))
    parts = np.concatenate([(steps + i) // count for i in range(count)], axis=-1)
    zeros = (0,) * len(stated.zero_point)
    kind = replace(stated, zero_point=zeros, low=INT8.low, high=INT8.high)
    patch = GraphBuilder(graph, node)
    made = patch.constant(kind.real(parts), kind)
    read = patch.add("take", x, axis=len(shapes[0]) - 1, index=index)
    return patch.last("conv", read, made, *bias, **node.attrs)


WIDE_WEIGHTS: tuple[RewritePattern, ...] = (weights_in_parts,)


MOST = 20480  # products per output; four channels' weights take 80 KiB, two thirds of an L1
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
    for start, stop in _even_part_sizes(terms, -(-terms // PART), WORD):
        columns = patch.constant(graph.array(weight)[:, start:stop])
        read = slice_axis(patch, x, last, start, stop)
        parts.append(patch.add("linear", read, columns, *(bias if not start else ())))
    return _add_sum(patch, parts)


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
    for start, stop in _even_part_sizes(w.shape[axis], -(-w.shape[axis] // in_one)):
        if (reached := attempt(_slice_read_by_taps, patch, node, axis, start, stop)) is not None:
            taps = patch.constant(w.take(range(start, stop), axis))
            attrs = {**node.attrs, "pads": reached[1]}
            added = () if parts else bias
            parts.append(patch.add("conv", reached[0], taps, *added, **attrs))
    require(parts)
    return _add_sum(patch, parts)


def _slice_read_by_taps(
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


def _even_part_sizes(length: int, count: int, unit: int = 1) -> Iterator[tuple[int, int]]:
    most = -(-length // (count * unit)) * unit
    return ((start, min(start + most, length)) for start in range(0, length, most))


def _add_sum(patch: GraphBuilder, parts: list[str]) -> Rewrite:
    total, *others = parts
    if not others:
        return patch.same_as(total)
    for other in others[:-1]:
        total = patch.add("add", total, other)
    return patch.last("add", total, others[-1])


LONG_SUMS: tuple[RewritePattern, ...] = (split_inputs, split_taps)
