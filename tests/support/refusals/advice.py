# SPDX-License-Identifier: Apache-2.0
"""Networks that follow a refusal's advice: their samples, and what 8 bits leave of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import myoedge
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.fidelity import Noise
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import measure

COUNT = 8  # samples


def samples_of(inputs: Sequence[Array]) -> list[Array]:
    """Around the inputs' own values; whole numbers as they are."""
    rng = np.random.default_rng(0)
    return [
        np.repeat(x[None], COUNT, 0)
        if x.dtype.kind != "f" or (x == np.rint(x)).all()
        else np.float32(x * rng.uniform(0.9, 1.1, (COUNT, *x.shape)))
        for x in inputs
    ]


def sqnr_db(graph: Graph, samples: Mapping[str, Array]) -> float | None:
    """None of a network that only moves its input."""
    network = quantize_graph(graph, calibrate(graph, samples, Observer(), "drawn"))
    return measure(network, samples).worst_db


def built_db(
    model: Path, calib: Mapping[str, Array], meant: Callable[..., Any], folder: Path
) -> float | None:
    """SQNR of a build's C on the host against what its network means; None without noise.

    meant   results of one sample of every input, an array or a list of them
    """
    build = myoedge.build(model, calib=dict(calib), output=folder)
    noise = Noise()
    for one in zip(*calib.values(), strict=True):
        found = build.run(dict(zip(calib, one, strict=True)))
        wanted = meant(*one)
        both = (list(x) if isinstance(x, list | tuple) else [x] for x in (found, wanted))
        for mine, theirs in zip(*both, strict=True):
            noise.add(np.float64(theirs), mine)
    return noise.db
