# SPDX-License-Identifier: Apache-2.0
"""Random test cases of tree ensembles."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.trees import leaf_step

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


def _grow(d: Draw, links: list[list[int]], features: int, leaves: int) -> int:
    """Add a random node with the nodes below it; return its index, or -1 - i for leaf i."""
    at = len(links)
    links.append([d.integer(0, features - 1), 0, 0, d.integer(0, 1)])
    for way in (1, 2):
        ends = d.rng.random() < 0.55 or len(links) > 60
        links[at][way] = -d.integer(1, leaves) if ends else _grow(d, links, features, leaves)
    return at


def trees(d: Draw) -> DrawnUse:
    rows, features, results = d.integer(1, 3), d.integer(1, 6), d.integer(1, 9)
    common = d.common(1, act=True)
    leaves: Array = d.rng.normal(size=(d.integer(1, 12), results)) * d.pick([1e-3, 1.0, 1e4])
    leaves *= d.rng.random(leaves.shape) < d.pick([0.3, 1.0])
    leaves[0, 0] = leaves[0, 0] or 1.0
    links: list[list[int]] = []
    roots = [_grow(d, links, features, len(leaves)) for _ in range(d.integer(1, 20))]
    limits = d.rng.normal(size=len(links)) * max(map(abs, common["spans"][0])) / 2
    base = d.pick([0.0, 1.0]) * d.rng.normal(size=results)
    numbers = (np.array(x, np.float64) for x in (links, roots))
    weights = (limits, *numbers, leaves, base)
    return DrawnUse("trees", {}, ((rows, features),), WALKS, weights=weights, slack=slack, **common)


CASES = {"trees": trees}
