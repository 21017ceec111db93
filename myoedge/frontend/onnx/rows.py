# SPDX-License-Identifier: Apache-2.0
"""Import of an ONNX node by the import function of its operator, and shape inference for its
results."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from myoedge.errors import MyoedgeError
from myoedge.frontend.infinities import refuse_no_mask, refuse_not_finite
from myoedge.frontend.onnx import refusals as onnx_refusals
from myoedge.frontend.onnx.fold import TensorType, as_floats, attributes_of, results
from myoedge.frontend.onnx.names import origin_of, shown
from myoedge.frontend.onnx.quantized import numbers_read
from myoedge.frontend.onnx.state import (
    FLOAT,
    INT64,
    MANY_ELEMENTS,
    MOST_ELEMENTS,
    MOST_GROWTH,
    Importing,
)
from myoedge.frontend.operator_table import ONNX_READS_INTEGERS
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import Unsupported
from myoedge.operators.import_rows import OnnxCall, OnnxRow

if TYPE_CHECKING:
    from onnx import NodeProto

# onnx 1.23 counts windows that start in the padding, and zero pads with auto_pad
CLASSES = "class labels other than 0, 1, 2 .. in this order: read the scores"
OWN_SHAPES = ("AveragePool", "MaxPool")


def import_by_row(
    state: Importing,
    node: NodeProto,
    outs: Mapping[str, TensorType],
    row: OnnxRow,
    *,
    whole: bool = False,
) -> None:
    """Import a node by the import function of its operator.

    row     entry of the operator table with the import function
    outs    inferred types of the node's outputs; {} for operators that onnx does not infer
    whole   whether the function computes on integers
    """
    call = _bind_call(state, node, outs)
    read = (state.builder.dtype(state.names.get(name, "")) for name in call.inputs)
    if not whole and call.op not in ONNX_READS_INTEGERS and {*read} - {"float32"}:
        reason = "it computes with integers of an input, or with the indices of ArgMax"
        raise Unsupported(reason, "Cast them to float32 first")
    before = len(state.builder.constants)
    # import functions do not check their inputs, and onnx has not checked all
    with refusing_nonsense(state, node):
        made = row(call)
    state.builder.keep_formats(before, [state.names.get(name, "") for name in node.input])
    made = (made,) if isinstance(made, str) else made
    _record_results(state, node, outs, made)
    for name in node.output[len(made) :]:
        state.values.pop(name, None)
        state.absent[name] = f"only the first result of {node.op_type} is there, not {shown(name)}"


def _record_results(
    state: Importing,
    node: NodeProto,
    outs: Mapping[str, TensorType],
    made: Sequence[str | None],
) -> None:
    """Record the tensors that stand for a node's outputs, None for classes that are not computed.

    Errors: Unsupported for another shape than the inferred one.
    """
    for name, tensor in zip(node.output, made, strict=False):
        if not name:
            continue
        if tensor is None:
            state.absent[name] = CLASSES
            continue
        shape = state.builder.shape(tensor)
        kind = FLOAT if state.builder.dtype(tensor) == "float32" else INT64
        stated = outs.get(name) or TensorType(kind, shape)
        if not outs or node.op_type in OWN_SHAPES:
            state.values[name] = stated._replace(shape=shape)
        elif shape != stated.shape:
            shapes = f"{list(shape)}, not {list(stated.shape or ())}"
            raise Unsupported(f"a use whose result would be {shapes}")
        state.names[name] = tensor


def _check_elements(state: Importing, node: NodeProto, count: int) -> None:
    """Raise Unsupported for a constant with too many elements, or with many that are nearly all
    equal."""
    if count > MOST_ELEMENTS:
        raise Unsupported(f"a tensor of {count:,} elements")
    shapes = [state.values[name].shape for name in node.input if name]
    given = sum(math.prod(shape) for shape in shapes if shape is not None)
    pads = next((a.ints for a in node.attribute if a.name == "pads"), ())
    padded = max([count, *pads])
    if padded > max(MANY_ELEMENTS, MOST_GROWTH * given):
        what = f"pads of {max(pads):,}" if padded > count else f"a result of {count:,} elements"
        most = f"more than {MANY_ELEMENTS:,}, and than {MOST_GROWTH:,} times the inputs"
        raise Unsupported(f"{what} from {given:,}: {most}", "a smaller factor or pad")


def _known_shapes(node: NodeProto, outs: Mapping[str, TensorType]) -> tuple[Shape, ...]:
    """Return the inferred shapes of a node's results; () if onnx does not infer them.

    Errors: Unsupported if a shape is unknown.
    """
    if not outs:
        return ()
    shapes = [outs[name].shape for name in node.output if name and name in outs]
    if not shapes or None in shapes:
        has_window = any(a.name == "kernel_shape" for a in node.attribute)
        too_large = "a window that is larger than its input"
        depends = "a result whose shape depends on values"
        raise Unsupported(too_large if has_window else depends)
    return tuple(shape for shape in shapes if shape is not None)


def _bind_call(state: Importing, node: NodeProto, outs: Mapping[str, TensorType]) -> OnnxCall:
    known = _known_shapes(node, outs)
    # Only Concat accepts a first input without elements, which adds nothing.
    first = state.values[node.input[0]].shape if node.input and node.input[0] else None
    if node.op_type != "Concat" and 0 in (first or ()):
        raise Unsupported("a tensor without elements")
    _check_elements(state, node, max(map(math.prod, known), default=0))
    attrs = attributes_of(node)
    for name, value in attrs.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise nonsense(state, node, ValueError(f"{name} = {value}"))

    def finite(name: str, value: Array) -> Array:
        refuse_not_finite(name, [value])
        return value

    return OnnxCall(
        state.builder,
        node.op_type,
        tuple(node.input),
        attrs,
        known,
        numbers_read(state, node),
        state.names,
        lambda name, value: _store_constant(state, name, value),
        finite,
    )


def _store_constant(state: Importing, name: str, value: Array) -> str:
    """Store a constant in the graph, floats as float32; return its name. Errors: E112 not
    finite."""
    if value.dtype.kind in "OSUcV":
        raise Unsupported(f"a constant of type {value.dtype}")
    small = as_floats(value)
    refuse_no_mask(name, [small])
    return state.builder.constant(small, state.formats.get(name))


def tensor_of(state: Importing, name: str) -> str:
    """Return the graph's name of an ONNX tensor or constant. Errors: Unsupported without one."""
    if name not in state.names:
        if name not in state.arrays:
            raise Unsupported(state.absent.get(name, "an omitted input"))
        state.names[name] = _store_constant(state, name, state.arrays[name])
    return state.names[name]


