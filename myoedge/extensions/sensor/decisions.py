# SPDX-License-Identifier: Apache-2.0
"""Decisions of the NumPy reference on a recording, which the application must reproduce."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from myoedge.backends.packets import Decision, Flags
from myoedge.extensions.sensor.program import SensorProgram
from myoedge.extensions.sensor.wake import energies
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_int
from myoedge.streaming.stream import Stream, passes

if TYPE_CHECKING:
    from myoedge.quantization.scales import QuantGraph

RESTARTS = Flags.SAMPLES_LOST | Flags.PASSES_SKIPPED  # of decisions after a restart of the stream


@dataclass(frozen=True, slots=True)
class Expected:
    """The reference's decision on the samples of a recording up to `frame`.

    frame         number of its last sample
    class_index   class with the largest output; None if the output has no classes, or CTC has no
                  new symbol
    score         integer of that output
    values        integers of the first output
    is_resting    whether the network does not run, and `rest` is reported
    """

    frame: int
    class_index: int | None
    score: int
    values: tuple[int, ...]
    is_resting: bool = False

    def matches(self, found: Decision) -> bool:
        """Return whether a received packet contains this decision."""
        same = (found.frame, found.class_index, found.score, found.is_resting)
        is_same = same == (self.frame, self.class_index, self.score, self.is_resting)
        return is_same and found.values in ((), self.values)


@dataclass(frozen=True)
class Reference:
    """The reference of a sensor application on one recording.

    program    settings of the application
    network    the quantised network
    stream     its passes; None without a stream
    integers   [frames, channels] of the network's input
    known      outputs on windows that were computed already, by number of the last sample
    """

    program: SensorProgram
    network: QuantGraph
    stream: Stream | None
    integers: Array
    known: dict[int, list[Array]] = field(default_factory=dict, repr=False)

    @property
    def first_samples(self) -> int:
        """Number of samples until the first decision."""
        frames = 1 if self.stream is None else self.stream.first_frames
        return self.program.layout.samples + (frames - 1) * self.program.hop

    @property
    def remembers(self) -> bool:
        """Whether a decision depends on earlier windows or frames."""
        return self.stream is not None or self.program.gate is not None

    def decisions(self, first: int = 0) -> Iterator[Expected]:
        """Yield the reference's decisions in order.

        first   sample with which the signal begins
        """
        if self.stream is not None:
            yield from self._decisions_of_stream(self.stream, first)
            return
        window, hop = self.program.layout.samples, self.program.hop
        frames = range(first + window - 1, len(self.integers), hop)
        gate = self.program.gate
        if gate is None:
            yield from map(self.of_window, frames)
            return
        resting = gate.resting(map(self._gate_value, frames))
        for frame, rests in zip(frames, resting, strict=True):
            yield Expected(frame, gate.rest, 0, (), True) if rests else self.of_window(frame)

    def of_window(self, frame: int) -> Expected:
        """Return the decision of the network on the window whose last sample is `frame`."""
        return self._expected_decision(frame, self._outputs(frame)[0])

    def network_classes(self, rows: Sequence[Decision]) -> list[int | None]:
        """Return the class that the network decides on each decision's window, without a gate."""
        if self.program.gate is None:
            return [row.class_index for row in rows]
        return [self.of_window(row.frame).class_index for row in rows]

    def _gate_value(self, frame: int) -> int:
        """Return the gate's value of the window whose last sample is `frame`: energy or output."""
        gate = self.program.gate
        assert gate is not None, "called for programs with a gate"
        if gate.output is not None:
            return gate.output.value(self._outputs(frame)[gate.output.number])
        return int(energies(self._window(frame)[None], 1)[0])

    def _window(self, frame: int) -> Array:
        return self.integers[frame + 1 - self.program.layout.samples : frame + 1]

    def _outputs(self, frame: int) -> list[Array]:
        """Return the outputs of the network on a window, computed once for each."""
        if frame not in self.known:
            q, (name,) = self.network, self.network.graph.inputs
            x = self.program.layout.arranged(self._window(frame)).astype(q.dtype(name))
            values = run_int(q.steps, q.constants, {name: x.reshape(q.graph.shape(name))})
            self.known[frame] = [values[output] for output in q.graph.outputs]
        return self.known[frame]

    def _decisions_of_stream(self, stream: Stream, first: int) -> Iterator[Expected]:
        port, window, hop = stream.inputs[0], self.program.layout.samples, self.program.hop
        starts = range(first, len(self.integers) - window + 1, hop)
        if not starts:
            return
        shape = [*stream.network.graph.shape(port.name)]
        del shape[port.axis]
        arranged = [self.program.layout.arranged(self.integers[s : s + window]) for s in starts]
        frames = np.stack([x.reshape(shape) for x in arranged], port.axis)
        dtype = stream.network.dtype(port.name)
        for one in passes(stream, {port.name: frames.astype(dtype)}):
            ready = np.moveaxis(one.ready[0], stream.outputs[0].axis, 0)
            last = (one.number + 1) * stream.frames - stream.early - 1
            for at, values in enumerate(ready):
                frame = last - int((len(ready) - 1 - at) * stream.rate)
                yield self._expected_decision(first + frame * hop + window - 1, values)

    def _expected_decision(self, frame: int, output: Array) -> Expected:
        values = tuple(map(int, output.ravel()))
        if self.program.classes == "index":  # negative: a frame without a new symbol
            return Expected(frame, values[0] if values[0] >= 0 else None, 0, values)
        if self.program.classes == "none":
            return Expected(frame, None, 0, values)
        best = int(np.argmax(values))
        return Expected(frame, best, values[best], values)


@dataclass(frozen=True, slots=True)
class Compared:
    """Comparison of an application's decisions with the reference.

    wrong       (decision, expected decision) that differ; None: no decision is expected there
    missing     number of expected decisions that the application did not send
    """

    wrong: tuple[tuple[Decision, Expected | None], ...]
    missing: int


def compared(reference: Reference, found: Sequence[Decision], first: int = 0) -> Compared:
    """Compare the application's decisions (`found`) with the reference, as far as the recording
    reaches.

    first   sample of the recording with which the application began
    """
    frames = len(reference.integers)
    rows = [decision for decision in found if decision.frame < frames]
    whole = {expected.frame: expected for expected in reference.decisions(first)}
    pairs = _with_expected(reference, rows, whole, first)
    wrong = [(row, known) for row, known in pairs if known is None or not known.matches(row)]
    missing = len(whole.keys() - {row.frame for row in rows})
    return Compared(tuple(wrong), missing)


def _with_expected(
    reference: Reference, rows: Sequence[Decision], whole: Mapping[int, Expected], first: int
) -> Iterator[tuple[Decision, Expected | None]]:
    """Yield each decision with the expected one; None if none is expected there.

    whole   expected decisions of a run without gaps, by frame
    first   sample with which it begins
    """
    known, samples = whole, min(whole, default=first) - first
    for decision in rows:
        if reference.remembers and decision.flags & RESTARTS:
            known = {row.frame: row for row in reference.decisions(decision.frame - samples)}
        expected = known.get(decision.frame)
        if expected is None and not reference.remembers:
            expected = reference.of_window(decision.frame)
        yield decision, expected
