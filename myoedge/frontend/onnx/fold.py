# SPDX-License-Identifier: Apache-2.0
"""Wrappers around the onnx package: shape inference, evaluation of nodes, tensors, attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from myoedge.frontend.operator_table import check_einsum, check_elements
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import Unsupported

if TYPE_CHECKING:
    from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, TypeProto

# onnx 1.23 does not check their axis and crashes
DEADLY = ("LayerNormalization", "RMSNormalization")
# functions whose types onnx 1.23 does not infer: results have the type of the first input
LIKE_FIRST = ("GroupNormalization", "MeanVarianceNormalization")
# onnx.proto, TensorProto.DataType: float, float16, double, bfloat16; bool and integers
FLOATS = frozenset((1, 10, 11, 16))
PLAIN = FLOATS | frozenset((2, 3, 4, 5, 6, 7, 9, 12, 13))
FOUR_BITS = frozenset((21, 22))  # uint4, int4: two per byte; they are only dequantised
SHOWN_ELEMENTS = 2**12  # elements of a constant that determines a shape


class TensorType(NamedTuple):
    """Type of a tensor in an ONNX model.

    kind    element type (TensorProto.DataType)
    shape   None if it is not known
    """

    kind: int
    shape: Shape | None


def results(
    node: NodeProto,
    opset: int,
    values: Mapping[str, TensorType],
    arrays: Mapping[str, Array],
) -> dict[str, TensorType]:
    """Infer types and shapes of a node's outputs with the onnx package.

    values   types of its inputs, by name
    arrays   values of its constant inputs, by name
    Errors: the onnx package's InferenceError if the inputs are inconsistent.
    """
    from onnx import defs, helper, numpy_helper, shape_inference

    stated = {a.name: int(a.i) for a in node.attribute}
    if node.op_type == "STFT":  # onnx 1.23 uses 0 instead of 1 as default of onesided
        one = stated.get("onesided", 1)
        node = helper.make_node("STFT", node.input, node.output, onesided=one)
    _refuse_unsafe_attributes(node, stated, values)
    read = dict.fromkeys(filter(None, node.input))
    types = {name: helper.make_tensor_type_proto(*values[name]) for name in read}
    small = (n for n in read if n in arrays and arrays[n].size <= SHOWN_ELEMENTS)
    data = {name: numpy_helper.from_array(arrays[name], name) for name in small}
    schema = defs.get_schema(node.op_type, opset, "")
    opsets = [helper.make_opsetid("", opset)]
    inferred = shape_inference.infer_node_outputs(schema, node, types, data, opset_imports=opsets)
    if node.op_type in LIKE_FIRST:
        return {node.output[0]: values[node.input[0]]}
    return {name: value_of(inferred[name]) for name in filter(inferred.__contains__, node.output)}


def value_of(stated: TypeProto) -> TensorType:
    """Convert ONNX's description of a tensor, from a file or from shape inference, to a
    TensorType."""
    if not stated.HasField("tensor_type"):
        return TensorType(0, None)
    tensor = stated.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim]
    known = tensor.HasField("shape") and min(dims, default=0) >= 0
    return TensorType(tensor.elem_type, tuple(dims) if known else None)


def constant(
    node: NodeProto, values: Mapping[str, TensorType], arrays: Mapping[str, Array]
) -> Array:
    """Return the value of a node that needs no values of its inputs, such as Constant, Shape or
    Size, or of a CastLike or NonZero of a constant.

    values   types of tensors, by name
    arrays   values of constants, by name
    """
    from onnx import helper

    if node.op_type == "Constant":
        return _stored_value(node)
    if node.op_type == "CastLike":
        with np.errstate(all="ignore"):
            kind = helper.tensor_dtype_to_np_dtype(values[node.input[1]].kind)
            return arrays[node.input[0]].astype(kind)
    if node.op_type == "NonZero":
        check_elements(arrays[node.input[0]].size * arrays[node.input[0]].ndim)
        return np.stack(np.nonzero(arrays[node.input[0]])).astype(np.int64)
    shape = values[node.input[0]].shape
    if shape is None:
        raise Unsupported("a shape that is not known")
    if node.op_type == "Size":
        return np.array(math.prod(shape), np.int64)
    attrs = {a.name: int(a.i) for a in node.attribute}
    return np.array(shape[slice(attrs.get("start", 0), attrs.get("end"))], np.int64)


def _stored_value(node: NodeProto) -> Array:
    attribute = next(iter(node.attribute), None)
    value = None if attribute is None else plain_attribute(attribute)
    if isinstance(value, np.ndarray):
        return value
    if value is None or isinstance(value, str) or attribute is None:
        raise Unsupported("a constant that is no array of numbers")
    return np.array(value, np.float32 if "float" in attribute.name else np.int64)


def _refuse_unsafe_attributes(
    node: NodeProto, stated: Mapping[str, int], values: Mapping[str, TensorType]
) -> None:
    """Raise ValueError for attributes with which onnx 1.23 would read or write out of bounds."""
    count, axis = stated.get("num_outputs", len(node.output)), stated.get("axis", -1)
    if node.op_type == "Split" and count != len(node.output):
        raise ValueError(f"num_outputs {count} with {len(node.output)} outputs")
    shape = values[node.input[0]].shape if node.input and node.input[0] in values else None
    if node.op_type in DEADLY and shape is not None and not -len(shape) <= axis < len(shape):
        raise ValueError(f"axis {axis} of {len(shape)} axes")


def evaluated(
    node: NodeProto, opset: int, arrays: Mapping[str, Array], outs: Mapping[str, TensorType]
) -> dict[str, Array]:
    """Return the outputs of a node with constant inputs by name, computed by ONNX's reference
    implementation.

    arrays   values of the inputs by name
    outs     inferred types of the outputs
    """
    from onnx.reference import ReferenceEvaluator

    for value in outs.values():
        if value.shape is None:
            raise Unsupported("a constant whose shape depends on values")
        check_elements(math.prod(value.shape))
    given = {name: arrays[name] for name in filter(None, node.input)}
    if node.op_type == "Einsum":
        equations = [a.s.decode(errors="replace") for a in node.attribute if a.name == "equation"]
        check_einsum("".join(equations), [given[name].shape for name in node.input])
    try:
        with np.errstate(all="ignore"):
            computed = ReferenceEvaluator(_single_node_model(node, opset, given)).run(None, given)
    # the reference implementation checks little: NumPy may raise anything
    except Exception as error:
        why = str(error).strip().splitlines() or [type(error).__name__]
        raise Unsupported(f"onnx refuses it: {why[0]}") from None
    return dict(zip(filter(None, node.output), map(np.asarray, computed), strict=False))


def _single_node_model(node: NodeProto, opset: int, given: Mapping[str, Array]) -> ModelProto:
    """Return a model that contains only one node, with the types of the given inputs."""
    from onnx import helper

    kinds = {name: helper.np_dtype_to_tensor_dtype(x.dtype) for name, x in given.items()}
    ins = [helper.make_tensor_value_info(name, kinds[name], x.shape) for name, x in given.items()]
    ends = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = helper.make_graph([node], "constants", ins, ends)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def needs_own_graph(node: NodeProto) -> bool:
    """Return whether a node has subgraphs, like If, Loop and Scan."""
    return any(a.HasField("g") or a.graphs for a in node.attribute)


# --- tensors and attributes -----------------------------------------------------------------------


def as_floats(value: Array) -> Array:
    """Convert floats of any width to float32; integers and booleans are unchanged."""
    if value.dtype.kind in "iub":
        return value
    with np.errstate(over="ignore"):  # values that overflow become infinite and are refused
        return value.astype(np.float32)


def array_of(tensor: TensorProto) -> Array:
    """Return the values of a tensor. Errors: ValueError if data and shape are inconsistent."""
    from onnx import helper, numpy_helper

    dims, kind = tuple(tensor.dims), tensor.data_type
    if kind not in PLAIN | FOUR_BITS:
        raise Unsupported(f"tensors of type {type_name(kind)}")
    if any(n < 0 for n in dims):
        raise ValueError(f"the shape {list(dims)}")
    itemsize = helper.tensor_dtype_to_np_dtype(kind).itemsize
    size = -(-math.prod(dims) // 2) if kind in FOUR_BITS else math.prod(dims) * itemsize
    if tensor.HasField("raw_data") and len(tensor.raw_data) != size:
        raise ValueError(f"{len(tensor.raw_data)} bytes for the shape {list(dims)}")
    return np.asarray(numpy_helper.to_array(tensor))


def type_name(kind: int) -> str:
    """Return a type's name, such as "float32" or "float8_e4m3fn"; "no numbers" for strings and
    non-tensors."""
    from onnx import helper

    try:
        found = helper.tensor_dtype_to_np_dtype(kind)
    except (KeyError, ValueError, TypeError):
        return "no numbers"
    return "no numbers" if found.kind == "O" else str(found)


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name, as `plain_attribute` converts them."""
    return {attribute.name: plain_attribute(attribute) for attribute in node.attribute}


def plain_attribute(attribute: AttributeProto) -> Any:
    """Convert an attribute to numbers, text, lists or an array; None for graphs and other
    structures."""
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
