# SPDX-License-Identifier: Apache-2.0
"""What a row of the ONNX import table sees of a node, and ONNX's tensors as arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.frontend.graph_builder import Draft, Unsupported
from myoedge.frontend.infinities import refuse_no_mask, refuse_not_finite
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array

if TYPE_CHECKING:
    from onnx import AttributeProto, TensorProto


@dataclass(frozen=True)
class Call:
    """One node.

    inputs   ONNX's names, "" for what is left out
    outs     shapes of the outputs; opset decides what is an attribute and what an input
    arrays   constants by ONNX's names, in the model's own types
    names    tensors and constants of the draft by ONNX's names
    """

    draft: Draft
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, Any]
    outs: tuple[Shape, ...]
    opset: int
    arrays: Mapping[str, Array]
    names: MutableMapping[str, str]

    @property
    def out(self) -> Shape:
        return self.outs[0]

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and bool(self.inputs[index])

    def x(self, index: int = 0) -> str:
        """The draft's name of an input; a constant is put into the draft when first read."""
        name = self.inputs[index]
        if name not in self.names:
            self.names[name] = self.put(self.arrays[name], name)
        return self.names[name]

    def put(self, value: Array, name: str) -> str:
        """A constant in the draft, floats as float32. Errors: E112 where it is not finite."""
        if value.dtype.kind in "OSUc":
            raise Unsupported(f"a constant of type {value.dtype}")
        small = as_floats(value)
        refuse_no_mask(name, [small])
        return self.draft.constant(small)

    def array(self, index: int, what: str) -> Array:
        """The values of a constant input; Unsupported where they are computed."""
        found = self.arrays.get(self.inputs[index])
        if found is None:
            raise Unsupported(f"{what} must be a constant, here it is computed")
        return found

    def weights(self, index: int, what: str) -> Array:
        """The same as finite float32."""
        self.array(index, what)
        refuse_not_finite(self.inputs[index], [found := self.draft.constants[self.x(index)]])
        return found

    def ints(self, attribute: str, index: int, what: str) -> tuple[int, ...] | None:
        """Whole numbers that are an attribute in older opsets, an input in newer; None without."""
        if attribute in self.attrs:
            return tuple(self.attrs[attribute])
        if not self.has(index):
            return None
        return tuple(int(n) for n in self.array(index, what).reshape(-1))


# onnx.proto, TensorProto.DataType: float, float16, double, bfloat16; bool and whole numbers
FLOATS = frozenset((1, 10, 11, 16))
PLAIN = FLOATS | frozenset((2, 3, 4, 5, 6, 7, 9, 12, 13))

# (call) -> the draft's name of the first output, or of all outputs
OnnxRow = Callable[[Call], str | tuple[str, ...]]


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
