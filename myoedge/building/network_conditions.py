# SPDX-License-Identifier: Apache-2.0
"""Conditions of warnings about the quantised network: low SQNR, values outside the ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from myoedge.building.quantized import Finding, Known
from myoedge.building.sample_statistics import loud
from myoedge.errors import named_input
from myoedge.graph.ir import Graph, Node
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.interpreter import PRE
from myoedge.operators.layer_names import located
from myoedge.operators.queries import own_params
from myoedge.quantization.first_states import states_beyond_int8
from myoedge.quantization.output_ranges import probability_ranges
from myoedge.quantization.reuse import shares_weights
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.goal import ACCURATE_DB
from myoedge.quantization.sqnr import GOOD_DB, ROUNDED_DB, WEAK_DB
from myoedge.quantization.stated_widths import kept_of_file, left_in_8_bits
from myoedge.quantization.suspicious_ranges import STEPS, fills_of
from myoedge.quantization.unseen_branches import FARTHEST
from myoedge.quantization.unseen_values import saturated_branch, states_of_one_sample, unseen_values
from myoedge.reports.wording import percent, several

ENOUGH_AGREEMENT = 0.95  # share of equal decisions, for networks that choose classes themselves
SCORES_AGREEMENT = 0.8  # share of equal largest scores, of which two may be nearly equal
LIKELY = 0.505  # probability 0.5 plus half an int8 step
COSTLY_DB = 3.0  # by which the interval of an SQNR extends below it
MOST_NAMED = 5  # layers per line
UNUSED = 4.0  # a range this many times that of a maximum's result is due to a mask's fill


def cut_states(known: Known) -> Iterator[Finding]:
    """Yield recurrent layers whose initial state exceeds the int8 range that the model file, or an
    older build, gives them."""
    network = known.network
    for node, (low, high), reach in states_beyond_int8(network.graph, network.calibration.ranges):
        if network.params.get(node.name) == own_params(node):
            facts = {"needs": f"-{reach:g} to {reach:g}", "has": f"{low:g} to {high:g}"}
            yield f"{node.where} begins with a state outside its int8 range", facts, {}


def dead_layers(known: Known) -> Iterator[Finding]:
    """Yield layers whose output is constant on the calibration samples."""
    for node in known.network.graph.nodes:
        low, high = known.network.calibration.ranges.get(node.name, (0.0, 1.0))
        if OPS[node.op].macs is not None and low == high:
            title = f"{node.where} is dead: its output is {low:g} for every calibration sample"
            yield title, {"found": "the rest of the network learns nothing from it"}, {}


def dominant_fills(known: Known) -> Iterator[Finding]:
    """Yield constant fills far from all other values that no softmax hides."""
    graph = known.network.graph
    for node, name, fill in fills_of(graph, known.network.calibration.ranges):
        if graph.is_const(name):
            left = f"{node.where} fills with {fill:g}, which leaves int8 nothing for all"
            yield f"{left} other values", {"found": f"steps of {abs(fill) / STEPS:.3g}"}, {}


def left_narrow(known: Known) -> Iterator[Finding]:
    """Yield patterns that set int16 but also match layers or inputs that stay int8."""
    network = known.network
    for rule, left in left_in_8_bits(network.graph, network.params, known.rules):
        has = f"{len(left)} of these {'has' if len(left) == 1 else 'have'} 8"
        title = f'[quant] "{rule.pattern}" sets layers and inputs to 16 bits, but {has}'
        needs = "16-bit kernels of these layers and of their readers"
        yield title, {"needs": needs, "has": _some(left)}, {}


def stays_of_file(known: Known) -> Iterator[Finding]:
    """Yield rules for numbers that are integers of the model file."""
    for kept in kept_of_file(known.model.graph, known.network.steps, known.rules):
        asks = f'[quant] "{kept.rule.pattern}" asks for {kept.asked}'
        has = f"integers: {_some(kept.layers)}"
        facts = {"needs": "layers and inputs that are floats", "has": has}
        yield f"{asks}, and the file has integers for them, which stay", facts, {}


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def weak_outputs(known: Known) -> Iterator[Finding]:
    """Yield outputs with a low SQNR, before or after their final softmax or sigmoid."""
    shown = _displayed_tensors(known.network.graph)
    for name, db in known.fidelity.computed_db.items():
        output = known.fidelity.outputs[name]
        judged_db = db if output.end_db is None else min(db, output.end_db)
        if judged_db < WEAK_DB:
            at, worst_db = output.worst_sample or (0, db)
            behind = f", after its final function; {db:z.1f} before it" * (judged_db != db)
            title = f"output {shown[name]} keeps only {judged_db:z.1f} dB in int8{behind}"
            found = f"{worst_db:z.1f} dB for sample {at}, the worst one"
            ways = {"loud": known.data and loud(known.data), "wider": not known.accurate}
            yield title, {"found": found}, ways


def _displayed_tensors(graph: Graph) -> dict[str, str]:
    return dict(zip(graph.outputs, graph.output_labels, strict=True))


def unlike_decisions(known: Known) -> Iterator[Finding]:
    """Yield outputs by which the integer and the float network choose different classes too
    often."""
    graph = known.network.graph
    for name, output in known.fidelity.outputs.items():
        share, is_index = output.agreement, graph.tensors[name].dtype != "float32"
        symbols = name in graph.producer and OPS[graph.producer[name].op].result.are_symbols
        enough = ENOUGH_AGREEMENT if is_index else SCORES_AGREEMENT
        if share is not None and share < enough and not symbols:
            db = "no signal" if output.db is None else f"SQNR {output.db:z.1f} dB"
            of = " of the differences between scores, before the argmax" * is_index
            agree = f"int8 and float network agree in only {percent(share)}"
            facts = {"needs": f"{percent(enough)} of the decisions", "found": f"{db}{of}"}
            yield (
                f"output {_displayed_tensors(graph)[name]}: {agree}",
                facts,
                {"wider": not known.accurate},
            )


def less_accurate(known: Known) -> Iterator[Finding]:
    """Yield a worst output below what --accurate aims at."""
    db, wanted_db, of = known.fidelity.worst_judged_db, ACCURATE_DB, ""
    if known.network.graph.has_fake_quantized:
        wanted_db, of = ROUNDED_DB, " of the file's own roundings"
    if not known.accurate or db is None or db >= wanted_db:
        return
    found, way = "int16 was tried for every tensor that supports it", "tried"
    if not known.tried:
        way = "few"
        found = (
            f"the calibration samples reach {wanted_db:g} dB already, the held-out samples do not"
        )
    if known.older is not None:
        found, way = "--reuse keeps the older build's choices", "reused"
    title = f"--accurate targets {wanted_db:g} dB{of}, but the worst output reaches {db:z.1f}"
    yield title, {"found": found}, {way: True}


def small_probabilities(known: Known) -> Iterator[Finding]:
    """Yield output probabilities that are below 0.5, or above 0.5, on all samples or for all
    integers.

    If sigmoid(x) is below 0.5 for all samples, 1 - sigmoid(x) is above.
    """
    network, names = known.network, _format_names(known.network)
    given = (network.graph, network.calibration.seen, network.params)
    for node, (least, most), (lowest, highest) in probability_ranges(*given):
        if min(most, highest) < LIKELY:
            side, end, seen = "above", min(most, highest), f"at most {most:.3g}"
        elif max(least, lowest) > 1.0 - LIKELY:
            side, end, seen = "below", max(least, lowest), f"at least {least:.3g}"
        else:
            continue
        needs = f"calibration samples with a probability {side} 0.5"
        has = f"probabilities of {seen}; the integers give {lowest:.3g} to {highest:.3g}"
        title = f"{names[node.name]}: probabilities {side} {end:.3g} may be cut off"
        yield title, {"needs": needs, "has": has}, {}


def left_range(known: Known) -> Iterator[Finding]:
    """Yield judged samples with values far outside the calibrated range."""
    found = None if known.judged is None else unseen_values(known.network, known.judged)
    if found is not None and known.judged is not None:
        of = _format_names(known.network).get(found.name.removesuffix(PRE), named_input(found.name))
        given, leave = len(next(iter(known.judged.values()))), "leave" + "s" * (found.samples == 1)
        title = f"{found.samples} of {given} {known.role} samples {leave} the calibrated range"
        yield title, _format_ranges(f"{of}: ", found.reached, found.calibrated), {}


def cut_branch(known: Known) -> Iterator[Finding]:
    """Yield values that saturate in a branch that no calibration sample takes."""
    cut = saturated_branch(known.network, known.data.inputs)
    if cut is not None:
        tensor, seen, reached = cut
        most = 0.9 * FARTHEST * max(map(abs, seen))  # less than it also if rounded to two digits
        spans = _format_ranges(
            f"{_format_names(known.network).get(tensor, tensor)}: ", reached, seen
        )
        title = "a guard or choice that no calibration sample needs inserts values that saturate"
        yield title, spans, {"most": most}


def _format_ranges(
    name: str, reached: Sequence[float], calibrated: Sequence[float]
) -> dict[str, object]:
    return {"found": f"{name}{_format_range(reached)}", "calibrated": _format_range(calibrated)}


def _format_range(ends: Sequence[float]) -> str:
    return "{:.3g} to {:.3g}".format(*ends)


def set_by_one(known: Known) -> Iterator[Finding]:
    """Yield states of loops whose range one calibration sample sets, if samples beyond it cost
    SQNR."""
    db, ends = known.fidelity.worst_db, known.fidelity.interval_db
    if db is None or ends is None or ends[0] > db - COSTLY_DB:
        return
    for node, seen, inner in states_of_one_sample(known.network):
        interval = f"{ends[0]:.0f} to {ends[1]:.0f} dB: a state that adds up saturates"
        facts = {
            "found": _format_range(seen),
            "without it": _format_range(inner),
            "interval": interval,
        }
        yield f"one calibration sample sets the range of the state in {node.where}", facts, {}


def other_network(known: Known) -> Iterator[Finding]:
    if known.older is not None and not shares_weights(known.network, known.older):
        new, old = known.network.digest[:12], known.older.digest[:12]
        title = "no layer of this network has the weights that it has in the older build"
        yield title, {"found": f"the older network is {old}, this one {new}"}, {}


def _steps_by_name(network: QuantGraph) -> list[tuple[QuantizedNode, str]]:
    steps = [step for step in network.steps if not OPS[step.node.op].view]
    return [*zip(steps, located(steps), strict=True)]


def _format_names(network: QuantGraph) -> dict[str, str]:
    return {step.node.name: name for step, name in _steps_by_name(network)}


def weak_layers(known: Known) -> Iterator[Finding]:
    """Yield tensors with a low SQNR, one per source line; none if every output reaches 30 dB."""
    network, fidelity = known.network, known.fidelity
    if (fidelity.worst_judged_db or 0.0) >= GOOD_DB:
        return
    names, by_line = _format_names(network), dict[str, list[tuple[float, QuantizedNode, str]]]()
    for step, _ in _steps_by_name(network):
        loss = fidelity.local.get(step.node.name)
        if loss is not None and loss < WEAK_DB:
            source = fidelity.sources.get(step.node.name, step.node.name)
            by_line.setdefault(_source_line_of(network.graph, source), []).append(
                (loss, step, source)
            )
    for weak in by_line.values():
        loss, step, source = min(weak, key=lambda row: row[0])
        name, dtype = names.get(source, named_input(source)), network.dtype(source)
        reader = f", as {names[step.node.name]} reads it" * (step.node.name != source)
        others = f", and in {several(len(weak) - 1, 'more layer')} near it" * (len(weak) > 1)
        found = f"noise above {10 ** (-WEAK_DB / 10):.0%} of the signal's power{reader}{others}"
        title = f"{name} keeps only {loss:z.1f} dB in {dtype}, on its own"
        yield title, {"found": found}, _likely_causes(network, step.node)


def _source_line_of(graph: Graph, source: str) -> str:
    """Return the source line of the layer that computes a tensor; the tensor's name for inputs and
    layers without one."""
    origin = graph.producer[source].origin if source in graph.producer else ()
    return origin[0].source if origin and origin[0].source else source


def _likely_causes(network: QuantGraph, weak: Node) -> Mapping[str, object]:
    """Return likely causes of a low SQNR in a layer and those before it: a fill, a softmax."""
    ranges, producer = network.calibration.ranges, network.graph.producer
    near = [weak, *(producer[name] for name in weak.inputs if name in producer)]
    found: dict[str, object] = {"softmax": any(node.op == "softmax" for node in near)}
    for node in near:
        if node.op == "max_pool" and {node.name, node.inputs[0]} <= ranges.keys():
            least, (low, high) = ranges[node.inputs[0]][0], ranges[node.name]
            if high - least > UNUSED * (high - low):
                found |= {"fill": True, "low": low, "least": least}
    return found
