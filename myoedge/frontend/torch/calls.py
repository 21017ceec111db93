# SPDX-License-Identifier: Apache-2.0
"""Import of an exported program's calls, each as nodes, as a constant or as a refusal."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from myoedge.frontend.operator_table import IMPORT, KEEPS, OF_INTEGERS, PAIRS, READS_INTEGERS
from myoedge.frontend.refusals import COMPLEX, Refusal, refusal_of, short
from myoedge.frontend.torch.consistent import is_known, is_quantizer, quantizer
from myoedge.frontend.torch.constant_calls import folded, scanned
from myoedge.frontend.torch.static_shapes import refuse_unknown_overload
from myoedge.frontend.torch.traced import (
    HARMLESS,
    arguments_of,
    complex_source,
    counts_none,
    gives_complex,
    is_written_out,
    kind_of,
    origin_of,
    static,
    target_of,
    type_of,
    unit_of,
    written_out,
)
from myoedge.graph.origin import Origin
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.import_rows import Row, aten_names
from myoedge.operators.library.complex_numbers import is_complex, paired
from myoedge.operators.library.conditions import AS_FLOATS, added_mask, converted
from myoedge.operators.library.known_values import kind
from myoedge.operators.norm.import_rows import normalized

_WEIGHT = re.compile(r"(\.|(?<=_proj)_)weight\.const$")
INDICES = "take them by argmax over windows, x.unfold(-1, 2, 2).argmax(-1) for pooling by 2"
COUNTS = frozenset(
    aten_names("sum.dim_IntList sum mul.Tensor mul.Scalar sub.Tensor rsub.Scalar clamp clamp_min")
)
PICKING = aten_names("embedding index.Tensor index_select gather take_along_dim one_hot")
JOINS = aten_names("cat concat concatenate")  # parts without elements add nothing
UNWRITTEN = aten_names("empty.memory_format empty_like new_empty")
ATTENTION = "aten.scaled_dot_product_attention.default"


def imported(program: Any, builder: GraphBuilder, values: dict[str, Any]) -> list[Refusal]:
    """Import every call of a program into `builder`; return all refusals together.

    values   node name -> imported value, filled here
    """
    outputs = filter(gives_complex, program.graph.output_node().all_input_nodes)
    complex_output = f"{COMPLEX} as an output"
    refusals = [Refusal(str(n.target), origin_of(n), complex_output) for n in outputs]
    return [*refusals, *_import_calls(program.graph, builder, values)]


def _import_calls(graph: Any, builder: GraphBuilder, values: dict[str, Any]) -> list[Refusal]:
    """Import the calls of a graph; return all refusals together."""
    needed, refusals = needed_nodes(graph), list[Refusal]()
    for node in graph.nodes:
        if node.op != "call_function" or str(node.target) in HARMLESS or node not in needed:
            continue
        try:
            if str(node.target) == "scan":
                values[node.name], inner = scanned(builder, values, node, _import_calls)
                refusals += inner
            else:
                _import_call(_ImportedCall(builder, values, node))
        except Unsupported as reason:
            values[node.name] = _add_placeholder(builder, node.meta.get("val"))
            refusals.append(refusal_of(reason, target_of(node), origin_of(node)))
    return refusals


def needed_nodes(graph: Any) -> set[Any]:
    """Return the calls on which an output depends; other calls need not be supported."""
    pending = [node for node in graph.nodes if node.op == "output"]
    found: set[Any] = set()
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            unit = unit_of(node)  # which depends on x alone
            pending.extend(node.all_input_nodes if unit is None else (unit.x,))
    return found


@dataclass(frozen=True)
class _ImportedCall:
    """A call of an exported program, with the imported values of earlier calls by node name."""

    builder: GraphBuilder
    values: dict[str, Any]
    node: Any

    @property
    def target(self) -> str:
        return str(self.node.target)

    @cached_property
    def read(self) -> list[Any]:
        """Return the operands' values; None for a vector length that only a Unit reads."""
        return [self.values.get(node.name) for node in self.node.all_input_nodes]

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """Return the call's arguments by parameter name, with nodes replaced by values."""
        given = arguments_of(self.node)
        return {name: _resolve_argument(value, self.values) for name, value in given.items()}

    @property
    def out(self) -> Any:
        return _shapes_of(self.node.meta["val"])

    @property
    def tensors(self) -> list[str]:
        """Return the names of the tensors that the call reads."""
        return [name for name in self.read if isinstance(name, str)]

    @property
    def constants(self) -> list[str]:
        return [name for name in self.tensors if name in self.builder.constants]


