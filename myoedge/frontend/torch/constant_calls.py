# SPDX-License-Identifier: Apache-2.0
"""Calls of an exported program that import runs once: on constants, and the body of torch's scan,
which becomes a loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.frontend.operator_table import check_einsum, check_elements
from myoedge.frontend.refusals import Refusal
from myoedge.frontend.torch.known_calls import KnownCall
from myoedge.frontend.torch.program import NeedsTorch, NumberType
from myoedge.frontend.torch.traced import arguments_of, array, origin_of, static
from myoedge.operators.graph_builder import GraphBuilder, Unsupported
from myoedge.operators.loop import LoopBody


def folded(builder: GraphBuilder, values: Mapping[str, Any], node: Any) -> Any:
    """Compute a call on constants once at import, with torch or, where this gives the same values,
    with NumPy; return its value or constant.

    values   node name -> imported value
    """
    value = node.meta.get("val")
    results = value if isinstance(value, list | tuple) else [value]
    check_elements(sum(math.prod(map(int, v.shape)) for v in results if hasattr(v, "shape")))
    if isinstance(node.target, KnownCall):
        return _compute_constant_call(builder, values, node, node.target)
    import torch

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
    return _store_results(builder, result)


def _compute_constant_call(
    builder: GraphBuilder, values: Mapping[str, Any], node: Any, target: KnownCall
) -> Any:
    """Compute a known call on constants. Errors: NeedsTorch if its values are not known."""
    if target.values is None:
        raise NeedsTorch(f"{target} of constants")

    def given(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [given(item) for item in value]
        if isinstance(value, NumberType):
            return np.dtype(value.name)
        return builder.array(values[value.name]) if hasattr(value, "users") else value

    try:
        made = target.values({name: given(x) for name, x in arguments_of(node).items()})
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise NeedsTorch(f"{target} of constants: {error}") from error
    keep = builder.constant
    return tuple(map(keep, made)) if isinstance(made, tuple) else keep(made)


def _store_results(builder: GraphBuilder, result: Any) -> Any:
    if isinstance(result, list | tuple):
        return tuple(_store_results(builder, item) for item in result)
    if not hasattr(result, "detach"):
        raise Unsupported("a result that is no tensor")
    return builder.constant(array(result))


Calls = Callable[[Any, GraphBuilder, dict[str, Any]], list[Refusal]]


def scanned(
    builder: GraphBuilder, values: Mapping[str, Any], scan: Any, imported: Calls
) -> tuple[list[str], list[Refusal]]:
    """Import a scan as a loop; return its results (last states first), and refusals of its body's
    calls.

    values     node name -> imported value
    imported   function that imports the calls of a graph: (graph, builder, values) -> refusals
    Errors: E111 for a body with graphs or constants of its own.
    """
    name, states, sequences, extra = scan.args
    graph = getattr(scan.graph.owning_module, name.target).graph
    _refuse_nested_graphs(graph)
    _set_scan_metadata(graph, scan)
    builder.origin, builder.stem = (origin_of(scan),), scan.name
    (steps, *_) = static(sequences[0].meta["val"].shape, sequences[0].name)
    loop = LoopBody(builder, scan.name, steps)
    begun = loop.begin(*([values[x.name] for x in group] for group in (states, sequences)))
    given = [*begun, *(values[x.name] for x in extra)]
    inner = dict(zip((x.name for x in _placeholders_of(graph)), given, strict=True))
    refusals = imported(graph, builder, inner)
    results = [inner[x.name] for x in graph.output_node().args[0]]
    builder.origin, builder.stem = (origin_of(scan),), scan.name
    return loop.end(results[: len(states)], results[len(states) :]), refusals


def _placeholders_of(graph: Any) -> list[Any]:
    return [node for node in graph.nodes if node.op == "placeholder"]


def _refuse_nested_graphs(graph: Any) -> None:
    found = [str(call.target) for call in graph.nodes if call.op == "get_attr"]
    if found:
        raise MyoedgeError(
            "E111",
            "a scan whose body holds another scan, a condition or a constant is not supported",
            {"found": ", ".join(found)},
            ["a scan whose body only calls operators; constants as buffers, loops unrolled"],
        )


def _set_scan_metadata(graph: Any, scan: Any) -> None:
    """Set the metadata of the calls of a scan's body: the place of the scan, and types and shapes
    computed by torch from the scan's operands."""
    from torch.fx import map_arg

    _, states, sequences, extra = scan.args
    rows = [x.meta["val"][0] for x in sequences]
    given = [*(x.meta["val"] for x in states), *rows, *(x.meta["val"] for x in extra)]
    for node, value in zip(_placeholders_of(graph), given, strict=True):
        node.meta["val"] = value
    for call in graph.nodes:
        if call.op == "call_function":
            args, kwargs = map_arg((call.args, call.kwargs), lambda x: x.meta["val"])
            with scan.meta["val"][0].fake_mode:
                call.meta = {**scan.meta, "val": call.target(*args, **kwargs)}
