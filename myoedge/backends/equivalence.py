# SPDX-License-Identifier: Apache-2.0
"""Equivalence check: reference, C on the host, and firmware on simulators and boards, bit for
bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from myoedge.backends import gvsoc, gvsoc_sdk, host, jtag, openocd
from myoedge.backends.build import Build
from myoedge.backends.measurement import Measurement
from myoedge.backends.names import BACKENDS
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.embedding.definition import id_limits
from myoedge.operators.interpreter import one_blas_thread, run_int
from myoedge.quantization.evaluation import GIVEN, Evaluation, evaluate
from myoedge.quantization.recordings.reading import Reading, no_labels
from myoedge.quantization.recordings.recorded import windowed
from myoedge.quantization.recordings.sources import AS_GIVEN, read
from myoedge.quantization.samples import Data, Given, fit, label_as_input
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import quantized_inputs, real_values
from myoedge.streaming.stream import (
    Stream,
    firmware_head,
    first_frames,
    frames_of_pass,
    graph_of_length,
    padded_outputs,
    passes,
    zero_padded,
)


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference between a backend and the reference.

    backend         name of the backend
    sample          number of the sample
    layer           index of the layer in network.c; the number of layers for the copy of an output
    name            name of the tensor
    where           module path, operator and source line
    index           index of the element in the tensor
    expected, got   its integer in the reference and on the backend
    """

    backend: str
    sample: int
    layer: int
    name: str
    where: str
    index: tuple[int, ...]
    expected: int
    got: int


PASSES = 4  # of the golden sample of a stream, if a pass takes long

Sample = Mapping[str, Array]  # integer inputs by name; for a stream any number of frames
Layers = Mapping[int, bytes]  # what each layer wrote, by its number; empty: not to be seen
Written = tuple[Layers, Sequence[Array]]  # and the outputs


@dataclass(frozen=True)
class Case:
    """A test vector: the inputs of one run, and the results of the reference.

    given     input arrays, in the order of the call
    values    reference value of every tensor
    outputs   expected outputs
    number    number of the pass since the reset; 0 for a sample
    """

    given: Sequence[Array]
    values: Mapping[str, Array]
    outputs: Sequence[Array]
    number: int = 0


if TYPE_CHECKING:
    from myoedge.backends.board import BoardRun

Pairs = Generator[tuple[Case, Written]]


def cases(network: QuantGraph, stream: Stream | None, samples: Iterable[Sample]) -> Iterator[Case]:
    """Run the reference on all samples; yield one case per sample or pass."""
    for sample in samples:
        if stream is None:
            values = run_int(network.steps, network.constants, sample)
            given = [sample[name] for name in network.graph.inputs]
            yield Case(given, values, [values[name] for name in network.graph.outputs])
            continue
        for one in passes(stream, sample):
            outputs = padded_outputs(stream, one.ready)
            yield Case(frames_of_pass(stream, one), one.values, outputs, one.number)


def chip_inputs(stream: Stream | None, runs: Sequence[Case]) -> list[Sequence[Array]]:
    """Return the inputs for input.bin, run by run, in the order in which the firmware reads
    them."""
    given = [run.given for run in runs]
    if stream is None or not given:
        return given
    return [[firmware_head([run.number for run in runs]), *given[0]], *given[1:]]


def board_runs(stream: Stream | None, runs: Sequence[Case]) -> list[BoardRun]:
    """Return the inputs that are sent to a board, run by run."""
    from myoedge.backends.board import BoardRun

    if stream is None:
        return [BoardRun([run.given]) for run in runs]
    count = len(stream.inputs)
    return [
        BoardRun(
            [run.given[at : at + count] for at in range(0, len(run.given), count)],
            restarts=run.number == 0,
        )
        for run in runs
    ]


def random_samples(q: QuantGraph, stream: Stream | None, count: int) -> Iterator[Sample]:
    """Return random integer inputs: samples, or for a stream passes of one sample.

    Values cover the type's full range, or the valid values; the type's edge values are drawn more
    often.
    """
    rng, lengths = np.random.default_rng(0), {}
    if stream is not None:
        frames, count = count * stream.frames - stream.early, 1
        lengths = {port.name: (port.axis, frames) for port in stream.inputs}
    for _ in range(count):
        sample = {}
        for name in lengths or q.graph.inputs:
            shape, dtype = [*q.graph.shape(name)], q.dtype(name)
            if name in lengths:
                axis, shape[axis] = lengths[name]
            low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
            first, last = id_limits(q.graph, name) or (low, high)
            values = rng.integers(first, last + 1, shape, dtype)
            edges = rng.choice(np.array([low, high], dtype), shape)
            sample[name] = np.where(rng.random(shape) < 0.1, edges, values)
        yield sample


