# SPDX-License-Identifier: Apache-2.0
"""Rules that bring what hides keys together, right in front of the softmax that sees them."""

from __future__ import annotations

import functools

import numpy as np

from myoedge.ir import Array, Graph, Node
from myoedge.ops.attention import LOWEST, UNSEEN
from myoedge.passes.patch import Patch, feeds_only, made_by
from myoedge.rewrite import Rewrite, Rule

Terms = tuple[tuple[str, float], ...]  # (tensor, factor)


def join_masks(graph: Graph, node: Node) -> Rewrite | None:
    """softmax(((x * kept) + mask + bias) * c) is softmax(x * c + one constant)."""
    if node.op != "softmax":
        return None
    terms, known = _sum(graph, node.inputs[0], node, 1.0)
    known = np.maximum(known, LOWEST)
    hidden = known <= UNSEEN
    if not terms or not hidden.any():
        return None
    whole = tuple((_whole(graph, name, hidden), factor) for name, factor in terms)
    if whole == terms and _is_joined(graph, node):
        return None
    patch = Patch(graph, node)
    parts = (_times(patch, name, factor) for name, factor in whole)
    total = functools.reduce(functools.partial(patch.add, "add"), parts)
    masked = patch.add("add", total, patch.constant(known))
    return patch.last("softmax", masked, **node.attrs)


def _sum(graph: Graph, name: str, reader: Node, factor: float) -> tuple[Terms, Array]:
    """(what is computed, the sum of what is constant) of what one reader alone sees."""
    if graph.is_const(name):
        return (), np.asarray(factor * graph.constants[name].astype(np.float64))
    node = graph.producer.get(name)
    if node is not None and feeds_only(graph, name, reader) and "act" not in node.attrs:
        signs = {"add": 1.0, "sub": -1.0}
        if node.op in signs and len({*node.inputs}) == 2:
            left = _sum(graph, node.inputs[0], node, factor)
            right = _sum(graph, node.inputs[1], node, factor * signs[node.op])
            return left[0] + right[0], left[1] + right[1]
        if node.op == "table" and [step[0] for step in node.attrs["chain"]] == ["affine"]:
            ((_, scale, offset),) = node.attrs["chain"]
            terms, known = _sum(graph, node.inputs[0], node, factor * scale)
            return terms, known + factor * offset
    return ((name, factor),), np.zeros(())


def _whole(graph: Graph, name: str, hidden: Array) -> str:
    """x in place of x * kept, where all that is not kept is hidden."""
    product = made_by(graph, name, "mul")
    kept = None if product is None else graph.constants.get(product.inputs[1])
    if product is None or kept is None or not np.isin(kept, (0.0, 1.0)).all():
        return name
    return product.inputs[0] if (hidden | (kept == 1.0)).all() else name


def _is_joined(graph: Graph, node: Node) -> bool:
    total = made_by(graph, node.inputs[0], "add")
    if total is None or not graph.is_const(total.inputs[1]):
        return False
    return not _sum(graph, total.inputs[0], total, 1.0)[1].any()


def _times(patch: Patch, name: str, factor: float) -> str:
    return name if factor == 1.0 else patch.add("table", name, chain=(("affine", factor, 0.0),))


MASKS: tuple[Rule, ...] = (join_masks,)
