# SPDX-License-Identifier: Apache-2.0
"""Cross-layer equalization: channels between two products share one scale; exact in floats.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), with
calibrated ranges of activations in place of weight ranges, and factors that are powers of two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.ir import Graph, Node, prune
from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import Chain
from myoedge.operators.base import OPS
from myoedge.quantization.calibrate import Samples, each_sample
from myoedge.quantization.float_runs import float_values

PRODUCTS = ("conv", "linear")
# f(s x) = s f(x) for s > 0: functions with these parameters, and operators, channel by channel.
FUNCTIONS = (("clamp", 0.0, math.inf), ("abs",), ("neg",))
OPERATORS = ("prelu", "table", "max_pool", "avg_pool")
TINY = 1e-30


@dataclass(frozen=True)
class _Link:
    """Two products, and what the channels of the first pass through on the way to the second.

    labels   by tensor on the way, the first one that of `node`: the channel of every element, from
             1 on; 0 where 0 is padded
    columns  of the reader's operand: the channel of each
    """

    node: Node
    reader: Node
    labels: Mapping[str, Array]
    columns: Array


def equalized(graph: Graph, samples: Samples) -> Graph:
    """Graph of equal outputs with balanced channels between pairs of products.

    The first product's channels are multiplied by powers of two, the second one's divided by them;
    a ReLU, prelus, pools and what moves elements may lie between the two.
    Returns the graph itself where there is no such pair.
    samples   for the largest value of every channel
    """
    links = [link for node in graph.nodes for link in _links(graph, node)]
    if not links:
        return graph
    values = _shares(graph, links, samples)
    for link, largest in zip(links, values, strict=True):
        node, reader = graph.producer[link.node.name], graph.producer[link.reader.name]
        weights = _share_of_weights(graph, reader, link.columns, len(largest))
        graph = _scaled(graph, node, reader, _factors(largest, weights), link.columns)
    return graph


def _links(graph: Graph, node: Node) -> Iterator[_Link]:
    """A product with constant weights, and the only reader of its channels; none where something
    else reads them, or another function than a homogeneous one lies between."""
    if not (_is_product(graph, node) and _is_homogeneous(node)):
        return
    shape = graph.shape(node.name)
    labels = {node.name: np.broadcast_to(np.arange(1, shape[-1] + 1, dtype=np.float32), shape)}
    reader = _reader(graph, node.name)
    while reader is not None and not _is_product(graph, reader):
        passed = _passed(graph, reader, labels[reader.inputs[0]])
        if passed is None:
            return
        labels[reader.name] = passed
        reader = _reader(graph, reader.name)
    if reader is not None:
        columns = _of_columns(labels[reader.inputs[0]])
        if columns is not None:
            yield _Link(node, reader, labels, columns)


def _reader(graph: Graph, name: str) -> Node | None:
    """The only reader of a tensor, as its first operand; None where its values must not change."""
    reader = graph.only_user(name)
    if reader is None or name in graph.quant_params or reader.inputs[0] != name:
        return None
    return reader


def _is_product(graph: Graph, node: Node) -> bool:
    """Whether it has weights that may change: not a file's integers."""
    if node.op not in PRODUCTS or not graph.is_const(node.inputs[1]):
        return False
    return node.inputs[1] not in graph.formats


def _is_homogeneous(node: Node) -> bool:
    """Whether f(s x) = s f(x), s > 0, of what is fused into an operator."""
    chain: Chain = (*node.attrs.get("chain", ()), *node.attrs.get("act", ()))
    return all(f in FUNCTIONS or f[0] == "leaky_relu" for f in chain)


def _passed(graph: Graph, node: Node, labels: Array) -> Array | None:
    """Labels behind an operator; None of one that is not homogeneous."""
    moves = OPS[node.op].is_data_movement and len(node.inputs) == 1 and not node.attrs.get("value")
    if not _is_homogeneous(node) or not (moves or node.op in OPERATORS):
        return None
    if node.op == "table":
        return labels
    if node.op == "prelu":
        return labels if graph.is_const(node.inputs[1]) else None
    # an average of elements of one channel: the largest label of a window
    op = "max_pool" if node.op == "avg_pool" else node.op
    return np.asarray(OPS[op].real(node.attrs, labels))


