# SPDX-License-Identifier: Apache-2.0
"""Patterns that recognise norms and variances written with means, squares and square roots."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import (
    attempt,
    behind,
    both_orders,
    first_match,
    floats,
    made_by,
    require,
    writer,
)
from myoedge.graph.rewrite import Rewrite, RewritePattern, joined_origins, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder, reshape, transpose
from myoedge.operators.norm.import_rows import EPS_LEAST, EPS_MOST, of_rows
from myoedge.operators.variance import LENGTH_MAX
from myoedge.passes.forms import ROOTS, before_functions, cut_axis, square

INVERSE_ROOTS = (("rsqrt",), ("pow", -0.5))
NORMS = ("layer_norm", "rms_norm", "group_norm")
INVERSES = (("reciprocal",), ("pow", -1.0))


class SumOfSquares(NamedTuple):
    """A match of sum(x^2) / divisor in a graph.

    x         tensor
    axes      axes of the sum
    centred   whether the mean is subtracted from x
    keepdim   whether reduced axes are kept with size 1
    """

    x: str
    axes: tuple[int, ...]
    centred: bool
    divisor: float
    keepdim: bool


def _reduction_axes(graph: Graph, node: Node) -> tuple[int, ...]:
    rank = len(graph.shape(node.inputs[0]))
    return tuple(sorted(axis % rank for axis in node.attrs["axes"]))


def _match_centred(graph: Graph, name: str, axes: tuple[int, ...]) -> str:
    """Match x - mean(x) over these axes; return x. Errors: NoMatch."""
    x, subtracted = writer(graph, name, "sub", plain=True).inputs
    mean = writer(graph, behind(graph, subtracted, "expand"), "mean")
    require(mean.inputs[0] == x, mean.attrs["keepdim"], _reduction_axes(graph, mean) == axes)
    return x


def _match_sum_of_squares(graph: Graph, node: Node) -> SumOfSquares:
    """Match a sum or mean of squares, or a variance. Errors: NoMatch."""
    if node.op == "add":
        return _match_squares_by_element(graph, node)
    require(node.op in ("mean", "sum", "variance"), "act" not in node.attrs)
    x, axes, keepdim = node.inputs[0], _reduction_axes(graph, node), bool(node.attrs["keepdim"])
    if node.op == "variance":
        require(not node.attrs["root"])
        return SumOfSquares(x, axes, node.attrs["centred"], node.attrs["divisor"], keepdim)
    x = square(graph, x).inputs[0]
    divisor = float(_element_count(graph, x, axes)) if node.op == "mean" else 1.0
    source = attempt(_match_centred, graph, x, axes)
    return SumOfSquares(source or x, axes, source is not None, divisor, keepdim)


def _match_squares_by_element(graph: Graph, node: Node) -> SumOfSquares:
    """Match squares summed by elements, x[.., 0]**2 + x[.., 1]**2 + .., over a whole axis."""
    squares = (square(graph, name) for name in _addends_of(graph, node))
    parts = [_match_single_element(graph, each.inputs[0]) for each in squares]
    x, axis, _ = parts[0]
    require(sorted(parts) == [(x, axis, index) for index in range(graph.shape(x)[axis])])
    return SumOfSquares(x, (axis,), centred=False, divisor=1.0, keepdim=False)


def _addends_of(graph: Graph, node: Node) -> Iterator[str]:
    for name in node.inputs:
        inner = made_by(graph, name, "add", plain=True)
        yield from (name,) if inner is None else _addends_of(graph, inner)


def _match_single_element(graph: Graph, name: str) -> tuple[str, int, int]:
    """Match a slice of one element along an axis; return (tensor, axis, index). Errors: NoMatch."""
    view = made_by(graph, name, "reshape")
    cut = writer(graph, name if view is None else view.inputs[0], "slice")
    axis, span = cut_axis(graph, cut)
    require(len(span) == 1)
    return cut.inputs[0], axis, span[0]


def _element_count(graph: Graph, x: str, axes: tuple[int, ...]) -> int:
    return math.prod(graph.shape(x)[axis] for axis in axes)


@rewrite_pattern("mean", "sum")
def variance(graph: Graph, node: Node) -> Rewrite:
    """Fuse mean((x - mean(x))^2) into a variance."""
    squares = _match_limited_squares(graph, node)
    require(squares.centred)
    attrs = {**squares._asdict(), "root": False}
    return GraphBuilder(graph, node).last("variance", attrs.pop("x"), **attrs)


def _match_limited_squares(graph: Graph, node: Node) -> SumOfSquares:
    """Match a sum of squares over at most LENGTH_MAX elements, the limit of the variance kernel."""
    squares = _match_sum_of_squares(graph, node)
    require(_element_count(graph, squares.x, squares.axes) <= LENGTH_MAX)
    return squares


@rewrite_pattern("table")
def function_of_variance(graph: Graph, node: Node) -> Rewrite:
    """Fold a factor after a variance into its divisor, or fuse a square root: standard deviation
    or, for a sum of squares, vector norm."""
    (name, *parameters), *rest = node.attrs["chain"]
    producer = writer(graph, node.inputs[0], "variance", "sum", "mean", reader=node)
    squares, is_root = _match_limited_squares(graph, producer), (name, *parameters) in ROOTS
    if not is_root:
        require(producer.op == "variance", name == "affine", parameters[1:] == [0.0])
        require(parameters[0] > 0.0)
        squares = squares._replace(divisor=squares.divisor / parameters[0])
    patch, origin = GraphBuilder(graph, node), joined_origins(producer, node)
    attrs = {**squares._asdict(), "root": is_root, "origin": origin}
    return before_functions(patch, rest, "variance", attrs.pop("x"), **attrs)


class InverseRoot(NamedTuple):
    """A match of 1 / sqrt(squares + eps), the factor of a norm, in a graph."""

    squares: SumOfSquares
    eps: float


def _match_inverse_deviation(graph: Graph, name: str) -> InverseRoot:
    """Match 1 / sqrt(squares + eps), also with eps added to the root or as its lower limit; each
    step may be missing. Errors: NoMatch."""
    chain: list[tuple[object, ...]] = []
    name = behind(graph, name, "expand")
    factors = graph.shape(name)
    while (node := made_by(graph, name, "table", "reshape")) is not None:
        before, after = ([n for n in graph.shape(x) if n > 1] for x in (node.inputs[0], node.name))
        require(node.op == "table" or before == after)  # only axes of 1 are added or removed
        chain[:0] = node.attrs.get("chain", ())
        name = behind(graph, node.inputs[0], "expand")
    node = writer(graph, name)
    if node.attrs.get("root"):  # a variance with a fused square root
        node = node.but(attrs={**node.attrs, "root": False})
        chain[:0] = [("sqrt",)]
    squares = _match_sum_of_squares(graph, node)
    rows = (1 if i in squares.axes else n for i, n in enumerate(graph.shape(squares.x)))
    require(squares.keepdim or factors == tuple(rows))
    return InverseRoot(squares, _match_eps(chain))


def _match_eps(chain: list[tuple[object, ...]]) -> float:
    """Return the eps under the root of a chain of functions that computes 1 / sqrt(x + eps).
    Errors: NoMatch for other chains."""
    eps, calls = 0.0, [call for call in chain if call != ("affine", 1.0, 0.0)]
    require(calls)
    if calls[0][:2] == ("affine", 1.0):
        eps = float(str(calls.pop(0)[2]))
    inverses = INVERSE_ROOTS
    if calls and calls[0] in ROOTS:
        inverses = INVERSES
        calls.pop(0)
        if len(calls) == 2:
            eps = max(eps, _match_root_limit(*calls.pop(0)) ** 2)
    require(len(calls) == 1, {*calls} <= {*inverses}, eps >= 0.0)
    return eps


def _match_root_limit(name: object, *numbers: object) -> float:
    """Match a small constant added to a root, or its lower limit; return it. Errors: NoMatch."""
    is_sum = (name, numbers[:1]) == ("affine", (1.0,))
    require(is_sum or (name, numbers[1:]) == ("clamp", (math.inf,)))
    least = float(str(numbers[1] if is_sum else numbers[0]))
    require(0.0 <= least <= EPS_MOST)
    return least


@rewrite_pattern("mul")
def norm(graph: Graph, node: Node) -> Rewrite:
    """Fuse x / sqrt(mean(x^2) + eps) to an RMS norm, or a layer norm where x is u - mean(u)."""
    require("act" not in node.attrs)
    return first_match(_match_norm, ((graph, node, x, other) for x, other in both_orders(node)))


def _match_norm(graph: Graph, node: Node, x: str, other: str) -> Rewrite:
    scaled = _match_inverse_deviation(graph, other)
    squares = scaled.squares
    source = _match_centred(graph, x, squares.axes) if squares.centred else x
    require(source == squares.x, graph.shape(node.name) == graph.shape(source))
    return _replace_by_norm(graph, node, scaled)


def _replace_by_norm(graph: Graph, node: Node, scaled: InverseRoot) -> Rewrite:
    """Replace the match by a norm over any axes: transpose, normalise, transpose back."""
    (x, axes, centred, divisor, _), eps = scaled
    patch, shape, n = GraphBuilder(graph, node), graph.shape(x), _element_count(graph, x, axes)
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    order, lead = [*kept, *axes], [shape[axis] for axis in kept]
    factors = [patch.constant(np.full(n, v)) for v in (math.sqrt(divisor / n), 0.0)]
    least = max(eps * divisor / n, EPS_LEAST**2)
    rows = reshape(patch, transpose(patch, x, order), (*lead, n))
    y = of_rows(patch, "layer_norm" if centred else "rms_norm", rows, factors, least)
    y = reshape(patch, y, [shape[axis] for axis in order])
    return patch.same_as(transpose(patch, y, np.argsort(order).tolist()))


@rewrite_pattern("affine")
def affine_into_norm(graph: Graph, node: Node) -> Rewrite:
    """Fold a factor and an offset per channel after a norm into the norm's gain and bias."""
    norm = writer(graph, node.inputs[0], *NORMS, reader=node, plain=True)
    require(node.attrs["axis"] == norm.attrs.get("axis", len(graph.shape(node.name)) - 1))
    patch = GraphBuilder(graph, node)
    attrs = {**norm.attrs, **({"act": node.attrs["act"]} if "act" in node.attrs else {})}
    names = map(patch.constant, _fold_affine_into_norm(graph, norm, node))
    return patch.last(norm.op, norm.inputs[0], *names, **attrs, origin=joined_origins(norm, node))


