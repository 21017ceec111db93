# SPDX-License-Identifier: Apache-2.0
"""Networks of whole numbers: operators that no integers here could stand for are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import PRE, Graph, Node
from myoedge.numerics.element_type import INT16
from myoedge.numerics.pointwise import Chain, evaluate
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.stated_requant import ATTRIBUTE
from myoedge.operators.base import OPS
from myoedge.operators.requant_shift.whole import REQUANT

EIGHT_BITS = np.arange(-128.0, 256.0)  # all numbers of 8 bits, with a sign or without


class _WholeRefusal(NamedTuple):
    says: str
    needs: str
    has: str
    tries: list[str]


def check_whole(graph: Graph) -> None:
    """Checks that weights, functions of sums, limits and padding are whole numbers that the
    network's integers hold.

    Errors: E111.
    """
    for node in graph.nodes if graph.integer_inputs else ():
        if (found := next(_refusals(graph, node), None)) is not None:
            raise MyoedgeError(
                "E111",
                f"{node.where} {found.says}",
                {"needs": found.needs, "has": found.has},
                found.tries,
            )


def _refusals(graph: Graph, node: Node) -> Iterator[_WholeRefusal]:
    yield from _of_constants(graph, node)
    chain = node.attrs.get("chain", node.attrs.get("act", ()))
    limits = [end for call in chain if call[0] == "clamp" for end in call[1:]]
    for end in limits:
        if np.isfinite(end) and end != round(end):
            yield _fraction("limits", end)
    yield from _of_functions(chain)
    is_of_sums = ATTRIBUTE not in node.attrs and graph.given(node.name + PRE) is None
    if "act" in node.attrs and is_of_sums:
        yield _WholeRefusal(
            "has a function of results that nothing brings to 16 bits",
            "RequantShift between these results and the function",
            "none",
            ["put Relu, iGELU and others behind RequantShift"],
        )
    if node.op == "pad":
        yield from _of_padding(node.attrs["value"], _params_of(graph, node.name))


def _of_functions(chain: Chain) -> Iterator[_WholeRefusal]:
    """Requantisations of fractions: their file does not say how these are rounded."""
    for i, call in enumerate(chain):
        found = evaluate(chain[:i], EIGHT_BITS) if call[0] == REQUANT else EIGHT_BITS
        if (fractions := found[found != np.rint(found)]).size:
            yield _WholeRefusal(
                "has a function whose results are no whole numbers",
                "whole numbers in front of RequantShift",
                f"{fractions[0]:g}",
                ["multiply div of RequantShift by a divisor, or put Floor between them"],
            )


def _of_constants(graph: Graph, node: Node) -> Iterator[_WholeRefusal]:
    op = OPS[node.op]
    for i, name in enumerate(node.inputs):
        value = graph.find_array(name)
        if value is None or value.dtype.kind != "f":
            continue
        if (value != np.rint(value)).any():
            yield _fraction("constants", float(value[value != np.rint(value)][0]))
        is_weight = op.multiplies and i in op.weights
        if is_weight and (value.min() < INT16.low or value.max() > INT16.high):
            yield _WholeRefusal(
                "has weights of more than 16 bits",
                f"{INT16.low:,} to {INT16.high:,}",
                f"{value.min():,.0f} to {value.max():,.0f}",
                ["export the network with weights of 8 bits"],
            )


def _fraction(what: str, first: float) -> _WholeRefusal:
    return _WholeRefusal(
        f"has {what} that are no whole numbers",
        f"whole numbers as {what}",
        f"{first:g}",
        ["export the network of whole numbers: QuantLib's last stage, not its second"],
    )


def _params_of(graph: Graph, name: str) -> QuantParams | None:
    """Parameters of a tensor, or of the one whose numbers it has moved."""
    node = graph.producer.get(name)
    while graph.given(name) is None and node is not None and OPS[node.op].same_scale:
        name = node.inputs[0]
        node = graph.producer.get(name)
    return graph.given_params(name)


def _of_padding(value: float, params: QuantParams | None) -> Iterator[_WholeRefusal]:
    if params is None:
        return
    low, high = params.low - params.zero_point, params.high - params.zero_point
    if not low <= value <= high:
        yield _WholeRefusal(
            f"pads with a number that is none of {low:,} to {high:,}",
            f"{low:,} to {high:,}, which the padded tensor has",
            f"{value:g}",
            ["pad with 0"],
        )
