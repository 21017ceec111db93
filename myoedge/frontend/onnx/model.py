# SPDX-License-Identifier: Apache-2.0
"""Import of ONNX models with static shapes; constants are folded, all refusals reported at once.
Functions that a file contains become lookup tables over a tensor's integers."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from myoedge.frontend.infinities import refuse_not_finite, replace_clamped_infinities
from myoedge.frontend.onnx import refusals as onnx_refusals
from myoedge.frontend.onnx.control_flow import CONTROL, names_read, needed_nodes, unrolled
from myoedge.frontend.onnx.file import read_onnx
from myoedge.frontend.onnx.fold import FLOATS, TensorType, constant, evaluated, needs_own_graph
from myoedge.frontend.onnx.integer_operators import dequantized, is_of_integers
from myoedge.frontend.onnx.names import origin_of, shown
from myoedge.frontend.onnx.normal_form import DEFAULT, opset_of
from myoedge.frontend.onnx.quantized import (
    clip_of_integers,
    is_held,
    is_quantizer,
    quantizer,
    refuse_integers,
)
from myoedge.frontend.onnx.rows import import_by_row, inferred, refusing_nonsense
from myoedge.frontend.onnx.scikit_learn import class_names, in_terms_of_the_source, without_labels
from myoedge.frontend.onnx.sequences import of_sequences, without_sequence
from myoedge.frontend.onnx.state import (
    Importing,
    count_parameters,
    keep,
    keep_empty,
    note_name,
    read_constants,
    read_inputs,
)
from myoedge.frontend.operator_table import (
    ONNX_FOLDED,
    ONNX_IMPORT,
    ONNX_OF_INTEGERS,
    SHAPES,
    check_elements,
)
from myoedge.frontend.port_names import port_names
from myoedge.frontend.refusals import Refusal, refusal_of, unsupported
from myoedge.graph.ir import Graph
from myoedge.graph.rewrite import format_of
from myoedge.numerics.pointwise import listed
from myoedge.operators.checks import constant_output
from myoedge.operators.fake_quantize import rounding_of
from myoedge.operators.graph_builder import Unsupported
from myoedge.operators.library.known_values import kind

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

MOST_VALUES = 256
READ = "integers of a quantised tensor, read as numbers"


def is_lookup(state: Importing, node: NodeProto) -> bool:
    """Import a node of a table lookup (Cast of quantised integers, Add of a constant, Gather from a
    table), which becomes one pointwise function; return False for other nodes."""
    x, output = next(iter(node.input), ""), node.output[0]
    if node.op_type == "Cast" and is_held(state, x) and _is_cast_to_integers(node):
        _record_lookup(state, output, x, 0)
        return True
    if (
        node.op_type == "Add"
        and x in state.places
        and np.size(state.arrays.get(node.input[1], ())) == 1
    ):
        source, offset = state.places[x]
        _record_lookup(
            state, output, source, offset + int(state.arrays[node.input[1]].reshape(-1)[0])
        )
        return True
    if node.op_type == "Gather" and node.input[1] in state.places and x in state.arrays:
        return _resolve_lookup(state, node)
    return False


def _resolve_lookup(state: Importing, node: NodeProto) -> bool:
    table = state.arrays[node.input[0]]
    source, offset = state.places[node.input[1]]
    tensor = state.names[source]
    rounding = rounding_of(state.builder, tensor)
    if rounding is None or table.ndim != 1 or not 1 <= table.size <= MOST_VALUES:
        return False
    # Integer q reads entry q + offset, so that q - zero_point = -offset - zero_point is the first.
    first = -offset - rounding.attrs["zero_point"]
    chain = (("lookup", rounding.attrs["scale"], first, listed(table)),)
    state.names[node.output[0]] = state.builder.add("table", tensor, chain=chain)
    state.values[node.output[0]] = TensorType(1, state.values[source].shape)
    return True


def _record_lookup(state: Importing, name: str, source: str, offset: int) -> None:
    state.places[name] = source, offset
    state.absent[name] = READ


def _is_cast_to_integers(node: NodeProto) -> bool:
    return all(a.i not in FLOATS for a in node.attribute if a.name == "to")


Functions = Collection[tuple[str, str]]  # (domain, name)
Made = Callable[[Importing, "NodeProto"], "Iterator[NodeProto]"]


class Imported(NamedTuple):
    """Result of importing a model file.

    graph    the imported graph
    params   number of parameters
    notes    text for the user on how the file was loaded
    class_names   names of the classes, in the order of the scores; (): the file has none
    producer      name of the tool that wrote the file
    """

    graph: Graph
    params: int
    notes: tuple[str, ...]
    class_names: tuple[str, ...]
    producer: str


def load_onnx(path: Path) -> Imported:
    """Import the network of an ONNX file.

    Errors: E101, E104, E119, E120, E121 for the file, E110 dynamic shapes, E111 unsupported
    operators (all of them), E112 weights that are not finite, E115 a constant output, E116 inputs
    of types that no operator reads.
    """
    model, notes = read_onnx(path)
    graph, state = model.graph, Importing(path, opset_of(model), notes=[*notes])
    names = class_names(graph)
    state.notes += without_labels(graph)
    needed = needed_nodes(graph)
    read_constants(state, graph, {name for node in needed for name in names_read(node)})
    read_inputs(state, graph, needed)
    functions = frozenset((f.domain, f.name) for f in model.functions)
    refusals = [r for node in needed if (r := _import_node(state, node, functions)) is not None]
    if refusals:
        raise unsupported(in_terms_of_the_source(model, refusals), onnx_refusals.instead)
    params = count_parameters(graph, state)
    finished = _finish_graph(state, graph)
    return Imported(finished, params, tuple(state.notes), names, model.producer_name)


def _import_node(state: Importing, node: NodeProto, functions: Functions) -> Refusal | None:
    """Import a node; return a Refusal if it is unsupported, so that all are reported at once."""
    if (made := _expansion_of(state, node)) is not None:
        return _import_replacement(state, node, functions, made)
    origin = origin_of(node)
    state.builder.origin = (origin,)
    state.builder.stem = re.sub(r"[^a-z0-9_]", "_", node.op_type.lower())
    if node.domain == DEFAULT and is_lookup(state, node):
        return None
    if (absent := _explain_missing_input(state, node)) is None:
        return None  # it reads the result of a refused node
    is_function = (node.domain, node.op_type) in functions
    target = f"{node.op_type}()" if is_function else _qualified_name(node)
    try:
        if is_function:
            raise Unsupported("a function of the model's own")
        if target not in (node.op_type, *ONNX_IMPORT):
            raise Unsupported("")
        if absent:
            raise Unsupported(absent)
        _import_by_domain(state, node)
    except Unsupported as reason:
        _add_placeholders(state, node)
        found = refusal_of(reason, shown(target), origin)
        return replace(found, reason=shown(found.reason))
    return None


def _explain_missing_input(state: Importing, node: NodeProto) -> str | None:
    """Return the reason why an input of a node is missing; "" if all inputs exist, None if their
    producer was refused."""
    unknown = [name for name in filter(None, node.input) if name not in state.values]
    reasons = (state.absent[name] for name in unknown if name in state.absent)
    return next(reasons, None if unknown else "")


def _qualified_name(node: NodeProto) -> str:
    """Return an operator's name, with its domain unless that is ONNX's own or of a quantiser."""
    is_plain = node.domain == DEFAULT or is_quantizer(node)
    return node.op_type if is_plain else f"{node.domain}.{node.op_type}"


def _expansion_of(state: Importing, node: NodeProto) -> Made | None:
    """Return the function that expands a node, such as a loop into its iterations; None for most
    nodes."""
    if node.domain == DEFAULT and (node.op_type in CONTROL or of_sequences(state, node)):
        return unrolled if node.op_type in CONTROL else without_sequence
    return dequantized if is_of_integers(node) else None


def _import_replacement(
    state: Importing, node: NodeProto, functions: Functions, made: Made
) -> Refusal | None:
    """Import the nodes by which `made` replaces a node, until one is refused; return that
    refusal."""
    if (absent := _explain_missing_input(state, node)) is None:
        return None  # it reads the result of a refused node
    try:
        if absent:
            raise Unsupported(absent)
        for inner in made(state, node):
            if (refusal := _import_node(state, inner, functions)) is not None:
                _add_placeholders(state, node)
                return refusal
    except Unsupported as reason:
        _add_placeholders(state, node)
        return refusal_of(reason, node.op_type, origin_of(node))
    return None


def _import_by_domain(state: Importing, node: NodeProto) -> None:
    if needs_own_graph(node):
        raise Unsupported("")
    with refusing_nonsense(state, node):
        if quantizer(state, node) or clip_of_integers(state, node):
            return
    refuse_integers(state, node)
    if node.domain != DEFAULT:
        import_by_row(state, node, {}, ONNX_IMPORT[f"{node.domain}.{node.op_type}"])
        return
    # only the type of CastLike's second input is read; NonZero has no inferred shape
    of_constant = node.op_type in ("CastLike", "NonZero") and node.input[0] in state.arrays
    if node.op_type in SHAPES or of_constant:
        keep(state, node.output[0], constant(node, state.values, state.arrays))
    elif node.op_type in ONNX_FOLDED and state.arrays.keys() >= {*filter(None, node.input)}:
        _fold_constant(state, node, inferred(state, node))
    else:
        _import_standard_operator(state, node)


def _import_standard_operator(state: Importing, node: NodeProto) -> None:
    """Import a node of ONNX's own domain by its operator's function for floats or integers."""
    if not {node.op_type} & {*ONNX_IMPORT, *ONNX_OF_INTEGERS}:
        raise Unsupported("")
    outs = inferred(state, node)
    if any(out.shape is not None and 0 in out.shape for out in outs.values()):
        keep_empty(state, outs)
        return
    state.values.update(outs)
    whole = _computes_integers(state, node, outs)
    table = ONNX_OF_INTEGERS if whole else ONNX_IMPORT
    if node.op_type not in table:
        raise Unsupported("")
    import_by_row(state, node, outs, table[node.op_type], whole=whole)


def _fold_constant(state: Importing, node: NodeProto, outs: Mapping[str, TensorType]) -> None:
    for name, array in evaluated(node, state.opset, state.arrays, outs).items():
        state.folded += array.size
        check_elements(state.folded)
        keep(state, name, array)
        stated = [state.formats[x] for x in node.input if x in state.formats]
        if (kept := format_of(array, stated)) is not None:
            state.formats[name] = kept


def _computes_integers(state: Importing, node: NodeProto, outs: Mapping[str, TensorType]) -> bool:
    """Return whether a node computes integers from integers, or counts booleans to get an index."""
    made = next(iter(outs.values()), TensorType(0, None))
    if node.op_type not in ONNX_OF_INTEGERS or made.kind in FLOATS:
        return False
    computed = [name for name in node.input if name and name not in state.arrays]
    kinds = [kind(state.builder, state.names.get(name, "")) for name in computed]
    return all(kinds) and (node.op_type == "CumSum" or any(k != "truth" for k in kinds))


def _add_placeholders(state: Importing, node: NodeProto) -> None:
    """Add placeholders for the results of a refused node, so that their readers are checked too.

    Their shapes come from the file; shape inference is not run for unsupported operators.
    """
    for name in filter(None, node.output):
        value = state.values.get(name) or state.declared.get(name, TensorType(0, None))
        if value.shape is None or value.kind not in FLOATS:
            state.values.pop(name, None)
        else:
            state.values[name] = value
            state.names[name] = state.builder.stand_in(value.shape)


def _finish_graph(state: Importing, graph: GraphProto) -> Graph:
    if not graph.output:
        raise constant_output("the result of the model", "no tensor")
    names = [value.name for value in graph.output]
    _refuse_outputs(state, graph, names)
    results, ports = [state.names[name] for name in names], port_names(names)
    replace_clamped_infinities(state.builder, results)
    for node in state.builder.nodes:
        refuse_not_finite(node.label, [state.builder.find_array(x) for x in node.inputs])
    for name, port in zip(names, ports, strict=True):
        note_name(state, "output", name, port)
    return state.builder.build(results, ports)


def _refuse_outputs(state: Importing, graph: GraphProto, names: Sequence[str]) -> None:
    """Raise E111 for a missing output, E115 for an output that depends on no input."""
    computed = {*state.builder.inputs}
    for node in state.builder.nodes:
        computed.update(node.outputs if computed.intersection(node.inputs) else ())
    for name in names:
        if name in state.absent:
            maker = next(node for node in graph.node if name in node.output)
            refusal = Refusal(maker.op_type, origin_of(maker), state.absent[name])
            raise unsupported([refusal], onnx_refusals.instead)
        if state.names.get(name) not in computed:
            raise constant_output(shown(name), "a constant")
