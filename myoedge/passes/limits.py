# SPDX-License-Identifier: Apache-2.0
"""Clamps of tensors that may be infinite, as torch computes them: the limits where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from myoedge.graph.ir import Graph, Node, prune
from myoedge.graph.match import attempt
from myoedge.numerics.pointwise import Chain
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.library.masks import once
from myoedge.operators.library.nonfinite import Nonfinite
from myoedge.operators.turns import has_loops


def limit_infinities(graph: Graph) -> Graph:
    """Insert the limits of clamps where their operands are infinite, by tests of the arguments of
    the functions that are infinite; a NaN becomes what 0 becomes.

    The patterns that find norms and softmaxes come first: these need no such tests.
    """
    if not any(map(_infinity_limits, graph.nodes)) or graph.has_fake_quantized or has_loops(graph):
        return graph
    d = GraphBuilder(constants={**graph.constants})
    for name in graph.inputs:
        d.input(name, graph.shape(name), graph.tensors[name].dtype)
    names: dict[str, str] = {}
    for node in graph.nodes:
        names |= _copy_or_guard(d, graph, node.reading(names))
    if not names:
        return graph
    outputs = tuple(names.get(name, name) for name in graph.outputs)
    tensors = {**d.tensors, **{name: graph.tensors[name] for name in graph.inputs}}
    made = replace(graph, outputs=outputs, nodes=tuple(d.nodes))
    return prune(replace(made, tensors=tensors, constants=d.constants))


def _copy_or_guard(d: GraphBuilder, graph: Graph, node: Node) -> dict[str, str]:
    """Add a node, or in place of a clamp what inserts its limits; return the new name of the
    result, if it has one."""
    d.stem, d.origin = node.name, node.origin
    y = attempt(_insert_limits, d, node) if _infinity_limits(node) else None
    if y is not None:
        return {node.name: y}
    d.nodes.append(node)
    d.tensors |= {name: graph.tensors[name] for name in node.outputs}
    return {}


def _infinity_limits(node: Node) -> Mapping[str, float]:
    """Return kind of infinity -> what a clamp makes of it; {} for other operators, and for ReLU,
    which makes 0 of both 0 and -inf."""
    chain: Chain = node.attrs["chain"] if node.op == "table" else ()
    if len(chain) != 1 or chain[0][0] != "clamp":
        return {}
    _, low, high = chain[0]
    return {} if (low, high) == (0.0, np.inf) else {"neginf": low, "posinf": high}


def _insert_limits(d: GraphBuilder, node: Node) -> str | None:
    """Return the clamp of a tensor's finite values, with a limit where the tensor is infinite; None
    if it is infinite nowhere, or one function of a finite tensor, which is exact at its limits.

    Errors: Unsupported for operators that mix elements.
    """
    known, x, limits = Nonfinite.of(d), node.inputs[0], _infinity_limits(node)
    if x not in known.possible or known.is_one_function(x):
        return None
    at_zero = float(np.clip(0.0, limits["neginf"], limits["posinf"]))
    at = {kind: test for kind in limits if (test := known.where(x, kind))}
    if not at or not np.isfinite([limits[kind] for kind in at]).all():
        return None
    y = once(d, "table", known.finite(x), **node.attrs)
    for kind, test in at.items():
        y = known.plus(y, limits[kind] - at_zero, test)
    return y
