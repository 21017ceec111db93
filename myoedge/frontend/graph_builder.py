# SPDX-License-Identifier: Apache-2.0
"""A graph while it is being written, one node after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from myoedge.graph.ir import Graph, Node, Origin, Shape, Tensor
from myoedge.numerics.arrays import Array
from myoedge.operators.base import output_of

Arguments = Mapping[str, Any]


class Unsupported(Exception):
    """A use of an operator that has no integer meaning yet; the text says which."""


@dataclass
class Draft:
    """Collects tensors, constants and nodes; `origin` is stamped on what is added."""

    inputs: list[str] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    origin: tuple[Origin, ...] = ()
    stem: str = "t"

    def shape(self, name: str) -> Shape:
        if name in self.constants:
            return tuple(self.constants[name].shape)
        return self.tensors[name].shape

    def input(self, name: str, shape: Sequence[int]) -> str:
        self.inputs.append(name)
        self.tensors[name] = Tensor(name, tuple(shape))
        return name

    def constant(self, value: Array) -> str:
        """Names an array; float arrays are kept as float32."""
        name = self._free(f"{self.stem}.const")
        kind = np.float32 if value.dtype.kind == "f" else value.dtype
        self.constants[name] = np.ascontiguousarray(value, kind)
        return name

    def add(self, op: str, *inputs: str, **attrs: Any) -> str:
        """Appends a node and returns its output's name; integer constants become floats."""
        names = tuple(map(self._as_float, inputs))
        node = Node(op, names, (self._free(self.stem),), attrs, self.origin)
        self.tensors[node.name] = output_of(node, [self.shape(name) for name in names])
        self.nodes.append(node)
        return node.name

    def stand_in(self, shape: Sequence[int], dtype: str = "float32") -> str:
        """A tensor that nothing writes, so that what reads a refused call can be judged as well."""
        name = self._free(f"{self.stem}.refused")
        self.tensors[name] = Tensor(name, tuple(shape), dtype)
        return name

    def _as_float(self, name: str) -> str:
        value = self.constants.get(name)
        whole = value is not None and value.dtype.kind in "biu"
        return self.constant(self.constants[name].astype(np.float32)) if whole else name

    def graph(self, outputs: Sequence[str], output_names: Sequence[str]) -> Graph:
        return Graph(
            tuple(self.inputs),
            tuple(outputs),
            tuple(self.nodes),
            self.tensors,
            self.constants,
            tuple(output_names),
        )

    def _free(self, stem: str) -> str:
        """`stem`, or `stem.1`, `stem.2` ... when taken."""
        name, count = stem, 0
        while name in self.tensors or name in self.constants:
            count += 1
            name = f"{stem}.{count}"
        return name


Row = Callable[[Draft, Arguments, Any], Any]  # (draft, arguments by schema name, output shape)


def first(a: Arguments) -> str:
    """The tensor a call works on, whatever its schema calls it."""
    return str(a["self"] if "self" in a else a["input"])


def as_tuple(value: Any, rank: int) -> tuple[int, ...]:
    """One number for every axis, or as many as there are."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * rank if len(values) == 1 else values


def weights(d: Draft, name: Any, what: str) -> Array:
    """The array of a constant operand; Unsupported where it is computed from an input."""
    if name not in d.constants:
        raise Unsupported(f"{what} must be a parameter or a constant, here it is computed")
    return d.constants[name]


def reshape(d: Draft, x: str, shape: Sequence[int]) -> str:
    return x if d.shape(x) == tuple(shape) else d.add("reshape", x, shape=tuple(shape))


def transpose(d: Draft, x: str, perm: Sequence[int]) -> str:
    identity = tuple(range(len(perm)))
    return x if tuple(perm) == identity else d.add("transpose", x, perm=tuple(perm))


def slice_axis(d: Draft, x: str, axis: int, start: int, stop: int, step: int = 1) -> str:
    """x[start:stop:step] along one axis; bounds resolved (with a negative step stop may be -1)."""
    cuts = [(0, n, 1) for n in d.shape(x)]
    cuts[axis] = (start, stop, step)
    whole = [(0, n, 1) for n in d.shape(x)]
    return x if cuts == whole else d.add("slice", x, cuts=tuple(cuts))


def concat(d: Draft, parts: Sequence[str], axis: int) -> str:
    return parts[0] if len(parts) == 1 else d.add("concat", *parts, axis=axis)


def channels_last(rank: int) -> tuple[int, ...]:
    """The permutation [N, C, *S] -> [N, *S, C]."""
    return (0, *range(2, rank), 1)


def back(d: Draft, y: str) -> str:
    """[N, *S, C] -> [N, C, *S], marked as one that restores the model's order."""
    rank = len(d.shape(y))
    return d.add("transpose", y, perm=(0, rank - 1, *range(1, rank - 1)), back=True)
