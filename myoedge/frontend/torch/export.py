# SPDX-License-Identifier: Apache-2.0
"""torch.export programs become graphs: nothing decomposed, static shapes, no training."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError
from myoedge.frontend.infinities import clamped_only, refuse_no_mask, refuse_not_finite
from myoedge.frontend.refusals import (
    changes_state,
    constant_output,
    not_floating,
    short,
    training,
    unsupported,
)
from myoedge.frontend.torch.calls import imported, needed_nodes
from myoedge.frontend.torch.consistent import AGAIN, refuse_inconsistent, refuse_other_tensor
from myoedge.frontend.torch.traced import HARMLESS, arguments_of, array, origin_of, static, type_of
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder

if TYPE_CHECKING:
    import torch


def from_exported(program: torch.export.ExportedProgram) -> Graph:
    """The graph of an exported program.

    Errors: E109 weights of other shapes than it reads, E110 dynamic shapes, E111 unsupported
    operators (all of them), E112 weights that are not finite, E113 exported in training mode, E114
    state that changes, E115 an output that is constant, E116 inputs that are not floating point.
    """
    builder = GraphBuilder()
    _refuse_training(program)
    program = _without_in_place(program)
    _refuse_mutation(program)
    refuse_inconsistent(program)
    values = _placeholders(program, builder)
    refusals = imported(program, builder, values)
    if refusals:
        raise unsupported(refusals)
    return _finished(program, builder, values)


def learnt(program: torch.export.ExportedProgram) -> int:
    """Numbers of the parameters that an output depends on, each once; buffers are none."""
    from torch.export.graph_signature import InputKind

    read = {node.name for node in needed_nodes(program.graph)}
    specs = program.graph_signature.input_specs
    found = (s.target for s in specs if s.kind == InputKind.PARAMETER and s.arg.name in read)
    tensors = [program.state_dict[name] for name in found]
    return sum({(x.data_ptr(), x.shape): x.numel() for x in tensors}.values())


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
        with warnings.catch_warnings(action="ignore"):  # of what torch does to its own trees
            inlined: torch.export.ExportedProgram = program.run_decompositions({})
    except Exception as error:  # whatever torch makes of a graph that no export wrote
        cause = {"cause": f"{type(error).__name__}: {error}".splitlines()[0]}
        raise MyoedgeError("E108", "torch cannot follow this graph", cause, AGAIN) from None
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
        given = arguments_of(node)
        active = given.get("train") or given.get("training")
        if active and given.get("running_mean", "") is not None:
            place = str(origin_of(node))
            raise training(f"{short(str(node.target))}{f' at {place}' if place else ''}")


def _placeholders(program: torch.export.ExportedProgram, builder: GraphBuilder) -> dict[str, Any]:
    """Values of the graph's placeholders: names of inputs and constants."""
    from torch.export.graph_signature import InputKind

    specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    values: dict[str, Any] = {}
    for node in program.graph.nodes:
        if node.op != "placeholder":
            continue
        spec = specs[node.name]
        if spec.kind == InputKind.USER_INPUT:
            values[node.name] = _user_input(builder, node, spec.arg)
        elif spec.target is not None:
            learnt = spec.kind == InputKind.PARAMETER
            values[node.name] = _parameter(builder, program, spec.target, node, learnt=learnt)
    return values


def _user_input(builder: GraphBuilder, node: Any, argument: Any) -> Any:
    value = node.meta.get("val")
    if not hasattr(value, "shape"):
        return getattr(argument, "value", None)
    if not value.dtype.is_floating_point:
        raise not_floating(node.name, type_of(value.dtype), [*_readers(node)])
    return builder.input(node.name, static(value.shape, node.name))


def _readers(node: Any) -> Iterable[str]:
    for user in node.users:
        if user.op == "call_function" and str(user.target) not in HARMLESS:
            place = str(origin_of(user))
            yield f"{short(str(user.target))}{f', at {place}' if place else ''}"


def _parameter(
    builder: GraphBuilder,
    program: torch.export.ExportedProgram,
    target: str,
    node: Any,
    *,
    learnt: bool,
) -> str:
    found = program.state_dict.get(target)
    if found is None:
        found = program.constants[target]
    builder.stem = target
    refuse_other_tensor(target, found, node)
    value = array(found)
    if node.users:
        (refuse_not_finite if learnt else refuse_no_mask)(target, [value])
    return builder.constant(value)


def _finished(program: Any, builder: GraphBuilder, values: Mapping[str, Any]) -> Graph:
    from torch.export.graph_signature import OutputKind

    specs = program.graph_signature.output_specs
    given = [spec.arg for spec in specs if spec.kind == OutputKind.USER_OUTPUT]
    names = [f"output{i}" if len(given) > 1 else "output" for i in range(len(given))]
    outputs = [values.get(argument.name) for argument in given]
    for name, value, argument in zip(names, outputs, given, strict=True):
        if value not in builder.tensors:
            raise constant_output(name, str(getattr(argument, "value", argument.name)))
    if not outputs:
        raise constant_output("the result of forward()", "no tensor")
    clamped_only(builder, [str(value) for value in outputs])
    for name in dict.fromkeys(name for node in builder.nodes for name in node.inputs):
        if name in builder.constants:
            refuse_not_finite(name.removesuffix(".const"), [builder.constants[name]])
    return builder.build([str(value) for value in outputs], names)