def _of_columns(labels: Array) -> Array | None:
    """[columns] The channel of each; None where one has several."""
    rows = labels.reshape(-1, labels.shape[-1])
    channels = rows.max(axis=0)
    is_one = np.all((rows == channels) | (rows == 0.0))
    return channels.astype(np.int64) if is_one else None


def _shares(graph: Graph, links: Sequence[_Link], samples: Samples) -> list[Array]:
    """[1 + channels] For every link the largest value of each channel, as a share of its tensor's:
    of the tensor on the way where that is most."""
    labels = {name: x for link in links for name, x in link.labels.items()}
    found = {name: np.zeros(1 + int(x.max()), np.float32) for name, x in labels.items()}

    def widen(name: str, value: Array) -> None:
        if name in labels:
            np.maximum.at(found[name], *_largest(value, labels[name]))

    for sample in each_sample(samples):
        float_values(graph, sample, widen)
    tensors = [[found[name] for name in link.labels] for link in links]
    return [_most(rows) for rows in tensors]


def _largest(value: Array, labels: Array) -> tuple[Array, Array]:
    """(channels, magnitudes), by column where a column has one channel."""
    columns = _of_columns(labels)
    if columns is None:
        return labels.astype(np.int64).reshape(-1), np.abs(value).reshape(-1)
    return columns, np.abs(value).reshape(-1, len(columns)).max(axis=0)


def _most(rows: Sequence[Array]) -> Array:
    channels = len(rows[0])  # those behind may have lost some
    padded = [np.pad(x, (0, channels - len(x))) / max(float(x.max()), TINY) for x in rows]
    return np.asarray(np.max(padded, axis=0))


def _share_of_weights(graph: Graph, reader: Node, columns: Array, channels: int) -> Array:
    """[channels] The largest weight that reads each; 1 where every channel has rows of its own,
    with a scale for each."""
    weights, groups = graph.constants[reader.inputs[1]], reader.attrs.get("groups", 1)
    found = np.zeros(channels, np.float32)
    if groups > 1 and groups == len(columns):
        found[columns] = 1.0
        return found
    by_group = np.abs(weights.reshape(groups, -1, weights.shape[-1])).max(axis=1)
    np.maximum.at(found, columns, by_group.reshape(-1))
    return found


def _factors(values: Array, weights: Array) -> Array:
    """Powers of two that bring values and weights of a channel to equal shares of their largest."""
    used = (values > 0) & (weights > 0)
    ratio = np.where(used, weights, 1.0) / np.where(used, values, 1.0)
    halves = np.log2(ratio.astype(np.float64)) / 2
    middle = np.median(halves[used]) if used.any() else 0.0
    return np.where(used, np.exp2(np.rint(halves - middle)), 1.0).astype(np.float32)


def _scaled(graph: Graph, node: Node, reader: Node, factors: Array, columns: Array) -> Graph:
    """factors   [1 + channels], of label 0 first"""
    rows, read = graph.constants[node.inputs[1]], graph.constants[reader.inputs[1]]
    own = factors[1:]
    made = {f"{node.name}.equalized": rows * own.reshape(-1, *(1 for _ in rows.shape[1:]))}
    for bias in node.inputs[2:]:
        made[f"{node.name}.equalized.bias"] = graph.constants[bias] * own
    first = (node.inputs[0], *made)
    by_group = read.reshape(reader.attrs.get("groups", 1), -1, read.shape[-1])
    divided = by_group / factors[columns].reshape(len(by_group), 1, -1)
    made[f"{reader.name}.equalized"] = divided.reshape(read.shape)
    second = (reader.inputs[0], f"{reader.name}.equalized", *reader.inputs[2:])
    inputs = {node.name: first, reader.name: second}
    nodes = tuple(n.but(inputs=inputs[n.name]) if n.name in inputs else n for n in graph.nodes)
    return prune(replace(graph, nodes=nodes, constants={**graph.constants, **made}))
