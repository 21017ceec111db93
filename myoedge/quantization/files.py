# SPDX-License-Identifier: Apache-2.0
"""Files of a quantised network in a build: graph.json and weights.safetensors."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.graph.constants import Constant, as_constants
from myoedge.graph.input_normalization import InputNormalization
from myoedge.graph.ir import Graph, Node, Shape, Tensor, describe, plain
from myoedge.graph.origin import Origin
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.element_type import ElementType
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.checks import check
from myoedge.operators.queries import attribute_fault, params_of
from myoedge.quantization.calibrate import Calibration, Observer
from myoedge.quantization.scales import QuantGraph, element_type

MOST_ELEMENTS = 2**26  # of a tensor; more than fit into any memory of a chip


def to_json(q: QuantGraph) -> dict[str, Any]:
    """Return the network without its arrays: nodes, quantisation parameters, scalar constants."""
    # The formats of weights that samples or a search rounded, for builds that reuse this one; {}
    # without any
    rows = {
        name: {"scale": list(f.scale), "high": f.high, "floats": f.floats}
        for name, f in sorted(q.graph.formats.items())
        if f.floats and name in _layers_of_weights(q.steps)
    }
    return {
        **describe(q.graph),
        "digest": q.digest,
        "params": {
            name: {"scale": p.scale, "zero_point": p.zero_point, "dtype": str(p.element_type)}
            for name, p in sorted(q.params.items())
        },
        "steps": [
            {
                "name": step.node.name,
                "operands": list(step.operands),
                "scalars": plain(dict(sorted(step.integers.scalars.items()))),
                "arrays": sorted(step.integers.arrays),
                "low": step.low,
                "high": step.high,
                "item": step.element_type.size_bytes,
            }
            for step in q.steps
        ],
        **({"rounded": rows} if rows else {}),
        "calibration": {
            "ranges": {name: list(span) for name, span in sorted(q.calibration.ranges.items())},
            "count": q.calibration.count,
            "source": q.calibration.source,
            "digest": q.calibration.digest,
            "observer": q.calibration.observer.method,
        },
    }


def _layers_of_weights(steps: Iterable[QuantizedNode]) -> dict[str, QuantizedNode]:
    """Return weight -> a layer that stores its integers."""
    rows = ((step, OPS[step.node.op].weights) for step in steps)
    return {step.node.inputs[x.at[0]]: step for step, x in rows if x.multiplicands is not None}


def _read_rounded(
    document: Mapping[str, Any], steps: Iterable[QuantizedNode], shapes: Mapping[str, Shape]
) -> dict[str, Constant]:
    """Read the weights that samples or a search rounded, as dequantised constants with formats.

    shapes   shapes of the constants
    Errors: ValueError for a format that does not have the integers of its layer.
    """
    layers, found = _layers_of_weights(steps), dict[str, Constant]()
    for name, row in document.get("rounded", {}).items():
        integers = layers[name].integers.arrays["weight"].reshape(shapes[name])
        scale, high = tuple(map(float, row["scale"])), int(row["high"])
        if len(scale) != len(integers) or np.abs(integers.astype(np.int64)).max() > high:
            raise ValueError(f"{name} has integers of another format")
        zeros, floats = (0,) * len(scale), str(row["floats"])
        stored = ConstantFormat(scale, zeros, -high, high, integers=integers, floats=floats)
        found[name] = Constant(stored.real(integers), stored)
    return found


def arrays(q: QuantGraph) -> dict[str, Array]:
    """Return all integer arrays by name: "relu_3/weight"; constant operands are named
    "constant/..."."""
    named = {
        f"{step.node.name}/{key}": value
        for step in q.steps
        for key, value in sorted(step.integers.arrays.items())
    }
    return named | {f"constant/{name}": value for name, value in sorted(q.constants.items())}


def model_digest(q: QuantGraph) -> str:
    """Return the sha256 of everything that a network computes with: the float network's digest,
    scales, zero points and all integers. Two calibrations of one network have different digests."""
    document = to_json(q)
    computed = {key: document[key] for key in ("digest", "params", "steps")}
    sha = hashlib.sha256(json.dumps(computed, sort_keys=True).encode())
    for name, array in arrays(q).items():
        little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"))
        sha.update(f"{name} {array.dtype} {array.shape}\n".encode() + little.tobytes())
    return sha.hexdigest()


def to_safetensors(q: QuantGraph) -> bytes:
    """Build weights.safetensors; equal networks give equal bytes."""
    from safetensors.numpy import save

    packed = {name: np.ascontiguousarray(value) for name, value in arrays(q).items()}
    return bytes(save(packed, metadata={"format": "myoedge.weights/1"}))


def _read_tensors(document: Mapping[str, Any]) -> dict[str, Tensor]:
    borders = {
        name: InputNormalization(tuple(b["scale"]), tuple(b["offset"]), b["axis"])
        for name, b in document["borders"].items()
    }
    return {
        name: Tensor(name, tuple(t["shape"]), t["dtype"], input_normalization=borders.get(name))
        for name, t in document["tensors"].items()
    }


def from_files(document: Mapping[str, Any], weights: bytes) -> QuantGraph:
    """Load the quantised network of a build; it has no float weights and runs only in integers.

    document   parsed graph.json
    weights    content of weights.safetensors
    Errors: ValueError, or another exception of Python, for files that do not describe a network.
    """
    stored = _read_weights(weights)
    constants = {n.split("/", 1)[1]: a for n, a in stored.items() if n.startswith("constant/")}
    tensors = _read_tensors(document)
    nodes = {row["outputs"][0]: _read_node(row) for row in document["nodes"]}
    inputs, outputs, names = (tuple(document[k]) for k in ("inputs", "outputs", "output_names"))
    graph = Graph(inputs, outputs, tuple(nodes.values()), tensors, as_constants(constants), names)
    shapes = weight_shapes(document)
    shapes |= {name: tensor.shape for name, tensor in tensors.items()}
    _check_loaded_graph(graph, weight_shapes(document))
    params = {
        name: QuantParams(p["scale"], p["zero_point"], ElementType.of(p["dtype"]))
        for name, p in document["params"].items()
    }
    steps = tuple(
        _read_step(fields, nodes, shapes, partial(element_type, graph, params), stored)
        for fields in document["steps"]
    )
    rounded = _read_rounded(document, steps, weight_shapes(document))
    graph = replace(graph, constants={**graph.constants, **rounded})
    ran = document["calibration"]
    ranges = {name: (low, high) for name, (low, high) in ran["ranges"].items()}
    observer = Observer(ran["observer"])
    calibration = Calibration(ranges, ran["count"], ran["source"], ran["digest"], observer)
    return QuantGraph(graph, params, steps, constants, calibration, document["digest"])


def weight_shapes(document: Mapping[str, Any]) -> dict[str, Shape]:
    """Return the shapes of all constants of the float network, by name, from graph.json."""
    return {name: tuple(c["shape"]) for name, c in document["constants"].items()}


def _read_step(
    fields: Mapping[str, Any],
    nodes: Mapping[str, Node],
    shapes: Mapping[str, Shape],
    type_of: Callable[[str], ElementType],
    stored: Mapping[str, Array],
) -> QuantizedNode:
    node, operands = nodes[fields["name"]], tuple(fields["operands"])
    held = {key: stored[f"{node.name}/{key}"] for key in fields["arrays"]}
    if not all(isinstance(value, int) for value in fields["scalars"].values()):
        raise ValueError(f"{node.name} has a scalar that is no integer")
    integers = params_of(node.op, {**fields["scalars"], **held})
    last = (fields["low"], fields["high"], ElementType(8 * fields["item"]))
    read = tuple(shapes[name] for name in operands)
    types = tuple(map(type_of, operands))
    out = shapes[node.name]
    return QuantizedNode(node, operands, read, out, integers, *last, operand_types=types)


def _read_node(fields: Mapping[str, Any]) -> Node:
    attrs = {key: _freeze_lists(value) for key, value in fields["attrs"].items()}
    origin = tuple(Origin(o["path"], o["source"], o.get("part", "")) for o in fields["origin"])
    return Node(fields["op"], tuple(fields["inputs"]), tuple(fields["outputs"]), attrs, origin)


def _freeze_lists(value: Any) -> Any:
    """Convert lists of a JSON document to tuples, and "inf" and "-inf" to floats.

    Errors: ValueError for a mapping, which no operator has.
    """
    if isinstance(value, dict):
        raise ValueError("an attribute is a mapping")
    if isinstance(value, list):
        return tuple(map(_freeze_lists, value))
    return float(value) if value in ("inf", "-inf") else value


def _check_loaded_graph(graph: Graph, weights: Mapping[str, Shape]) -> None:
    """Raise an error unless the graph is one that a build may have: attributes that its operators
    allow, and shapes and element types that they give.

    weights   shapes of the constants
    """
    shapes = {**weights, **{name: tensor.shape for name, tensor in graph.tensors.items()}}
    for name, shape in shapes.items():
        if math.prod(shape) > MOST_ELEMENTS:
            raise ValueError(f"{name} has shape {list(shape)}")
    ones = {name: np.broadcast_to(np.float32(1), shape) for name, shape in weights.items()}
    whole = replace(graph, constants=as_constants(ones))
    for node in whole.nodes:
        of_inputs = [*map(whole.shape, node.inputs)]
        if reason := attribute_fault(node, of_inputs, [*map(whole.dtype, node.inputs)]):
            raise ValueError(f"{node.name}: {node.op} with {reason}")
    check(whole, "read")


def _read_weights(weights: bytes) -> dict[str, Array]:
    """Read weights.safetensors. Errors: ValueError if it is damaged or has floats."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        stored = load(weights)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    if floats := [name for name, array in stored.items() if array.dtype.kind not in "iu"]:
        raise ValueError(f"{floats[0]} is not of integers")
    return dict(stored)


def npz(arrays: Mapping[str, Array]) -> bytes:
    """Return an npz file without timestamps, so that equal arrays give equal bytes."""
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            member = io.BytesIO()
            np.save(member, values, allow_pickle=False)
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), member.getvalue()
            )
    return packed.getvalue()


def unpacked_npz(data: bytes) -> dict[str, Array]:
    """Read the arrays that `npz` packed. Errors: ValueError for any other file, such as one whose
    members are compressed or larger than the file."""
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("members that are not stored as they are")
    if sum(member.file_size for member in members) > len(data):
        raise ValueError("members that overlap")
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
