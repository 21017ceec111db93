# SPDX-License-Identifier: Apache-2.0
"""Infinities in constants: masks are left out of scores by now, a clamp may read one, else none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from myoedge.frontend.refusals import infinite_mask, not_finite
from myoedge.graph.ir import Node
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder

LOWEST = -1e8  # in place of minus infinity, in front of a clamp


def refuse_not_finite(name: str, arrays: Iterable[Array | None]) -> None:
    """Errors: E112 where an array of floats has a NaN or an infinity."""
    for value in arrays:
        if value is not None and value.dtype.kind == "f" and not np.isfinite(value).all():
            raise not_finite(name, int(np.count_nonzero(~np.isfinite(value))), value.size)


def refuse_no_mask(name: str, arrays: Iterable[Array | None]) -> None:
    """Refuses so, but for infinities of one sign: `clamped_only` judges those."""
    for value in arrays:
        if value is not None and not _infinity(value):
            refuse_not_finite(name, [value])


def clamped_only(d: GraphBuilder, outputs: Sequence[str]) -> None:
    """Infinities that are clamped become large numbers.

    Errors: E112 where anything else reads them.
    """
    d.drop_unread(outputs)
    holding = {x: (x, sign) for x, c in d.constants.items() if (sign := _infinity(c))}
    for node in d.nodes:
        held = {x: holding[x] for x in node.inputs if x in holding}
        if not held:
            continue
        source = next(iter(held.values()))[0]
        signs = {_passed_on(d, node, x, sign) for x, (_, sign) in held.items()}
        if len(signs) != 1 or None in signs:
            raise _read(d, source, f"{node.where} reads")
        left = signs.pop()
        if left:
            holding[node.name] = source, left
    reached = next((x for x in outputs if x in holding), None)
    if reached is not None:
        raise _read(d, holding[reached][0], "are an output")
    for name in holding.keys() & d.constants.keys():
        d.constants[name] = np.clip(d.constants[name], np.float32(LOWEST), np.float32(-LOWEST))


def _infinity(value: Array) -> int:
    """The sign of infinity where that is all in it that is not finite; else 0."""
    if value.dtype.kind != "f" or np.isfinite(value).all():
        return 0
    tests = {-1: np.isneginf(value), 1: np.isposinf(value)}
    return next((s for s, at in tests.items() if (at | np.isfinite(value)).all()), 0)


def _passed_on(d: GraphBuilder, node: Node, held: str, sign: int) -> int | None:
    """The sign of infinity in the result where it is in an operand; 0 where all is finite there,
    None where it may not be read."""
    if node.op == "table" and [step[0] for step in node.attrs["chain"]] == ["clamp"]:
        return 0 if abs(node.attrs["chain"][0][1 if sign < 0 else 2]) < -LOWEST else sign
    if not _keeps_sums(d, node):
        return None
    if node.op == "sub":
        return sign if held == node.inputs[0] else -sign
    factors: Array = np.ones(())
    if node.op == "mul":
        factors = d.constants[node.inputs[1]] if held == node.inputs[0] else np.zeros(())
    if node.op == "table":
        factors = np.asarray(node.attrs["chain"][0][1])
    signs = {int(s) for s in np.unique(np.sign(factors)) if s}
    return sign * signs.pop() if len(signs) == 1 else None


def _keeps_sums(d: GraphBuilder, node: Node) -> bool:
    """Whether what was added to a tensor is still an addend of what a node makes of it."""
    if node.op == "mul":
        return node.inputs[1] in d.constants
    if node.op == "table":
        return [step[0] for step in node.attrs["chain"]] == ["affine"]
    return node.op in ("add", "sub") or OPS[node.op].is_data_movement


def _read(d: GraphBuilder, name: str, reader: str) -> Exception:
    value = d.constants[name]
    count = int(np.count_nonzero(~np.isfinite(value)))
    which = "minus" if _infinity(value) < 0 else "plus"
    return infinite_mask(name.removesuffix(".const"), count, value.size, which, reader)
