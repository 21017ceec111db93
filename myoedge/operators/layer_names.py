# SPDX-License-Identifier: Apache-2.0
"""Names of layers and of their fused functions, for reports and messages.

A layer is given as a row of report.json, with the keys `op`, `label` and `origin`. Examples of
function names: "relu", "clamp(-1, 1)", "gelu".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from myoedge.graph.ir import Node
from myoedge.numerics.pointwise import FUNCTIONS, Chain, defaults, evaluate
from myoedge.operators.base import QuantizedNode


def origin_rows(origin: Iterable[Any]) -> list[dict[str, str]]:
    """Return a node's origins as JSON values, each with the module path and the source line."""
    return [{"path": o.layer, "source": o.source} for o in origin]


def node_rows(nodes: Iterable[Node]) -> list[dict[str, Any]]:
    """Return the name and the origins of each node, as rows of report.json."""
    return [
        {"name": n.name, "label": n.label, "op": n.op, "origin": origin_rows(n.origin)}
        for n in nodes
    ]


def place(row: Mapping[str, Any]) -> str:
    """Return where a layer comes from: its module paths, shortened ("block.0.conv + relu"); without
    any, its source line."""
    paths = list(dict.fromkeys(o["path"] for o in row["origin"] if o["path"]))
    if not paths:
        return str(row["label"])
    parent = paths[0].rpartition(".")[0]
    rest = (p.removeprefix(f"{parent}.") if parent else p for p in paths[1:])
    return " + ".join([paths[0], *rest])


def named(row: Mapping[str, Any]) -> str:
    """Return a layer's name for messages: its module path, "head.fc", or without one its source
    line and operator, "net.py:41 (add)"."""
    has_path = any(o["path"] for o in row["origin"])
    return place(row) if has_path else f"{place(row)} ({row['op']})"


def unique_names(
    layers: Sequence[Mapping[str, Any]], older: Sequence[Mapping[str, Any]] = ()
) -> list[str]:
    """Return a unique name per layer, for all tables and texts.

    older   layers of an earlier build, whose places count too
    If several layers come from the same place, the operator is added, and if necessary a number:
    "net.py:41 (linear 2)".
    """
    known = Counter(place(row) for row in layers) | Counter(place(row) for row in older)
    return [
        f"{place(row)} ({_numbered_name(row['op'], number)})"
        if known[place(row)] > 1
        else named(row)
        for row, number in zip(layers, _number_layers(layers), strict=True)
    ]


def _number_layers(layers: Sequence[Mapping[str, Any]]) -> list[int]:
    """Number each layer among the layers of the same operator and place, from 1 on."""
    seen, numbers = Counter[tuple[str, str]](), []
    for row in layers:
        key = (str(row["op"]), place(row))
        seen[key] += 1
        numbers.append(seen[key])
    return numbers


def _numbered_name(op: str, number: int) -> str:
    return f"{op} {number}" if number > 1 else op


def source(row: Mapping[str, Any]) -> str:
    """Return the layer's source line in the user's program; "" if `place` is that line."""
    found = next((o["source"] for o in row["origin"] if o["source"]), "")
    return "" if found == place(row) else found


def located(steps: Sequence[QuantizedNode]) -> dict[str, str]:
    """Return names of layers with operator and source line, "head (linear, net.py:9)", by the names
    of the layers' results; layers of equal name are numbered, "head (linear 2, net.py:9)"."""
    names = located_rows(node_rows(step.node for step in steps))
    return dict(zip((step.node.name for step in steps), names, strict=True))


def located_rows(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names that `located` returns, for rows of report.json."""
    names = []
    for row, number in zip(rows, _number_layers(rows), strict=True):
        known = ", ".join(filter(None, (_numbered_name(row["op"], number), source(row))))
        names.append(f"{place(row)} ({known})")
    return names


# --- functions ------------------------------------------------------------------------------------

CLAMPS: Mapping[tuple[float, ...], str] = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6"}
POINTS = np.linspace(-6.0, 6.0, 97)  # points at which functions are compared
RELATIVE_TOLERANCE = 1e-6  # files store such constants as float32
WRITTEN_OUT = ("gelu", "gelu_tanh", "hardswish", "mish", "silu")  # decomposed by exporters


def activation(node: Node) -> str:
    """Return the name of a node's fused or tabulated function; "" if it has none."""
    chain = node.attrs.get("act") or node.attrs.get("chain") or ()
    return chain_name(chain, " + ")


def chain_name(chain: Sequence[Any], then: str) -> str:
    """Return the names of a chain of functions, joined by the word `then`."""
    if chain and _joins_chains(chain[0][1:]) and (name := written_out(tuple(chain))):
        return name
    return then.join(_function_name(*step) for step in chain)


@cache
def written_out(chain: Chain) -> str | None:
    """Return the name of the activation whose decomposition by exporters is this chain of basic
    functions; None if there is none."""
    values = evaluate(chain, POINTS)
    equal = (
        f for f in WRITTEN_OUT if np.allclose(values, FUNCTIONS[f](POINTS), 0.0, RELATIVE_TOLERANCE)
    )
    return next(equal, None)


def _joins_chains(parameters: Sequence[Any]) -> bool:
    """Return whether a function's parameters are chains, as those of sums and products are."""
    return bool(parameters) and all(
        isinstance(p, tuple) and all(isinstance(call, tuple) for call in p) for p in parameters
    )


def _function_name(name: str, *parameters: Any) -> str:
    if _joins_chains(parameters):
        return f"{name}({', '.join(chain_name(chain, ' then ') or 'x' for chain in parameters)})"
    if name == "clamp" and parameters in CLAMPS:
        return CLAMPS[parameters]
    if parameters == defaults(name)[: len(parameters)]:
        return name
    return f"{name}({', '.join(map(_format_parameter, parameters))})"


def _format_parameter(value: Any) -> str:
    """Format a parameter: a number, a name, or a nested list."""
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_format_parameter, value))}]"
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
