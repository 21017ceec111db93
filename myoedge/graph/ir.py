# SPDX-License-Identifier: Apache-2.0
"""Graphs: nodes, and tensors and constants with their quantisation parameters; all immutable."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from myoedge.graph.constants import Constant, ConstantValues, TensorQuant
from myoedge.graph.input_normalization import InputNormalization
from myoedge.graph.origin import Origin
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.quant_params import QuantParams

Shape = tuple[int, ...]
Attrs = Mapping[str, Any]
PRE = ".pre"  # suffix of the value before a fused table


def ranked(shape: Sequence[int], rank: int) -> Shape:
    """Return a shape extended to `rank` axes by leading axes of size 1, as broadcasting does."""
    return (1,) * (rank - len(shape)) + tuple(shape)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the graph: an input, or the result of a node.

    dtype   "float32" for tensors to quantise; else an integer type: "int32", "uint8", "int16"
    q       quantisation parameters from a file or an older build; None: calibrated
    pre_q   quantisation parameters of the value before a fused lookup table
    input_normalization   factor and offset that the host applies to an input
    """

    name: str
    shape: Shape
    dtype: str = "float32"
    q: TensorQuant | None = None
    pre_q: TensorQuant | None = None
    input_normalization: InputNormalization | None = None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of the graph.

    op                name of the operator
    inputs, outputs   names of tensors and constants
    attrs             attributes
    origin            places in the user's program that it comes from
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Attrs = field(default_factory=dict)
    origin: tuple[Origin, ...] = ()

    @property
    def name(self) -> str:
        return self.outputs[0]

    @property
    def label(self) -> str:
        """Name for reports: module path(s) "block.0.conv + block.0.relu", else the tensor's
        name."""
        paths = dict.fromkeys(o.layer or o.source for o in self.origin)
        return " + ".join(p for p in paths if p) or self.name

    @property
    def where(self) -> str:
        """Place in the user's program for error messages: "encoder.2 (conv, net.py:41)"."""
        source = next((o.source for o in self.origin if o.source), "")
        known = self.op if source in self.label else f"{self.op}, {source}"
        return f"{self.label} ({known})"

    def but(self, **changes: Any) -> Node:
        return replace(self, **changes)

    def reading(self, names: Mapping[str, str]) -> Node:
        """Return the node with its inputs renamed by `names`."""
        return replace(self, inputs=tuple(names.get(x, x) for x in self.inputs))


