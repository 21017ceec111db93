# SPDX-License-Identifier: Apache-2.0
"""Import of torch's scan as a loop, whose body is imported once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from myoedge.errors import MyoedgeError
from myoedge.frontend.refusals import Refusal
from myoedge.frontend.torch.traced import origin_of, static
from myoedge.operators.graph_builder import GraphBuilder
from myoedge.operators.loop import LoopBody

Calls = Callable[[Any, GraphBuilder, dict[str, Any]], list[Refusal]]


def is_scan(node: Any) -> bool:
    return str(node.target) == "scan"


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
    _refuse_inner(graph)
    _describe(graph, scan)
    builder.origin, builder.stem = (origin_of(scan),), scan.name
    (steps, *_) = static(sequences[0].meta["val"].shape, sequences[0].name)
    loop = LoopBody(builder, scan.name, steps)
    begun = loop.begin(*([values[x.name] for x in group] for group in (states, sequences)))
    given = [*begun, *(values[x.name] for x in extra)]
    inner = dict(zip((x.name for x in _placeholders(graph)), given, strict=True))
    refusals = imported(graph, builder, inner)
    results = [inner[x.name] for x in graph.output_node().args[0]]
    builder.origin, builder.stem = (origin_of(scan),), scan.name
    return loop.end(results[: len(states)], results[len(states) :]), refusals


def _placeholders(graph: Any) -> list[Any]:
    return [node for node in graph.nodes if node.op == "placeholder"]


def _refuse_inner(graph: Any) -> None:
    found = [str(call.target) for call in graph.nodes if call.op == "get_attr"]
    if found:
        raise MyoedgeError(
            "E111",
            "a scan whose body holds another scan, a condition or a constant is not supported",
            {"found": ", ".join(found)},
            ["a scan whose body only calls operators; constants as buffers, loops unrolled"],
        )


def _describe(graph: Any, scan: Any) -> None:
    """Set the metadata of the calls of a scan's body: the place of the scan, and types and shapes
    computed by torch from the scan's operands."""
    from torch.fx import map_arg

    _, states, sequences, extra = scan.args
    rows = [x.meta["val"][0] for x in sequences]
    given = [*(x.meta["val"] for x in states), *rows, *(x.meta["val"] for x in extra)]
    for node, value in zip(_placeholders(graph), given, strict=True):
        node.meta["val"] = value
    for call in graph.nodes:
        if call.op == "call_function":
            args, kwargs = map_arg((call.args, call.kwargs), lambda x: x.meta["val"])
            with scan.meta["val"][0].fake_mode:
                call.meta = {**scan.meta, "val": call.target(*args, **kwargs)}
