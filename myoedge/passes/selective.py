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
from myoedge.graph.rewrite import Rewrite, RewritePattern, made_by, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder, expand, reshape, transpose

Labels = tuple[int | None, ...]
NOT_NEGATIVE = ("softplus", "sigmoid", "exp", "abs", "square")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A tensor with a label per axis, by which axes are recognised after views and broadcasts."""

    name: str
    labels: Labels

    @property
    def axes(self) -> frozenset[int]:
        return frozenset(label for label in self.labels if label is not None)


@dataclass(frozen=True, slots=True)
class Axes:
    """Labels of the axes of a selective scan: sequences, time, channels, states."""

    around: tuple[int, ...]
    time: int
    channel: tuple[int, ...]
    state: int

    @property
    def rows(self) -> tuple[int, ...]:
        return (*self.around, self.time)


@dataclass(frozen=True, slots=True)
class Parts:
    """Operands of a selective scan, each as a product of tensors; A is `scale` times the
    constants."""

    axes: Axes
    delta: tuple[Labelled, ...]
    x: tuple[Labelled, ...]
    b: tuple[Labelled, ...]
    c: tuple[Labelled, ...]
    scale: float
    constants: tuple[Labelled, ...]


@rewrite_pattern("sum", "matmul")
def find_selective_scan(graph: Graph, node: Node) -> Rewrite | None:
    """Fuse the readout sum_n C h of a scan with decays exp(delta A) and addends delta x B into one
    operator."""
    read, extents = _readout(graph, node), graph.shape(node.inputs[0])
    parts = None if read is None else _parts(graph, *read)
    rates = None if parts is None or not _fits(graph, parts) else _rates(graph, parts, extents)
    if parts is None or rates is None or rates.max() > 0.0:  # else states grow
        return None
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


def _readout(graph: Graph, node: Node) -> tuple[list[Labelled], int] | None:
    """Return (factors of the terms summed over one axis, its label); labels are axes of the first
    operand."""
    shape = graph.shape(node.inputs[0])
    labels = tuple(i if n > 1 else None for i, n in enumerate(shape))
    scale, factors = _factors(graph, Labelled(node.inputs[0], labels))
    axes = node.attrs.get("axes", (len(shape) - 1,))
    if node.op == "matmul":  # states [..., D, N] times C [..., N, 1]
        other = graph.shape(node.inputs[1])
        if other[-1] > 1 or len(other) > len(shape) or node.attrs:
            return None
        columns = (*labels[len(shape) - len(other) : -2], labels[-1], None)
        kept = tuple(x if n > 1 else None for n, x in zip(other, columns, strict=True))
        more, others = _factors(graph, Labelled(node.inputs[1], kept))
        scale, factors = scale * more, factors + others
    state = [label for axis in axes if (label := labels[axis]) is not None]
    return (factors, state[0]) if len(state) == 1 and scale == 1.0 else None


def _divided(
    rows: Iterable[Labelled], holds: Callable[[Labelled], bool]
) -> tuple[tuple[Labelled, ...], tuple[Labelled, ...]]:
    """Split operands into those that satisfy a condition and the rest."""
    found = [(some, holds(some)) for some in rows]
    return tuple(x for x, ok in found if ok), tuple(x for x, ok in found if not ok)


def _parts(graph: Graph, factors: Sequence[Labelled], state: int) -> Parts | None:
    """Match the operands of a selective scan whose states are reduced by a readout; None if
    none."""
    scans, c = _divided(factors, lambda some: made_by(graph, some.name, "scan") is not None)
    if len(scans) != 1:
        return None
    (scan,) = scans
    node = graph.producer[scan.name]
    decays, terms = (Labelled(name, scan.labels) for name in node.inputs)
    time, (scale_of_term, term) = scan.labels[node.attrs["axis"]], _factors(graph, terms)
    scale, rate = _exponent(graph, decays) or (1.0, [])
    constants, delta = _divided(rate, lambda some: graph.is_const(some.name))
    if len(delta) != 1 or delta[0] not in term or time is None or scale_of_term != 1.0:
        return None
    term.remove(delta[0])
    b, x = _divided(term, lambda some: state in some.axes)
    of_states = frozenset[int]().union(*(some.axes for some in (*b, *c)))
    around = tuple(sorted(of_states - {time, state}))
    axes = Axes(around, time, tuple(sorted(scan.axes - {*around, time, state})), state)
    return Parts(axes, delta, x, b, c, scale, constants)


def _fits(graph: Graph, parts: Parts) -> bool:
    """Return whether all operands of a selective scan were found and share their axes."""
    axes, computed = parts.axes, (*parts.delta, *parts.x, *parts.b, *parts.c)
    rows, own = {*axes.rows, *axes.channel}, {*axes.channel, axes.state}
    return (
        bool(parts.x and parts.b and parts.c and axes.channel)
        and all(some.axes <= rows for some in (*parts.delta, *parts.x))
        and all(some.axes <= own for some in parts.constants)
        and not any(graph.is_const(some.name) for some in computed)
        and _not_negative(graph, parts.delta[0])
    )


def _rates(graph: Graph, parts: Parts, extents: Sequence[int]) -> Array:
    """Return A [D, N]."""
    axes = (*parts.axes.channel, parts.axes.state)
    rates = np.full([extents[axis] for axis in axes], parts.scale, np.float32)
    for some in parts.constants:
        present = [axis for axis in axes if axis in some.axes]
        value = graph.array(some.name).reshape([extents[x] for x in some.labels if x is not None])
        has = [label for label in some.labels if label is not None]
        value = value.transpose([has.index(axis) for axis in present])
        rates = rates * value.reshape([extents[a] if a in present else 1 for a in axes])
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
    has = [label for label in some.labels if label is not None]
    y = reshape(patch, some.name, [extents[axis] for axis in has])
    y = transpose(patch, y, [has.index(axis) for axis in axes if axis in has])
    y = reshape(patch, y, [extents[axis] if axis in has else 1 for axis in axes])
    return expand(patch, y, [extents[axis] for axis in axes])


# ---- factors of a product


def _viewed(graph: Graph, some: Labelled) -> Labelled:
    """Resolve views and broadcasts: return the viewed tensor with its axes labelled."""
    while (node := made_by(graph, some.name, "reshape", "transpose", "expand")) is not None:
        source = node.inputs[0]
        labels = _labels_before(graph.shape(source), node, some.labels)
        if labels is None:
            return some
        some = Labelled(source, labels)
    return some


def _labels_before(shape: Sequence[int], node: Node, labels: Labels) -> Labels | None:
    """Return the labels of a view's operand; None if it joins or splits axes."""
    if node.op == "transpose":
        by_axis = dict(zip(node.attrs["perm"], labels, strict=True))
        return tuple(by_axis[axis] for axis in range(len(shape)))
    if node.op == "expand":
        return _aligned(shape, labels)
    after = [(n, x) for n, x in zip(node.attrs["shape"], labels, strict=True) if n > 1]
    if [n for n, _ in after] != [n for n in shape if n > 1]:
        return None
    left = iter(after)
    return tuple(next(left)[1] if n > 1 else None for n in shape)


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
        found = [
            _factors(graph, Labelled(x, _aligned(graph.shape(x), some.labels))) for x in node.inputs
        ]
        return math.prod(f[0] for f in found), [x for f in found for x in f[1]]
    scale = _scale(node.attrs["chain"]) if node.op == "table" else None
    if scale is None:
        return 1.0, [some]
    factor, factors = _factors(graph, Labelled(node.inputs[0], some.labels))
    return scale * factor, factors


