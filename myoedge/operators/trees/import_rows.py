# SPDX-License-Identifier: Apache-2.0
"""Import of ai.onnx.ml's tree ensembles: TreeEnsembleClassifier, TreeEnsembleRegressor and
TreeEnsemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.library.classifiers import of_both_classes, rows_of, transformed, winner
from myoedge.operators.trees.branches import (
    MODES,
    MOST_FEATURES,
    MOST_OF_TREE,
    MOST_RESULTS,
    Branch,
    Forest,
    Grove,
    Key,
)

TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
AVERAGE, SUM = 0, 1  # TreeEnsemble's aggregate_function
MOST_NUMBERS = 2**26  # leaf values with all results
ROUNDINGS = np.float32(2.0**-21)
SINGLE = "a sum or an average of the trees"


class Ensemble(NamedTuple):
    """Decision trees whose leaves are summed.

    limits, links   nodes, [n] and [n, 4]
    roots           first node of each tree [t]
    leaves          values of the leaves [l, K]
    base            values added to the sum [K]
    """

    limits: Array
    links: Array
    roots: Array
    leaves: Array
    base: Array


def classifier(d: GraphBuilder, a: Arguments, out: Any) -> tuple[str | None, str]:
    """Import ONNX's TreeEnsembleClassifier; return the names of the predicted class index and of
    the scores of the classes."""
    classes = len(a["classlabels_ints"]) or len(a["classlabels_strings"])
    found = _read_node_lists(a, "class", classes)
    kind = a["post_transform"]
    if classes == 2 and {*a["class_ids"]} == {0} and len(_numbers_attribute(a, "base_values")) < 2:
        # The file stores only the second class's score
        is_share = min(_numbers_attribute(a, "class_weights")) >= 0
        one = found.leaves[:, :1].T, found.base[:1]
        weight, base, kind = of_both_classes(*one, kind, is_share=is_share)
        found = found._replace(leaves=weight.T, base=base)
    y = _add_forest(d, a["self"], found)
    return winner(d, y, a), transformed(d, y, kind)


def regressor(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import ONNX's TreeEnsembleRegressor, with result [N, targets]."""
    found = _read_node_lists(a, "target", a["n_targets"])
    if a["aggregate_function"] not in ("SUM", "AVERAGE"):
        raise Unsupported(f"aggregate_function {a['aggregate_function']}", SINGLE)
    shares = len(found.roots) if a["aggregate_function"] == "AVERAGE" else 1
    found = found._replace(leaves=found.leaves / shares)
    return transformed(d, _add_forest(d, a["self"], found), a["post_transform"])


def _read_node_lists(a: Arguments, what: str, results: int) -> Ensemble:
    """Read an ensemble from lists of nodes and leaf weights; `what` is "class" or "target"."""
    _refuse_too_many(results, len(a[f"{what}_ids"]))
    keys = [*zip(a["nodes_treeids"], a["nodes_nodeids"], strict=True)]
    modes = [mode.removeprefix("BRANCH_") for mode in a["nodes_modes"]]
    _check_result_count(results, modes.count("LEAF"), a[f"{what}_ids"])
    weights: dict[Key, Array] = {
        key: np.zeros(results) for key, mode in zip(keys, modes, strict=True) if mode == "LEAF"
    }
    ends = zip(a[f"{what}_treeids"], a[f"{what}_nodeids"], strict=True)
    added = zip(ends, a[f"{what}_ids"], _numbers_attribute(a, f"{what}_weights"), strict=True)
    for key, target, weight in added:
        weights[key][target] += weight
    rows = zip(
        modes, a["nodes_featureids"], _numbers_attribute(a, "nodes_values"),
        a["nodes_truenodeids"], a["nodes_falsenodeids"], strict=True,
    )  # fmt: skip
    branches: dict[Key, Branch] = {
        key: Branch(mode, feature, (value,), (key[0], yes), (key[0], no))
        for key, (mode, feature, value, yes, no) in zip(keys, rows, strict=True)
        if mode != "LEAF"
    }
    base = np.broadcast_to(np.asarray(_numbers_attribute(a, "base_values") or [0.0]), (results,))
    below = {x for branch in branches.values() for x in (branch.yes, branch.no)}
    roots = [key for key in keys if key not in below]
    if len(roots) != len({*a["nodes_treeids"]}) or len({*keys}) != len(keys):
        raise ValueError("trees without one root, or a node twice")
    return _join_trees(branches, {k: tuple(w.tolist()) for k, w in weights.items()}, roots, base)


