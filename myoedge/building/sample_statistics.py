# SPDX-License-Identifier: Apache-2.0
"""Statistics of samples by which likely mistakes show: another scale than in training, a few loud
samples, reshaped axes, samples of the test set among those of the calibration."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from myoedge.building.loading import Model
from myoedge.errors import and_more
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.quantization.samples import Data

LOOKED_AT = 8  # samples whose scale is checked
TOO_LARGE, TOO_SMALL = 20.0, 1 / 40  # standard deviations after a batch norm; near 1 in training
OTHER_SCALE = 30.0  # ratio of standard deviations, samples to example inputs, or its inverse
LEAST_VALUES = 2000  # values needed to judge the order of axes
UNEQUAL = 0.05  # variance of the channels' log power: they differ by a fifth or more
CLEARLY = 20.0  # required ratio of the variances in both orders of axes
LOUD, FEW_LOUD = 1e3, 0.05  # ratio to the usual maximum; share of such samples
MOST_NAMED = 3
BETTER = 1.5  # times less spread within channels, if these are the longer axis


def times_training(model: Model, given: Data) -> tuple[float, str]:
    """Return (ratio, reference): standard deviation of the samples relative to the training set
    (from a batch norm) or to the example inputs; 1 if close or unknown."""
    if not all(x.size and np.ptp(x) for x in given.inputs.values()) or loud(given):
        return 1.0, ""  # W201, or only a few samples
    norm = _first_batch_norm(model.imported)
    if norm is not None and model.imported.inputs == model.graph.inputs:
        deviation = _deviation_after_norm(model.imported, norm, given)
        factor = 1.0 if TOO_SMALL <= deviation <= TOO_LARGE else deviation
        evidence = (
            f"the standard deviation after {norm.name} is {deviation:.2g}, after training about 1"
        )
    else:
        factor = _ratio_to_examples(model, given)
        factor = factor if max(factor, 1 / max(factor, 1e-30)) > OTHER_SCALE else 1.0
        evidence = f"the deviation is {factor:.2g} times that of the export's example input"
    return (factor if 0.0 < factor < math.inf else 1.0), evidence


def times_known(known: Mapping[str, Array], given: Data) -> float:
    """Return the ratio of standard deviations, samples to training, of the first input with a ratio
    far from 1."""
    pairs = ((known.get(f"deviation.{name}"), x) for name, x in given.inputs.items())
    ratios = [_standard_deviation(x) / float(expected) for expected, x in pairs if expected]
    far = (x for x in ratios if 0.0 < x < math.inf and not 1 / OTHER_SCALE < x < OTHER_SCALE)
    return 1.0 if loud(given) else next(far, 1.0)


def loud(given: Data) -> str:
    """Return the remedy to leave out a few samples if they are much larger than the rest, or ""."""
    peaks = [np.abs(x.reshape(given.count, -1)).max(1) for x in given.inputs.values() if x.size]
    peak = np.max(np.array(peaks, np.float64), axis=0) if peaks else np.zeros(0)
    usual = float(np.median(peak)) if len(peak) else 0.0
    places = np.flatnonzero(peak > LOUD * usual)
    if not usual or not 0 < len(places) <= max(FEW_LOUD * given.count, 1):
        return ""
    named = f"sample{'s' * (len(places) > 1)} {and_more([*map(str, places)], MOST_NAMED)}"
    reached = f"values up to {peak.max():.2g}, most samples up to {usual:.2g}"
    return f"leave out {named}: {reached}"


def _first_batch_norm(graph: Graph) -> Node | None:
    """Return the first batch norm with statistics per channel."""
    for node in graph.nodes:
        if node.op == "affine" and node.inputs[1] in graph.constants:
            scale = graph.array(node.inputs[1])
            if scale.size > 1 and np.ptp(scale) > 0:
                return node
    return None


def _deviation_after_norm(graph: Graph, norm: Node, given: Data) -> float:
    """Return the median over channels of the standard deviation after a norm, for a few samples."""
    nodes = graph.nodes[: graph.nodes.index(norm) + 1]
    part = replace(graph, nodes=nodes, outputs=(norm.name,), output_names=(norm.name,))
    places = np.linspace(0, given.count - 1, min(LOOKED_AT, given.count)).round().astype(int)
    axis = int(norm.attrs["axis"])
    seen = []
    for place in places:
        values = run_float(part, {name: x[place] for name, x in given.inputs.items()})[norm.name]
        seen.append(np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1))
    return float(
        np.median([_standard_deviation(channel) for channel in np.concatenate(seen, axis=1)])
    )


def _ratio_to_examples(model: Model, given: Data) -> float:
    """Return the ratio of standard deviations, samples to example inputs; 1 if the examples are
    noise or constant."""
    pairs = zip(model.graph.inputs, model.examples or (), strict=False)
    for name, example in pairs:
        if example.dtype.kind != "f" or given.count <= 1:
            continue
        deviation, mean = _standard_deviation(example), float(example.mean())
        # torch.zeros, ones, randn or rand
        is_normal = abs(deviation - 1.0) < 0.25 and abs(mean) < 0.25
        is_uniform = float(example.min()) >= 0.0 and float(example.max()) <= 1.0
        if not (deviation == 0.0 or is_normal or is_uniform):
            return _standard_deviation(given.inputs[name]) / deviation
    return 1.0


def _standard_deviation(values: Array) -> float:
    """Return the standard deviation, in float64 because float32 squares may overflow."""
    return float(values.std(dtype=np.float64))


def described(model: Model, given: Data) -> dict[str, Array]:
    """Return arrays by which later samples are compared with the calibration samples; {} for random
    samples.

    `digests` uint64 [samples], and per input its standard deviation `deviation.NAME`, if known.
    """
    if given.is_random:
        return {}
    factor, _ = times_training(model, given)
    three_digits = {
        name: f"{_standard_deviation(x) / factor:.3g}" for name, x in given.inputs.items()
    }
    deviations = {f"deviation.{name}": np.asarray(float(x)) for name, x in three_digits.items()}
    return {"digests": np.array([*_sample_digests(given)], np.uint64), **deviations}


def seen_before(known: Mapping[str, Array], given: Data) -> int:
    """Return how many samples are calibration samples, too; `known`: result of `described`."""
    seen = {*map(int, known.get("digests", ()))}
    return sum(digest in seen for digest in _sample_digests(given)) if seen else 0


def _sample_digests(data: Data) -> Iterator[int]:
    """Yield 64 bits of the digest of each sample."""
    for number in range(data.count):
        digest = hashlib.sha256()
        for x in data.inputs.values():
            digest.update(np.ascontiguousarray(x[number]).data)
        yield int.from_bytes(digest.digest()[:8], "little")


def reshaped(graph: Graph, given: Data) -> tuple[list[int], list[int]] | None:
    """Return (sizes as given, sizes before) of windows [rows, channels] that were reshaped instead
    of transposed to [channels, rows], which mixes the channels; None for sound ones."""
    (name, *others) = graph.inputs
    x = given.inputs[name]
    sizes = [size for size in graph.shape(name) if size > 1]
    if others or x.dtype.kind != "f" or not len(sizes) == len({*sizes}) == 2:
        return None
    if given.count < 2 or x.size < LEAST_VALUES:
        return None
    x = x.reshape(given.count, *sizes)
    turned = x.reshape(given.count, *sizes[::-1])
    if _variance_within_channel(turned, min(sizes)) > BETTER * _variance_within_channel(
        x, max(sizes)
    ):
        return None  # a window with fewer rows than channels
    least = max(UNEQUAL, CLEARLY * _variance_between_channels(x, sizes))
    return (sizes, sizes[::-1]) if _variance_between_channels(turned, sizes[::-1]) > least else None


def _variance_between_channels(x: Array, sizes: list[int]) -> float:
    """Return the variance of log power between channels, which are on the shorter axis."""
    along = 2 if sizes[0] < sizes[1] else 1
    power = np.square(x, dtype=np.float64).mean(axis=(0, along))
    return float(np.log(np.maximum(power, 1e-30)).var())


def _variance_within_channel(x: Array, channels: int) -> float:
    """Return the variance of log power within a channel, averaged over the channels."""
    power = np.square(x, dtype=np.float64).mean(axis=0)
    logs = np.log(np.maximum(power, 1e-30))
    return float(logs.var(axis=1 - power.shape.index(channels), ddof=1).mean())