@dataclass(frozen=True)
class Graph(ConstantValues):
    """A network in execution order; every tensor name is written once.

    inputs, outputs   tensor names in the user's order (an output may repeat)
    nodes             operators
    tensors           every input and every node output, by name
    constants         arrays that nodes read, by name
    output_names      names of the outputs in the model file
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    constants: Mapping[str, Constant]
    output_names: tuple[str, ...] = ()

    @property
    def output_labels(self) -> tuple[str, ...]:
        """Names of the outputs for the user: those of the model file, otherwise the tensors'."""
        return self.output_names or self.outputs

    @property
    def label_of(self) -> dict[str, str]:
        """Tensor -> name for the user, of every output."""
        return dict(zip(self.outputs, self.output_labels, strict=True))

    @cached_property
    def producer(self) -> Mapping[str, Node]:
        return {out: node for node in self.nodes for out in node.outputs}

    @cached_property
    def users(self) -> Mapping[str, Sequence[Node]]:
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return found

    def only_user(self, name: str) -> Node | None:
        """Return the only reader of a tensor; None if it has several readers or is an output."""
        users = self.users.get(name, ())
        return users[0] if len(users) == 1 and name not in self.outputs else None

    def shape(self, name: str) -> Shape:
        if name in self.constants:
            return tuple(self.constants[name].array.shape)
        return self.tensors[name].shape

    def dtype(self, name: str) -> str:
        """Return a tensor's element type; "float32" for a constant."""
        return "float32" if name in self.constants else self.tensors[name].dtype

    def format(self, name: str) -> ConstantFormat | None:
        """Return the integer format (scale, zero point, limits) in which the model file stores a
        constant; None if it stores floats."""
        found = self.constants.get(name)
        return None if found is None else found.format

    def given(self, name: str) -> TensorQuant | None:
        """Return the quantisation parameters of a tensor or constant from the model file or an
        older build; None without any.

        name   name of the tensor or constant; `name.pre` is the value before a fused lookup table
        """
        found = self.tensors.get(name) or self.constants.get(name)
        if found is not None:
            return found.q
        owner = self.tensors.get(name.removesuffix(PRE))
        return None if owner is None else owner.pre_q

    def given_params(self, name: str) -> QuantParams | None:
        found = self.given(name)
        return None if found is None else found.params

    def is_fake_quantized(self, name: str) -> bool:
        found = self.given(name)
        return found is not None and found.fake_quantized

    @cached_property
    def all_given(self) -> Mapping[str, TensorQuant]:
        """Quantisation parameters from the model file or an older build, by name of a tensor, a
        constant, or `name.pre`."""
        rows = [(t.name, t.q) for t in self.tensors.values()]
        rows += [(t.name + PRE, t.pre_q) for t in self.tensors.values()]
        rows += [(name, c.q) for name, c in self.constants.items()]
        return {name: q for name, q in rows if q is not None}

    @cached_property
    def has_fake_quantized(self) -> bool:
        return any(q.fake_quantized for q in self.all_given.values())

    @cached_property
    def formats(self) -> Mapping[str, ConstantFormat]:
        """Integer formats of the constants that the model file stores as integers, by name."""
        return {name: c.format for name, c in self.constants.items() if c.format is not None}

    @cached_property
    def input_normalization(self) -> Mapping[str, InputNormalization]:
        """Normalisation that the host applies, by input."""
        rows = ((name, self.tensors[name].input_normalization) for name in self.inputs)
        return {name: found for name, found in rows if found is not None}

    def with_given(self, given: Mapping[str, TensorQuant | None]) -> Graph:
        """Return the graph with these quantisation parameters, by value name; None removes them."""
        tensors, constants = {**self.tensors}, {**self.constants}
        for name, q in given.items():
            if name in constants:
                constants[name] = replace(constants[name], q=q)
            elif name in tensors:
                tensors[name] = replace(tensors[name], q=q)
            else:
                owner = name.removesuffix(PRE)
                tensors[owner] = replace(tensors[owner], pre_q=q)
        return replace(self, tensors=tensors, constants=constants)

    def with_arrays(self, arrays: Mapping[str, Array]) -> Graph:
        """Return the graph with new values of some constants, in the same formats."""
        made = {name: replace(self.constants[name], array=x) for name, x in arrays.items()}
        return replace(self, constants={**self.constants, **made})

    def with_formats(self, formats: Mapping[str, ConstantFormat | None]) -> Graph:
        """Return the graph with new integer formats of some constants."""
        made = {name: replace(self.constants[name], format=f) for name, f in formats.items()}
        return replace(self, constants={**self.constants, **made})

    def with_input_normalization(self, name: str, found: InputNormalization) -> Graph:
        tensor = replace(self.tensors[name], input_normalization=found)
        return replace(self, tensors={**self.tensors, name: tensor})

    def is_const(self, name: str) -> bool:
        return name in self.constants

    @cached_property
    def digest(self) -> str:
        """SHA-256 of graph and weights; the same model saved twice has the same digest."""
        sha = hashlib.sha256(json.dumps(describe(self), sort_keys=True).encode())
        for name in sorted(self.constants):
            sha.update(np.ascontiguousarray(self.array(name)).tobytes())
        return sha.hexdigest()


def describe(graph: Graph) -> dict[str, Any]:
    """Return the graph without its weights as JSON values (graph.json)."""
    return {
        "schema": "myoedge.graph/1",
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "output_names": list(graph.output_names),
        "borders": {
            name: {"scale": list(b.scale), "offset": list(b.offset), "axis": b.axis}
            for name, b in sorted(graph.input_normalization.items())
        },
        "tensors": {
            name: {"shape": list(graph.shape(name)), "dtype": graph.tensors[name].dtype}
            for name in (*graph.inputs, *(out for node in graph.nodes for out in node.outputs))
        },
        "constants": {
            name: {"shape": list(c.array.shape), "dtype": str(c.array.dtype)}
            for name, c in sorted(graph.constants.items())
        },
        "nodes": [
            {
                "op": node.op,
                "inputs": list(node.inputs),
                "outputs": list(node.outputs),
                "attrs": {key: plain(value) for key, value in sorted(node.attrs.items())},
                "origin": [
                    {"path": o.path, "source": o.source} | ({"part": o.part} if o.part else {})
                    for o in node.origin
                ],
            }
            for node in graph.nodes
        ],
    }


def plain(value: Any) -> Any:
    """Convert a value for json.dumps: tuples to lists, NumPy scalars and arrays to Python
    numbers."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no infinity
    return value


def prune(graph: Graph) -> Graph:
    """Remove the nodes, tensors and constants that no output needs; keep all inputs."""
    needed = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    needed.update(graph.inputs)
    needed.update(out for node in kept for out in node.outputs)
    return replace(
        graph,
        nodes=tuple(reversed(kept)),
        tensors={name: t for name, t in graph.tensors.items() if name in needed},
        constants={name: c for name, c in graph.constants.items() if name in needed},
    )
