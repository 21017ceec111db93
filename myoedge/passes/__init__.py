# SPDX-License-Identifier: Apache-2.0
"""Graph -> Graph: fold constants, let transposes cancel, fuse, lower."""

from __future__ import annotations

import itertools
from dataclasses import replace

from myoedge.graph.ir import PRE, Graph, prune
from myoedge.graph.rewrite import Rule, apply
from myoedge.operators.checks import check
from myoedge.passes.attention import FIND, SIMPLIFY
from myoedge.passes.fold import FOLD, absorb_input_normalization
from myoedge.passes.fuse import FUSE, fuse_padding, magnitude, merge_tables, slice_into_padding
from myoedge.passes.layout import SINK, VIEWS
from myoedge.passes.lower import LOWER
from myoedge.passes.projection_names import name_projections
from myoedge.passes.spectral import SPECTRAL, check_samples

STAGES: tuple[tuple[str, tuple[Rule, ...]], ...] = (
    ("find", FIND),
    ("fold", (*FOLD, *SIMPLIFY, *SINK, fuse_padding, slice_into_padding)),
    ("lower", (*FOLD, *LOWER)),
    ("views", (*FOLD, *SPECTRAL, *VIEWS, magnitude, merge_tables)),
    ("fuse", (*FOLD, *FUSE)),
)


def prepare(graph: Graph) -> Graph:
    """The graph in the form that is calibrated, quantised and planned."""
    check(graph, "imported")
    graph = prune(graph)
    for name, rules in STAGES:
        graph = apply(rules, graph)
        if name == "fold":
            graph = absorb_input_normalization(graph)
        check(graph, "imported")
    graph = rename_tensors(name_projections(graph))
    check_samples(graph)
    check(graph, "prepared")
    return graph


def rename_tensors(graph: Graph) -> Graph:
    """The graph with tensors named after the call they come from, without suffixes of rules:
    "conv2d_3"."""
    names: dict[str, str] = {name: name for name in graph.inputs}
    used = {*graph.inputs, *graph.constants}
    for node in graph.nodes:
        names[node.name] = _free(node.name.split(".")[0], used)
        used.add(names[node.name])
    nodes = tuple(
        n.but(inputs=tuple(names.get(x, x) for x in n.inputs), outputs=(names[n.name],))
        for n in graph.nodes
    )
    tensors = {new: replace(graph.tensors[old], name=new) for old, new in names.items()}
    outputs = tuple(names[name] for name in graph.outputs)
    both = names | {old + PRE: new + PRE for old, new in names.items()}
    carried = {both.get(name, name): q for name, q in graph.quant_params.items()}
    return replace(graph, nodes=nodes, tensors=tensors, outputs=outputs, quant_params=carried)


def _free(stem: str, used: set[str]) -> str:
    numbered = (f"{stem}_{i}" for i in itertools.count(1))
    return next(name for name in itertools.chain([stem], numbered) if name not in used)
