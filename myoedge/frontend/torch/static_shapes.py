# SPDX-License-Identifier: Apache-2.0
"""Checks of an archive before torch loads the program: all sizes, given as JSON, are static, and
the torch.library operators that the program calls are registered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from myoedge.errors import MyoedgeError, named_input
from myoedge.frontend.refusals import (
    EXPORT_LINES,
    Refusal,
    depends_on_values,
    qualified_name,
    unsupported,
)
from myoedge.frontend.sources import source_of_trace
from myoedge.frontend.torch.archive import MODEL, runs_code, shortened
from myoedge.graph.origin import Origin
from myoedge.operators.import_rows import aten_names, import_rows

Objects = Sequence[tuple[str, dict[str, Any]]]  # objects of a JSON program with their keys
INNER = (dict, list)  # JSON containers
SCALARS = ("sym_int_values", "sym_float_values", "sym_bool_values")
INTEGER = re.compile(r"-?\d{1,18}")


def check_static(program: Mapping[str, Any], objects: Objects, path: Path) -> None:
    """Raise E110 if a size in an archive's program is dynamic, E107 if the program has guards."""
    symbols = [n["expr_str"] for _, n in objects if "expr_str" in n]
    moving = [text for text in symbols if not INTEGER.fullmatch(str(text))]
    if not moving and not program.get("range_constraints"):
        # guards are source code that is executed on the first run; static shapes need none
        if guards := program.get("guards_code"):
            raise runs_code(path, MODEL, f"guards_code is {shortened(str(guards))}")
        return
    axes = list(_dynamic_axes(program))
    if not axes:
        target, place, is_constant = _first_dynamic_call(program)
        raise depends_on_values(target, place, is_constant=is_constant)
    tries = ("export without dynamic_shapes=, with an example of the size on the device:",)
    raise MyoedgeError(
        "E110", f"{path} has dynamic shapes", {"dynamic": ", ".join(axes)}, (*tries, EXPORT_LINES)
    )


def drop_unread_scalars(program: dict[str, Any]) -> bool:
    """Remove scalars read from tensors (`.item()`) on which no tensor depends, and calls that read
    only them, such as assertions; return whether any were removed."""
    try:
        graph = program["graph_module"]["graph"]
        scalars = set[str]().union(*(graph.get(kind, ()) for kind in SCALARS))
        kept, reading = list[Any](), list[Any]()
        for node in graph["nodes"]:
            (kept if scalars.isdisjoint(_scalar_names(node)) else reading).append(node)
        is_empty = not scalars and not program["range_constraints"]
        if is_empty or _depends_on_scalars(graph, scalars) or any(map(_returns_tensors, reading)):
            return False
        graph.update({"nodes": kept, **{kind: {} for kind in SCALARS}})
        program["range_constraints"] = {}
    # torch refuses malformed graphs
    except (KeyError, TypeError, AttributeError):
        return False
    return True


def _depends_on_scalars(graph: Mapping[str, Any], scalars: set[str]) -> bool:
    """Return whether an input, output or tensor's size depends on scalars read from tensors."""
    ends = {"ends": [graph["inputs"], graph["outputs"]]}
    is_dynamic = any(map(_is_dynamic, graph["tensor_values"].values()))
    return is_dynamic or not scalars.isdisjoint(_scalar_names(ends))


def _is_dynamic(value: Mapping[str, Any]) -> bool:
    return any("as_expr" in size for size in value["sizes"])


def _returns_tensors(node: Mapping[str, Any]) -> bool:
    made = {key for key, _ in dicts({"outputs": node["outputs"]})}
    return not made.isdisjoint(("as_tensor", "as_tensors"))


def _scalar_names(part: Mapping[str, Any]) -> set[str]:
    """Return the names of all scalars in a part of a program."""
    found = (inner.get("as_name") for _, inner in dicts(part))
    return {name for name in found if isinstance(name, str)}