def _check_result_count(results: int, leaves: int, targets: Sequence[int]) -> None:
    """Check that the number of results and of stored leaf values is within limits.

    targets   indices of the results to which leaves add
    """
    if results > MOST_RESULTS or results * leaves > MOST_NUMBERS:
        raise Unsupported(f"{results:,} results of {leaves:,} leaves", "fewer results or leaves")
    if results < 1 or min(targets, default=0) < 0:
        raise ValueError(f"an index below 0, or {results} results")


def _check_tree_sizes(found: Ensemble) -> None:
    """Check that the kernel's links can number the nodes and leaves of every tree."""
    forest = Forest(found.limits, found.links.astype(int), found.roots, found.leaves)
    entries = np.maximum(np.count_nonzero(found.leaves, axis=1), 1)
    for number in range(len(found.roots)):
        nodes, leaves = forest.tree(number)
        if max(nodes.stop - nodes.start, entries[leaves].sum()) > MOST_OF_TREE:
            raise Unsupported(f"a tree of more than {MOST_OF_TREE:,} nodes", "trees of less depth")


def _refuse_too_many(results: int, weights: int) -> None:
    if results < 1:
        raise ValueError(f"{results} results")
    if results * max(weights, 1) > MOST_NUMBERS:
        raise Unsupported(f"{results:,} results of {weights:,} weights", "fewer results, or trees")


def _numbers_attribute(a: Arguments, name: str) -> list[float]:
    """Return an attribute that is a list of floats, or a tensor of doubles with suffix
    "_as_tensor"."""
    given = a[f"{name}_as_tensor"] if a.get(f"{name}_as_tensor") is not None else a[name]
    return [float(value) for value in np.ravel(given)]


def _join_trees(
    branches: Mapping[Key, Branch],
    leaves: Mapping[Key, tuple[float, ...]],
    roots: Sequence[Key],
    base: Array,
) -> Ensemble:
    if any(branch.mode not in MODES for branch in branches.values()):
        raise ValueError(f"a mode that is none of {', '.join(MODES)}")
    grove = Grove(branches, leaves)
    firsts = np.array([grove.plant(root) for root in roots])
    limits, links, rows = grove.arrays()
    return Ensemble(limits, links, firsts, rows, base)


def ensemble(d: GraphBuilder, a: Arguments, out: Any) -> str:
    """Import ONNX's TreeEnsemble (ai.onnx.ml 5), with result [N, targets]."""
    results, divisors = a["n_targets"], {AVERAGE: len(a["tree_roots"]), SUM: 1}
    if a["aggregate_function"] not in divisors:
        raise Unsupported(f"aggregate_function {a['aggregate_function']}", SINGLE)
    _check_result_count(results, len(a["leaf_weights"]), a["leaf_targetids"])
    leaves: dict[Key, tuple[float, ...]] = {}
    ends = zip(a["leaf_targetids"], np.ravel(a["leaf_weights"]).tolist(), strict=True)
    for i, (target, weight) in enumerate(ends):
        row = np.zeros(results)
        row[target] = weight / divisors[a["aggregate_function"]]
        leaves["leaf", i] = tuple(row.tolist())
    members = _member_value_sets(a["membership_values"])
    names = ("leaf" if leaf else "node" for leaf in (*a["nodes_trueleafs"], *a["nodes_falseleafs"]))
    ways = [*zip(names, (*a["nodes_truenodeids"], *a["nodes_falsenodeids"]), strict=True)]
    count = len(a["nodes_modes"])
    branches: dict[Key, Branch] = {}
    for i, mode in enumerate(np.ravel(a["nodes_modes"]).tolist()):
        value = next(members) if MODES[mode] == "MEMBER" else (float(a["nodes_splits"][i]),)
        branches["node", i] = Branch(
            MODES[mode], a["nodes_featureids"][i], value, ways[i], ways[count + i]
        )
    roots: list[Key] = [
        ways[i] if ways[i] == ways[count + i] and ways[i][0] == "leaf" else ("node", i)
        for i in a["tree_roots"]
    ]
    found = _join_trees(branches, leaves, roots, np.zeros(results))
    kind = TRANSFORMS[a["post_transform"]]
    return transformed(d, _add_forest(d, a["self"], found), kind)