def real_samples(q: QuantGraph, inputs: Mapping[str, Array]) -> Iterable[Sample]:
    """Return float samples [samples, *shape], quantised as on the host."""
    count = len(next(iter(inputs.values())))
    return (quantized_inputs(q, {name: x[i] for name, x in inputs.items()}) for i in range(count))


def golden_sample(build: Build, short: bool = False) -> Sample:
    """Return the golden sample as integers.

    short   whether to return only the first passes of a stream
    """
    sample, stream = quantized_inputs(build.network, build.golden_inputs), build.stream
    return first_frames(stream, PASSES, sample) if stream and short else sample


def given_samples(build: Build, given: Data | None) -> Iterable[Sample]:
    """Return the user's samples as integers."""
    return () if given is None else real_samples(build.network, given.inputs)


def real_inputs(build: Build, given: Data | None) -> dict[str, Array]:
    """Return the golden sample and the user's samples as floats [samples, *shape], by input
    name."""
    golden = {name: x[None] for name, x in build.golden_inputs.items()}
    if given is None:
        return golden
    return {name: np.concatenate([x, given.inputs[name]]) for name, x in golden.items()}


def given_data(
    build: Build, given: Given, reading: Reading = AS_GIVEN, *, needs_labels: bool = False
) -> Data:
    """Read the user's samples as floats with their labels: whole samples, or streams of any length.

    reading        settings for reading them
    needs_labels   whether labels that do not match the network are an error; otherwise they are
                   dropped

    States in a calibration file are ignored for a stream, which computes its own. Errors: as read,
    windowed and fit; E211 no labels if they are needed.
    """
    stream, graph = build.stream, build.network.graph
    data = label_as_input(read(given, reading), graph)
    inputs = {name: x for name, x in data.inputs.items() if name not in build.given_states}
    if stream is None:
        return _fitted(windowed(data, graph, reading), graph, reading, needs_labels)
    data = replace(data, inputs=inputs or data.inputs)
    long = graph_of_length(stream, data.inputs)
    is_whole = all(long.shape(name) == graph.shape(name) for name in graph.inputs)
    labels = data.labels if is_whole else None
    return _fitted(replace(data, labels=labels), long, reading, needs_labels)


def _fitted(data: Data, graph: Graph, reading: Reading, needs_labels: bool) -> Data:
    if needs_labels and data.labels is None:
        raise no_labels(data.source, [*data.inputs], data.columns)
    unlabelled = fit(replace(data, labels=None), graph)
    try:
        return fit(data, graph)
    except MyoedgeError:  # of the labels
        if needs_labels:
            raise
    return unlabelled


def evaluated_outputs(
    build: Build, data: Data, outputs: Sequence[Sequence[Array]] | None = None, role: str = GIVEN
) -> Evaluation | None:
    """Compare a build's outputs with the labels of samples; None without labels.

    outputs   integers of every sample; None: run the generated C, or for a stream the reference on
              whole samples
    role      as Evaluation.data
    """
    if data.labels is None:
        return None
    q = build.network
    if outputs is None:
        outputs = [*_whole_outputs(build, real_samples(q, data.inputs))]
    rows = [
        [real_values(q, name, y) for name, y in zip(q.graph.outputs, sample, strict=True)]
        for sample in outputs
    ]
    return evaluate(q.graph, data, None, rows, role)


def _whole_outputs(build: Build, samples: Iterable[Sample]) -> Iterator[Sequence[Array]]:
    q = build.network
    for sample in samples:
        if build.stream is None:
            yield build.run_raw([sample[name] for name in q.graph.inputs])
        else:
            values = run_int(q.steps, q.constants, sample)
            yield [values[name] for name in q.graph.outputs]


def all_samples(
    build: Build, random: int, given: Data | None = None, *, short: bool = False
) -> Iterator[Sample]:
    """Yield the golden sample, the user's samples and random ones; for a stream, their passes.

    random   number of random samples
    short    whether to yield only the first passes of the golden sample
    """
    yield golden_sample(build, short)
    yield from given_samples(build, given)
    yield from random_samples(build.network, build.stream, random)


def first_difference(
    build: Build, samples: Iterable[Sample], backend: str = "host"
) -> tuple[int, Difference | None]:
    """Compare a backend's outputs with the reference; return the number of samples compared, and
    the first difference or None."""
    count = 0
    with one_blas_thread():
        runs = cases(build.network, build.stream, samples)
        run = _on_host if backend == "host" else partial(_on_chip, backend=backend)
        with closing(run(build, runs)) as pairs:
            for case, written in pairs:
                difference = _compare(build, backend, case, written, count)
                count += 1
                if difference is not None:
                    return count, difference
    return count, None


def same_outputs(runs: Sequence[Case], measured: Measurement) -> bool:
    """Return whether every inference gave the reference's integers."""
    pairs = zip(runs, measured.inferences, strict=True)
    return all(
        np.array_equal(expected, output)
        for case, inference in pairs
        for expected, output in zip(case.outputs, inference.outputs, strict=True)
    )


