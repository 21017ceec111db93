# SPDX-License-Identifier: Apache-2.0
"""Warnings about samples: too few, of another scale, transposed, or used for both calibration and
test; and about networks exported with a batch axis."""

from __future__ import annotations

import hashlib
import math
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from myoedge.building.config import toml_text
from myoedge.building.loading import Model
from myoedge.building.samples_there import existing_samples
from myoedge.errors import Notice, notice
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.operators.interpreter import run_float
from myoedge.quantization.formats import all_stated
from myoedge.quantization.holdout import LEAST_SAMPLES
from myoedge.quantization.recordings.reading import Scales, factor_of
from myoedge.quantization.samples import Data, one_window
from myoedge.streaming.time_axis import is_batched

LOOKED_AT = 8  # samples whose scale is checked
TOO_LARGE, TOO_SMALL = 20.0, 1 / 40  # standard deviations after a batch norm; near 1 in training
OTHER_SCALE = 30.0  # ratio of standard deviations, samples to example inputs, or its inverse
LEAST_VALUES = 2000  # values needed to judge the order of axes
UNEQUAL = 0.05  # variance of the channels' log power: they differ by a fifth or more
CLEARLY = 20.0  # required ratio of the variances in both orders of axes
LOUD, FEW_LOUD = 1e3, 0.05  # ratio to the usual maximum; share of such samples
MOST_NAMED = 3
CUTTING = "myoedge build ... --calib recordings/"
UNTESTED = "another recording, session or repetition as --test"
BETTER = 1.5  # times less spread within channels, if these are the longer axis


def doubtful(model: Model, given: Data, time_axes: Collection[int] = ()) -> Iterator[Notice]:
    """Yield warnings about the user's samples, a likely batch axis that is none of a stream's time
    axes, and unused inputs."""
    yield from _unread(model.graph)
    yield from () if 0 in time_axes else _batch(model.graph)
    if not given.is_random:
        yield from () if all_stated(model.graph) else _few(given)
        yield from _other_scale(model, given)
        yield from _other_order(model.graph, given)


def _few(given: Data) -> Iterator[Notice]:
    if given.count < LEAST_SAMPLES:
        yield notice(
            "W205",
            f"ranges follow from {given.source} alone",
            {"needs": f"{LEAST_SAMPLES} windows at least, better some hundred of every class"},
            [_more(given.source), f"{CUTTING}  cuts them from recordings"],
        )


def _more(source: str) -> str:
    """Return the remedy for few samples: the folder's samples, or the script that `init` writes."""
    there = existing_samples(Path())
    if there is None:
        return "myoedge init  writes a script that makes calib.npz"
    if there in source:
        return f"more windows in {there}"
    return f"myoedge build ... --calib {shlex.quote(there)}"


def _unread(graph: Graph) -> Iterator[Notice]:
    """Warn of inputs that no output depends on; the export merges inputs whose examples are the
    same tensor."""
    unread = [x for x in graph.inputs if not graph.users.get(x) and x not in graph.outputs]
    if unread:
        others = ", ".join(name for name in graph.inputs if name not in unread)
        yield notice(
            "W109",
            f"nothing in the network reads {', '.join(unread)}",
            {"has": f"outputs that follow from {others or 'constants'} alone"},
            ["export with a separate tensor for each input: (x, x.clone()), not (x, x)"],
        )


def _batch(graph: Graph) -> Iterator[Notice]:
    """Warn with W206 if the first axis of all inputs and outputs is a batch axis."""
    sizes = {graph.shape(name)[:1] for name in (*graph.inputs, *graph.outputs)}
    if len(sizes) != 1 or (size := sizes.pop()) in ((), (1,)) or not is_batched(graph):
        return
    if any(len(s := graph.shape(name)) < 3 or s[1] == 1 for name in graph.inputs):
        return  # frames of features, as likely, or time before a batch of one
    yield notice(
        "W206",
        f"an inference computes {size[0]} windows: the first axis looks like a batch",
        {"has": ", ".join(f"{name} {list(graph.shape(name))}" for name in graph.inputs)},
        one_window(),
    )


# --- scale ----------------------------------------------------------------------------------------


def _other_scale(model: Model, given: Data) -> Iterator[Notice]:
    factor, evidence = times_training(model, given)
    yield from _of_scale(factor, evidence, "samples", given.scales)


def times_training(model: Model, given: Data) -> tuple[float, str]:
    """Return (ratio, reference): standard deviation of the samples relative to the training set
    (from a batch norm) or to the example inputs; 1 if close or unknown."""
    if not all(x.size and np.ptp(x) for x in given.inputs.values()) or [*loud(given)]:
        return 1.0, ""  # W201, or only a few samples
    norm = _first_norm(model.imported)
    if norm is not None and model.imported.inputs == model.graph.inputs:
        deviation = _deviation_behind(model.imported, norm, given)
        factor = 1.0 if TOO_SMALL <= deviation <= TOO_LARGE else deviation
        evidence = (
            f"the standard deviation after {norm.name} is {deviation:.2g}, after training about 1"
        )
    else:
        factor = _times_examples(model, given)
        factor = factor if max(factor, 1 / max(factor, 1e-30)) > OTHER_SCALE else 1.0
        evidence = f"the deviation is {factor:.2g} times that of the export's example input"
    return (factor if 0.0 < factor < math.inf else 1.0), evidence


