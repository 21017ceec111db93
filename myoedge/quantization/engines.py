# SPDX-License-Identifier: Apache-2.0
"""Layers of a quantised network that engines beside the cores may run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from myoedge.operators.base import OPS, QuantizedNode
from myoedge.quantization.scales import LayerRule, QuantGraph, quantize_node


def with_engines(
    network: QuantGraph, engines: Collection[str], rules: Sequence[LayerRule] = ()
) -> QuantGraph:
    """The network, requantised without a pre-shift where one of the engines then runs a layer.

    Cores compute the same integers, so that the planner may still choose them.
    """
    steps = tuple(_with_engine(network, step, engines, tuple(rules)) for step in network.steps)
    return replace(network, steps=steps)


def _with_engine(
    network: QuantGraph,
    step: QuantizedNode,
    engines: Collection[str],
    rules: tuple[LayerRule, ...],
) -> QuantizedNode:
    kernels = [
        kernel
        for kernel in OPS[step.node.op].kernels
        if kernel.unsigned_sums and kernel.engine in engines
    ]
    if not kernels:
        return step
    again = quantize_node(network.graph, step.node, network.params, rules, unsigned_sums=True)
    return again if any(kernel.accepts(again) for kernel in kernels) else step
