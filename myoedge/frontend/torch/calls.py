# SPDX-License-Identifier: Apache-2.0
"""The calls of an exported program become nodes, constants, or refusals, all of which are told."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from myoedge.frontend.folding import ATEN_FOLDED, check_einsum, check_elements
from myoedge.frontend.operator_table import IMPORT, KEEPS, OF_INTEGERS, PAIRS, READS_INTEGERS
from myoedge.frontend.refusals import COMPLEX, Refusal, refusal_of, short
from myoedge.frontend.torch.decompositions import is_written_out, written_out
from myoedge.frontend.torch.quantized_calls import is_quantizer, is_rounding, quantizer
from myoedge.frontend.torch.traced import (
    HARMLESS,
    arguments_of,
    array,
    complex_source,
    gives_complex,
    kind_of,
    origin_of,
    reads,
    static,
    target_of,
    type_of,
    unit_of,
)
from myoedge.graph.ir import Origin
from myoedge.operators.complex_numbers.pairs import is_complex, paired
from myoedge.operators.elementwise.conditions import AS_FLOATS, added_mask, converted
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
)
from myoedge.operators.import_rows import Row, aten_names
from myoedge.operators.integers.numbers import kind
from myoedge.operators.norm.import_rows import normalized

_WEIGHT = re.compile(r"(\.|(?<=_proj)_)weight\.const$")
INDICES = "take them by argmax over windows, x.unfold(-1, 2, 2).argmax(-1) for pooling by 2"
COUNTS = frozenset(
    aten_names("sum.dim_IntList sum mul.Tensor mul.Scalar sub.Tensor rsub.Scalar clamp clamp_min")
)
PICKING = aten_names("embedding index.Tensor index_select gather take_along_dim one_hot")
JOINS = aten_names("cat concat concatenate")  # a part without elements adds nothing
UNWRITTEN = aten_names("empty.memory_format empty_like new_empty")
ATTENTION = "aten.scaled_dot_product_attention.default"


def imported(program: Any, builder: GraphBuilder, values: dict[str, Any]) -> list[Refusal]:
    """Import every call; return all refusals, so that they are reported together."""
    needed = needed_nodes(program.graph)
    outputs = (
        n for node in program.graph.nodes if node.op == "output" for n in node.all_input_nodes
    )
    refusals = [
        Refusal(str(n.target), origin_of(n), f"{COMPLEX} as an output")
        for n in outputs
        if gives_complex(n)
    ]
    for node in program.graph.nodes:
        if node.op != "call_function" or str(node.target) in HARMLESS or node not in needed:
            continue
        try:
            _call(builder, values, node)
        except Unsupported as reason:
            values[node.name] = _stand_in(builder, node.meta.get("val"))
            refusals.append(refusal_of(reason, target_of(node), origin_of(node)))
    return refusals


def needed_nodes(graph: Any) -> set[Any]:
    """Calls on which an output depends; unused branches need not be supported."""
    pending = [node for node in graph.nodes if node.op == "output"]
    found: set[Any] = set()
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending.extend(reads(node))
    return found


def _call(builder: GraphBuilder, values: dict[str, Any], node: Any) -> None:
    builder.origin, builder.stem = (_of_weight(builder, values, node, origin_of(node)),), node.name
    before = len(builder.constants)
    values[node.name] = _value(builder, values, node, str(node.target))
    names = (values.get(read.name) for read in node.all_input_nodes)
    builder.keep_formats(before, (name for name in names if isinstance(name, str)))


def _of_weight(
    builder: GraphBuilder, values: Mapping[str, Any], node: Any, origin: Origin
) -> Origin:
    """The place of the weight that a call reads, if that says more than the module's: those of
    an attention compute with their parts' weights and do not call them."""
    for name in (values.get(given.name) for given in node.all_input_nodes):
        if isinstance(name, str) and name in builder.constants:
            part, found = _WEIGHT.subn("", name)
            if found and part.startswith(f"{origin.path}."):
                return replace(origin, path=part)
    return origin


def _of_complex(node: Any) -> str:
    """The reason why a call on complex numbers is refused: the call that produces them."""
    source = complex_source(node)
    place = f" at {origin_of(source)}" if str(origin_of(source)) else ""
    return f"{COMPLEX}, which {short(str(source.target))}{place} makes"


def _stand_in(builder: GraphBuilder, value: Any) -> Any:
    """Placeholder for a refused call's result, so that later calls are checked as well."""
    if isinstance(value, list | tuple):
        return tuple(_stand_in(builder, item) for item in value)
    sizes = [n if isinstance(n, int) else 1 for n in getattr(value, "shape", ())]
    is_pair = getattr(value, "dtype", None) is not None and value.dtype.is_complex
    return paired(builder.stand_in(sizes) for _ in range(2)) if is_pair else builder.stand_in(sizes)


