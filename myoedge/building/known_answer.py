# SPDX-License-Identifier: Apache-2.0
"""The golden sample stored in src/, which <prefix>_self_test runs; for a stream, its last pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.streaming.stream import Stream, passes

if TYPE_CHECKING:
    from myoedge.building.plans import BuildPlan
    from myoedge.codegen.known_answer import KnownAnswer
    from myoedge.codegen.source_options import SourceOptions


def last_pass(
    stream: Stream, integers: Mapping[str, Array]
) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
    """Return (inputs, all tensors) of the last pass over a sample; a sample shorter than one pass
    is repeated."""
    *_, last = passes(stream, _repeated(stream, integers, stream.frames))
    return last.sample, last.values


def _repeated(stream: Stream, integers: Mapping[str, Array], frames: int) -> dict[str, Array]:
    """Return a sample, repeated if it has fewer than `frames` frames."""
    return {
        p.name: np.concatenate([integers[p.name]] * frames, p.axis)
        if integers[p.name].shape[p.axis] + stream.early < frames
        else integers[p.name]
        for p in stream.inputs
    }


def known_answer(
    build_plan: BuildPlan,
    options: SourceOptions,
    integers: Mapping[str, Array],
    values: Mapping[str, Array],
) -> KnownAnswer | None:
    """Return the golden sample with the CRC-32 of its outputs; None if no self-test is generated.

    For a stream, the sample has the frames up to the first pass with output frames.
    integers   inputs of the sample
    values     all tensors of a network without frames
    """
    from myoedge.codegen.known_answer import KnownAnswer, crc_of

    if not options.is_tested:
        return None
    plan, stream = build_plan.plan, build_plan.stream
    if stream is None:
        inputs = [np.asarray(integers[name]) for name in plan.graph_inputs]
        return KnownAnswer(inputs, crc_of(values[name] for name in plan.graph_outputs))
    output = stream.outputs[0]
    most = stream.frames * (stream.warmup // output.frames + 1)
    frames = _repeated(stream, integers, most)
    made = next(x for x in passes(stream, frames) if x.ready[0].shape[output.axis])
    pushes = (made.number + 1) * stream.frames - stream.early
    inputs = [np.moveaxis(frames[p.name], p.axis, 0)[:pushes] for p in stream.inputs]
    ready = (np.moveaxis(y, p.axis, 0) for y, p in zip(made.ready, stream.outputs, strict=True))
    return KnownAnswer(inputs, crc_of(ready), pushes)
