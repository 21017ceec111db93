# SPDX-License-Identifier: Apache-2.0
"""Agreement of model.int8.onnx in onnxruntime with the reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module

import numpy as np

from myoedge.backends.build import Build
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_int
from myoedge.quantization.fidelity import Noise
from myoedge.quantization.sqnr import quantized_inputs, real_values

AGREES_DB = 40.0  # a difference of single steps
DIFFERS_DB = 20.0  # differences that grow through tens of layers, as in ALBERT: 25.9 dB
ONNX_TYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(uint8)": "uint8"}


def check_comparable(build: Build) -> None:
    """Raise E204 for a build of a stream, E501 if onnxruntime is not installed."""
    if build.stream is not None:
        title = "onnxruntime is compared on builds without --stream"
        raise MyoedgeError("E204", title, {"has": "host, simulator, gvsoc"})
    try:
        import_module("onnxruntime")
    except ImportError:
        tries = ["pip install onnxruntime"]
        raise MyoedgeError("E501", "onnxruntime is not installed", tries=tries) from None


def onnx_agreement_db(build: Build, samples: Mapping[str, Array]) -> float | None:
    """Return the SQNR in dB between model.int8.onnx in onnxruntime and the reference, over all
    float outputs; None without a signal.

    samples   input name -> float [samples, *shape]
    The mean over samples, or over the values of a single sample, does not count as signal, because
    other weights may give the same mean. Differences of one rounding step are normal and accumulate
    with depth; equality is not expected. Errors: as check_comparable.
    """
    check_comparable(build)
    q, noise = build.network, Noise()
    count = len(next(iter(samples.values())))
    each = [{name: x[i] for name, x in samples.items()} for i in range(count)]
    columns = zip(*_run_onnxruntime(build.written("model.int8.onnx"), each), strict=True)
    expected = []  # dequantised to floats
    for sample in each:
        values = run_int(q.steps, q.constants, quantized_inputs(q, sample))
        expected.append({name: real_values(q, name, values[name]) for name in q.graph.outputs})
    for name, found in zip(q.graph.outputs, columns, strict=True):
        if name in q.params:
            exact = np.stack([outputs[name] for outputs in expected])
            mean = exact.mean(axis=0 if count > 1 else None) if exact.size > 1 else 0.0
            noise.add(exact - mean, np.stack(found) - mean)
    return noise.db


def _run_onnxruntime(model: bytes, samples: Iterable[Mapping[str, Array]]) -> Iterator[list[Array]]:
    """Yield the float outputs of model.int8.onnx in onnxruntime for each float sample.

    Graph optimisations are off, because fused int8 kernels may saturate between operators.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    types = {port.name: ONNX_TYPES[port.type] for port in session.get_inputs()}
    for sample in samples:
        feed = {name: np.asarray(sample[name], dtype) for name, dtype in types.items()}
        yield session.run(None, feed)
