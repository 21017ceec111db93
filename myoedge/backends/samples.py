# SPDX-License-Identifier: Apache-2.0
"""Samples for the equivalence check: golden, random and user samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.embedding import id_limits
from myoedge.quantization.recordings.reading import Reading, no_labels
from myoedge.quantization.recordings.recorded import windowed
from myoedge.quantization.recordings.sources import AS_GIVEN, read
from myoedge.quantization.samples import Data, Given, fit, label_as_input
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import quantized_inputs
from myoedge.streaming.stream import Stream, first_frames, graph_of_length

if TYPE_CHECKING:
    from myoedge.backends.build import Build

PASSES = 4  # passes of the golden sample of a stream, if passes take long

Sample = Mapping[str, Array]  # integer inputs by name; for a stream, any number of frames


def random_samples(q: QuantGraph, stream: Stream | None, count: int) -> Iterator[Sample]:
    """Return random integer inputs: samples, or for a stream passes of one sample.

    Values cover the input's type, or its valid values; the smallest and largest are drawn more
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
    build: Build,
    given: Given,
    reading: Reading = AS_GIVEN,
    *,
    needs_labels: bool = False,
    any_length: bool = False,
) -> Data:
    """Read the user's samples as floats with their labels: whole samples, or streams of any length.

    reading        settings for reading the files
    needs_labels   whether labels that do not match the network are an error; otherwise they are
                   dropped
    any_length     whether labels of recordings of any length are kept, per recording or per output
    frame; otherwise only labels of recordings as long as a pass

    States in a calibration file are ignored for a stream, which computes its own. Errors: as read,
    windowed and fit; E211 no labels if they are needed, E254 labels of longer samples.
    """
    stream, graph = build.stream, build.network.graph
    data = label_as_input(read(given, reading), graph)
    inputs = {name: x for name, x in data.inputs.items() if name not in build.given_states}
    if stream is None:
        return _fit_samples(windowed(data, graph, reading), graph, reading, needs_labels)
    data = replace(data, inputs=inputs or data.inputs)
    if not any_length:
        data = _cut_into_passes(_as_stream_sample(data, graph, stream), graph, stream, needs_labels)
    return _fit_samples(data, graph_of_length(stream, data.inputs), reading, needs_labels)


def _cut_into_passes(data: Data, graph: Graph, stream: Stream, needs_labels: bool) -> Data:
    """Return samples of a stream, without their labels if they are not as long as a pass. Errors:
    E254 if these labels are needed."""
    long = graph_of_length(stream, data.inputs)
    if data.labels is None or all(long.shape(name) == graph.shape(name) for name in graph.inputs):
        return data
    if needs_labels:
        raise _unjudged_labels_error(data.source)
    return replace(data, labels=None)


def _as_stream_sample(data: Data, graph: Graph, stream: Stream) -> Data:
    """Return a recording [rows, channels] as one sample of the only input, with a frame per row;
    other data is returned unchanged."""
    if len(stream.inputs) != 1 or len(data.inputs) != 1 or len(data.lengths) > 1:
        return data
    ((name, x),), (port,) = data.inputs.items(), stream.inputs
    shape = graph.shape(port.name)
    frame = (*shape[: port.axis], *shape[port.axis + 1 :])
    if x.ndim != 2 or len(shape) < 3 or x.shape[1] != math.prod(frame):
        return data
    sample = np.moveaxis(x.reshape(len(x), *frame), 0, port.axis)[None]
    labels = None if data.labels is None else data.labels[None]
    return replace(data, inputs={name: sample}, labels=labels, lengths=())


def _unjudged_labels_error(source: str) -> MyoedgeError:
    """Return error E254 for labelled samples of a stream that are longer than a pass."""
    facts = {"needs": "samples as long as a pass, or the network over whole samples"}
    tries = [
        "build --stream with this test set: it measures the accuracy of every frame",
        "validate --input: the same samples, whose integers are compared",
    ]
    title = f"{source}: the build of a stream measures no accuracy over several passes"
    return MyoedgeError("E254", title, facts, tries)


def _fit_samples(data: Data, graph: Graph, reading: Reading, needs_labels: bool) -> Data:
    if needs_labels and data.labels is None:
        raise no_labels(data.source, [*data.inputs], data.columns)
    unlabelled = fit(replace(data, labels=None), graph)
    try:
        return fit(data, graph)
    except MyoedgeError:  # from the labels
        if needs_labels:
            raise
    return unlabelled


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
