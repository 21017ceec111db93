# SPDX-License-Identifier: Apache-2.0
"""Export of model.int8.onnx: the network with QuantizeLinear and DequantizeLinear nodes, for
cross-checking with onnxruntime.

Every operator is a float operator of ONNX between dequantised and requantised tensors, so that
onnxruntime uses none of our integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from myoedge.numerics.pointwise import bounds
from myoedge.operators.base import QuantizedNode
from myoedge.operators.elementwise import clamp, pointwise
from myoedge.operators.interpreter import PRE, has_table
from myoedge.operators.loop import write_in_step
from myoedge.operators.qdq import TYPES, OnnxNode, Write, Writer, operator_writers, written_real
from myoedge.operators.turns import IN_LOOPS, has_loops, turns
from myoedge.plan.plan import Plan
from myoedge.quantization.fidelity import Fidelity
from myoedge.quantization.scales import QuantGraph
from myoedge.version import __version__

# int16 needs opset 21. onnxruntime's extended optimisations then write QuantizeLinear nodes whose
# output_dtype contradicts their change to uint8, and reject these nodes.
OPSET, OPSET_INT16 = 20, 21
ML, OPSET_ML = "ai.onnx.ml", 3
IR_VERSION = 10  # supports metadata of nodes
WRITE = operator_writers()


def qdq_model(plan: Plan, model_name: str, fidelity: Fidelity | None = None) -> bytes:
    """Return a serialised ONNX model with float inputs and outputs, in the names and axis orders of
    the user's model.

    fidelity   SQNR per tensor, shown with the nodes
    Equal plans give equal bytes. Networks are limited to 2 GiB.
    """
    q = plan.quant
    w = Writer(q.params, q.graph.arrays)
    inputs = [w.free(name) for name in q.graph.inputs]
    outputs = [w.free(name) for name in q.graph.output_labels]
    for name, port in zip(q.graph.inputs, inputs, strict=True):
        _write_input(w, q, name, port)
    for name, values in q.constants.items():
        w.label, w.notes = name, {"constant": name}
        w.integers[name] = w.constant(values, f"{name}.q")
        w.dequantize(name, q.params[name])
    w.shares = has_loops(q.graph)
    rows: dict[str, list[str]] = {}
    for step, node, turn in turns([step.node for step in q.steps], q.steps):
        if node.op in IN_LOOPS:
            w.label, w.notes = node.label, _viewer_notes(plan, step, fidelity)
            write_in_step(w, node, turn, rows)
        else:
            _write_step(w, plan, step, fidelity)
    for name, output in zip(q.graph.outputs, outputs, strict=True):
        w.label, w.notes = output, {"output": output}
        if w.integers[name] == w.reals.get(name):
            w.node("Identity", w.integers[name], output=output)
        else:
            w.dequantize(name, q.params[name], output)
    return _serialise_model(w, q, model_name, inputs, outputs)


def _write_input(w: Writer, q: QuantGraph, name: str, value: str) -> None:
    w.label, w.notes = name, {"input": name}
    port = q.input_port(name)
    if (border := port.normalization) is not None:
        along = [-1 if d == border.axis else 1 for d in range(len(port.shape))]
        scale, offset = (
            np.array(v, np.float32).reshape(along) for v in (border.scale, border.offset)
        )
        value = w.node("Add", w.node("Mul", value, w.constant(scale)), w.constant(offset))
    if port.params is not None:
        w.store(name, value, port.params)
    else:
        w.integers[name] = w.reals[name] = value


def _write_step(w: Writer, plan: Plan, step: QuantizedNode, fidelity: Fidelity | None) -> None:
    q, name, act = plan.quant, step.node.name, step.attrs.get("act", ())
    w.label, w.notes = step.node.label, _viewer_notes(plan, step, fidelity)
    write: Write = WRITE.get(step.node.op, written_real)
    y = write(w, step, *(w.reals[x] for x in step.operands))
    if has_table(step.node):
        w.store(name + PRE, y, q.params[name + PRE])
        y = pointwise(w, name + PRE, act)
    elif act:
        y = clamp(w, y, *(bounds(act) or ()))
    if name in q.params:
        w.store(name, y, q.params[name])
    else:
        w.integers[name] = w.reals[name] = y


def _viewer_notes(plan: Plan, step: QuantizedNode, fidelity: Fidelity | None) -> dict[str, str]:
    """Return metadata of an ONNX node for viewers: origin, location of its output, SQNR."""
    name, where = step.node.name, plan.where.get(step.node.name)
    sources = dict.fromkeys(o.source for o in step.node.origin if o.source)
    notes = {"module": step.node.label, "source": ", ".join(sources), "op": step.node.op}
    if where is not None:  # None: computed by the kernel of the next layer
        notes["memory"] = " ".join(f"{where.kind} {where.index}".split()) + f" + {where.offset}"
    if fidelity is not None:
        for key, sqnr in (("local", fidelity.local), ("cumulative", fidelity.cumulative)):
            value = sqnr.get(name)
            notes[f"sqnr_{key}"] = "" if value is None else f"{value:z.1f} dB"
    return {key: value for key, value in notes.items() if value}


def _serialise_model(
    w: Writer, q: QuantGraph, model_name: str, inputs: Sequence[str], outputs: Sequence[str]
) -> bytes:
    import onnx
    from onnx import helper, numpy_helper

    def described(names: Sequence[str], shown: Sequence[str]) -> list[Any]:
        types = (TYPES["float32" if name in q.params else q.dtype(name)] for name in names)
        return [*map(helper.make_tensor_value_info, shown, types, map(q.graph.shape, names))]

    int16 = any(value.dtype == np.int16 for value in w.initializers.values())
    opsets = [helper.make_opsetid("", OPSET_INT16 if int16 else OPSET)]
    if any(node.op.startswith(ML) for node in w.nodes):
        opsets.append(helper.make_opsetid(ML, OPSET_ML))
    graph = helper.make_graph(
        [*map(_make_node, w.nodes)],
        model_name,
        described(q.graph.inputs, inputs),
        described(q.graph.outputs, outputs),
        [numpy_helper.from_array(value, name) for name, value in w.initializers.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=opsets,
        ir_version=IR_VERSION,
        producer_name="myoedge",
        producer_version=__version__,
    )
    model.metadata_props.add(key="myoedge.digest", value=q.digest)
    known = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    return bytes(known.SerializeToString(deterministic=True))


def _make_node(node: OnnxNode) -> Any:
    from onnx import helper

    domain, _, op = node.op.rpartition(".")
    names = {"name": node.name, "domain": domain or None}
    made = helper.make_node(op, node.inputs, node.outputs, **names, **node.attrs)
    for key, value in node.notes.items():
        made.metadata_props.add(key=f"myoedge.{key}", value=value)
    return made
