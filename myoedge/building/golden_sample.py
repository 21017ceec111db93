# SPDX-License-Identifier: Apache-2.0
"""The golden sample of a build: its files, and the pass of a stream over it; and the check of every
stream that is built: its outputs, as a user decodes them, against the float network over the same
frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from myoedge.backends.build_folder import CALIBRATION
from myoedge.building.sample_statistics import described
from myoedge.building.stream_rate import in_windows
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import as_read, every_value, run_float, run_int
from myoedge.quantization.fidelity import Noise
from myoedge.quantization.files import npz
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import ROUNDED_DB, quantized_inputs, real_values
from myoedge.streaming.convert import frames_at_the_end
from myoedge.streaming.time_axis import follow_time

if TYPE_CHECKING:
    from myoedge.building.config_tables import StreamTable
    from myoedge.building.plans import BuildPlan
    from myoedge.building.quantized import Quantized
    from myoedge.building.request import BuildRequest
    from myoedge.streaming.stream import Stream, StreamRun

MOST_NOISE = 2.0  # of the whole network's: 3 dB; a causal stream has the same integers
NO_NOISE = 10.0 ** (-ROUNDED_DB / 10.0)  # share of the signal
MOST_WINDOWS = 4  # that are compared, as each is a run of the whole network


@dataclass(frozen=True, slots=True)
class _WholeRun:
    """A run of the whole network that gives frames of a stream.

    passes     numbers of the passes with these frames
    first      their first index in the network's outputs
    floats     inputs after the host's normalisation
    integers   quantised inputs
    """

    passes: Sequence[int]
    first: int
    floats: Mapping[str, Array]
    integers: Mapping[str, Array]


def check_agreement(
    stream: Stream,
    run: StreamRun,
    networks: tuple[Graph, QuantGraph],
    table: StreamTable,
    sample: Mapping[str, Array],
) -> None:
    """Check the outputs of a stream over a sample.

    run        the stream over the sample's frames
    networks   the whole network in floats and in integers
    sample     floats by input name
    Errors: E402 an output has twice the noise that it has in the network over whole samples.
    """
    graph, q = networks
    pairs = [(Noise(), Noise()) for _ in stream.outputs]
    late = _count_last_frames(stream, q, table)
    for whole in _whole_runs(stream, run, networks, table, sample):
        # The graph for inputs that are normalised already
        bare = {n: replace(t, input_normalization=None) for n, t in graph.tensors.items()}
        exact = run_float(replace(graph, tensors=bare), whole.floats)
        integers = run_int(q.steps, q.constants, whole.integers)
        for at, ((streamed, at_once), port) in enumerate(zip(pairs, stream.outputs, strict=True)):
            got = np.concatenate([run.ready[n][at] for n in whole.passes], port.axis)
            length = graph.shape(graph.outputs[at])[port.axis] - whole.first
            frames = range(min(got.shape[port.axis], length - late.get(q.graph.outputs[at], 0)))
            there = [whole.first + frame for frame in frames]
            wanted = np.take(exact[graph.outputs[at]], there, port.axis)
            of_whole = np.take(integers[q.graph.outputs[at]], there, port.axis)
            got = np.take(got, frames, port.axis)
            streamed.add(wanted, real_values(stream.network, port.name, got))
            at_once.add(wanted, real_values(q, q.graph.outputs[at], of_whole))
    for name, (streamed, at_once) in zip(q.graph.output_names, pairs, strict=True):
        if streamed.error > MOST_NOISE * at_once.error + NO_NOISE * streamed.signal:
            raise _difference_error(name, streamed, at_once)


def _count_last_frames(stream: Stream, q: QuantGraph, table: StreamTable) -> Mapping[str, int]:
    """Return, for tensors of the whole network, the number of last frames that a stream computes
    from more frames than the sample has; {} for windows and single steps."""
    if in_windows(table) or table.states:
        return {}
    axes = {port.name: port.axis for port in stream.inputs}
    return frames_at_the_end(q.graph, follow_time(q.graph, axes))


def _difference_error(name: str, streamed: Noise, at_once: Noise) -> MyoedgeError:
    has, needs = (f"{noise.db or 0.0:.1f} dB" for noise in (streamed, at_once))
    facts = {"needs": f"{needs}, as over whole samples", "has": f"{has} for output {name}"}
    tries = [
        "report it, with the model",
        "build without --stream: a call of the network then takes a window",
    ]
    title = "the stream's outputs are not those of the float network"
    return MyoedgeError("E402", title, facts, tries)


def _whole_runs(
    stream: Stream,
    run: StreamRun,
    networks: tuple[Graph, QuantGraph],
    table: StreamTable,
    sample: Mapping[str, Array],
) -> Iterator[_WholeRun]:
    """Yield the runs of the whole network that give the stream's frames; of overlapping windows
    some, spread over the sample."""
    whole = _run_of_sample(run, networks, table, sample)
    passes = whole.passes
    if not in_windows(table):
        yield from [whole] if passes else []
        return
    windows = np.linspace(0, len(passes) - 1, min(len(passes), MOST_WINDOWS)).astype(int)
    port = stream.inputs[0]
    frames = networks[0].shape(port.name)[port.axis]
    known = frames - stream.future  # frames with outputs that follow
    for number in (passes[at] for at in windows):
        first = known - run.ready[number][0].shape[stream.outputs[0].axis]
        yield _run_of_pass(stream, replace(whole, passes=[number], first=first))


def _run_of_sample(
    run: StreamRun,
    networks: tuple[Graph, QuantGraph],
    table: StreamTable,
    sample: Mapping[str, Array],
) -> _WholeRun:
    """Return the run of the whole network over a sample, with states of 0."""
    graph, q = networks
    states = table.states or {}
    given = {name: np.zeros_like(x) if name in states else x for name, x in sample.items()}
    floats = {name: as_read(graph, name, x) for name, x in given.items()}
    passes = [number for number, ready in enumerate(run.ready) if ready[0].size]
    return _WholeRun(passes, 0, floats, quantized_inputs(q, given))


def _run_of_pass(stream: Stream, whole: _WholeRun) -> _WholeRun:
    """Return a run over the window of its only pass instead of the sample."""
    zeros, fills = dict.fromkeys(whole.floats, 0), {p.name: p.fill for p in stream.inputs}
    floats, integers = (
        _pass_window(stream, sample, whole.passes[0], before)
        for sample, before in ((whole.floats, zeros), (whole.integers, fills))
    )
    return replace(whole, floats=floats, integers=integers)


def _pass_window(
    stream: Stream, sample: Mapping[str, Array], number: int, fills: Mapping[str, int]
) -> dict[str, Array]:
    """Return the window of a pass: as many frames as the sample has, up to the last of the pass,
    with `fills` before frame 0."""
    windows = {}
    for port in stream.inputs:
        x, axis = sample[port.name], port.axis
        before, end = x.shape[axis] - port.frames, (number + 1) * port.frames
        pads = [(before * (d == axis), 0) for d in range(x.ndim)]
        padded = np.pad(x, pads, constant_values=fills[port.name])
        windows[port.name] = np.take(padded, range(end - port.frames, end + before), axis)
    return windows


GoldenRun = tuple[Mapping[str, Array], Mapping[str, Array]]  # integers: inputs, all tensors


def last_run(
    build_plan: BuildPlan, quantized: Quantized, request: BuildRequest, whole: GoldenRun
) -> GoldenRun:
    """Return the run of the golden sample that the generated C repeats: of a stream the last pass.

    whole   the sample in the network over whole samples
    Errors: as check_agreement.
    """
    stream, table = build_plan.stream, request.frames
    if stream is None or table is None:
        return whole
    golden = {name: x[0] for name, x in quantized.samples.given.inputs.items()}
    from myoedge.codegen.known_answer import sample_run

    run = sample_run(stream, golden)
    networks = (quantized.model.graph, quantized.network)
    check_agreement(stream, run, networks, table, golden)
    return run.last.sample, run.last.values


def golden_files(
    quantized: Quantized, integers: Mapping[str, Array], values: Mapping[str, Array]
) -> dict[str, bytes]:
    """Return the golden sample's files (integer inputs, expected outputs) and the digests of the
    calibration samples."""
    graph = quantized.network.graph
    real = {name: x[0] for name, x in quantized.samples.given.inputs.items()}
    inputs = {**real, **{f"{name}.q": x for name, x in integers.items()}}
    floats, outputs = every_value(graph, real), dict[str, Array]()
    for name, shown in zip(graph.outputs, graph.output_names, strict=True):
        outputs |= {shown: floats[name], f"{shown}.q": values[name]}
    known = described(quantized.model, quantized.samples.given)
    kept = {CALIBRATION: npz(known)} if known else {}
    return {"golden/input.npz": npz(inputs), "golden/output.npz": npz(outputs), **kept}
