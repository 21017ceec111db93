# SPDX-License-Identifier: Apache-2.0
"""Template values of stream.c and of a stream's firmware."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from myoedge.codegen.render import C_TYPES
from myoedge.operators.base import outer_inner
from myoedge.plan.plan import Plan
from myoedge.streaming.stream import Port, Stream


def stream_values(plan: Plan, stream: Stream) -> dict[str, Any]:
    """Sizes of frames and states; `begins` is the last pass before which a state is filled."""
    q, states = plan.quant, []
    for number, state in enumerate(stream.states):
        states.append(
            {
                "number": number,
                "name": state.input,
                "type": C_TYPES[q.dtype(state.input)],
                "count": q.graph.tensors[state.input].size,
                "fill": state.fill,
                "begins": state.begins,
            }
        )
    ports = {name: _ports(plan, getattr(stream, name)) for name in ("inputs", "outputs")}
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
    """A frame lies in `outer` pieces among those of a pass."""
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
