# SPDX-License-Identifier: Apache-2.0
"""torch.export programs become graphs: nothing decomposed, static shapes, no training."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Mapping
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.frontend.aten import IMPORT, KEEPS
from myoedge.frontend.draft import Draft, Unsupported
from myoedge.frontend.refusals import (
    Refusal,
    changes_state,
    constant_output,
    dynamic,
    not_finite,
    not_floating,
    short,
    training,
    unsupported,
)
from myoedge.ir import Array, Graph, Origin

if TYPE_CHECKING:
    import torch

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
# Run by torch here, once, where nothing but constants goes in, as is all that IMPORT names.
_FACTORIES = frozenset(
    f"aten.{name}"
    for name in (
        "arange.default", "arange.start", "arange.start_step", "eye.default", "eye.m",
        "full.default", "linspace.default", "ones.default", "scalar_tensor.default",
        "zeros.default", "tril.default", "triu.default", "eq.Scalar", "eq.Tensor", "where.self",
        "fill.Scalar", "outer.default", "min.default", "linalg_vector_norm.default",
        "norm.ScalarOpt_dim", "var.dim", "var.correction", "std.dim", "std.correction",
        "expand_as.default", "_weight_norm.default", "_weight_norm_interface.default",
    )
)  # fmt: skip
MAGNITUDES = ("aten.abs.default", "aten.absolute.default")
_HARMLESS = ("aten._assert_tensor_metadata.default", "aten._assert_async.msg")


def from_exported(program: torch.export.ExportedProgram) -> Graph:
    """The graph of an exported program.

    Errors: E110 dynamic shapes, E111 unsupported operators (all of them), E112 weights that are not
    finite, E113 exported in training mode, E114 state that changes, E115 an output that is
    constant, E116 inputs that are not floating point.
    """
    draft = Draft()
    _refuse_training(program)
    program = _without_in_place(program)
    _refuse_mutation(program)
    values = _placeholders(program, draft)
    refusals = _calls(program, draft, values)
    if refusals:
        raise unsupported(refusals)
    return _finished(program, draft, values)


def example_inputs(program: torch.export.ExportedProgram) -> tuple[Array, ...] | None:
    """The example inputs stored in the archive, as float32 arrays; None if there are none."""
    import torch

    stored = program.example_inputs
    flat = [] if stored is None else [*stored[0], *stored[1].values()]
    if not flat or not all(isinstance(x, torch.Tensor) for x in flat):
        return None
    return tuple(x.detach().to(torch.float32).numpy() for x in flat)


def _without_in_place(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """In-place calls become ordinary ones, blocks without gradients are inlined; an empty table
    keeps every operator whole otherwise."""
    nodes = program.graph.nodes
    if any(n.op == "get_attr" or _changes_its_input(n.target) for n in nodes):
        return _functional(program)
    return program


def _functional(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    try:
        inlined: torch.export.ExportedProgram = program.run_decompositions({})
    except Exception as error:  # whatever torch makes of a graph that no export wrote
        cause = {"cause": f"{type(error).__name__}: {error}".splitlines()[0]}
        tries = ["export the model again, with this version of torch"]
        raise MyoedgeError("E108", "torch cannot follow this graph", cause, tries) from None
    return inlined


def _changes_its_input(target: Any) -> bool:
    schema = getattr(target, "_schema", None)
    return schema is not None and schema.is_mutable and schema.name != "aten::detach_"


def _refuse_mutation(program: torch.export.ExportedProgram) -> None:
    """Inputs may change in place: on the device they are read only and what is read is the copy."""
    changed = program.graph_signature.buffers_to_mutate
    if changed:
        raise changes_state(", ".join(changed.values()))


def _refuse_training(program: torch.export.ExportedProgram) -> None:
    """dropout calls it `train`, batch norm `training`; no running statistics is another matter."""
    for node in program.graph.nodes:
        given = _given(node)
        active = given.get("train") or given.get("training")
        if active and given.get("running_mean", "") is not None:
            place = str(origin_of(node))
            raise training(f"{short(str(node.target))}{f' at {place}' if place else ''}")


def _placeholders(program: torch.export.ExportedProgram, draft: Draft) -> dict[str, Any]:
    """Values of the graph's placeholders: names of inputs and constants."""
    from torch.export.graph_signature import InputKind

    specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    values: dict[str, Any] = {}
    for node in program.graph.nodes:
        if node.op != "placeholder":
            continue
        spec = specs[node.name]
        if spec.kind == InputKind.USER_INPUT:
            values[node.name] = _user_input(draft, node, spec.arg)
        elif spec.target is not None:
            values[node.name] = _parameter(draft, program, spec.target)
    return values


