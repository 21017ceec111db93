# SPDX-License-Identifier: Apache-2.0
"""Plan -> model.int8.onnx: the network as QuantizeLinear/DequantizeLinear, for another judge.

Every operator is ONNX's own float operator between the integers of its tensors, so that onnxruntime
computes the outputs without any of our integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from myoedge.codegen.qdq.operators import WRITE
from myoedge.codegen.qdq.writer import OnnxWriter
from myoedge.graph.ir import InputNormalization
from myoedge.numerics.pointwise import bounds
from myoedge.operators.base import QuantizedNode
from myoedge.operators.elementwise.qdq import clamp, pointwise
from myoedge.operators.interpreter import PRE, has_table
from myoedge.plan.plan import Plan
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import Fidelity
from myoedge.version import __version__

# Integers of 16 bits came with opset 21. In models of that opset onnxruntime's extended
# optimisations write QuantizeLinear with an output_dtype that its own change to uint8 contradicts,
# and refuse that then.
OPSET, OPSET_WIDE = 20, 21
IR_VERSION = 10  # has metadata on nodes


def qdq_model(plan: Plan, model_name: str, fidelity: Fidelity | None = None) -> bytes:
    """A serialised ONNX model, float in and float out, in the model's own names and axis orders.

    fidelity   SQNR per tensor, shown with the nodes
    The same plan gives the same bytes. Not for networks of more than 2 GiB.
    """
    q, w = (
        plan.quant,
        OnnxWriter(plan.quant.params, plan.quant.graph.constants, plan.quant.constants),
    )
    ports = [w.free(name) for name in q.graph.inputs]
    shown = [w.free(name) for name in q.graph.output_names or q.graph.outputs]
    for name, port in zip(q.graph.inputs, ports, strict=True):
        _input(w, q, name, port)
    for name, values in q.constants.items():
        w.label, w.notes = name, {"constant": name}
        w.integers[name] = w.constant(values, f"{name}.q")
        w.dequantize(name, q.params[name])
    for step in q.steps:
        _step(w, plan, step, fidelity)
    for name, output in zip(q.graph.outputs, shown, strict=True):
        _output(w, q, name, output)
    return _serialised(w, q, model_name, ports, shown)


def _opset(w: OnnxWriter) -> int:
    """The lowest opset that has all operators of the model."""
    from onnx import TensorProto

    wide = any(constant.data_type == TensorProto.INT16 for constant in w.initializers)
    return OPSET_WIDE if wide else OPSET


def _input(w: OnnxWriter, q: QuantGraph, name: str, port: str) -> None:
    w.label, w.notes = name, {"input": name}
    border = q.graph.borders.get(name)
    value = port if border is None else _border(w, border, port, len(q.graph.shape(name)))
    if name in q.params:
        w.store(name, value, q.params[name])
    else:
        w.integers[name] = w.reals[name] = value


def _border(w: OnnxWriter, border: InputNormalization, x: str, rank: int) -> str:
    along = [-1 if d == border.axis else 1 for d in range(rank)]
    scale, offset = (np.array(v, np.float32).reshape(along) for v in (border.scale, border.offset))
    return w.node("Add", w.node("Mul", x, w.constant(scale)), w.constant(offset))


def _step(w: OnnxWriter, plan: Plan, step: QuantizedNode, fidelity: Fidelity | None) -> None:
    q, name, act = plan.quant, step.node.name, step.attrs.get("act", ())
    w.label, w.notes = step.node.label, _notes(plan, step, fidelity)
    y = WRITE[step.node.op](w, step, *(w.reals[x] for x in step.operands))
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
    """Metadata of a node for viewers: origin, location of its output, SQNR."""
    name, where = step.node.name, plan.where[step.node.name]
    sources = dict.fromkeys(o.source for o in step.node.origin if o.source)
    notes = {"module": step.node.label, "source": ", ".join(sources), "op": step.node.op}
    notes["memory"] = " ".join(f"{where.kind} {where.index}".split()) + f" + {where.offset}"
    if fidelity is not None:
        notes |= {"sqnr_local": _db(fidelity.local.get(name))}
        notes |= {"sqnr_cumulative": _db(fidelity.cumulative.get(name))}
    return {key: value for key, value in notes.items() if value}


def _db(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} dB"


def _output(w: OnnxWriter, q: QuantGraph, name: str, output: str) -> None:
    w.label, w.notes = output, {"output": output}
    if w.integers[name] == w.reals.get(name):
        w.node("Identity", w.integers[name], output=output)
        return
    w.dequantize(name, q.params[name], output)


def _serialised(
    w: OnnxWriter, q: QuantGraph, model_name: str, ports: Sequence[str], shown: Sequence[str]
) -> bytes:
    import onnx
    from onnx import helper

    graph = helper.make_graph(
        w.nodes,
        model_name,
        [_value(q, n, port) for n, port in zip(q.graph.inputs, ports, strict=True)],
        [_value(q, n, output) for n, output in zip(q.graph.outputs, shown, strict=True)],
        w.initializers,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _opset(w))],
        ir_version=IR_VERSION,
        producer_name="myoedge",
        producer_version=__version__,
    )
    model.metadata_props.add(key="myoedge.digest", value=q.digest)
    known = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    return bytes(known.SerializeToString(deterministic=True))


def _value(q: QuantGraph, name: str, shown: str) -> Any:
    from onnx import TensorProto, helper

    element = TensorProto.FLOAT if name in q.params else TensorProto.INT32
    return helper.make_tensor_value_info(shown, element, q.graph.shape(name))
