# SPDX-License-Identifier: Apache-2.0
"""Builds without calibration samples: random samples, ranges of the model file, and the error
otherwise."""

from __future__ import annotations

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.operators.embedding import id_limits
from myoedge.quantization.samples import Data, window

RANDOM_SAMPLES = 64


def at_random(graph: Graph, count: int = RANDOM_SAMPLES) -> Data:
    """Return random samples for a first build: normal noise with a fixed seed, within the file's
    input ranges, and valid integers.

    Every report marks them as random.
    """
    rng = np.random.default_rng(0)
    inputs = {n: _draw_values(rng, graph, n, count) for n in graph.inputs}
    return Data(inputs, None, f"{count} random samples", is_random=True)


def _draw_values(rng: np.random.Generator, graph: Graph, name: str, count: int) -> Array:
    shape, limits = (count, *graph.shape(name)), id_limits(graph, name)
    if limits is None and graph.is_fake_quantized(name):
        return _scale_to_input_range(rng.random(shape), graph, name)
    if limits is None:
        return rng.standard_normal(shape, np.float32)
    return rng.integers(limits[0], limits[1] + 1, shape).astype(graph.tensors[name].dtype)


def _scale_to_input_range(shares: Array, graph: Graph, name: str) -> Array:
    """Map fractions 0 .. 1 to the input range of the model file, before the host's
    normalisation."""
    given, border = graph.given(name), graph.tensors[name].input_normalization
    assert given is not None, "a range of its own"
    params = given.params
    low, high = ((q - params.zero_point) * params.scale for q in (params.low, params.high))
    inside = low + shares * (high - low)
    undone = inside if border is None else np.stack([border.undo(sample) for sample in inside])
    return undone.astype(np.float32)


def need_none(graph: Graph) -> bool:
    """Return whether the model file specifies the parameters of all tensors, so that no samples are
    needed."""
    return bool(graph.has_fake_quantized) and not _uncalibrated_tensors(graph)


def _uncalibrated_tensors(graph: Graph) -> list[str]:
    """Return the float tensors to be calibrated, for which the file specifies no parameters."""
    floats = (name for name, tensor in graph.tensors.items() if tensor.dtype == "float32")
    return [name for name in floats if graph.given(name) is None]


def none_given(graph: Graph) -> MyoedgeError:
    """Return error E219 for missing samples, with code that creates a calibration file."""
    arrays = ", ".join(
        f"{name if len(graph.inputs) > 1 else 'input'}=windows" for name in graph.inputs
    )
    shape = ", ".join(map(str, window(graph.shape(graph.inputs[0]))))
    made = (graph.producer[name] for name in _uncalibrated_tensors(graph) if name in graph.producer)
    layers = list(dict.fromkeys(node.where for node in made)) if graph.has_fake_quantized else []
    return MyoedgeError(
        "E219",
        "there is nothing to calibrate with",
        {
            "needs": "some hundred real input windows",
            "has": "no --calib, no [calib], no example inputs",
            **({"in float": ", ".join(layers[:3])} if layers else {}),
        },
        [
            f"import numpy as np\nwindows = ...  # float32 [samples, {shape}], real recordings\n"
            f'np.savez("calib.npz", {arrays})',
            "myoedge build ... --calib calib.npz",
        ],
    )
