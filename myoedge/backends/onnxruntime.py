# SPDX-License-Identifier: Apache-2.0
"""model.int8.onnx in onnxruntime, a second judge independent of our reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array


def outputs(model: bytes, samples: Iterable[Mapping[str, Array]]) -> Iterator[list[Array]]:
    """Float outputs of float samples given by input name.

    Without graph optimisations: fused int8 kernels may saturate between operators.
    Errors: E501 where onnxruntime is not installed.
    """
    try:
        import onnxruntime as ort
    except ImportError:
        tries = ["pip install onnxruntime"]
        raise MyoedgeError("E501", "onnxruntime is not installed", tries=tries) from None
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]
    for sample in samples:
        feed = {name: np.asarray(sample[name], np.float32) for name in names}
        yield session.run(None, feed)
