# SPDX-License-Identifier: Apache-2.0
"""torch.export programs become graphs: captured before any decomposition, static shapes, no training."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.frontend.aten import IMPORT, Unsupported
from myoedge.frontend.draft import Draft
from myoedge.ir import Array, Graph, Origin

if TYPE_CHECKING:
    import torch

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
# Run by torch at import where nothing but constants goes in, besides what IMPORT names: these only compute.
_FACTORIES = frozenset(
    f"aten.{name}"
    for name in (
        "arange.default", "arange.start", "arange.start_step", "eye.default", "eye.m", "full.default",
        "full_like.default", "linspace.default", "ones.default", "ones_like.default", "scalar_tensor.default",
        "zeros.default", "zeros_like.default", "tril.default", "triu.default", "eq.Scalar", "where.self",
        "fill.Scalar", "outer.default", "index_select.default", "max.default", "min.default",
    )
)  # fmt: skip
_HARMLESS = ("aten._assert_tensor_metadata.default", "aten._assert_async.msg", "aten.sym_size.int")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that cannot be imported: which, where, why."""

    target: str
    origin: Origin
    reason: str = ""

    def __str__(self) -> str:
        name = self.target.removeprefix("aten.").removesuffix(".default")
        place = str(self.origin)
        return f"{name}{f' at {place}' if place else ''}{f': {self.reason}' if self.reason else ''}"


def from_exported(program: torch.export.ExportedProgram) -> Graph:
    """The graph of an exported program.

    Errors: E110 dynamic shapes, E111 unsupported operators (all of them), E112 weights that are not
    finite, E113 exported in training mode, E114 state that changes, E115 an output that is constant.
    """
    _refuse_mutation(program)
    draft = Draft()
    program = _without_in_place(program)
    values = _placeholders(program, draft)
    refusals = _calls(program, draft, values)
    if refusals:
        raise unsupported(refusals)
    return _finished(program, draft, values)


def example_inputs(program: torch.export.ExportedProgram) -> tuple[Array, ...] | None:
    """The positional example inputs stored in the archive, as float32 arrays; None if there are none."""
    import torch

    stored = program.example_inputs
    flat = [] if stored is None else [*stored[0], *stored[1].values()]
    if not flat or not all(isinstance(x, torch.Tensor) for x in flat):
        return None
    return tuple(x.detach().to(torch.float32).numpy() for x in flat)


