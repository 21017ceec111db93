# SPDX-License-Identifier: Apache-2.0
"""Ensembles of decision trees: the result is the sum of one leaf's values per tree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode, QuantizeInputs, add_operator
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.common_rules import with_requant
from myoedge.operators.format import EIGHT, LIMITED, SIXTEEN, Format
from myoedge.operators.kernel import OUT, Fields, Operand, Region, Sizes, TiledKernel, on_cluster
from myoedge.operators.library.packing import scale_fields, table_operand
from myoedge.operators.qdq import Write, Writer
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import ByHand, Constants, Weights
from myoedge.operators.trees.branches import (
    INT16_HIGH,
    INT16_LOW,
    SUM_BITS,
    Forest,
    TreesParams,
    asks_twice,
    sums,
)
from myoedge.operators.trees.learnt import LEARNT
from myoedge.targets.chip import Engine

PARTS = 8  # parts of the trees with separate sums
L2_NODE = 3.0  # time of a node in L2, in nodes in L1
NODE_BYTES = 112  # bytes that the DMA moves to L1 in the time of one node there
L1_BYTES = 2**16  # maximum bytes of trees in L1


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of an ensemble of decision trees; tiles are rows of x [N, F] and y
    [N, K], and the cores share the trees of a row."""
    (n, features), results = step.shapes[0], step.out[1]
    row = (("row", 1),)
    x = Operand("x", 0, (n, features), (row, ()), itemsize=2)
    y = Operand("y", OUT, (n, results), (row, ()), itemsize=step.element_type.size_bytes)
    numbers = step.integers
    arrays = [
        Operand.whole(name, getattr(numbers, name))
        for name in ("nodes", "trees", "entries", "base")
    ]
    each = np.array([0, numbers.mult, numbers.offset, numbers.shift], np.int32)
    walked = math.ceil(len(numbers.trees) / engine.cores) * (
        3 + (2 + math.log2(len(numbers.nodes) / len(numbers.trees)))
    )
    bytes_ = sum(array.shape[0] for array in arrays)
    in_l1 = bytes_ <= min(L1_BYTES, (L2_NODE - 1) * walked * n * NODE_BYTES)
    factor = 1.0 if in_l1 else L2_NODE

    def work(sizes: Sizes) -> Any:
        """Return the work units of the busiest core: visited nodes, and sums of partial results."""
        return sizes["row"] * (factor * walked + math.ceil(results / engine.cores) * PARTS / 4)

    return TiledKernel(
        function="me_trees_s16",
        axes={"row": n},
        split=("row",),
        operands=(x, Operand.whole("each", each), *table_operand(step), *arrays[: 4 * in_l1], y),
        l2_tables=() if in_l1 else tuple(arrays),
        op={
            "features": features,
            "results": results,
            "count": len(numbers.trees),
            **{array.name: f"@{array.name}" for array in arrays},
            "each": "@each",
            **scale_fields(step),
            "y_wide": step.wide_flags("x", "y")["y_wide"],
        },
        tile=_tile_fields,
        scratch=lambda sizes: PARTS * results * 4,
        work=work,
    )


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    return {"x": "@x", "y": "@y", "sums": "@scratch", "rows": regions["y"].extent[0]}


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
    forest = _forest_constants(
        site, limits, links, roots, np.rint(leaves.astype(np.float64) / step)
    )
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


