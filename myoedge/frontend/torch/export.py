# SPDX-License-Identifier: Apache-2.0
"""Import of torch.export programs with static shapes, in inference mode.

An archive may record wrong shapes, so that torch runs each call again on meta tensors.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.frontend.infinities import (
    refuse_no_mask,
    refuse_not_finite,
    replace_clamped_infinities,
)
from myoedge.frontend.integers import COMPARED, INTEGERS, NUMBERS, ROWS, SMALL, integer_input
from myoedge.frontend.operator_table import OF_INTEGERS, READS_INTEGERS
from myoedge.frontend.refusals import not_numbers, short, unsupported, wrong_size
from myoedge.frontend.torch.calls import imported, needed_nodes
from myoedge.frontend.torch.consistent import (
    EXPORT_AGAIN,
    dequantized,
    described,
    verify_call_metadata,
)
from myoedge.frontend.torch.factory import (
    Buffers,
    refuse_replaced_weights,
    without_tables,
    written_buffers,
)
from myoedge.frontend.torch.in_place import functionalize, writes
from myoedge.frontend.torch.program import FileProgram, output_names, output_paths
from myoedge.frontend.torch.traced import (
    HARMLESS,
    arguments_of,
    array,
    kind_of,
    module_class_of,
    origin_of,
    static,
    type_of,
)
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.checks import constant_output
from myoedge.operators.graph_builder import GraphBuilder

if TYPE_CHECKING:
    import torch

    Program = torch.export.ExportedProgram | FileProgram

FUNCTIONS = {"feature_dropout": "dropout2d"}  # call -> its function in torch.nn.functional
TAKES_ROWS = tuple(
    f"aten.{name}." for name in ("embedding", "index", "index_select", "gather", "take_along_dim")
)


def from_exported(program: torch.export.ExportedProgram) -> Graph:
    """Import a program of torch.export as a graph.

    Errors: E109 weights of other shapes than the graph reads, E110 dynamic shapes, E111 unsupported
    operators (all of them), E112 weights that are not finite, E113 exported in training mode, E114
    state that changes, E115 a constant output, E116 inputs of types that no operator reads.
    """
    _refuse_training(program)
    refuse_replaced_weights(program)
    program = _functionalise_program(program)
    verify_call_metadata(program)
    return without_tables(partial(_import_run, program))


def from_file(program: FileProgram) -> Graph:
    """Import a program that was read without torch; its types and shapes are checked already.

    Errors: as from_exported; NeedsTorch.
    """
    _refuse_training(program)
    return without_tables(partial(_import_run, program))


def _import_run(program: Program, buffers: Buffers) -> tuple[Graph, Buffers]:
    """Import one run of the program; return the graph, and the values of the buffers after the run.

    A program may write to its inputs; on the device inputs are read-only, and later calls read the
    new value.
    """
    builder = GraphBuilder()
    values = _placeholders(program, builder, _tensors_by_name(program, buffers))
    refusals = imported(program, builder, values)
    written = written_buffers(program, builder, values)
    if refusals:
        raise unsupported(refusals)
    return _finish_graph(program, builder, values), written


def _tensors_by_name(program: Program, buffers: Buffers) -> dict[str, Any]:
    """Return parameters, buffers and constants by name; `buffers` replaces some values."""
    if not buffers:
        return {**program.constants, **program.state_dict}
    import torch

    tensors = {**program.constants, **program.state_dict}
    made = ((name, tensors[name], torch.from_numpy(value)) for name, value in buffers.items())
    return tensors | {name: new.to(old.dtype).reshape(old.shape) for name, old, new in made}


def count_parameters(program: Program) -> int:
    """Return the number of parameters that the outputs depend on, each counted once, including
    quantised weights in buffers."""
    needed = needed_nodes(program.graph)
    read = {node.name for node in needed}
    stored = {x.name for node in needed if (x := dequantized(node)) is not None}
    learns = {"PARAMETER": read, "BUFFER": stored}
    specs = program.graph_signature.input_specs
    names = (str(s.target) for s in specs if s.arg.name in learns.get(s.kind.name, ()))
    tensors = [program.state_dict[name] for name in names]
    return sum({(x.data_ptr(), x.shape): x.numel() for x in tensors}.values())


def example_inputs(program: torch.export.ExportedProgram) -> tuple[Array, ...] | None:
    """Return the example inputs stored in the archive, floats as float32; None if there are
    none."""
    import torch

    stored = program.example_inputs
    flat = [] if stored is None else [*stored[0], *stored[1].values()]
    if not flat or not all(isinstance(x, torch.Tensor) for x in flat):
        return None
    return tuple(map(array, flat))


def _functionalise_program(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Functionalise in-place calls, inline no_grad blocks and resolve vmap, without decomposing
    operators."""
    functionalize(program)
    vmap = "torch._functorch.predispatch"  # its calls begin and end a vmap, as associative_scan has
    if not any(
        writes(x) or x.op == "get_attr" or getattr(x.target, "__module__", "") == vmap
        for x in program.graph.nodes
    ):
        return program
    try:
        # warnings of torch about its own trees
        with warnings.catch_warnings(action="ignore"), _restore_vmap_nesting():
            inlined: torch.export.ExportedProgram = program.run_decompositions({})
    except Exception as error:  # torch may raise anything on a crafted graph
        cause = {"cause": f"{type(error).__name__}: {error}".splitlines()[0]}
        raise MyoedgeError("E108", "torch cannot follow this graph", cause, EXPORT_AGAIN) from None
    return inlined


