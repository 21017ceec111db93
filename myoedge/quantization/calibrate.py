# SPDX-License-Identifier: Apache-2.0
"""Calibrated ranges of all tensors, over the calibration samples."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import round_up_12_bits
from myoedge.operators.base import OPS
from myoedge.operators.interpreter import PRE
from myoedge.quantization.float_runs import float_values
from myoedge.quantization.known_ranges import choice_ranges, fixed_ranges, full_ranges
from myoedge.quantization.masked_ranges import (
    Range,
    inner_ranges,
    masked_ranges,
    outer_ranges,
    refuse_unknown_masks,
)
from myoedge.quantization.unseen_branches import Points, inserted_ranges, unseen_points, widened
from myoedge.system.progress import counted

BINS = 2048
REARRANGING = ("reshape", "transpose")
UNBINNED = ("minmax", "file")  # methods that need no histogram


@dataclass(frozen=True, slots=True)
class Observer:
    """Rule that derives a tensor's range from its values on the calibration samples.

    method      "minmax": all values; "percentile": without the outermost (100 - percentile) %,
                half on each side; "mse": the clipping with the smallest squared error in int8;
                "file": as "minmax", if the model file gives all scales
    percentile  percentage of values inside the range, 50 .. 100
    full_outputs   whether outputs get the full range of bounded operators, such as 0 to 1
    """

    method: str = "minmax"
    percentile: float = 99.99
    full_outputs: bool = True


@dataclass(frozen=True)
class Calibration:
    """Ranges of all tensors, from the calibration samples.

    ranges     tensor -> (low, high), after the observer
    count      number of samples
    source     description for reports: "512 samples of calib.npz", "1 example input of the archive"
    digest     sha256 of the samples
    observer   default observer
    seen       tensor -> (lowest, highest) value; {} for a build loaded from its files
    inner      the same, each end without the 1, 2, .. samples that reach furthest, up to
               MOST_BEYOND; {} for a single sample
    unseen     tensor -> arguments for which a branch is taken that no sample takes
    """

    ranges: Mapping[str, Range]
    count: int
    source: str
    digest: str
    observer: Observer = field(default_factory=Observer)
    seen: Mapping[str, Range] = field(default_factory=dict, repr=False)
    inner: Mapping[str, Sequence[Range]] = field(default_factory=dict, repr=False)
    unseen: Points = field(default_factory=dict, repr=False)


InputArrays = Mapping[str, Array]  # input name -> floats or integers [samples, *input shape]


def each_sample(samples: InputArrays) -> Iterator[dict[str, Array]]:
    """Yield the samples one by one, as inputs of run_float."""
    count = len(next(iter(samples.values())))
    each = ({name: values[i] for name, values in samples.items()} for i in range(count))
    return counted(each, count, "samples")


def digest(samples: InputArrays) -> str:
    """Return the sha256 of the samples' names, shapes and values."""
    sha = hashlib.sha256()
    for name, values in sorted(samples.items()):
        sha.update(f"{name}{values.shape}{values.dtype}".encode())
        sha.update(np.ascontiguousarray(values).tobytes())
    return sha.hexdigest()


@dataclass(frozen=True)
class TensorStatistics:
    """Statistics of every tensor over the calibration samples.

    seen         tensor -> (lowest, highest) value
    inner        the same, each end without the 1, 2, .. samples that reach furthest
    extremes     the same, but without masked scores
    histograms   tensor -> BINS counts between the extremes, if its observer needs them
    unseen       tensor -> arguments for which a branch is taken that no sample takes
    inserted     tensor -> its range with the values in these branches, if it is wider
    """

    seen: Mapping[str, Range]
    inner: Mapping[str, Sequence[Range]]
    extremes: Mapping[str, Range]
    histograms: Mapping[str, Array]
    unseen: Points
    inserted: Mapping[str, Range]

    def range(self, name: str, observer: Observer) -> Range:
        """Return the range that an observer derives for a tensor."""
        span = self.extremes[name]
        if observer.method in UNBINNED or name not in self.histograms:
            return span
        if observer.method == "percentile":
            return _percentile_range(self.histograms[name], span, observer.percentile)
        return _least_squares_range(self.histograms[name], span)


