# SPDX-License-Identifier: Apache-2.0
"""Conversion of decision trees in a file to nodes that test x <= limit or x < limit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import RequantParams
from myoedge.operators.graph_builder import Unsupported

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
                # The entries (value, mark) of a leaf: its nonzero values, or one zero
                results = np.flatnonzero(self.leaves[leaf]).tolist() or [0]
                last = results[-1]
                entries += [(int(self.leaves[leaf][i]), 2 * i + int(i == last)) for i in results]
            if max(at.stop - at.start, len(entries) - places[-1][1]) > MOST_OF_TREE:
                raise ValueError("a tree of more than 32,768 nodes")
            ways = [
                way - at.start if way >= 0 else -1 - starts[-1 - way]
                for way in self.links[at, 1:].reshape(-1).tolist()
            ]
            less, more = np.reshape(ways, (-1, 2)).T
            nodes[at, 0] = (self.limits[at] & 0xFFFF) | self.links[at, 0] << 16
            nodes[at, 1] = (less & 0xFFFF) | more << 16
        return (
            nodes.astype(np.int32),
            np.array(places, np.int32),
            np.array(entries, np.int16).reshape(-1, 2),
        )


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
    dense, number = _dense_leaves(integers.entries.astype(np.int64), len(integers.base))
    return np.asarray(integers.base + dense[number[leaves - 1 - at]].sum(axis=1))


def _dense_leaves(entries: Array, results: int) -> tuple[Array, Array]:
    """Return the leaves as an array [l, results], and the leaf index of every entry."""
    value, mark = entries.T
    number = np.concatenate([[0], np.cumsum(mark & 1)[:-1]])
    dense = np.zeros((int(number[-1]) + 1, results), np.int64)
    dense[number, mark >> 1] = value
    return dense, number


MODES = ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ", "MEMBER")
MOST_NODES = 2**20  # nodes, even if each branch is copied for every path to it

Key = Hashable
Slot = tuple[int, int]  # a link: node index, and 1 if its test holds or 2 if not


@dataclass(frozen=True)
class Branch:
    """An inner node of a tree in an ONNX file.

    mode      comparison, one of MODES
    feature   index of the feature that is compared
    values    values that the feature is compared with: several for MEMBER
    yes, no   keys of the next nodes or leaves
    """

    mode: str
    feature: int
    values: Sequence[float]
    yes: Key
    no: Key


@dataclass
class Grove:
    """Decision trees under construction; equal leaves are stored once.

    branches, leaves   inner nodes and leaves of the file
    limits, links      the nodes added so far, as in operators/trees/__init__.py
    rows               values of the leaves added so far -> their positions
    """

    branches: Mapping[Key, Branch]
    leaves: Mapping[Key, tuple[float, ...]]
    limits: list[float] = field(default_factory=list)
    links: list[list[int]] = field(default_factory=list)
    rows: dict[tuple[float, ...], int] = field(default_factory=dict)

    def plant(self, root: Key) -> int:
        """Add the tree with this root, and return its first node.

        Errors: ValueError for a node that is missing or that several paths lead to; Unsupported for
        too many nodes.
        """
        first, seen, pending = len(self.limits), {root}, [(root, list[Slot]())]
        if root in self.leaves:  # a walk begins at a node, not at a leaf
            node = self._node_of_test(0, 0.0, strict=False)
            pending = [(root, [(node, 1), (node, 2)])]
        while pending:
            key, slots = pending.pop()
            if key in self.leaves:
                row = self.leaves[key]
                self._link_slots(slots, -1 - self.rows.setdefault(row, len(self.rows)))
                continue
            branch = self.branches.get(key)
            if branch is None or {branch.yes, branch.no} & seen:
                raise ValueError(f"a node that is missing, or has several ways to it: {key}")
            seen |= {x for x in (branch.yes, branch.no) if x not in self.leaves}
            self._link_slots(slots, len(self.limits))
            yes, no = self._add_test(branch)
            pending += [(branch.no, no), (branch.yes, yes)]
        return first

    def arrays(self) -> tuple[Array, Array, Array]:
        """Return the arrays of all trees: limits [n], links [n, 4] and leaves [l, results].

        Errors: Unsupported if so many MEMBER tests share branches that an ONNX export, which cannot
        share them, would be too large.
        """
        limits, links = np.array(self.limits), np.array(self.links)
        written = np.ones(len(limits))
        for at in reversed(range(len(limits))):
            ways = links[at, 1:3]
            if asks_twice(links, at) and limits[at] == limits[ways[0]]:
                ways = np.array([links[ways[0], 2], ways[1]])
            written[at] += sum(written[way] for way in ways if way >= 0)
        if written.max() > MOST_NODES:
            raise Unsupported("sets of values that share branches", "a tree of thresholds")
        return limits, links, np.array([*self.rows])

    def _link_slots(self, slots: Sequence[Slot], to: int) -> None:
        for node, way in slots:
            self.links[node][way] = to

    def _node_of_test(self, feature: int, limit: float, *, strict: bool) -> int:
        if len(self.limits) >= MOST_NODES:
            raise Unsupported(f"more than {MOST_NODES:,} nodes", "fewer trees, or shallower ones")
        self.limits.append(limit)
        self.links.append([feature, 0, 0, int(strict)])
        return len(self.limits) - 1

    def _add_test(self, branch: Branch) -> tuple[list[Slot], list[Slot]]:
        """Add the nodes of a test; return the link slots for "holds" and "does not hold"."""
        mode, values = branch.mode, branch.values
        if mode in ("EQ", "NEQ", "MEMBER"):
            yes, no = self._add_equality_tests(branch.feature, values)
            return (no, yes) if mode == "NEQ" else (yes, no)
        node = self._node_of_test(branch.feature, values[0], strict=mode in ("LT", "GTE"))
        holds = [(node, 1)], [(node, 2)]
        return holds[::-1] if mode in ("GT", "GTE") else holds

    def _add_equality_tests(
        self, feature: int, values: Sequence[float]
    ) -> tuple[list[Slot], list[Slot]]:
        """Add nodes that test equality with each of several values: x <= v, then x < v; return the
        link slots as `_add_test`."""
        yes, no = list[Slot](), list[Slot]()
        for value in values:
            self._link_slots(no, len(self.limits))
            most, less = (
                self._node_of_test(feature, value, strict=strict) for strict in (False, True)
            )
            self._link_slots([(most, 1)], less)
            yes.append((less, 2))
            no = [(most, 2), (less, 1)]
        if not no:
            raise ValueError("a set of no values")
        return yes, no


def asks_twice(links: Array, at: int) -> bool:
    """Return whether a node and its next node together test b <= x <= a; with b = a, this is x ==
    a.

    at   index of the first of the two nodes
    """
    feature, yes, no, strict = (int(x) for x in links[at])
    is_pair = yes >= 0 and not strict and links[yes, 3] and links[yes, 0] == feature
    return bool(is_pair and links[yes, 1] == no)
