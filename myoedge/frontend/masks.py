# SPDX-License-Identifier: Apache-2.0
"""What masks leave of the keys, once all of those that are added to scores have come together."""

from __future__ import annotations

import numpy as np

from myoedge.graph.ir import Node
from myoedge.numerics.arrays import Array
from myoedge.operators.attention.graph_form import HIDDEN
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder, Unsupported

NO_KEY = "a query that may look at no key"
NOTHING: Array = np.zeros((), np.float32)


def refuse_no_key(added: Array, axis: int = -1) -> None:
    """Unsupported where all keys of a query, which lie along an axis, are hidden: torch has zeros,
    NaN or a mean of all values for it, each in another of its ways through attention."""
    if bool((np.atleast_1d(added) < HIDDEN).all(axis=axis).any()):
        raise Unsupported(NO_KEY)


def refuse_masked_rows(d: GraphBuilder, scores: str, axis: int) -> None:
    """The same of scores on their way into a softmax: masks may be added to them in several steps,
    each of which leaves some keys."""
    known = dict(d.constants)  # and the sum of the constants that were added to what is computed
    for node in d.nodes:
        parts = [known.get(name, NOTHING) for name in node.inputs]
        if keeps_sums(d, node) and any(part.ndim for part in parts):
            known[node.name] = _after(d, node, parts)
    added = known.get(scores, NOTHING)
    if added.ndim:
        refuse_no_key(np.broadcast_to(added, d.shape(scores)), axis)


def keeps_sums(d: GraphBuilder, node: Node) -> bool:
    """Whether what was added to a tensor is still an addend of what a step makes of it."""
    if node.op == "mul":
        return node.inputs[1] in d.constants
    if node.op == "table":
        return [step[0] for step in node.attrs["chain"]] == ["affine"]
    return node.op in ("add", "sub") or OPS[node.op].is_data_movement


def _after(d: GraphBuilder, node: Node, parts: list[Array]) -> Array:
    shapes = map(d.shape, node.inputs)
    whole, *others = (np.broadcast_to(x, shape) for x, shape in zip(parts, shapes, strict=True))
    if node.op == "table":
        ((_, factor, offset),) = node.attrs["chain"]
        return np.asarray(factor * whole + offset)
    if node.op in ("add", "sub"):
        return np.asarray(parts[0] + parts[1] if node.op == "add" else parts[0] - parts[1])
    if node.op == "mul":
        return np.where(parts[1] == 0.0, 0.0, parts[0]) * parts[1]
    return OPS[node.op].real(node.attrs, whole, *others)