@contextmanager
def _restore_vmap_nesting() -> Iterator[None]:
    """Context manager that closes a vmap which a crafted graph may have opened and left open."""
    from torch._C import _functorch

    depth = _functorch.get_dynamic_layer_stack_depth()
    try:
        yield
    finally:
        _functorch.pop_dynamic_layer_stack_and_undo_to_depth(depth)


def _refuse_training(program: Program) -> None:
    """Raise E113 for calls in training mode: dropout with `train`, batch norm with `training`. A
    norm without running statistics is allowed."""
    for node in program.graph.nodes:
        given = arguments_of(node)
        active = given.get("train") or given.get("training")
        if given.get("dropout") == 0.0:
            continue  # without dropout, training changes nothing in recurrent calls
        # without running statistics, as in a decomposed instance norm
        of_batch = "no_stats" in str(node.target) or given.get("running_mean", "") is None
        if active and not of_batch:
            raise _training_mode_error(node)


def _training_mode_error(node: Any) -> MyoedgeError:
    """Return error E113 with the remedy: model.eval() affects modules, but not F.dropout called
    without `training`."""
    name, place, given = short(str(node.target)), str(origin_of(node)), arguments_of(node)
    title, facts = "the model was exported in training mode", {}
    tries = ["call model.eval() before torch.export.export(...)"]
    if "dropout" in name and not module_class_of(node).startswith("torch.nn."):
        name = f"F.{FUNCTIONS.get(name, name)}"
        title = f"{name} is active, although model.eval() may have been called"
        facts = {"because": f"training=True is the default of {name}"}
        instead = f"{name}(x, {given.get('p', 0.5)}, self.training), or nn.Dropout"
        tries = [f"write {instead}", tries[0]]
    found = f"{name}{f' at {place}' if place else ''}"
    return MyoedgeError("E113", title, {"found": found, **facts}, tries)


