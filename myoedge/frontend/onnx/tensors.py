# SPDX-License-Identifier: Apache-2.0
"""ONNX's tensors and attributes as arrays and plain values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import Unsupported

if TYPE_CHECKING:
    from onnx import AttributeProto, TensorProto


# onnx.proto, TensorProto.DataType: float, float16, double, bfloat16; bool and whole numbers
FLOATS = frozenset((1, 10, 11, 16))
PLAIN = FLOATS | frozenset((2, 3, 4, 5, 6, 7, 9, 12, 13))


def as_floats(value: Array) -> Array:
    """Floats of any width as float32; whole numbers and truth values as they are."""
    if value.dtype.kind in "iub":
        return value
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
        return value.astype(np.float32)


def array_of(tensor: TensorProto) -> Array:
    """The values of a tensor. Errors: ValueError where data and shape do not belong together."""
    from onnx import helper, numpy_helper

    dims, kind = tuple(tensor.dims), tensor.data_type
    if kind not in PLAIN:
        raise Unsupported(f"tensors of type {type_name(kind)}")
    if any(n < 0 for n in dims):
        raise ValueError(f"the shape {list(dims)}")
    itemsize = helper.tensor_dtype_to_np_dtype(kind).itemsize
    if tensor.HasField("raw_data") and len(tensor.raw_data) != math.prod(dims) * itemsize:
        raise ValueError(f"{len(tensor.raw_data)} bytes for the shape {list(dims)}")
    return np.asarray(numpy_helper.to_array(tensor))


def type_name(kind: int) -> str:
    """ "float32", "float8_e4m3fn"; for what is no tensor, and for text, "no numbers"."""
    from onnx import helper

    try:
        found = helper.tensor_dtype_to_np_dtype(kind)
    except (KeyError, ValueError, TypeError):
        return "no numbers"
    return "no numbers" if found.kind == "O" else str(found)


def plain_attribute(attribute: AttributeProto) -> Any:
    """An attribute as numbers, text, lists or an array; None for graphs and other structures."""
    from onnx import AttributeProto, helper

    kinds = AttributeProto
    if attribute.type == kinds.TENSOR:
        return array_of(attribute.t)
    if attribute.type == kinds.STRINGS:
        return [text.decode("utf-8", "replace") for text in attribute.strings]
    if attribute.type not in (kinds.FLOAT, kinds.INT, kinds.STRING, kinds.FLOATS, kinds.INTS):
        return None
    value = helper.get_attribute_value(attribute)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
