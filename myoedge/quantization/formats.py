# SPDX-License-Identifier: Apache-2.0
"""Formats of tensors: int8 or int16, and groups of tensors that must share scale and zero point.

Residual streams are always int16, other tensors if the precision search chooses so.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace
from itertools import chain

from myoedge.graph.ir import PRE, Graph, Node
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import has_table
from myoedge.operators.kernel_formats import layer_shapes, may_read, may_write, operand_places
from myoedge.operators.queries import own_params


def with_tables_apart(graph: Graph, names: Container[str]) -> Graph:
    """Split the fused activation tables of the nodes `names` into separate nodes, because kernels
    with a fused table read and write only int8.

    The value before the table becomes a tensor, `name.pre`.
    """
    apart = [node for node in graph.nodes if has_table(node) and node.name in names]
    if not apart:
        return graph
    tensors = {**graph.tensors}
    for owner in (graph.tensors[node.name] for node in apart):
        before = owner.name + PRE
        tensors[before] = replace(owner, name=before, q=owner.pre_q, pre_q=None)
        tensors[owner.name] = replace(owner, pre_q=None)
    split = {node.name: _standalone_operator(node) for node in apart}
    nodes = tuple(part for node in graph.nodes for part in split.get(node.name, (node,)))
    return replace(graph, nodes=nodes, tensors=tensors)


def tables_beside_int16(graph: Graph, int16: Container[str]) -> frozenset[str]:
    """Return the nodes whose fused activation table has no kernel if tensors `int16` are int16."""
    return frozenset(
        node.name
        for node in graph.nodes
        if has_table(node)
        and (
            node.name in int16
            or node.name + PRE in int16
            or (any(x in int16 for x in node.inputs) and _refuses_int16(graph, node))
        )
    )


def _refuses_int16(graph: Graph, node: Node) -> bool:
    """Return whether no kernel of an operator reads int16 operands."""
    layer = layer_shapes(graph, node)
    return not any(may_read(node, i, INT16, *layer) for i in operand_places(node))


def _standalone_operator(node: Node) -> tuple[Node, Node]:
    pre, attrs = node.name + PRE, {k: v for k, v in node.attrs.items() if k != "act"}
    table = Node("table", (pre,), node.outputs, {"chain": node.attrs["act"]}, node.origin)
    return node.but(outputs=(pre,), attrs=attrs), table


def tables_apart(graph: Graph) -> frozenset[str]:
    """Return the nodes whose activation table `with_tables_apart` has split off."""
    tables = (node for node in graph.nodes if node.op == "table")
    return frozenset(node.name for node in tables if node.inputs == (node.name + PRE,))


def fused_tables(graph: Graph) -> frozenset[str]:
    """Return the nodes with a fused activation that needs a lookup table."""
    return frozenset(node.name for node in graph.nodes if has_table(node))


def residual_streams(graph: Graph) -> frozenset[str]:
    """Return the residual streams: sums that only norms (at least one) and other sums read, except
    network outputs; they become int16.

    Their rounding noise would accumulate from block to block. int16 costs little in sums, which are
    dominated by loads and stores; norms take 50 % more cycles, and L2 doubles: 1.2 % of TinyMyo's
    cycles.
    """
    sums = (node for node in graph.nodes if node.op == "add")
    return frozenset(node.name for node in sums if _is_residual_stream(graph, node))


def _is_residual_stream(graph: Graph, node: Node) -> bool:
    readers = graph.users.get(node.name, ())
    return (
        _can_be_int16(graph, node.name)
        and node.name not in graph.outputs
        and any(OPS[reader.op].operands.are_normalized for reader in readers)
        and all(x.op == "add" or OPS[x.op].operands.are_normalized for x in readers)
        and all(_has_no_broadcast(graph, x) for x in (node, *readers))
    )


def _can_be_int16(graph: Graph, name: str) -> bool:
    """Return whether a tensor's producer can write int16 and all its readers can read it; no reader
    may use it as a mask."""
    node, readers = graph.producer.get(name), graph.users.get(name, ())
    if any(x.attrs.get("masked") and x.inputs[-1] == name for x in readers):
        return False
    if node is None:
        is_written = graph.is_const(name) or name in graph.inputs
    else:
        is_written = may_write(node, INT16, *layer_shapes(graph, node))
    return is_written and all(
        may_read(reader, i, INT16, *layer_shapes(graph, reader))
        for reader in readers
        for i, read in enumerate(reader.inputs)
        if read == name
    )


def _has_no_broadcast(graph: Graph, node: Node) -> bool:
    """Return whether all operands have the result's shape."""
    weights = OPS[node.op].weights.at
    read = (graph.shape(x) for i, x in enumerate(node.inputs) if i not in weights)
    return all(shape == graph.shape(node.name) for shape in read)


