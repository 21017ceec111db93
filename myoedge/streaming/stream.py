# SPDX-License-Identifier: Apache-2.0
"""Streams: networks that run in passes, and their reference interpreter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from myoedge.graph.ir import Graph, Shape, Tensor
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_int
from myoedge.quantization.scales import QuantGraph


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a stream that carries frames.

    name     name of the tensor
    axis     time axis
    frames   frames per pass
    fill     integer of frames before the first one
    """

    name: str
    axis: int
    frames: int
    fill: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """A tensor passed from one pass of a stream to the next.

    input, output   tensors of the network: the old and the new state
    fill            initial integers of the elements, which are repeated; one for all of them
    begins          pass before which it is set to `fill` again, in addition to pass 0
    """

    input: str
    output: str
    fill: tuple[int, ...]
    begins: int


@dataclass(frozen=True)
class Stream:
    """A network that runs in passes of several frames, with its states.

    network           network of one pass; its inputs are `inputs`, then the states, its outputs
                      `outputs`, then the new states
    inputs, outputs   inputs and outputs that carry frames
    states            states between passes
    early             input frames of pass 0 before the first pushed frame
    warmup            output frames at the start that are dropped
    future            input frames by which an output comes later than the frame it is of
    """

    network: QuantGraph
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: tuple[State, ...]
    early: int
    warmup: int
    future: int = 0

    @property
    def frames(self) -> int:
        """Input frames per pass."""
        return self.inputs[0].frames

    @property
    def rate(self) -> Fraction:
        """Input frames per output frame; less than 1 if there are more output frames."""
        return Fraction(self.frames, self.outputs[0].frames)

    @property
    def first_frames(self) -> int:
        """Input frames until the first pass with output frames is complete."""
        return (self.warmup // self.outputs[0].frames + 1) * self.frames - self.early

    @property
    def endless_states(self) -> tuple[str, ...]:
        """Names of the states that depend on all earlier frames, as those of recurrent layers; the
        others hold the last frames."""
        made = self.network.graph.producer
        return tuple(s.input for s in self.states if made[s.output].op != "slice")

    def sample_frames(self, whole: Graph) -> int | None:
        """Return the frames of a sample of the whole network; None if its samples hold states."""
        is_explicit = len(whole.inputs) > len(self.inputs)
        return None if is_explicit else whole.shape(whole.inputs[0])[self.inputs[0].axis]

    @property
    def state_bytes(self) -> int:
        """Bytes of all states, each counted once."""
        q = self.network
        shapes = {s.input: q.graph.tensors[s.input].size for s in self.states}
        return sum(size * q.element_type(name).size_bytes for name, size in shapes.items())


@dataclass(frozen=True)
class Pass:
    """Results of one pass of a stream.

    number   index since the reset
    sample   integers of the inputs, including states
    values   integers of all tensors, by name
    ready    for each output, its frames that are ready
    """

    number: int
    sample: Mapping[str, Array]
    values: Mapping[str, Array]
    ready: tuple[Array, ...]


def passes(stream: Stream, frames: Mapping[str, Array]) -> Iterator[Pass]:
    """Run the reference interpreter on frames, starting from a reset; yield every complete pass.

    frames   input name -> integers, any number of frames along the time axis
    """
    q, states = stream.network, {s.input: _initial_state(stream, s) for s in stream.states}
    inputs = []
    for port in stream.inputs:
        x = frames[port.name]
        pads = [(stream.early * (d == port.axis), 0) for d in range(x.ndim)]
        inputs.append(np.pad(x, pads, constant_values=port.fill))
    warmup = stream.warmup
    for number in range(inputs[0].shape[stream.inputs[0].axis] // stream.frames):
        states |= {s.input: _initial_state(stream, s) for s in stream.states if s.begins == number}
        new = {
            port.name: _take_frames(x, port.axis, number * port.frames, port.frames)
            for port, x in zip(stream.inputs, inputs, strict=True)
        }
        sample = {**new, **states}
        values = run_int(q.steps, q.constants, sample)
        skipped = min(warmup, stream.outputs[0].frames)
        ready = (
            _take_frames(values[port.name], port.axis, skipped, port.frames - skipped)
            for port in stream.outputs
        )
        yield Pass(number, sample, values, tuple(ready))
        states = {s.input: values[s.output] for s in stream.states}
        warmup -= skipped


@dataclass(frozen=True)
class StreamRun:
    """The reference's passes over a recording.

    last    the last pass
    ready   for each pass, the frames of each output that are ready
    """

    last: Pass
    ready: tuple[tuple[Array, ...], ...]


def run_stream(stream: Stream, frames: Mapping[str, Array]) -> StreamRun:
    """Run the reference over a recording of at least one pass.

    frames   input name -> integers, any number of frames along the time axis
    """
    ready = []
    for last in passes(stream, frames):
        ready.append(last.ready)
    return StreamRun(last, tuple(ready))


def frame_shapes(stream: Stream) -> dict[str, Shape]:
    """Return the shape of one frame of every input, with a time axis of 1."""
    rows = [(p.name, p.axis, stream.network.graph.shape(p.name)) for p in stream.inputs]
    return {name: (*shape[:axis], 1, *shape[axis + 1 :]) for name, axis, shape in rows}


def ready_specs(stream: Stream) -> list[tuple[tuple[int, ...], str]]:
    """Return shape and integer type of the frames of each output that a pass makes ready, time
    first."""
    graph = stream.network.graph
    rows = [(port, graph.shape(port.name)) for port in stream.outputs]
    return [
        ((p.frames, *shape[: p.axis], *shape[p.axis + 1 :]), stream.network.dtype(p.name))
        for p, shape in rows
    ]


def padded_outputs(stream: Stream, ready: Sequence[Array]) -> list[Array]:
    """Return the ready frames as me_push writes them: time axis first, padded with zeros."""
    arrays = []
    for port, x, (shape, dtype) in zip(stream.outputs, ready, ready_specs(stream), strict=True):
        arrays.append(zero_padded(np.moveaxis(x, port.axis, 0).astype(dtype), shape))
    return arrays


def zero_padded(frames: Array, shape: Shape) -> Array:
    """Pad frames with zeros to a shape."""
    padded = np.zeros(shape, frames.dtype)
    padded[tuple(map(slice, frames.shape))] = frames
    return padded


def frames_to_results(stream: Stream, x: Array) -> Iterator[tuple[int, Array]]:
    """Yield (total number of output frames, input frames [frames, ...]) of each pass of a
    recording; the first item also has the frames of all passes without output.

    x   integers of the only input, any number of frames along the time axis
    """
    frames, made = np.moveaxis(x, stream.inputs[0].axis, 0), stream.outputs[0].frames
    number, start = stream.warmup // made, 0
    while (end := (number + 1) * stream.frames - stream.early) <= len(frames):
        number += 1
        yield number * made - stream.warmup, frames[start:end]
        start = end


def frames_of_pass(stream: Stream, run: Pass) -> list[Array]:
    """Return the frames to push for a pass: for every point in time, one frame of each input."""
    first = stream.early if run.number == 0 else 0
    times = range(first, stream.frames)
    return [np.take(run.sample[p.name], time, p.axis) for time in times for p in stream.inputs]


def firmware_head(numbers: Sequence[int]) -> Array:
    """Return the header of input.bin for streams: number of resets, and of passes after each.

    numbers   per pass, its index since the reset
    """
    firsts = [at for at, number in enumerate(numbers) if number == 0]
    return np.array([len(firsts), *np.diff([*firsts, len(numbers)])], np.uint32)


def first_frames(stream: Stream, passes: int, frames: Mapping[str, Array]) -> dict[str, Array]:
    """Return the input frames of `passes` passes, without states; repeated if too short."""
    times = range(passes * stream.frames - stream.early)
    axes = {port.name: port.axis for port in stream.inputs}
    return {n: np.take(frames[n], times, axis, mode="wrap") for n, axis in axes.items()}


def graph_of_length(stream: Stream, inputs: Mapping[str, Array]) -> Graph:
    """Return a graph of a stream's ports, to check samples: its frame inputs, as long as the
    samples, and its outputs for one frame.

    inputs   name -> [samples, ...]; a single input may have any name
    """
    graph, tensors = stream.network.graph, dict[str, Tensor]()
    for port, x in zip(stream.inputs, inputs.values(), strict=False):
        shape = graph.shape(port.name)
        frames = x.shape[port.axis - len(shape)] if x.ndim >= len(shape) else port.frames
        tensors[port.name] = _tensor_of_frames(graph, port, frames)
    ports, outputs = tuple(tensors), tuple(port.name for port in stream.outputs)
    tensors |= {port.name: _tensor_of_frames(graph, port, 1) for port in stream.outputs}
    return replace(graph, inputs=ports, outputs=outputs, tensors={**graph.tensors, **tensors})


def _tensor_of_frames(graph: Graph, port: Port, frames: int) -> Tensor:
    shape = graph.shape(port.name)
    long = (*shape[: port.axis], frames, *shape[port.axis + 1 :])
    return replace(graph.tensors[port.name], shape=long)


def _initial_state(stream: Stream, state: State) -> Array:
    q = stream.network
    first = np.array(state.fill, np.int64).astype(q.dtype(state.input))
    return np.resize(first, q.graph.shape(state.input))


def _take_frames(x: Array, axis: int, first: int, count: int) -> Array:
    return np.take(x, range(first, first + count), axis)
