# SPDX-License-Identifier: Apache-2.0
"""Consistency checks of a graph at each stage; a violation is a bug in myoedge. The refusal of
outputs that are constants.

quantization/scales.py and plan/check.py have the checks of quantised networks and plans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import numpy as np

import myoedge.operators  # noqa: F401  (fills OPS)
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.operators.base import OPS
from myoedge.operators.common_rules import ROW_MAX
from myoedge.operators.queries import attribute_fault, fixed_params, output_of
from myoedge.operators.turns import IN_LOOPS

T = TypeVar("T")
Check = Callable[[T], Iterator[str]]  # yields the names of the offending tensors
NodeCheck = Callable[[Graph, Node], bool]
Spec = tuple[tuple[Check[T], str], ...]


def check(graph: Graph, stage: str) -> None:
    """Check that a graph is legal at a stage, "imported" or "prepared".

    Errors: E920 with the first rule that it violates.
    """
    enforce(SPEC[stage], graph, graph, stage)


def enforce(spec: Spec[T], subject: T, graph: Graph, stage: str) -> None:
    """Raise E920 with the message of the first check in `spec` that fails for `subject`.

    graph   used to report where the user's program created the offending tensor
    """
    for find, message in spec:
        wrong = next(find(subject), None)
        if wrong is not None:
            node = graph.producer.get(wrong)
            raise MyoedgeError(
                "E920",
                f"a network that is not legal once {stage}: {message}",
                {"stage": stage, "at": wrong if node is None else f"{wrong} = {node.where}"},
                ["report it, with the model or a part of it that shows it"],
            )


def constant_output(name: str, value: str) -> MyoedgeError:
    """Return error E115 for an output.

    name    of the output in the model file
    value   the constant, or its kind
    """
    return MyoedgeError(
        "E115",
        f"{name} does not depend on any input",
        {"has": value},
        ["leave it out of what forward() returns"],
    )


def reject_constant_outputs(graph: Graph) -> None:
    """Raise E115 for an output that rewrites have found to be a constant, such as the slice of a
    concat that holds its constant part."""
    for name, told in zip(graph.outputs, graph.output_labels, strict=True):
        if graph.is_const(name):
            raise constant_output(told, "a constant")


def every(holds: NodeCheck, *ops: str) -> Check[Graph]:
    """Return a check of a graph that applies a check of one node to every node.

    ops   operators of the nodes that are checked; (): all
    """

    def find(graph: Graph) -> Iterator[str]:
        nodes = (node for node in graph.nodes if not ops or node.op in ops)
        return (node.name for node in nodes if not holds(graph, node))

    return find


def _check_written_once(graph: Graph) -> Iterator[str]:
    made = (out for node in graph.nodes for out in node.outputs)
    count = Counter([*graph.inputs, *graph.constants, *made])
    return (name for name, times in count.items() if times > 1)


def _check_written_before_read(graph: Graph) -> Iterator[str]:
    known = {*graph.inputs, *graph.constants}
    for node in graph.nodes:
        if not known.issuperset(node.inputs):
            yield node.name
        known.update(node.outputs)


def _check_finite_constants(graph: Graph) -> Iterator[str]:
    """Yield nodes that read constants that are not finite. Errors: E112 if folded factors of the
    user's network overflow."""
    readers = {name: node for node in graph.nodes for name in node.inputs}
    for name, node in readers.items():
        value = graph.find_array(name)
        if value is not None and value.dtype != np.float32:
            yield name
        elif value is not None and not np.isfinite(value).all():
            count = int(np.count_nonzero(~np.isfinite(value)))
            facts = {
                "needs": "finite weights and constants, also as products: below 3.4e38",
                "has": f"{count} of {value.size} not finite",
            }
            title = f"{node.where} computes with values beyond float32"
            raise MyoedgeError("E112", title, facts, ["smaller factors before and after it"])


def _check_row_lengths(graph: Graph, node: Node) -> bool:
    return graph.shape(node.inputs[0])[node.attrs["axis"]] <= ROW_MAX


def _check_indices_unread(graph: Graph, node: Node) -> bool:
    op = OPS[node.op]
    read = {graph.tensors[x].dtype for x in node.inputs if x in graph.tensors}
    return op.operands.are_indices or op.is_data_movement or read.isdisjoint(("int32", "uint8"))


