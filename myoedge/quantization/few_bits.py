# SPDX-License-Identifier: Apache-2.0
"""Low-bit weights (2 to 8 bits), rounded for a minimal error on the calibration samples."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.numerics.constant_format import ConstantFormat, float_digest
from myoedge.numerics.element_type import INT8, INT16
from myoedge.numerics.quant_params import QuantParams, symmetric_params
from myoedge.numerics.weight_format import BIAS_MAX, Moments, WeightFormat, rounded_rows
from myoedge.operators import kernel_formats
from myoedge.operators.base import OPS
from myoedge.quantization.calibrate import InputArrays, each_sample, subsample_evenly
from myoedge.quantization.float_runs import float_values
from myoedge.quantization.judged import judged, rows_of
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.sqnr import judged_tensors
from myoedge.quantization.stated_widths import LayerRule, weight_bits, weight_rule

ROUNDING_SAMPLES = 16
BLOCK_TAPS = 1024  # columns of weights that compensate each other's rounding errors
INT8_STEPS = 255.0  # int8 steps in a range of activations


@dataclass(frozen=True, eq=False)
class Weight:
    """A weight that is stored once.

    tensors   names of the tensors with these values
    nodes     layers that multiply by them
    """

    tensors: tuple[str, ...]
    nodes: tuple[Node, ...]


def equal_weights(graph: Graph, nodes: Sequence[Node]) -> list[Weight]:
    """Return the weights of layers; tensors of equal values are one weight.

    The first steps before a loop have copies of the loop's weights, for example. Copies that were
    rounded for their own layer alone would differ, and each would be stored.
    """
    found: dict[tuple[object, ...], list[Node]] = {}
    for node in nodes:
        values = graph.array(weight_of(node))
        groups = node.attrs.get("groups", 1)
        found.setdefault((groups, values.shape, values.tobytes()), []).append(node)
    return [Weight(tuple(dict.fromkeys(map(weight_of, x))), tuple(x)) for x in found.values()]


def with_few_bits(graph: Graph, samples: InputArrays, rules: Sequence[LayerRule]) -> Graph:
    """Return the graph with low-bit integers for the weights that a rule sets below 8 bits.

    samples   calibration samples, on which the rounding error is minimised
    Integers of the model file are kept. The float weights are kept too, as the reference for SQNR.
    """
    bits = {node.name: weight_bits(rules, node) for node in graph.nodes}
    few = [
        node
        for node in graph.nodes
        if bits[node.name] < INT8.bits and _has_float_weights(graph, node)
    ]
    return with_rounded_weights(graph, samples, {node.name: bits[node.name] for node in few})


def with_rounded_weights(graph: Graph, samples: InputArrays, bits: Mapping[str, int]) -> Graph:
    """Return the graph with the weights of some layers rounded to minimise the layers' errors on
    the samples.

    bits   layer -> bits of its weights; of layers with the same tensor, the most count
    """
    weights = _weights_by_bits(graph, bits)
    if not weights:
        return graph
    moments = weight_input_moments(graph, samples, [weight for _, weight in weights])
    formats = {
        name: chosen
        for (count, weight), sums in zip(weights, moments, strict=True)
        for chosen in [chosen_format(graph, weight, sums, count)]
        for name in weight.tensors
    }
    return graph.with_formats(formats)


def with_older_rounding(
    graph: Graph,
    older: Mapping[str, ConstantFormat],
    samples: InputArrays,
    rules: Sequence[LayerRule],
) -> Graph:
    """Return the graph with the rounded weights of an older build: its integers if the floats are
    the same, otherwise the same bits, rounded anew on the samples.

    older   weight -> its format there
    Weights whose bits a rule sets to another number, or the model file, are not changed.
    """
    nodes = [node for node in graph.nodes if _keeps_bits(graph, node, older, rules)]
    weights = {weight_of(node) for node in nodes}
    equal = {x: older[x] for x in weights if float_digest(graph.array(x)) == older[x].floats}
    graph = graph.with_formats(equal)
    bits = {node.name: older[weight_of(node)].bits for node in layers_to_round(graph, nodes)}
    return with_rounded_weights(graph, samples, bits)


def _keeps_bits(
    graph: Graph, node: Node, older: Mapping[str, ConstantFormat], rules: Sequence[LayerRule]
) -> bool:
    """Return whether a layer's float weights keep the bits that they have in an older build."""
    if not _has_float_weights(graph, node) or weight_of(node) not in older:
        return False
    rule = weight_rule(rules, node)
    return rule is None or rule.weight_bits == older[weight_of(node)].bits