def _user_input(draft: Draft, node: Any, argument: Any) -> Any:
    value = node.meta.get("val")
    if not hasattr(value, "shape"):
        return getattr(argument, "value", None)
    if not value.dtype.is_floating_point:
        raise not_floating(node.name, _type(value.dtype), [*_readers(node)])
    return draft.input(node.name, _static(value.shape, node.name))


def _readers(node: Any) -> Iterable[str]:
    for user in node.users:
        if user.op == "call_function" and str(user.target) not in _HARMLESS:
            place = str(origin_of(user))
            yield f"{short(str(user.target))}{f', at {place}' if place else ''}"


def _type(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _static(shape: Iterable[Any], name: str) -> tuple[int, ...]:
    sizes = tuple(shape)
    for axis, size in enumerate(sizes):
        if not isinstance(size, int):
            raise dynamic(name, axis, sizes)
    return sizes


def _parameter(draft: Draft, program: torch.export.ExportedProgram, target: str) -> str:
    found = program.state_dict.get(target)
    if found is None:
        found = program.constants[target]
    draft.stem = target
    value = _array(found)
    _refuse_not_finite(target, value)
    return draft.constant(value)


def _array(tensor: Any) -> Array:
    """Floats of any width as float32, integers as they are."""
    import torch

    tensor = tensor.detach().to("cpu")
    floats = tensor.to(torch.float32) if tensor.is_floating_point() else tensor
    return np.asarray(floats.contiguous().numpy())


def _refuse_not_finite(name: str, value: Array) -> None:
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise not_finite(name, int(np.count_nonzero(~np.isfinite(value))), value.size)


def _calls(program: Any, draft: Draft, values: dict[str, Any]) -> list[Refusal]:
    """Imports every call; what cannot be is collected, so that all of it is told at once."""
    needed = _needed(program.graph)
    refusals = [*_complex_outputs(program.graph)]
    for node in program.graph.nodes:
        if node.op != "call_function" or str(node.target) in _HARMLESS or node not in needed:
            continue
        refusal = _call(draft, values, node)
        if refusal is not None:
            refusals.append(refusal)
    return refusals


def _complex_outputs(graph: Any) -> Iterable[Refusal]:
    read = (n for node in graph.nodes if node.op == "output" for n in node.all_input_nodes)
    return (
        Refusal(str(n.target), origin_of(n), "complex numbers as an output")
        for n in read
        if _is_complex(n)
    )


def _needed(graph: Any) -> set[Any]:
    """Calls that an output depends on: a branch that nobody reads need not be supported."""
    pending = [node for node in graph.nodes if node.op == "output"]
    found: set[Any] = set()
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending.extend(node.all_input_nodes)
    return found


def _call(draft: Draft, values: dict[str, Any], node: Any) -> Refusal | None:
    target = str(node.target)
    origin = origin_of(node)
    draft.origin, draft.stem = (origin,), node.name
    try:
        values[node.name] = _value(draft, values, node, target)
    except Unsupported as reason:
        values[node.name] = _stand_in(draft, node.meta.get("val"))
        return Refusal(target, origin, str(reason))
    return None


def _stand_in(draft: Draft, value: Any) -> Any:
    """What later calls read in place of a refused one's result, so that they are judged as well."""
    if isinstance(value, list | tuple):
        return tuple(_stand_in(draft, item) for item in value)
    sizes = getattr(value, "shape", ())
    return draft.stand_in([n if isinstance(n, int) else 1 for n in sizes])


def _value(draft: Draft, values: dict[str, Any], node: Any, target: str) -> Any:
    if node.target is operator.getitem:
        return _item(values[node.args[0].name], node.args[1], str(node.args[0].target))
    arguments = _by_name(node, values)
    row = IMPORT.get(target)
    if (row or target in _FACTORIES) and _is_constant(draft, node, values):
        return _folded(draft, node, values)
    if row is None:
        raise Unsupported("")
    out = _shape(node.meta["val"])
    if not isinstance(out, list) and 0 in out:
        raise Unsupported("a tensor without elements")
    _refuse_types(draft, node, values)
    return row(draft, arguments, out)


def _item(value: Any, index: int, target: str) -> Any:
    if index >= len(value):
        raise Unsupported(f"only the values of {short(target)} are there, not its indices")
    return value[index]


def _by_name(node: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments under the names of the operator's schema, defaults filled in, nodes as values."""
    given = _given(node)
    if not given:
        raise Unsupported("")
    return {name: _resolved(value, values) for name, value in given.items()}


def _given(node: Any) -> dict[str, Any]:
    """What a call is given, under the names of its schema; empty for what is no operator."""
    schema = getattr(node.target, "_schema", None)
    bound: dict[str, Any] = {}
    for position, argument in enumerate(() if schema is None else schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        given = node.args[position] if position < len(node.args) else default
        bound[argument.name] = node.kwargs.get(argument.name, given)
    return bound


def _resolved(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, list | tuple):
        return [_resolved(item, values) for item in value]
    name = getattr(value, "name", None)
    return values[name] if name is not None and hasattr(value, "all_input_nodes") else value


def _shape(value: Any) -> Any:
    """The shape of a tensor, or the shapes of a tuple of them."""
    if isinstance(value, list | tuple):
        return [_shape(item) for item in value]
    return _static(value.shape, "an intermediate tensor") if hasattr(value, "shape") else None


def _is_constant(draft: Draft, node: Any, values: Mapping[str, Any]) -> bool:
    names = [values[n.name] for n in node.all_input_nodes]
    return all(isinstance(name, str) and name in draft.constants for name in names)


def _folded(draft: Draft, node: Any, values: Mapping[str, Any]) -> Any:
    """A call that reads constants only is run by torch, once, here."""
    import torch

    elements = sum(math.prod(shape) for shape in _shapes(node))
    if elements > MOST_CONSTANT_ELEMENTS:
        raise Unsupported(
            f"a constant of {elements:,} elements, at most {MOST_CONSTANT_ELEMENTS:,}"
        )

    def tensor(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(tensor(item) for item in value)
        if hasattr(value, "all_input_nodes"):
            return torch.from_numpy(draft.constants[values[value.name]].copy())
        return value

    try:
        with torch.no_grad():
            kwargs = {k: tensor(v) for k, v in node.kwargs.items() if k != "device"}
            result = node.target(*tensor(node.args), **kwargs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise Unsupported(f"torch refuses it: {str(error).splitlines()[0]}") from None
    return _kept(draft, result)


MOST_CONSTANT_ELEMENTS = 2**26  # 256 MiB of floats


def _shapes(node: Any) -> list[tuple[int, ...]]:
    """Shapes of all tensors that a call says it returns."""
    value = node.meta.get("val")
    values = value if isinstance(value, list | tuple) else [value]
    return [tuple(map(int, v.shape)) for v in values if hasattr(v, "shape")]


def _kept(draft: Draft, result: Any) -> Any:
    if isinstance(result, list | tuple):
        return tuple(_kept(draft, item) for item in result)
    return draft.constant(_array(result))


def _refuse_types(draft: Draft, node: Any, values: Mapping[str, Any]) -> None:
    """The indices of argmax are an output; nothing computes with them or with truth values."""
    dtype = getattr(node.meta["val"], "dtype", None)
    transformed = _is_complex(node) and "aten.stft" in str(node.target)
    whole = dtype is not None and not dtype.is_floating_point and not transformed
    read = [values[n.name] for n in node.all_input_nodes]
    indices = any(draft.tensors[x].dtype != "float32" for x in read if x in draft.tensors)
    if str(node.target) not in MAGNITUDES and any(map(_is_complex, node.all_input_nodes)):
        raise Unsupported("it reads complex numbers, of which abs is to be taken")
    if indices and not (whole and str(node.target) in KEEPS):
        raise Unsupported("it reads the indices of argmax, which must be an output")
    if whole and not indices and "aten.arg" not in str(node.target):
        raise Unsupported(f"a result of type {_type(dtype)} inside the network")


def _is_complex(node: Any) -> bool:
    """Whether a call gives complex numbers; transforms do, and stand for their magnitudes."""
    dtype = getattr(node.meta.get("val"), "dtype", None)
    return dtype is not None and bool(dtype.is_complex)


def origin_of(node: Any) -> Origin:
    """Module path, and the last frame outside installed packages as basename:line."""
    stack = node.meta.get("nn_module_stack") or {}
    path = str([*stack.values()][-1][0]) if stack else ""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    own = [f for f in frames if "site-packages" not in f[0] and "dist-packages" not in f[0]]
    source = ":".join((PureWindowsPath(own[-1][0]).name, own[-1][1])) if own else ""
    return Origin(path.removeprefix("L['self'].").removeprefix("L['self']"), source)


def _finished(program: Any, draft: Draft, values: Mapping[str, Any]) -> Graph:
    from torch.export.graph_signature import OutputKind

    specs = program.graph_signature.output_specs
    given = [spec.arg for spec in specs if spec.kind == OutputKind.USER_OUTPUT]
    names = [f"output{i}" if len(given) > 1 else "output" for i in range(len(given))]
    outputs = [values.get(argument.name) for argument in given]
    for name, value, argument in zip(names, outputs, given, strict=True):
        if value not in draft.tensors:
            raise constant_output(name, str(getattr(argument, "value", argument.name)))
    if not outputs:
        raise constant_output("the result of forward()", "no tensor")
    for name in dict.fromkeys(name for node in draft.nodes for name in node.inputs):
        if name in draft.constants:
            _refuse_not_finite(name.removesuffix(".const"), draft.constants[name])
    return draft.graph([str(value) for value in outputs], names)
