# SPDX-License-Identifier: Apache-2.0
"""Recognition of selective scans: a scan with the products before it and its readout.

Axes are traced through views and broadcasts by labels: one number per axis longer than 1, None for
the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import (
    NoMatch,
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
from myoedge.passes.labelled_axes import (
    Labelled,
    aligned,
    all_factors,
    broadcast_to,
    divided,
    factors_of,
    numbered,
    viewed,
)

NOT_NEGATIVE = ("softplus", "sigmoid", "exp", "abs", "square")


@dataclass(frozen=True, slots=True)
class Axes:
    """Labels of the axes of a selective scan.

    around    batch axes
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
    """The operands of a selective scan, each as factors whose product it is.

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
    (factors, state), extents = _match_readout(graph, node), graph.shape(node.inputs[0])
    parts = _match_scan_operands(graph, factors, state)
    _check_operand_axes(graph, parts)
    rates = _match_rate_matrix(graph, parts, extents)
    require(rates.max() <= 0.0)  # otherwise states would grow
    patch, axes = GraphBuilder(graph, node), parts.axes
    of_channels = (*((axis,) for axis in axes.rows), axes.channel)
    of_states = (*of_channels[:-1], (axes.state,))
    operands = [
        _add_broadcast_product(patch, some, of_channels, extents) for some in (parts.delta, parts.x)
    ]
    operands += [
        _add_broadcast_product(patch, some, of_states, extents) for some in (parts.b, parts.c)
    ]
    y = patch.add("selective_scan", *operands, patch.constant(rates))
    order = (*axes.rows, *axes.channel)
    y = reshape(patch, y, [extents[axis] for axis in order])
    y = transpose(patch, y, [order.index(axis) for axis in sorted(order)])
    return patch.last("reshape", y, shape=graph.shape(node.name))


def _match_readout(graph: Graph, node: Node) -> tuple[list[Labelled], int]:
    """Match the readout, a sum of products over the states; return (factors, label of the state
    axis). Labels number the axes of the node's first operand."""
    operands = [numbered(graph, node.inputs[0])]
    labels = operands[0].labels
    if node.op == "matmul":  # states [..., D, N] times C [..., N, 1]
        shape = graph.shape(node.inputs[1])
        require(shape[-1] == 1, len(shape) <= len(labels), not node.attrs)
        columns = (*labels[len(labels) - len(shape) : -2], labels[-1], None)
        operands.append(Labelled(node.inputs[1], aligned(shape, columns)))
    scale, factors = all_factors(graph, operands)
    axes = node.attrs.get("axes", (len(labels) - 1,))
    state = [label for axis in axes if (label := labels[axis]) is not None]
    require(len(state) == 1, scale == 1.0)
    return factors, state[0]


def _match_scan_operands(graph: Graph, factors: Sequence[Labelled], state: int) -> Parts:
    """Match the operands of a selective scan whose states the readout reduces. Errors: NoMatch."""
    scans, c = divided(factors, lambda some: made_by(graph, some.name, "scan") is not None)
    require(len(scans) == 1)
    (scan,) = scans
    node = graph.producer[scan.name]
    decays, terms = (Labelled(name, scan.labels) for name in node.inputs)
    time, (scale_of_term, term) = found(scan.labels[node.attrs["axis"]]), factors_of(graph, terms)
    scale, rate = _match_exponential(graph, decays)
    constants, delta = divided(rate, lambda some: graph.is_const(some.name))
    require(len(delta) == 1, {*delta} <= {*term}, scale_of_term == 1.0)
    term.remove(delta[0])
    b, x = divided(term, lambda some: state in some.axes)
    of_states = frozenset[int]().union(*(some.axes for some in (*b, *c)))
    around = tuple(sorted(of_states - {time, state}))
    axes = Axes(around, time, tuple(sorted(scan.axes - {*around, time, state})), state)
    return Parts(axes, delta, x, b, c, scale, constants)


def _check_operand_axes(graph: Graph, parts: Parts) -> None:
    """Check that all operands of a selective scan were found and share their axes."""
    axes, computed = parts.axes, (*parts.delta, *parts.x, *parts.b, *parts.c)
    rows, own = {*axes.rows, *axes.channel}, {*axes.channel, axes.state}
    require(parts.x, parts.b, parts.c, axes.channel)
    require(all(some.axes <= rows for some in (*parts.delta, *parts.x)))
    require(all(some.axes <= own for some in parts.constants))
    require(not any(graph.is_const(some.name) for some in computed))
    require(_require_not_negative(graph, parts.delta[0]))