def note_tensor(state: Importing, name: str, tensor: str) -> None:
    """Record which float tensor of the graph an ONNX name denotes, with its type and shape.

    Errors: Unsupported for integers.
    """
    if state.builder.dtype(tensor) != "float32":
        raise Unsupported("integers of an input", "Cast them to float32 first")
    state.names[name] = tensor
    state.values[name] = TensorType(FLOAT, state.builder.shape(tensor))


def inferred(state: Importing, node: NodeProto) -> dict[str, TensorType]:
    from onnx import checker, defs, shape_inference

    wrong = (
        shape_inference.InferenceError,
        checker.ValidationError,
        LookupError,
        ValueError,
        RuntimeError,
    )
    try:
        return results(node, state.opset, state.values, state.arrays)
    except defs.SchemaError:
        raise Unsupported("") from None
    except wrong as error:
        raise nonsense(state, node, error) from error


@contextmanager
def refusing_nonsense(state: Importing, node: NodeProto) -> Iterator[None]:
    """Context manager that converts Python exceptions about inconsistent inputs and attributes of a
    node to E119."""
    try:
        yield
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise nonsense(state, node, error) from error


def nonsense(state: Importing, node: NodeProto, error: Exception) -> MyoedgeError:
    """Return error E119 for a node whose inputs and attributes are inconsistent.

    error   the exception that was raised
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    cause = f"{type(error).__name__}: {shown(lines[0])}" if lines else type(error).__name__
    where = f"{origin_of(node)} ({node.op_type})"
    return onnx_refusals.breaks_rules(state.path, cause, where)
