# SPDX-License-Identifier: Apache-2.0
"""Tensors whose ranges a fill dominates: an addend such as -1e9 that makes an int8 step larger than
all other values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.operators.attention.operands import added
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import PRE
from myoedge.quantization.masked_ranges import NO_SHARE, Range

STEPS = 255  # int8 steps in a range
UNUSED = 4.0  # a range this many times that of a maximum's result is due to a mask's fill
BY_ELEMENT = ("add", "affine", "maximum", "mul", "sub", "table", "where")


def fills_of(graph: Graph, ranges: Mapping[str, Range]) -> Iterator[tuple[Node, str, float]]:
    """Yield (node, operand, fill) for each sum whose fill is too far from the other values for
    int8, if a softmax turns it into probability 0.

    ranges   range of every tensor
    """
    for node in graph.nodes:
        reached = max(map(abs, ranges.get(node.name + PRE, ranges.get(node.name, (0.0, 0.0)))))
        for name, rest in _fill_candidates(graph, node, ranges):
            other, fill = sorted(_range_of_tensor(graph, name, ranges), key=abs)
            is_fill = abs(fill) > STEPS * max(abs(other), rest, NO_SHARE)
            if is_fill and (node.op == "attention" or reached > abs(fill) / 2):
                yield node, name, fill


def fills_below(node: Node, ranges: Mapping[str, Range]) -> bool:
    """Return whether a node is a maximum whose operand has a fill far below the maxima."""
    if node.op != "max_pool" or not {node.name, node.inputs[0]} <= ranges.keys():
        return False
    least, (low, high) = ranges[node.inputs[0]][0], ranges[node.name]
    return high - least > UNUSED * (high - low)


def _fill_candidates(
    graph: Graph, node: Node, ranges: Mapping[str, Range]
) -> Iterator[tuple[str, float]]:
    """Yield (operand, magnitude of the other addend) for the addends that may contain a fill;
    magnitude 0: unknown."""
    if node.op == "attention":
        at = added(node.attrs, [graph.shape(x) for x in node.inputs]).get("bias")
        yield from () if at is None else ((node.inputs[at], 0.0),)
        return
    is_sum = node.op in ("add", "sub")
    for i, name in enumerate(node.inputs):
        if is_sum or graph.is_const(name):
            others = node.inputs[1 - i : 2 - i] if is_sum else ()
            yield (
                name,
                max(
                    (abs(x) for y in others for x in _range_of_tensor(graph, y, ranges)),
                    default=0.0,
                ),
            )


def _range_of_tensor(graph: Graph, name: str, ranges: Mapping[str, Range]) -> Range:
    value = graph.find_array(name)
    return (
        ranges.get(name, (0.0, 0.0)) if value is None else (float(value.min()), float(value.max()))
    )


def refuse_unknown_masks(graph: Graph, ranges: Mapping[str, Range]) -> None:
    """Raise E226 if a softmax or attention reads a mask's fill value that import did not recognise
    as a mask.

    ranges   range of every tensor
    """
    for node, _, fill in fills_of(graph, ranges):
        readers = [node]
        for reader in readers:
            if node.op == "attention" or _has_mask_fill(reader, ranges):
                raise MyoedgeError(
                    "E226",
                    f"{reader.where} reads scores that are filled with {fill:.3g}",
                    {"needs": "what hides keys as a mask, which import recognises"},
                    [
                        "masked_fill(hidden, -torch.inf) right before the softmax, hidden a buffer",
                        "scores + (1 - kept) * -1e4, kept an input of ones and zeros",
                    ],
                )
            if reader.op in BY_ELEMENT or OPS[reader.op].is_data_movement:
                readers += graph.users.get(reader.name, ())


def _has_mask_fill(node: Node, ranges: Mapping[str, Range]) -> bool:
    """Return whether the scores of a softmax differ by so much that a fill must be among them."""
    low, high = ranges[node.inputs[0]] if node.op == "softmax" else (0.0, 0.0)
    return high - low > STEPS * NO_SHARE
