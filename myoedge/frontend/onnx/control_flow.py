# SPDX-License-Identifier: Apache-2.0
"""Expansion of loops and branches with constant conditions into the nodes that would run.

A Scan becomes a loop of the graph; the nodes of its body are imported once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from myoedge.frontend.onnx.fold import array_of, attributes_of
from myoedge.frontend.onnx.names import origin_of
from myoedge.frontend.onnx.rows import note_tensor, tensor_of
from myoedge.frontend.onnx.state import Importing, keep
from myoedge.operators.graph_builder import GraphBuilder, Unsupported, slice_axis, transpose
from myoedge.operators.loop import LoopBody

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, NodeProto

CONTROL = ("If", "Loop", "Scan")
OPSET_OF_SCAN = 9  # older Scans have sequence lengths and a batch axis
MOST_NODES = 20_000  # nodes of all expanded loops and branches of a file


def names_read(node: NodeProto) -> Iterator[str]:
    """Yield the names that a node reads, including all names in its subgraphs."""
    yield from node.input
    for attribute in node.attribute:
        for graph in _subgraphs(attribute):
            yield from (value.name for value in graph.output)
            for inner in graph.node:
                yield from names_read(inner)


def _subgraphs(attribute: AttributeProto) -> list[GraphProto]:
    """Return an attribute's subgraphs; reading an absent protobuf field would create it."""
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def needed_nodes(graph: GraphProto) -> list[NodeProto]:
    """Return the nodes that the outputs depend on, in order."""
    read = {value.name for value in graph.output}
    needed = []
    for node in reversed(graph.node):
        if read.intersection(filter(None, node.output)):
            needed.append(node)
            read.update(names_read(node))
    return needed[::-1]


def unrolled(state: Importing, node: NodeProto) -> Iterator[NodeProto]:
    """Yield the nodes that replace a loop or branch, each of which must be imported before the next
    is requested.

    Errors: Unsupported for computed conditions and numbers of iterations, or too many nodes.
    """
    graphs = {a.name: a.g for a in node.attribute if a.HasField("g")}
    if node.op_type == "If":
        chosen = graphs["then_branch" if _boolean_constant(state, node.input[0]) else "else_branch"]
        names = _names_in_subgraph(chosen, node.output[0], {})
        yield from _copy_subgraph(state, chosen, names)
        yield from _alias_outputs(_output_names(chosen, names), node.output)
    elif node.op_type == "Loop":
        yield from _import_loop(state, node, graphs["body"])
    else:
        yield from _import_scan(state, node, graphs["body"])


def _import_scan(state: Importing, node: NodeProto, body: GraphProto) -> Iterator[NodeProto]:
    """Import a Scan as a loop; yield the nodes of its body."""
    builder, attributes, place = state.builder, attributes_of(node), "".join(node.output)
    states = _count_scan_states(state, node, attributes["num_scan_inputs"])
    given = [tensor_of(state, name) for name in node.input]
    builder.origin, builder.stem = (origin_of(node),), "scan"
    rows = _apply_to_sequences(
        _move_steps_to_front, builder, given[states:], _scan_directions(attributes, "input")
    )
    loop = LoopBody(builder, place, builder.shape(rows[0])[0])
    inside = _names_in_subgraph(body, place, {x.name: f"{place}/{x.name}" for x in body.input})
    for value, x in zip(body.input, loop.begin(given[:states], rows), strict=True):
        note_tensor(state, inside[value.name], x)
    state.in_scan = True
    yield from _copy_subgraph(state, body, inside)
    state.in_scan = False
    builder.origin, builder.stem = (origin_of(node),), "scan"
    made = [tensor_of(state, name) for name in _output_names(body, inside)]
    results = loop.end(made[:states], made[states:])
    moved = _apply_to_sequences(
        _move_steps_to_axis, builder, results[states:], _scan_directions(attributes, "output")
    )
    for name, y in zip(node.output, (*results[:states], *moved), strict=True):
        note_tensor(state, name, y)


