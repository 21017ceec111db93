# SPDX-License-Identifier: Apache-2.0
"""Bit-exact comparison of the C on the host, and of firmware on simulators and boards, with the
reference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myoedge.backends import gvsoc, host
from myoedge.backends.build import Build
from myoedge.backends.measurement import Measurement
from myoedge.backends.report_folder import damaged
from myoedge.backends.runner import Case, Layers, Pairs, Runner, Written, runner_of
from myoedge.backends.samples import Sample, real_samples
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import one_blas_thread, run_int
from myoedge.quantization.evaluation import GIVEN, Evaluation, evaluate
from myoedge.quantization.samples import Data
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import real_values
from myoedge.streaming.stream import (
    Stream,
    firmware_head,
    frames_of_pass,
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
    """Return the inputs of all runs for input.bin, in the order of the firmware's reads."""
    given = [run.given for run in runs]
    if stream is None or not given:
        return given
    return [[firmware_head([run.number for run in runs]), *given[0]], *given[1:]]


def evaluated_outputs(
    build: Build, data: Data, outputs: Sequence[Sequence[Array]] | None = None, role: str = GIVEN
) -> Evaluation | None:
    """Evaluate a build's outputs against the labels of samples; None without labels.

    outputs   integers of every sample; None: run the generated C, or for a stream the reference on
              whole samples
    role      as Evaluation.data
    """
    if data.labels is None:
        return None
    q = build.network
    if outputs is None:
        outputs = [*_integer_outputs(build, real_samples(q, data.inputs))]
    rows = [
        [real_values(q, name, y) for name, y in zip(q.graph.outputs, sample, strict=True)]
        for sample in outputs
    ]
    return evaluate(q.graph, data, None, rows, role)


def _integer_outputs(build: Build, samples: Iterable[Sample]) -> Iterator[Sequence[Array]]:
    q = build.network
    for sample in samples:
        if build.stream is None:
            yield build.run_raw([sample[name] for name in q.graph.inputs])
        else:
            values = run_int(q.steps, q.constants, sample)
            yield [values[name] for name in q.graph.outputs]


def first_difference(
    build: Build, samples: Iterable[Sample], backend: str = "host"
) -> tuple[int, Difference | None]:
    """Compare a backend's outputs with the reference; return the number of samples compared, and
    the first difference or None."""
    count = 0
    with one_blas_thread():
        runs = cases(build.network, build.stream, samples)
        with closing(runner_of(backend).pairs(build, runs)) as pairs:
            for case, written in pairs:
                difference = _find_difference(build, backend, case, written, count)
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


def _find_difference(
    build: Build, backend: str, case: Case, written: Written, number: int
) -> Difference | None:
    q = build.network
    layers, outputs = written
    _check_layer_sizes(build, layers)
    rows: list[tuple[int, str, Array, Array]] = [
        (i, n, case.values[n], np.frombuffer(layers[n], q.dtype(n)).reshape(q.graph.shape(n)))
        for i, n in build.results
        if n in layers
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


def _check_layer_sizes(build: Build, layers: Layers) -> None:
    q, names = build.network, [name for _, name in build.results]
    sizes = {n: math.prod(q.graph.shape(n)) * q.element_type(n).size_bytes for n in names}
    seen = {name: len(data) for name, data in layers.items()}
    needed = {name for results in build.regions.values() for name in results}
    if layers and not (seen.items() <= sizes.items() and seen.keys() >= needed):
        raise damaged(build.folder, ValueError("the C does not write the layers of the plan"))


def _run_on_host(build: Build, runs: Iterable[Case]) -> Pairs:
    """Yield each run's case, outputs and bytes written by each layer, on the host. Threads with the
    same library wait, as its trace hook and stream states exist once."""
    library, specs = build.compiled("ME_TRACE"), build.given_specs
    with library.lock:
        for case in runs:
            with host.traced(library) as layers:
                outputs = _host_outputs(build, library, case)
            pairs = zip(outputs, specs, strict=True)
            named = {build.results[number][1]: data for number, data in layers.items()}
            yield case, (named, [zero_padded(y, shape) for y, (shape, _) in pairs])


def _host_outputs(build: Build, library: host.Library, case: Case) -> Sequence[Array]:
    """Return the host's outputs for a sample; for a pass, those ready after its last frame."""
    specs, l3, stream = build.given_specs, build.host_image, build.stream
    if stream is None:
        return host.run(library, case.given, specs, l3=l3)
    if case.number == 0:
        host.reset(library)
    count = len(stream.inputs)
    frames = range(0, len(case.given), count)
    return [host.push(library, case.given[i : i + count], specs, l3=l3) for i in frames][-1]


def _measure_on_simulator(build: Build, runs: Sequence[Case]) -> Measurement:
    return build.simulate(chip_inputs(build.stream, runs), keep_layers=True)[0]


def _execute_on_simulator(build: Build, program: str, folder: Path) -> tuple[int, str]:
    from myoedge.simulator import read_elf, simulate

    name = f"{program}.elf"
    elf = read_elf(build.written(name), name)
    ended = simulate(elf, folder=folder, max_cycles=1 << 40)
    return ended.exit_code, ended.output


def _measure_on_gvsoc(build: Build, runs: Sequence[Case]) -> Measurement:
    return build.run_on_gvsoc(chip_inputs(build.stream, runs))


HOST = Runner(compare=_run_on_host)
SIMULATOR = Runner(measure=_measure_on_simulator, execute=_execute_on_simulator)
GVSOC = Runner(measure=_measure_on_gvsoc, find=gvsoc.find)


def check_known(names: Sequence[str], known: Sequence[str]) -> None:
    """Raise E204 if `names` is empty or has a name that is not in `known`."""
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        title = f"there is no backend {', '.join(unknown) or '(none given)'}"
        raise MyoedgeError("E204", title, {"has": ", ".join(known)}, [f"--on {known[0]}"])
