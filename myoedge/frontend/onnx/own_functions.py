# SPDX-License-Identifier: Apache-2.0
"""Functions of model.int8.onnx: operators that ONNX does not have, with a body for other readers.

A function says which operator it is, with which attributes, and a digest of the body that was
written for it. Where the body is another one, it is a function like any other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from myoedge.frontend.onnx.fold import Value
from myoedge.frontend.onnx.inference import nonsense
from myoedge.frontend.onnx.quantized import refuse_integers
from myoedge.frontend.onnx.state import Importing
from myoedge.graph.ir import Attrs, Node, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.stated_requant import ATTRIBUTE
from myoedge.operators.base import OPS, output_of
from myoedge.operators.import_rows import OnnxCall, OnnxRow
from myoedge.operators.qdq import (
    FUNCTIONS_DOMAIN,
    TYPES,
    attribute_checks,
    called_operators,
    function_digest,
    read_attrs,
)

if TYPE_CHECKING:
    from onnx import FunctionProto, ModelProto, NodeProto


MOST_NUMBERS = 1 << 27  # of a tensor that a function reads: more than any memory of a chip


class OwnFunction(NamedTuple):
    """An operator of ours, with its attributes as text."""

    operator: str
    attrs: str


Functions = Mapping[tuple[str, str], OwnFunction | None]  # by domain and name


def functions_of(model: ModelProto) -> Functions:
    """The functions of a model; None of those that are no operators of ours."""
    return {(f.domain, f.name): _own(f) for f in model.functions}


def _own(function: FunctionProto) -> OwnFunction | None:
    says = {entry.key: entry.value for entry in function.metadata_props}
    operator, attrs, digest = (says.get(f"myoedge.{key}", "") for key in ("op", "attrs", "digest"))
    if function.domain != FUNCTIONS_DOMAIN or operator not in called_operators():
        return None
    body = (node.SerializeToString(deterministic=True) for node in function.node)
    return (
        OwnFunction(operator, attrs) if digest == function_digest(operator, attrs, body) else None
    )


def results_of(state: Importing, node: NodeProto, own: OwnFunction) -> dict[str, Value]:
    """Type and shape of the result. Errors: E119 where inputs and attributes do not go together."""
    refuse_integers(state, node)
    try:
        attrs, op = read_attrs(own.attrs), OPS[own.operator]
        given = [_values(state, name) for name in node.input]
        _check_attrs(own.operator, attrs, given[0].shape)
        found = np.asarray(op.real(attrs, *given)).shape
        made = output_of(Node(own.operator, (), ("y",), attrs), [x.shape for x in given])
        if found != made.shape or len(node.output) != 1:
            raise ValueError(f"a result of {list(found)}, not {list(made.shape)}")
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise nonsense(state, node, error) from error
    kind = made.dtype if made.dtype == "int32" else "float32"  # of int16 in floats too
    return {node.output[0]: Value(TYPES[kind], made.shape)}


def _check_attrs(operator: str, attrs: Attrs, shape: Shape) -> None:
    """Errors: LookupError, TypeError and ValueError for attributes that mean nothing, and for those
    of nodes and of other operators."""
    if taken := {"name", "op", "origin", "self"} & attrs.keys():
        raise ValueError(f"attributes {', '.join(sorted(taken))}")
    if ATTRIBUTE in attrs and operator != "requant_shift":
        raise ValueError(f"{ATTRIBUTE} of {operator}")
    if check := attribute_checks().get(operator):
        check(attrs, shape)


def row_of(own: OwnFunction) -> OnnxRow:
    attrs: Attrs = read_attrs(own.attrs)

    def row(call: OnnxCall) -> str:
        return call.builder.add(own.operator, *map(call.tensor, call.inputs), **attrs)

    return row


def _values(state: Importing, name: str) -> Array:
    """A constant, or zeros in the place of what is computed."""
    if name in state.arrays:
        return state.arrays[name]
    shape = state.values[name].shape
    if shape is None:
        raise ValueError(f"{name} has no shape")
    if math.prod(shape) > MOST_NUMBERS:
        raise ValueError(f"{name} of {math.prod(shape):,} numbers")
    return np.zeros(shape, np.float32)