def _count_scan_states(state: Importing, node: NodeProto, sequences: int) -> int:
    """Return the number of states of a Scan. Errors: Unsupported.

    sequences   number of sequences that it reads
    """
    if state.opset < OPSET_OF_SCAN:
        raise Unsupported(f"a Scan of opset {state.opset}, with lengths of sequences")
    if state.in_scan:
        raise Unsupported("a Scan in the body of another one")
    if not 1 <= sequences <= len(node.input):
        raise Unsupported(f"a Scan over {sequences} of {len(node.input)} inputs")
    return len(node.input) - sequences


def _scan_directions(attributes: Mapping[str, Any], which: str) -> Iterator[tuple[int, int]]:
    """Yield (axis of the steps, 1 if in reverse order) for each sequence of a Scan, then endlessly
    (0, 0), the defaults.

    which   "input" or "output": the sequences that the Scan reads or computes
    """
    given = (attributes.get(f"scan_{which}_{name}", ()) for name in ("axes", "directions"))
    return zip(*(itertools.chain(x, itertools.repeat(0)) for x in given), strict=False)


def _apply_to_sequences(
    move: Callable[[GraphBuilder, str, int, int], str],
    builder: GraphBuilder,
    names: Sequence[str],
    ways: Iterator[tuple[int, int]],
) -> list[str]:
    """Apply `move` to each sequence of a Scan, with its axis and direction; return the results."""
    return [move(builder, name, axis, way) for name, (axis, way) in zip(names, ways, strict=False)]


def _move_steps_to_front(b: GraphBuilder, x: str, axis: int, backwards: int) -> str:
    """Move the axis of the steps to the front, and reverse the steps if `backwards` is 1."""
    at, *rest = _axis_first(b, x, axis)
    return _reverse_steps(b, transpose(b, x, (at, *rest)), backwards)


def _move_steps_to_axis(b: GraphBuilder, x: str, axis: int, backwards: int) -> str:
    """Move the first axis, the steps, to `axis`, and reverse the steps if `backwards` is 1."""
    at, *rest = _axis_first(b, x, axis)
    return transpose(b, _reverse_steps(b, x, backwards), (*range(1, at + 1), 0, *rest[at:]))


def _axis_first(b: GraphBuilder, x: str, axis: int) -> list[int]:
    """Return all axes with `axis` first, made nonnegative. Errors: Unsupported: no such axis."""
    axes = [*range(len(b.shape(x)))]
    if not -len(axes) <= axis < len(axes):
        raise Unsupported(f"axis {axis} of a tensor {list(b.shape(x))}")
    return [axes.pop(axis), *axes]


def _reverse_steps(b: GraphBuilder, x: str, backwards: int) -> str:
    steps = b.shape(x)[0]
    return slice_axis(b, x, 0, steps - 1, -1, -1) if backwards else x


def _import_loop(state: Importing, node: NodeProto, body: GraphProto) -> Iterator[NodeProto]:
    count, condition, *carried = (*node.input, "", "")[: max(len(node.input), 2)]
    if count and count not in state.arrays:
        raise Unsupported("a number of turns that is computed")
    turns = int(state.arrays[count].reshape(-1)[0]) if count else MOST_NODES
    holds = _boolean_constant(state, condition) if condition else True
    scanned: list[list[str]] = [[] for _ in body.output[1 + len(carried) :]]
    turn = 0
    while turn < turns and holds:
        place = f"{node.output[0]}.{turn}"
        keep(state, f"{place}.turn", np.array(turn, np.int64))
        keep(state, f"{place}.holds", np.array(True))
        given = [f"{place}.turn", f"{place}.holds", *carried]
        known = {value.name: name for value, name in zip(body.input, given, strict=True)}
        inside = _names_in_subgraph(body, place, known)
        yield from _copy_subgraph(state, body, inside)
        made = _output_names(body, inside)
        holds, carried = _boolean_constant(state, made[0]), made[1 : 1 + len(carried)]
        for names, name in zip(scanned, made[1 + len(carried) :], strict=True):
            names.append(name)
        turn += 1
    yield from _alias_outputs(carried, node.output)
    yield from _stack_scan_outputs(state, scanned, node.output[len(carried) :])


