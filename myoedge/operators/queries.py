# SPDX-License-Identifier: Apache-2.0
"""Queries about a node that its operator's definition answers: kernels, parameters, MACs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from myoedge.graph.ir import Graph, Node, Shape, Tensor
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.attributes import ACTIVATION, NodeSite, fault
from myoedge.operators.base import OPS, QuantizedNode, QuantizedParams
from myoedge.operators.chains import CHAIN_KERNELS
from myoedge.operators.kernel import Kernel


def kernels_of(step: QuantizedNode) -> tuple[Kernel, ...]:
    """Return the kernels that can run a layer, with the layers that it includes."""
    if step.members:
        return CHAIN_KERNELS
    op = OPS[step.node.op]
    return op.kernels if step.behind is None else op.kernels_before.get(step.behind.node.op, ())


def params_of(op: str, numbers: Mapping[str, Any]) -> QuantizedParams:
    """Build an operator's QuantizedParams from field values by name.

    Errors: ValueError if no class of the operator has exactly these fields.
    """
    kind = next((kind for kind in OPS[op].constants.kinds if kind.holds(numbers)), None)
    if kind is None:
        raise ValueError(f"parameters that {op} does not have: {', '.join(sorted(numbers))}")
    return kind(**numbers)


def attribute_fault(node: Node, shapes: Sequence[Shape], dtypes: Sequence[str]) -> str:
    """Return the first attribute that a node's operator does not allow, with its value and the
    allowed ones; "" if there is none.

    shapes, dtypes   shapes and element types of the inputs; those of constants are "float32"
    """
    op = OPS[node.op]
    fused = {"act": ACTIVATION} if op.epilogue else {}
    return fault({**op.attributes, **fused}, NodeSite(node.attrs, shapes, dtypes))


def macs(node: Node, shapes: Sequence[Shape], out: Shape) -> int:
    """Return a node's multiply-accumulates; those on padding count, those that fill SIMD words do
    not."""
    counted = OPS[node.op].macs
    return 0 if counted is None else counted(node.attrs, shapes, out)


def output_of(node: Node, shapes: Sequence[Shape], dtype: str = "float32") -> Tensor:
    """Return a node's output tensor: its name, shape and element type.

    shapes   shapes of the inputs
    dtype    element type of the first input
    """
    op = OPS[node.op]
    kept = dtype if op.is_data_movement else op.result.dtype
    return Tensor(node.name, op.shape(node.attrs, *shapes), kept)


def own_params(node: Node) -> QuantParams | None:
    """Return the parameters that an operator fixes for its result, such as scale 1/256 for softmax;
    None if they depend on data."""
    fixed = OPS[node.op].result.fixed_params
    return None if fixed is None else fixed(node.attrs)


def fixed_params(graph: Graph, name: str) -> QuantParams | None:
    """Return the parameters that a tensor's producer fixes, also through operators that keep the
    scale; None if they depend on data."""
    node = graph.producer.get(name)
    while node is not None and OPS[node.op].same_scale:
        node = graph.producer.get(node.inputs[0])
    return None if node is None else own_params(node)
