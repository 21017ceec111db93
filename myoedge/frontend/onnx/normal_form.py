# SPDX-License-Identifier: Apache-2.0
"""One form for what ONNX files write in several: names of domains, opset imports, and an operator
that newer versions of the onnx package reject."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

DEFAULT, LONG = "", "ai.onnx"  # both name ONNX's own operators
OWN = (DEFAULT, LONG)
GROUPS_SINCE, CHANNELS_SINCE = 18, 21  # opsets of GroupNormalization with scales per group, channel


def normalize(model: ModelProto, usual_opset: int) -> None:
    """Name the domain of ONNX's own operators "", import it once, and write out deprecated nodes.

    usual_opset   for a file without an operator of that domain, which need not import it
    """
    _rename_domains(model)
    opset = opset_of(model)
    if opset == 0 and not any(node.domain == DEFAULT for node in _nodes(model.graph)):
        model.opset_import.add(domain=DEFAULT, version=usual_opset)
    if GROUPS_SINCE <= opset < CHANNELS_SINCE:
        for graph in _graphs(model.graph):
            _write_out_group_norms(graph)


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
    for node in _nodes(model.graph, *model.functions):
        if node.domain == LONG:
            node.domain = DEFAULT


def _write_out_group_norms(graph: GraphProto) -> None:
    """Replace GroupNormalization with scales per group by what it is: the normalisation of each
    group as one channel."""
    from onnx import helper

    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    made: list[NodeProto] = []
    for node in graph.node:
        if (node.op_type, node.domain) != ("GroupNormalization", DEFAULT) or len(node.input) != 3:
            made.append(node)
            continue
        values = {found.name: helper.get_attribute_value(found) for found in node.attribute}
        x, *scales = node.input
        names = iter(_free_names(taken, node.output[0]))
        groups, grouped, normal, shape = (next(names) for _ in range(4))
        channels = [0, values.get("num_groups", 0), -1]
        epsilon = values.get("epsilon", 1e-5)
        made += [
            _node("Constant", [], groups, value_ints=channels),
            _node("Reshape", [x, groups], grouped),
            _node("InstanceNormalization", [grouped, *scales], normal, epsilon=epsilon),
            _node("Shape", [x], shape),
            _node("Reshape", [normal, shape], node.output[0]),
        ]
        for part in made[-5:]:
            part.name = node.name
            part.metadata_props.extend(node.metadata_props)
    del graph.node[:]
    graph.node.extend(made)


def _node(op: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    from onnx import helper

    return helper.make_node(op, inputs, [output], **attributes)


def _free_names(taken: set[str], stem: str) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        if (name := f"{stem}.{number}") not in taken:
            taken.add(name)
            yield name


def _graphs(*graphs: Any) -> Iterator[Any]:
    """Yield graphs, or functions, and all graphs inside of them."""
    pending = [*graphs]
    while pending:
        yield (graph := pending.pop())
        for attribute in (found for node in graph.node for found in node.attribute):
            pending += [attribute.g] if attribute.HasField("g") else []
            pending += attribute.graphs


def _nodes(*graphs: Any) -> Iterator[NodeProto]:
    return (node for graph in _graphs(*graphs) for node in graph.node)