def _stack_scan_outputs(
    state: Importing, scanned: Sequence[list[str]], outputs: Sequence[str]
) -> Iterator[NodeProto]:
    """Yield nodes that stack the tensors of a loop's iterations into its scan outputs."""
    for names, output in zip(scanned, outputs, strict=False):
        if output and names:
            yield from stacked(state, names, output, 0)
        elif output:
            state.absent[output] = "a tensor without elements"


def stacked(state: Importing, names: list[str], output: str, axis: int) -> Iterator[NodeProto]:
    """Yield nodes that stack tensors along a new axis. Errors: Unsupported without tensors."""
    from onnx import helper

    if not names:
        raise Unsupported("a tensor without elements")
    keep(state, f"{output}.axis", np.array([axis], np.int64))
    rows = [f"{output}.row{i}" for i in range(len(names))]
    for name, row in zip(names, rows, strict=True):
        yield helper.make_node("Unsqueeze", [name, f"{output}.axis"], [row])
    yield helper.make_node("Concat", rows, [output], axis=axis)


def _copy_subgraph(
    state: Importing, graph: GraphProto, names: Mapping[str, str]
) -> Iterator[NodeProto]:
    """Yield the nodes of a subgraph for one iteration or branch, with renamed tensors."""
    state.unrolled += 1 + len(graph.node)
    if state.unrolled > MOST_NODES:
        raise Unsupported(f"loops of more than {MOST_NODES:,} nodes")
    for tensor in graph.initializer:
        keep(state, names[tensor.name], array_of(tensor))
    for node in graph.node:
        yield _rename_node(node, names)


def _rename_node(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    from onnx import NodeProto

    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [names.get(name, name) for name in node.input]
    copy.output[:] = [names.get(name, name) for name in node.output]
    for attribute in copy.attribute:
        if attribute.ref_attr_name:
            raise Unsupported("an attribute of a function")
        for graph in _subgraphs(attribute):
            _rename_outer_tensors(graph, names)
    return copy


def _rename_outer_tensors(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Rename the tensors that a subgraph reads from the outer graph."""
    hidden = _defined_names(graph) | {value.name for value in graph.input}
    left = {name: new for name, new in names.items() if name not in hidden}
    for value, name in zip(graph.output, _output_names(graph, left), strict=True):
        value.name = name
    inner = [_rename_node(each, left) for each in graph.node]
    del graph.node[:]
    graph.node.extend(inner)


def _names_in_subgraph(graph: GraphProto, place: str, known: Mapping[str, str]) -> dict[str, str]:
    """Return old -> new name: "place/name" for a subgraph's own tensors, then `known`."""
    return {**{name: f"{place}/{name}" for name in _defined_names(graph)}, **known}


def _output_names(graph: GraphProto, names: Mapping[str, str]) -> list[str]:
    """Return the new names of a subgraph's outputs, which may be tensors of the outer graph."""
    return [names.get(value.name, value.name) for value in graph.output]


def _defined_names(graph: GraphProto) -> set[str]:
    """Return the names that a subgraph defines; equal outer names are other tensors."""
    made = {name for node in graph.node for name in node.output if name}
    return made | {tensor.name for tensor in graph.initializer}


def _alias_outputs(names: Sequence[str], outputs: Sequence[str]) -> Iterator[NodeProto]:
    from onnx import helper

    for name, output in zip(names, outputs, strict=False):
        if output:
            yield helper.make_node("Identity", [name], [output])


def _boolean_constant(state: Importing, name: str) -> bool:
    if name not in state.arrays:
        raise Unsupported("a condition that is computed")
    return bool(state.arrays[name].all())
