# SPDX-License-Identifier: Apache-2.0
"""Conditions of warnings about samples, labels, and the decisions of the network on samples."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from myoedge.building.found_settings import existing_samples
from myoedge.building.quantized import Finding, Known
from myoedge.building.sample_statistics import reshaped, seen_before, times_known, times_training
from myoedge.errors import named_input, printable
from myoedge.numerics.arrays import Array
from myoedge.quantization.accuracy import can_measure_accuracy
from myoedge.quantization.calibrate import constant_inputs
from myoedge.quantization.evaluation import (
    MARGIN,
    Evaluation,
    find_label_permutation,
    is_at_chance,
)
from myoedge.quantization.formats import all_stated
from myoedge.quantization.holdout import LEAST_SAMPLES
from myoedge.quantization.recordings.reading import factor_of
from myoedge.quantization.samples import Data, one_window
from myoedge.reports.evaluations import error_measures
from myoedge.reports.wording import percent
from myoedge.streaming.time_axis import is_batched
from myoedge.system.toml_text import exact_pattern, toml_text

LEAST_FRAMES = 10  # with fewer, an accuracy means little
NEARLY_ALL = 0.95
FEWER_ERRORS = 0.25  # share of the errors that labels in the right order leave


def renamed(known: Known) -> Iterator[Finding]:
    (name,) = known.model.graph.inputs
    yield {"array": known.data.renamed, "input": name}


def constant(known: Known) -> Iterator[Finding]:
    for name in constant_inputs(known.model.graph, known.data.inputs):
        yield {"input": named_input(name)}


def unread(known: Known) -> Iterator[Finding]:
    """Yield inputs that no output depends on; the export merges inputs whose examples are the same
    tensor."""
    graph = known.model.graph
    names = [x for x in graph.inputs if not graph.users.get(x) and x not in graph.outputs]
    others = [name for name in graph.inputs if name not in names]
    if names:
        yield {
            "unread": ", ".join(names),
            "others": ", ".join(others) or "constants",
            "inputs": json.dumps(others),
            "outputs": json.dumps(graph.output_names),
        }


def batch(known: Known) -> Iterator[Finding]:
    """Yield a first axis of all inputs and outputs that looks like a batch axis."""
    graph = known.model.graph
    shapes = {name: graph.shape(name) for name in graph.inputs}
    firsts = {graph.shape(name)[:1] for name in (*graph.inputs, *graph.outputs)}
    if 0 in known.time_axes or len(firsts) > 1 or firsts == {(1,)}:
        return
    # Frames of features, as likely, or time before a batch of one, have no third axis.
    if all(len(x) > 2 and x[1] > 1 for x in shapes.values()) and is_batched(graph):
        (count,) = firsts.pop()
        inputs = ", ".join(map("{} {}".format, shapes, map(list, shapes.values())))
        lines = zip(("torch_export", "onnx_export"), one_window(), strict=True)
        yield {"count": count, "inputs": inputs, **dict(lines)}


def few(known: Known) -> Iterator[Finding]:
    """Yield the number of too few samples, with the folder's samples or init's script as remedy."""
    given = known.data
    if all_stated(known.model.graph) or given.count >= LEAST_SAMPLES:
        return
    there = existing_samples(Path())
    in_use = there is not None and there in given.source
    found = {"there": there} if in_use else {"other": there and shlex.quote(there)}
    yield {"least": LEAST_SAMPLES, "none": there is None, **found}


def unlike_training(known: Known) -> Iterator[Finding]:
    factor, evidence = times_training(known.model, known.data)
    yield from _wrong_scale(factor, known.data, evidence=evidence, samples="samples", file="")


def unlike_calibration(known: Known) -> Iterator[Finding]:
    """Yield samples that are scaled otherwise than the calibration samples of a build."""
    factor, role = times_known(known.described, known.data), "test " * known.is_test
    evidence = f"the deviation is {factor:.2g} times that of training"
    file = known.data.source.rpartition(" of ")[2].partition(",")[0]
    one = file if known.is_test and Path(file).suffix else None
    of = {"evidence": evidence, "samples": f"{role}samples"}
    yield from _wrong_scale(factor, known.data, file=one, **of)


def _wrong_scale(factor: float, given: Data, file: str | None, **of: str) -> Iterator[Finding]:
    """Yield samples with a wrong scale; nothing if the factor is 1.

    file   the only file with a wrong scale; "": all of [calib], and of [test]; None: [calib]
           scale does not apply to these samples
    """
    if factor != 1.0:
        power = 10.0 ** round(math.log10(factor))
        times = max(power, 1 / power)
        shown = f"{times:,.0f}" if times <= 1e6 else f"{times:g}"
        change, ratio = ("/", f"{shown} times") if power > 1 else ("*", f"1/{shown} of")
        line = "" if file is None else _scale_setting(given, power, file)
        yield {**of, "times": ratio, "change": f"{change} {times:g}", "line": line}


def _scale_setting(given: Data, power: float, file: str) -> str:
    """Return the line of myoedge.toml that scales samples to the unit of training; of one file, or
    of all if `file` is ""."""
    table = {name: factor / power for name, factor in given.scales or (("*", 1.0),)}
    if file:
        one = exact_pattern(file)
        table = {name: factor for name, factor in given.scales if name != one}
        table |= {one: factor_of(given.scales, file) / power}  # the last one applies
    by_name = ", ".join(f"{toml_text(name)} = {factor:g}" for name, factor in table.items())
    value = f"{table['*']:g}" if [*table] == ["*"] else f"{{{by_name}}}"
    which = "by name of the file" if file else "it scales the test set too"
    return f"[calib] scale = {value}  in myoedge.toml: {which}"


def turned(known: Known) -> Iterator[Finding]:
    """Yield windows that were reshaped instead of transposed."""
    orders = reshaped(known.model.graph, known.data)
    if orders is not None:
        given, other = (", ".join(map(str, sizes)) for sizes in orders)
        yield {"given": given, "other": other}


def shared(known: Known) -> Iterator[Finding]:
    """Yield samples of a test set that are in the calibration recording."""
    if count := seen_before(known.described, known.data):
        yield {"count": count, "samples": known.data.count}


# --- labels ---------------------------------------------------------------------------------------


def unjudged(known: Known) -> Iterator[Finding]:
    labels = known.data.labels
    assert labels is not None, "its rule needs them"
    if known.evaluation is None:
        scores = can_measure_accuracy(known.network.graph)
        yield {"label": [*labels.shape], "scores": scores, "symbols": not scores}


def unlike_labels(known: Known) -> Iterator[Finding]:
    """Yield predictions that are no better than chance, or that fit labels in another order, with
    the likely cause; nothing for few frames."""
    judged = known.evaluation
    assert judged is not None, "its rule needs it"
    if len(judged.labels) < LEAST_FRAMES:
        return
    of = {"count": len(judged.labels), "data": judged.data}
    for values in (_wrong_classes if judged.has_classes else _unpredicted_targets)(judged):
        yield {**of, **values}


def _wrong_classes(judged: Evaluation) -> Iterator[Finding]:
    """Yield predictions no better than random classes with the same frequencies; or if another
    order of the labels leaves a quarter of the errors at most: a network that is right by more than
    chance may have swapped classes, too."""
    chosen, *_ = judged.results.values()  # of the float network, if it was run
    numbers = find_label_permutation(judged.labels, chosen)
    order = {} if numbers is None else _renumbering(numbers, judged)
    shares, chances = judged.accuracies, judged.chances
    if judged.at_chance:
        found = (f"{n} {percent(shares[n])} (by chance {percent(x)})" for n, x in chances.items())
        cause = _cause_of_guesses(judged, chosen, order)
        yield {"guessed": True, "found": " and ".join(found), **cause}
    elif numbers is not None:
        own = float(np.mean(judged.labels == chosen))
        other = float(np.mean(np.array(numbers)[judged.labels] == chosen))
        if 1 - other <= FEWER_ERRORS * (1 - own) and own < other:
            yield {"found": f"{percent(own)}, {percent(other)} in another order", **order}


def _cause_of_guesses(judged: Evaluation, chosen: Array, order: Finding) -> Finding:
    """Return the likely cause of an accuracy no better than chance.

    chosen   by the float network, if it was run
    order    cause if labels in another order fit; {} if none do
    """
    if skewed := _skewed_labels(judged):
        return skewed
    if judged.at_chance == ["int8"] and judged.real is not None:
        return {"lost": True}
    most = int(np.bincount(chosen).argmax())
    one = np.mean(chosen == most) >= NEARLY_ALL
    return order or {"weak": True, "one": one, "most": most}


def _skewed_labels(judged: Evaluation) -> Finding:
    """Return the class of nearly all labels if it explains the accuracies: no decisions on these
    labels are better than chance, or each accuracy is about as high as if this class were chosen
    always; {} if it does not."""
    classes, counts = np.unique(judged.labels, return_counts=True)
    share, common = float(counts.max()) / len(judged.labels), int(classes[counts.argmax()])
    is_common = share >= NEARLY_ALL and min(judged.accuracies.values()) >= share - MARGIN
    if not (is_common or is_at_chance(judged.labels, judged.labels)):
        return {}
    name = printable(str(dict(enumerate(judged.names)).get(common, common)))
    return {"skewed": True, "frequent": counts.max(), "common": name, "usual": percent(share)}


def _renumbering(numbers: Sequence[int], judged: Evaluation) -> Finding:
    """Return the network's class number for each label number; if the class names are known, also
    the names in the order of the outputs."""
    names = {c: judged.names[label] for label, c in enumerate(numbers) if label < len(judged.names)}
    if len(names) < len(numbers) or -1 in names:
        return {"order": numbers, "unnamed": True}
    listed = json.dumps([names[c] for c in sorted(names)], ensure_ascii=False)
    return {"order": numbers, "names": listed}


def _unpredicted_targets(judged: Evaluation) -> Iterator[Finding]:
    """Yield targets that are predicted worse than by their mean: their R2 is below 0."""
    errors = error_measures(judged.labels, judged.results)
    r2 = {name: x for name in judged.results if (x := errors[f"r2_{name}"]) is not None}
    if min(r2.values(), default=0.0) < 0.0:
        found = " and ".join(f"{name} R2 {value:.3g}" for name, value in r2.items())
        is_lost = r2.get("float", -1.0) >= 0.0
        yield {"targets": True, "found": found, "lost": is_lost, "weak": not is_lost}
