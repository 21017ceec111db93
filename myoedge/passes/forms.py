# SPDX-License-Identifier: Apache-2.0
"""Subgraphs that several patterns match: squares, constant factors, zeros, slices of one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import both_orders, made_by, require, writer
from myoedge.graph.rewrite import Rewrite
from myoedge.numerics.pointwise import Chain
from myoedge.operators.graph_builder import GraphBuilder

MOVES = ("reshape", "transpose", "slice", "expand")
SQUARES: tuple[Chain, ...] = ((("square",),), (("pow", 2.0),))
ROOTS = (("sqrt",), ("pow", 0.5))


def square(graph: Graph, name: str, reader: Node | None = None) -> Node:
    """Match x * x, written as a product or a square function; return its node. Errors: NoMatch.

    reader   if given, it must be the only reader
    """
    node = writer(graph, name, "table", "mul", reader=reader, plain=True)
    is_product = node.op == "mul" and node.inputs[0] == node.inputs[1]
    require(is_product or node.attrs.get("chain") in SQUARES)
    return node


def functions_of(node: Node) -> Chain:
    """Return the pointwise functions of one tensor that a table, or a product x * x, computes.
    Errors: NoMatch."""
    require("act" not in node.attrs, node.op == "table" or len({*node.inputs}) == 1)
    return tuple(node.attrs["chain"]) if node.op == "table" else (("square",),)


def factor_of(chain: Sequence[tuple[Any, ...]]) -> float:
    """Return the constant by which a chain of pointwise functions multiplies. Errors: NoMatch if a
    function does more than scale."""
    require(all(name == "affine" and numbers[1] == 0.0 for name, *numbers in chain))
    return float(math.prod(step[1] for step in chain))


def before_functions(
    patch: GraphBuilder, functions: Sequence[object], op: str, *inputs: str, **attrs: Any
) -> Rewrite:
    """Replace a node by an operator and, if `functions` is not empty, pointwise functions after
    it."""
    if not functions:
        return patch.last(op, *inputs, **attrs)
    return patch.last("table", patch.add(op, *inputs, **attrs), chain=tuple(functions))


def is_zeros(graph: Graph, name: str) -> bool:
    """Return whether a tensor is a constant of zeros."""
    value = graph.find_array(name)
    return value is not None and not value.any()


def times_zeros(graph: Graph, name: str) -> str:
    """Return the other factor of a product with the constant 0 or a constant of zeros; "" if the
    tensor is no such product.

    Broadcast zeros do not match: a trained factor that is initialised with zeros looks the same.
    """
    node = made_by(graph, name, "mul", "table", plain=True)
    if node is None:
        return ""
    if node.op == "table":
        return node.inputs[0] if node.attrs["chain"] == (("affine", 0.0, 0.0),) else ""
    shape = graph.shape(name)
    found = (x for x, y in both_orders(node) if is_zeros(graph, y) and graph.shape(y) == shape)
    return next(found, "")


def all_of(shape: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """Return the cuts (start, stop, step) of a slice that keeps a whole tensor of this shape."""
    return tuple((0, n, 1) for n in shape)


def cut_axis(graph: Graph, cut: Node) -> tuple[int, range]:
    """Return (axis, kept indices) of a slice that cuts only one axis. Errors: NoMatch if it cuts
    none or several axes."""
    spans = [range(*part) for part in cut.attrs["cuts"]]
    shape = graph.shape(cut.inputs[0])
    axes = [axis for axis, n in enumerate(shape) if spans[axis] != range(n)]
    require(len(axes) == 1)
    return axes[0], spans[axes[0]]
