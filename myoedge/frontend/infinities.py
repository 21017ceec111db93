# SPDX-License-Identifier: Apache-2.0
"""Infinities in constants: masks are left out of scores by now, a clamp may read one, else none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Node
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS
from myoedge.operators.graph_builder import GraphBuilder

LOWEST = -1e8  # in place of minus infinity, in front of a clamp


def refuse_not_finite(name: str, arrays: Iterable[Array | None]) -> None:
    """Errors: E112 where an array of floats has a NaN or an infinity."""
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
    """Refuses so, but for infinities of one sign: `clamped_only` judges those."""
    for value in arrays:
        if value is not None and not _infinity(value):
            refuse_not_finite(name, [value])


def clamped_only(d: GraphBuilder, outputs: Sequence[str]) -> None:
    """Infinities that are clamped become large numbers.

    Errors: E112 where anything else reads them.
    """
    d.drop_unread(outputs)
    holding = {x: (x, sign) for x, c in d.arrays.items() if (sign := _infinity(c))}
    for node in d.nodes:
        held = {x: holding[x] for x in node.inputs if x in holding}
        if not held:
            continue
        source = next(iter(held.values()))[0]
        signs = {_passed_on(d, node, x, sign) for x, (_, sign) in held.items()}
        if len(signs) != 1 or None in signs:
            raise _infinite_mask(d, source, f"{node.where} reads")
        result_sign = signs.pop()
        if result_sign:
            holding[node.name] = source, result_sign
    infinite = next((x for x in outputs if x in holding), None)
    if infinite is not None:
        raise _infinite_mask(d, holding[infinite][0], "are an output")
    for name in holding.keys() & d.constants.keys():
        finite = np.clip(d.array(name), np.float32(LOWEST), np.float32(-LOWEST))
        d.constants[name] = replace(d.constants[name], array=finite)


def _infinite_mask(d: GraphBuilder, name: str, reader: str) -> MyoedgeError:
    """E112 of infinities that no softmax hides."""
    value = d.array(name)
    count, sign = int(np.count_nonzero(~np.isfinite(value))), _infinity(value)
    return MyoedgeError(
        "E112",
        f"{name.removesuffix('.const')} holds {count} values that are "
        f"{'minus' if sign < 0 else 'plus'} infinity, which {reader}",
        {
            "needs": "minus infinity only in what is added to scores in front of a softmax",
            "has": f"{count} of {value.size} not finite",
        },
        [
            "for a largest value over what is left, fill with the smallest: "
            "torch.where(mask, x.amin(), x)",
            "multiply by a mask of zeros and ones for a sum or a mean",
        ],
    )


def _infinity(value: Array) -> int:
    """The sign of infinity where that is all in it that is not finite; else 0."""
    if value.dtype.kind != "f" or np.isfinite(value).all():
        return 0
    tests = {-1: np.isneginf(value), 1: np.isposinf(value)}
    return next((s for s, at in tests.items() if (at | np.isfinite(value)).all()), 0)


def _passed_on(d: GraphBuilder, node: Node, held: str, sign: int) -> int | None:
    """The sign of infinity in the result where it is in an operand; 0 where all is finite there,
    None where it may not be read."""
    factors: Array = np.ones(())
    if node.op == "table":
        chain = node.attrs["chain"]
        if [step[0] for step in chain] == ["clamp"]:
            return 0 if abs(chain[0][1 if sign < 0 else 2]) < -LOWEST else sign
        if [step[0] for step in chain] != ["affine"]:
            return None
        factors = np.asarray(chain[0][1])
    elif node.op == "mul" and held == node.inputs[0] and node.inputs[1] in d.constants:
        factors = d.array(node.inputs[1])
    elif node.op == "sub":
        factors = np.asarray(1.0 if held == node.inputs[0] else -1.0)
    elif node.op != "add" and not OPS[node.op].is_data_movement:
        return None
    signs = {int(s) for s in np.unique(np.sign(factors)) if s}
    return sign * signs.pop() if len(signs) == 1 else None
