# SPDX-License-Identifier: Apache-2.0
"""Conversion of models with older opsets, by the onnx package.

The converter runs in a separate process, because a malformed file may crash it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.frontend.onnx.normal_form import opset_of
from myoedge.operators.graph_builder import Unsupported
from myoedge.system import tools

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

    from myoedge.numerics.arrays import Array

OLDEST = 7  # onnx converts older models wrongly: batch norm and broadcasts had other rules
MOST_S = 120.0
RESIZE_SAYS_PLACES = 11
IR_VERSION = 4  # since then, initialisers (which the converter adds) need not be inputs
# Some operators' converters need shapes.
PROGRAM = """
import sys, onnx
from onnx import shape_inference, version_converter
model = shape_inference.infer_shapes(onnx.load("old.onnx"))
onnx.save(version_converter.convert_version(model, int(sys.argv[1])), "new.onnx")
"""


def converted(model: ModelProto, opset: int) -> ModelProto:
    """Convert a model to another opset of ONNX's own operators.

    Errors: Unsupported, with the converter's message, if it fails or crashes.
    """
    import onnx

    with tools.scratch() as folder:
        (folder / "old.onnx").write_bytes(model.SerializeToString())
        try:
            command = [sys.executable, "-I", "-c", PROGRAM, str(opset)]
            ran = tools.run(command, cwd=folder, timeout_s=MOST_S)
        except MyoedgeError as error:
            raise Unsupported(f"it took longer than {MOST_S:.0f} s") from error
        if ran.returncode != 0:
            raise Unsupported(_reason(ran))
        made: ModelProto = onnx.ModelProto.FromString((folder / "new.onnx").read_bytes())
    made.ir_version = max(made.ir_version, IR_VERSION)
    _resizes_as_before(made, opset_of(model))
    return made


def _resizes_as_before(made: ModelProto, opset: int) -> None:
    """Set the coordinate mode of converted Upsample and Resize nodes from before opset 11 to
    "asymmetric", as onnxruntime computes them; the converter leaves the default of later opsets.

    Errors: Unsupported.
    """
    import onnx

    if opset >= RESIZE_SAYS_PLACES:
        return
    scales = {x.name: onnx.numpy_helper.to_array(x) for x in made.graph.initializer}
    for node in _nodes(made.graph):
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            scales[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type == "Resize":
            rounding = _rounding(node, np.ones(1) if opset < 10 else scales.get(node.input[2]))
            places = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": rounding}
            node.attribute.extend(onnx.helper.make_attribute(*pair) for pair in places.items())


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes of a graph, then the nodes of its subgraphs."""
    pending = [graph]
    while pending:
        for node in pending.pop().node:
            pending += [a.g for a in node.attribute if a.HasField("g")]
            yield node


def _rounding(node: NodeProto, scales: Array | None) -> str:
    """Return onnxruntime's nearest_mode for a Resize of opset 10: "ceil" if an axis shrinks,
    otherwise "floor".

    Errors: Unsupported if another axis grows, or the factors are unknown.
    """
    if any(a.name == "mode" and a.s != b"nearest" for a in node.attribute):
        return "floor"
    if scales is None:
        raise Unsupported("Resize to the nearest element by factors that are no constants")
    if (scales < 1).any() and (scales > 1).any():
        raise Unsupported("Resize makes one axis longer and another one shorter")
    return "ceil" if (scales < 1).any() else "floor"


def _reason(ran: tools.CompletedProcess) -> str:
    """Return why a program failed: its last line of error output, or the signal that ended it."""
    if ran.returncode < 0:
        return f"it ended with signal {-ran.returncode}"
    return next((line.strip() for line in ran.stderr.splitlines()[::-1] if line.strip()), "")[:300]
