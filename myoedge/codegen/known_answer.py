# SPDX-License-Identifier: Apache-2.0
"""The golden sample stored in src/, which <prefix>_self_test runs, and the CRC-32 of its outputs;
for a stream, its last pass."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.streaming.stream import Stream, StreamRun, passes, run_stream

if TYPE_CHECKING:
    from myoedge.codegen.made_with import SourceOptions
    from myoedge.plan.plan import Plan


@dataclass(frozen=True)
class KnownAnswer:
    """A sample and the CRC-32 of the reference's outputs.

    inputs   integers of each input; for a stream its frames, time first
    crc      CRC-32 of all outputs, one after another; for a stream, of each pass's outputs in turn
    pushes   number of frames; 1 for a network without frames
    """

    inputs: Sequence[Array]
    crc: int
    pushes: int = 1

    def arrays(self) -> dict[str, Array]:
        """Return the arrays of the C file that stores the sample, by C name."""
        inputs = {f"known_input{number}": array for number, array in enumerate(self.inputs)}
        return {**inputs, "known_crc": np.array([self.crc], np.uint32)}


def crc_of(outputs: Iterable[Array]) -> int:
    """Return the CRC-32 of arrays in the chip's byte order: little-endian, one after another."""
    crc = 0
    for array in outputs:
        values = np.ascontiguousarray(array)
        crc = zlib.crc32(values.astype(values.dtype.newbyteorder("<")).tobytes(), crc)
    return crc


def sample_run(stream: Stream, sample: Mapping[str, Array]) -> StreamRun:
    """Run the reference of a stream over a sample, quantised as its frames are; a sample shorter
    than one pass is repeated.

    sample   floats by input name
    """
    frames = {p.name: stream.network.input_integers(p.name, sample[p.name]) for p in stream.inputs}
    return run_stream(stream, repeated(stream, frames, stream.frames))


def repeated(stream: Stream, integers: Mapping[str, Array], frames: int) -> dict[str, Array]:
    """Return a sample, repeated if it has fewer than `frames` frames."""
    return {
        p.name: np.concatenate([integers[p.name]] * frames, p.axis)
        if integers[p.name].shape[p.axis] + stream.early < frames
        else integers[p.name]
        for p in stream.inputs
    }


def known_answer(
    plan: Plan,
    stream: Stream | None,
    options: SourceOptions,
    integers: Mapping[str, Array],
    values: Mapping[str, Array],
) -> KnownAnswer | None:
    """Return the golden sample with the CRC-32 of its outputs; None if no self-test is generated.

    For a stream, the sample has the frames up to the first pass with output frames.
    integers   inputs of the sample
    values     all tensors of a network without frames
    """
    if not options.is_tested:
        return None
    if stream is None:
        inputs = [np.asarray(integers[name]) for name in plan.graph_inputs]
        return KnownAnswer(inputs, crc_of(values[name] for name in plan.graph_outputs))
    output = stream.outputs[0]
    most = stream.frames * (stream.warmup // output.frames + 1)
    frames = repeated(stream, integers, most)
    made = next(x for x in passes(stream, frames) if x.ready[0].shape[output.axis])
    pushes = (made.number + 1) * stream.frames - stream.early
    inputs = [np.moveaxis(frames[p.name], p.axis, 0)[:pushes] for p in stream.inputs]
    ready = (np.moveaxis(y, p.axis, 0) for y, p in zip(made.ready, stream.outputs, strict=True))
    return KnownAnswer(inputs, crc_of(ready), pushes)
