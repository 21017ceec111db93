# SPDX-License-Identifier: Apache-2.0
"""QuantGraph <-> graph.json and weights.safetensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.graph.ir import Graph, InputNormalization, Node, Origin, Tensor, describe, plain
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import ElementType
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS, QuantizedNode, QuantizedParams
from myoedge.quantization.calibrate import Calibration, Observer
from myoedge.quantization.scales import QuantGraph


def to_json(q: QuantGraph) -> dict[str, Any]:
    """The network in integers without its arrays: nodes, parameters, scalars."""
    return {
        **describe(q.graph),
        "digest": q.digest,
        "params": {
            name: {"scale": p.scale, "zero_point": p.zero_point, "dtype": str(p.element_type)}
            for name, p in sorted(q.params.items())
        },
        "steps": [_step_json(step) for step in q.steps],
        "calibration": {
            "ranges": {name: list(span) for name, span in sorted(q.calibration.ranges.items())},
            "count": q.calibration.count,
            "source": q.calibration.source,
            "digest": q.calibration.digest,
            "observer": q.calibration.observer.method,
        },
    }


def _step_json(step: QuantizedNode) -> dict[str, Any]:
    return {
        "name": step.node.name,
        "operands": list(step.operands),
        "scalars": plain(dict(sorted(step.integers.scalars.items()))),
        "arrays": sorted(step.integers.arrays),
        "low": step.low,
        "high": step.high,
        "item": step.element_type.size_bytes,
    }


def arrays(q: QuantGraph) -> dict[str, Array]:
    """Every integer array by a name: "relu_3/weight"; constant operands as "constant/..."."""
    found = {
        f"{step.node.name}/{key}": value
        for step in q.steps
        for key, value in sorted(step.integers.arrays.items())
    }
    return found | {f"constant/{name}": value for name, value in sorted(q.constants.items())}


def to_safetensors(q: QuantGraph) -> bytes:
    """weights.safetensors; the same bytes for the same network."""
    from safetensors.numpy import save

    packed = {name: np.ascontiguousarray(value) for name, value in arrays(q).items()}
    return bytes(save(packed, metadata={"format": "myoedge.weights/1"}))


def from_files(document: Mapping[str, Any], weights: bytes) -> QuantGraph:
    """The network as build wrote it; without float weights, so that it runs in integers only."""
    from safetensors.numpy import load

    stored = load(weights)
    constants = {n.split("/", 1)[1]: a for n, a in stored.items() if n.startswith("constant/")}
    graph = _graph(document, constants)
    params = {name: _params(fields) for name, fields in document["params"].items()}
    nodes = {node.name: node for node in graph.nodes}
    steps = tuple(_step(graph, nodes[s["name"]], s, stored, document) for s in document["steps"])
    calibration = _calibration(document["calibration"])
    return QuantGraph(graph, params, steps, constants, calibration, document["digest"])


def _params(fields: Mapping[str, Any]) -> QuantParams:
    return QuantParams(fields["scale"], fields["zero_point"], ElementType.of(fields["dtype"]))


def _graph(document: Mapping[str, Any], constants: Mapping[str, Array]) -> Graph:
    tensors = {
        name: Tensor(name, tuple(t["shape"]), t["dtype"]) for name, t in document["tensors"].items()
    }
    borders = {
        name: InputNormalization(tuple(b["scale"]), tuple(b["offset"]), b["axis"])
        for name, b in document["borders"].items()
    }
    nodes = tuple(_node(fields) for fields in document["nodes"])
    inputs, outputs, names = (tuple(document[k]) for k in ("inputs", "outputs", "output_names"))
    return Graph(inputs, outputs, nodes, tensors, constants, names, borders)


def _node(fields: Mapping[str, Any]) -> Node:
    attrs = {key: _frozen(value) for key, value in fields["attrs"].items()}
    origin = tuple(Origin(o["path"], o["source"]) for o in fields["origin"])
    return Node(fields["op"], tuple(fields["inputs"]), tuple(fields["outputs"]), attrs, origin)


def _frozen(value: Any) -> Any:
    """Lists back to tuples, and the infinities that JSON cannot hold."""
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return (
        {"inf": math.inf, "-inf": -math.inf}.get(value, value) if isinstance(value, str) else value
    )


def _step(
    graph: Graph,
    node: Node,
    fields: Mapping[str, Any],
    stored: Mapping[str, Array],
    document: Mapping[str, Any],
) -> QuantizedNode:
    operands = tuple(fields["operands"])
    shapes = tuple(tuple(_shape(graph, document, name)) for name in operands)
    held = {key: stored[f"{node.name}/{key}"] for key in fields["arrays"]}
    integers = QuantizedParams(fields["scalars"], held)
    assert node.op in OPS
    last = (fields["low"], fields["high"], ElementType(8 * fields["item"]))
    return QuantizedNode(node, operands, shapes, graph.shape(node.name), integers, *last)


def _shape(graph: Graph, document: Mapping[str, Any], name: str) -> tuple[int, ...]:
    if name in graph.tensors:
        return graph.tensors[name].shape
    return tuple(document["constants"][name]["shape"])


def _calibration(fields: Mapping[str, Any]) -> Calibration:
    ranges = {name: (low, high) for name, (low, high) in fields["ranges"].items()}
    observer = Observer(fields["observer"])
    return Calibration(ranges, fields["count"], fields["source"], fields["digest"], observer)
