# SPDX-License-Identifier: Apache-2.0
"""Recognition of selective scans: a scan with the products before it and its readout.

Axes are traced through views and broadcasts by labels: one number per axis longer than 1, None for
the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import (
    NoMatch,
    attempt,
    behind,
    both_orders,
    first_match,
    found,
    made_by,
    require,
    writer,
)
from myoedge.graph.rewrite import Rewrite, RewritePattern, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder, expand, reshape, transpose
from myoedge.passes.forms import MOVES, factor_of, is_zeros

Labels = tuple[int | None, ...]
NOT_NEGATIVE = ("softplus", "sigmoid", "exp", "abs", "square")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A tensor with a label for each axis, by which axes are recognised after views and broadcasts.

    name     name of the tensor
    labels   labels of its axes
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
        """Return shape, permutation and shape with which reshape, transpose and reshape bring a
        tensor's axes into an order; axes that it lacks get size 1.

        axes      labels in the wanted order
        extents   extent of each label's axis
        """
        has = self.long_axes
        order = [has.index(axis) for axis in axes if axis in has]
        shape = [extents[axis] if axis in has else 1 for axis in axes]
        return [extents[axis] for axis in has], order, shape


@dataclass(frozen=True, slots=True)
class Axes:
    """Labels of the axes of a selective scan.

    around    axes of the sequences (batch)
    time      time axis
    channel   axes of the channels
    state     axis of the states
    """

    around: tuple[int, ...]
    time: int
    channel: tuple[int, ...]
    state: int

    @property
    def rows(self) -> tuple[int, ...]:
        return (*self.around, self.time)


@dataclass(frozen=True, slots=True)
class Parts:
    """Operands of a selective scan, each a product of tensors.

    axes               labels of the axes
    delta, x, b, c     factors of the operands
    scale, constants   A, as `scale` times the constants
    """

    axes: Axes
    delta: tuple[Labelled, ...]
    x: tuple[Labelled, ...]
    b: tuple[Labelled, ...]
    c: tuple[Labelled, ...]
    scale: float
    constants: tuple[Labelled, ...]


@rewrite_pattern("sum", "matmul")
def find_selective_scan(graph: Graph, node: Node) -> Rewrite:
    """Fuse the readout sum_n C h of a scan with decays exp(delta A) and addends delta x B into one
    operator."""
    (factors, state), extents = _readout(graph, node), graph.shape(node.inputs[0])
    parts = _parts(graph, factors, state)
    _check_axes(graph, parts)
    rates = _rates(graph, parts, extents)
    require(rates.max() <= 0.0)  # else states grow
    patch, axes = GraphBuilder(graph, node), parts.axes
    of_channels = (*((axis,) for axis in axes.rows), axes.channel)
    of_states = (*of_channels[:-1], (axes.state,))
    operands = [_product(patch, some, of_channels, extents) for some in (parts.delta, parts.x)]
    operands += [_product(patch, some, of_states, extents) for some in (parts.b, parts.c)]
    y = patch.add("selective_scan", *operands, patch.constant(rates))
    order = (*axes.rows, *axes.channel)
    y = reshape(patch, y, [extents[axis] for axis in order])
    y = transpose(patch, y, [order.index(axis) for axis in sorted(order)])
    return patch.last("reshape", y, shape=graph.shape(node.name))


def _numbered(graph: Graph, name: str) -> Labelled:
    """Return a tensor with the numbers of its axes as labels."""
    return Labelled(name, tuple(i if n > 1 else None for i, n in enumerate(graph.shape(name))))


def _readout(graph: Graph, node: Node) -> tuple[list[Labelled], int]:
    """Return (factors of the terms summed over one axis, its label); labels are axes of the first
    operand."""
    operands = [_numbered(graph, node.inputs[0])]
    labels = operands[0].labels
    if node.op == "matmul":  # states [..., D, N] times C [..., N, 1]
        shape = graph.shape(node.inputs[1])
        require(shape[-1] == 1, len(shape) <= len(labels), not node.attrs)
        columns = (*labels[len(labels) - len(shape) : -2], labels[-1], None)
        operands.append(Labelled(node.inputs[1], _aligned(shape, columns)))
    scale, factors = _all_factors(graph, operands)
    axes = node.attrs.get("axes", (len(labels) - 1,))
    state = [label for axis in axes if (label := labels[axis]) is not None]
    require(len(state) == 1, scale == 1.0)
    return factors, state[0]


def _divided(
    rows: Iterable[Labelled], holds: Callable[[Labelled], bool]
) -> tuple[tuple[Labelled, ...], tuple[Labelled, ...]]:
    """Split operands into those that satisfy a condition and the rest."""
    found = [(some, holds(some)) for some in rows]
    return tuple(x for x, ok in found if ok), tuple(x for x, ok in found if not ok)


def _parts(graph: Graph, factors: Sequence[Labelled], state: int) -> Parts:
    """Match the operands of a selective scan whose states are reduced by a readout."""
    scans, c = _divided(factors, lambda some: made_by(graph, some.name, "scan") is not None)
    require(len(scans) == 1)
    (scan,) = scans
    node = graph.producer[scan.name]
    decays, terms = (Labelled(name, scan.labels) for name in node.inputs)
    time, (scale_of_term, term) = found(scan.labels[node.attrs["axis"]]), _factors(graph, terms)
    scale, rate = _exponent(graph, decays)
    constants, delta = _divided(rate, lambda some: graph.is_const(some.name))
    require(len(delta) == 1, {*delta} <= {*term}, scale_of_term == 1.0)
    term.remove(delta[0])
    b, x = _divided(term, lambda some: state in some.axes)
    of_states = frozenset[int]().union(*(some.axes for some in (*b, *c)))
    around = tuple(sorted(of_states - {time, state}))
    axes = Axes(around, time, tuple(sorted(scan.axes - {*around, time, state})), state)
    return Parts(axes, delta, x, b, c, scale, constants)


def _check_axes(graph: Graph, parts: Parts) -> None:
    """Check that all operands of a selective scan were found and share their axes."""
    axes, computed = parts.axes, (*parts.delta, *parts.x, *parts.b, *parts.c)
    rows, own = {*axes.rows, *axes.channel}, {*axes.channel, axes.state}
    require(parts.x, parts.b, parts.c, axes.channel)
    require(all(some.axes <= rows for some in (*parts.delta, *parts.x)))
    require(all(some.axes <= own for some in parts.constants))
    require(not any(graph.is_const(some.name) for some in computed))
    require(_not_negative(graph, parts.delta[0]))


def _rates(graph: Graph, parts: Parts, extents: Sequence[int]) -> Array:
    """Return A [D, N]."""
    axes = (*parts.axes.channel, parts.axes.state)
    rates = np.full([extents[axis] for axis in axes], parts.scale, np.float32)
    for some in parts.constants:
        long_shape, order, shape = some.moves(axes, extents)
        rates = rates * graph.array(some.name).reshape(long_shape).transpose(order).reshape(shape)
    return np.asarray(rates.reshape(-1, extents[parts.axes.state]), np.float32)


def _product(
    patch: GraphBuilder,
    factors: Iterable[Labelled],
    axes: Sequence[tuple[int, ...]],
    extents: Sequence[int],
) -> str:
    """Multiply tensors that are broadcast to these axes; each group of axes becomes one axis."""
    made = [
        _ordered(patch, some, [a for group in axes for a in group], extents) for some in factors
    ]
    y = made[0]
    for other in made[1:]:
        y = patch.add("mul", y, other)
    return reshape(patch, y, [math.prod(extents[a] for a in group) for group in axes])


def _ordered(
    patch: GraphBuilder, some: Labelled, axes: Sequence[int], extents: Sequence[int]
) -> str:
    """Return a tensor with these axes in this order, broadcast."""
    long_shape, order, shape = some.moves(axes, extents)
    y = transpose(patch, reshape(patch, some.name, long_shape), order)
    y = reshape(patch, y, shape)
    return expand(patch, y, [extents[axis] for axis in axes])


# ---- factors of a product


def _viewed(graph: Graph, some: Labelled) -> Labelled:
    """Resolve views and broadcasts: return the viewed tensor with its axes labelled."""
    while (node := made_by(graph, some.name, "reshape", "transpose", "expand")) is not None:
        source = node.inputs[0]
        labels = attempt(_labels_before, graph.shape(source), node, some.labels)
        if labels is None:
            return some
        some = Labelled(source, labels)
    return some


def _labels_before(shape: Sequence[int], node: Node, labels: Labels) -> Labels:
    """Return the labels of a view's operand. Errors: NoMatch if it joins or splits axes."""
    if node.op == "transpose":
        by_axis = dict(zip(node.attrs["perm"], labels, strict=True))
        return tuple(by_axis[axis] for axis in range(len(shape)))
    if node.op == "expand":
        return _aligned(shape, labels)
    before, after = ([n for n in some if n > 1] for some in (shape, node.attrs["shape"]))
    require(before == after)
    left = (x for n, x in zip(node.attrs["shape"], labels, strict=True) if n > 1)
    return tuple(next(left) if n > 1 else None for n in shape)


