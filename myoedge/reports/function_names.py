# SPDX-License-Identifier: Apache-2.0
"""Names of pointwise functions: "relu", "clamp(-1, 1)", "gelu"."""

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
RELATIVE_TOLERANCE = 1e-6  # files hold the constants of such functions in 24 bits
WRITTEN_OUT = ("gelu", "gelu_tanh", "hardswish", "mish", "silu")  # as products, by exporters


def activation(node: Node) -> str:
    """Name of the function fused into an operator, or held in a table; "" for none."""
    chain = node.attrs.get("act") or node.attrs.get("chain") or ()
    return chain_name(chain, " + ")


def chain_name(chain: Sequence[Any], then: str) -> str:
    """Name of functions applied one after another, joined by `then`."""
    if chain and _is_product(*chain[0]) and (name := written_out(tuple(chain))):
        return name
    return then.join(_function_name(*step) for step in chain)


@cache
def written_out(chain: Chain) -> str | None:
    """The activation that a chain of products equals, as exporters write it out; else None."""
    values = evaluate(chain, POINTS)
    equal = (
        f for f in WRITTEN_OUT if np.allclose(values, FUNCTIONS[f](POINTS), 0.0, RELATIVE_TOLERANCE)
    )
    return next(equal, None)


def _is_product(name: str, *factors: Any) -> bool:
    return name == "product" and len(factors) == 2 and all(isinstance(f, tuple) for f in factors)


def _function_name(name: str, *parameters: Any) -> str:
    if _is_product(name, *parameters):
        return f"product({', '.join(chain_name(chain, ' then ') or 'x' for chain in parameters)})"
    if name == "clamp" and parameters in CLAMPS:
        return CLAMPS[parameters]
    if parameters == defaults(name)[: len(parameters)]:
        return name
    return f"{name}({', '.join(map(_parameter, parameters))})"


def _parameter(value: Any) -> str:
    """A parameter as text: a number, a name, or a nested list."""
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_parameter, value))}]"
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