def _placeholders(
    program: Program, builder: GraphBuilder, tensors: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values of the graph's placeholders: names of inputs and constants."""
    specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    values: dict[str, Any] = {}
    for node in program.graph.nodes:
        if node.op != "placeholder":
            continue
        spec, value = specs[node.name], node.meta.get("val")
        if spec.kind.name == "USER_INPUT" and not hasattr(value, "shape"):
            values[node.name] = getattr(spec.arg, "value", None)
        elif spec.kind.name == "USER_INPUT":
            values[node.name] = _add_input(builder, node, value)
        elif spec.target is not None:
            is_parameter = spec.kind.name == "PARAMETER"
            tensor = tensors[spec.target]
            values[node.name] = _add_parameter(
                builder, tensor, spec.target, node, is_parameter=is_parameter
            )
    return values


def _add_input(builder: GraphBuilder, node: Any, value: Any) -> str:
    shape = static(value.shape, node.name)
    if 0 in shape and node.users and {short(str(user.target)) for user in node.users} == {"cat"}:
        builder.stem = node.name  # an empty cache, to which results are appended
        return builder.constant(np.zeros(shape))
    if 0 in shape:
        raise wrong_size(node.name, shape, "at least 1 element")
    if value.dtype.is_floating_point:
        return builder.input(node.name, shape)
    builder.stem, dtype = node.name, type_of(value.dtype)
    if dtype not in (*SMALL, *INTEGERS):
        raise _not_numbers_error(node, dtype)
    return integer_input(builder, node.name, shape, dtype, _calls_reading_integers(node))


def _calls_reading_integers(node: Any) -> Iterable[str]:
    """Return the calls that read an input's integers, directly or after data movement."""
    for user in node.users:
        target = str(user.target)
        if user.op != "call_function" or target in HARMLESS:
            continue
        kind = kind_of(user)
        read = next(iter(arguments_of(user).values()), None)
        picks = target.startswith(TAKES_ROWS) and node is not read
        if picks or target == "aten.one_hot.default":
            yield ROWS
        elif kind == "bool":
            yield COMPARED
        elif kind == "int" and target in (*READS_INTEGERS, *OF_INTEGERS):
            yield from _calls_reading_integers(user)
        else:
            yield NUMBERS


def _not_numbers_error(node: Any, dtype: str) -> MyoedgeError:
    """Return the error for an input of an unsupported type, with the calls that read it."""
    readers = []
    for user in node.users:
        if user.op == "call_function" and str(user.target) not in HARMLESS:
            place = str(origin_of(user))
            readers.append(f"{short(str(user.target))}{f', at {place}' if place else ''}")
    return not_numbers(node.name, dtype, readers)


def _add_parameter(
    builder: GraphBuilder, tensor: Any, target: str, node: Any, *, is_parameter: bool
) -> str:
    """Add a parameter or buffer as a constant; return its name. Errors: E109 if its type or shape
    differs from the recorded one."""
    stated, has = described(node.meta.get("val", tensor)), described(tensor)
    if stated != has:
        facts = {"needs": f"{', '.join(stated)}, as the graph says", "has": ", ".join(has)}
        title = f"{target} is another tensor than the graph reads"
        raise MyoedgeError("E109", title, facts, EXPORT_AGAIN)
    builder.stem, value = target, array(tensor)
    if node.users:
        (refuse_not_finite if is_parameter else refuse_no_mask)(target, [value])
    return builder.constant(value)


def _finish_graph(program: Any, builder: GraphBuilder, values: Mapping[str, Any]) -> Graph:
    specs = program.graph_signature.output_specs
    given = [spec.arg for spec in specs if spec.kind.name == "USER_OUTPUT"]
    paths = output_paths(program.call_spec.out_spec, len(given))
    pairs = zip(given, paths, strict=True)
    # None stands for results that were not requested: a loss, attention weights
    computed = [(arg, path) for arg, path in pairs if getattr(arg, "value", arg) is not None]
    if not computed:
        raise constant_output("the result of forward()", "no tensor")
    arguments, wanted = zip(*computed, strict=True)
    names, outputs = output_names([*wanted]), [str(values.get(x.name)) for x in arguments]
    for name, value, argument in zip(names, outputs, arguments, strict=True):
        if value not in builder.tensors:
            raise constant_output(name, str(getattr(argument, "value", argument.name)))
    replace_clamped_infinities(builder, outputs)
    _refuse_not_finite_constants(builder)
    return builder.build(outputs, names)


def _refuse_not_finite_constants(builder: GraphBuilder) -> None:
    for name in dict.fromkeys(name for node in builder.nodes for name in node.inputs):
        if name in builder.constants:
            refuse_not_finite(name.removesuffix(".const"), [builder.array(name)])
