# SPDX-License-Identifier: Apache-2.0
"""Minus infinity in a constant: what hides keys in front of a softmax; anything else is refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from myoedge.frontend.draft import Draft
from myoedge.frontend.masks import keeps_sums
from myoedge.frontend.refusals import infinite_mask, not_finite
from myoedge.ir import Array, Node
from myoedge.ops.attention import LOWEST

HIDES_IN = ("softmax", "attention")


def refuse_not_finite(name: str, arrays: Iterable[Array | None]) -> None:
    """Errors: E112 where an array of floats has a NaN or an infinity."""
    for value in arrays:
        if value is not None and value.dtype.kind == "f" and not np.isfinite(value).all():
            raise not_finite(name, _unlike(value), value.size)


def refuse_no_mask(name: str, arrays: Iterable[Array | None]) -> None:
    """The same but for minus infinities, which `hiding_only` judges by who reads them."""
    for value in arrays:
        if value is not None and not _is_mask(value):
            refuse_not_finite(name, [value])


def hiding_only(d: Draft, outputs: Sequence[str]) -> None:
    """Minus infinities that a softmax alone sees become large numbers.

    Errors: E112 where anything else reads them.
    """
    holding = {x: x for x, value in d.constants.items() if _is_mask(value)}  # tensor: the constant
    for node in d.nodes:
        held = next((x for x in node.inputs if x in holding), None)
        if held is None or node.op in HIDES_IN:
            continue
        source = holding[held]
        if not _passes_on(d, node, held):
            raise _read(d, source, f"{node.where} reads")
        holding[node.name] = source
    reached = next((x for x in outputs if x in holding), None)
    if reached is not None:
        raise _read(d, holding[reached], "are an output")
    for name in holding.keys() & d.constants.keys():
        d.constants[name] = np.maximum(d.constants[name], np.float32(LOWEST))


def _is_mask(value: Array) -> bool:
    """Whether minus infinity is all in it that is not finite."""
    if value.dtype.kind != "f":
        return False
    lowest = np.isneginf(value)
    return bool(lowest.any() and (lowest | np.isfinite(value)).all())


def _passes_on(d: Draft, node: Node, held: str) -> bool:
    """Whether minus infinity of an input is minus infinity of the result, and nothing else is."""
    if node.op == "table" and keeps_sums(d, node):
        return bool(node.attrs["chain"][0][1] > 0)
    return keeps_sums(d, node) and (node.op != "sub" or held == node.inputs[0])


def _unlike(value: Array) -> int:
    return int(np.count_nonzero(~np.isfinite(value)))


def _read(d: Draft, name: str, reader: str) -> Exception:
    value = d.constants[name]
    return infinite_mask(name.removesuffix(".const"), _unlike(value), value.size, reader)