def _weights_by_bits(graph: Graph, bits: Mapping[str, int]) -> list[tuple[int, Weight]]:
    """Return (bits, weight) of layers; equal tensors with other bits are other weights."""
    nodes, most = [graph.producer[name] for name in bits], dict[str, int]()
    for node in nodes:
        most[weight_of(node)] = max(bits[node.name], most.get(weight_of(node), 0))
    return [
        (count, weight)
        for count in sorted({*most.values()})
        for weight in equal_weights(graph, [x for x in nodes if most[weight_of(x)] == count])
    ]


def weight_noise(network: QuantGraph, samples: InputArrays) -> dict[str, float]:
    """Return the noise power due to low-bit weights alone, relative to the signal, by measured
    tensor; {} without such weights."""
    graph = network.graph
    few = ((name, f, f.integers) for name, f in graph.formats.items())
    rounded = {name: f.real(q) for name, f, q in few if q is not None}
    if not rounded:
        return {}
    other, rows = graph.with_arrays(rounded), rows_of(graph)
    names = [*chain.from_iterable(judged_tensors(network, output) for output in graph.outputs)]
    signal, noise = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for sample in each_sample(subsample_evenly(samples, ROUNDING_SAMPLES)):
        real, changed = float_values(graph, sample), float_values(other, sample)
        for name in signal:
            tensor = judged(rows, name, real)
            signal[name] += tensor.signal
            noise[name] += tensor.error(changed[name])
    return {name: noise[name] / signal[name] for name in signal if signal[name] > 0.0}


def layers_to_round(graph: Graph, nodes: Sequence[Node]) -> list[Node]:
    """Return the layers whose weights can be rounded to fit samples: float weights, not the file's
    integers, that no other layer reads."""
    ours = [node for node in nodes if _has_float_weights(graph, node)]
    names = {node.name for node in ours}
    return [n for n in ours if all(x.name in names for x in graph.users[weight_of(n)])]


