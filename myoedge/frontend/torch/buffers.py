# SPDX-License-Identifier: Apache-2.0
"""Buffers that forward() writes: tables filled by the first call become constants, buffers without
effect on outputs are ignored, others are refused as state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, prune
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder

STATE_AS_INPUT = (
    "return the new state as an output and take the old one as an input: forward(x, state) -> "
    "(y, state); on streams [stream] states in myoedge.toml carries it over"
)
LEAVE_WEIGHTS = "do not change weights in forward(): apply max-norm after optimizer.step()"
REPLACES = "aten._has_compatible_shallow_copy_type.default"  # trace of `w.data = ...`
WITHOUT_CACHE = "export without the cache, over the whole window: use_cache=False in transformers"
Buffers = Mapping[str, Array]  # by name in the module


def written_buffers(program: Any, builder: GraphBuilder, values: Mapping[str, Any]) -> Buffers:
    """Return the buffers that a call of the network writes and on which an output depends, with
    their values after one call.

    values   node name -> imported value
    The call counter of a quantisation-aware batch norm (prepare_qat_pt2e) is ignored. Errors: E114
    a buffer that depends on an input.
    """
    written = program.graph_signature.buffers_to_mutate.items()
    matter = _that_matter(program) if written else ()
    changed = {name: target for name, target in written if target in matter}
    found = {target: builder.find_array(str(values[name])) for name, target in changed.items()}
    computed = [target for target, value in found.items() if value is None]
    if computed:
        raise _state(computed)
    return {target: value for target, value in found.items() if value is not None}


def _that_matter(program: Any) -> set[str]:
    """Return the names of written buffers that affect an output of this call or of a later one."""
    signature = program.graph_signature
    nodes = {node.name: node for node in program.graph.nodes}
    buffers = signature.inputs_to_buffers
    written = {target: nodes[name] for name, target in signature.buffers_to_mutate.items()}
    pending = [nodes[name] for name in signature.user_outputs if name in nodes]
    reached = set[Any]()
    while pending:
        node = pending.pop()
        if node in reached:
            continue
        reached.add(node)
        pending += node.all_input_nodes
        if (target := buffers.get(node.name)) in written:
            pending.append(written[target])
    return {buffers[node.name] for node in reached if node.name in buffers}


def without_tables(import_with: Callable[[Buffers], tuple[Graph, Buffers]]) -> Graph:
    """Import a network that fills tables in its first call, in the form of its later calls.

    import_with   buffers -> (graph of a call that starts with them, buffers after the call)
    Errors: E114 a network that keeps state.
    """
    graph, written = import_with({})
    if written:
        again, left = import_with(written)
        changed = [name for name in written if not np.array_equal(written[name], left[name])]
        if changed or not _same(graph, again):
            raise _state(changed or [*written])
    return graph


def refuse_replaced_weights(program: Any) -> None:
    """Raise E114 if forward() sets the .data of a weight, which torch 2.9 omits from the program
    and later versions refuse to export."""
    for node in program.graph.nodes:
        if str(node.target) == REPLACES:
            title = f"forward() sets the data of {node.args[0]}, which the archive leaves out"
            raise MyoedgeError("E114", title, {}, [LEAVE_WEIGHTS])


def _same(a: Graph, b: Graph) -> bool:
    a, b = prune(a), prune(b)
    same = a.nodes == b.nodes and a.constants.keys() == b.constants.keys()
    return same and all(np.array_equal(x, b.array(name)) for name, x in a.arrays.items())


def _state(names: list[str]) -> MyoedgeError:
    return MyoedgeError(
        "E114",
        f"the network changes its own state: {', '.join(names)}",
        {
            "needs": "outputs that depend only on the inputs",
            "has": "state that is kept for the next call: a cache of keys and values, a buffer "
            "of the last samples, running statistics",
        },
        [STATE_AS_INPUT, WITHOUT_CACHE],
    )
