# SPDX-License-Identifier: Apache-2.0
"""Warnings of a network in integers: weak outputs and layers, samples that teach nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from myoedge.errors import Notice, notice
from myoedge.graph.ir import Graph, Node
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.layer_names import located
from myoedge.quantization.accuracy import judges
from myoedge.quantization.calibrate import constant_inputs
from myoedge.quantization.reuse import shares_weights
from myoedge.quantization.samples import Data
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import Fidelity
from myoedge.quantization.trials import ACCURATE_DB

WEAK_LAYER_DB = 12.0  # of one layer alone; usual layers have 30 to 45
WEAK_OUTPUT_DB = 20.0  # noise is 1 % of the signal's power
UNUSED = 4.0  # times what a maximum gives: what it reads has as much, which is a mask's fill


def weak_outputs(graph: Graph, fidelity: Fidelity) -> Iterable[Notice]:
    """Outputs that lose much, whichever layers do."""
    shown = dict(zip(graph.outputs, graph.output_names or graph.outputs, strict=True))
    for name, db in fidelity.computed_db.items():
        if db < WEAK_OUTPUT_DB:
            at, worst_db = fidelity.outputs[name].worst_sample or (0, db)
            yield notice(
                "W104",
                f"output {shown[name]} keeps only {db:.1f} dB in int8",
                {"found": f"{worst_db:.1f} dB for sample {at}, the worst one"},
                ["myoedge quantize shows where the noise comes from, layer by layer"],
            )


def less_accurate(fidelity: Fidelity) -> Iterable[Notice]:
    """W105 of a network that keeps less than --accurate asks for."""
    db = fidelity.worst_judged_db
    if db is not None and db < ACCURATE_DB:
        yield notice(
            "W105",
            f"--accurate asks for {ACCURATE_DB:g} dB, and the worst output keeps {db:.1f}",
            {"found": "16 bits were tried for every tensor that can have them"},
            ["myoedge report: the layers whose SQNR so far falls have results of 8 bits alone"],
        )


def weak_layers(network: QuantGraph, fidelity: Fidelity) -> Iterable[Notice]:
    """Layers that lose much on their own: int8 is too coarse for what they compute. Of those of one
    source line the worst; none where every output keeps 30 dB all the same: what is lost is read by
    nothing, as the fill of a mask in front of a maximum."""
    if (fidelity.worst_judged_db or 0.0) >= ACCURATE_DB:
        return
    steps = [step for step in network.steps if not OPS[step.node.op].view]
    by_line: dict[object, list[tuple[float, str, QuantizedNode]]] = {}
    for step, name in zip(steps, located(steps), strict=True):
        loss = fidelity.local.get(step.node.name)
        if loss is not None and loss < WEAK_LAYER_DB:
            line = step.node.origin[0].source if step.node.origin else ""
            by_line.setdefault(line or name, []).append((loss, name, step))
    for weak in by_line.values():
        loss, name, step = min(weak, key=lambda row: row[0])
        others = f", and of {len(weak) - 1} more of its source line" if len(weak) > 1 else ""
        share = f"{10 ** (-WEAK_LAYER_DB / 10):.0%} of the signal's power"
        yield notice(
            "W102",
            f"{name} keeps only {loss:.1f} dB in int8, on its own",
            {"found": f"noise above {share}{others}"},
            [*_remedies(network, step.node)],
        )


def _remedies(network: QuantGraph, weak: Node) -> Iterator[str]:
    """Remedies for a layer with low SQNR, by its operator and its operands."""
    ranges, producer = network.calibration.ranges, network.graph.producer
    near = [weak, *(producer[name] for name in weak.inputs if name in producer)]
    for node in near:
        if node.op == "max_pool" and {node.name, node.inputs[0]} <= ranges.keys():
            least, (low, high) = ranges[node.inputs[0]][0], ranges[node.name]
            if high - least > UNUSED * (high - low):
                yield f"fill with a number just below {low:.3g}, not {least:g}, before a maximum"
    if any(node.op == "softmax" for node in near):
        yield "a softmax over many positions has steps of 1/256: pool before it"
    yield "look at its values: few large and many small ones do not share 256 steps"


def renamed(graph: Graph, given: Data) -> Iterable[Notice]:
    if given.renamed:
        (name,) = graph.inputs
        yield notice(
            "W204",
            f"array {given.renamed} is taken for the input {name}",
            {"found": f"{given.source}: its only array, and the network's only input"},
            [f"np.savez(..., {name}=...)"],
        )


def flat(graph: Graph, given: Data) -> Iterable[Notice]:
    for name in constant_inputs(graph, given.inputs):
        yield notice(
            "W201",
            f"every calibration value of input {name} is the same",
            {"found": f"{given.source}: the ranges inside the network remain unknown"},
            [
                "calibrate with real recordings",
                "where it is a mask, with some in which it hides: what it leaves makes the ranges",
            ],
        )


def unjudged(graph: Graph, given: Data, accuracies: Sequence[float | None]) -> Iterable[Notice]:
    scores = ("label [samples, frames], a class for every frame", "a softmax over the classes")
    symbols = ("a build without --ctc: lists of symbols are not judged",)
    if given.labels is not None and None in accuracies:
        yield notice(
            "W202",
            "the accuracy is not measured: what has the classes in the output is not known",
            {"found": f"label {list(given.labels.shape)}"},
            scores if judges(graph) else symbols,
        )


def unlike(network: QuantGraph, older: QuantGraph | None) -> Iterator[Notice]:
    if older is not None and not shares_weights(network, older):
        yield notice(
            "W203",
            "no layer of this network has the weights that it has in the older build",
            {"found": f"the older network is {older.digest[:12]}, this one {network.digest[:12]}"},
            ["--reuse a build of this network, of before it was fine-tuned"],
        )
