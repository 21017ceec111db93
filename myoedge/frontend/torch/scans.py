# SPDX-License-Identifier: Apache-2.0
"""Import of torch's scan: its body is called once per iteration; rewrite patterns then roll
recurrences into operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError

if TYPE_CHECKING:
    import torch

MOST_CALLS = 20_000  # of all steps together


def unroll_scans(program: torch.export.ExportedProgram) -> None:
    """Replace every scan in the program's graph by the calls of its iterations, in place.

    Errors: E111 more than 20,000 calls.
    """
    module = program.graph_module
    scans = [n for n in module.graph.nodes if n.op == "call_function" and str(n.target) == "scan"]
    for node in scans:
        _unroll(module, node)
    if scans:
        module.graph.eliminate_dead_code()


def _unroll(module: Any, node: Any) -> None:
    import torch

    body, states, sequences, extra = node.args
    calls = [*getattr(module, body.target).graph.nodes]
    if any(call.op == "get_attr" for call in calls):
        raise MyoedgeError(
            "E111",
            "a scan whose body holds another scan, a condition or a constant is not supported",
            {"found": ", ".join(str(call.target) for call in calls if call.op == "get_attr")},
            ["a scan whose body only calls operators; constants as buffers, loops unrolled"],
        )
    steps = sequences[0].meta["val"].shape[0]
    if steps * len(calls) > MOST_CALLS:
        raise MyoedgeError(
            "E111",
            f"a scan of {steps:,} steps with {len(calls)} calls each is too long to be written out",
            {"needs": f"at most {MOST_CALLS:,} calls", "has": f"{steps * len(calls):,}"},
            ["scan over fewer steps, or keep the loop on the host and export one step"],
        )
    outputs: list[list[Any]] = []
    with module.graph.inserting_before(node):
        for t in range(steps):
            now = [_call(module, node, torch.ops.aten.select.int, x, 0, t) for x in sequences]
            given = [*states, *now, *extra]
            results = _step(module, node, calls, given)
            states = results[: len(states)]
            outputs.append(results[len(states) :])
        stack, columns = torch.ops.aten.stack.default, zip(*outputs, strict=True)
        joined = [_call(module, node, stack, list(column), 0) for column in columns]
    for user in [*node.users]:
        user.args = ([*states, *joined][user.args[1]],)
        user.target = torch.ops.aten.clone.default  # under the name that outputs have
    module.graph.erase_node(node)


def _step(module: Any, scan: Any, calls: list[Any], given: list[Any]) -> list[Any]:
    """Add the calls of one step; return the next states, then the outputs of the step."""
    values: dict[Any, Any] = dict(
        zip((c for c in calls if c.op == "placeholder"), given, strict=True)
    )
    results: list[Any] = []
    for call in calls:
        if call.op == "call_function":
            made = module.graph.node_copy(call, values.__getitem__)
            made.meta = {**scan.meta, **_value(scan, made)}
            values[call] = made
        elif call.op == "output":
            results = [values[x] for x in call.args[0]]
    return results


def _call(module: Any, scan: Any, target: Any, *arguments: Any) -> Any:
    made = module.graph.call_function(target, arguments)
    made.meta = {**scan.meta, **_value(scan, made)}
    return made


def _value(scan: Any, node: Any) -> dict[str, Any]:
    """Compute the types and shapes of a call with torch, as a body may create tensors itself."""
    from torch.fx import map_arg

    args, kwargs = map_arg((node.args, node.kwargs), lambda x: x.meta["val"])
    with scan.meta["val"][0].fake_mode:
        return {"val": node.target(*args, **kwargs)}