def _value(builder: GraphBuilder, values: dict[str, Any], node: Any, target: str) -> Any:
    if node.target is operator.getitem:
        return _item(values[node.args[0].name], node.args[1])
    if is_quantizer(node):
        return quantizer(builder, values, node)
    if (unit := unit_of(node)) is not None:
        return normalized(builder, values[unit.x.name], unit.axis, unit.eps)
    arguments = {name: _resolved(value, values) for name, value in arguments_of(node).items()}
    if not arguments:
        raise Unsupported("")
    if target in UNWRITTEN:
        return _zeros(builder, node.meta["val"])
    read = [values[n.name] for n in node.all_input_nodes]
    if is_known(node) and all(_is_constant(builder, x) for x in read):
        return _folded(builder, node, values)
    if target in OF_INTEGERS and _of_integers(builder, node, values):
        return OF_INTEGERS[target](builder, arguments, _shape(node.meta["val"]))
    if any(is_complex(builder, x) for x in (*read, *arguments.values())):
        return _of_pairs(builder, values, node, target, arguments)
    return _of_reals(builder, values, node, target, arguments)


def _is_constant(builder: GraphBuilder, value: Any) -> bool:
    return isinstance(value, str) and value in builder.constants


def _item(results: Sequence[Any], index: int) -> Any:
    """One of the results of a call."""
    if index >= len(results):
        raise Unsupported("only the values are there, not their indices", INDICES)
    return results[index]


def _of_pairs(
    builder: GraphBuilder, values: dict[str, Any], node: Any, target: str, arguments: dict[str, Any]
) -> Any:
    """A call on complex numbers, which are pairs."""
    if (row := PAIRS.get(target)) is None:
        raise Unsupported(_of_complex(node))
    return _by_row(builder, values, node, row, arguments)


def _of_reals(
    builder: GraphBuilder, values: dict[str, Any], node: Any, target: str, arguments: dict[str, Any]
) -> Any:
    if (row := IMPORT.get(target)) is not None:
        made = _by_row(builder, values, node, row, arguments)
        return converted(builder, made, kind_of(node)) if target in KEEPS else made
    if is_written_out(node.target):
        return _parts(builder, values, node)
    raise Unsupported("")


def _by_row(
    builder: GraphBuilder, values: dict[str, Any], node: Any, row: Row, arguments: dict[str, Any]
) -> Any:
    """Import a call by its row of the operator table."""
    target, out = str(node.target), _shape(node.meta["val"])
    if not isinstance(out, list) and 0 in out:
        return _zeros(builder, node.meta["val"])
    read = [values[n.name] for n in node.all_input_nodes]
    if target not in JOINS and any(isinstance(x, str) and 0 in builder.shape(x) for x in read):
        raise Unsupported("a tensor without elements")
    _refuse_types(builder, node, values)
    mask = arguments_of(node).get("attn_mask") if target == ATTENTION else None
    if mask is not None and kind_of(mask) == "bool":
        arguments = {**arguments, "attn_mask": added_mask(builder, arguments["attn_mask"])}
    return row(builder, arguments, out)


def _zeros(builder: GraphBuilder, value: Any) -> str:
    """A constant of a tensor's shape and type: of one without elements, whatever it is made of, or
    with such that are still to be written."""
    import torch

    return builder.constant(array(torch.zeros(value.shape, dtype=value.dtype)))


def _of_integers(builder: GraphBuilder, node: Any, values: Mapping[str, Any]) -> bool:
    """Return whether a call computes integers from integers and booleans. Counts of these are
    floats, except for positions and indices."""
    read = [values[n.name] for n in node.all_input_nodes]
    if kind_of(node) != "int" or not all(isinstance(x, str) for x in read):
        return False
    kinds = [kind(builder, x) for x in read if x not in builder.constants]
    counts = str(node.target) in COUNTS and {*kinds} == {"truth"}
    return bool(kinds) and all(kinds) and not (counts and not _picks(node))


def _picks(node: Any) -> bool:
    """Whether integers are read as indices only, be it by way of other integers."""
    pending, seen = [node], {node}
    while pending:
        users = [u for u in pending.pop().users if str(u.target) not in PICKING]
        if any(u.op != "call_function" or kind_of(u) != "int" for u in users):
            return False
        pending += {*users} - seen
        seen.update(users)
    return bool(node.users)


