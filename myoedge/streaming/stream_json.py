# SPDX-License-Identifier: Apache-2.0
"""stream.json: the fields of a stream, written, and read with the network that they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from myoedge.quantization.scales import QuantGraph
from myoedge.streaming.stream import Port, State, Stream

NUMBERS = ("early", "warmup", "future")  # fields of a Stream
MOST_FRAMES = 2**24  # that a stream waits for or drops


def to_json(stream: Stream) -> dict[str, Any]:
    """Return stream.json: all fields except the network."""
    return {
        "schema": "myoedge.stream/1",
        **{name: [_row_fields(p) for p in getattr(stream, name)] for name in ("inputs", "outputs")},
        "states": [_row_fields(state) for state in stream.states],
        **{name: getattr(stream, name) for name in NUMBERS},
    }


def _row_fields(row: Port | State) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}


def from_json(document: Mapping[str, Any], network: QuantGraph) -> Stream:
    """Load a stream from stream.json and its network.

    Errors: ValueError, or another exception of Python, for fields that the network does not have.
    """
    ports = {name: tuple(Port(**row) for row in document[name]) for name in ("inputs", "outputs")}
    states = tuple(State(**{**row, "fill": tuple(row["fill"])}) for row in document["states"])
    numbers = {name: document[name] for name in NUMBERS}
    stream = Stream(network, ports["inputs"], ports["outputs"], states, **numbers)
    if fault := next(_faults(stream), None):
        raise ValueError(fault)
    return stream


def _faults(stream: Stream) -> Iterator[str]:
    """Yield what of a stream does not belong to its network; C gathers frames in the inputs of a
    pass, and lets it write states where the next one reads them."""
    graph = stream.network.graph
    read = [*(port.name for port in stream.inputs), *(state.input for state in stream.states)]
    made = [*(port.name for port in stream.outputs), *(state.output for state in stream.states)]
    for name, tensors, own in (("inputs", read, graph.inputs), ("outputs", made, graph.outputs)):
        if tuple(tensors) != own or not getattr(stream, name):
            yield f"{name} and states are not the {name} of the network"
            return
    for port in (*stream.inputs, *stream.outputs):
        yield from _port_faults(stream.network, port)
    for state in stream.states:
        yield from _state_faults(stream.network, state)
    yield from _frame_faults(stream)


def _frame_faults(stream: Stream) -> Iterator[str]:
    if len({port.frames for port in stream.inputs}) > 1:
        yield "inputs of several numbers of frames"
    for name, most in zip(NUMBERS, (stream.frames - 1, MOST_FRAMES, MOST_FRAMES), strict=True):
        if not _is_number(number := getattr(stream, name), 0, most):
            yield f"{name}={number}, which must be from 0 to {most}"


def _is_number(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _port_faults(network: QuantGraph, port: Port) -> Iterator[str]:
    shape = network.graph.shape(port.name)
    if not _is_number(port.axis, 0, len(shape) - 1):
        yield f"{port.name}: axis={port.axis}, which must be one of {len(shape)}"
    elif type(port.frames) is not int or port.frames != shape[port.axis]:
        yield f"{port.name}: frames={port.frames}, which must be {shape[port.axis]}"
    yield from _fill_faults(network, port.name, (port.fill,))


def _state_faults(network: QuantGraph, state: State) -> Iterator[str]:
    graph, (before, after) = network.graph, (state.input, state.output)
    kinds = [(graph.shape(x), network.dtype(x)) for x in (before, after)]
    if kinds[0] != kinds[1]:
        yield f"{after} is {kinds[1]}, its state {before} is {kinds[0]}"
    if not _is_number(state.begins, 0, MOST_FRAMES):
        yield f"{before}: begins={state.begins}, which must be from 0 to {MOST_FRAMES}"
    if not 1 <= len(state.fill) <= graph.tensors[before].size:
        yield f"{before}: a fill of {len(state.fill)} integers"
    yield from _fill_faults(network, before, state.fill)


def _fill_faults(network: QuantGraph, name: str, fill: Sequence[int]) -> Iterator[str]:
    kind = network.element_type(name)
    for value in fill:
        if not _is_number(value, kind.low, kind.high):
            yield f"{name}: fill={value}, which must be from {kind.low} to {kind.high}"
