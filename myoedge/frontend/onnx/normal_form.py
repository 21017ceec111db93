# SPDX-License-Identifier: Apache-2.0
"""One form for what ONNX files write in several: names of domains, opset imports, an operator that
newer versions of the onnx package reject, and models with older opsets.

The onnx package's converter of opsets runs in a separate process, because a malformed file may
crash it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.operators.graph_builder import Unsupported
from myoedge.system import tools

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

    from myoedge.numerics.arrays import Array

DEFAULT, LONG = "", "ai.onnx"  # both name ONNX's own operators
OWN = (DEFAULT, LONG)
GROUPS_SINCE, CHANNELS_SINCE = 18, 21  # opsets of GroupNormalization with scales per group, channel


def normalize(model: ModelProto, usual_opset: int) -> None:
    """Name the domain of ONNX's own operators "", import it once, and write out deprecated nodes.

    usual_opset   for a file without an operator of that domain, which need not import it
    """
    _rename_domains(model)
    opset = opset_of(model)
    if opset == 0 and not any(node.domain == DEFAULT for node in _all_nodes(model.graph)):
        model.opset_import.add(domain=DEFAULT, version=usual_opset)
    if GROUPS_SINCE <= opset < CHANNELS_SINCE:
        for graph in _all_graphs(model.graph):
            _decompose_group_norms(graph)


def opset_of(model: ModelProto) -> int:
    """Return the opset of ONNX's own operators; 0 if the model names none."""
    return max((o.version for o in model.opset_import if o.domain in OWN), default=0)


def _rename_domains(model: ModelProto) -> None:
    for holder in (model, *model.functions):
        own = [found for found in holder.opset_import if found.domain in OWN]
        if any(found.domain == LONG for found in own):
            version = max(found.version for found in own)
            others = [found for found in holder.opset_import if found.domain not in OWN]
            del holder.opset_import[:]
            holder.opset_import.extend(others)
            holder.opset_import.add(domain=DEFAULT, version=version)
    for node in _all_nodes(model.graph, *model.functions):
        if node.domain == LONG:
            node.domain = DEFAULT


def _decompose_group_norms(graph: GraphProto) -> None:
    """Replace GroupNormalization with scales per group by the normalisation of each group as one
    channel."""
    from onnx import helper

    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    made: list[NodeProto] = []
    for node in graph.node:
        if (node.op_type, node.domain) != ("GroupNormalization", DEFAULT) or len(node.input) != 3:
            made.append(node)
            continue
        values = {found.name: helper.get_attribute_value(found) for found in node.attribute}
        x, *scales = node.input
        names = iter(_unused_names(taken, node.output[0]))
        groups, grouped, normal, shape = (next(names) for _ in range(4))
        channels = [0, values.get("num_groups", 0), -1]
        epsilon = values.get("epsilon", 1e-5)
        made += [
            _make_node("Constant", [], groups, value_ints=channels),
            _make_node("Reshape", [x, groups], grouped),
            _make_node("InstanceNormalization", [grouped, *scales], normal, epsilon=epsilon),
            _make_node("Shape", [x], shape),
            _make_node("Reshape", [normal, shape], node.output[0]),
        ]
        for part in made[-5:]:
            part.name = node.name
            part.metadata_props.extend(node.metadata_props)
    del graph.node[:]
    graph.node.extend(made)


def _make_node(op: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    from onnx import helper

    return helper.make_node(op, inputs, [output], **attributes)


def _unused_names(taken: set[str], stem: str) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        if (name := f"{stem}.{number}") not in taken:
            taken.add(name)
            yield name


def _all_graphs(*graphs: Any) -> Iterator[Any]:
    """Yield graphs, or functions, and all graphs inside of them."""
    pending = [*graphs]
    while pending:
        yield (graph := pending.pop())
        for attribute in (found for node in graph.node for found in node.attribute):
            pending += [attribute.g] if attribute.HasField("g") else []
            pending += attribute.graphs


def _all_nodes(*graphs: Any) -> Iterator[NodeProto]:
    return (node for graph in _all_graphs(*graphs) for node in graph.node)


OLDEST_CONVERTED = (
    7  # onnx converts older models wrongly: batch norm and broadcasts had other rules
)
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
        if ran.returncode < 0:
            raise Unsupported(f"it ended with signal {-ran.returncode}")
        if ran.returncode != 0:
            errors = (line.strip() for line in ran.stderr.splitlines()[::-1] if line.strip())
            raise Unsupported(next(errors, "")[:300])
        made: ModelProto = onnx.ModelProto.FromString((folder / "new.onnx").read_bytes())
    made.ir_version = max(made.ir_version, IR_VERSION)
    _set_resize_modes(made, opset_of(model))
    return made


def _set_resize_modes(made: ModelProto, opset: int) -> None:
    """Set the coordinate mode of converted Upsample and Resize nodes from before opset 11 to
    "asymmetric", as onnxruntime computes them; the converter leaves the default of later opsets.

    Errors: Unsupported.
    """
    import onnx

    if opset >= RESIZE_SAYS_PLACES:
        return
    scales = {x.name: onnx.numpy_helper.to_array(x) for x in made.graph.initializer}
    for node in _all_nodes(made.graph):
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            scales[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type == "Resize":
            rounding = _nearest_mode(node, np.ones(1) if opset < 10 else scales.get(node.input[2]))
            places = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": rounding}
            node.attribute.extend(onnx.helper.make_attribute(*pair) for pair in places.items())


def _nearest_mode(node: NodeProto, scales: Array | None) -> str:
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
