# SPDX-License-Identifier: Apache-2.0
"""Plan -> model.int8.onnx: the network as QuantizeLinear/DequantizeLinear, for another judge.

Every operator is ONNX's own float operator between the integers of its tensors, so that onnxruntime
computes the outputs without any of our integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.pointwise import bounds
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.elementwise.qdq import clamp, pointwise
from myoedge.operators.interpreter import PRE, has_table
from myoedge.operators.qdq import (
    FUNCTIONS_DOMAIN,
    SUMS,
    TYPES,
    OnnxFunction,
    OnnxNode,
    Writer,
    called,
    called_operators,
    function_digest,
    operator_writers,
    stated_attributes,
)
from myoedge.operators.requant_shift.qdq import requantised
from myoedge.plan.plan import Plan
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import Fidelity
from myoedge.version import __version__

# Integers of 16 bits came with opset 21. In models of that opset onnxruntime's extended
# optimisations write QuantizeLinear with an output_dtype that its own change to uint8 contradicts,
# and refuse that then.
OPSET, OPSET_INT16 = 20, 21
IR_VERSION = 10  # has metadata on nodes
WRITE, CALLS, STATED = operator_writers(), called_operators(), stated_attributes()


def qdq_model(plan: Plan, model_name: str, fidelity: Fidelity | None = None) -> bytes:
    """A serialised ONNX model, float in and float out, in the model's own names and axis orders.

    fidelity   SQNR per tensor, shown with the nodes
    The same plan gives the same bytes. Not for networks of more than 2 GiB.
    """
    q = plan.quant
    w = Writer(q.params, q.graph.arrays, q.graph.formats)
    inputs = [w.free(name) for name in q.graph.inputs]
    outputs = [w.free(name) for name in q.graph.output_names or q.graph.outputs]
    for name, port in zip(q.graph.inputs, inputs, strict=True):
        _input(w, q, name, port)
    for name, values in q.constants.items():
        w.label, w.notes = name, {"constant": name}
        w.integers[name] = w.constant(values, f"{name}.q")
        w.dequantize(name, q.params[name])
    for step in q.steps:
        _step(w, plan, step, fidelity)
    for name, output in zip(q.graph.outputs, outputs, strict=True):
        w.label, w.notes = output, {"output": output}
        if w.integers[name] == w.reals.get(name):
            w.node("Identity", w.integers[name], output=output)
        else:
            w.dequantize(name, q.params[name], output)
    return _serialised(w, q, model_name, inputs, outputs)


def _input(w: Writer, q: QuantGraph, name: str, value: str) -> None:
    w.label, w.notes = name, {"input": name}
    border = q.graph.input_normalization.get(name)
    if border is not None:
        along = [-1 if d == border.axis else 1 for d in range(len(q.graph.shape(name)))]
        scale, offset = (
            np.array(v, np.float32).reshape(along) for v in (border.scale, border.offset)
        )
        value = w.node("Add", w.node("Mul", value, w.constant(scale)), w.constant(offset))
    if name in q.params:
        w.store(name, value, q.params[name])
    else:
        w.integers[name] = w.reals[name] = value


def _step(w: Writer, plan: Plan, step: QuantizedNode, fidelity: Fidelity | None) -> None:
    q, name, act = plan.quant, step.node.name, step.attrs.get("act", ())
    w.label, w.notes = step.node.label, _notes(plan, step, fidelity)
    write = WRITE[step.node.op]
    constants = CALLS[step.node.op](w, step) if step.node.op in CALLS else None
    if constants is None:
        y = requantised(w, step, write(w, step, *(w.reals[x] for x in step.operands)))
    else:
        stated = STATED[step.node.op](step) if step.node.op in STATED else {}
        y = called(w, step, write, constants, stated)
    if has_table(step.node):
        w.store(name + PRE, y, q.params[name + PRE])
        y = pointwise(w, name + PRE, act)
    elif act:
        y = clamp(w, y, *(bounds(act) or ()))
    if name in q.params:
        w.store(name, y, q.params[name])
    else:
        w.integers[name] = w.reals[name] = y


def _notes(plan: Plan, step: QuantizedNode, fidelity: Fidelity | None) -> dict[str, str]:
    """Metadata of a node: for viewers origin, location of its output, SQNR; for another build
    whether sums are those of unsigned inputs."""
    name, where = step.node.name, plan.where.get(step.node.name)
    sources = dict.fromkeys(o.source for o in step.node.origin if o.source)
    notes = {"module": step.node.label, "source": ", ".join(sources), "op": step.node.op}
    if step.unsigned_sums is not None and OPS[step.node.op].weights:
        notes["sums"] = SUMS[step.unsigned_sums]
    if where is not None:  # None: the layer behind it is computed with it
        notes["memory"] = " ".join(f"{where.kind} {where.index}".split()) + f" + {where.offset}"
    if fidelity is not None:
        for key, sqnr in (("local", fidelity.local), ("cumulative", fidelity.cumulative)):
            value = sqnr.get(name)
            notes[f"sqnr_{key}"] = "" if value is None else f"{value:z.1f} dB"
    return {key: value for key, value in notes.items() if value}


def _serialised(
    w: Writer, q: QuantGraph, model_name: str, inputs: Sequence[str], outputs: Sequence[str]
) -> bytes:
    import onnx
    from onnx import helper, numpy_helper

    def described(names: Sequence[str], shown: Sequence[str]) -> list[Any]:
        types = (TYPES["float32" if name in q.params else q.dtype(name)] for name in names)
        return [*map(helper.make_tensor_value_info, shown, types, map(q.graph.shape, names))]

    int16 = any(value.dtype == np.int16 for value in _constants(w))
    opsets = [helper.make_opsetid("", OPSET_INT16 if int16 else OPSET)]
    domain = [helper.make_opsetid(FUNCTIONS_DOMAIN, 1)] if w.functions else []
    graph = helper.make_graph(
        [_node(node, {f.name for f in w.functions}) for node in w.nodes],
        model_name,
        described(q.graph.inputs, inputs),
        described(q.graph.outputs, outputs),
        [numpy_helper.from_array(value, name) for name, value in w.initializers.items()],
    )
    model = helper.make_model(
        graph,
        functions=[_function(function, opsets) for function in w.functions],
        opset_imports=[*opsets, *domain],
        ir_version=IR_VERSION,
        producer_name="myoedge",
        producer_version=__version__,
    )
    model.metadata_props.add(key="myoedge.digest", value=q.digest)
    known = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    return bytes(known.SerializeToString(deterministic=True))


def _constants(w: Writer) -> Iterator[Array]:
    yield from w.initializers.values()
    for function in w.functions:
        yield from function.constants.values()


def _function(function: OnnxFunction, opsets: Sequence[Any]) -> Any:
    """Constants of a body are nodes; metadata tell which operator it is, and of which nodes."""
    from onnx import helper, numpy_helper

    constants = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
        for name, value in function.constants.items()
    ]
    nodes = [*constants, *map(_node, function.nodes)]
    made = helper.make_function(
        FUNCTIONS_DOMAIN, function.name, function.inputs, [function.output], nodes, opsets
    )
    bodies = (node.SerializeToString(deterministic=True) for node in made.node)
    digest = function_digest(function.operator, function.attrs, bodies)
    says = {"op": function.operator, "attrs": function.attrs, "digest": digest}
    for key, value in says.items():
        made.metadata_props.add(key=f"myoedge.{key}", value=value)
    return made


def _node(node: OnnxNode, functions: Collection[str] = ()) -> Any:
    from onnx import helper

    domain = FUNCTIONS_DOMAIN if node.op in functions else ""
    made = helper.make_node(
        node.op, node.inputs, node.outputs, name=node.name, domain=domain, **node.attrs
    )
    for key, value in node.notes.items():
        made.metadata_props.add(key=f"myoedge.{key}", value=value)
    return made
