# SPDX-License-Identifier: Apache-2.0
"""Networks that are quantised already, in our integers, against their own values."""

from __future__ import annotations

from typing import Any

import numpy as np

from myoedge.frontend.torch.export import from_exported
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import dequantize
from myoedge.operators.interpreter import run_int
from myoedge.passes import prepare
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import QuantGraph, quantize_graph


def quantized(program: Any, example: Any) -> QuantGraph:
    """The network in integers; ranges that it might take from samples are wrong by far."""
    graph = prepare(from_exported(program))
    samples = {graph.inputs[0]: 1000.0 * example.numpy()[None]}
    return quantize_graph(graph, calibrate(graph, samples, Observer(), "test"))


def result(q: QuantGraph, x: Any) -> Any:
    """The output float32, of integers; x of torch."""
    return result_of(q, x.numpy())


def result_of(q: QuantGraph, x: Array) -> Array:
    (name,), (out,) = q.graph.inputs, q.graph.outputs
    found = run_int(q.steps, q.constants, {name: q.input_integers(name, x)})[out]
    return dequantize(found, q.params[out])


def largest_difference(q: QuantGraph, x: Any, wanted: Any) -> float:
    """In steps of the output."""
    far = np.abs(result(q, x) - wanted.detach().numpy())
    return float(far.max()) / q.params[q.graph.outputs[0]].scale
