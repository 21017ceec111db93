# SPDX-License-Identifier: Apache-2.0
"""What rules build their replacements with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from myoedge.graph.ir import Graph, Node, Origin, Shape, Tensor
from myoedge.graph.rewrite import Rewrite
from myoedge.numerics.arrays import Array
from myoedge.operators.base import output_of


@dataclass
class Patch:
    """Nodes that take the place of `node`; origins are kept, the last node takes over its name."""

    graph: Graph
    node: Node
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)

    def shape(self, name: str) -> Shape:
        if name in self.tensors:
            return self.tensors[name].shape
        found = self.constants.get(name)
        return self.graph.shape(name) if found is None else tuple(found.shape)

    def constant(self, value: Array) -> str:
        name = self._free(f"{self.node.name}.const")
        kind = np.float32 if value.dtype.kind == "f" else value.dtype
        self.constants[name] = np.ascontiguousarray(value, kind)
        return name

    def add(
        self, op: str, *inputs: str, origin: tuple[Origin, ...] | None = None, **attrs: Any
    ) -> str:
        """Appends a node under a fresh name."""
        return self._append(op, inputs, self._free(f"{self.node.name}.{op}"), origin, attrs)

    def last(
        self, op: str, *inputs: str, origin: tuple[Origin, ...] | None = None, **attrs: Any
    ) -> Rewrite:
        """Appends the node that writes the matched node's output, and closes the patch."""
        self._append(op, inputs, self.node.name, origin, attrs)
        return Rewrite(tuple(self.nodes), {}, tuple(self.tensors.values()), self.constants)

    def same_as(self, name: str) -> Rewrite:
        """Closes the patch: readers of the matched node read `name` instead."""
        renamed = {self.node.name: name}
        return Rewrite(tuple(self.nodes), renamed, tuple(self.tensors.values()), self.constants)

    def _append(
        self,
        op: str,
        inputs: tuple[str, ...],
        name: str,
        origin: tuple[Origin, ...] | None,
        attrs: dict[str, Any],
    ) -> str:
        node = Node(op, inputs, (name,), attrs, self.node.origin if origin is None else origin)
        self.tensors[name] = output_of(node, [self.shape(x) for x in inputs])
        self.nodes.append(node)
        return name

    def _free(self, stem: str) -> str:
        taken = (self.graph.tensors, self.graph.constants, self.tensors, self.constants)
        name, count = stem, 0
        while any(name in names for names in taken):
            count += 1
            name = f"{stem}{count}"
        return name


def joined(*nodes: Node) -> tuple[Origin, ...]:
    """The origins of several nodes, each once, in order."""
    return tuple(dict.fromkeys(o for node in nodes for o in node.origin))


def made_by(graph: Graph, name: str, *ops: str) -> Node | None:
    """The node that writes `name`, if it is one of these operators."""
    node = graph.producer.get(name)
    return node if node is not None and node.op in ops else None


def feeds_only(graph: Graph, name: str, reader: Node) -> bool:
    """Whether `reader` alone reads this tensor and it is no output."""
    return graph.only_user(name) is reader