def _scale(chain: Sequence[tuple[object, ...]]) -> float | None:
    """Return the factor of functions that only scale; None for others."""
    scales = [float(str(f[1])) for f in chain if f[0] == "affine" and f[2] == 0.0]
    return math.prod(scales) if len(scales) == len(chain) else None


def _exponent(graph: Graph, decay: Labelled) -> tuple[float, list[Labelled]] | None:
    """Return the factors of z if a tensor is exp(z)."""
    decay = _viewed(graph, decay)
    node = made_by(graph, decay.name, "table")
    if node is None or node.attrs["chain"][-1][0] != "exp":
        return None
    scale = _scale(node.attrs["chain"][:-1])
    if scale is None:
        return None
    factor, factors = _factors(graph, Labelled(node.inputs[0], decay.labels))
    return scale * factor, factors


def _not_negative(graph: Graph, some: Labelled) -> bool:
    node = graph.producer.get(some.name)
    while node is not None and node.op in ("slice", "reshape", "transpose", "expand"):
        node = graph.producer.get(node.inputs[0])
    if node is None or node.op != "table":
        return False
    last = node.attrs["chain"][-1]
    return last[0] in NOT_NEGATIVE or (last[0] == "clamp" and last[1] >= 0.0)


# ---- what is added to the result


@rewrite_pattern("add")
def skip_of_selective_scan(graph: Graph, node: Node) -> Rewrite | None:
    """Fuse y + D x into a selective scan with result y and input x."""
    shape = graph.shape(node.name)
    labels = tuple(i if n > 1 else None for i, n in enumerate(shape))
    for ours, other in (node.inputs, node.inputs[::-1]):
        if "act" in node.attrs or graph.shape(ours) != shape or graph.shape(other) != shape:
            continue
        y = _viewed(graph, Labelled(ours, labels))
        scan = made_by(graph, y.name, "selective_scan")
        if scan is None or len(scan.inputs) > 5 or len(graph.users[scan.name]) > 1:
            continue
        x = _viewed(graph, Labelled(scan.inputs[1], y.labels))
        factor = _skip(graph, Labelled(other, labels), x, y.labels[-1])
        if factor is not None:
            patch = GraphBuilder(graph, node)
            whole = patch.add(scan.op, *scan.inputs, patch.constant(factor), **scan.attrs)
            return patch.last("reshape", _restored(patch, whole, y.labels, labels), shape=shape)
    return None


def _restored(patch: GraphBuilder, whole: str, inner: Labels, labels: Labels) -> str:
    """Return a selective scan's result with its axes in the order of labels."""
    has = [label for label in inner if label is not None]
    y = reshape(patch, whole, [n for n in patch.shape(whole) if n > 1])
    return transpose(patch, y, [has.index(label) for label in labels if label is not None])


def _skip(graph: Graph, other: Labelled, x: Labelled, channel: int | None) -> Array | None:
    """Return D [channels] if a tensor is D x."""
    product = _viewed(graph, other)
    node = made_by(graph, product.name, "affine", "mul")
    if node is None or "act" in node.attrs or channel is None:
        return None
    if node.op == "affine":
        value, axis = graph.array(node.inputs[1]), node.attrs["axis"]
        only_scales = not graph.array(node.inputs[2]).any()
        same = _viewed(graph, Labelled(node.inputs[0], product.labels)) == x
        return value if only_scales and same and product.labels[axis] == channel else None
    for source, constant in (node.inputs, node.inputs[::-1]):
        at = Labelled(constant, _aligned(graph.shape(constant), product.labels))
        inner = Labelled(source, _aligned(graph.shape(source), product.labels))
        if graph.is_const(constant) and at.axes == {channel} and _viewed(graph, inner) == x:
            return graph.array(constant).reshape(-1)
    return None


SELECTIVE: tuple[RewritePattern, ...] = (find_selective_scan, skip_of_selective_scan)
