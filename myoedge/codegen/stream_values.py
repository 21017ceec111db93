# SPDX-License-Identifier: Apache-2.0
"""Values for the templates of a stream: frames, states and output frames of a pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from myoedge.codegen.render import C_TYPES
from myoedge.numerics.arrays import outer_inner
from myoedge.plan.plan import Plan
from myoedge.streaming.stream import Port, Stream


def fills(stream: Stream) -> list[int]:
    """Return the initial integers of the states, then the integers that fill each input's frames
    before the first one."""
    return [*(state.fill for state in stream.states), *(port.fill for port in stream.inputs)]


def stream_values(plan: Plan, stream: Stream, *, as_data: bool = False) -> dict[str, Any]:
    """Return the values for the templates of stream.c and of a stream's firmware: sizes of frames
    and states, and `begins`, the last pass before which a state is reset.

    as_data   whether C code reads initial integers from the array "initial_integers" of a blob
    """
    q = plan.quant
    states = [
        {
            "number": number,
            "name": state.input,
            "type": C_TYPES[q.dtype(state.input)],
            "count": q.graph.tensors[state.input].size,
            "fill": f"({C_TYPES[q.dtype(state.input)]})initial_integers[{number}]"
            if as_data
            else state.fill,
            "begins": state.begins,
        }
        for number, state in enumerate(stream.states)
    ]
    ports = {name: _ports(plan, getattr(stream, name)) for name in ("inputs", "outputs")}
    if as_data:
        for number, port in enumerate(ports["inputs"], len(states)):
            port["fill"] = f"({port['type']})initial_integers[{number}]"
    early = {port["type"] for port in ports["inputs"]} if stream.early else set()
    return {
        **ports,
        "states": states,
        "types": sorted(early | {state["type"] for state in states}),
        "frames": stream.frames,
        "ready": stream.outputs[0].frames,
        "early": stream.early,
        "warmup": stream.warmup,
        "begins": max((state.begins for state in stream.states), default=0),
    }


def _ports(plan: Plan, ports: Sequence[Port]) -> list[dict[str, Any]]:
    """Describe inputs or outputs for the templates; a frame may consist of `outer` pieces of a
    pass."""
    rows = []
    for port in ports:
        q, shape = plan.quant, plan.quant.graph.shape(port.name)
        outer, frames, inner = outer_inner(shape, port.axis)
        rows.append(
            {
                "name": port.name,
                "type": C_TYPES[q.dtype(port.name)],
                "count": outer * frames * inner,
                "outer": outer,
                "frames": frames,
                "piece_bytes": inner * q.element_type(port.name).size_bytes,
                "fill": port.fill,
            }
        )
    return rows
