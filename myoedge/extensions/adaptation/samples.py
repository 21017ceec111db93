# SPDX-License-Identifier: Apache-2.0
"""Features of calibration samples, stored for replay and used to choose the scaling exponent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.extensions.adaptation.record import MOST_FEATURES, label_at, pooled
from myoedge.numerics.arrays import Array, ceil_div
from myoedge.operators.interpreter import run_int
from myoedge.quantization.samples import Data
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import quantized_inputs
from myoedge.streaming.stream import Stream, passes

PROBED = 32  # samples that determine the exponent, if none are replayed


@dataclass(frozen=True)
class AdaptSource:
    """Source of the windows of an adaptation.

    network   the network; of a stream, of one pass
    stream    its passes are the windows; None: samples are windows
    data      calibration samples; for a stream recordings
    """

    network: QuantGraph
    stream: Stream | None
    data: Data

    def results(self, number: int) -> Iterator[tuple[int, Mapping[str, Array]]]:
        """Yield (output frames so far, all tensors) for a sample; for a stream, for each pass that
        gives output frames."""
        names = [port.name for port in self.stream.inputs] if self.stream else self.data.inputs
        sample = {name: self.data.inputs[name][number] for name in names}
        integers, q = quantized_inputs(self.network, sample), self.network
        if self.stream is None:
            yield 1, run_int(q.steps, q.constants, integers)
            return
        axis, ready = self.stream.outputs[0].axis, 0
        for one in passes(self.stream, integers):
            ready += one.ready[0].shape[axis]
            if one.ready[0].size:
                yield ready, one.values


@dataclass(frozen=True)
class FeatureLayer:
    """The layer whose averaged output is used as features.

    name        name of the output tensor
    positions   number of positions over which the output is averaged
    channels    number of channels per position
    """

    name: str
    positions: int
    channels: int

    @property
    def group(self) -> int:
        """Number of neighbouring channels that are averaged to one feature, so that there are at
        most MOST_FEATURES."""
        return ceil_div(self.channels, MOST_FEATURES)

    @property
    def features(self) -> int:
        return ceil_div(self.channels, self.group)


def features_of(
    source: AdaptSource, layer: FeatureLayer, classes: int, replayed: int
) -> tuple[Array, Array]:
    """Return int8 features [n, features] of calibration samples, and their classes [n].

    replayed   maximum number of windows, equally many per class; 0: features of a few samples,
               without classes
    """
    if not replayed:
        count = source.data.count
        rows = [
            row for n in _evenly_spaced(count, PROBED) for _, row in _feature_rows(source, n, layer)
        ]
        return np.array(rows), np.zeros(0, np.int64)
    kept = _features_by_class(source, layer, classes, replayed // classes)
    numbers = np.repeat(np.arange(classes), [len(of_class) for of_class in kept])
    return np.concatenate(kept), numbers


def _features_by_class(
    source: AdaptSource, layer: FeatureLayer, classes: int, each: int
) -> list[Array]:
    """Return the int8 features of each class, [n, features] with n at most `each`."""
    labels, found = _class_labels(source.data), [list[Array]() for _ in range(classes)]
    last = labels.reshape(len(labels), -1)[:, -1]  # a recording's class is that of its last frame
    rows_of = [np.flatnonzero(last == label) for label in range(classes)]
    for number in np.concatenate([rows[_evenly_spaced(len(rows), each)] for rows in rows_of]):
        ready = 1
        for ready, row in _feature_rows(source, int(number), layer):
            found[label_at(labels[number], ready)].append(row)
        _check_frames(source, labels, ready)
    kept = ([of_class[i] for i in _evenly_spaced(len(of_class), each)] for of_class in found)
    return [np.array(rows, np.int8).reshape(-1, layer.features) for rows in kept]


def _feature_rows(
    source: AdaptSource, number: int, layer: FeatureLayer
) -> Iterator[tuple[int, Array]]:
    """Yield (output frames so far, int8 features) for each window of a sample."""
    for ready, values in source.results(number):
        yield ready, pooled(values[layer.name].reshape(layer.positions, -1), layer.group)


def _class_labels(data: Data) -> Array:
    """Return the class of each sample, or of each recording's frames. Errors: E267 no classes."""
    labels = data.labels
    if labels is None or labels.dtype.kind != "i":
        title = "[adapt] replay needs calibration samples with classes"
        raise MyoedgeError("E267", title, {"has": data.source}, ["an array `label` in --calib"])
    return np.asarray(labels)


def _check_frames(source: AdaptSource, labels: Array, ready: int) -> None:
    """Raise E267 unless there is one class per sample, or one per output frame.

    ready   output frames of a sample; the last pass may be cut
    """
    columns = labels.size // len(labels)
    frames = 1 if source.stream is None else source.stream.outputs[0].frames
    if columns != 1 and not ready <= columns < ready + frames:
        needs = "[samples], a class of each" + f"; or [samples, {ready}], of each frame" * (
            ready > 1
        )
        facts = {"needs": needs, "has": f"label {[*labels.shape]}"}
        tries = ["label=label[:, -1]  (a class of each sample)"]
        raise MyoedgeError("E267", "[adapt] replay needs classes of samples", facts, tries)


def _evenly_spaced(count: int, wanted: int) -> Array:
    return np.unique(np.linspace(0, max(count - 1, 0), min(wanted, count)).round().astype(int))