def int16_groups(graph: Graph, names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the int8 tensors that may become int16, grouped by shared quantisation parameters;
    tensors with parameters in the model file are left out.

    names   names of all quantised tensors
    """
    int16, carried = residual_streams(graph), graph.all_given.keys()
    groups = (
        tuple(group)
        for group in shared_scale_groups(graph, names)
        if not int16.issuperset(group) and carried.isdisjoint(group)
    )
    filled = fills(graph)
    return [group for group in groups if all(x in filled or _can_be_int16(graph, x) for x in group)]


def joined_groups(graph: Graph, names: Iterable[str], wanted: set[str]) -> frozenset[str]:
    """Return the tensors that must be int16 together with the requested ones, if their operators
    support int16.

    names, wanted   names of all quantised tensors, and of those that are to be int16
    """
    apart = with_tables_apart(graph, fused_tables(graph))
    groups = (group for group in int16_groups(apart, names) if not wanted.isdisjoint(group))
    return frozenset(chain.from_iterable(groups))


def rounded_apart(graph: Graph, names: Iterable[str]) -> frozenset[str]:
    """Return tensors that the model file rounds to int8 for only one of their readers, and tensors
    that share their parameters, except outputs.

    Such a tensor becomes int16 if its producer and readers support it; the one reader gets a copy
    in int8.
    names   names of all quantised tensors
    """
    copied = {
        node.inputs[0]
        for node in graph.nodes
        if node.op == "table" and graph.is_fake_quantized(node.name)
    }
    copied -= graph.all_given.keys()
    groups = int16_groups(graph, names) if copied else []
    apart = (g for g in groups if not copied.isdisjoint(g) and not {*graph.outputs} & {*g})
    return frozenset(name for group in apart for name in group)


def fills(graph: Graph) -> dict[str, float]:
    """Return the fill values of constant padding, by the name of their parameters ("NAME.fill")."""
    return {f"{n.name}.fill": n.attrs["value"] for n in graph.nodes if n.op == "pad"}


def operand_names(node: Node) -> tuple[str, ...]:
    """Return the names of a node's operands with quantisation parameters: inputs, not weights."""
    return tuple(node.inputs[i] for i in operand_places(node))


def all_stated(graph: Graph) -> bool:
    """Return whether the model file or the operators fix the parameters of every float tensor."""
    if not graph.has_fake_quantized:
        return False
    tensors = graph.tensors.keys() - integer_tensors(graph)
    before = {node.name + PRE for node in graph.nodes if has_table(node)}
    fixed = {node.name for node in graph.nodes if own_params(node) is not None}
    stated = fixed | graph.all_given.keys()
    groups = shared_scale_groups(graph, sorted(tensors | before | fills(graph).keys()))
    return all(not stated.isdisjoint(group) for group in groups)


def integer_tensors(graph: Graph) -> set[str]:
    """Return the tensors that are already integers in the float graph: argmax indices, views of
    them, and gate sums."""
    return {name for name, tensor in graph.tensors.items() if tensor.dtype != "float32"}


def shared_scale_groups(
    graph: Graph, names: Iterable[str], apart: Container[str] = ()
) -> list[list[str]]:
    """Return the groups of tensors that must share scale and zero point, in a fixed order.

    names   names of all quantised tensors; `NAME.fill` is a pad's fill value
    apart   nodes whose result does not share the parameters of its operands
    """
    integers = integer_tensors(graph)
    parent = {name: name for name in names if name not in integers}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for node in graph.nodes:
        if not OPS[node.op].same_scale or node.name not in parent or node.name in apart:
            continue
        extra = [node.name + ".fill"] * (node.op == "pad")
        for name in (*filter(parent.__contains__, operand_names(node)), *extra):
            parent[root(name)] = root(node.name)
    groups: dict[str, list[str]] = {}
    for name in parent:
        groups.setdefault(root(name), []).append(name)
    return list(groups.values())
