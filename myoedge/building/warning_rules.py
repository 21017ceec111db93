# SPDX-License-Identifier: Apache-2.0
"""Rules of warnings about samples and quantised networks: codes and conditions by stage of a build.
Conditions on samples are in sample_conditions.py; the catalogue has all messages and remedies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from myoedge.backends.build import Build
from myoedge.building import sample_conditions as samples
from myoedge.building.loading import TORCH
from myoedge.building.quantized import UNKNOWN, Finding, Known, Quantized, Rule
from myoedge.building.sample_statistics import described, loud
from myoedge.catalogue import warning
from myoedge.errors import Notice, and_more, named_input
from myoedge.graph.ir import Node
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.interpreter import PRE
from myoedge.operators.layer_names import located
from myoedge.operators.queries import own_params
from myoedge.quantization.evaluation import Evaluation
from myoedge.quantization.first_states import states_beyond_int8
from myoedge.quantization.holdout import TEST, measured
from myoedge.quantization.known_ranges import probability_ranges
from myoedge.quantization.masked_ranges import STEPS, fills_below, fills_of
from myoedge.quantization.reuse import shares_weights
from myoedge.quantization.samples import Data
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.goal import ACCURATE_DB
from myoedge.quantization.sqnr import GOOD_DB, ROUNDED_DB, WEAK_DB
from myoedge.quantization.stated_widths import few_weight_bits, kept_of_file, left_in_8_bits
from myoedge.quantization.unseen_branches import FARTHEST
from myoedge.quantization.unseen_values import saturated_branch, states_of_one_sample, unseen_values
from myoedge.reports.wording import percent, several

ENOUGH_AGREEMENT = 0.95  # share of equal decisions, for networks that choose classes themselves
SCORES_AGREEMENT = 0.8  # share of equal largest scores, of which two may be nearly equal
LIKELY = 0.505  # probability 0.5 plus half an int8 step
COSTLY_DB = 3.0  # by which the interval of an SQNR extends below it
MOST_NAMED = 5  # layers per line


def cut_states(known: Known) -> Iterator[Finding]:
    """Yield recurrent layers whose initial state exceeds the int8 range that the model file, or an
    older build, gives them."""
    network = known.network
    for node, (low, high), reach in states_beyond_int8(network.graph, network.calibration.ranges):
        if network.params.get(node.name) == own_params(node):
            yield {"layer": node.where, "reach": reach, "low": low, "high": high}


def dead_layers(known: Known) -> Iterator[Finding]:
    """Yield layers whose output is constant on the calibration samples."""
    for node in known.network.graph.nodes:
        low, high = known.network.calibration.ranges.get(node.name, (0.0, 1.0))
        if OPS[node.op].macs is not None and low == high:
            yield {"layer": node.where, "value": low}


def dominant_fills(known: Known) -> Iterator[Finding]:
    """Yield constant fills far from all other values that no softmax hides."""
    graph = known.network.graph
    for node, name, fill in fills_of(graph, known.network.calibration.ranges):
        if graph.is_const(name):
            yield {"layer": node.where, "fill": fill, "step": abs(fill) / STEPS}


def left_narrow(known: Known) -> Iterator[Finding]:
    """Yield patterns that set int16 but also match layers or inputs that stay int8."""
    for rule, left in left_in_8_bits(known.network.graph, known.network.params, known.rules):
        of = {"pattern": rule.pattern, "count": len(left), "layers": and_more(left, MOST_NAMED)}
        yield {**of, "have": "has" if len(left) == 1 else "have"}


def stays_of_file(known: Known) -> Iterator[Finding]:
    """Yield rules for numbers that are integers of the model file."""
    for kept in kept_of_file(known.model.graph, known.network.steps, known.rules):
        yield {"kept": kept, "layers": and_more(kept.layers, MOST_NAMED)}


def weak_outputs(known: Known) -> Iterator[Finding]:
    """Yield outputs with a low SQNR, before or after their final softmax or sigmoid."""
    for name, before_db in known.fidelity.computed_db.items():
        output = known.fidelity.outputs[name]
        db = before_db if output.end_db is None else min(before_db, output.end_db)
        if db < WEAK_DB:
            of = {"output": known.network.graph.label_of[name], "db": db, "before_db": before_db}
            sample, worst_db = output.worst_sample or (0, before_db)
            worst = {"sample": sample, "worst_db": worst_db}
            loudest = known.data and loud(known.data)
            yield {**of, **worst, "final": db != before_db, "loud": loudest}


def unlike_decisions(known: Known) -> Iterator[Finding]:
    """Yield outputs by which the integer and the float network choose different classes too
    often."""
    graph = known.network.graph
    for name, output in known.fidelity.outputs.items():
        share, is_index = output.agreement, graph.tensors[name].dtype != "float32"
        symbols = name in graph.producer and OPS[graph.producer[name].op].result.are_symbols
        enough = ENOUGH_AGREEMENT if is_index else SCORES_AGREEMENT
        if share is not None and share < enough and not symbols:
            yield {
                "output": graph.label_of[name],
                "share": percent(share),
                "enough": percent(enough),
                "sqnr": "no signal" if output.db is None else f"SQNR {output.db:z.1f} dB",
                "index": is_index,
            }


def less_accurate(known: Known) -> Iterator[Finding]:
    """Yield a worst output below what --accurate aims at."""
    db, rounded = known.fidelity.worst_judged_db, known.network.graph.has_fake_quantized
    wanted_db = ROUNDED_DB if rounded else ACCURATE_DB
    if db is not None and db < wanted_db:
        searched = "few" if known.calibration_reaches(wanted_db) else "tried"
        cause = "reused" if known.older is not None else searched
        yield {"db": db, "wanted_db": wanted_db, "rounded": rounded, cause: True}


def small_probabilities(known: Known) -> Iterator[Finding]:
    """Yield output probabilities that are below 0.5 on all samples or for all integers, or above it
    as 1 - sigmoid(x) is."""
    network, names = known.network, located(known.network.layers)
    given = (network.graph, network.calibration.seen, network.params)
    for node, (least, most), (lowest, highest) in probability_ranges(*given):
        of = {"output": names[node.name], "lowest": lowest, "highest": highest}
        if (end := min(most, highest)) < LIKELY:
            yield {**of, "side": "above", "end": end, "seen": f"at most {most:.3g}"}
        elif (end := max(least, lowest)) > 1.0 - LIKELY:
            yield {**of, "side": "below", "end": end, "seen": f"at least {least:.3g}"}


def left_range(known: Known) -> Iterator[Finding]:
    """Yield judged samples with values far outside the calibrated range."""
    assert known.judged is not None, "its rule needs them"
    found = unseen_values(known.network, known.judged)
    if found is not None:
        names = located(known.network.layers)
        yield {
            "samples": found.samples,
            "given": len(next(iter(known.judged.values()))),
            "role": known.role,
            "leave": "leaves" if found.samples == 1 else "leave",
            "tensor": names.get(found.name.removesuffix(PRE), named_input(found.name)),
            "reached": found.reached,
            "calibrated": found.calibrated,
        }


def cut_branch(known: Known) -> Iterator[Finding]:
    """Yield values that saturate in a branch that no calibration sample takes."""
    cut = saturated_branch(known.network, known.data.inputs)
    if cut is not None:
        name, seen, reached = cut
        tensor = located(known.network.layers).get(name, name)
        most = 0.9 * FARTHEST * max(map(abs, seen))  # less than it also if rounded to two digits
        yield {"tensor": tensor, "reached": reached, "calibrated": seen, "most": most}


def set_by_one(known: Known) -> Iterator[Finding]:
    """Yield states of loops whose range one calibration sample sets, if samples beyond it cost
    SQNR."""
    db, ends = known.fidelity.worst_db, known.fidelity.interval_db
    if db is not None and ends is not None and ends[0] <= db - COSTLY_DB:
        for node, seen, inner in states_of_one_sample(known.network):
            yield {"layer": node.where, "seen": seen, "inner": inner, "ends_db": ends}


def other_network(known: Known) -> Iterator[Finding]:
    assert known.older is not None, "its rule needs it"
    if not shares_weights(known.network, known.older):
        yield {"network": known.network.digest[:12], "older": known.older.digest[:12]}


def weak_layers(known: Known) -> Iterator[Finding]:
    """Yield tensors with a low SQNR, one per source line; none if every output reaches 30 dB."""
    network, fidelity = known.network, known.fidelity
    if (fidelity.worst_judged_db or 0.0) >= GOOD_DB:
        return
    names, by_line = located(network.layers), dict[str, list[tuple[float, QuantizedNode, str]]]()
    for step in network.layers:
        node, producer = step.node, network.graph.producer
        loss = fidelity.local.get(node.name)
        if loss is not None and loss < WEAK_DB:
            source = fidelity.sources.get(node.name, node.name)
            origin = producer[source].origin if source in producer else ()
            line = origin[0].source if origin and origin[0].source else source
            by_line.setdefault(line, []).append((loss, step, source))
    for weak in by_line.values():
        db, step, source = min(weak, key=lambda row: row[0])
        node = step.node
        reader = f", as {names[node.name]} reads it" * (node.name != source)
        others = f", and in {several(len(weak) - 1, 'more layer')} near it" * (len(weak) > 1)
        yield {
            "layer": names.get(source, named_input(source)),
            "db": db,
            "dtype": network.dtype(source),
            "noise": 10 ** (-WEAK_DB / 10),
            "reader": reader,
            "others": others,
            **_likely_causes(network, node),
            **few_weight_bits(step, source),
        }


def _likely_causes(network: QuantGraph, weak: Node) -> Finding:
    """Return likely causes of a low SQNR in a layer and those before it: a fill, a softmax."""
    ranges, producer = network.calibration.ranges, network.graph.producer
    near = [weak, *(producer[name] for name in weak.inputs if name in producer)]
    fill = next((pool for pool in reversed(near) if fills_below(pool, ranges)), None)
    ends = {} if fill is None else {"low": ranges[fill.name][0], "least": ranges[fill.inputs[0]][0]}
    return {"softmax": any(node.op == "softmax" for node in near), "fill": fill, **ends}


# --- rules ----------------------------------------------------------------------------------------


SCALES = ("W111", "W207")  # warnings about values larger or smaller than in training


# Rules by stage of a build, in the order in which their warnings are printed.
RULES: Mapping[str, tuple[Rule, ...]] = {
    "arrays": (
        Rule("W204", samples.renamed, lambda known: known.data.renamed),
        Rule("W201", samples.constant),
    ),
    "samples": (
        Rule("W109", samples.unread),
        Rule("W206", samples.batch),
        Rule("W205", samples.few, lambda known: not known.data.is_random),
        Rule("W207", samples.unlike_training, lambda known: not known.data.is_random),
        Rule("W208", samples.turned, lambda known: not known.data.is_random),
    ),
    "model file": (Rule("W108", stays_of_file, lambda known: known.rules),),
    "network": (
        Rule("W106", cut_states),
        Rule("W101", dead_layers),
        Rule("W103", dominant_fills),
        Rule("W107", left_narrow, lambda known: known.rules),
    ),
    "ranges": (
        Rule("W111", left_range, lambda known: known.judged),
        Rule("W111", cut_branch, lambda known: known.network.calibration.unseen),
        Rule("W113", set_by_one, lambda known: known.fidelity.interval_db),
    ),
    "results": (
        Rule("W104", weak_outputs),
        Rule("W110", unlike_decisions),
        Rule("W112", small_probabilities),
        Rule("W102", weak_layers),
        Rule("W105", less_accurate, lambda known: known.accurate),
    ),
    "labels": (Rule("W202", samples.unjudged, lambda known: known.data.labels is not None),),
    "other samples": (
        Rule("W207", samples.unlike_calibration),
        Rule("W211", samples.shared, lambda known: known.is_test),
    ),
    "test set": (Rule("W111", left_range, lambda known: known.judged),),
    "decisions": (Rule("W209", samples.unlike_labels, lambda known: known.evaluation),),
    "older build": (Rule("W203", other_network, lambda known: known.older),),
}


def warned(known: Known, *stages: str) -> tuple[Notice, ...]:
    """Return the warnings of some stages, in their order."""
    return warnings_by((rule for stage in stages for rule in RULES[stage]), known)


def warnings_by(rules: Iterable[Rule], known: Known) -> tuple[Notice, ...]:
    """Return the warnings of some rules; remedies depend on the writer of the model file, and on
    what was tried or told already."""
    shared = {
        TORCH if known.model is UNKNOWN else known.model.written_by: True,
        "source": "" if known.data is UNKNOWN else known.data.source,
        "wider": not known.accurate,
        "scaled": known.is_scaled,
        **known.offer,
    }
    return tuple(
        warning(rule.code, {**shared, **values})
        for rule in rules
        if rule.needs(known)
        for values in rule.when(known)
    )


def are_of_scale(warnings: Iterable[Notice]) -> bool:
    """Return whether a warning is about values that are larger or smaller than in training."""
    return any(warning.code in SCALES for warning in warnings)


# --- warnings about a quantised network, its labels and its test set; about samples of a build ----


def result_warnings(quantized: Quantized) -> Iterator[Notice]:
    """Yield warnings about the finished network, and about the test set."""
    samples = quantized.samples
    data, test = samples.given, samples.test
    known = Known(
        model=quantized.model,
        data=data,
        network=quantized.network,
        fidelity=quantized.fidelity,
        evaluation=quantized.evaluation,
        older=quantized.older,
        choices=quantized.choices,
        accurate=quantized.accurate,
    )
    yield from warned(known, "results")
    yield from warned(replace(known, data=test or data), "labels")
    if test is not None:
        judged, calibration = measured(test).inputs, described(quantized.model, data)
        of_test = replace(known, data=test, judged=judged, role=TEST, is_test=True)
        others = warned(replace(of_test, described=calibration), "other samples")
        left = warned(of_test, "test set")
        codes = {warning.code for warning in quantized.warnings}  # W207: of both files, once
        yield from (warning for warning in others if warning.code not in codes)
        yield from left
        known = replace(known, is_scaled=are_of_scale((*others, *left)))
    yield from warned(known, "decisions", "older build")


def warnings_about(
    build: Build, data: Data, evaluation: Evaluation | None, *, is_test: bool
) -> tuple[Notice, ...]:
    """Return warnings about samples that a build runs on: another scale than the calibration's,
    samples used for it, accuracy at chance level or labels in another order.

    evaluation   labels with the build's predictions; None without labels
    is_test      whether the samples are a test set
    """
    known = Known(data=data, described=build.calibration, is_test=is_test)
    told = warned(known, "other samples")
    judged = replace(known, evaluation=evaluation, is_scaled=are_of_scale(told))
    return (*told, *warned(judged, "decisions"))