def _import_call(call: _ImportedCall) -> None:
    builder, node = call.builder, call.node
    builder.origin, builder.stem = (_module_of_weight(call, origin_of(node)),), node.name
    before = len(builder.constants)
    call.values[node.name] = _import_value(call)
    builder.keep_formats(before, call.tensors)


def _module_of_weight(call: _ImportedCall, origin: Origin) -> Origin:
    """Return the module of the weight that a call reads if it is inside the calling module, else
    `origin`: an attention module computes with its submodules' weights without calling them."""
    for name in call.constants:
        part, found = _WEIGHT.subn("", name)
        if found and part.startswith(f"{origin.path}."):
            return replace(origin, path=part)
    return origin


def _add_placeholder(builder: GraphBuilder, value: Any) -> Any:
    """Add a constant for a refused call's result, so that later calls are checked as well."""
    if isinstance(value, list | tuple):
        return tuple(_add_placeholder(builder, item) for item in value)
    sizes = [n if isinstance(n, int) else 1 for n in getattr(value, "shape", ())]
    is_pair = getattr(value, "dtype", None) is not None and value.dtype.is_complex
    return paired(builder.stand_in(sizes) for _ in range(2)) if is_pair else builder.stand_in(sizes)


def _import_value(call: _ImportedCall) -> Any:
    builder, values, node = call.builder, call.values, call.node
    if node.target is operator.getitem:
        return _result_item(values[node.args[0].name], node.args[1])
    if is_quantizer(node):
        return quantizer(builder, values, node)
    if (unit := unit_of(node)) is not None:
        return normalized(builder, values[unit.x.name], unit.axis, unit.eps)
    if not call.arguments:
        raise Unsupported("")
    if call.target in UNWRITTEN:
        return _add_zeros(call)
    if is_known(node) and len(call.constants) == len(call.read):
        return folded(builder, values, node)
    return (
        _import_decomposed(call)
        if counts_none(node) and is_known(node)
        else _import_computation(call)
    )


def _import_computation(call: _ImportedCall) -> Any:
    """Import a call by the function for its operands: integers, complex pairs or real numbers."""
    builder, target = call.builder, call.target
    if target in OF_INTEGERS and _computes_integers(call):
        return OF_INTEGERS[target](builder, call.arguments, call.out)
    if any(is_complex(builder, x) for x in (*call.read, *call.arguments.values())):
        if target not in PAIRS:
            # Why a call on complex numbers is refused, with the call that gives them
            source = complex_source(call.node)
            place = f" at {origin_of(source)}" if str(origin_of(source)) else ""
            raise Unsupported(f"{COMPLEX}, which {short(str(source.target))}{place} makes")
        return _import_by_row(call, PAIRS[target])
    if target in IMPORT:
        made = _import_by_row(call, IMPORT[target])
        return converted(builder, made, kind_of(call.node)) if target in KEEPS else made
    refuse_unknown_overload(call.target)
    if is_written_out(call.node.target):
        return _import_decomposed(call)
    raise Unsupported("")


def _result_item(results: Sequence[Any], index: int) -> Any:
    """Return result `index` of a call. Errors: Unsupported for indices, which are not computed."""
    if index >= len(results):
        raise Unsupported("only the values are there, not their indices", INDICES)
    return results[index]


def _import_by_row(call: _ImportedCall, row: Row) -> Any:
    """Import a call by its entry in the operator table; return its result or results."""
    builder, arguments, out = call.builder, call.arguments, call.out
    if not isinstance(out, list) and 0 in out:
        return _add_zeros(call)
    if call.target not in JOINS and any(0 in builder.shape(x) for x in call.tensors):
        raise Unsupported("a tensor without elements")
    _refuse_types(call)
    mask = arguments_of(call.node).get("attn_mask") if call.target == ATTENTION else None
    if mask is not None and kind_of(mask) == "bool":
        arguments = {**arguments, "attn_mask": added_mask(builder, arguments["attn_mask"])}
    made = row(builder, arguments, out)
    _check_shape(call, made)
    return made


