# SPDX-License-Identifier: Apache-2.0
"""Rules and parameters of networks of whole numbers: requantisations that a file gives go into the
operators whose sums they read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.rewrite import Rewrite, Rule, joined_origins, made_by, rewrites
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.stated_requant import ATTRIBUTE, StatedRequant, whole_params
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.requant_shift.whole import chain_params, requant_call, result_params

BY_CHANNEL = ("conv", "linear")
SUMS = (*BY_CHANNEL, "add", "matmul", "mul", "sub", "sum")


@rewrites("requant_shift")
def fuse_requant(graph: Graph, node: Node) -> Rewrite | None:
    """A requantisation of sums that nothing else reads is that of the operator that makes them."""
    producer, stated = made_by(graph, node.inputs[0], reader=node), StatedRequant.of(node.attrs)
    if producer is None or stated is None or producer.op not in SUMS:
        return None
    if "act" in producer.attrs or ATTRIBUTE in producer.attrs:
        return None
    last = len(graph.shape(node.name)) - 1
    if not _is_single(stated) and (producer.op not in BY_CHANNEL or node.attrs["axis"] != last):
        return None
    attrs = {**producer.attrs, ATTRIBUTE: node.attrs[ATTRIBUTE]}
    origin = joined_origins(producer, node)
    return GraphBuilder(graph, node).last(producer.op, *producer.inputs, **attrs, origin=origin)


@rewrites("requant_shift")
def requant_as_table(graph: Graph, node: Node) -> Rewrite | None:
    """One multiplier for results of 8 bits, or behind a function of them, is a table of 256
    entries."""
    stated, x = StatedRequant.of(node.attrs), node.inputs[0]
    if stated is None or not _is_single(stated):
        return None
    table = made_by(graph, x, "table", reader=node)
    if table is not None and chain_params(table.attrs["chain"]) is None:
        chain, origin = (
            (*table.attrs["chain"], *requant_call(node.attrs)),
            joined_origins(table, node),
        )
        return GraphBuilder(graph, node).last("table", table.inputs[0], chain=chain, origin=origin)
    before = _params_of(graph, x)
    if before is None:
        return None
    if before == stated.params and _keeps(stated, before):
        return GraphBuilder(graph, node).same_as(x)
    return GraphBuilder(graph, node).last("table", x, chain=requant_call(node.attrs))


REQUANTS: tuple[Rule, ...] = (fuse_requant, requant_as_table)


def _is_single(stated: StatedRequant) -> bool:
    return len(stated.mult) == len(stated.add) == 1


def _params_of(graph: Graph, name: str) -> QuantParams | None:
    """Parameters of 8 bits that an operator requantises a tensor to, moved or not; parts that are
    joined share them."""
    node = graph.producer.get(name)
    if node is None:
        return None
    if not OPS[node.op].same_scale:
        return result_params(node)
    found = (_params_of(graph, x) for x in node.inputs)
    return next((params for params in found if params is not None), None)


def _keeps(stated: StatedRequant, params: QuantParams) -> bool:
    """Whether all 256 numbers stay what they are."""
    x = np.arange(params.low, params.high + 1) - params.zero_point
    return bool((stated.apply(x) == x).all())


def exact_params(node: Node, of: Callable[[str], tuple[int, int] | None]) -> QuantParams | None:
    """Parameters of sums and differences of whole numbers, which 16 bits always hold; None of
    other results.

    of   limits of a tensor's numbers
    """
    found = sum_limits(node, of)
    return None if found is None else whole_params(min(found[0], INT8.low - 1), found[1])


def sum_limits(node: Node, of: Callable[[str], tuple[int, int] | None]) -> tuple[int, int] | None:
    """Limits of a + b and a - b where 16 bits hold them; None of other results."""
    if node.op not in ("add", "sub") or ATTRIBUTE in node.attrs or "act" in node.attrs:
        return None
    first, second = (of(x) for x in node.inputs)
    if first is None or second is None:
        return None
    low, high = second if node.op == "add" else (-second[1], -second[0])
    low, high = first[0] + low, first[1] + high
    return (low, high) if INT16.low <= low and high <= INT16.high else None