def _check_computed_shapes(graph: Graph, node: Node) -> bool:
    first = graph.tensors.get(node.inputs[0])
    dtype = "float32" if first is None else first.dtype
    made = output_of(node, [*map(graph.shape, node.inputs)], dtype)
    has = graph.tensors.get(node.name)
    return has is not None and (has.shape, has.dtype) == (made.shape, made.dtype)


def _check_attributes(graph: Graph, node: Node) -> bool:
    shapes, dtypes = [*map(graph.shape, node.inputs)], [*map(graph.dtype, node.inputs)]
    return not attribute_fault(node, shapes, dtypes)


def _check_input_normalizations(graph: Graph) -> Iterator[str]:
    for name, tensor in graph.tensors.items():
        if (found := tensor.input_normalization) is None:
            continue
        extent = tensor.shape[found.axis] if tensor.shape else 1
        if name not in graph.inputs or len(found.scale) not in (1, extent):
            yield name


def _check_adjacent_axes(graph: Graph, node: Node) -> bool:
    axes, shape = node.attrs["axes"], graph.shape(node.inputs[0])
    return all(d in axes or shape[d] == 1 for d in range(min(axes), max(axes) + 1))


def _check_operands_differ(graph: Graph, node: Node) -> bool:
    before = graph.producer.get(node.inputs[0])
    return before is None or before.op != node.op


def _check_weights_constant(graph: Graph, node: Node) -> bool:
    weights = OPS[node.op].weights.at
    return all(graph.is_const(x) for i, x in enumerate(node.inputs) if i in weights)


def _has_free_scale(graph: Graph, node: Node) -> bool:
    """Return whether the result's scale of a concat or pad is free: none of its operands, which
    share it, has a fixed scale."""
    fixed = {fixed_params(graph, name) for name in node.inputs}
    return fixed == {None} or (node.op == "concat" and len(fixed) == 1)


IMPORTED: Spec[Graph] = (
    (
        every(lambda graph, node: node.op in OPS and len(node.outputs) == 1),
        "the operator is not in the table, or has not exactly one output",
    ),
    (_check_written_once, "a name is written twice"),
    (_check_written_before_read, "a tensor is read before it is written"),
    (lambda graph: (x for x in graph.inputs if x not in graph.tensors), "an input has no shape"),
    (
        lambda graph: iter({*graph.outputs} - {*graph.inputs, *graph.producer}),
        "an output is written by nothing",
    ),
    (every(_check_computed_shapes), "shape or type differs from the operator's result"),
    (lambda graph: (x for x in graph.tensors if 0 in graph.shape(x)), "a tensor has no elements"),
    (every(_check_attributes), "an attribute has a value that its operator does not allow"),
    (_check_finite_constants, "a constant operand is not float32"),
    (
        every(_check_row_lengths, "softmax", "log_softmax"),
        f"softmax over more than {ROW_MAX} elements",
    ),
    (every(_check_indices_unread), "an operator computes with integers as if they were floats"),
    (_check_input_normalizations, "a border's factors do not fit its input"),
    (every(_check_weights_constant), "weights are computed"),
)

PREPARED: Spec[Graph] = (
    *IMPORTED,
    (
        every(lambda graph, n: n.op in IN_LOOPS or not all(map(graph.is_const, n.inputs))),
        "an operator on constants was not folded",
    ),
    (
        lambda g: (n.name for n in g.nodes if n.name not in g.outputs and n.name not in g.users),
        "a tensor is read by nothing",
    ),
    (every(_check_adjacent_axes, "mean", "sum"), "reduced axes are not adjacent"),
    (
        every(_check_operands_differ, "transpose", "reshape"),
        "a transpose follows a transpose, or a reshape follows a reshape",
    ),
    (every(_has_free_scale, "concat", "pad"), "an operator that fixes its scale must share it"),
)

STORED: Spec[Graph] = (
    *IMPORTED,
    (every(_check_adjacent_axes, "mean", "sum"), "reduced axes are not adjacent"),
)

SPEC: Mapping[str, Spec[Graph]] = {"imported": IMPORTED, "prepared": PREPARED, "read": STORED}
