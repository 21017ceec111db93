# SPDX-License-Identifier: Apache-2.0
"""Warnings about the quantised network: outputs and layers with a low SQNR, unsuitable samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from myoedge.building.sample_warnings import loud
from myoedge.errors import Notice, named_input, notice
from myoedge.graph.ir import Graph, Node
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.interpreter import PRE
from myoedge.operators.layer_names import located
from myoedge.quantization.calibrate import Samples, constant_inputs
from myoedge.quantization.fidelity import Fidelity
from myoedge.quantization.left_ranges import states_of_one_sample
from myoedge.quantization.output_ranges import probability_ranges
from myoedge.quantization.reuse import shares_weights
from myoedge.quantization.samples import Data
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.goal import ACCURATE_DB
from myoedge.quantization.sqnr import GOOD_DB, ROUNDED_DB, WEAK_DB
from myoedge.quantization.unseen_branches import FARTHEST
from myoedge.quantization.unseen_values import saturated_branch, unseen_values
from myoedge.reports.wording import percent, several

ACCURATE = "--accurate: int16 wherever it gains SQNR, at any number of cycles"
ENOUGH_AGREEMENT = 0.95  # share of equal decisions, for networks that choose classes themselves
SCORES_AGREEMENT = 0.8  # share of equal largest scores, of which two may be nearly equal
LIKELY = 0.505  # probability 0.5 plus half an int8 step
COSTLY_DB = 3.0  # by which the interval of an SQNR extends below it
UNUSED = 4.0  # a range this many times that of a maximum's result is due to a mask's fill


def weak_outputs(
    graph: Graph, fidelity: Fidelity, given: Data | None = None, *, accurate: bool
) -> Iterable[Notice]:
    """Yield W104 for outputs with a low SQNR, before or after their final softmax or sigmoid.

    given      the user's samples; if some are unusually large, leaving them out is suggested
    accurate   whether int16 was tried regardless of cycles
    """
    more = (*(loud(given) if given else ()), *(() if accurate else (ACCURATE,)))
    shown = dict(zip(graph.outputs, graph.output_names or graph.outputs, strict=True))
    for name, db in fidelity.computed_db.items():
        end_db = fidelity.outputs[name].end_db
        judged_db = db if end_db is None else min(db, end_db)
        if judged_db < WEAK_DB:
            at, worst_db = fidelity.outputs[name].worst_sample or (0, db)
            behind = f", after its final function; {db:z.1f} before it" * (judged_db != db)
            yield notice(
                "W104",
                f"output {shown[name]} keeps only {judged_db:z.1f} dB in int8{behind}",
                {"found": f"{worst_db:z.1f} dB for sample {at}, the worst one"},
                [*more, "myoedge quantize shows where the noise comes from, layer by layer"],
            )


def unlike_decisions(graph: Graph, fidelity: Fidelity, *, accurate: bool) -> Iterator[Notice]:
    """Yield W110 if the integer and the float network predict different classes too often.

    accurate   whether int16 was tried regardless of cycles
    """
    shown = dict(zip(graph.outputs, graph.output_names or graph.outputs, strict=True))
    for name, output in fidelity.outputs.items():
        share, is_index = output.agreement, graph.tensors[name].dtype != "float32"
        symbols = name in graph.producer and OPS[graph.producer[name].op].result.are_symbols
        enough = ENOUGH_AGREEMENT if is_index else SCORES_AGREEMENT
        if share is None or share >= enough or symbols:
            continue
        db = "no signal" if output.db is None else f"SQNR {output.db:z.1f} dB"
        of = " of the differences between scores, before the argmax" * is_index
        yield notice(
            "W110",
            f"output {shown[name]}: int8 and float network agree in only {percent(share)}",
            {
                "needs": f"{percent(enough)} of the decisions",
                "found": f"{db}{of}",
            },
            [*(() if accurate else (ACCURATE,)), "add no constant to all scores: it uses up range"],
        )


def less_accurate(
    network: QuantGraph, fidelity: Fidelity, *, tried: bool, reused: bool
) -> Iterable[Notice]:
    """Return W105 if the SQNR of a network is lower than --accurate requires.

    tried    whether int16 was tried; not if the calibration samples reach the SQNR without it
    reused   whether the decisions of an older build were kept
    """
    db, wanted_db, of = fidelity.worst_judged_db, ACCURATE_DB, ""
    if network.graph.has_fake_quantized:
        wanted_db, of = ROUNDED_DB, " of the file's own roundings"
    found = "int16 was tried for every tensor that supports it"
    tries = ["myoedge report: layers at which the cumulative SQNR falls have only int8 kernels"]
    if not tried:
        found = (
            f"the calibration samples reach {wanted_db:g} dB already, the held-out samples do not"
        )
        tries = ["more calibration samples, more varied ones"]
    if reused:
        found, tries = "--reuse keeps the older build's choices", ["a build without --reuse"]
    if db is not None and db < wanted_db:
        yield notice(
            "W105",
            f"--accurate targets {wanted_db:g} dB{of}, but the worst output reaches {db:z.1f}",
            {"found": found},
            tries,
        )


def small_probabilities(network: QuantGraph) -> Iterator[Notice]:
    """Yield W112 for output probabilities that are below 0.5, or above 0.5, on all samples or for
    all integers.

    If sigmoid(x) is below 0.5 for all samples, 1 - sigmoid(x) is above.
    """
    names = {step.node.name: name for step, name in _named_steps(network)}
    given = (network.graph, network.calibration.seen, network.params)
    for node, (least, most), (lowest, highest) in probability_ranges(*given):
        if min(most, highest) < LIKELY:
            side, end, has = "above", min(most, highest), f"at most {most:.3g}"
        elif max(least, lowest) > 1.0 - LIKELY:
            side, end, has = "below", max(least, lowest), f"at least {least:.3g}"
        else:
            continue
        yield notice(
            "W112",
            f"{names[node.name]}: probabilities {side} {end:.3g} may be cut off",
            {
                "needs": f"calibration samples with a probability {side} 0.5",
                "has": f"probabilities of {has}; the integers give {lowest:.3g} to {highest:.3g}",
            },
            ["calibrate with samples of every class, with the event to detect among them"],
        )


def left_range(network: QuantGraph, judged: Samples | None, role: str) -> Iterator[Notice]:
    """Yield W111 if held-out or test samples have values far outside the calibrated range.

    judged   these samples
    role     their name in messages
    """
    unseen = None if judged is None else unseen_values(network, judged)
    if unseen is None or judged is None:
        return
    names = {step.node.name: name for step, name in _named_steps(network)}
    where = names.get(unseen.name.removesuffix(PRE), named_input(unseen.name))
    given = len(next(iter(judged.values())))
    verb = "leaves" if unseen.samples == 1 else "leave"
    yield notice(
        "W111",
        f"{unseen.samples} of {given} {role} samples {verb} the calibrated range",
        {
            "found": "{}: {:.3g} to {:.3g}".format(where, *unseen.reached),
            "calibrated": "{:.3g} to {:.3g}".format(*unseen.calibrated),
        },
        ["more calibration samples, some with values as large", "limit outliers on the host"],
    )


def cut_branch(network: QuantGraph, samples: Samples) -> Iterator[Notice]:
    """Yield W111 if values saturate that the network computes in a branch that no calibration
    sample takes."""
    cut = saturated_branch(network, samples)
    if cut is None:
        return
    tensor, seen, reached = cut
    names = {step.node.name: name for step, name in _named_steps(network)}
    most = 0.9 * FARTHEST * max(map(abs, seen))  # less than it also if rounded to two digits
    yield notice(
        "W111",
        "a guard or choice that no calibration sample needs inserts values that saturate",
        {
            "found": "{}: {:.3g} to {:.3g}".format(names.get(tensor, tensor), *reached),
            "calibrated": "{:.3g} to {:.3g}".format(*seen),
        },
        [f"insert at most {most:.2g}", "calibration samples that need the guard, such as b = 0"],
    )


def set_by_one(network: QuantGraph, fidelity: Fidelity) -> Iterator[Notice]:
    """Yield W113 for states of loops whose range one calibration sample sets, if samples beyond it
    cost SQNR."""
    db, ends = fidelity.worst_db, fidelity.interval_db
    if db is None or ends is None or ends[0] > db - COSTLY_DB:
        return
    for node, seen, inner in states_of_one_sample(network):
        yield notice(
            "W113",
            f"one calibration sample sets the range of the state in {node.where}",
            {
                "found": "{:.3g} to {:.3g}".format(*seen),
                "without it": "{:.3g} to {:.3g}".format(*inner),
                "interval": f"{ends[0]:.0f} to {ends[1]:.0f} dB: a state that adds up saturates",
            },
            ["more calibration samples, some with values as large", "limit outliers on the host"],
        )


def _named_steps(network: QuantGraph) -> list[tuple[QuantizedNode, str]]:
    steps = [step for step in network.steps if not OPS[step.node.op].view]
    return [*zip(steps, located(steps), strict=True)]


def weak_layers(network: QuantGraph, fidelity: Fidelity) -> Iterable[Notice]:
    """Return warnings about tensors with a low SQNR, one per source line; none if every output
    reaches 30 dB."""
    if (fidelity.worst_judged_db or 0.0) >= GOOD_DB:
        return
    named = _named_steps(network)
    names = {step.node.name: name for step, name in named}
    by_line: dict[str, list[tuple[float, QuantizedNode]]] = {}
    for step, _ in named:
        loss = fidelity.local.get(step.node.name)
        if loss is not None and loss < WEAK_DB:
            source = fidelity.sources.get(step.node.name, step.node.name)
            by_line.setdefault(_line(network.graph, source), []).append((loss, step))
    for weak in by_line.values():
        loss, step = min(weak, key=lambda row: row[0])
        source = fidelity.sources.get(step.node.name, step.node.name)
        name, dtype = names.get(source, named_input(source)), network.dtype(source)
        behind = several(len(weak) - 1, "more layer")
        others = f", and in {behind} near it" * (len(weak) > 1)
        share = f"{10 ** (-WEAK_DB / 10):.0%} of the signal's power"
        yield notice(
            "W102",
            f"{name} keeps only {loss:z.1f} dB in {dtype}, on its own",
            {"found": f"noise above {share}{_where(step, source, names)}{others}"},
            [*_remedies(network, step.node)],
        )


def _line(graph: Graph, source: str) -> str:
    """Return the source line of the layer that computes a tensor; the tensor's name for inputs and
    layers without one."""
    origin = graph.producer[source].origin if source in graph.producer else ()
    return origin[0].source if origin and origin[0].source else source


def _where(step: QuantizedNode, source: str, names: Mapping[str, str]) -> str:
    """Return text that names the layer with the low SQNR, if another layer causes the noise;
    otherwise ""."""
    name = step.node.name
    return "" if name == source else f", as {names[name]} reads it"


def _remedies(network: QuantGraph, weak: Node) -> Iterator[str]:
    """Yield remedies for a layer with a low SQNR, depending on its operator and those before it."""
    ranges, producer = network.calibration.ranges, network.graph.producer
    near = [weak, *(producer[name] for name in weak.inputs if name in producer)]
    for node in near:
        if node.op == "max_pool" and {node.name, node.inputs[0]} <= ranges.keys():
            least, (low, high) = ranges[node.inputs[0]][0], ranges[node.name]
            if high - least > UNUSED * (high - low):
                yield f"fill with a number just below {low:.3g}, not {least:g}, before a maximum"
    if any(node.op == "softmax" for node in near):
        yield "a softmax over many positions has steps of 1/256: pool before it"
    yield "inspect its values: a few large ones leave few of the 256 steps for many small ones"


def renamed(graph: Graph, given: Data) -> Iterable[Notice]:
    if given.renamed:
        (name,) = graph.inputs
        yield notice(
            "W204",
            f"array {given.renamed} is taken for the network's input, {name}",
            {"found": f"{given.source}: its only array, as {name} is the only input"},
            [f"np.savez(..., {name}=...)"],
        )


def flat(graph: Graph, given: Data) -> Iterable[Notice]:
    for name in constant_inputs(graph, given.inputs):
        yield notice(
            "W201",
            f"every calibration value of {named_input(name)} is the same",
            {"found": f"{given.source}: the ranges inside the network remain unknown"},
            [
                "calibrate with real recordings",
                "if it is a mask, include samples that mask something",
            ],
        )


def unlike(network: QuantGraph, older: QuantGraph | None) -> Iterator[Notice]:
    if older is not None and not shares_weights(network, older):
        yield notice(
            "W203",
            "no layer of this network has the weights that it has in the older build",
            {"found": f"the older network is {older.digest[:12]}, this one {network.digest[:12]}"},
            ["--reuse a build of this network, of before it was fine-tuned"],
        )
