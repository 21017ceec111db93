# SPDX-License-Identifier: Apache-2.0
"""Patterns that recognise norms and variances written as means, squares and roots."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import Rewrite, RewritePattern, joined_origins, made_by, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import Chain
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, reshape, transpose
from myoedge.operators.norm.import_rows import EPS_LEAST, EPS_MOST, of_rows
from myoedge.operators.variance.definition import LENGTH_MAX

SQUARES: tuple[Chain, ...] = ((("square",),), (("pow", 2.0),))
ROOTS = (("sqrt",), ("pow", 0.5))
INVERSE_ROOTS = (("rsqrt",), ("pow", -0.5))
INVERSES = (("reciprocal",), ("pow", -1.0))


class SumOfSquares(NamedTuple):
    """A match of sum(x^2) over `axes` / `divisor`; x minus its mean if `centred`."""

    x: str
    axes: tuple[int, ...]
    centred: bool
    divisor: float
    keepdim: bool


def _squared(graph: Graph, name: str) -> str | None:
    """Return x if the tensor is x * x; None otherwise."""
    node = made_by(graph, name, "table", "mul")
    if node is None:
        return None
    if node.op == "table":
        return node.inputs[0] if node.attrs["chain"] in SQUARES else None
    return node.inputs[0] if node.inputs[0] == node.inputs[1] and "act" not in node.attrs else None


def _axes(graph: Graph, node: Node) -> tuple[int, ...]:
    rank = len(graph.shape(node.inputs[0]))
    return tuple(sorted(axis % rank for axis in node.attrs["axes"]))


def _centred(graph: Graph, name: str, axes: tuple[int, ...]) -> str | None:
    """Return x if the tensor is x minus its mean over these axes."""
    node = made_by(graph, name, "sub")
    if node is None or "act" in node.attrs:
        return None
    x, subtracted = node.inputs
    mean = made_by(graph, _unexpanded(graph, subtracted), "mean")
    same = mean is not None and mean.inputs[0] == x and mean.attrs["keepdim"]
    return x if same and mean is not None and _axes(graph, mean) == axes else None


def _unexpanded(graph: Graph, name: str) -> str:
    node = made_by(graph, name, "expand")
    return name if node is None else node.inputs[0]


def _squares(graph: Graph, node: Node | None) -> SumOfSquares | None:
    """Match a mean or sum of squares, or a variance."""
    if node is not None and node.op == "add":
        return _squares_of_parts(graph, node)
    if node is None or node.op not in ("mean", "sum", "variance") or "act" in node.attrs:
        return None
    axes, keepdim = _axes(graph, node), bool(node.attrs["keepdim"])
    if node.op == "variance":
        of = SumOfSquares(
            node.inputs[0], axes, node.attrs["centred"], node.attrs["divisor"], keepdim
        )
        return None if node.attrs["root"] else of
    x = _squared(graph, node.inputs[0])
    if x is None:
        return None
    divisor = float(_count(graph, x, axes)) if node.op == "mean" else 1.0
    source = _centred(graph, x, axes)
    return SumOfSquares(source or x, axes, source is not None, divisor, keepdim)


def _squares_of_parts(graph: Graph, node: Node) -> SumOfSquares | None:
    """Match x[.., 0]**2 + x[.., 1]**2 + .. over all elements along an axis."""
    parts = [_element(graph, _squared(graph, name) or "") for name in _addends(graph, node)]
    x, axis, _ = parts[0]
    found = sorted(index for _, _, index in parts)
    if {part[:2] for part in parts} != {(x, axis)} or not x:
        return None
    every = found == [*range(graph.shape(x)[axis])]
    return SumOfSquares(x, (axis,), centred=False, divisor=1.0, keepdim=False) if every else None


def _addends(graph: Graph, node: Node) -> Iterator[str]:
    for name in node.inputs:
        inner = made_by(graph, name, "add")
        yield from (name,) if inner is None or "act" in inner.attrs else _addends(graph, inner)


def _element(graph: Graph, name: str) -> tuple[str, int, int]:
    """Return (tensor, axis, index) of a slice that takes one element of an axis."""
    view = made_by(graph, name, "reshape")
    cut = made_by(graph, name if view is None else view.inputs[0], "slice")
    if cut is None:
        return "", 0, 0
    x = cut.inputs[0]
    spans = zip(cut.attrs["cuts"], graph.shape(x), strict=True)
    taken = [
        (axis, start, stop)
        for axis, ((start, stop, _), n) in enumerate(spans)
        if (start, stop) != (0, n)
    ]
    (axis, start, stop), *others = taken or [(0, 0, 0)]
    return (x, axis, start) if stop == start + 1 and not others else ("", 0, 0)


def _count(graph: Graph, x: str, axes: tuple[int, ...]) -> int:
    return math.prod(graph.shape(x)[axis] for axis in axes)


@rewrite_pattern("mean", "sum")
def variance(graph: Graph, node: Node) -> Rewrite | None:
    """Fuse mean((x - mean(x))^2) into a variance."""
    found = _squares(graph, node)
    if found is None or not found.centred or _count(graph, found.x, found.axes) > LENGTH_MAX:
        return None
    return _last_variance(GraphBuilder(graph, node), found, root=False)


def _last_variance(patch: GraphBuilder, found: SumOfSquares, *, root: bool) -> Rewrite:
    attrs = {**found._asdict(), "root": root}
    return patch.last("variance", attrs.pop("x"), **attrs)


@rewrite_pattern("table")
def function_of_variance(graph: Graph, node: Node) -> Rewrite | None:
    """Fold a factor after a variance into its divisor; fuse a root, which gives a standard
    deviation or, for a sum of squares, a vector norm."""
    (name, *parameters), *rest = node.attrs["chain"]
    producer = made_by(graph, node.inputs[0], "variance", "sum", "mean", reader=node)
    found = _squares(graph, producer)
    if producer is None or found is None or _count(graph, found.x, found.axes) > LENGTH_MAX:
        return None
    is_factor = producer.op == "variance" and name == "affine" and parameters[1:] == [0.0]
    is_root = (name, *parameters) in ROOTS
    if not is_root and not (is_factor and parameters[0] > 0.0):
        return None
    patch, origin = GraphBuilder(graph, node), joined_origins(producer, node)
    if is_factor:
        found = found._replace(divisor=found.divisor / parameters[0])
    attrs = {**found._asdict(), "root": is_root}
    x = attrs.pop("x")
    if not rest:
        return patch.last("variance", x, **attrs, origin=origin)
    return patch.last("table", patch.add("variance", x, **attrs, origin=origin), chain=tuple(rest))


class InverseRoot(NamedTuple):
    """A match of the factor 1 / sqrt(squares + eps) of a norm."""

    squares: SumOfSquares
    eps: float


def _inverse_deviation(graph: Graph, name: str) -> InverseRoot | None:
    """Match + eps, root, maximum with eps or + eps, and inverse after a sum of squares; some may be
    missing."""
    chain: list[tuple[object, ...]] = []
    name = _unexpanded(graph, name)
    factors = graph.shape(name)
    while (node := made_by(graph, name, "table", "reshape")) is not None:
        if node.op == "reshape" and not _moves_units(graph, node):
            return None
        chain[:0] = node.attrs.get("chain", ())
        name = _unexpanded(graph, node.inputs[0])
    node = graph.producer.get(name)
    if node is not None and node.op == "variance" and node.attrs["root"]:
        node = node.but(attrs={**node.attrs, "root": False})
        chain[:0] = [("sqrt",)]
    squares = _squares(graph, node)
    if squares is None:
        return None
    rows = (1 if i in squares.axes else n for i, n in enumerate(graph.shape(squares.x)))
    if not squares.keepdim and factors != tuple(rows):
        return None
    eps, rest = _inverse_chain(chain)
    return None if rest else InverseRoot(squares, eps)


def _moves_units(graph: Graph, view: Node) -> bool:
    """Return whether a view only adds and removes axes of size 1."""
    shapes = (graph.shape(name) for name in (view.inputs[0], view.name))
    before, after = ([n for n in shape if n > 1] for shape in shapes)
    return before == after


def _inverse_chain(chain: list[tuple[object, ...]]) -> tuple[float, bool]:
    """Return (eps added to the squares, whether the chain is not an inverse root)."""
    eps, calls = 0.0, [call for call in chain if call != ("affine", 1.0, 0.0)]
    if calls and calls[0][:2] == ("affine", 1.0):
        eps = float(str(calls.pop(0)[2]))
    if calls and calls[0] in INVERSE_ROOTS:
        return eps, len(calls) > 1 or eps < 0.0
    if not calls or calls.pop(0) not in ROOTS:
        return eps, True
    for least in _least(calls):
        eps = max(eps, least**2)
        calls.pop(0)
    return eps, len(calls) != 1 or calls[0] not in INVERSES or eps < 0.0


def _least(calls: list[tuple[object, ...]]) -> Iterator[float]:
    """Yield small numbers that are added to a root, or limit it from below."""
    for name, *parameters in calls:
        if name == "clamp" and parameters[1] == math.inf:
            least = float(str(parameters[0]))
        elif name == "affine" and parameters[0] == 1.0:
            least = float(str(parameters[1]))
        else:
            return
        if not 0.0 <= least <= EPS_MOST:
            return
        yield least


@rewrite_pattern("mul")
def norm(graph: Graph, node: Node) -> Rewrite | None:
    """Fuse x / sqrt(mean(x^2) + eps) into an RMS norm, and the same with x - mean(x) into a layer
    norm."""
    if "act" in node.attrs:
        return None
    for x, other in (node.inputs, node.inputs[::-1]):
        scaled = _inverse_deviation(graph, other)
        if scaled is None:
            continue
        squares, source = scaled.squares, x
        if squares.centred:
            source = _centred(graph, x, squares.axes) or ""
        if source == squares.x and graph.shape(node.name) == graph.shape(source):
            return _norm_over(graph, node, scaled)
    return None


def _norm_over(graph: Graph, node: Node, scaled: InverseRoot) -> Rewrite | None:
    """Build the norm over any axes: transpose them to the end, normalise, transpose back."""
    (x, axes, centred, divisor, _), eps = scaled
    patch, shape, n = GraphBuilder(graph, node), graph.shape(x), _count(graph, x, axes)
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    order, lead = [*kept, *axes], [shape[axis] for axis in kept]
    factors = [patch.constant(np.full(n, v)) for v in (math.sqrt(divisor / n), 0.0)]
    least = max(eps * divisor / n, EPS_LEAST**2)
    rows = reshape(patch, transpose(patch, x, order), (*lead, n))
    try:
        y = of_rows(patch, "layer_norm" if centred else "rms_norm", rows, factors, least)
    except Unsupported:
        return None
    y = reshape(patch, y, [shape[axis] for axis in order])
    return patch.same_as(transpose(patch, y, np.argsort(order).tolist()))


@rewrite_pattern("affine")
def affine_into_norm(graph: Graph, node: Node) -> Rewrite | None:
    """Fold a factor and an offset per channel after a norm into its gains and offsets."""
    norm = made_by(graph, node.inputs[0], "layer_norm", "rms_norm", "group_norm", reader=node)
    if norm is None or "act" in norm.attrs:
        return None
    if node.attrs["axis"] != norm.attrs.get("axis", len(graph.shape(node.name)) - 1):
        return None
    parts = _joined_factors(graph, norm, node)
    if parts is None:
        return None
    patch, attrs = GraphBuilder(graph, node), {**norm.attrs, **_activation(node)}
    names = map(patch.constant, parts)
    return patch.last(norm.op, norm.inputs[0], *names, **attrs, origin=joined_origins(norm, node))


def _activation(node: Node) -> dict[str, object]:
    return {"act": node.attrs["act"]} if "act" in node.attrs else {}


def _joined_factors(graph: Graph, norm: Node, affine: Node) -> tuple[Array, ...] | None:
    """Merge the factors and offsets of a norm and an affine after it; None if the norm has no
    offsets."""
    gain, *added = (graph.array(name).astype(np.float64) for name in norm.inputs[1:])
    scale, offset = (graph.array(name).astype(np.float64) for name in affine.inputs[1:])
    if not added:
        return None if offset.any() else (gain * scale,)
    return gain * scale, added[0] * scale + offset


@rewrite_pattern("reshape")
def grouped_norm(graph: Graph, node: Node) -> Rewrite | None:
    """Fuse a group norm written as an instance norm of a reshape to [N, groups, rest]."""
    norm = made_by(graph, node.inputs[0], "group_norm", reader=node)
    before = made_by(graph, norm.inputs[0], "reshape", reader=norm) if norm else None
    if norm is None or before is None:
        return None
    x, groups = before.inputs[0], norm.attrs["groups"]
    shape, rows = graph.shape(x), graph.shape(before.name)
    back = graph.shape(node.name) == shape and norm.attrs["axis"] == 1 and len(shape) > 1
    if not back or rows[:2] != (shape[0], groups) or shape[1] % groups:
        return None
    patch = GraphBuilder(graph, node)
    parts = (graph.array(name) for name in norm.inputs[1:])
    names = [patch.constant(np.repeat(part, shape[1] // groups)) for part in parts]
    return patch.last("group_norm", x, *names, **norm.attrs, origin=joined_origins(norm, node))


FIND_NORMS: tuple[RewritePattern, ...] = (norm, variance, function_of_variance)
FOLD_NORMS: tuple[RewritePattern, ...] = (affine_into_norm, grouped_norm)
