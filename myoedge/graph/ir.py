# SPDX-License-Identifier: Apache-2.0
"""Graphs: tensors, nodes, constants and carried quantisation parameters, all frozen."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.numerics.quant_params import QuantParams

Shape = tuple[int, ...]
Attrs = Mapping[str, Any]
PRE = ".pre"  # suffix of the value between an operator and the table fused into it


def ranked(shape: Sequence[int], rank: int) -> Shape:
    """A shape with axes of extent 1 in front, as broadcasting to this rank adds them."""
    return (1,) * (rank - len(shape)) + tuple(shape)


@dataclass(frozen=True, slots=True)
class Origin:
    """Place in the user's program that a node came from.

    path    module path, "encoder.2.conv"; empty for functional calls at the root
    source  "net.py:41", last frame outside installed packages; empty where unknown
    part    of a module that is several layers: "l1_reverse" of a stacked LSTM in two directions
    """

    path: str = ""
    source: str = ""
    part: str = ""

    @property
    def layer(self) -> str:
        """Module path and part: "encoder.lstm.l1_reverse"."""
        return f"{self.path}.{self.part}" if self.path and self.part else self.path

    def __str__(self) -> str:
        return (
            f"{self.layer} ({self.source})"
            if self.path and self.source
            else self.path or self.source
        )


@dataclass(frozen=True, slots=True)
class Tensor:
    """Name, shape and element type of one value.

    dtype   "float32" for what is quantised; else its integers: "int32", "uint8", "int16"
    """

    name: str
    shape: Shape
    dtype: str = "float32"

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Node:
    """One operator: inputs and outputs by tensor name, attributes, and where it came from."""

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
        """The module path(s) for people: "block.0.conv + block.0.relu", else the tensor's name."""
        paths = dict.fromkeys(o.layer or o.source for o in self.origin)
        return " + ".join(p for p in paths if p) or self.name

    @property
    def where(self) -> str:
        """ "encoder.2 (conv, net.py:41)" for error messages."""
        source = next((o.source for o in self.origin if o.source), "")
        known = self.op if source in self.label else f"{self.op}, {source}"
        return f"{self.label} ({known})"

    def but(self, **changes: Any) -> Node:
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class InputNormalization:
    """A factor and an offset per channel that the host applies before it quantises an input.

    scale, offset   float64 values along `axis` of the input; a single value applies to all of it
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    axis: int = 0
    origin: tuple[Origin, ...] = ()

    def apply(self, x: Array) -> Array:
        """x float [...] of the input's shape -> float64."""
        scale, offset = self._along(x)
        return np.asarray(x.astype(np.float64) * scale + offset)

    def undo(self, x: Array) -> Array:
        """x float64 [...] that `apply` gives -> what it gives them for; 0 where the factor is."""
        scale, offset = self._along(x)
        return np.asarray(np.divide(x - offset, scale, out=np.zeros_like(x), where=scale != 0.0))

    def _along(self, x: Array) -> tuple[Array, Array]:
        along = [-1 if d == self.axis else 1 for d in range(x.ndim)]
        scale, offset = (np.reshape(values, along) for values in (self.scale, self.offset))
        return scale, offset


@dataclass(frozen=True)
class Graph:
    """A network in execution order; every tensor name is written once.

    inputs, outputs   tensor names in the user's order (an output may repeat)
    tensors           every input and every node output
    constants         arrays that nodes name as inputs
    borders           what the host does to an input before the first operator sees it
    quant_params      parameters carried by values, by name of a tensor, of a constant, or of the
                      value before a fused table (`name.pre`); the others are calibrated
    fake_quantized    tensors whose float values are rounded to the parameters that they carry:
                      the file says so, and ranges and SQNR are of what it says
    formats           integers that the file has for constants
    whole             inputs of whole numbers in steps of 1, whose element type follows the samples
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    constants: Mapping[str, Array]
    output_names: tuple[str, ...] = ()
    borders: Mapping[str, InputNormalization] = field(default_factory=dict)
    quant_params: Mapping[str, QuantParams] = field(default_factory=dict)
    fake_quantized: frozenset[str] = frozenset()
    formats: Mapping[str, ConstantFormat] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()

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
        """The node that alone reads a tensor; None where it has several readers or is an output."""
        users = self.users.get(name, ())
        return users[0] if len(users) == 1 and name not in self.outputs else None

    def shape(self, name: str) -> Shape:
        if name in self.constants:
            return tuple(self.constants[name].shape)
        return self.tensors[name].shape

    def is_const(self, name: str) -> bool:
        return name in self.constants

    @cached_property
    def digest(self) -> str:
        """sha256 of graph and weights; the same model saved twice has the same digest."""
        sha = hashlib.sha256(json.dumps(describe(self), sort_keys=True).encode())
        for name in sorted(self.constants):
            sha.update(np.ascontiguousarray(self.constants[name]).tobytes())
        return sha.hexdigest()


def describe(graph: Graph) -> dict[str, Any]:
    """The graph without its weights as plain JSON values (graph.json)."""
    return {
        "schema": "myoedge.graph/1",
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "output_names": list(graph.output_names),
        "borders": {
            name: {"scale": list(b.scale), "offset": list(b.offset), "axis": b.axis}
            for name, b in sorted(graph.borders.items())
        },
        "tensors": {
            name: {"shape": list(graph.shape(name)), "dtype": graph.tensors[name].dtype}
            for name in (*graph.inputs, *(out for node in graph.nodes for out in node.outputs))
        },
        "constants": {
            name: {"shape": list(value.shape), "dtype": str(value.dtype)}
            for name, value in sorted(graph.constants.items())
        },
        "nodes": [
            {
                "op": node.op,
                "inputs": list(node.inputs),
                "outputs": list(node.outputs),
                "attrs": {key: plain(value) for key, value in sorted(node.attrs.items())},
                "origin": [_origin_fields(origin) for origin in node.origin],
            }
            for node in graph.nodes
        ],
    }


def _origin_fields(origin: Origin) -> dict[str, str]:
    fields = {"path": origin.path, "source": origin.source}
    return {**fields, "part": origin.part} if origin.part else fields


def plain(value: Any) -> Any:
    """Value for json.dumps: tuples as lists, numpy scalars and arrays as Python numbers."""
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
    """The graph without nodes, tensors and constants that no output needs; inputs stay."""
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
        quant_params={n: q for n, q in graph.quant_params.items() if n.removesuffix(PRE) in needed},
        fake_quantized=frozenset(n for n in graph.fake_quantized if n.removesuffix(PRE) in needed),
        formats={name: f for name, f in graph.formats.items() if name in needed},
    )