def _aligned(shape: Sequence[int], labels: Labels) -> Labels:
    """Return the labels of an operand that is broadcast to a tensor with `labels`."""
    own = labels[len(labels) - len(shape) :]
    return tuple(label if n > 1 else None for n, label in zip(shape, own, strict=True))


def _factors(graph: Graph, some: Labelled) -> tuple[float, list[Labelled]]:
    """Factor a tensor into a number and tensors."""
    some = _viewed(graph, some)
    node = graph.producer.get(some.name)
    if node is None or "act" in node.attrs:
        return 1.0, [some]
    if node.op == "mul":
        return _all_factors(graph, [_broadcast(graph, x, some.labels) for x in node.inputs])
    scale = attempt(factor_of, node.attrs["chain"]) if node.op == "table" else None
    if scale is None:
        return 1.0, [some]
    factor, factors = _factors(graph, Labelled(node.inputs[0], some.labels))
    return scale * factor, factors


def _all_factors(graph: Graph, operands: Iterable[Labelled]) -> tuple[float, list[Labelled]]:
    """Factor the product of several tensors."""
    made = [_factors(graph, some) for some in operands]
    return math.prod(scale for scale, _ in made), [x for _, factors in made for x in factors]


def _broadcast(graph: Graph, name: str, labels: Labels) -> Labelled:
    """Return an operand that is broadcast to a tensor with `labels`."""
    return Labelled(name, _aligned(graph.shape(name), labels))


