# SPDX-License-Identifier: Apache-2.0
"""What functions of one number are called: "relu", "clamp(-1, 1)", "gelu"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from myoedge.graph.ir import Node
from myoedge.numerics.pointwise import FUNCTIONS, Chain, defaults, evaluate

CLAMPS: Mapping[tuple[float, ...], str] = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6"}
POINTS = np.linspace(-6.0, 6.0, 97)  # where functions are compared
ALIKE = 1e-6  # files hold the constants of such functions in 24 bits
WRITTEN_OUT = ("gelu", "gelu_tanh", "hardswish", "mish", "silu")  # as products, by exporters


def activation(node: Node) -> str:
    """What is fused into an operator, or in a table: "relu", "clamp(-1, 1)", "elu"; or ""."""
    chain = node.attrs.get("act") or node.attrs.get("chain") or ()
    return in_turn(chain, " + ")


def in_turn(chain: Sequence[Any], then: str) -> str:
    """One function behind the other, by name."""
    if chain and _is_product(*chain[0]) and (name := written_out(tuple(chain))):
        return name
    return then.join(_one(*step) for step in chain)


@cache
def written_out(chain: Chain) -> str | None:
    """The function that a chain comes to, where it is one that exporters write out as products."""
    found = evaluate(chain, POINTS)
    same = (f for f in WRITTEN_OUT if np.allclose(found, FUNCTIONS[f](POINTS), 0.0, ALIKE))
    return next(same, None)


def _is_product(name: str, *factors: Any) -> bool:
    return name == "product" and len(factors) == 2 and all(isinstance(f, tuple) for f in factors)


def _one(name: str, *parameters: Any) -> str:
    if _is_product(name, *parameters):
        return f"product({', '.join(in_turn(chain, ' then ') or 'x' for chain in parameters)})"
    if name == "clamp" and parameters in CLAMPS:
        return CLAMPS[parameters]
    if parameters == defaults(name)[: len(parameters)]:
        return name
    return f"{name}({', '.join(map(_parameter, parameters))})"


def _parameter(value: Any) -> str:
    """A number, or what is nested: numbers, names, functions."""
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_parameter, value))}]"
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
