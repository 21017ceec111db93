# SPDX-License-Identifier: Apache-2.0
"""Warnings about tensors with suspicious ranges: constant, dominated by a fill, or clipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from myoedge.errors import Notice, notice
from myoedge.graph.ir import Graph
from myoedge.numerics.quant_params import QuantParams
from myoedge.operators.base import OPS
from myoedge.quantization.fills import fills_of
from myoedge.quantization.masked_ranges import Range


def weak_layers(
    graph: Graph, ranges: Mapping[str, Range], params: Mapping[str, QuantParams]
) -> Iterator[Notice]:
    """Yield warnings about tensors: W101 an output that is constant on the calibration samples;
    W103 a fill far from all other values that no softmax hides; W106 an initial state that int8
    clips.

    ranges, params   range and quantisation parameters of every tensor
    """
    yield from _cut_states(graph, ranges, params)
    for node in graph.nodes:
        low, high = ranges.get(node.name, (0.0, 1.0))
        if OPS[node.op].multiplies and low == high:
            yield notice(
                "W101",
                f"{node.where} is dead: its output is {low:g} for every calibration sample",
                {"found": "the rest of the network learns nothing from it"},
                ["calibrate with samples of every class", "look for a dying ReLU in training"],
            )
    for node, name, fill in fills_of(graph, ranges):
        if not graph.is_const(name):
            continue
        yield notice(
            "W103",
            f"{node.where} fills with {fill:g}, which leaves int8 nothing for all other values",
            {"found": f"steps of {abs(fill) / 255:.3g}"},
            [
                "fill with a value of the tensor: torch.where(mask, x.amin(), x), or x.amax()",
                "such a fill is only for tensors that only a softmax reads",
            ],
        )


def _cut_states(
    graph: Graph, ranges: Mapping[str, Range], params: Mapping[str, QuantParams]
) -> Iterator[Notice]:
    """Yield W106 for recurrent layers whose initial state exceeds their int8 range."""
    for node in graph.nodes:
        own = OPS[node.op].fixed_params
        if own is None or params.get(node.name) != own:
            continue
        for name in (node.inputs[i] for i in OPS[node.op].first_states):
            given = graph.find_array(name)
            low, high = ranges[name] if given is None else (float(given.min()), float(given.max()))
            reach = -own.low * own.scale
            if max(-low, high) <= reach + own.scale:
                continue
            paths = dict.fromkeys(origin.path for origin in node.origin)
            yield notice(
                "W106",
                f"{node.where} begins with a state outside its int8 range",
                {"needs": f"-{reach:g} to {reach:g}", "has": f"{low:g} to {high:g}"},
                [f'[quant] "{path}" = {{ activations = 16 }}' for path in paths],
            )