def _first_dynamic_call(program: Mapping[str, Any]) -> tuple[str, str, bool]:
    """Return (call, place, whether its last operand, a mask, is constant) of the first result with
    a dynamic shape."""
    try:
        module = program["graph_module"]
        graph, specs = module["graph"], module["signature"]["input_specs"]
        varying = _tensor_names({"specs": [spec for spec in specs if "user_input" in spec]})
        for node in graph["nodes"]:
            names = [x["as_tensor"]["name"] for x in node["outputs"] if "as_tensor" in x]
            if any(_is_dynamic(graph["tensor_values"][name]) for name in names):
                trace = str(node["metadata"].get("stack_trace"))
                is_constant = varying.isdisjoint(_tensor_names(node["inputs"][-1]))
                target = node["target"].removeprefix("torch.ops.")
                return target, source_of_trace(trace), is_constant
            if not varying.isdisjoint(_tensor_names(node)):
                varying.update(names)
    # torch refuses malformed graphs
    except (KeyError, TypeError, AttributeError, IndexError):
        pass
    return "a call", "", False


def _tensor_names(part: Mapping[str, Any]) -> set[str]:
    """Return the names of all tensors in a part of a program."""
    found = (inner.get("name") for key, inner in dicts(part) if key in ("as_tensor", "as_tensors"))
    return {name for name in found if isinstance(name, str)}


def _dynamic_axes(program: Mapping[str, Any]) -> Iterator[str]:
    try:
        module = program["graph_module"]
        names = [
            spec["user_input"]["arg"]["as_tensor"]["name"]
            for spec in module["signature"]["input_specs"]
            if "as_tensor" in spec.get("user_input", {}).get("arg", {})
        ]
        for name in names:
            for axis, size in enumerate(module["graph"]["tensor_values"][name]["sizes"]):
                if "as_expr" in size:
                    yield f"axis {axis} of {named_input(name)}"
    # torch refuses malformed graphs; here the axis just has no name
    except (KeyError, TypeError, AttributeError):
        return


def dicts(program: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, object) for every JSON object in a program, in order; the key of an item is its
    list's key."""
    pending: list[tuple[str, Any]] = [("", program)]
    while pending:
        key, value = pending.pop()
        if isinstance(value, dict):
            yield key, value
            inner = [(name, x) for name, x in value.items() if type(x) in INNER]
        else:
            inner = [(key, x) for x in value if type(x) in INNER]
        pending += reversed(inner)


PREFIX = "torch.ops."


def refuse_unregistered(program: Mapping[str, Any]) -> None:
    """Raise E111 for operators that no library has registered in this process."""
    from torch._C import _jit_get_schemas_for_operator as schemas

    refusals = [
        Refusal(target, Origin("", place))
        for target, place in _program_calls(program)
        if (name := qualified_name(target)) and not schemas(name)
    ]
    if refusals:
        raise unsupported(refusals)


def _program_calls(program: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (target, place in the user's program) of each call in a program."""
    for key, node in dicts(program):
        target, metadata = node.get("target"), node.get("metadata")
        if key == "nodes" and isinstance(target, str) and isinstance(metadata, dict):
            trace = str(metadata.get("stack_trace") or "")
            yield target.removeprefix(PREFIX), source_of_trace(trace)


def refuse_unknown_overload(target: str) -> None:
    """Raise E257 for a call without an import row if a row has another overload of its operator
    that torch does not have. It is not checked without torch.

    target   "aten.lerp.Scalar"
    """
    operator, _, overload = target.rpartition(".")
    rows = ((name, row.place) for row in import_rows() for name in aten_names(row.aten))
    near = [(name, place) for name, place in rows if name.rpartition(".")[0] == operator]
    if not near or find_spec("torch") is None:
        return
    for name, place in near:
        if arguments_of_call(name) is None:
            facts = {"row": place, "has": f"{name}, which torch does not have", "needs": target}
            title = f"the import row of {name} cannot be used: there is no such overload"
            right = f"{operator.rpartition('.')[2]}.{overload}".removesuffix(".default")
            raise MyoedgeError("E257", title, facts, [f'"{right}" in the row at {place}'])


def arguments_of_call(name: str) -> dict[str, tuple[bool, Any]] | None:
    """Return argument -> (whether it is a tensor, its default) of a registered operator; None if no
    library has registered it.

    name   "lab.gain.default"
    """
    from torch._C import _jit_get_schemas_for_operator as schemas

    namespace, operator, overload = name.split(".")
    for schema in schemas(f"{namespace}::{operator}"):
        if (schema.overload_name or "default") == overload:
            return {
                x.name: (
                    "Tensor" in str(x.type),
                    x.default_value if x.has_default_value() else None,
                )
                for x in schema.arguments
            }
    return None