def rounding_work(graph: Graph, nodes: Sequence[Node]) -> int:
    """Return the multiply-accumulates of rounding the weights of these layers, without those of
    running the network on samples."""
    weights = [graph.array(weight_of(node)) for node in nodes]
    return sum(w.size * min(w.size // len(w), BLOCK_TAPS) for w in weights)


def _has_float_weights(graph: Graph, node: Node) -> bool:
    """Return whether a layer has float weights, not integers of the model file."""
    if OPS[node.op].weights.multiplicands is None:
        return False
    return graph.is_const(weight_of(node)) and graph.format(weight_of(node)) is None


def weight_of(node: Node) -> str:
    return node.inputs[OPS[node.op].weights.at[0]]


# By group of channels, then by block of taps.
Sums = list[list[Moments]]


def weight_input_moments(
    graph: Graph, samples: InputArrays, weights: Sequence[Weight]
) -> list[Sums]:
    """Return the second moments, over the samples, of the input vectors that each weight is
    multiplied by."""
    sums: list[Sums] = [[] for _ in weights]
    read = {name for weight in weights for node in weight.nodes for name in node.inputs}
    for sample in each_sample(subsample_evenly(samples, ROUNDING_SAMPLES)):
        values = _values_of(graph, sample, read)
        for at, weight in enumerate(weights):
            for node in weight.nodes:
                new = _second_moments(node, [values[name] for name in node.inputs])
                sums[at] = _add_moments(sums[at], new)
    return sums


def _values_of(graph: Graph, sample: InputArrays, names: Collection[str]) -> dict[str, Array]:
    """Return tensor -> its float values in a run, constants included."""
    values = {name: graph.array(name) for name in names if graph.is_const(name)}

    def keep(name: str, value: Array) -> None:
        if name in names:
            values[name] = value

    float_values(graph, sample, keep)
    return values


def _second_moments(node: Node, inputs: Sequence[Array]) -> Sums:
    """Return the second moments of a layer's input vectors in a run, per group and tap block."""
    vectors = OPS[node.op].weights.multiplicands
    assert vectors is not None
    groups = vectors(node.attrs, *inputs).astype(np.float64)
    starts = range(0, groups.shape[2], BLOCK_TAPS)
    return [[Moments.of(group[:, at : at + BLOCK_TAPS]) for at in starts] for group in groups]


def _add_moments(sums: Sums, new: Sums) -> Sums:
    if not sums:
        return new
    groups = zip(sums, new, strict=True)
    return [[x + y for x, y in zip(*group, strict=True)] for group in groups]


def chosen_format(graph: Graph, weight: Weight, groups: Sums, bits: int) -> ConstantFormat:
    """Return integers and scales for a weight that minimise the error on the samples.

    groups   moments of the weight by `weight_input_moments`
    """
    used, values = WeightFormat(bits), graph.array(weight.tensors[0])
    bias = np.max([_bias_size(graph, node) for node in weight.nodes], axis=0)
    rows = values.reshape(len(groups), len(values) // len(groups), -1)
    parts = [
        rounded_rows(w, blocks, used, _minimum_weight_scale(b, blocks))
        for w, b, blocks in zip(rows, bias.reshape(len(groups), -1), groups, strict=True)
    ]
    scale = np.concatenate([scale for _, scale in parts])
    return ConstantFormat(
        scale=tuple(scale.tolist()),
        zero_point=(0,) * len(scale),
        low=-used.high,
        high=used.high,
        integers=np.concatenate([q for q, _ in parts]).reshape(values.shape),
        floats=float_digest(values),
    )


def layers_with_int16_weights(network: QuantGraph) -> frozenset[str]:
    """Return the layers whose weights need more than 8 bits."""
    weighted = (step for step in network.steps if kernel_formats.weight_bits(step.node.op))
    return frozenset(step.node.name for step in weighted if step.weight_bits > INT8.bits)


def format_of(graph: Graph, weight: Weight, groups: Sums, bits: int) -> ConstantFormat:
    """Return integers and scales of `bits` bits for a weight; 8 bits are those beside an int16
    operand, rounded to nearest."""
    return (chosen_format if bits < INT8.bits else _nearest_format)(graph, weight, groups, bits)


def _nearest_format(graph: Graph, weight: Weight, groups: Sums, bits: int) -> ConstantFormat:
    """Return integers and scales for a weight beside an int16 operand, rounded to nearest, with
    sums that fit int32.

    groups   moments of the weight by `weight_input_moments`
    """
    largest = max(block.largest for group in groups for block in group)
    operand = symmetric_params(-largest, largest, INT16)
    return nearest_format(graph, weight, WeightFormat(bits, is_stated=True).beside(INT16), operand)


def nearest_format(
    graph: Graph, weight: Weight, used: WeightFormat, operand: QuantParams
) -> ConstantFormat:
    """Return integers and scales for a weight, rounded to nearest."""
    values = graph.array(weight.tensors[0])
    bias = np.max([_bias_size(graph, node) for node in weight.nodes], axis=0)
    integers, scale = used.quantize(values.astype(np.float64), bias, operand)
    ends = (0,) * len(scale), -used.high, used.high
    return ConstantFormat(
        tuple(scale.tolist()), *ends, integers=integers, floats=float_digest(values)
    )


def _bias_size(graph: Graph, node: Node) -> Array:
    """Return the absolute bias of a layer's channels; 0 without a bias."""
    weight, *others = (node.inputs[i] for i in OPS[node.op].weights.at if i < len(node.inputs))
    if not others:
        return np.zeros(len(graph.array(weight)))
    return np.abs(graph.array(others[0]).astype(np.float64))


def rounding_error(
    values: Array, groups: Sums, chosen: ConstantFormat, *, of_others: bool = False
) -> float:
    """Return the squared error of layers' sums due to a rounded weight, for vectors with the second
    moments `groups`.

    chosen      integers and scales of the rounded weights
    of_others   whether to estimate the error on the same number of vectors that did not determine
                the rounding
    """
    assert chosen.integers is not None
    error = (values - chosen.real(chosen.integers)).astype(np.float64)
    rows = error.reshape(len(groups), len(values) // len(groups), -1)
    total = 0.0
    for row, blocks in zip(rows, groups, strict=True):
        ends = np.cumsum([len(block.squares) for block in blocks])[:-1]
        for part, block in zip(np.split(row, ends, axis=1), blocks, strict=True):
            squares = block.of_others if of_others else block.squares
            total += float(np.sum((part @ squares) * part))
    return total


def _minimum_weight_scale(bias: Array, blocks: Sequence[Moments]) -> Array:
    """Return a minimum weight scale per output channel [K], below which integer biases would exceed
    BIAS_MAX.

    bias   absolute biases [K]
    """
    largest = max(block.largest for block in blocks)
    return bias * INT8_STEPS / (largest * BIAS_MAX) if largest else np.zeros(len(bias))
