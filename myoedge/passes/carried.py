# SPDX-License-Identifier: Apache-2.0
"""Parameters that a file gives: from nodes that round into tensors that carry them.

The node behind an operator, its activation fused, is its requantisation. Where a tensor cannot
carry them, because it carries others or shares them with tensors that do, a copy does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from myoedge.graph.ir import PRE, Graph, Node, Shape, Tensor, TensorQuant
from myoedge.numerics.element_type import INT16
from myoedge.numerics.pointwise import IDENTITY, is_continuous
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS, fixed_params
from myoedge.operators.fake_quantize.definition import carried_params
from myoedge.operators.interpreter import has_table
from myoedge.operators.requant_shift.whole import stated_params
from myoedge.passes.requants import exact_params, sum_limits

ROUND = "fake_quantize"


def carry(graph: Graph) -> Graph:
    """The graph whose tensors carry the parameters of its nodes that round, without these nodes.

    Returns the graph itself where it has none.
    """
    is_stated = graph.formats or graph.integer_inputs
    if not is_stated and not any(node.op == ROUND for node in graph.nodes):
        return graph
    graph = _tables_of_16_bits_apart(graph)
    made = _Carrying(graph)
    for node in graph.nodes:
        made.add(node.but(inputs=tuple(made.names.get(x, x) for x in node.inputs)))
    before_tables = {name: q for name, q in graph.all_given.items() if name.endswith(PRE)}
    given = {name: q.params for name, q in before_tables.items()} | made.stated
    rounded = {name for name, q in graph.all_given.items() if q.fake_quantized}
    rounded |= made.rounded | before_tables.keys()
    carrying = replace(
        graph,
        nodes=tuple(made.nodes),
        outputs=tuple(made.names.get(x, x) for x in graph.outputs),
        tensors={**graph.tensors, **{n: made.copy_of(x, n) for n, x in made.copies}},
        constants={**graph.constants, **{n: graph.constants[x] for n, x in made.constants.items()}},
    )
    return carrying.with_given({n: TensorQuant(q, n in rounded) for n, q in given.items()})


def _tables_of_16_bits_apart(graph: Graph) -> Graph:
    """The graph with functions of 16 bits taken out of operators that write 8 alone, before or
    behind the function, and functions that jump, which no lines between points are, out of all:
    rounding and table are nodes then."""
    apart = [node for node in graph.nodes if _needs_table_apart(graph, node)]
    if not apart:
        return graph
    before = [(node, graph.given_params(node.name + PRE)) for node in apart]
    split = {node.name: _apart(node, params) for node, params in before if params is not None}
    made = {x: graph.tensors[n] for n, parts in split.items() for p in parts for x in p.outputs}
    return replace(
        graph,
        nodes=tuple(part for node in graph.nodes for part in split.get(node.name, (node,))),
        tensors={**graph.tensors, **{x: replace(t, name=x, pre_q=None) for x, t in made.items()}},
    )


def _needs_table_apart(graph: Graph, node: Node) -> bool:
    before = graph.given_params(node.name + PRE)
    if before is None or not has_table(node):
        return False
    if before.element_type != INT16:  # tables of results of 16 bits are nodes of their own
        return _is_rounded_to_16_bits(graph, node.name)
    attrs = {name: value for name, value in node.attrs.items() if name != "act"}
    emits, shapes = OPS[node.op].emits_int16, [*map(graph.shape, node.inputs)]
    written = [attrs, node.attrs] if _is_rounded_to_16_bits(graph, node.name) else [attrs]
    is_written = emits is not None and all(
        emits(each, shapes, graph.shape(node.name)) for each in written
    )
    return not (is_written and is_continuous(node.attrs["act"]))


def _is_rounded_to_16_bits(graph: Graph, name: str) -> bool:
    rounds = [reader for reader in graph.users.get(name, ()) if reader.op == ROUND]
    return any(carried_params(reader.attrs).element_type == INT16 for reader in rounds)


def _apart(node: Node, before: QuantParams) -> tuple[Node, Node, Node]:
    """The operator, the rounding of its result, and its function."""
    whole, rounded = f"{node.name}.whole", f"{node.name}.rounded"
    attrs = {name: value for name, value in node.attrs.items() if name != "act"}
    kind = before.element_type
    limits = {"low": kind.low, "high": kind.high}
    stated = {"scale": before.scale, "zero_point": before.zero_point, **limits}
    return (
        node.but(outputs=(whole,), attrs=attrs),
        Node(ROUND, (whole,), (rounded,), stated, node.origin),
        Node("table", (rounded,), node.outputs, {"chain": node.attrs["act"]}, node.origin),
    )


@dataclass
class _Carrying:
    """A graph as it is rebuilt node by node.

    names    tensors that readers see under another name: results of nodes that are gone
    stated   parameters by tensor       rounded  tensors that a node rounded
    copies   (name, tensor that it copies)
    groups   by tensor one that stands for all tensors that share its parameters
    params   of groups, by that tensor
    constants   constants that have another's values, by name
    """

    graph: Graph
    names: dict[str, str] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    stated: dict[str, QuantParams] = field(default_factory=dict)
    rounded: set[str] = field(default_factory=set)
    copies: list[tuple[str, str]] = field(default_factory=list)
    groups: dict[str, str] = field(default_factory=dict)
    params: dict[str, QuantParams] = field(default_factory=dict)
    made_by: dict[str, Node] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, given in self.graph.all_given.items():
            self.params[self._group(name)] = given.params

    def copy_of(self, x: str, name: str) -> Tensor:
        """Tensor of a copy, which has the parameters that are stated for it alone."""
        return replace(self.graph.tensors[x], name=name, q=None, pre_q=None)

    def add(self, node: Node) -> None:
        """The next node in order, its inputs by the names that they have now."""
        if node.op == ROUND:
            self._round(node)
            return
        op = OPS[node.op]
        node = self._joined(node) if op.same_scale else self._fed(node)
        self._append(node)
        self._state_whole(node)
        fixed = self._stored(node.inputs[1]) if node.op == "embedding" else None
        if fixed is not None:
            self._state(node.name, fixed)

    def _state_whole(self, node: Node) -> None:
        """Parameters that requantisations of the file give results, and values before tables."""
        found = {} if self._has_others(node.name) else dict(stated_params(node))
        if self.graph.integer_inputs and node.name not in found:
            params = exact_params(node, self._limits)
            found |= {} if params is None else {node.name: params}
        for name, params in found.items():
            self._state(name, params)

    def _has_others(self, name: str) -> bool:
        """Whether the file gives a result 16 bits, or finer steps of 8, in the place of what its
        operator fixes."""
        wanted, op = self._wanted(name), OPS[self.made_by[name].op]
        if op.fixed_params is None or wanted is None:
            return False
        finer = None if op.int8_params is None else op.int8_params(-wanted.low * wanted.scale)
        is_other = wanted.element_type == INT16 or wanted == finer != op.fixed_params
        return is_other and self._takes(name, wanted)

    def _limits(self, name: str) -> tuple[int, int] | None:
        """Limits of a tensor's whole numbers; None where they are not known."""
        params, node = self.of(name), self.made_by.get(name)
        if params is None or params.scale != 1.0:
            return None
        sums = None if node is None else sum_limits(node, self._limits)
        return sums or (params.low - params.zero_point, params.high - params.zero_point)

    def _append(self, node: Node) -> None:
        self.nodes.append(node)
        self.made_by[node.name] = node

    def _round(self, node: Node) -> None:
        (x,), wanted = node.inputs, carried_params(node.attrs)
        has = self.of(x)
        if has == wanted or (has is None and self._takes(x, wanted)):
            self.names[node.name] = x
        else:
            self._append(Node("table", (x,), node.outputs, {"chain": IDENTITY}, node.origin))
            x = node.name
        self._state(x, wanted)
        self.rounded.add(x)

    def _state(self, name: str, params: QuantParams) -> None:
        self.stated[name] = params
        self.params[self._group(name)] = params

    def _may_carry(self, x: str, params: QuantParams) -> bool:
        """Whether the operator that makes a tensor writes such integers."""
        node = self.made_by.get(x)
        if self.graph.is_const(x):
            return False
        if node is None or params.element_type != INT16:
            return True
        op, shapes = OPS[node.op], [*map(self._shape, node.inputs)]
        if op.may_carry_int16 is not None and not op.may_carry_int16(params):
            return False
        return op.int16_result or (
            op.emits_int16 is not None and op.emits_int16(node.attrs, shapes, self._shape(x))
        )

    def _joined(self, node: Node) -> Node:
        """A node that moves integers: its operands in the parameters of its result."""
        inputs, data = list(node.inputs), [*self._floats(node)]
        found = {i: self.of(inputs[i]) for i in data if not self.graph.is_const(inputs[i])}
        has = {*found.values()} or {self._stored(inputs[i]) for i in data}
        if self.graph.integer_inputs and len(has) > 1:
            has.discard(None)  # inputs of whole numbers take what they are joined with
        wanted = self._wanted(node.name) or (next(iter(has)) if len(has) == 1 else None)
        if wanted is not None and wanted.element_type == INT16 and not self._reads_int16(node):
            wanted = None
        for i, params in found.items():
            takes = wanted is None or self.graph.integer_inputs or self._takes(inputs[i], wanted)
            is_free = params is None and takes
            if not is_free and params != wanted:
                inputs[i] = self._copy(inputs[i], node, wanted)
        for i in data:
            inputs[i] = self._own_constant(inputs[i])
            self._join(inputs[i], node.name)
        if wanted is not None:
            self._state(node.name, wanted)
        return node.but(inputs=tuple(inputs))

    def _takes(self, x: str, params: QuantParams) -> bool:
        """Whether a tensor without parameters may carry these, whoever reads it."""
        return self._wanted(x) == params and self._may_carry(x, params)

    def _wanted(self, name: str) -> QuantParams | None:
        """Parameters of a tensor in the file, or those that all ask for who read it, moved or not;
        a copy has them where one reader sees it as it is, or in others."""
        own = self.graph.given_params(name)
        if own is not None or name in self.graph.outputs:
            return own
        asked = {self._asked_by(reader) for reader in self.graph.users.get(name, ())}
        return next(iter(asked)) if len(asked) == 1 else None

    def _asked_by(self, reader: Node) -> QuantParams | None:
        if reader.op == ROUND:
            return carried_params(reader.attrs)
        return self._wanted(reader.name) if OPS[reader.op].same_scale else None

    def _fed(self, node: Node) -> Node:
        """A node that computes: its constants in the file's integers, and copies of operands that
        it does not read in the form that they have."""
        inputs = list(node.inputs)
        for i in _operands(node):
            stored = self._stored(inputs[i])
            if stored is not None:
                self._state(inputs[i], stored)
            params = self.of(inputs[i])
            if params is not None and self._refuses(node, i, params):
                inputs[i] = self._copy(inputs[i], node, None)
        return node.but(inputs=tuple(inputs))

    def _refuses(self, node: Node, index: int, params: QuantParams) -> bool:
        op, maker = OPS[node.op], self.made_by.get(node.inputs[index])
        if fixed_params(self.graph, node.inputs[index]) is not None:
            return False
        if maker is not None and OPS[maker.op].int16_result:
            return False
        if index in op.symmetric and params.zero_point != 0:
            return True
        if params.element_type != INT16 or index in op.int16_inputs:
            return False
        return not self._reads_int16(node)

    def _reads_int16(self, node: Node) -> bool:
        accepts, shapes = OPS[node.op].accepts_int16, [*map(self._shape, node.inputs)]
        return accepts is not None and accepts(node.attrs, shapes, self._shape(node.name))

    def _copy(self, x: str, reader: Node, params: QuantParams | None) -> str:
        """A requantised copy for one reader, in these parameters or in calibrated ones."""
        name = self._free(f"{x}.copy")
        self.copies.append((name, x))
        self._append(Node("table", (x,), (name,), {"chain": IDENTITY}, reader.origin))
        if params is not None:
            self._state(name, params)
        return name

    def _own_constant(self, x: str) -> str:
        """A constant that several nodes read, once more: each has it in its own parameters."""
        if not self.graph.is_const(x) or len(self.graph.users[x]) == 1:
            return x
        name = f"{x}.of{len(self.constants)}"
        self.constants[name] = x
        return name

    def _free(self, stem: str) -> str:
        taken = {name for name, _ in self.copies}
        numbers = (f"{stem}{i}" for i in range(len(taken) + 1))
        return next(name for name in numbers if name not in taken | self.graph.tensors.keys())

    def of(self, name: str) -> QuantParams | None:
        """Parameters that a tensor has from the file, or from an operator; None: calibrated."""
        return self.params.get(self._group(name))

    def _group(self, name: str) -> str:
        while self.groups.setdefault(name, name) != name:
            name = self.groups[name]
        return name

    def _join(self, a: str, b: str) -> None:
        first, second = self._group(a), self._group(b)
        if first != second:
            self.groups[second] = first
            params = self.params.get(first) or self.params.get(second)
            if params is not None:
                self.params[first] = params

    def _stored(self, name: str) -> QuantParams | None:
        """Parameters of a constant that the file has as integers of one scale."""
        stored = self.graph.format(name)
        return None if stored is None else stored.params

    def _shape(self, name: str) -> Shape:
        return self.graph.shape(dict(self.copies).get(name, name))

    def _floats(self, node: Node) -> Iterator[int]:
        """Operands that have parameters: no indices."""
        copied = dict(self.copies)
        for i in _operands(node):
            tensor = self.graph.tensors.get(copied.get(node.inputs[i], node.inputs[i]))
            if tensor is None or tensor.dtype == "float32":
                yield i


def _operands(node: Node) -> Iterable[int]:
    return (i for i in range(len(node.inputs)) if i not in OPS[node.op].weights)