def _check_shape(call: _ImportedCall, made: Any) -> None:
    """Check that a row's result has the shape of the call's. Errors: Unsupported."""
    if isinstance(made, str) and isinstance(call.out, tuple):
        shape = call.builder.shape(made)
        if shape != call.out:
            has = f"{list(shape)}, not {list(call.out)} as the call"
            raise Unsupported(f"the result of its row is {has}")


def _add_zeros(call: _ImportedCall) -> str:
    """Add zeros as the result of a call without elements, or of torch.empty, written later."""
    value = call.node.meta["val"]
    kind = np.float32 if kind_of(call.node) == "float" else type_of(value.dtype)
    return call.builder.constant(np.zeros(value.shape, kind))


def _computes_integers(call: _ImportedCall) -> bool:
    """Return whether a call computes integers from integers and booleans. Sums of booleans are
    floats, unless they are used as indices."""
    if kind_of(call.node) != "int" or not all(isinstance(x, str) for x in call.read):
        return False
    kinds = [kind(call.builder, x) for x in call.read if x not in call.constants]
    counts = call.target in COUNTS and {*kinds} == {"truth"}
    return bool(kinds) and all(kinds) and not (counts and not _is_index_only(call.node))


def _is_index_only(node: Any) -> bool:
    """Return whether a call's integers are used only as indices, also via other calls."""
    pending, seen = [node], {node}
    while pending:
        users = [u for u in pending.pop().users if str(u.target) not in PICKING]
        if any(u.op != "call_function" or kind_of(u) != "int" for u in users):
            return False
        pending += {*users} - seen
        seen.update(users)
    return bool(node.users)


def _import_decomposed(call: _ImportedCall) -> Any:
    """Import a call by importing the calls into which torch decomposes it."""
    inner: dict[str, Any] = {}
    read = iter(call.read)
    for part in (graph := written_out(call.node)).nodes:
        if part.op == "placeholder":
            inner[part.name] = next(read)
        elif part.op == "call_function":
            if part.target is call.node.target and is_written_out(part.target):
                raise Unsupported("")
            inner[part.name] = _import_value(_ImportedCall(call.builder, inner, part))
    return _resolve_argument(graph.output_node().args[0], inner)


def _resolve_argument(value: Any, values: Mapping[str, Any]) -> Any:
    """Return an argument of a call, with nodes replaced by their imported values."""
    if isinstance(value, list | tuple):
        return [_resolve_argument(item, values) for item in value]
    name = getattr(value, "name", None)
    return values[name] if name is not None and hasattr(value, "all_input_nodes") else value


def _shapes_of(value: Any) -> Any:
    """Return the shape of a tensor, or the shapes of a tuple of tensors; None for other values."""
    if isinstance(value, list | tuple):
        return [_shapes_of(item) for item in value]
    return static(value.shape, "an intermediate tensor") if hasattr(value, "shape") else None


def _refuse_types(call: _ImportedCall) -> None:
    """Raise Unsupported for integer and complex arithmetic, except indices, comparisons, a few
    other calls, and sums of a mask."""
    target, made = call.target, kind_of(call.node)
    reads_integers = any(call.builder.dtype(x) != "float32" for x in call.tensors)
    if reads_integers and target not in READS_INTEGERS:
        reason = "it computes with integers of an input, or with the indices of argmax"
        raise Unsupported(reason, AS_FLOATS)
    counts = target in (*READS_INTEGERS, *COUNTS, *OF_INTEGERS) or "aten.arg" in target
    logic = made == "bool" and not target.startswith("aten.add")
    if made != "float" and not (counts or logic):
        dtype = type_of(call.node.meta["val"].dtype)
        raise Unsupported(f"a result of type {dtype} inside the network", AS_FLOATS)
