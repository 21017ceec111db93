# SPDX-License-Identifier: Apache-2.0
"""Records of an exported program that is read without torch.

They have the attributes of torch's ExportedProgram, its fx nodes and tensors that import reads, by
the same names, so that one importer reads both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from myoedge.numerics.arrays import Array

# ScalarType of torch/_export/serde/schema.py -> NumPy type; other types are left to torch
TYPES: Mapping[int, str] = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64",
    6: "float16", 7: "float32", 8: "float64", 12: "bool",
}  # fmt: skip


class NeedsTorch(Exception):
    """Raised for a part of a file that only torch can read; the text names it."""


@dataclass(frozen=True)
class NumberType:
    """Type of a tensor's elements, shown as torch shows it: "torch.float32"."""

    name: str
    is_complex: bool = False

    @property
    def is_floating_point(self) -> bool:
        return self.name.startswith("float")

    def __str__(self) -> str:
        return f"torch.{self.name}"


@dataclass(frozen=True)
class ResultType:
    """Type and shape of a tensor in the program."""

    dtype: NumberType
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class StoredTensor(ResultType):
    """Parameter, buffer or constant of an archive.

    values    its elements
    storage   member of the archive, and offset there, which tensors of shared memory have in common
    """

    values: Array
    storage: tuple[str, int]

    def data_ptr(self) -> tuple[str, int]:
        return self.storage

    def numel(self) -> int:
        return self.values.size


@dataclass(eq=False)
class ProgramNode:
    """A placeholder, call or output of a program.

    all_input_nodes   the nodes that it reads, each once
    users             the nodes that read it
    """

    op: str
    name: str
    target: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    all_input_nodes: list[ProgramNode] = field(init=False)
    users: dict[ProgramNode, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.all_input_nodes = [*dict.fromkeys(_nodes_in((self.args, [*self.kwargs.values()])))]
        for node in self.all_input_nodes:
            node.users[self] = None


def _nodes_in(value: Any) -> Iterator[ProgramNode]:
    if isinstance(value, ProgramNode):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _nodes_in(item)


@dataclass(frozen=True)
class ProgramGraph:
    """Nodes of a program in execution order, the output last."""

    nodes: tuple[ProgramNode, ...]

    def output_node(self) -> ProgramNode:
        return self.nodes[-1]


class PortKind(Enum):
    """Kind of an input or output, with the names of torch's InputKind and OutputKind."""

    PARAMETER = "parameter"
    BUFFER = "buffer"
    CONSTANT_TENSOR = "tensor_constant"
    USER_INPUT = "user_input"
    USER_OUTPUT = "user_output"


@dataclass(frozen=True)
class TensorPort:
    """Name of the node of an input or output."""

    name: str


@dataclass(frozen=True)
class NoPort:
    """Output that is None, such as a loss that was not requested."""

    name: str = ""
    value: None = None


@dataclass(frozen=True)
class PortSpec:
    """An input or output of the graph.

    target   name of a parameter, buffer or constant in the module; None for the user's inputs
    """

    kind: PortKind
    arg: TensorPort | NoPort
    target: str | None = None


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a graph whose calls write to no buffer and no input."""

    input_specs: tuple[PortSpec, ...]
    output_specs: tuple[PortSpec, ...]
    buffers_to_mutate: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ResultTree:
    """Containers that forward() returns; a leaf has no type.

    context   keys of a dict, fields of a named tuple
    """

    type: str | None
    context: Any
    children_specs: tuple[ResultTree, ...]

    def is_leaf(self) -> bool:
        return self.type is None


@dataclass(frozen=True)
class CallSpec:
    """Containers of the results."""

    out_spec: ResultTree


@dataclass(frozen=True)
class FileProgram:
    """An exported program as it is in its archive.

    state_dict       parameters and buffers by name
    constants        other tensors by name
    example_inputs   example inputs; None if there are none, or some are no tensors
    """

    graph: ProgramGraph
    graph_signature: Signature
    call_spec: CallSpec
    state_dict: Mapping[str, StoredTensor]
    constants: Mapping[str, StoredTensor]
    example_inputs: tuple[Array, ...] | None
