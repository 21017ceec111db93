# SPDX-License-Identifier: Apache-2.0
"""Shape inference for the results of imported nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx import refusals as onnx_refusals
from myoedge.frontend.onnx.fold import TensorType, results
from myoedge.frontend.onnx.names import origin_of, shown
from myoedge.frontend.onnx.state import Importing
from myoedge.operators.graph_builder import Unsupported

if TYPE_CHECKING:
    from onnx import NodeProto


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