def _of_scale(
    factor: float, evidence: str, samples: str, scales: Scales, file: str | None = ""
) -> Iterator[Notice]:
    """Yield W207 for samples with a wrong scale.

    scales   factors that were applied when reading the samples
    file     the only file with a wrong scale; "": all of [calib], and of [test]; None: [calib]
             scale does not apply to these samples
    """
    if factor == 1.0:
        return
    power = 10.0 ** round(math.log10(factor))
    change = f"/ {power:g}" if power > 1 else f"* {1 / power:g}"
    lines = [] if file is None else [_scale_line(scales, power, file)]
    yield notice(
        "W207",
        f"{samples} seem to be {_times(power)} the size of the training set's",
        {"found": evidence},
        [f"input=windows {change}, in the unit and the scaling of training", *lines],
    )


def _scale_line(scales: Scales, power: float, file: str) -> str:
    """Return the line of myoedge.toml that scales samples to the unit of training; of one file, or
    of all if `file` is ""."""
    if file:
        others = {name: factor for name, factor in scales if name != file}
        table = {**others, file: factor_of(scales, file) / power}  # the last one applies
    else:
        table = {name: factor / power for name, factor in scales or (("*", 1.0),)}
    by_name = ", ".join(f"{toml_text(name)} = {factor:g}" for name, factor in table.items())
    value = f"{table['*']:g}" if [*table] == ["*"] else f"{{{by_name}}}"
    which = "by name of the file" if file else "it scales the test set too"
    return f"[calib] scale = {value}  in myoedge.toml: {which}"


def loud(given: Data) -> Iterator[str]:
    """Yield the remedy to leave out a few samples, if they are much larger than the rest."""
    peaks = [np.abs(x.reshape(given.count, -1)).max(1) for x in given.inputs.values() if x.size]
    peak = np.max(np.array(peaks, np.float64), axis=0) if peaks else np.zeros(0)
    usual = float(np.median(peak)) if len(peak) else 0.0
    places = np.flatnonzero(peak > LOUD * usual)
    if usual and 0 < len(places) <= max(FEW_LOUD * given.count, 1):
        named = f"sample{'s' * (len(places) > 1)} {', '.join(map(str, places[:MOST_NAMED]))}"
        more = f" and {len(places) - MOST_NAMED} more" * (len(places) > MOST_NAMED)
        reached = f"values up to {peak.max():.2g}, most samples up to {usual:.2g}"
        yield f"leave out {named}{more}: {reached}"


def _times(power: float) -> str:
    times = max(power, 1 / power)
    shown = f"{times:,.0f}" if times <= 1e6 else f"{times:g}"
    return f"{shown} times" if power > 1 else f"1/{shown} of"


def _first_norm(graph: Graph) -> Node | None:
    """Return the first batch norm with statistics per channel."""
    for node in graph.nodes:
        if node.op == "affine" and node.inputs[1] in graph.constants:
            scale = graph.array(node.inputs[1])
            if scale.size > 1 and np.ptp(scale) > 0:
                return node
    return None


def _deviation_behind(graph: Graph, norm: Node, given: Data) -> float:
    """Return the median over channels of the standard deviation after a norm, for a few samples."""
    nodes = graph.nodes[: graph.nodes.index(norm) + 1]
    part = replace(graph, nodes=nodes, outputs=(norm.name,), output_names=(norm.name,))
    places = np.linspace(0, given.count - 1, min(LOOKED_AT, given.count)).round().astype(int)
    axis = int(norm.attrs["axis"])
    seen = []
    for place in places:
        values = run_float(part, {name: x[place] for name, x in given.inputs.items()})[norm.name]
        seen.append(np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1))
    return float(np.median([_deviation(channel) for channel in np.concatenate(seen, axis=1)]))


def _times_examples(model: Model, given: Data) -> float:
    """Return the ratio of standard deviations, samples to example inputs; 1 if the examples are
    noise or constant."""
    pairs = zip(model.graph.inputs, model.examples or (), strict=False)
    for name, example in pairs:
        if example.dtype.kind == "f" and given.count > 1 and not _is_made_up(example):
            return _deviation(given.inputs[name]) / _deviation(example)
    return 1.0


def _deviation(values: Array) -> float:
    """Return the standard deviation, in float64 because float32 squares may overflow."""
    return float(values.std(dtype=np.float64))


