# SPDX-License-Identifier: Apache-2.0
"""Infinite constants: supported only if clamps read them; masks were recognised before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Node
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.library.import_moves import FINITE_PADDING
from myoedge.operators.library.masks import LOST, POINTWISE, addends, full, unmasked


def refuse_not_finite(name: str, arrays: Iterable[Array | None]) -> None:
    """Raise E112 if a float array contains NaN or infinity."""
    for value in arrays:
        if value is not None and value.dtype.kind == "f" and not np.isfinite(value).all():
            count = int(np.count_nonzero(~np.isfinite(value)))
            raise MyoedgeError(
                "E112",
                f"{name} holds {count} values that are NaN or infinite",
                {"needs": "finite weights", "has": f"{count} of {value.size} not finite"},
                [
                    "look at the training run: the network has diverged, or the checkpoint is "
                    "damaged",
                    "a mask of minus infinities is to be a buffer (register_buffer)",
                ],
            )


def refuse_no_mask(name: str, arrays: Iterable[Array | None]) -> None:
    """Raise E112 for constants with NaN or with infinities of both signs, which cannot be attention
    masks.

    `replace_clamped_infinities` checks all other constants.
    """
    for value in arrays:
        if value is not None and not _sign_of_infinities(value):
            refuse_not_finite(name, [value])


def replace_clamped_infinities(d: GraphBuilder, outputs: Sequence[str]) -> None:
    """Replace infinite constants that only clamps read by large finite numbers.

    outputs   outputs of the network
    Errors: E112 if another operator reads an infinity.
    """
    d.drop_unread(outputs)
    _refuse_infinite_pads(d, outputs)
    if not any(map(_sign_of_infinities, d.arrays.values())):
        return
    _make_clamped_finite(d)
    d.drop_unread(outputs)
    signs = {x: _sign_of_infinities(c) for x, c in d.arrays.items()}
    read = {x: node for node in d.nodes for x in node.inputs if signs.get(x)}
    if read:
        name = max(read, key=lambda x: signs[x])
        raise _infinite_constant_error(d, name, _describe_infinity_reader(d, read[name], outputs))


def _refuse_infinite_pads(d: GraphBuilder, outputs: Sequence[str]) -> None:
    """Raise E112 for a padding with an infinity that no maximum, minimum or softmax reads."""
    for node in d.nodes:
        if node.op == "pad" and math.isinf(node.attrs["value"]):
            sign = "minus" if node.attrs["value"] < 0 else "plus"
            reader = _describe_infinity_reader(d, node, outputs).removesuffix(" reads")
            facts = {
                "needs": "a maximum, a minimum or a softmax that reads it",
                "has": "it is an output" if reader == "are an output" else reader,
            }
            title = f"{node.where} pads with {sign} infinity"
            raise MyoedgeError("E112", title, facts, [FINITE_PADDING])


def _make_clamped_finite(d: GraphBuilder) -> None:
    """Replace infinities in sums that are clamped afterwards by finite numbers beyond the clamp."""
    nodes = [*d.nodes]
    d.nodes.clear()
    for node in nodes:
        chain = node.attrs.get("chain", ())
        if [step[0] for step in chain] == ["clamp"]:
            node = replace(
                node, inputs=(_replace_clamped_infinity(d, node.inputs[0], *chain[0][1:]),)
            )
        d.nodes.append(node)


def _replace_clamped_infinity(d: GraphBuilder, x: str, low: float, high: float) -> str:
    """Return a tensor, or its sum, with infinities that a clamp limits replaced by finite
    numbers."""
    total = addends(d, x)
    below, above = np.isneginf(total.known), np.isposinf(total.known)
    if not ((below.any() and low > -math.inf) or (above.any() and high < math.inf)):
        return x
    known = np.where(below, min(low, -LOST), np.where(above, max(high, LOST), total.known))
    return full(d, unmasked(d, total.terms, known), d.shape(x))


def _describe_infinity_reader(d: GraphBuilder, node: Node, outputs: Sequence[str]) -> str:
    """Return text that names the first operator after `node` that computes with an infinity."""
    while node.op in POINTWISE or OPS[node.op].is_data_movement:
        if node.name in outputs:
            return "are an output"
        node = next(reader for reader in d.nodes if node.name in reader.inputs)
    return f"{node.where} reads"


def _infinite_constant_error(d: GraphBuilder, name: str, reader: str) -> MyoedgeError:
    """Return error E112 for an infinite constant that an operator other than a clamp reads."""
    value = d.array(name)
    count, sign = int(np.count_nonzero(~np.isfinite(value))), _sign_of_infinities(value)
    return MyoedgeError(
        "E112",
        f"{name.removesuffix('.const')} holds {count} values that are "
        f"{'minus' if sign < 0 else 'plus'} infinity, which {reader}",
        {
            "needs": "minus infinity only in an addend of scores before a softmax",
            "has": f"{count} of {value.size} not finite",
        },
        [
            "for a maximum over the rest, fill with the minimum: torch.where(mask, x.amin(), x)",
            "multiply by a mask of zeros and ones for a sum or a mean",
        ],
    )


def _sign_of_infinities(value: Array) -> int:
    """Return the sign (1 or -1) of a constant's infinities; 0 for both signs, NaN or none."""
    if value.dtype.kind != "f" or np.isfinite(value).all():
        return 0
    tests = {-1: np.isneginf(value), 1: np.isposinf(value)}
    return next((s for s, at in tests.items() if (at | np.isfinite(value)).all()), 0)