def observe(graph: Graph, samples: InputArrays, *, histograms: bool) -> TensorStatistics:
    """Run the float network over the samples and collect statistics of all tensors.

    histograms   whether to run it a second time for histograms
    """
    ends = _sample_ranges(graph, samples)
    seen, inner = outer_ranges(ends), inner_ranges(ends)
    masked = [node for node in graph.nodes if {"masked", "fill"} & node.attrs.keys()]
    extremes = {**seen}
    if masked:
        extremes |= masked_ranges(graph, masked, each_sample(samples))
    refuse_unknown_masks(graph, extremes)
    histogram = _histograms(graph, samples, extremes) if histograms else {}
    unseen = unseen_points(graph, each_sample(samples), seen)
    inserted = inserted_ranges(graph, each_sample(samples), unseen, seen) if unseen else {}
    return TensorStatistics(seen, inner, extremes, histogram, unseen, inserted)


def _histograms(
    graph: Graph, samples: InputArrays, extremes: Mapping[str, Range]
) -> dict[str, Array]:
    """Return tensor -> BINS counts between its extremes, if float32 can represent them."""
    binned = (name for name, span in extremes.items() if _has_bins(span))
    counts = {name: np.zeros(BINS, np.int64) for name in binned}
    alike = {
        name: of
        for name, of in _sources_of_rearranged(graph).items()
        if extremes[name] == extremes[of]
    }
    for sample in each_sample(samples):
        for name, values in _tensor_values(graph, sample):
            if name in counts and name not in alike:
                counts[name] += np.histogram(values, BINS, extremes[name])[0]
    return {name: counts[alike.get(name, name)] for name in counts}


