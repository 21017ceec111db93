# SPDX-License-Identifier: Apache-2.0
"""The ladder of exactness: NumPy reference = C on the host, every layer, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from myoedge.built import Build
from myoedge.errors import MyoedgeError
from myoedge.ir import Array
from myoedge.quant.choose import QuantGraph
from myoedge.quant.sqnr import Noise, quantized_inputs, real_values
from myoedge.reference import one_blas_thread, run_integer
from myoedge.run import host, ort
from myoedge.samples import Given, fit, read

RUNGS = ("host",)


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where a rung and the reference disagree.

    layer   number of the operator in network.c; the number of layers for an output's copy
    where   module path, operator and source line
    """

    rung: str
    sample: int
    layer: int
    name: str
    where: str
    index: tuple[int, ...]
    expected: int
    got: int


Sample = Mapping[str, Array]  # int8 inputs by name


def random_samples(q: QuantGraph, count: int, seed: int = 0) -> Iterable[Sample]:
    """int8 inputs over the whole range, edge values more often than chance has them."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield {name: _noise(rng, q.graph.shape(name)) for name in q.graph.inputs}


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    values = rng.integers(-128, 128, shape, np.int8)
    edges = rng.choice(np.array([-128, 127], np.int8), shape)
    return np.where(rng.random(shape) < 0.1, edges, values)


def real_samples(q: QuantGraph, inputs: Mapping[str, Array]) -> Iterable[Sample]:
    """Float samples [samples, *shape] as the host quantises them."""
    count = len(next(iter(inputs.values())))
    return (quantized_inputs(q, {name: x[i] for name, x in inputs.items()}) for i in range(count))


def real_inputs(build: Build, given: Given | None) -> dict[str, Array]:
    """The golden sample, and those a person gives, as floats [samples, *shape]."""
    golden = {name: x[None] for name, x in build.golden_inputs.items()}
    if given is None:
        return golden
    more = fit(read(given), build.network.graph).inputs
    return {name: np.concatenate([x, more[name]]) for name, x in golden.items()}


def all_samples(build: Build, random: int, given: Given | None) -> Iterator[Sample]:
    """The golden sample, those a person gives, and random ones."""
    yield from real_samples(build.network, real_inputs(build, given))
    yield from random_samples(build.network, random)


def onnx_agreement_db(build: Build, samples: Mapping[str, Array]) -> float | None:
    """SQNR between onnxruntime on model.int8.onnx and the reference, over all float outputs.

    samples   float [samples, *shape] by input name
    Roundings differ by a step here and there and add up with depth: a figure, not an equality.
    """
    q, noise = build.network, Noise()
    count = len(next(iter(samples.values())))
    each = [{name: x[i] for name, x in samples.items()} for i in range(count)]
    judged = ort.outputs(ort.open_session(build.written("model.int8.onnx")), iter(each))
    for sample, found in zip(each, judged, strict=True):
        wanted = run_integer(q.steps, q.constants, quantized_inputs(q, sample))
        for name, values in zip(q.graph.outputs, found, strict=True):
            if name in q.params:
                noise.add(real_values(q, name, wanted[name]), values)
    return noise.db


def first_difference(build: Build, samples: Iterable[Sample]) -> tuple[int, Difference | None]:
    """(samples compared, the first difference): generated C on the host against the reference."""
    traced = build.compiled("ME_TRACE")
    count = 0
    with one_blas_thread():
        for sample in samples:
            found = _compare(build, traced, sample, count)
            count += 1
            if found is not None:
                return count, found
    return count, None


def _compare(build: Build, traced: host.Library, sample: Sample, number: int) -> Difference | None:
    q = build.network
    wanted = run_integer(q.steps, q.constants, sample)
    specs = [(q.graph.shape(name), q.dtype(name)) for name in q.graph.outputs]
    layers, outputs = host.run_traced(traced, [sample[n] for n in q.graph.inputs], specs)
    sizes = [math.prod(q.graph.shape(n)) for n in build.layer_names]
    if [len(layers.get(i, b"")) // _bytes(q, n) for i, n in enumerate(build.layer_names)] != sizes:
        title = f"{build.folder.name}: the C does not write the layers of the plan"
        raise MyoedgeError("E222", title, tries=["myoedge build ... again"])
    found = [
        np.frombuffer(layers[i], q.dtype(n)).reshape(q.graph.shape(n))
        for i, n in enumerate(build.layer_names)
    ]
    pairs = [
        *zip(build.layer_names, found, strict=True),
        *zip(q.graph.outputs, outputs, strict=True),
    ]
    for layer, (name, got) in enumerate(pairs):
        if not np.array_equal(got, wanted[name]):
            return _difference(q, layer, name, wanted[name], got, number)
    return None


def _bytes(q: QuantGraph, name: str) -> int:
    return np.dtype(q.dtype(name)).itemsize


def _difference(
    q: QuantGraph, layer: int, name: str, wanted: Array, got: Array, sample: int
) -> Difference:
    index = tuple(int(i) for i in np.argwhere(wanted != got)[0])
    node = q.graph.producer.get(name)
    where = node.where if node is not None else name
    return Difference(
        "host", sample, layer, name, where, index, int(wanted[index]), int(got[index])
    )