def _forest_constants(
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

TREES = add_operator(
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


LEAF = {"featureids": 0, "modes": "LEAF", "values": 0.0, "truenodeids": 0, "falsenodeids": 0}
Rows = list[dict[str, Any]]


def _write_forest(w: Writer, step: QuantizedNode, x: str) -> str:
    """Write an ensemble as an ONNX TreeEnsembleRegressor; nodes below several parents are written
    once per parent."""
    _, _, roots, leaves, base = (w.floats[name] for name in step.node.inputs[1:])
    tests = _onnx_node_tests(w, step)
    nodes: Rows = []
    targets: Rows = []
    for tree, root in enumerate(roots.astype(int).tolist()):
        pending, count = [(root, 0)], 1
        while pending:
            at, own = pending.pop()
            row = {"treeids": tree, "nodeids": own}
            if at < 0:
                nodes.append({**row, **LEAF})
                weights = enumerate(leaves[-1 - at].tolist())
                targets += [{**row, "ids": k, "weights": value} for k, value in weights]
                continue
            test, ways = tests[at]
            nodes.append({**row, **test, "truenodeids": count, "falsenodeids": count + 1})
            pending += [(ways[0], count), (ways[1], count + 1)]
            count += 2
    lists = {f"nodes_{key}": [n[key] for n in nodes] for key in nodes[0]}
    lists |= {f"target_{key}": [t[key] for t in targets] for key in targets[0]}
    attrs = {**lists, "base_values": base.tolist(), "n_targets": len(base)}
    return w.node("ai.onnx.ml.TreeEnsembleRegressor", x, **attrs)


def _onnx_node_tests(
    w: Writer, step: QuantizedNode
) -> list[tuple[dict[str, Any], tuple[int, int]]]:
    """Return, for each node, its test as ONNX attributes and the next nodes or leaves (if it holds,
    if not); limits are between two steps of x, or equal to one."""
    links = w.floats[step.node.inputs[2]]
    grid, integers = w.params[step.operands[0]], step.integers
    units = integers.nodes[:, 0].astype(np.int16).astype(np.float64) - grid.zero_point
    same = integers.nodes[:, 1].astype(np.int16) == integers.nodes[:, 1] >> 16
    scale, tests = np.float32(grid.scale), []
    links = links.astype(np.int64)
    for at, (feature, yes, no, _) in enumerate(links.tolist()):
        unit, ways, mode = units[at] + 0.5, (no if same[at] else yes, no), "BRANCH_LEQ"
        is_one = asks_twice(links, at) and units[at] - units[yes] == 1
        if is_one and not (same[at] or same[yes]):
            unit, mode = units[at], "BRANCH_EQ"
            ways = int(links[yes, 2]), no
        value = float(np.float32(unit) * scale)
        tests.append(({"featureids": feature, "modes": mode, "values": value}, ways))
    return tests


WRITE: Mapping[str, Write] = {"trees": _write_forest}


WALKS = """
limits, links, roots, leaves, base = ws
nodes, at = links.long(), roots.long().expand(len(x0), -1)
for _ in range(len(limits)):
    here = at.clamp(min=0)
    value = torch.gather(x0, 1, nodes[here, 0])
    holds = torch.where(nodes[here, 3] == 1, value < limits[here], value <= limits[here])
    at = torch.where(at < 0, at, torch.where(holds, nodes[here, 1], nodes[here, 2]))
leaves[-1 - at].sum(1) + base
"""


def slack(case: Any) -> float:
    """Return the largest permitted deviation in output steps: half a step of the leaves for each
    tree, and for the base."""
    _, _, roots, leaves, base = case.weights
    return float(leaf_step(leaves, base, len(roots)) * (len(roots) + 1) / 2 / case.target.scale)


def _draw_tree(d: Draw, links: list[list[int]], features: int, leaves: int) -> int:
    """Add a random node with the nodes below it; return its index, or -1 - i for leaf i."""
    at = len(links)
    links.append([d.integer(0, features - 1), 0, 0, d.integer(0, 1)])
    for way in (1, 2):
        ends = d.rng.random() < 0.55 or len(links) > 60
        links[at][way] = -d.integer(1, leaves) if ends else _draw_tree(d, links, features, leaves)
    return at


def trees(d: Draw) -> DrawnUse:
    rows, features, results = d.integer(1, 3), d.integer(1, 6), d.integer(1, 9)
    common = d.common(1, act=True)
    leaves: Array = d.rng.normal(size=(d.integer(1, 12), results)) * d.pick([1e-3, 1.0, 1e4])
    leaves *= d.rng.random(leaves.shape) < d.pick([0.3, 1.0])
    leaves[0, 0] = leaves[0, 0] or 1.0
    links: list[list[int]] = []
    roots = [_draw_tree(d, links, features, len(leaves)) for _ in range(d.integer(1, 20))]
    limits = d.rng.normal(size=len(links)) * max(map(abs, common["spans"][0])) / 2
    base = d.pick([0.0, 1.0]) * d.rng.normal(size=results)
    numbers = (np.array(x, np.float64) for x in (links, roots))
    weights = (limits, *numbers, leaves, base)
    return DrawnUse("trees", {}, ((rows, features),), WALKS, weights=weights, slack=slack, **common)


CASES = {"trees": trees}
