# SPDX-License-Identifier: Apache-2.0
"""Kernel format of an ensemble of trees: packing, and evaluation of the packed arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import RequantParams

INT16_LOW, INT16_HIGH = -(2**15), 2**15 - 1
MOST_OF_TREE = 2**15  # nodes, and entries of leaves, of one tree: links have 16 bits
MOST_FEATURES = 2**15
MOST_RESULTS = 2**14  # twice this number fits 16 bits
SUM_BITS = 30  # bits of a sum over all trees


@dataclass(frozen=True, slots=True, kw_only=True)
class TreesParams(RequantParams):
    """Integer constants of an ensemble of decision trees.

    nodes       int32 [n, 2]: limit (low half) and feature (upper half); next node if x <= limit
                (low half) and if x > limit (upper half), counted from the tree's first node, or -1
                - e for entry e of the tree's leaves
    trees       int32 [t, 2]: first node and first entry of each tree
    entries     int16 [e, 2]: number to add, and 2 * index of the result, plus 1 for the last entry
                of a leaf
    base        int32 [results]: initial values of the sums
    acc_bound   largest |sum|
    """

    nodes: Array
    trees: Array
    entries: Array
    base: Array
    acc_bound: int


@dataclass(frozen=True)
class Forest:
    """Decision trees with integer leaves, stored one after another.

    limits   int64 [n]
    links    int64 [n, 3]: feature, next node if x <= limit, next node otherwise; -1 - i is leaf i
    roots    int64 [t]
    leaves   int64 [l, results]
    """

    limits: Array
    links: Array
    roots: Array
    leaves: Array

    def tree(self, number: int) -> tuple[slice, Array]:
        """Return the range of nodes of a tree, and the indices of its leaves.

        number   index of the tree
        """
        ends = [*self.roots[1:].tolist(), len(self.limits)]
        nodes = slice(int(self.roots[number]), ends[number])
        ways = self.links[nodes, 1:]
        return nodes, np.unique(-1 - ways[ways < 0])

    def bounds(self) -> Array:
        """Return the largest magnitude that the sum of each result can have, [results]."""
        total = np.zeros(self.leaves.shape[1], np.int64)
        for number in range(len(self.roots)):
            total += np.abs(self.leaves[self.tree(number)[1]]).max(axis=0)
        return total

    def packed(self) -> tuple[Array, Array, Array]:
        """Return nodes, trees and entries in the kernel's format, as TreesParams describes.

        Errors: ValueError for a tree with more nodes or entries than links can number.
        """
        places, entries, nodes = [], list[tuple[int, int]](), np.zeros((len(self.limits), 2), "i8")
        for number in range(len(self.roots)):
            at, leaves = self.tree(number)
            places.append((at.start, len(entries)))
            starts = dict[int, int]()
            for leaf in leaves.tolist():
                starts[leaf] = len(entries) - places[-1][1]
                entries += _entries(self.leaves[leaf])
            if max(at.stop - at.start, len(entries) - places[-1][1]) > MOST_OF_TREE:
                raise ValueError("a tree of more than 32,768 nodes")
            ways = [
                way - at.start if way >= 0 else -1 - starts[-1 - way]
                for way in self.links[at, 1:].reshape(-1).tolist()
            ]
            nodes[at] = _halves(self.limits[at], self.links[at, 0], np.reshape(ways, (-1, 2)))
        return (
            nodes.astype(np.int32),
            np.array(places, np.int32),
            np.array(entries, np.int16).reshape(-1, 2),
        )


def _entries(row: Array) -> list[tuple[int, int]]:
    """Return the entries (value, mark) of a leaf: its nonzero values, or one zero."""
    results = np.flatnonzero(row).tolist() or [0]
    last = results[-1]
    return [(int(row[i]), 2 * i + int(i == last)) for i in results]


def _halves(limits: Array, features: Array, ways: Array) -> Array:
    first = (limits & 0xFFFF) | features << 16
    return np.stack([first, (ways[:, 0] & 0xFFFF) | ways[:, 1] << 16], axis=1)


def unpacked_nodes(nodes: Array) -> tuple[Array, Array, Array, Array]:
    """Return limit, feature, and the ways if x <= limit and if x > limit, of nodes as TreesParams
    describes them."""
    first, second = nodes.astype(np.int64).T
    return first.astype(np.int16), first >> 16, second.astype(np.int16).astype("i8"), second >> 16


def sums(integers: TreesParams, x: Array) -> Array:
    """Return the sums that the kernel computes before requantisation: x integers [N, F] -> int64
    [N, results]."""
    limit, feature, yes, no = unpacked_nodes(integers.nodes)
    start, leaves = integers.trees.astype(np.int64).T
    rows, at = np.arange(len(x))[:, None], np.zeros((len(x), len(start)), np.int64)
    while (inside := at >= 0).any():
        node = np.where(inside, start + at, 0)
        ways = np.where(x[rows, feature[node]] <= limit[node], yes[node], no[node])
        at = np.where(inside, ways, at)
    dense, number = _dense(integers.entries.astype(np.int64), len(integers.base))
    return np.asarray(integers.base + dense[number[leaves - 1 - at]].sum(axis=1))


def _dense(entries: Array, results: int) -> tuple[Array, Array]:
    """Return the leaves as an array [l, results], and the leaf index of every entry."""
    value, mark = entries.T
    number = np.concatenate([[0], np.cumsum(mark & 1)[:-1]])
    dense = np.zeros((int(number[-1]) + 1, results), np.int64)
    dense[number, mark >> 1] = value
    return dense, number
