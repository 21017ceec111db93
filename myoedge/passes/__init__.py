# SPDX-License-Identifier: Apache-2.0
"""Graph rewrites before quantisation: fold constants, cancel transposes, fuse, lower."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from myoedge.graph.constants import Constant
from myoedge.graph.ir import Graph, Node, prune
from myoedge.graph.match import attempt
from myoedge.graph.rewrite import RewritePattern, apply
from myoedge.operators.checks import check, reject_constant_outputs
from myoedge.operators.turns import IN_LOOPS
from myoedge.passes.attention import FIND, SIMPLIFY
from myoedge.passes.cells import EVERY_STEP, ONE_STEP, READ_STEPS, roll_cells
from myoedge.passes.fold import (
    FOLD,
    absorb_input_normalization,
    fold_constants,
    fold_products_of_zeros,
)
from myoedge.passes.fuse import (
    FUSE,
    fuse_functions,
    fuse_padding,
    magnitude,
    merge_tables,
    slice_into_padding,
)
from myoedge.passes.layout import (
    SINK,
    VIEWS,
    merge_reshapes,
    merge_transposes,
    windows_as_channels,
)
from myoedge.passes.limits import limit_infinities
from myoedge.passes.linear_layers import LINEAR_PARTS, LONG_SUMS, WIDE_WEIGHTS, rotations_as_windows
from myoedge.passes.loop_parts import divide_loops
from myoedge.passes.loop_rows import compute_rows_at_once
from myoedge.passes.loops import FEWEST_SAVED, in_loop_order, roll_recurrences
from myoedge.passes.lower import LOWER
from myoedge.passes.norms import FIND_NORMS, FOLD_NORMS
from myoedge.passes.parallel_scans import PARTS, roll_scans
from myoedge.passes.predictors import coefficients_of_predictors
from myoedge.passes.propagate_qdq import propagate_qdq as fold_qdq
from myoedge.passes.qdq import reject_unsupported_qdq
from myoedge.passes.resizing import interpolation
from myoedge.passes.selective import SELECTIVE
from myoedge.passes.spectra import (
    FIND_SPECTRA,
    SPECTRAL,
    check_samples,
    lower_spectrogram,
    magnitude_of_parts,
)
from myoedge.passes.steps import join_steps
from myoedge.passes.window_features import FIND_FEATURES, FOLD_FEATURES

ROLES = ("q", "k", "v")  # operands of attention
STAGES: tuple[tuple[str, tuple[RewritePattern, ...]], ...] = (
    ("find", (*FIND, *FIND_NORMS, *FIND_SPECTRA, *FIND_FEATURES, coefficients_of_predictors)),
    ("parts", (magnitude_of_parts,)),
    ("spectra", (lower_spectrogram,)),
    (
        "fold",
        (*FOLD, *FOLD_NORMS, *FOLD_FEATURES, *SIMPLIFY, *SINK, fuse_padding, slice_into_padding),
    ),
    ("scans", (*FOLD, *READ_STEPS, *SELECTIVE, *SINK)),
    (
        "lower",
        (
            *(*FOLD, fold_products_of_zeros, *LINEAR_PARTS, interpolation),
            *(*LOWER, *LONG_SUMS, *WIDE_WEIGHTS),
        ),
    ),
    ("views", (*FOLD, *SPECTRAL, *VIEWS, magnitude, fuse_functions, merge_tables)),
    ("fuse", (*FOLD, *FUSE)),
)


class GraphPass(NamedTuple):
    """A function of whole graphs, which may raise NoMatch.

    ops      operators of which a graph must have one; (): any
    fewest   nodes that a graph must have
    """

    run: Callable[[Graph], Graph]
    ops: Collection[str] = ()
    fewest: int = 0


ROWS_OF_LOOPS = GraphPass(compute_rows_at_once, IN_LOOPS)
ROLLED: tuple[tuple[str, GraphPass], ...] = (  # before the first stage
    ("rows of loops", ROWS_OF_LOOPS),
    ("cells", GraphPass(roll_cells, EVERY_STEP)),
    ("layers of steps", GraphPass(partial(apply, (join_steps,)), join_steps.ops)),
    ("written-out scans", GraphPass(roll_scans, PARTS)),
)
RECURRENCES = GraphPass(roll_recurrences, fewest=FEWEST_SAVED)
AFTER_STAGE: Mapping[str, tuple[GraphPass, ...]] = {
    "find": (GraphPass(limit_infinities, ("table",)),),
    "fold": (GraphPass(absorb_input_normalization, ("affine", "table")),),
    "scans": (RECURRENCES, GraphPass(divide_loops, IN_LOOPS)),
}


def prepare(graph: Graph) -> Graph:
    """Fold, fuse and lower an imported graph for calibration, quantisation and planning.

    Recurrences are rolled into loops before the first stage or behind the folding: an iteration
    folds more beside constants, and matches the others before its own first state is folded. The
    graph with fewer parts is taken.

    Errors: E115 if an output turns out to be a constant; those of the checks of spectra and QDQ.
    """
    check(graph, "imported")
    computed, graph = graph.constants, prune(graph)
    for _, rolled in ROLLED:
        graph = _run(rolled, _with_constants(graph, computed))
    known = _with_constants(graph, computed)
    early = _run(ROWS_OF_LOOPS, _run(RECURRENCES, known))
    late = _lower(prune(graph))
    return late if early is known else min(late, _lower(prune(early)), key=_count_parts)


def _run(graph_pass: GraphPass, graph: Graph) -> Graph:
    """Return the graph behind a pass; the graph itself without what the pass needs."""
    present = {node.op for node in graph.nodes}
    is_useless = graph_pass.ops and present.isdisjoint(graph_pass.ops)
    if is_useless or len(graph.nodes) < graph_pass.fewest:
        return graph
    return attempt(graph_pass.run, graph) or graph


def _with_constants(graph: Graph, computed: Mapping[str, Constant]) -> Graph:
    """Return the graph with constants that import computed, too: states of loops may be among
    them."""
    return replace(graph, constants={**computed, **graph.constants})


def _count_parts(graph: Graph) -> int:
    """Count the nodes; twice those that only move data, of which each iteration may have some."""
    return len(graph.nodes) + sum(node.op in ("slice", "concat") for node in graph.nodes)


def _lower(graph: Graph) -> Graph:
    """Run the stages, then give tensors their names."""
    for name, rules in STAGES:
        before, graph = graph, apply(rules, graph)
        for further in AFTER_STAGE.get(name, ()):
            graph = _run(further, graph)
        if graph is not before:
            reject_constant_outputs(graph)
            check(graph, "imported")
    graph = _run(LOOP_ORDER, apply((merge_transposes, merge_reshapes), fold_qdq(graph)))
    graph = _rename_tensors(_run(PROJECTIONS, graph))
    check_samples(graph)
    if graph.formats:
        reject_unsupported_qdq(graph)
    check(graph, "prepared")
    return graph


def prepare_for_accelerator(graph: Graph) -> Graph:
    """Rewrite a prepared graph for chips with an accelerator: turn means over rotated rows into
    convolutions."""
    return _prepare_once_more(graph, rotations_as_windows)


def prepare_whole(graph: Graph) -> Graph:
    """Rewrite a prepared graph that runs on whole samples, not on frames of a stream: simplify
    recurrent layers with a single time step, and turn windows into channels."""
    rules = (fold_constants, *ONE_STEP, windows_as_channels, merge_reshapes, *FUSE)
    return _prepare_once_more(graph, *rules)


def _prepare_once_more(graph: Graph, *rules: RewritePattern) -> Graph:
    changed = apply(rules, graph)
    if changed is graph:
        return graph
    changed = _rename_tensors(changed)
    check(changed, "prepared")
    return changed


def _rename_tensors(graph: Graph) -> Graph:
    """Name each tensor after the call that it comes from, without the suffixes of rewrite patterns:
    "conv2d_3"."""
    names: dict[str, str] = {name: name for name in graph.inputs}
    used = {*graph.inputs, *graph.constants}
    free: dict[str, Iterator[str]] = {}  # stem -> names that were not tried yet
    for node in graph.nodes:
        stem = node.name.split(".")[0]
        numbered = (f"{stem}_{i}" for stem, i in zip(itertools.repeat(stem), itertools.count(1)))
        names_left = free.setdefault(stem, itertools.chain([stem], numbered))
        names[node.name] = next(name for name in names_left if name not in used)
        used.add(names[node.name])
    nodes = tuple(node.reading(names).but(outputs=(names[node.name],)) for node in graph.nodes)
    tensors = {new: replace(graph.tensors[old], name=new) for old, new in names.items()}
    outputs = tuple(names[name] for name in graph.outputs)
    return replace(graph, nodes=nodes, tensors=tensors, outputs=outputs)


def _name_projections(graph: Graph) -> Graph:
    """Append q, k or v to the module paths of nodes that compute only that operand of an
    attention."""
    roles = {
        projection.name: role
        for node in graph.nodes
        if node.op == "attention" and _module_path_in_model(node)
        for role, name in zip(ROLES, node.inputs, strict=False)
        for projection in _operand_producers(graph, node, name)
    }
    return _append_roles(graph, roles) if roles else graph


PROJECTIONS = GraphPass(_name_projections, ("attention",))
LOOP_ORDER = GraphPass(in_loop_order, IN_LOOPS)


def _append_roles(graph: Graph, roles: Mapping[str, str]) -> Graph:
    """Append roles (q, k or v) to the module paths of nodes, unless they already end in them.

    roles   name of a node -> its role
    """
    nodes = []
    for node in graph.nodes:
        role = roles.get(node.name, "")
        endings = (f".{role}", f".{role}_proj")
        paths = {o: o.path if o.path.endswith(endings) else f"{o.path}.{role}" for o in node.origin}
        origin = tuple(replace(o, path=paths[o]) for o in node.origin)
        nodes.append(node.but(origin=origin) if role else node)
    return replace(graph, nodes=tuple(nodes))


def _module_path_in_model(node: Node) -> str:
    return node.origin[0].path if node.origin else ""


def _operand_producers(graph: Graph, attention: Node, name: str) -> Iterator[Node]:
    """Yield the chain of nodes that computes an attention's operand, last first, while each node
    has only one reader and belongs to the attention's module."""
    reader = attention
    while (producer := graph.producer.get(name)) is not None and graph.only_user(name) is reader:
        path = _module_path_in_model(attention)
        if not all(f"{o.path}.".startswith(f"{path}.") for o in producer.origin):
            return
        yield producer
        reader, name = producer, producer.inputs[0]
