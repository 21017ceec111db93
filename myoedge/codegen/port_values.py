# SPDX-License-Identifier: Apache-2.0
"""Template values of a network's inputs and outputs: shapes, sizes, scales of integers; frames,
states and output frames of a stream's pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from myoedge.codegen.names import comment
from myoedge.codegen.render import C_TYPES
from myoedge.numerics.arrays import outer_inner
from myoedge.operators.embedding import id_limits
from myoedge.plan.plan import Plan
from myoedge.quantization.ports import QuantPort
from myoedge.streaming.stream import Port, Stream


def port_values(plan: Plan) -> dict[str, Any]:
    """Return the template values of the inputs and outputs."""
    outputs = zip(plan.graph_outputs, plan.quant.graph.output_names, strict=True)
    return {
        "inputs": [
            _port_fields(plan, i, plan.quant.input_port(name), name)
            for i, name in enumerate(plan.graph_inputs)
        ],
        "outputs": [
            _port_fields(plan, i, plan.quant.output_port(name), shown)
            for i, (name, shown) in enumerate(outputs)
        ],
    }


def _port_fields(plan: Plan, number: int, port: QuantPort, shown: str) -> dict[str, Any]:
    location = plan.where[port.name]
    return {
        "number": number,
        "name": comment(shown),
        "shape": port.shape,
        "count": math.prod(port.shape),
        "type": C_TYPES[port.dtype],
        "bytes": port.size_bytes,
        # offset of an input or output in L3
        "map": plan.maps[str(location.index)] + location.offset if location.in_level else None,
        "meaning": _scale_formula(plan, port),
        "params": port.params,
        "border": port.normalization,
    }


def _scale_formula(plan: Plan, port: QuantPort) -> str:
    """Return the formula that converts integers to floats, "real = 0.0123 * (q + 128)", as text."""
    params = port.params
    if params is None and port.name in plan.graph_inputs:
        low, high = id_limits(plan.quant.graph, port.name) or (0, 0)
        return f"integers {low} to {high}"
    if params is None:
        return "indices"
    zero = f"(q - {params.zero_point})" if params.zero_point > 0 else f"(q + {-params.zero_point})"
    text = f"real = {params.scale!r} * {zero if params.zero_point else 'q'}"
    if (border := port.normalization) is not None:
        text += ", where real = x * FACTORS + OFFSETS"
        text += f", one of each along axis {border.axis}" if len(border.scale) > 1 else ""
    return text


# --- streams --------------------------------------------------------------------------------------


def fills(stream: Stream) -> list[int]:
    """Return the integers that fill each input's frames before the first one, then the initial
    integers of the states."""
    states = (fill for state in stream.states for fill in state.fill)
    return [*(port.fill for port in stream.inputs), *states]


def stream_values(plan: Plan, stream: Stream, *, as_data: bool = False) -> dict[str, Any]:
    """Return the values for the templates of stream.c and of a stream's firmware: sizes of frames
    and states, and `begins`, the last pass before which a state is reset.

    as_data   whether C code reads initial integers from the array "initial_integers" of a blob
    """
    ports = {name: _ports(plan, getattr(stream, name)) for name in ("inputs", "outputs")}
    if as_data:
        for number, port in enumerate(ports["inputs"]):
            port["fill"] = f"({port['type']})initial_integers[{number}]"
    states = [*_states(plan, stream, as_data=as_data)]
    early = {port["type"] for port in ports["inputs"]} if stream.early else set()
    return {
        **ports,
        "states": states,
        "types": sorted(early | _state_types(states, several=False)),
        "patterns": sorted(_state_types(states, several=True)),
        "frames": stream.frames,
        "ready": stream.outputs[0].frames,
        "early": stream.early,
        "warmup": stream.warmup,
        "begins": max((state.begins for state in stream.states), default=0),
    }


def _state_types(states: Iterable[Mapping[str, Any]], *, several: bool) -> set[str]:
    """Return the C types of the states that begin with one number, or with several."""
    return {state["type"] for state in states if (state["length"] > 1) == several}


def _states(plan: Plan, stream: Stream, *, as_data: bool) -> Iterator[dict[str, Any]]:
    """Describe the states for the templates; their initial integers are one number, or `length`
    numbers in an array, which are repeated."""
    q, first = plan.quant, len(stream.inputs)
    for number, state in enumerate(stream.states):
        kind, length = C_TYPES[q.dtype(state.input)], len(state.fill)
        one = f"({kind})initial_integers[{first}]" if as_data else state.fill[0]
        several = f"initial_integers + {first}" if as_data else f"first{number}"
        yield {
            "number": number,
            "name": state.input,
            "type": kind,
            "count": q.graph.tensors[state.input].size,
            "length": length,
            "initial": state.fill,
            "fill": one if length == 1 else several,
            "begins": state.begins,
        }
        first += length


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