def _parts(builder: GraphBuilder, values: Mapping[str, Any], node: Any) -> Any:
    """The result of a call that torch writes out in others."""
    inner: dict[str, Any] = {}
    read = iter(node.all_input_nodes)
    for part in (graph := written_out(node)).nodes:
        if part.op == "placeholder":
            inner[part.name] = values[next(read).name]
        elif part.op == "call_function":
            if part.target is node.target:
                raise Unsupported("")
            inner[part.name] = _value(builder, inner, part, str(part.target))
    return _resolved(graph.output_node().args[0], inner)


def is_known(node: Any) -> bool:
    """Return whether torch may run a call: it is imported, or folds constants."""
    target = str(node.target)
    is_called = _is_folded(node.target) or by_element(node.target) or is_written_out(node.target)
    if is_rounding(node):
        return True
    return target in IMPORT or target in OF_INTEGERS or is_called


@cache
def _is_folded(target: Any) -> bool:
    """Whether a call is computed beforehand, in any overload that writes into nothing it reads."""
    schema = getattr(target, "_schema", None)
    name = str(target).rpartition(".")[0] or str(target)
    return schema is not None and not schema.is_mutable and name in ATEN_FOLDED


def _resolved(value: Any, values: Mapping[str, Any]) -> Any:
    """Return an argument of a call, with nodes replaced by their imported values."""
    if isinstance(value, list | tuple):
        return [_resolved(item, values) for item in value]
    name = getattr(value, "name", None)
    return values[name] if name is not None and hasattr(value, "all_input_nodes") else value


def _shape(value: Any) -> Any:
    """The shape of a tensor, or the shapes of a tuple of them."""
    if isinstance(value, list | tuple):
        return [_shape(item) for item in value]
    return static(value.shape, "an intermediate tensor") if hasattr(value, "shape") else None


@cache
def by_element(target: Any) -> bool:
    """Whether each element of a call's result comes of one of each operand: comparisons, logic,
    choices. torch tags one overload of a name, and operators (__or__) not at all."""
    import torch

    packet = getattr(target, "overloadpacket", None)
    if packet is None or target.namespace != "aten" or target._schema.is_mutable:
        return False
    tags = {tag for name in packet.overloads() for tag in getattr(packet, name).tags}
    return torch.Tag.pointwise in tags or packet.__name__.startswith("__")


def _folded(builder: GraphBuilder, node: Any, values: Mapping[str, Any]) -> Any:
    """Let torch run a call that reads only constants, once, at import."""
    import torch

    value = node.meta.get("val")
    results = value if isinstance(value, list | tuple) else [value]
    check_elements(sum(math.prod(map(int, v.shape)) for v in results if hasattr(v, "shape")))
    if "aten.einsum" in str(node.target):
        shapes = [builder.array(values[n.name]).shape for n in node.args[1]]
        check_einsum(node.args[0], shapes)

    def tensor(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(tensor(item) for item in value)
        if hasattr(value, "all_input_nodes"):
            return torch.from_numpy(builder.array(values[value.name]).copy())
        return value

    try:
        with torch.no_grad():
            kwargs = {k: tensor(v) for k, v in node.kwargs.items() if k != "device"}
            result = node.target(*tensor(node.args), **kwargs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise Unsupported(f"torch refuses it: {str(error).splitlines()[0]}") from None
    return _kept(builder, result)


def _kept(builder: GraphBuilder, result: Any) -> Any:
    if isinstance(result, list | tuple):
        return tuple(_kept(builder, item) for item in result)
    if not hasattr(result, "detach"):
        raise Unsupported("a result that is no tensor")
    return builder.constant(array(result))


def _refuse_types(builder: GraphBuilder, node: Any, values: Mapping[str, Any]) -> None:
    """Refuse integer and complex arithmetic that import does not support. Supported integers:
    indices, comparisons, few other calls, counts of a mask."""
    dtype = getattr(node.meta["val"], "dtype", None)
    whole = dtype is not None and not dtype.is_floating_point and not dtype.is_complex
    read = [values[n.name] for n in node.all_input_nodes]
    integers = any(isinstance(x, str) and builder.dtype(x) != "float32" for x in read)
    if integers and str(node.target) not in READS_INTEGERS:
        reason = "it computes with integers of an input, or with the indices of argmax"
        raise Unsupported(reason, AS_FLOATS)
    counts = str(node.target) in (*READS_INTEGERS, *COUNTS, *OF_INTEGERS) or "aten.arg" in str(
        node.target
    )
    logic = type_of(dtype) == "bool" and not str(node.target).startswith("aten.add")
    if whole and not (counts or logic):
        raise Unsupported(f"a result of type {type_of(dtype)} inside the network", AS_FLOATS)