def _is_made_up(example: Array) -> bool:
    """Return whether an example input comes from torch.zeros, ones, rand or randn."""
    deviation, mean = _deviation(example), float(example.mean())
    is_normal = abs(deviation - 1.0) < 0.25 and abs(mean) < 0.25
    is_uniform = float(example.min()) >= 0.0 and float(example.max()) <= 1.0
    return deviation == 0.0 or is_normal or is_uniform


# --- known from calibration ---------------------------------------------------------------------


def described(model: Model, given: Data) -> dict[str, Array]:
    """Return arrays by which later samples are compared with the calibration samples; {} for random
    samples.

    `digests` uint64 [samples], and per input its standard deviation `deviation.NAME`, if known.
    """
    if given.is_random:
        return {}
    factor, _ = times_training(model, given)
    three_digits = {name: f"{_deviation(x) / factor:.3g}" for name, x in given.inputs.items()}
    deviations = {f"deviation.{name}": np.asarray(float(x)) for name, x in three_digits.items()}
    return {"digests": np.array([*_digests(given)], np.uint64), **deviations}


def compared(known: Mapping[str, Array], given: Data, *, is_test: bool) -> Iterator[Notice]:
    """Yield W207 if samples are scaled differently than the calibration samples, and W211 if the
    test set contains calibration samples.

    known   result of `described` for the calibration samples
    """
    factor = _times_known(known, given)
    file = given.source.rpartition(" of ")[2].partition(",")[0]
    has_name = is_test and Path(file).suffix
    evidence = f"the deviation is {factor:.2g} times that of training"
    samples = f"{'test ' * is_test}samples"
    yield from _of_scale(factor, evidence, samples, given.scales, file if has_name else None)
    seen = {*map(int, known.get("digests", ()))} if is_test else set()
    count = sum(digest in seen for digest in _digests(given)) if seen else 0
    if count:
        title = "samples of the test set are in the calibration recording too"
        found = {"found": f"{count:,} of {given.count:,} samples"}
        yield notice("W211", title, found, [UNTESTED])


def _times_known(known: Mapping[str, Array], given: Data) -> float:
    """Return the ratio of standard deviations, samples to training, of the first input with a ratio
    far from 1."""
    pairs = ((known.get(f"deviation.{name}"), x) for name, x in given.inputs.items())
    ratios = [_deviation(x) / float(expected) for expected, x in pairs if expected]
    far = (x for x in ratios if 0.0 < x < math.inf and not 1 / OTHER_SCALE < x < OTHER_SCALE)
    return 1.0 if [*loud(given)] else next(far, 1.0)


def _digests(data: Data) -> Iterator[int]:
    """Yield 64 bits of the digest of each sample."""
    for number in range(data.count):
        digest = hashlib.sha256()
        for x in data.inputs.values():
            digest.update(np.ascontiguousarray(x[number]).data)
        yield int.from_bytes(digest.digest()[:8], "little")


# --- order of axes --------------------------------------------------------------------------------


def _other_order(graph: Graph, given: Data) -> Iterator[Notice]:
    """Warn of windows [rows, channels] that were reshaped instead of transposed to [channels,
    rows], which mixes the channels."""
    (name, *others) = graph.inputs
    x = given.inputs[name]
    sizes = [size for size in graph.shape(name) if size > 1]
    if others or x.dtype.kind != "f" or not len(sizes) == len({*sizes}) == 2:
        return
    if given.count < 2 or x.size < LEAST_VALUES:
        return
    x = x.reshape(given.count, *sizes)
    as_given = _inequality(x, sizes)
    turned = x.reshape(given.count, *sizes[::-1])
    if _spread(turned, min(sizes)) > BETTER * _spread(x, max(sizes)):
        return  # a window with fewer rows than channels
    reshaped = _inequality(turned, sizes[::-1])
    if reshaped > max(UNEQUAL, CLEARLY * as_given):
        given_order, other = _listed(sizes), _listed(sizes[::-1])
        made = f"windows.reshape(-1, {other}).transpose(0, 2, 1)"
        yield notice(
            "W208",
            "axes of the samples seem to be reshaped, not transposed",
            {"found": f"channels are alike as [{given_order}], and differ as [{other}]"},
            [f"{made}, if the recording stores them as [samples, {other}]"],
        )


def _inequality(x: Array, sizes: list[int]) -> float:
    """Return the variance of log power between channels, which are on the shorter axis."""
    along = 2 if sizes[0] < sizes[1] else 1
    power = np.square(x, dtype=np.float64).mean(axis=(0, along))
    return float(np.log(np.maximum(power, 1e-30)).var())


def _spread(x: Array, channels: int) -> float:
    """Return the variance of log power within a channel, averaged over the channels."""
    power = np.square(x, dtype=np.float64).mean(axis=0)
    logs = np.log(np.maximum(power, 1e-30))
    return float(logs.var(axis=1 - power.shape.index(channels), ddof=1).mean())


def _listed(sizes: list[int]) -> str:
    return ", ".join(map(str, sizes))
