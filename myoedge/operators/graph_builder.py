# SPDX-License-Identifier: Apache-2.0
"""GraphBuilder: builds a graph, or a replacement for a single node, node by node."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from myoedge.graph.constants import Constant, ConstantValues
from myoedge.graph.ir import Graph, Node, Shape, Tensor
from myoedge.graph.match import NoMatch
from myoedge.graph.origin import Origin
from myoedge.graph.rewrite import Rewrite, with_formats_of
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat
from myoedge.operators.base import OPS
from myoedge.operators.queries import attribute_fault, output_of


class Unsupported(NoMatch):
    """Raised for a use of an operator that has no integer implementation; the text gives the
    reason. A rewrite that makes such a use does not match.

    instead   suggested replacement, if any
    """

    def __init__(self, reason: str, instead: str = "") -> None:
        super().__init__(reason)
        self.instead = instead


class ReadsRefused(Unsupported):
    """Raised for a call that cannot be checked because it reads the result of a refused call."""


EMPTY = Graph((), (), (), {}, {}, ())
FIRST = Node("", (), ("t",))  # placeholder without a name: new names begin with t


@dataclass
class GraphBuilder(ConstantValues):
    """Builds a graph, or a replacement for one of its nodes, node by node.

    graph, node   graph and node to replace; without them a new graph is built
    inputs        names of the graph's inputs
    tensors       shape and type of each tensor added so far, by name
    constants     constants added so far, by name
    nodes         nodes added so far, in execution order
    counts        base of names -> last number appended to it
    analyses      class of an analysis -> what it knows about the nodes so far
    origin        origin of new nodes
    stem          base of new names
    """

    graph: Graph = EMPTY
    node: Node = FIRST
    inputs: list[str] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    constants: dict[str, Constant] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    analyses: dict[type, Any] = field(default_factory=dict, repr=False)
    origin: tuple[Origin, ...] = field(init=False)
    stem: str = field(init=False)

    def __post_init__(self) -> None:
        self.origin, self.stem = self.node.origin, self.node.name

    def shape(self, name: str) -> Shape:
        if name in self.constants:
            return tuple(self.array(name).shape)
        return self.tensors[name].shape if name in self.tensors else self.graph.shape(name)

    def dtype(self, name: str) -> str:
        """Return the element type of a tensor; for a quantised constant, the type of its float
        values."""
        tensor = self.tensors.get(name) or self.graph.tensors.get(name)
        return "float32" if tensor is None else tensor.dtype

    def input(self, name: str, shape: Sequence[int], dtype: str = "float32") -> str:
        self.inputs.append(name)
        self.tensors[name] = Tensor(name, tuple(shape), dtype)
        return name

    def constant(self, value: Array, format: ConstantFormat | None = None) -> str:
        """Add a constant array and return its name; floats become float32.

        format   integer format of the constant in the model file
        """
        name = self._unused_name(f"{self.stem}.const")
        kind = np.float32 if value.dtype.kind == "f" else value.dtype
        with np.errstate(over="ignore"):  # an overflow becomes infinite and is refused (E112)
            array = np.asarray(value, kind, order="C")  # scalars stay scalars
        self.constants[name] = Constant(array, format)
        return name

    def add(
        self,
        op: str,
        *inputs: str,
        origin: tuple[Origin, ...] | None = None,
        name: str = "",
        **attrs: Any,
    ) -> str:
        """Append a node and return its output's name; integer constants become floats.

        Errors: Unsupported for a result without elements, such as a pool without windows, and for
        attributes that the operator does not allow; NoMatch
        if the operator's shape rule refuses a node of a replacement.
        """
        name = name or self._unused_name(f"{self.stem}.{op}" if self.graph.nodes else self.stem)
        names = tuple(map(self._dequantised_input, inputs))
        if OPS[op].is_data_movement and len({*map(self.dtype, names)}) > 1:
            raise Unsupported("integers of an input together with constants or floats")
        node = Node(op, names, (name,), attrs, self.origin if origin is None else origin)
        if reason := attribute_fault(node, [*map(self.shape, names)], [*map(self.dtype, names)]):
            raise Unsupported(f"{op} with {reason}")
        made = self._infer_output(node)
        known = self.graph.tensors.get(name, made)  # the tensor keeps its type and annotations
        self.tensors[name] = replace(known, shape=made.shape, dtype=made.dtype)
        if 0 in self.tensors[name].shape:
            raise Unsupported("a tensor without elements")
        self.nodes.append(node)
        return name

    def _infer_output(self, node: Node) -> Tensor:
        """Return a node's output. What its shape rule raises is no match in a replacement, as no
        rewrite refuses a network; import reports it with the call of the file."""
        shapes, dtype = [*map(self.shape, node.inputs)], self.dtype(node.inputs[0])
        try:
            return output_of(node, shapes, dtype)
        except (ArithmeticError, LookupError, TypeError, ValueError) as refusal:
            if self.graph.nodes:
                raise NoMatch(str(refusal)) from refusal
            raise

    def part(self, name: str) -> AbstractContextManager[None]:
        """Context manager that sets the origin of new nodes to a submodule.

        name   path of the submodule; "" for the whole module
        """
        return self._scope_origin(tuple(replace(origin, part=name) for origin in self.origin))

    def made_from(self, name: str) -> AbstractContextManager[None]:
        """Context manager that gives new nodes the origin of the node that computes a tensor."""
        node = self.graph.producer.get(name)
        return self._scope_origin(self.origin if node is None else node.origin)

    @contextmanager
    def _scope_origin(self, origin: tuple[Origin, ...]) -> Iterator[None]:
        whole, self.origin = self.origin, origin
        try:
            yield
        finally:  # a pattern that does not match leaves it by an exception
            self.origin = whole

    def last(self, op: str, *inputs: str, **attrs: Any) -> Rewrite:
        """Add the node that produces the replaced node's output, and return the replacement."""
        self.add(op, *inputs, name=self.stem, **attrs)
        return self.done()

    def done(self) -> Rewrite:
        """Return the replacement for the node; the last node added writes the replaced node's
        output."""
        return self._rename_inputs({})

    def same_as(self, name: str) -> Rewrite:
        """Return a replacement that makes the replaced node's readers read the tensor `name`."""
        return self._rename_inputs({self.stem: name})

    def drop_unread(self, outputs: Sequence[str]) -> None:
        """Remove nodes on which no output depends."""
        read = {*outputs}
        for node in reversed(self.nodes):
            read.update(node.inputs if node.name in read else ())
        self.nodes[:] = [node for node in self.nodes if node.name in read]

    def keep_formats(self, before: int, names: Iterable[str]) -> None:
        """Copy integer formats from original constants to the constants derived from them, if the
        formats still apply.

        before   number of constants before the first derived one was added
        names    the original constants
        """
        read = (self.constants.get(name) for name in dict.fromkeys(names))
        sources = [found.format for found in read if found is not None and found.format]
        made = dict(itertools.islice(self.constants.items(), before, None))
        self.constants |= with_formats_of(made, sources)

    def stand_in(self, shape: Sequence[int]) -> str:
        """Add a placeholder for the result of a refused call, so that its readers can be checked as
        well."""
        name = self._unused_name(f"{self.stem}.refused")
        self.tensors[name] = Tensor(name, tuple(shape))
        return name

    def made_by(self, name: str) -> str:
        """Describe for messages where a tensor comes from: "it is the input x", or a call with its
        source line and inputs.

        Errors: ReadsRefused for the placeholder of a refused call.
        """
        if name in self.inputs:
            return f"it is the input {name}"
        makers = {out: node for node in self.nodes for out in node.outputs}
        if name not in makers:
            raise ReadsRefused("it reads the result of a call that is refused")
        found = _transitive_sources(makers, name)
        names = ", ".join(x for x in self.inputs if x in found)
        return f"{makers[name].where} computes it{f' from the input {names}' if names else ''}"

    def build(self, outputs: Sequence[str], output_names: Sequence[str]) -> Graph:
        return Graph(
            tuple(self.inputs),
            tuple(outputs),
            tuple(self.nodes),
            self.tensors,
            self.constants,
            tuple(output_names),
        )

    def _dequantised_input(self, name: str) -> str:
        value = self.find_array(name)
        whole = value is not None and value.dtype.kind in "biu"
        return self.constant(self.array(name).astype(np.float32)) if whole else name

    def _rename_inputs(self, renamed: dict[str, str]) -> Rewrite:
        tensors = tuple(self.tensors.values())
        made = tuple(self.nodes)
        return Rewrite(made, renamed, tensors, self.constants)

    def _unused_name(self, stem: str) -> str:
        """Return an unused name: `stem`, or `stem.1`, `stem.2` ...; without the dot in a
        replacement."""
        taken = (self.tensors, self.constants, self.graph.tensors, self.graph.constants)
        dot, count = "" if self.graph.nodes else ".", self.counts.get(stem, 0)
        name = f"{stem}{dot}{count}" if count else stem
        while any(name in names for names in taken):
            count += 1
            name = f"{stem}{dot}{count}"
        self.counts[stem] = count
        return name