def _fold_affine_into_norm(graph: Graph, norm: Node, affine: Node) -> tuple[Array, ...]:
    """Return a norm's gain and bias with the factor and offset of a following affine folded in.
    Errors: NoMatch if a norm without bias would need one."""
    gain, *added = floats(graph, norm.inputs[1:])
    scale, offset = floats(graph, affine.inputs[1:])
    if not added:
        require(not offset.any())
        return (gain * scale,)
    return gain * scale, added[0] * scale + offset


@rewrite_pattern("reshape")
def grouped_norm(graph: Graph, node: Node) -> Rewrite:
    """Fuse a group norm that is written as reshape to [N, groups, rest], norm and reshape back."""
    norm = writer(graph, node.inputs[0], "group_norm", reader=node)
    before = writer(graph, norm.inputs[0], "reshape", reader=norm)
    x, groups = before.inputs[0], norm.attrs["groups"]
    shape, rows = graph.shape(x), graph.shape(before.name)
    require(graph.shape(node.name) == shape, norm.attrs["axis"] == 1, len(shape) > 1)
    require(rows[:2] == (shape[0], groups), shape[1] % groups == 0)
    patch = GraphBuilder(graph, node)
    parts = (graph.array(name) for name in norm.inputs[1:])
    names = [patch.constant(np.repeat(part, shape[1] // groups)) for part in parts]
    return patch.last("group_norm", x, *names, **norm.attrs, origin=joined_origins(norm, node))


FIND_NORMS: tuple[RewritePattern, ...] = (norm, variance, function_of_variance)
FOLD_NORMS: tuple[RewritePattern, ...] = (affine_into_norm, grouped_norm)