def _exponent(graph: Graph, decay: Labelled) -> tuple[float, list[Labelled]]:
    """Return the factors of z if a tensor is exp(z)."""
    decay = _viewed(graph, decay)
    node = writer(graph, decay.name, "table")
    *scales, (last, *_) = node.attrs["chain"]
    require(last == "exp")
    factor, factors = _factors(graph, Labelled(node.inputs[0], decay.labels))
    return factor_of(scales) * factor, factors


def _not_negative(graph: Graph, some: Labelled) -> bool:
    node = made_by(graph, behind(graph, some.name, *MOVES), "table")
    if node is None:
        return False
    last = node.attrs["chain"][-1]
    return last[0] in NOT_NEGATIVE or (last[0] == "clamp" and last[1] >= 0.0)


# ---- what is added to the result


@rewrite_pattern("add")
def skip_of_selective_scan(graph: Graph, node: Node) -> Rewrite:
    """Fuse y + D x into a selective scan with result y and input x."""
    require("act" not in node.attrs)
    return first_match(_with_skip, ((graph, node, *order) for order in both_orders(node)))


def _with_skip(graph: Graph, node: Node, ours: str, other: str) -> Rewrite:
    shape, result = graph.shape(node.name), _numbered(graph, node.name)
    require(graph.shape(ours) == graph.shape(other) == shape)
    y = _viewed(graph, Labelled(ours, result.labels))
    scan = writer(graph, y.name, "selective_scan")
    require(len(scan.inputs) <= 5, len(graph.users[scan.name]) == 1)
    x = _viewed(graph, Labelled(scan.inputs[1], y.labels))
    factor = _skip(graph, Labelled(other, result.labels), x, y.labels[-1])
    patch = GraphBuilder(graph, node)
    whole = patch.add(scan.op, *scan.inputs, patch.constant(factor), **scan.attrs)
    long_shape = [n for n in patch.shape(whole) if n > 1]
    order = [y.long_axes.index(label) for label in result.long_axes]
    y_rows = transpose(patch, reshape(patch, whole, long_shape), order)
    return patch.last("reshape", y_rows, shape=shape)


def _skip(graph: Graph, other: Labelled, x: Labelled, channel: int | None) -> Array:
    """Return D [channels] if a tensor is D x."""
    product = _viewed(graph, other)
    node = writer(graph, product.name, "affine", "mul", plain=True)
    require(channel is not None)
    if node.op == "affine":
        require(product.labels[node.attrs["axis"]] == channel, is_zeros(graph, node.inputs[2]))
        require(_viewed(graph, Labelled(node.inputs[0], product.labels)) == x)
        return graph.array(node.inputs[1])
    for source, constant in both_orders(node):
        at = _broadcast(graph, constant, product.labels)
        inner = _viewed(graph, _broadcast(graph, source, product.labels))
        if graph.is_const(constant) and at.axes == {channel} and inner == x:
            return graph.array(constant).reshape(-1)
    raise NoMatch


SELECTIVE: tuple[RewritePattern, ...] = (find_selective_scan, skip_of_selective_scan)