def as_tuple(value: Any, rank: int) -> tuple[int, ...]:
    """Return a sequence as a tuple; a number is repeated `rank` times."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * rank if len(values) == 1 else values


def _transitive_sources(makers: Mapping[str, Node], name: str) -> set[str]:
    """Return all tensors that a tensor is computed from, through all nodes."""
    found, pending = set[str](), [name]
    while pending:
        read = makers[found_name].inputs if (found_name := pending.pop()) in makers else ()
        pending += {*read} - found
        found.update(read)
    return found


def weights(b: GraphBuilder, name: Any, what: str, instead: str = "") -> Array:
    """Return the values of a constant operand.

    what      name of the operand in messages
    instead   suggested replacement, in messages
    Errors: Unsupported if it is computed from an input.
    """
    if name not in b.constants:
        reason = f"{what} must be a parameter or a constant, here {b.made_by(name)}"
        raise Unsupported(reason, instead)
    return b.array(name)


def optional_bias(b: GraphBuilder, name: str | None) -> tuple[str, ...]:
    """Return the bias as a tuple of further inputs of an operator: (bias,), or () without one."""
    if name is None:
        return ()
    weights(b, name, "a bias")
    return (name,)


def reshape(b: GraphBuilder, x: str, shape: Sequence[int]) -> str:
    return x if b.shape(x) == tuple(shape) else b.add("reshape", x, shape=tuple(shape))


def fusible_view(b: GraphBuilder, x: str, shape: Shape) -> str:
    """Add a reshape that is marked as part of a layer, so that factors and activations are fused
    through it."""
    return x if b.shape(x) == shape else b.add("reshape", x, shape=shape, inside=True)


def transpose(b: GraphBuilder, x: str, perm: Sequence[int]) -> str:
    identity = tuple(range(len(perm)))
    return x if tuple(perm) == identity else b.add("transpose", x, perm=tuple(perm))


def slice_axis(b: GraphBuilder, x: str, axis: int, start: int, stop: int, step: int = 1) -> str:
    """Add x[start:stop:step] along one axis; return the result's name.

    start, stop   resolved, nonnegative bounds; with a negative step, stop -1 includes element 0
    """
    cuts = [(0, n, 1) for n in b.shape(x)]
    cuts[axis] = (start, stop, step)
    whole = [(0, n, 1) for n in b.shape(x)]
    return x if cuts == whole else b.add("slice", x, cuts=tuple(cuts))


def expand(b: GraphBuilder, x: str, shape: Sequence[int]) -> str:
    return x if b.shape(x) == tuple(shape) else b.add("expand", x, shape=tuple(shape))


def concat(b: GraphBuilder, parts: Sequence[str], axis: int) -> str:
    return parts[0] if len(parts) == 1 else b.add("concat", *parts, axis=axis)


def channels_last(rank: int) -> tuple[int, ...]:
    """Return the permutation from [N, C, *S] to [N, *S, C]."""
    return (0, *range(2, rank), 1)


def channels_first(b: GraphBuilder, y: str) -> str:
    """Transpose [N, *S, C] to [N, C, *S]; the origin marks it as restoring the model's axis
    order."""
    rank = len(b.shape(y))
    return b.add("transpose", y, perm=(0, rank - 1, *range(1, rank - 1)), back=True)
