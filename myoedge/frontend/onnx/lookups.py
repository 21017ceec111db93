# SPDX-License-Identifier: Apache-2.0
"""Import of functions that an ONNX file contains as lookup tables over a tensor's integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from myoedge.frontend.onnx.fold import FLOATS, TensorType
from myoedge.frontend.onnx.quantized import is_held
from myoedge.frontend.onnx.state import Importing
from myoedge.numerics.pointwise import listed
from myoedge.operators.fake_quantize import rounding_of

if TYPE_CHECKING:
    from onnx import NodeProto

MOST_VALUES = 256
READ = "integers of a quantised tensor, read as numbers"


def is_lookup(state: Importing, node: NodeProto) -> bool:
    """Import a node of a table lookup (Cast of quantised integers, Add of a constant, Gather from a
    table), which becomes one pointwise function; return False for other nodes."""
    x, output = next(iter(node.input), ""), node.output[0]
    if node.op_type == "Cast" and is_held(state, x) and _is_cast_to_integers(node):
        _record_lookup(state, output, x, 0)
        return True
    if node.op_type == "Add" and x in state.places and _is_scalar(state, node.input[1]):
        source, offset = state.places[x]
        _record_lookup(
            state, output, source, offset + int(state.arrays[node.input[1]].reshape(-1)[0])
        )
        return True
    if node.op_type == "Gather" and node.input[1] in state.places and x in state.arrays:
        return _resolve_lookup(state, node)
    return False


def _resolve_lookup(state: Importing, node: NodeProto) -> bool:
    table = state.arrays[node.input[0]]
    source, offset = state.places[node.input[1]]
    tensor = state.names[source]
    rounding = rounding_of(state.builder, tensor)
    if rounding is None or table.ndim != 1 or not 1 <= table.size <= MOST_VALUES:
        return False
    # Integer q reads entry q + offset, so that q - zero_point = -offset - zero_point is the first.
    first = -offset - rounding.attrs["zero_point"]
    chain = (("lookup", rounding.attrs["scale"], first, listed(table)),)
    state.names[node.output[0]] = state.builder.add("table", tensor, chain=chain)
    state.values[node.output[0]] = TensorType(1, state.values[source].shape)
    return True


def _record_lookup(state: Importing, name: str, source: str, offset: int) -> None:
    state.places[name] = source, offset
    state.absent[name] = READ


def _is_cast_to_integers(node: NodeProto) -> bool:
    return all(a.i not in FLOATS for a in node.attribute if a.name == "to")


def _is_scalar(state: Importing, name: str) -> bool:
    return name in state.arrays and np.size(state.arrays[name]) == 1
