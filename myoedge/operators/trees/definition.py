# SPDX-License-Identifier: Apache-2.0
"""Ensembles of decision trees: the result is the sum of one leaf's values per tree."""

from __future__ import annotations

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OpDef, QuantizedNode, QuantizeInputs, register
from myoedge.operators.common_rules import with_requant
from myoedge.operators.format import EIGHT, LIMITED, SIXTEEN, Format
from myoedge.operators.kernel import on_cluster
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import ByHand, Constants, Weights
from myoedge.operators.trees.learnt import LEARNT
from myoedge.operators.trees.packed import (
    INT16_HIGH,
    INT16_LOW,
    SUM_BITS,
    Forest,
    TreesParams,
    sums,
)
from myoedge.operators.trees.tiling import in_tiles


def shape(attrs: Attrs, x: Shape, limits: Shape, links: Shape, roots: Shape, *rows: Shape) -> Shape:
    """Return the result shape [N, K] of an ensemble of decision trees.

    x   features [N, F]
    limits, links, roots, rows   [n], [n, 4], [t], then leaves [l, K] and base [K]
    """
    return (x[0], rows[0][1])


def real(attrs: Attrs, x: Array, *ensemble: Array) -> Array:
    """Compute an ensemble of decision trees in floats: the sum of the leaf that each tree reaches,
    plus the base.

    limits   [n]: a node tests x <= limit, or x < limit if it is strict
    links    [n, 4]: feature, next node if the test holds, next node if not, whether it is strict;
             -1 - i is leaf i
    """
    limits, links, roots, leaves, base = ensemble
    feature, yes, no, strict = links.astype(np.int64).T
    at, rows = np.tile(roots.astype(np.int64), (len(x), 1)), np.arange(len(x))[:, None]
    while (inside := at >= 0).any():
        node = np.where(inside, at, 0)
        value, limit = x[rows, feature[node]], limits[node]
        holds = np.where(strict[node], value < limit, value <= limit)
        at = np.where(inside, np.where(holds, yes[node], no[node]), at)
    return np.asarray(leaves[-1 - at].sum(axis=1) + base)


def quantize(site: QuantizeInputs) -> TreesParams:
    """Return the constants of an ensemble: limits in quantisation steps of x, leaves in 16 bits.

    Limits are rounded like values of x, so that a value equal to a limit stays equal.
    """
    limits, links, roots, leaves, base = (site.constant(i) for i in range(1, 6))
    step = leaf_step(leaves, base, len(roots))
    forest = _forest(site, limits, links, roots, np.rint(leaves.astype(np.float64) / step))
    first = np.rint(base.astype(np.float64) / step).astype(np.int64)
    nodes, trees, entries = forest.packed()
    more = {"nodes": nodes, "trees": trees, "entries": entries, "base": first.astype(np.int32)}
    bound = int((forest.bounds() + np.abs(first)).max())
    return with_requant(TreesParams, site, step / site.target.scale, max(bound, 1), more)


def leaf_step(leaves: Array, base: Array, trees: int) -> float:
    """Return the finest quantisation step of the leaves for which they fit 16 bits and sums over
    all trees stay below 2**30."""
    largest = float(np.abs(leaves).max())
    total = largest * trees + float(np.abs(base).max())
    most = (1 << SUM_BITS) - trees - 1
    return max(largest / INT16_HIGH, total / most, 2.0**-60)


def _forest(
    site: QuantizeInputs, limits: Array, links: Array, roots: Array, leaves: Array
) -> Forest:
    x, ways = site.params(0), links.astype(np.int64)
    grid = np.rint(limits.astype(np.float64) / x.scale) + x.zero_point - ways[:, 3]
    never = grid < x.low
    ways[never, 1] = ways[never, 2]
    kept = np.clip(grid, INT16_LOW, INT16_HIGH).astype(np.int64)
    return Forest(kept, ways[:, :3], roots.astype(np.int64), leaves.astype(np.int64))


def integer(step: QuantizedNode, x: Array) -> Array:
    """Compute requantise(base + sum of the leaves reached) in integers: x int16 [N, F] -> [N,
    K]."""
    return step.requantize(sums(step.integers, x))


def streaming_rule(at: OperandAxis) -> StreamingRule | None:
    return StreamingRule(0) if at.axis == 0 and at.operand == 0 else None


# int16 features cost no cycles, and limits stay close to the file's.
FORMATS = (Format((SIXTEEN,), EIGHT), Format((SIXTEEN,), SIXTEEN, where=LIMITED))

TREES = register(
    OpDef(
        name="trees",
        doc="ensembles of decision trees: random forests, boosted trees; one walk for each tree",
        shape=shape,
        real=real,
        integer=ByHand(integer),
        constants=Constants(quantize, kinds=(TreesParams,), learnt=LEARNT),
        kernels=on_cluster(in_tiles, *FORMATS),
        weights=Weights((1, 2, 3, 4, 5)),
        epilogue=True,
        streaming_rule=streaming_rule,
    )
)