def _compare(
    build: Build, backend: str, case: Case, written: Written, number: int
) -> Difference | None:
    q = build.network
    layers, outputs = written
    _check_sizes(build, layers)
    rows: list[tuple[int, str, Array, Array]] = [
        (i, n, case.values[n], np.frombuffer(layers[i], q.dtype(n)).reshape(q.graph.shape(n)))
        for i, n in enumerate(build.layer_names)
        if i in layers
    ]
    last, names = len(build.layer_names), q.graph.outputs[: len(case.outputs)]
    given = zip(names, case.outputs, outputs, strict=True)
    rows += [(last, name, expected, got) for name, expected, got in given]
    for layer, name, expected, got in rows:
        if not np.array_equal(got, expected):
            index = tuple(int(i) for i in np.argwhere(expected != got)[0])
            values = int(expected[index]), int(got[index])
            node = q.graph.producer.get(name)
            where = node.where if node is not None else name
            return Difference(backend, number, layer, name, where, index, *values)
    return None


def _check_sizes(build: Build, layers: Layers) -> None:
    q, names = build.network, enumerate(build.layer_names)
    sizes = {
        index: math.prod(q.graph.shape(n)) * q.element_type(n).size_bytes for index, n in names
    }
    seen = {index: len(data) for index, data in layers.items()}
    if layers and not (seen.items() <= sizes.items() and seen.keys() >= build.regions.keys()):
        title = f"{build.folder.name}: the C does not write the layers of the plan"
        raise MyoedgeError("E222", title, tries=["myoedge build ... again"])


def _on_host(build: Build, runs: Iterable[Case]) -> Pairs:
    """Run on the host; yield outputs and the bytes of every layer. Threads with the same library
    wait, as its trace hook and stream states exist once."""
    library, specs = build.compiled("ME_TRACE"), build.given_specs
    with library.lock:
        for case in runs:
            with host.traced(library) as layers:
                outputs = _outputs_on_host(build, library, case)
            pairs = zip(outputs, specs, strict=True)
            yield case, (layers, [zero_padded(y, shape) for y, (shape, _) in pairs])


def _outputs_on_host(build: Build, library: host.Library, case: Case) -> Sequence[Array]:
    """The outputs of a sample; for a pass, the outputs that are ready after its last frame."""
    specs, l3, stream = build.given_specs, build.l3_image, build.stream
    if stream is None:
        return host.run(library, case.given, specs, l3=l3)
    if case.number == 0:
        host.reset(library)
    count = len(stream.inputs)
    frames = range(0, len(case.given), count)
    return [host.push(library, case.given[i : i + count], specs, l3=l3) for i in frames][-1]


def _on_chip(build: Build, runs: Iterable[Case], *, backend: str) -> Pairs:
    """Return the outputs and, for the simulator only, every layer's results."""
    listed = list(runs)
    if backend == "simulator":
        measured, _ = build.simulate(chip_inputs(build.stream, listed), keep_layers=True)
    else:
        measured = run_elsewhere(build, backend, listed)
    for case, inference in zip(listed, measured.inferences, strict=True):
        yield case, (inference.written, inference.outputs)


RUN_ON: Mapping[str, Callable[[Build, Sequence[Sequence[Array]]], Measurement]] = {
    "gvsoc": Build.run_on_gvsoc,
    gvsoc_sdk.NAME: Build.run_on_gvsoc_sdk,
    jtag.NAME: Build.run_over_jtag,
}


def run_elsewhere(build: Build, backend: str, runs: Sequence[Case]) -> Measurement:
    """Run inferences on GVSoC or on a board. Errors: as run_on_gvsoc, run_on_board.

    backend   its name
    """
    if backend == "board":
        return build.run_on_board(board_runs(build.stream, runs))
    return RUN_ON[backend](build, chip_inputs(build.stream, runs))


# Programs that a backend needs, looked for before anything takes time.
FIND: Mapping[str, Callable[[], object]] = {
    "gvsoc": gvsoc.find,
    gvsoc_sdk.NAME: gvsoc_sdk.find,
    jtag.NAME: openocd.find,
}


def check_backends(names: Sequence[str]) -> None:
    """Raise E204 for an unknown backend, E501 if a backend's tool is missing."""
    check_known(names, [*BACKENDS])
    for name in names:
        if name in FIND:
            FIND[name]()


def check_known(names: Sequence[str], known: Sequence[str]) -> None:
    """Raise E204 if no backend is given, or if one is not among `known`."""
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        title = f"there is no backend {', '.join(unknown) or '(none given)'}"
        raise MyoedgeError("E204", title, {"has": ", ".join(known)}, [f"--on {known[0]}"])
