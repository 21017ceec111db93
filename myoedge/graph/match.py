# SPDX-License-Identifier: Apache-2.0
"""Functions that match rewrite patterns: each returns the matched nodes, or raises NoMatch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array

T = TypeVar("T")


class NoMatch(Exception):
    """Raised if a rewrite pattern does not match."""


def require(*conditions: object) -> None:
    """Raise NoMatch unless all conditions hold."""
    if not all(conditions):
        raise NoMatch


def found(value: T | None) -> T:
    """Return a value. Errors: NoMatch if it is None."""
    if value is None:
        raise NoMatch
    return value


def attempt(match: Callable[..., T], *arguments: Any) -> T | None:
    """Call a function that matches a part of a graph; return its result, or None if it raises
    NoMatch."""
    try:
        return match(*arguments)
    except NoMatch:
        return None


def first_match(match: Callable[..., T], candidates: Iterable[tuple[Any, ...]]) -> T:
    """Return the result of a matching function for the first arguments for which it does not raise
    NoMatch. Errors: NoMatch if there are none.

    candidates   tuples of arguments
    """
    for arguments in candidates:
        try:
            return match(*arguments)
        except NoMatch:
            continue
    raise NoMatch


def made_by(
    graph: Graph, name: str, *ops: str, reader: Node | None = None, plain: bool = False
) -> Node | None:
    """Return the node that writes a tensor, if its operator is one of `ops` (any if none is given);
    otherwise None.

    reader   node that must be the tensor's only reader, if given; the tensor must not be an output
    plain    whether nodes with a fused activation are excluded
    """
    node = graph.producer.get(name)
    if node is None or (ops and node.op not in ops) or (plain and "act" in node.attrs):
        return None
    return node if reader is None or graph.only_user(name) is reader else None


def writer(
    graph: Graph, name: str, *ops: str, reader: Node | None = None, plain: bool = False
) -> Node:
    """Return the node that writes a tensor, as `made_by` does. Errors: NoMatch."""
    return found(made_by(graph, name, *ops, reader=reader, plain=plain))


def behind(graph: Graph, name: str, *ops: str) -> str:
    """Follow a chain of these operators upstream from `name`; return the tensor at its start."""
    while (node := made_by(graph, name, *ops)) is not None:
        name = node.inputs[0]
    return name


def both_orders(node: Node) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the two operands of a sum or product in both orders, ((a, b), (b, a))."""
    one, other = node.inputs
    return (one, other), (other, one)


def floats(graph: Graph, names: Iterable[str]) -> list[Array]:
    """Return the values of constants as float64."""
    return [graph.array(name).astype(np.float64) for name in names]


def ancestors(graph: Graph, names: Iterable[str], without: str = "") -> set[str]:
    """Return these tensors and all tensors that they depend on, not through tensor `without`."""
    found, pending = set[str](), [*names]
    while pending:
        name = pending.pop()
        if name not in found and name != without:
            found.add(name)
            made = graph.producer.get(name)
            pending.extend(() if made is None else made.inputs)
    return found
