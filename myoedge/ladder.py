# SPDX-License-Identifier: Apache-2.0
"""The ladder of exactness: the reference = C on the host = firmware on simulators, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.built import Build
from myoedge.errors import MyoedgeError
from myoedge.ir import Array
from myoedge.quant.choose import QuantGraph
from myoedge.quant.sqnr import Noise, quantized_inputs, real_values
from myoedge.reference import one_blas_thread, run_integer
from myoedge.run import gvsoc, host, ort
from myoedge.samples import Given, fit, read


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


Sample = Mapping[str, Array]  # integer inputs by name


def random_samples(q: QuantGraph, count: int, seed: int = 0) -> Iterable[Sample]:
    """Integer inputs over the whole range, edge values more often than chance has them."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield {name: _noise(rng, q.graph.shape(name), q.dtype(name)) for name in q.graph.inputs}


def _noise(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    values = rng.integers(low, high + 1, shape, dtype)
    edges = rng.choice(np.array([low, high], dtype), shape)
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
    more = given_inputs(build, given)
    return {name: np.concatenate([x, more[name]]) for name, x in golden.items()}


def given_inputs(build: Build, given: Given) -> Mapping[str, Array]:
    """What a person gives, as floats [samples, *shape] by input name."""
    return fit(read(given), build.network.graph).inputs


def all_samples(build: Build, random: int, given: Given | None = None) -> Iterator[Sample]:
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


def first_difference(
    build: Build, samples: Iterable[Sample], rung: str = "host"
) -> tuple[int, Difference | None]:
    """(samples compared, the first difference): generated C on a rung against the reference."""
    count = 0
    with one_blas_thread():
        for sample, found in RUNGS[rung](build, samples):
            difference = _compare(build, rung, sample, found, count)
            count += 1
            if difference is not None:
                return count, difference
    return count, None


def _compare(
    build: Build, rung: str, sample: Sample, found: Found, number: int
) -> Difference | None:
    q = build.network
    wanted = run_integer(q.steps, q.constants, sample)
    layers, outputs = found
    _check_sizes(build, layers)
    pairs: list[tuple[int, str, Array]] = [
        (i, name, np.frombuffer(layers[i], q.dtype(name)).reshape(q.graph.shape(name)))
        for i, name in enumerate(build.layer_names)
        if i in layers
    ]
    last = len(build.layer_names)
    pairs += [(last, name, y) for name, y in zip(q.graph.outputs, outputs, strict=True)]
    for layer, name, got in pairs:
        if not np.array_equal(got, wanted[name]):
            return _difference(q, rung, layer, name, wanted[name], got, number)
    return None


def _check_sizes(build: Build, layers: Layers) -> None:
    q = build.network
    sizes = [math.prod(q.graph.shape(n)) * _bytes(q, n) for n in build.layer_names]
    wanted = {index: sizes[index] for index in build.regions}
    if layers and {index: len(data) for index, data in layers.items()} != wanted:
        title = f"{build.folder.name}: the C does not write the layers of the plan"
        raise MyoedgeError("E222", title, tries=["myoedge build ... again"])


def _bytes(q: QuantGraph, name: str) -> int:
    return np.dtype(q.dtype(name)).itemsize


Layers = Mapping[int, bytes]  # what each layer wrote, by its number; empty: not to be seen
Found = tuple[Layers, Sequence[Array]]  # and the outputs
Pairs = Iterator[tuple[Sample, Found]]


def _on_host(build: Build, samples: Iterable[Sample]) -> Pairs:
    traced = build.compiled("ME_TRACE")
    for sample in samples:
        yield (
            sample,
            host.run_traced(traced, build.in_order(sample), build.output_specs, build.l3_image),
        )


def _on_simulator(build: Build, samples: Iterable[Sample]) -> Pairs:
    given = list(samples)
    inputs = [build.in_order(sample) for sample in given]
    measured, _ = build.simulate(inputs, keep_layers=True)
    for sample, inference in zip(given, measured.inferences, strict=True):
        yield sample, (inference.written, inference.outputs)


def _on_gvsoc(build: Build, samples: Iterable[Sample]) -> Pairs:
    given = list(samples)
    measured = build.run_on_gvsoc([build.in_order(sample) for sample in given])
    for sample, inference in zip(given, measured.inferences, strict=True):
        yield sample, ({}, inference.outputs)


RUNGS: Mapping[str, Callable[[Build, Iterable[Sample]], Pairs]] = {
    "host": _on_host,
    "simulator": _on_simulator,
    "gvsoc": _on_gvsoc,
}


def _difference(
    q: QuantGraph, rung: str, layer: int, name: str, wanted: Array, got: Array, sample: int
) -> Difference:
    index = tuple(int(i) for i in np.argwhere(wanted != got)[0])
    node = q.graph.producer.get(name)
    where = node.where if node is not None else name
    return Difference(rung, sample, layer, name, where, index, int(wanted[index]), int(got[index]))


def check_rungs(wanted: Sequence[str]) -> None:
    """Before anything takes time. Errors: E204 no such rung, E501 a tool it needs is missing."""
    unknown = [rung for rung in wanted if rung not in RUNGS]
    if unknown or not wanted:
        title = f"there is no rung {', '.join(unknown) or '(none given)'}"
        raise MyoedgeError("E204", title, {"has": ", ".join(RUNGS)}, ["--on host,simulator"])
    if "gvsoc" in wanted:
        gvsoc.find()
