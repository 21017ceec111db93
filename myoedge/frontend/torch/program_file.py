# SPDX-License-Identifier: Apache-2.0
"""Reading of a torch.export archive without torch.

The archive's JSON becomes a FileProgram whose calls are all in the table of known calls, with the
types and shapes that their functions give. Everything else is left to torch, by NeedsTorch: other
calls and types, calls that write to their operands, graphs in graphs, older layouts.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.frontend.torch.archive import pickled_tensors
from myoedge.frontend.torch.known_arithmetic import ARITHMETIC, FILLS
from myoedge.frontend.torch.known_calls import KnownCall, empty
from myoedge.frontend.torch.known_layers import LAYERS
from myoedge.frontend.torch.known_moves import MOVES
from myoedge.frontend.torch.preflight import checked_members
from myoedge.frontend.torch.program import (
    TYPES,
    CallSpec,
    FileProgram,
    NeedsTorch,
    NoPort,
    NumberType,
    PortKind,
    PortSpec,
    ProgramGraph,
    ProgramNode,
    ResultTree,
    ResultType,
    Signature,
    StoredTensor,
    TensorPort,
)
from myoedge.frontend.torch.traced import HARMLESS

KNOWN = {**MOVES, **FILLS, **ARITHMETIC, **LAYERS}
Json = Mapping[str, Any]
PLAIN: Mapping[str, type] = {"as_int": int, "as_float": float, "as_bool": bool, "as_string": str}
LISTS: Mapping[str, type] = {"as_ints": int, "as_floats": float, "as_bools": bool}
EXAMPLES = "data/sample_inputs/model.pt"
UNREADABLE = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError),
    *(TypeError, ValueError),
)
UNREAD = ("as_device", "as_layout", "as_memory_format")  # arguments that change no value
STORED = (PortKind.PARAMETER, PortKind.BUFFER, PortKind.CONSTANT_TENSOR)
NAMES = {PortKind.PARAMETER: "parameter_name", PortKind.BUFFER: "buffer_name"}


def read_program(path: Path) -> FileProgram:
    """Read the program of a torch.export archive. Errors: E104, E107, E108, E110; NeedsTorch."""
    members, program = checked_members(path)
    try:
        if members.get("byteorder", b"little") != b"little":
            raise NeedsTorch("another byte order")
        module = program["graph_module"]
        graph = _GraphReader(module["graph"]["tensor_values"]).graph(module)
        inputs = (
            _port_name(spec, (*STORED, PortKind.USER_INPUT))
            for spec in module["signature"]["input_specs"]
        )
        outputs = (
            _port_name(spec, (PortKind.USER_OUTPUT,))
            for spec in module["signature"]["output_specs"]
        )
        signature = Signature(tuple(inputs), tuple(outputs))
        _check_ports(graph, signature)
        return FileProgram(
            graph,
            signature,
            CallSpec(_result_nodes(module["module_call_graph"])),
            _read_tensors(members, "weights"),
            _read_tensors(members, "constants"),
            pickled_tensors(members.get(EXAMPLES) or None, path, EXAMPLES),
        )
    # what a file does not have as expected may be as older versions of torch write it, or wrong
    except UNREADABLE as error:
        raise NeedsTorch(f"its form: {type(error).__name__}: {error}") from error


# ---- calls


@dataclass
class _GraphReader:
    """Reader of a graph: nodes by the names of their results.

    types   name -> JSON of the tensor's type
    """

    types: Mapping[str, Json]
    made: dict[str, ProgramNode] = field(default_factory=dict)
    nodes: list[ProgramNode] = field(default_factory=list)

    def graph(self, module: Json) -> ProgramGraph:
        graph = module["graph"]
        for item in graph["inputs"]:
            name = _only_field(item, "as_tensor")["name"]
            self._add_node(
                ProgramNode("placeholder", name, name, meta={"val": self._tensor_type(name)})
            )
        for node in graph["nodes"]:
            if node["target"].removeprefix("torch.ops.") not in HARMLESS:
                self._add_call(node)
        outputs = tuple(self._read_argument(item) for item in graph["outputs"])
        self._add_node(ProgramNode("output", "output", "output", (outputs,)))
        return ProgramGraph(tuple(self.nodes))

    def _add_node(self, node: ProgramNode) -> ProgramNode:
        self.nodes.append(node)
        if node.name in self.made:
            raise ValueError(f"{node.name} is there twice")
        self.made[node.name] = node
        return node

    def _tensor_type(self, name: str) -> ResultType:
        return _stated_type(self.types[name])

    def _add_call(self, node: Json) -> None:
        """Add a call, and one node for each of several results."""
        target = KNOWN.get(node["target"].removeprefix("torch.ops."))
        if target is None:
            raise NeedsTorch(node["target"].removeprefix("torch.ops."))
        given = {item["name"]: self._read_argument(item["arg"]) for item in node["inputs"]}
        if not {*target.required} <= given.keys() <= target.defaults.keys():
            raise ValueError(f"arguments of {target}")
        texts = {name for name, value in given.items() if isinstance(value, str)}
        if any(not isinstance(target.defaults[name], str | list) for name in texts):
            raise ValueError(f"a text as an argument of {target}")
        meta, outputs = _call_metadata(node["metadata"]), node["outputs"]
        if len(outputs) == 1 and "as_tensor" in outputs[0]:
            name = outputs[0]["as_tensor"]["name"]
            made = ProgramNode("call_function", name, target, (), given)
            self._add_node(made).meta = {**meta, "val": self._tensor_type(name)}
        else:
            made = self._add_node(ProgramNode("call_function", node["name"], target, (), given))
            made.meta = {**meta, "val": tuple(self._result_nodes(made, outputs, meta))}
        _check_results(made, target)

    def _result_nodes(
        self, call: ProgramNode, outputs: Sequence[Json], meta: Json
    ) -> Iterator[ResultType]:
        several = outputs[0]["as_tensors"] if len(outputs) == 1 else None
        names = several or [_only_field(item, "as_tensor") for item in outputs]
        for index, name in enumerate(item["name"] for item in names):
            kind = self._tensor_type(name)
            part = ProgramNode("call_function", name, operator.getitem, (call, index))
            self._add_node(part).meta = {**meta, "val": kind}
            yield kind

    def _read_argument(self, item: Json) -> Any:
        """Return an argument: a node, a list of nodes, a number, a text or an element type."""
        ((kind, value),) = item.items()
        if kind in PLAIN:
            return _plain_value(value, PLAIN[kind])
        if kind in LISTS:
            return [_plain_value(x, LISTS[kind]) for x in value]
        if kind == "as_tensor":
            return self.made[value["name"]]
        if kind == "as_tensors":
            return [self.made[x["name"]] for x in value]
        if kind == "as_scalar_type":
            return _number_type(value)
        if kind == "as_none" or kind in UNREAD:
            return None
        raise NeedsTorch(f"an argument {kind}")


def _plain_value(value: Any, kind: type) -> Any:
    """Return a number or text of one type; JSON has infinity as a text."""
    found = float(value) if kind is float else value
    if type(found) is not kind:
        raise TypeError(f"{value!r} in place of {kind.__name__}")
    return found


def _only_field(item: Json, kind: str) -> Any:
    if kind not in item:
        raise NeedsTorch(f"{', '.join(item)} in place of {kind}")
    return item[kind]


def _stated_type(stated: Json) -> ResultType:
    sizes = tuple(_plain_value(_only_field(size, "as_int"), int) for size in stated["sizes"])
    return ResultType(_number_type(stated["dtype"]), sizes)


def _number_type(code: int) -> NumberType:
    if code not in TYPES:
        raise NeedsTorch("complex numbers, or another type that NumPy does not have")
    return NumberType(TYPES[code])


def _call_metadata(stated: Json) -> dict[str, Any]:
    """Return the stack trace of a call, and its modules: key -> (path, class)."""
    stack = stated.get("nn_module_stack")
    modules = dict(_parse_module(text) for text in stack.split(";")) if stack else {}
    return {"stack_trace": stated.get("stack_trace"), "nn_module_stack": modules}


def _parse_module(text: str) -> tuple[str, tuple[str, str]]:
    """Split "key,path,class", whose parts may contain commas in brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    key, place, name = parts
    return key, (place, name)


