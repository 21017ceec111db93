# SPDX-License-Identifier: Apache-2.0
"""Whether packed trees can be walked: each walk ends, inside its tree, at a leaf of its tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.requant import INT32_MAX
from myoedge.operators.base import QuantizeInputs
from myoedge.operators.traits import (
    BOUND,
    INTEGERS_16,
    INTEGERS_32,
    REQUANT,
    SYMMETRIC_32,
    Learnt,
    requantised_fits,
)
from myoedge.operators.trees.branches import TreesParams, unpacked_nodes


def _trivial_trees(shapes: Sequence[Shape]) -> Mapping[int, Array]:
    """Return trees of nodes whose two ways are the first leaf."""
    (nodes,), (trees,) = shapes[1], shapes[3]
    links = np.tile(np.array([0, -1, -1, 0], np.float32), (nodes, 1))
    return {2: links, 3: np.arange(trees, dtype=np.float32)}


def _walks_are_valid(integers: TreesParams, site: QuantizeInputs) -> bool:
    """Return whether every walk ends, reads only features, nodes and entries that are there, and
    sums stay in int32."""
    nodes, entries = len(integers.nodes), len(integers.entries)
    first, leaves = integers.trees.astype(np.int64).T
    return bool(
        _divide_into_ranges(first, nodes)
        and _divide_into_ranges(leaves, entries)
        and _ways_stay_in_tree(integers, site.shapes[0][1])
        and _leaf_entries_are_ordered(integers)
        and requantised_fits(integers, integers.acc_bound)
    )


def _divide_into_ranges(starts: Array, end: int) -> bool:
    """Return whether indices divide 0 .. end - 1 into ranges, none of them empty."""
    return bool(starts[0] == 0 and (np.diff(np.append(starts, end)) > 0).all())


def _range_of_each_index(starts: Array, end: int) -> Array:
    """Return for each index below `end` the range that it is in."""
    return np.repeat(np.arange(len(starts)), np.diff(np.append(starts, end)))


def _ways_stay_in_tree(integers: TreesParams, features: int) -> bool:
    """Return whether the ways of each node lead to a node or a leaf of its own tree, and none of
    them in a circle."""
    _, feature, yes, no = unpacked_nodes(integers.nodes)
    first, leaves = integers.trees.astype(np.int64).T
    count, tree = len(feature), _range_of_each_index(first, len(feature))
    sizes = np.diff(np.append(first, count))[tree]
    own_leaves = np.diff(np.append(leaves, len(integers.entries)))[tree]
    ways = np.stack([yes, no])
    inside = (-1 - ways < own_leaves) & (ways < sizes)
    if not inside.all() or not ((feature >= 0) & (feature < features)).all():
        return False
    children = np.where(ways >= 0, ways + first[tree], -1)
    now = first
    for _ in range(int(sizes.max()) + 1):
        if not now.size:
            return True
        after = children[:, now]
        now = np.unique(after[after >= 0])
    return False


def _leaf_entries_are_ordered(integers: TreesParams) -> bool:
    """Return whether the entries of each leaf name results in ascending order, the last entry of
    each tree ends a leaf, and no sum exceeds acc_bound."""
    value, mark = integers.entries.astype(np.int64).T
    results, starts = len(integers.base), integers.trees[:, 1].astype(np.int64)
    ends, result, tree = (mark & 1) == 1, mark >> 1, _range_of_each_index(starts, len(mark))
    follows = ends[:-1] | (result[1:] > result[:-1])
    last = np.append(starts[1:], len(mark)) - 1
    if not (follows.all() and ends[last].all() and ((result >= 0) & (result < results)).all()):
        return False
    largest = np.zeros((len(starts), results), np.int64)
    np.maximum.at(largest, (tree, result), np.abs(value))
    most = largest.sum(axis=0) + np.abs(integers.base.astype(np.int64))
    return int(most.max()) <= min(integers.acc_bound, INT32_MAX)


LEARNT = Learnt(
    {
        **REQUANT,
        "nodes": INTEGERS_32,
        "trees": BOUND,
        "entries": INTEGERS_16,
        "base": SYMMETRIC_32,
        "acc_bound": BOUND,
    },
    _walks_are_valid,
    varying=frozenset({"entries"}),
    weights=_trivial_trees,
)
