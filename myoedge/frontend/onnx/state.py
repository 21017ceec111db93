# SPDX-License-Identifier: Apache-2.0
"""State of an ONNX import: constants, names and types of tensors, formats, and notes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from myoedge.frontend.file_refusals import damaged
from myoedge.frontend.integers import COMPARED, INTEGERS, NUMBERS, ROWS, SMALL, integer_input
from myoedge.frontend.onnx import refusals as onnx_refusals
from myoedge.frontend.onnx.fold import (
    FLOATS,
    TensorType,
    array_of,
    as_floats,
    attributes_of,
    type_name,
    value_of,
)
from myoedge.frontend.onnx.names import origin_of, shown
from myoedge.frontend.onnx.scikit_learn import ML, UNLEARNT
from myoedge.frontend.operator_table import ONNX_OF_INTEGERS
from myoedge.frontend.port_names import port_names
from myoedge.frontend.refusals import not_numbers, wrong_size
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.library.masks import LOST

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorShapeProto, ValueInfoProto

FLOAT, INT64, BOOL = 1, 7, 9  # TensorProto.DataType
COMPARES = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
MOVES = (
    "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze",
    "Tile", "Transpose", "Unsqueeze",
)  # fmt: skip
MOST_ELEMENTS = 2**28  # elements of a tensor: 1 GiB as float32
MANY_ELEMENTS = 2**18  # of a larger result, at most MOST_GROWTH times the operands' elements
MOST_GROWTH = 1024  # trained networks' copies, interpolations and padding stay below


MOST_BESIDE_NONE = 1 << 40  # product of the other dimensions of an array without elements


@dataclass
class Importing:
    """State of an ONNX import; all dicts are by ONNX names.

    path, opset   the file, and its version of ONNX's own operators
    builder       the graph imported so far
    arrays        constants in the model's own types
    names         names of the tensors in the imported graph
    values        types and shapes; missing for results of refused nodes
    declared      types and shapes that the file declares; used only after a refusal
    absent        reasons why a result is missing: its import does not compute it, or unsupported
                  type
    dequantized   constants stored as integers of a quantised tensor
    places        integers used as positions in a lookup table: (quantised tensor, number added to
                  it)
    scales        constants used as scales or zero points, which are no parameters
    formats       integer formats of dequantised constants
    sequences     names of the elements of ONNX sequences
    notes         text for the user on changes of the model
    folded        number of elements of constants computed so far
    unrolled      number of nodes that replaced loops and branches so far
    in_scan       whether the body of a Scan is being imported
    """

    path: Path
    opset: int
    builder: GraphBuilder = field(default_factory=GraphBuilder)
    arrays: dict[str, Array] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    values: dict[str, TensorType] = field(default_factory=dict)
    declared: dict[str, TensorType] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    dequantized: set[str] = field(default_factory=set)  # constants stored as integers
    places: dict[str, tuple[str, int]] = field(default_factory=dict)  # tensor, offset
    scales: set[str] = field(default_factory=set)  # scales and zero points, which are no parameters
    formats: dict[str, ConstantFormat] = field(default_factory=dict)  # of dequantised constants
    sequences: dict[str, tuple[str, ...]] = field(default_factory=dict)  # names of the elements
    notes: list[str] = field(default_factory=list)
    folded: int = 0  # elements computed
    unrolled: int = 0  # nodes from loops and branches
    in_scan: bool = False


def read_constants(state: Importing, graph: GraphProto, read: set[str]) -> None:
    for sparse in graph.sparse_initializer:
        state.absent[sparse.values.name] = "sparse tensors"
    for tensor in graph.initializer:
        if tensor.name in read:
            try:
                array = array_of(tensor)
            except Unsupported as reason:  # its readers are refused
                state.absent[tensor.name] = str(reason)
                continue
            except (ValueError, TypeError, OverflowError) as error:
                raise damaged(state.path, f"{shown(tensor.name)}: {error}") from error
            keep(state, tensor.name, array)


def keep(state: Importing, name: str, array: Array) -> None:
    from onnx import helper

    state.arrays[name] = array
    kind = int(helper.np_dtype_to_tensor_dtype(array.dtype))
    state.values[name] = TensorType(kind, tuple(array.shape))


def keep_empty(state: Importing, outs: Mapping[str, TensorType]) -> None:
    """Add constants for a node's results without elements, such as [0, 8], whatever computes them.

    outs   types and shapes of the results
    """
    from onnx import helper

    for name, value in outs.items():
        if value.shape is None or 0 not in value.shape:
            raise Unsupported("a tensor without elements next to another one")
        if math.prod(filter(None, value.shape)) > MOST_BESIDE_NONE:
            raise Unsupported(f"a tensor without elements of shape {list(value.shape)}")
        keep(state, name, np.zeros(value.shape, helper.tensor_dtype_to_np_dtype(value.kind)))


def read_inputs(state: Importing, graph: GraphProto, needed: list[NodeProto]) -> None:
    """Add the model's inputs to the graph; inputs that are also initialisers become constants, and
    so do empty caches: inputs without elements that only Concat reads.

    needed   nodes that the outputs depend on
    """
    for value in (*graph.value_info, *graph.output):
        state.declared[value.name] = value_of(value.type)
    constants = {tensor.name for tensor in graph.initializer}
    given = [value for value in graph.input if value.name not in constants]
    given = [value for value in given if not _is_empty_cache(state, value, needed)]
    ports = port_names([value.name for value in given])
    for value, port in zip(given, ports, strict=True):
        _read_input(state, value, port, needed)
        note_name(state, "input", value.name, port)


def _is_empty_cache(state: Importing, value: ValueInfoProto, needed: list[NodeProto]) -> bool:
    """Import an input without elements that only Concat reads, such as a cache [1, 16, 0, 4], as a
    constant; return False for other inputs."""
    readers = {node.op_type for node in needed if value.name in node.input}
    tensor = value.type.tensor_type
    shape = tuple(1 if isinstance(n := _axis_size(dim), str) else n for dim in tensor.shape.dim)
    if 0 not in shape or readers != {"Concat"}:
        return False
    keep_empty(state, {value.name: TensorType(tensor.elem_type, shape)})
    state.notes.append(f"input {shown(value.name)} {list(shape)} has no elements and is left out")
    return True


def _read_input(
    state: Importing, value: ValueInfoProto, port: str, needed: list[NodeProto]
) -> None:
    kind = value.type.tensor_type.elem_type if value.type.HasField("tensor_type") else 0
    dtype = type_name(kind)
    if kind not in FLOATS and dtype not in (*SMALL, *INTEGERS):
        readers = [f"{n.op_type}, at {origin_of(n)}" for n in needed if value.name in n.input]
        raise not_numbers(shown(value.name), dtype, readers)
    shape = _static_shape(state, value)
    if kind in FLOATS:
        made = state.builder.input(port, shape)
    else:
        state.builder.stem, found = port, uses(needed, value.name)
        made = integer_input(state.builder, port, shape, dtype, found)
    state.names[value.name], state.values[value.name] = made, TensorType(kind, shape)


GATHERS = ("Gather", "GatherElements", "GatherND")


def uses(needed: Sequence[NodeProto], name: str) -> set[str]:
    """Return the kinds of operations that read an input's integers, also after data movement."""
    found: set[str] = set()
    held = {name}
    for node in needed:  # in execution order
        at = [i for i, x in enumerate(node.input) if x in held]
        if not at:
            continue
        if (use := _use_of_integers(node, at)) is None:
            held.update(node.output)
        else:
            found.add(use)
    return found