def _tensor_values(graph: Graph, sample: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """Yield the values of every tensor on a sample; those of all iterations of a loop as one
    array."""
    found: dict[str, list[Array]] = {}
    float_values(graph, sample, lambda name, value: found.setdefault(name, []).append(value))
    for name, values in found.items():
        yield name, values[0] if len(values) == 1 else np.stack(values)


def _sources_of_rearranged(graph: Graph) -> dict[str, str]:
    """Return tensor -> its source, for tensors that only rearrange one other tensor's elements."""
    found: dict[str, str] = {}
    for node in graph.nodes:
        of = node.inputs[0] if node.inputs else ""
        is_own = graph.is_fake_quantized(node.name)
        if node.op in REARRANGING and of in graph.tensors and not is_own:
            found[node.name] = found.get(of, of)
    return found


def _has_bins(span: Range) -> bool:
    """Return whether float32 can represent the edges of all bins."""
    edges = np.linspace(*span, BINS + 1, dtype=np.float32)
    return bool(np.all(edges[:-1] < edges[1:]))


def calibrations(
    graph: Graph,
    samples: InputArrays,
    observers: Sequence[Observer],
    source: str,
    overrides: Mapping[str, Observer] | None = None,
) -> list[Calibration]:
    """Calibrate with several observers, sharing the float runs; return one Calibration per
    observer.

    overrides   tensor -> its own observer
    Ranges are rounded up to 12 bits, so that different BLAS libraries give equal results.
    """
    chosen = overrides or {}
    rules = [*observers, *chosen.values()]
    observed = observe(
        graph, samples, histograms=any(rule.method not in UNBINNED for rule in rules)
    )
    fixed = fixed_ranges(graph)
    count, sha = len(next(iter(samples.values()))), digest(samples)
    made = []
    for observer in observers:
        ranges = {
            name: observed.range(name, chosen.get(name.removesuffix(PRE), observer))
            for name in observed.extremes
        }
        if observer.method == "minmax":
            ranges = read_ranges(graph, ranges)
        full = full_ranges(graph, observed.seen) if observer.full_outputs else {}
        ranges |= widened(ranges, observed.seen, observed.inserted)
        ranges |= fixed | choice_ranges(graph, ranges)
        ranges |= {x: span for x, span in full.items() if x.removesuffix(PRE) not in chosen}
        rounded = {
            name: (round_up_12_bits(low), round_up_12_bits(high))
            for name, (low, high) in ranges.items()
        }
        spans = observed.seen, observed.inner, observed.unseen
        made.append(Calibration(rounded, count, source, sha, observer, *spans))
    return made


def read_ranges(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Narrow the range of a tensor to the values that its readers use, if all of them use only a
    part, such as slices and max pools."""
    found = dict(ranges)
    for node in reversed(graph.nodes):
        readers = graph.users.get(node.name, ())
        if node.name in graph.outputs or not all(OPS[x.op].same_scale for x in readers):
            continue
        behind = [found[name] for x in readers for name in (x.name + PRE, x.name) if name in found]
        if behind and node.name in found:
            (low, high), (lows, highs) = found[node.name], zip(*behind, strict=True)
            found[node.name] = max(low, min(lows)), min(high, max(highs))
    return found


def calibrate(
    graph: Graph,
    samples: InputArrays,
    observer: Observer,
    source: str,
    overrides: Mapping[str, Observer] | None = None,
) -> Calibration:
    """Calibrate with one observer; the arguments are those of `calibrations`."""
    return calibrations(graph, samples, [observer], source, overrides)[0]


def _sample_ranges(graph: Graph, samples: InputArrays) -> dict[str, list[Range]]:
    """Return the range of every tensor on each sample."""
    ends: dict[str, list[Range]] = {}
    for sample in each_sample(samples):
        for name, values in _tensor_values(graph, sample):
            ends.setdefault(name, []).append(_finite_range(graph, name, values))
    return ends


def _finite_range(graph: Graph, name: str, value: Array) -> Range:
    """Return the range of a tensor's values on one sample. Errors: E224 NaN or infinite."""
    low, high = float(value.min()), float(value.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        node = graph.producer.get(name.removesuffix(PRE))
        raise MyoedgeError(
            "E224",
            f"{node.where if node else name} is NaN or infinite for a calibration sample",
            {"needs": "finite values at every layer"},
            [
                "look for log, sqrt or a division by zero",
                "clamp before it, as in log(x.clamp(min=1e-6)); divide by torch.where(b == 0, "
                "1.0, b)",
            ],
        )
    return low, high


def _percentile_range(histogram: Array, span: Range, percentile: float) -> Range:
    """Return the range without the outermost (100 - percentile) %, half on each side; a bound at 0
    is kept."""
    if not histogram.any():
        return span
    edges = np.linspace(*span, BINS + 1)
    share = np.cumsum(histogram) / histogram.sum()
    outside = (100.0 - percentile) / 200.0
    low = edges[np.searchsorted(share, outside, side="right")]
    high = edges[1 + np.searchsorted(share, 1.0 - outside, side="left").clip(0, BINS - 1)]
    return (span[0] if span[0] >= 0 else float(low)), (span[1] if span[1] <= 0 else float(high))


def _least_squares_range(histogram: Array, span: Range) -> Range:
    """Return the range, clipped in steps of 1 %, with the smallest squared error of int8 rounding
    and clipping."""
    edges = np.linspace(*span, BINS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    lows, highs = (np.array([x * k / 100 for k in range(100, 19, -1)]) for x in span)
    low, high = np.minimum(lows, 0.0), np.maximum(highs, 0.0)
    below, above = np.searchsorted(middles, low), np.searchsorted(middles, high, side="right")
    # Sums of counts, middles and squares, over the bins before each bin.
    sums = np.zeros((3, BINS + 1))
    sums[:, 1:] = np.cumsum(histogram * middles ** np.arange(3)[:, np.newaxis], axis=1)
    under, over = sums[:, below], sums[:, -1:] - sums[:, above]
    rounding = (sums[0, above] - sums[0, below]) * ((high - low) / 255.0) ** 2 / 12.0
    errors = rounding + sum(
        squares - 2 * bound * first + bound**2 * count
        for bound, (count, first, squares) in ((low, under), (high, over))
    )
    best = int(np.argmin(errors))
    return float(lows[best]), float(highs[best])


def subsample_evenly(samples: InputArrays, count: int) -> InputArrays:
    """Select at most `count` samples, evenly spaced."""
    given = len(next(iter(samples.values())))
    at = np.unique(np.linspace(0, given - 1, count).astype(int))
    return {name: values[at] for name, values in samples.items()}


def constant_inputs(graph: Graph, samples: InputArrays) -> Sequence[str]:
    """Return the names of inputs whose values are equal in all samples, so that they have no
    range."""
    given = {name: samples[name] for name in graph.inputs}
    return [name for name, x in given.items() if x.size and np.all(x == x.flat[0])]


def describe(calibration: Calibration) -> dict[str, Any]:
    """Return the calibration's entry in report.json."""
    return {
        "samples": calibration.count,
        "source": calibration.source,
        "digest": calibration.digest,
        "observer": calibration.observer.method,
    }
