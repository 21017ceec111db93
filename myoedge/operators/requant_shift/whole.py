# SPDX-License-Identifier: Apache-2.0
"""Parameters of results that are whole numbers, by what makes them."""

from __future__ import annotations

from collections.abc import Iterator

from myoedge.graph.ir import PRE, Attrs, Node
from myoedge.numerics.element_type import INT8
from myoedge.numerics.pointwise import Chain
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.stated_requant import StatedRequant, whole_params
from myoedge.operators.base import OPS

REQUANT = "integer_requant"  # the function of one number


def requant_call(attrs: Attrs) -> Chain:
    """A requantisation with one multiplier as a function of one number; () without one."""
    stated = StatedRequant.of(attrs)
    return () if stated is None else ((REQUANT, stated.mult[0], stated.add[0], *stated[2:]),)


def chain_params(chain: Chain) -> QuantParams | None:
    """Parameters of a function's results that are whole numbers of 8 bits; None of others."""
    last = next((call for call in reversed(chain) if call[0] != "clamp"), ("",))
    if last[0] == "integer_leaky_relu" and abs(last[1]) <= 1 << last[2]:
        return whole_params(INT8.low, INT8.high)
    return whole_params(*last[-2:]) if last[0] == REQUANT else None


def result_params(node: Node) -> QuantParams | None:
    """Parameters that a requantisation of the file, or an operator, gives a node's results."""
    chain = node.attrs.get("chain" if node.op == "table" else "act", ())
    stated = StatedRequant.of(node.attrs)
    is_clamped = all(call[0] == "clamp" for call in chain)
    if stated is not None:
        return stated.params if is_clamped else chain_params(chain)
    op = OPS[node.op]
    own = op.fixed_params if op.params_of is None else op.params_of(node.attrs)
    return own or chain_params(chain)


def stated_params(node: Node) -> Iterator[tuple[str, QuantParams]]:
    """Parameters of a node's tensors that do not depend on data: its result's, and those of the
    value before a fused table, by name."""
    before, after = StatedRequant.of(node.attrs), result_params(node)
    if before is not None and node.attrs.get("act"):
        yield node.name + PRE, before.params
    if after is not None:
        yield node.name, after