def _member_value_sets(values: Array | None) -> Any:
    """Yield the value sets of MEMBER tests, each of which ends in NaN in the attribute."""
    found: list[float] = []
    for value in np.ravel([] if values is None else values).tolist():
        if np.isnan(value):
            yield tuple(found)
            found = []
        else:
            found.append(value)


def _add_forest(d: GraphBuilder, x: str, found: Ensemble) -> str:
    """Add the ensemble to the graph, after scaling each feature so that its limits are in -1 .. 1.

    If the features are the network's input, the host scales them; one quantisation step then suits
    all.
    """
    _, features = rows_of(d, x, "a tree ensemble")
    if features > MOST_FEATURES:
        raise Unsupported(
            f"{features:,} features", f"at most {MOST_FEATURES:,}, those that are read"
        )
    _check_tree_sizes(found)
    if not 0 <= found.links[:, 0].min() <= found.links[:, 0].max() < features:
        raise ValueError(f"a feature that is none of {features}")
    limits = found.limits.astype(np.float32)
    if not np.isfinite(limits).all():
        raise Unsupported("a threshold that is infinite or NaN", "a finite one")
    scale, offset = _feature_scalings(limits, found.links[:, 0].astype(int), features)
    y = d.add("affine", x, d.constant(scale), d.constant(offset), axis=1)
    own, strict = found.links[:, 0].astype(int), found.links[:, 3] > 0
    # float32 rounding as in the features, so that a value equal to a limit stays equal
    apart = ROUNDINGS * (1 + np.abs(offset[own]))
    limits = limits * scale[own] + offset[own] + np.where(strict, -apart, apart)
    arrays = (limits, *found[1:])
    return d.add("trees", y, *(d.constant(np.asarray(v, np.float32)) for v in arrays))


def _feature_scalings(limits: Array, own: Array, features: int) -> tuple[Array, Array]:
    """Return factors and offsets, float32, that bring every feature's limits to -1 .. 1; 0 for a
    feature that no node reads."""
    low, high = np.full(features, np.inf), np.full(features, -np.inf)
    np.minimum.at(low, own, limits)
    np.maximum.at(high, own, limits)
    read = high >= low
    low, high = np.where(read, low, 0.0), np.where(read, high, 0.0)
    half = (high - low) / 2
    several = half[half > 0]
    usual = float(np.median(several)) if several.size else 1.0
    half = np.where(half > 0, half, np.maximum(np.abs(low), usual))
    scale = np.where(read, 1.0 / half, 0.0).astype(np.float32)
    return scale, (-scale * (high + low) / 2).astype(np.float32)


NODES = (
    "nodes_treeids=[], nodes_nodeids=[], nodes_featureids=[], nodes_modes=[], nodes_values=[], "
    "nodes_truenodeids=[], nodes_falsenodeids=[], base_values=[], post_transform='NONE', "
    "nodes_values_as_tensor=None, base_values_as_tensor=None"
)
ENDS = "X_treeids=[], X_nodeids=[], X_ids=[], X_weights=[], X_weights_as_tensor=None"

ROWS = (
    ImportRow(
        "trees argmax",
        classifier,
        onnx=f"ai.onnx.ml.TreeEnsembleClassifier(self, *, {NODES}, {ENDS.replace('X', 'class')}, "
        "classlabels_ints: classlabels_int64s = [], classlabels_strings=[])",
        all_results=True,
    ),
    ImportRow(
        "trees",
        regressor,
        onnx=f"ai.onnx.ml.TreeEnsembleRegressor(self, *, {NODES}, {ENDS.replace('X', 'target')}, "
        "n_targets=1, aggregate_function='SUM')",
    ),
    ImportRow(
        "trees",
        ensemble,
        onnx="ai.onnx.ml.TreeEnsemble(self, *, nodes_splits, nodes_featureids, nodes_modes, "
        "nodes_truenodeids, nodes_falsenodeids, nodes_trueleafs, nodes_falseleafs, "
        "leaf_targetids, leaf_weights, tree_roots, n_targets=1, membership_values=None, "
        "aggregate_function=1, post_transform=0)",
    ),
)