def _without_in_place(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """In-place calls become ordinary ones; an empty table keeps every operator whole otherwise."""
    calls = (n for n in program.graph.nodes if n.op == "call_function")
    if any(_changes_its_input(node.target) for node in calls):
        return program.run_decompositions({})
    return program


def _changes_its_input(target: Any) -> bool:
    schema = getattr(target, "_schema", None)
    return schema is not None and schema.is_mutable and schema.name != "aten::detach_"


def _refuse_mutation(program: torch.export.ExportedProgram) -> None:
    changed = program.graph_signature.buffers_to_mutate
    statistics = [n for n in changed.values() if n.rsplit(".", 1)[-1] in _BATCH_NORM_STATE]
    if statistics:
        raise _training(f"batch norm updates {statistics[0]}")
    if changed or program.graph_signature.user_inputs_to_mutate:
        name = next(
            iter([*changed.values(), *program.graph_signature.user_inputs_to_mutate.values()])
        )
        raise MyoedgeError(
            "E114",
            f"the network changes its own state: {name}",
            tries=["return the new state as an output and take the old one as an input"],
        )


_BATCH_NORM_STATE = ("running_mean", "running_var", "num_batches_tracked")


def _training(what: str) -> MyoedgeError:
    return MyoedgeError(
        "E113",
        "the model was exported in training mode",
        {"found": what},
        ["call model.eval() before torch.export.export(...)"],
    )


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
    return draft.input(node.name, _static(value.shape, node.name))


def _static(shape: Iterable[Any], name: str) -> tuple[int, ...]:
    sizes = tuple(shape)
    for axis, size in enumerate(sizes):
        if not isinstance(size, int):
            raise MyoedgeError(
                "E110",
                f"axis {axis} of {name} is dynamic",
                {"needs": "static shapes", "has": f"{name} {list(map(str, sizes))}"},
                [
                    "export without dynamic_shapes, with an example input of the size the device sees"
                ],
            )
    return sizes


def _parameter(draft: Draft, program: torch.export.ExportedProgram, target: str) -> str:
    import torch

    found = program.state_dict.get(target)
    if found is None:
        found = program.constants[target]
    value = found.detach().to(torch.float32 if found.is_floating_point() else found.dtype).numpy()
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        count = int(np.count_nonzero(~np.isfinite(value)))
        raise MyoedgeError(
            "E112",
            f"{target} holds {count} values that are NaN or infinite",
            {"needs": "finite weights", "has": f"{count} of {value.size} not finite"},
            ["look at the training run: the network has diverged, or the checkpoint is damaged"],
        )
    draft.stem = target
    return draft.constant(value)


def _calls(program: Any, draft: Draft, values: dict[str, Any]) -> list[Refusal]:
    """Imports every call; what cannot be imported is collected, so that all of it is told at once."""
    refusals: list[Refusal] = []
    needed = _needed(program.graph)
    for node in program.graph.nodes:
        if node.op != "call_function" or str(node.target) in _HARMLESS or node not in needed:
            continue
        refusal = _call(draft, values, node)
        if refusal is not None:
            refusals.append(refusal)
    return refusals


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
    if any(values.get(n.name, _REFUSED) is _REFUSED for n in node.all_input_nodes):
        values[node.name] = _REFUSED
        return None  # what it reads has been refused already
    try:
        draft.origin, draft.stem = (origin,), node.name
        values[node.name] = _value(draft, values, node, target)
    except Unsupported as reason:
        values[node.name] = _REFUSED
        return Refusal(target, origin, str(reason))
    return None


_REFUSED = object()


def _value(draft: Draft, values: dict[str, Any], node: Any, target: str) -> Any:
    if node.target is operator.getitem:
        return values[node.args[0].name][node.args[1]]
    arguments = _by_name(node, values)
    row = IMPORT.get(target)
    if (row or target in _FACTORIES) and _is_constant(draft, node, values):
        return _folded(draft, node, values)
    if row is None:
        raise Unsupported("")
    _refuse_training(target, arguments)
    _refuse_integers(node)
    return row(draft, arguments, _shape(node.meta["val"]))


def _by_name(node: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments under the names of the operator's schema, defaults filled in, nodes as values."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        raise Unsupported("")
    bound: dict[str, Any] = {}
    for position, argument in enumerate(schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        given = node.args[position] if position < len(node.args) else default
        bound[argument.name] = _resolved(node.kwargs.get(argument.name, given), values)
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

    def tensor(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(tensor(item) for item in value)
        if hasattr(value, "all_input_nodes"):
            return torch.from_numpy(draft.constants[values[value.name]].copy())
        return value

    with torch.no_grad():
        result = node.target(*tensor(node.args), **{k: tensor(v) for k, v in node.kwargs.items()})
    return _kept(draft, result)


def _kept(draft: Draft, result: Any) -> Any:
    if isinstance(result, list | tuple):
        return tuple(_kept(draft, item) for item in result)
    return draft.constant(result.detach().contiguous().numpy())


def _refuse_training(target: str, arguments: Mapping[str, Any]) -> None:
    """dropout calls it `train`, batch norm `training`."""
    if "dropout" in target and arguments.get("train"):
        raise _training("dropout that drops")
    if "batch_norm" in target and arguments.get("training"):
        raise _training("batch norm over the statistics of the batch")


def _refuse_integers(node: Any) -> None:
    value = node.meta["val"]
    dtype = getattr(value, "dtype", None)
    if dtype is None or dtype.is_floating_point or "argmax" in str(node.target):
        return
    if all(n.meta["val"].dtype == dtype for n in node.all_input_nodes if "val" in n.meta):
        return
    raise Unsupported(f"a result of type {str(dtype).removeprefix('torch.')} inside the network")


def origin_of(node: Any) -> Origin:
    """Module path, and the last frame outside installed packages as basename:line."""
    stack = node.meta.get("nn_module_stack") or {}
    path = str([*stack.values()][-1][0]) if stack else ""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    own = [f for f in frames if "site-packages" not in f[0] and "dist-packages" not in f[0]]
    source = ":".join((PureWindowsPath(own[-1][0]).name, own[-1][1])) if own else ""
    return Origin(path.removeprefix("L['self'].").removeprefix("L['self']"), source)


def unsupported(refusals: list[Refusal]) -> MyoedgeError:
    """E111 with every operator that is in the way."""
    first = refusals[0]
    name = first.target.removeprefix("aten.").removesuffix(".default")
    more = f" and {len(refusals) - 1} more" if len(refusals) > 1 else ""
    return MyoedgeError(
        "E111",
        f"{first.origin or 'the network'} uses an operator that is not supported: {name}{more}",
        {"found": "\n".join(map(str, refusals[:12]))},
        [instead(first.target), "myoedge ops  lists what is supported"],
    )


_INSTEAD = {
    "layer_norm": "batch norm instead of layer norm: it folds into the layer before it",
    "group_norm": "batch norm instead of group norm: it folds into the layer before it",
    "instance_norm": "batch norm instead of instance norm: it folds into the layer before it",
    "lstm": "convolutions over time (conv1d, dilated) instead of an LSTM",
    "gru": "convolutions over time (conv1d, dilated) instead of a GRU",
    "rnn": "convolutions over time (conv1d, dilated) instead of a recurrent layer",
    "scaled_dot_product": "matmul and softmax written out, which are supported",
    "conv_transpose": "a convolution and repeat/expand for upsampling",
    "embedding": "one-hot inputs and a linear layer",
    "upsample": "repeat/expand for nearest-neighbour upsampling",
    "max.dim": "max_pool over that axis, or argmax at the output",
    "amax": "max_pool over that axis",
}


def instead(target: str) -> str:
    """What to write in place of an operator that is missing."""
    for part, advice in _INSTEAD.items():
        if part in target:
            return f"use {advice}"
    return (
        f"rewrite {target.removeprefix('aten.')} with supported operators, or move it to the host"
    )


def _finished(program: Any, draft: Draft, values: Mapping[str, Any]) -> Graph:
    from torch.export.graph_signature import OutputKind

    specs = program.graph_signature.output_specs
    names = [
        s.arg.name for s in specs if s.kind == OutputKind.USER_OUTPUT and hasattr(s.arg, "name")
    ]
    outputs = [values.get(name) for name in names]
    for name, value in zip(names, outputs, strict=True):
        if value not in draft.tensors:
            raise MyoedgeError("E115", f"output {name} does not depend on any input")
    if not outputs:
        raise MyoedgeError("E115", "the model has no output")
    many = len(outputs) > 1
    return draft.graph(outputs, [f"output{i}" if many else "output" for i in range(len(outputs))])
