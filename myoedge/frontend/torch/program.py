# SPDX-License-Identifier: Apache-2.0
"""Records of an exported program that is read without torch; names of its outputs, from
dicts, dataclasses and named tuples that forward() returns.

They have the attributes of torch's ExportedProgram, its fx nodes and tensors that import reads, by
the same names, so that one importer reads both. A pytree spec contains the type of a container,
and its keys or fields as the "context".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from myoedge.frontend.port_names import port_names
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


# --- names of outputs -----------------------------------------------------------------------------


Path = tuple[str | int, ...]


def output_paths(spec: Any, count: int) -> list[Path]:
    """Return the keys that lead to each of `count` outputs in the nested result of forward();
    positions if the result has another number of values.

    spec   torch.utils._pytree.TreeSpec of the result
    """
    paths = [*_output_paths(spec, ())]
    return paths if len(paths) == count else [(i,) for i in range(count)]


def output_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return a name for each output: "logits", "aux_hidden", "output1_hidden"; without keys
    "output", or "output0", "output1" in order.

    paths   keys that lead to each output
    """
    if not any(isinstance(key, str) for path in paths for key in path):
        return tuple(f"output{i}" if len(paths) > 1 else "output" for i in range(len(paths)))
    names = []
    for path in paths:
        begins_with_key = path and isinstance(path[0], str)
        names.append(f"{'' if begins_with_key else 'output'}{'_'.join(map(str, path))}")
    return port_names(names)


def _output_paths(spec: Any, path: Path) -> Iterator[Path]:
    if spec.is_leaf():
        yield path
        return
    # a method since torch 2.10, a field before
    children = spec.children() if hasattr(spec, "children") else spec.children_specs
    names = names_in(getattr(spec.context, "_fields", spec.context), len(children))
    keys: Sequence[str | int] = names or range(len(children))
    for key, child in zip(keys, children, strict=True):
        yield from _output_paths(child, (*path, key))


def names_in(context: Any, count: int) -> list[str | int] | None:
    """Return `count` keys from a container's context: a dict's keys, or a dataclass's fields that
    are not None; None if it has no keys."""
    keys = [*context] if isinstance(context, list | tuple) else []
    if len(keys) == 2 and isinstance(keys[0], list) and isinstance(keys[1], list):
        keys = keys[0]
    known = len(keys) == count > 0 and all(type(key) in (str, int) for key in keys)
    return keys if known else None


# ---- archives


def with_dicts(text: str, plain_types: set[str], is_plain: Callable[[str], bool]) -> str:
    """Return a JSON pytree spec with containers of user-defined classes replaced by dicts, so that
    no class is imported; other text is returned unchanged.

    plain_types   names of types that are left unchanged
    is_plain      name of a field -> whether it may be a key of the dict
    """
    try:
        version, root = json.loads(text)
        changed = _replace_by_dicts(root, plain_types, is_plain)
        return json.dumps([version, root]) if changed else text
    except (ValueError, KeyError, TypeError):
        return text


def _replace_by_dicts(node: Any, plain_types: set[str], is_plain: Callable[[str], bool]) -> bool:
    """Replace types and keys in a node and its children; return whether anything changed."""
    children = node["children_spec"]
    changed = False
    if node["type"] is not None:
        names = names_in(json.loads(node["context"]), len(children))
        strange = any(isinstance(name, str) and not is_plain(name) for name in names or ())
        if names is not None and (strange or node["type"] not in plain_types):
            plain = [re.sub(r"[\W_]+", "_", str(name)) for name in names]  # no dunder names either
            keys = [*port_names(plain)] if strange else names
            node["type"], node["context"] = "builtins.dict", json.dumps(keys)
            changed = True
    return any([changed, *(_replace_by_dicts(child, plain_types, is_plain) for child in children)])
