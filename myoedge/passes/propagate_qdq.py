# SPDX-License-Identifier: Apache-2.0
"""Folding of quantise and dequantise nodes of a model file into the parameters of tensors.

Both front ends import a QuantizeLinear with its DequantizeLinear as one node, fake_quantize, after
a float operator; quantised constants are floats with a format. The parameters of that node move to
the tensor that it reads, so that the operator requantises to them, with its activation fused. A
tensor that already has, or shares, other parameters gets a requantised copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from myoedge.graph.constants import Constant, TensorQuant
from myoedge.graph.ir import PRE, Graph, Node, Shape, Tensor
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.pointwise import IDENTITY
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS
from myoedge.operators.fake_quantize import carried_params
from myoedge.operators.kernel_formats import always_writes, may_read, may_write, operand_places
from myoedge.operators.queries import fixed_params, own_params
from myoedge.passes.qdq import (
    ROUND,
    fuse_tables_between_roundings,
    tables_of_16_bits_apart,
)


def propagate_qdq(graph: Graph) -> Graph:
    """Move the parameters of fake_quantize nodes to the tensors that they read and remove the
    nodes; return the same graph if there are none."""
    if graph.formats or any(node.op == ROUND for node in graph.nodes):
        graph = _ParameterPropagation(tables_of_16_bits_apart(graph)).run()
    return fuse_tables_between_roundings(graph) if graph.all_given else graph


@dataclass
class _ParameterPropagation:
    """Move of the file's parameters from fake_quantize nodes to tensors, rebuilding the graph.

    names    removed tensor -> tensor that its readers read instead
    given    tensor or pre-activation value -> parameters from the file
    groups   tensor -> representative of all tensors that share its parameters
    params   representative -> parameters
    """

    graph: Graph
    names: dict[str, str] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    given: dict[str, TensorQuant] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    params: dict[str, QuantParams] = field(default_factory=dict)
    made_by: dict[str, Node] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(init=False)
    constants: dict[str, Constant] = field(init=False)

    def __post_init__(self) -> None:
        self.tensors, self.constants = {**self.graph.tensors}, {**self.graph.constants}
        for name, has in self.graph.all_given.items():
            self.params[self._group_of(name)] = has.params
            if name.endswith(PRE):
                self.given[name] = replace(has, fake_quantized=True)

    def run(self) -> Graph:
        for node in self.graph.nodes:
            self.add(node.reading(self.names))
        outputs = tuple(self.names.get(x, x) for x in self.graph.outputs)
        made = replace(self.graph, nodes=tuple(self.nodes), outputs=outputs)
        made = replace(made, tensors=self.tensors, constants=self.constants)
        return made.with_given(self.given)

    def add(self, node: Node) -> None:
        """Add the next node in execution order to the rebuilt graph, with renamed inputs."""
        if node.op == ROUND:
            self._append_rounding(node)
            return
        op = OPS[node.op]
        node = self._append_data_movement(node) if op.same_scale else self._append_computation(node)
        self._append_node(node)
        own = own_params(node)
        if own is not None and not self._has_finer_parameters(node.name):
            self._set_parameters(node.name, own)
        fixed = self._stored_parameters(node.inputs[1]) if node.op == "embedding" else None
        if fixed is not None:
            self._set_parameters(node.name, fixed)

    def _has_finer_parameters(self, name: str) -> bool:
        """Return whether the file sets int16 or finer int8 parameters for a result, instead of the
        parameters that its operator fixes."""
        wanted, node = self._requested_parameters(name), self.made_by[name]
        fixed = own_params(node)
        if fixed is None or wanted is None:
            return False
        own = OPS[node.op].result.rules.get(INT8)
        finer = None if own is None else own.of(-wanted.low * wanted.scale)
        is_other = wanted.element_type == INT16 or wanted == finer != fixed
        return is_other and self._readers_accept(name, wanted)

    def _append_node(self, node: Node) -> None:
        self.nodes.append(node)
        self.made_by[node.name] = node

    def _append_rounding(self, node: Node) -> None:
        (x,), wanted = node.inputs, carried_params(node.attrs)
        has = self.of(x)
        if has == wanted or (has is None and self._readers_accept(x, wanted)):
            self.names[node.name] = x
        else:
            self._append_node(Node("table", (x,), node.outputs, {"chain": IDENTITY}, node.origin))
            x = node.name
        self._set_parameters(x, wanted, rounds=True)

    def _set_parameters(self, name: str, params: QuantParams, *, rounds: bool = False) -> None:
        before = self.given.get(name) or self.graph.given(name)
        rounds = rounds or (before is not None and before.fake_quantized)
        self.given[name] = TensorQuant(params, rounds)
        self.params[self._group_of(name)] = params

    def _producer_can_write(self, x: str, params: QuantParams) -> bool:
        """Return whether the operator that writes tensor x can write these parameters."""
        node = self.made_by.get(x)
        if self.graph.is_const(x):
            return False
        if node is None or params.element_type != INT16:
            return True
        rule = OPS[node.op].result.rules.get(INT16)
        if rule is not None and not rule.may_be(params):
            return False
        return may_write(node, INT16, [*map(self._shape_of, node.inputs)], self._shape_of(x))

    def _append_data_movement(self, node: Node) -> Node:
        """Add a node that only moves data; its operands share the parameters of its result."""
        inputs, data = list(node.inputs), [*self._float_operands(node)]
        found = {i: self.of(inputs[i]) for i in data if not self.graph.is_const(inputs[i])}
        wanted = self._parameters_of_movement(node, data, found)
        for i, params in found.items():
            if params != wanted and not (
                params is None and self._readers_accept(inputs[i], wanted)
            ):
                inputs[i] = self._add_requantised_copy(inputs[i], node, wanted)
        for i in data:
            inputs[i] = self._copy_shared_constant(inputs[i])
            self._merge_groups(inputs[i], node.name)
        if wanted is not None:
            self._set_parameters(node.name, wanted)
        return node.but(inputs=tuple(inputs))

    def _parameters_of_movement(
        self, node: Node, data: Sequence[int], found: Mapping[int, QuantParams | None]
    ) -> QuantParams | None:
        """Return the parameters that operands and result of a data-movement node share: those
        requested of the result, otherwise those that all operands have; None if they differ, or if
        the node can read no operand with them.

        data    positions of the float operands
        found   those that are no constants -> their parameters
        """
        has = {*found.values()} or {self._stored_parameters(node.inputs[i]) for i in data}
        wanted = self._requested_parameters(node.name) or (
            next(iter(has)) if len(has) == 1 else None
        )
        is_int16 = wanted is not None and wanted.element_type == INT16
        if is_int16 and not any(self._reads_int16(node, i) for i in operand_places(node)):
            return None
        return wanted

    def _readers_accept(self, x: str, params: QuantParams | None) -> bool:
        """Return whether all readers of a tensor, which has no parameters yet, accept these."""
        return params is None or (
            self._requested_parameters(x) == params and self._producer_can_write(x, params)
        )

    def _requested_parameters(self, name: str) -> QuantParams | None:
        """Return a tensor's requested parameters: the file's, otherwise those that all readers
        request through data movement; None if they differ."""
        own = self.graph.given_params(name)
        if own is not None or name in self.graph.outputs:
            return own
        asked = set[QuantParams | None]()
        for reader in self.graph.users.get(name, ()):
            if reader.op == ROUND:
                asked.add(carried_params(reader.attrs))
            else:
                is_moved = OPS[reader.op].same_scale
                asked.add(self._requested_parameters(reader.name) if is_moved else None)
        return next(iter(asked)) if len(asked) == 1 else None

    def _append_computation(self, node: Node) -> Node:
        """Add a node that computes: its constants use the file's integers, and an operand in a
        format that the node cannot read is replaced by a requantised copy."""
        inputs = list(node.inputs)
        for i in operand_places(node):
            stored = self._stored_parameters(inputs[i])
            if stored is not None:
                self._set_parameters(inputs[i], stored)
            params = self.of(inputs[i])
            if params is not None and self._operand_refuses(node, i, params):
                inputs[i] = self._add_requantised_copy(inputs[i], node, None)
        return node.but(inputs=tuple(inputs))

    def _operand_refuses(self, node: Node, index: int, params: QuantParams) -> bool:
        op, maker = OPS[node.op], self.made_by.get(node.inputs[index])
        if fixed_params(self.graph, node.inputs[index]) is not None:
            return False
        if maker is not None and always_writes(maker.op, INT16):
            return False
        if index in op.operands.symmetric and params.zero_point != 0:
            return True
        return params.element_type == INT16 and not self._reads_int16(node, index)

    def _reads_int16(self, node: Node, index: int) -> bool:
        shapes = [*map(self._shape_of, node.inputs)]
        return may_read(node, index, INT16, shapes, self._shape_of(node.name))

    def _add_requantised_copy(self, x: str, reader: Node, params: QuantParams | None) -> str:
        """Add a requantised copy of tensor x for one reader; return its name.

        params   its parameters; None: calibrated
        """
        stem = f"{x}.copy"
        numbers = (f"{stem}{i}" for i in range(len(self.tensors) + 1))
        name = next(name for name in numbers if name not in self.tensors)
        self.tensors[name] = replace(self.tensors[x], name=name, q=None, pre_q=None)
        self._append_node(Node("table", (x,), (name,), {"chain": IDENTITY}, reader.origin))
        if params is not None:
            self._set_parameters(name, params)
        return name

    def _copy_shared_constant(self, x: str) -> str:
        """Return a copy of constant x if several nodes read it, so that each reader has its own
        parameters."""
        if not self.graph.is_const(x) or len(self.graph.users[x]) == 1:
            return x
        name = f"{x}.of{len(self.constants) - len(self.graph.constants)}"
        self.constants[name] = self.graph.constants[x]
        return name

    def of(self, name: str) -> QuantParams | None:
        """Return a tensor's parameters from the file or its operator; None if it is to be
        calibrated."""
        return self.params.get(self._group_of(name))

    def _group_of(self, name: str) -> str:
        while self.groups.setdefault(name, name) != name:
            name = self.groups[name]
        return name

    def _merge_groups(self, a: str, b: str) -> None:
        first, second = self._group_of(a), self._group_of(b)
        if first != second:
            self.groups[second] = first
            params = self.params.get(first) or self.params.get(second)
            if params is not None:
                self.params[first] = params

    def _stored_parameters(self, name: str) -> QuantParams | None:
        """Return the parameters of a constant that the file stores as integers with one scale,
        otherwise None."""
        stored = self.graph.format(name)
        return None if stored is None else stored.params

    def _shape_of(self, name: str) -> Shape:
        return self.tensors[name].shape if name in self.tensors else self.graph.shape(name)

    def _float_operands(self, node: Node) -> Iterator[int]:
        """Yield the positions of a node's float operands, which have quantisation parameters;
        indices have none."""
        for i in operand_places(node):
            tensor = self.tensors.get(node.inputs[i])
            if tensor is None or tensor.dtype == "float32":
                yield i
