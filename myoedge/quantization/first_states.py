# SPDX-License-Identifier: Apache-2.0
"""Initial states of recurrent layers beyond the int8 range of h, whose layers become int16."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from myoedge.graph.ir import Graph, Node
from myoedge.operators.base import OPS
from myoedge.operators.queries import own_params
from myoedge.quantization.formats import joined_groups
from myoedge.quantization.masked_ranges import Range


def states_beyond_int8(
    graph: Graph, ranges: Mapping[str, Range]
) -> Iterator[tuple[Node, Range, float]]:
    """Yield (recurrent layer, range of its initial state, largest magnitude of int8) for initial
    states that int8 would clip.

    ranges   range of every tensor
    """
    for node in graph.nodes:
        own = own_params(node)
        if own is None:
            continue
        reach = -own.low * own.scale
        for name in (node.inputs[i] for i in OPS[node.op].operands.first_states):
            given = graph.find_array(name)
            low, high = ranges[name] if given is None else (float(given.min()), float(given.max()))
            if max(-low, high) > reach + own.scale:
                yield node, (low, high), reach


def int16_states(graph: Graph, names: Iterable[str], ranges: Mapping[str, Range]) -> frozenset[str]:
    """Return the results of recurrent layers whose initial state int8 would clip, and the tensors
    that share their parameters, if all their operators support int16.

    Later states are a mixture with the initial one, so that clipping it is no rounding that other
    samples or weights make up for.
    names    names of all quantised tensors
    ranges   range of every tensor
    """
    layers = {node.inputs[0] for node, *_ in states_beyond_int8(graph, ranges)}
    wanted = {x.name for layer in layers for x in graph.users[layer]}  # lstm_cell runs once more
    return joined_groups(graph, names, wanted) if wanted else frozenset()