def _check_results(node: ProgramNode, target: KnownCall) -> None:
    """Raise NeedsTorch if a call does not give the types and shapes that the file records; torch
    names the difference."""
    given = {name: _as_meta_argument(x) for name, x in {**target.defaults, **node.kwargs}.items()}
    try:
        made = target.results(given)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise NeedsTorch(f"{target}: {error}") from error
    if _describe_results(node.meta["val"]) != _describe_results(made):
        raise NeedsTorch(f"{target}: the file records other results")


def _describe_results(results: Any) -> Any:
    """Return type and shape of a result, or a list of them for several."""
    if isinstance(results, tuple):
        return [*map(_describe_results, results)]
    return str(results.dtype).removeprefix("torch."), tuple(results.shape)


def _as_meta_argument(value: Any) -> Any:
    """Return an argument for a function of results: tensors as arrays without memory."""
    if isinstance(value, ProgramNode):
        kind = value.meta["val"]
        return empty(kind.shape, kind.dtype.name)
    if isinstance(value, NumberType):
        return np.dtype(value.name)
    return [_as_meta_argument(item) for item in value] if isinstance(value, list) else value


# ---- inputs, outputs and weights


def _port_name(spec: Json, known: Sequence[PortKind]) -> PortSpec:
    ((text, stated),) = spec.items()
    kind = next((kind for kind in known if kind.value == text), None)
    if kind is None:
        raise NeedsTorch(f"{text} of the graph")
    if kind in STORED:
        target = stated[NAMES.get(kind, "tensor_constant_name")]
        return PortSpec(kind, TensorPort(stated["arg"]["name"]), target)
    if kind is PortKind.USER_OUTPUT and "as_none" in stated["arg"]:
        return PortSpec(kind, NoPort())
    return PortSpec(kind, TensorPort(_only_field(stated["arg"], "as_tensor")["name"]))


