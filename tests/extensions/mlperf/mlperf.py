# SPDX-License-Identifier: Apache-2.0
"""Data sets of MLPerf Tiny's tasks, and what the reference makes of their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from myoedge.backends.build import Build
from myoedge.building.config import Found
from myoedge.building.config_tables import Config
from myoedge.extensions.mlperf.application import Dataset
from myoedge.numerics.arrays import Array

IMAGES_LAST = [0, 2, 3, 1]

# As the reference submissions have them; keyword spotting's input is that of kws_ref_model.tflite.
DATASETS = {
    "ad": Dataset("ad01", "float32"),
    "ic": Dataset("ic01", "uint8", axes=IMAGES_LAST),
    "kws": Dataset("kws01", "int8", 0.5847029089927673, 83),
    "vww": Dataset("vww01", "uint8", 1 / 255, axes=IMAGES_LAST),
}


def settings(dataset: Dataset) -> Found:
    return Found(Config(tables={"mlperf": dataset}), Path())


def real_values(dataset: Dataset, data: bytes, shape: Sequence[int]) -> Array:
    """The real numbers of a file in the order of the network's input."""
    values = np.frombuffer(data, dataset.input).astype(np.float64)
    if dataset.input != "float32":
        values = (values - dataset.zero_point) * dataset.scale
    order = dataset.axes or [*range(len(shape))]
    return np.transpose(values.reshape([shape[a] for a in order]), np.argsort(order))


def network_input(build: Build, real: Array) -> Array:
    (name,) = build.network.graph.inputs
    return build.network.input_integers(name, real.astype(np.float32))