def _use_of_integers(node: NodeProto, at: Sequence[int]) -> str | None:
    """Return the kind of operation that reads integers as inputs `at` of a node; None for data
    movement, whose results are these integers."""
    to = attributes_of(node).get("to") if node.op_type == "Cast" else None
    if (node.op_type in GATHERS and list(at) == [1]) or node.op_type == "OneHot":
        return ROWS
    if node.op_type in COMPARES or to == BOOL:
        return COMPARED
    if node.op_type in (*MOVES, *ONNX_OF_INTEGERS) or (node.op_type == "Cast" and to not in FLOATS):
        return None
    return NUMBERS


def _static_shape(state: Importing, value: ValueInfoProto) -> tuple[int, ...]:
    """Return the static shape of an input; an unknown first axis is the batch and becomes 1."""
    tensor, name = value.type.tensor_type, shown(value.name)
    if not tensor.HasField("shape"):
        raise onnx_refusals.dynamic(state.path, name, 0, ())
    dims = [*map(_axis_size, tensor.shape.dim)]
    if len(dims) > 1 and isinstance(dims[0], str):
        state.notes.append(f"axis 0 of input {name}, {dims[0]}, is set to 1")
        dims[0] = 1
    for axis, size in enumerate(dims):
        if size == 0:
            raise wrong_size(name, dims, "at least 1 element")
        if isinstance(size, str) or size < 1:
            raise onnx_refusals.dynamic(state.path, name, axis, dims)
    if math.prod(map(int, dims)) > MOST_ELEMENTS:
        raise wrong_size(name, dims, f"at most {MOST_ELEMENTS:,} elements")
    return tuple(int(size) for size in dims)


def _axis_size(dim: TensorShapeProto.Dimension) -> int | str:
    """Return the size of an axis, or its symbolic name; "?" without a name."""
    return dim.dim_value if dim.HasField("dim_value") else shown(dim.dim_param or "?")


def note_name(state: Importing, what: str, name: str, port: str) -> None:
    if port != name:
        state.notes.append(f"{what} {shown(name)!r} is called {port}")


def count_parameters(graph: GraphProto, state: Importing) -> int:
    """Return the number of parameters of a model: elements of initialisers and Constant nodes that
    are used as floats or quantised integers, without masks; and numbers in attributes of ai.onnx.ml
    operators, such as thresholds and leaves of trees."""
    integers = sum(state.arrays[name].size for name in state.dequantized)
    attributes = (one for node in graph.node if node.domain == ML for one in node.attribute)
    classic = sum(len(one.floats) for one in attributes if one.name not in UNLEARNT)
    return _count_float_parameters(graph, state) + integers + classic


def _count_float_parameters(graph: GraphProto, state: Importing) -> int:
    """Return the number of elements of constants that are used as floats, without masks."""
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    learnt = (constants - state.scales) & state.arrays.keys()
    arrays = (state.arrays[name] for name in learnt if state.values[name].kind in FLOATS)
    return sum(array.size for array in arrays if not (as_floats(array) <= -LOST).any())