def _match_rate_matrix(graph: Graph, parts: Parts, extents: Sequence[int]) -> Array:
    """Return the matrix A [D, N] of the selective scan."""
    axes = (*parts.axes.channel, parts.axes.state)
    rates = np.full([extents[axis] for axis in axes], parts.scale, np.float32)
    for some in parts.constants:
        long_shape, order, shape = some.moves(axes, extents)
        rates = rates * graph.array(some.name).reshape(long_shape).transpose(order).reshape(shape)
    return np.asarray(rates.reshape(-1, extents[parts.axes.state]), np.float32)


def _add_broadcast_product(
    patch: GraphBuilder,
    factors: Iterable[Labelled],
    axes: Sequence[tuple[int, ...]],
    extents: Sequence[int],
) -> str:
    """Add the product of several tensors, broadcast to the given axes; each group of axes is merged
    into one axis."""
    made, order = [], [axis for group in axes for axis in group]
    for some in factors:
        long_shape, permutation, shape = some.moves(order, extents)
        x = transpose(patch, reshape(patch, some.name, long_shape), permutation)
        made.append(expand(patch, reshape(patch, x, shape), [extents[axis] for axis in order]))
    y = made[0]
    for other in made[1:]:
        y = patch.add("mul", y, other)
    return reshape(patch, y, [math.prod(extents[a] for a in group) for group in axes])


# ---- factors of a product


def _match_exponential(graph: Graph, decay: Labelled) -> tuple[float, list[Labelled]]:
    """Match exp(z); return the constant factor and the tensor factors of z. Errors: NoMatch."""
    decay = viewed(graph, decay)
    node = writer(graph, decay.name, "table")
    *scales, (last, *_) = node.attrs["chain"]
    require(last == "exp")
    factor, factors = factors_of(graph, Labelled(node.inputs[0], decay.labels))
    return factor_of(scales) * factor, factors


def _require_not_negative(graph: Graph, some: Labelled) -> bool:
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
    return first_match(_add_skip_connection, ((graph, node, *order) for order in both_orders(node)))


def _add_skip_connection(graph: Graph, node: Node, ours: str, other: str) -> Rewrite:
    shape, result = graph.shape(node.name), numbered(graph, node.name)
    require(graph.shape(ours) == graph.shape(other) == shape)
    y = viewed(graph, Labelled(ours, result.labels))
    scan = writer(graph, y.name, "selective_scan")
    require(len(scan.inputs) <= 5, len(graph.users[scan.name]) == 1)
    x = viewed(graph, Labelled(scan.inputs[1], y.labels))
    factor = _match_skip_gain(graph, Labelled(other, result.labels), x, y.labels[-1])
    patch = GraphBuilder(graph, node)
    whole = patch.add(scan.op, *scan.inputs, patch.constant(factor), **scan.attrs)
    long_shape = [n for n in patch.shape(whole) if n > 1]
    order = [y.long_axes.index(label) for label in result.long_axes]
    y_rows = transpose(patch, reshape(patch, whole, long_shape), order)
    return patch.last("reshape", y_rows, shape=shape)


def _match_skip_gain(graph: Graph, other: Labelled, x: Labelled, channel: int | None) -> Array:
    """Match D x; return D [channels]. Errors: NoMatch."""
    product = viewed(graph, other)
    node = writer(graph, product.name, "affine", "mul", plain=True)
    require(channel is not None)
    if node.op == "affine":
        require(product.labels[node.attrs["axis"]] == channel, is_zeros(graph, node.inputs[2]))
        require(viewed(graph, Labelled(node.inputs[0], product.labels)) == x)
        return graph.array(node.inputs[1])
    for source, constant in both_orders(node):
        at = broadcast_to(graph, constant, product.labels)
        inner = viewed(graph, broadcast_to(graph, source, product.labels))
        if graph.is_const(constant) and at.axes == {channel} and inner == x:
            return graph.array(constant).reshape(-1)
    raise NoMatch


SELECTIVE: tuple[RewritePattern, ...] = (find_selective_scan, skip_of_selective_scan)
