# SPDX-License-Identifier: Apache-2.0
"""Reuse of an earlier build's parameters for the unchanged layers of a fine-tuned network."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from myoedge.graph.constants import TensorQuant
from myoedge.graph.ir import Graph, Node, plain
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.interpreter import PRE
from myoedge.quantization.calibrate import InputArrays
from myoedge.quantization.few_bits import with_older_rounding
from myoedge.quantization.formats import operand_names, tables_apart, with_tables_apart
from myoedge.quantization.joins import copied_parts, with_copies
from myoedge.quantization.scales import QuantGraph, equal, quantize_node
from myoedge.quantization.search.moves.equalize import NO_AXES, equalized, is_equalized
from myoedge.quantization.search.moves.layers import fine_attentions, with_exp_bits
from myoedge.quantization.stated_widths import LayerRule


@dataclass(frozen=True, slots=True)
class Reuse:
    """Names of the layers that keep the integers of an earlier build.

    digest        digest of the earlier build's network
    kept          layers with its integers
    requantised   layers with other integers
    rounded       layers among these whose other weights were rounded to the earlier build's bits
    """

    digest: str
    kept: tuple[str, ...]
    requantised: tuple[str, ...]
    rounded: tuple[str, ...] = ()


def inherit_params(
    graph: Graph,
    old: QuantGraph,
    rules: tuple[LayerRule, ...],
    samples: InputArrays,
    time_axes: Mapping[str, int] = NO_AXES,
) -> Graph:
    """Return the graph with the quantisation parameters of an earlier build in unchanged layers.

    The graph changes of that build are repeated: copies for concats, separate tables, exponential
    formats, equalization, weights rounded for samples and weights of fewer bits.
    old         network of the earlier build
    samples     samples for equalization; the earlier build's samples give the same factors
    time_axes   as for `equalized`

    A layer is unchanged if its weights give the old integers with the old parameters; without
    weights, if all layers before it are unchanged. Parameters that the graph already has are kept.
    """
    graph = _apply_earlier_changes(old.graph, graph, samples, time_axes)
    graph = with_older_rounding(graph, old.graph.formats, samples, rules)
    steps = {step.node.name: step for step in old.steps}
    shapes = {name: tensor.shape for name, tensor in old.graph.tensors.items()}
    in_frames = any(shapes.get(name) not in (None, graph.shape(name)) for name in graph.inputs)
    unchanged = {x for x in graph.inputs if in_frames or shapes.get(x) == graph.shape(x)}
    kept: dict[str, QuantParams] = {}
    for node in graph.nodes:
        before, operands = steps.get(node.name), operand_names(node)
        if before is None or not _matches_older_node(before, node, graph, in_frames):
            continue
        if _has_unchanged_integers(node, before, graph, old, rules, unchanged):
            unchanged.add(node.name)
            names = (*operands, node.name, node.name + PRE)
            kept |= {name: old.params[name] for name in names if name in old.params}
    new = {name: TensorQuant(q) for name, q in kept.items() if graph.given(name) is None}
    return graph.with_given(new)


def _has_unchanged_integers(
    node: Node,
    before: QuantizedNode,
    graph: Graph,
    old: QuantGraph,
    rules: tuple[LayerRule, ...],
    unchanged: Container[str],
) -> bool:
    """Return whether a layer's weights give the old integers; without weights, whether all layers
    before it are unchanged."""
    if not OPS[node.op].weights.at:
        return all(x in unchanged or graph.is_const(x) for x in node.inputs)
    if not all(x in old.params or graph.is_const(x) for x in operand_names(node)):
        return False
    ways = (partial(quantize_node, unsigned_sums=unsigned) for unsigned in (False, True))
    return any(equal(way(graph, node, old.params, rules), before) for way in ways)


def _apply_earlier_changes(
    old: Graph, graph: Graph, samples: InputArrays, time_axes: Mapping[str, int]
) -> Graph:
    """Return the graph with the changes that the earlier build made to its own graph: copies,
    equalization, separate tables, exponential formats."""
    graph = with_copies(graph, copied_parts(old))
    if is_equalized(old):
        graph = equalized(graph, samples, time_axes)
    graph = with_tables_apart(graph, tables_apart(old))
    return with_exp_bits(graph, fine_attentions(old))


def _matches_older_node(before: QuantizedNode, node: Node, graph: Graph, in_frames: bool) -> bool:
    """Return whether a node has the operator and attributes of the older build's node.

    in_frames   whether the older build's inputs are frames of a stream, whose layers read states
                instead of padding
    """
    if before.node.op != node.op:
        return False
    old, new = plain(before.node.attrs), plain(node.attrs)
    if in_frames:
        return {**old, "pads": None} == {**new, "pads": None}
    operands = operand_names(node)
    alike = old == new and before.operands == operands
    return alike and before.shapes == tuple(map(graph.shape, operands))


def reused_layers(
    layers: Iterable[QuantizedNode], networks: Sequence[QuantGraph], old: QuantGraph
) -> Reuse:
    """Return which layers of a plan have the integers of an earlier build, and which were
    requantised.

    layers     layers of the plan; those that the network lacks, such as copies of states, are
               ignored
    networks   the network and, for a stream, the network of one pass
    old        network of the earlier build; compared with the one of `networks` with equal inputs
    """
    inputs = set(old.graph.inputs)
    network = next((q for q in networks if set(q.graph.inputs) == inputs), networks[0])
    rows = [*_steps_by_layer(layers, network)]
    same, others = _compared_steps(network, old)
    return Reuse(
        old.digest,
        kept=tuple(label for label, names in rows if names <= same),
        requantised=tuple(label for label, names in rows if not names <= same),
        rounded=tuple(label for label, names in rows if names & others),
    )


def _compared_steps(network: QuantGraph, old: QuantGraph) -> tuple[set[str], set[str]]:
    """Return the steps with the integers of an earlier build, and those whose weights have its bits
    but other floats."""
    before = {step.node.name: step for step in old.steps}
    pairs = ((step, before.get(step.node.name)) for step in network.steps)
    same = {step.node.name for step, older in pairs if older is not None and equal(step, older)}
    new, formats = network.graph.formats, old.graph.formats
    weights = (x for x in new.keys() & formats.keys() if new[x].floats != formats[x].floats)
    return same, {node.name for name in weights for node in network.graph.users[name]}


def _steps_by_layer(
    layers: Iterable[QuantizedNode], network: QuantGraph
) -> Iterator[tuple[str, set[str]]]:
    """Yield (label, steps of the network that a planned layer computes): two for a fused layer."""
    steps = {step.node.name: step for step in network.steps}
    for layer in (x for x in layers if x.node.name in steps):
        names = {x.node.name for x in (layer, *layer.members[:-1])}
        if layer.behind is not None:
            step = steps[next(x for x in layer.behind.operands if x not in layer.operands)]
            while step.node.op != layer.node.op:  # skip views of the first layer's result
                step = steps[step.node.inputs[0]]
            names.add(step.node.name)
        yield layer.node.label, names


def shares_weights(network: QuantGraph, old: QuantGraph) -> bool:
    """Return whether at least one layer has the same integers as before, or none has weights."""
    steps = {step.node.name: step for step in old.steps}
    weighted = [step for step in network.steps if OPS[step.node.op].weights.at]
    pairs = [(step, steps.get(step.node.name)) for step in weighted]
    same = (before is not None and equal(step, before) for step, before in pairs)
    return not weighted or any(same)
