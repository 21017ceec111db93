# SPDX-License-Identifier: Apache-2.0
"""Conversion of decision trees in a file to nodes that test x <= limit or x < limit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import Unsupported

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
    limits, links      the nodes added so far, as in operators/trees/definition.py
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
            node = self._test(0, 0.0, strict=False)
            pending = [(root, [(node, 1), (node, 2)])]
        while pending:
            key, slots = pending.pop()
            if key in self.leaves:
                row = self.leaves[key]
                self._lead(slots, -1 - self.rows.setdefault(row, len(self.rows)))
                continue
            branch = self.branches.get(key)
            if branch is None or {branch.yes, branch.no} & seen:
                raise ValueError(f"a node that is missing, or has several ways to it: {key}")
            seen |= {x for x in (branch.yes, branch.no) if x not in self.leaves}
            self._lead(slots, len(self.limits))
            yes, no = self._ask(branch)
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

    def _lead(self, slots: Sequence[Slot], to: int) -> None:
        for node, way in slots:
            self.links[node][way] = to

    def _test(self, feature: int, limit: float, *, strict: bool) -> int:
        if len(self.limits) >= MOST_NODES:
            raise Unsupported(f"more than {MOST_NODES:,} nodes", "fewer trees, or shallower ones")
        self.limits.append(limit)
        self.links.append([feature, 0, 0, int(strict)])
        return len(self.limits) - 1

    def _ask(self, branch: Branch) -> tuple[list[Slot], list[Slot]]:
        """Add the nodes of a test; return the link slots for "holds" and "does not hold"."""
        mode, values = branch.mode, branch.values
        if mode in ("EQ", "NEQ", "MEMBER"):
            yes, no = self._equal(branch.feature, values)
            return (no, yes) if mode == "NEQ" else (yes, no)
        node = self._test(branch.feature, values[0], strict=mode in ("LT", "GTE"))
        holds = [(node, 1)], [(node, 2)]
        return holds[::-1] if mode in ("GT", "GTE") else holds

    def _equal(self, feature: int, values: Sequence[float]) -> tuple[list[Slot], list[Slot]]:
        """Add nodes that test equality with each of several values: x <= v, then x < v; return the
        link slots as `_ask`."""
        yes, no = list[Slot](), list[Slot]()
        for value in values:
            self._lead(no, len(self.limits))
            most, less = (self._test(feature, value, strict=strict) for strict in (False, True))
            self._lead([(most, 1)], less)
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