def _check_ports(graph: ProgramGraph, signature: Signature) -> None:
    """Raise ValueError if the signature has other inputs or outputs than the graph."""
    given = [node.name for node in graph.nodes if node.op == "placeholder"]
    (results,) = graph.output_node().args
    made = ["" if x is None else x.name for x in results]
    for names, ports in ((given, signature.input_specs), (made, signature.output_specs)):
        if names != [port.arg.name for port in ports]:
            raise ValueError("a signature of another graph")


def _result_nodes(calls: Sequence[Json]) -> ResultTree:
    whole = next(call for call in calls if call["fqn"] == "")
    _, tree = json.loads(whole["signature"]["out_spec"])
    return _pytree_of(tree)


def _pytree_of(stated: Json) -> ResultTree:
    context = None if stated["context"] is None else json.loads(stated["context"])
    return ResultTree(stated["type"], context, tuple(map(_pytree_of, stated["children_spec"])))


def _read_tensors(members: Mapping[str, bytes], folder: str) -> dict[str, StoredTensor]:
    """Return the tensors in data/weights or data/constants by name."""
    config = members.get(f"data/{folder}/model_{folder}_config.json")
    if config is None:
        raise NeedsTorch(f"{folder} in one file, as torch 2.8 and older write them")
    stated = json.loads(config)["config"]
    return {name: _read_tensor(item, members, folder) for name, item in stated.items()}


def _read_tensor(item: Json, members: Mapping[str, bytes], folder: str) -> StoredTensor:
    member, meta = f"data/{folder}/{item['path_name']}", item["tensor_meta"]
    kind = _stated_type(meta)
    strides = [_plain_value(_only_field(n, "as_int"), int) for n in meta["strides"]]
    offset = _plain_value(_only_field(meta["storage_offset"], "as_int"), int)
    values = np.dtype(kind.dtype.name)
    if min((*strides, offset), default=0) < 0:
        raise ValueError(f"strides of {member}")
    if math.prod(kind.shape) * values.itemsize > len(members[member]):
        raise NeedsTorch(f"more elements than {member} has")
    array = np.ndarray(
        kind.shape,
        values,
        members[member],
        offset * values.itemsize,
        [n * values.itemsize for n in strides],
    )
    plain = array.astype(np.float32) if values.kind == "f" else np.array(array)
    return StoredTensor(kind.dtype, kind.shape, plain, (member, offset))
