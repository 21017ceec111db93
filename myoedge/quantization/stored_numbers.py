# SPDX-License-Identifier: Apache-2.0
"""Integers of a network from elsewhere, compared with those that its graph gives.

Whatever does not depend on the values of weights is computed again and must be equal: index tables,
tables of functions, zero points, shifts. What depends on them (Constants.learnt) must have the
shape and type that weights of this shape give, and must be inside the limits of the kernels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain

import numpy as np

from myoedge.graph.constants import as_constants
from myoedge.graph.ir import Graph, Node, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.element_type import INT16
from myoedge.numerics.requant import INT32_MAX
from myoedge.numerics.weight_format import WeightFormat
from myoedge.operators.base import OPS, QuantizedNode, QuantizedParams, QuantizeInputs
from myoedge.operators.traits import Learnt, inside
from myoedge.quantization.scales import QuantGraph, alike, quantized_at, site_of


def check_stored(network: QuantGraph, weights: Mapping[str, Shape]) -> None:
    """Raise ValueError for the first layer with integers that no weights of these shapes can give.

    weights   shapes of the constants, by name
    """
    for name, array in network.constants.items():
        stated, kind = weights[name], network.element_type(name).dtype
        if array.shape != stated or array.dtype != kind:
            raise ValueError(f"constant {name} is not {kind} {list(stated)}")
    for step in network.steps:
        if fault := next(_faults_of_integers(network, step, weights), None):
            raise ValueError(f"{step.node.name}: {fault}")


def _faults_of_integers(
    network: QuantGraph, step: QuantizedNode, weights: Mapping[str, Shape]
) -> Iterator[str]:
    """Yield what is wrong with a layer's integers."""
    learnt = OPS[step.node.op].constants.learnt
    graph = _substitute_weights(network, step.node, weights, learnt)
    wide = getattr(step.integers, "weight", np.int8(0)).dtype == INT16.dtype
    site = site_of(graph, step.node, network.params, WeightFormat(16 if wide else 8))
    again = quantized_at(site, graph, step.node, network.params)
    moves = OPS[step.node.op].is_data_movement  # without a limit
    low, high = (step.low, step.high) if moves else (again.low, again.high)
    own = {"integers": step.integers, "engine": step.engine, "low": low, "high": high}
    if replace(again, **own) != step:
        yield "operands or limits are not those of the graph"
    if any(_returns_state_of(step, other) for other in network.steps):
        return
    yield from chain.from_iterable(_differing_fields(step.integers, again.integers, learnt))
    if not _is_within_kernel_limits(step, learnt, site):
        yield "numbers are out of range"


def _is_within_kernel_limits(step: QuantizedNode, learnt: Learnt, site: QuantizeInputs) -> bool:
    """Return whether a layer's integers are inside the limits of its kernels."""
    numbers = step.integers
    ranges = {
        name: span
        for name, span in learnt.ranges.items()
        if getattr(numbers, name, None) is not None
    }
    return inside(numbers, ranges) and learnt.fits(numbers, site) and step.bound <= INT32_MAX


def _returns_state_of(step: QuantizedNode, other: QuantizedNode) -> bool:
    """Return whether a step returns the state of another one, which is checked, with its
    integers."""
    return (
        OPS[step.node.op].result.state_of == other.node.op
        and step.node.inputs == other.node.inputs
        and step.node.attrs == {k: v for k, v in other.attrs.items() if k != "act"}
        and alike(step.integers, replace(other.integers, table=None))
    )


def _substitute_weights(
    network: QuantGraph, node: Node, weights: Mapping[str, Shape], learnt: Learnt
) -> Graph:
    """Return the graph with weights of one node, instead of those that a build does not have."""
    graph = network.graph
    shapes = [weights[x] if x in weights else graph.shape(x) for x in node.inputs]
    given = learnt.weights(shapes)
    made = {
        node.inputs[i]: given[i] if i in given else np.ones(shapes[i], np.float32)
        for i in OPS[node.op].weights.at
        if i < len(node.inputs)
    }
    return replace(graph, constants={**graph.constants, **as_constants(made)})


def _differing_fields(
    stored: QuantizedParams, again: QuantizedParams, learnt: Learnt
) -> Iterator[Iterator[str]]:
    """Yield what differs in each field."""
    if type(stored) is not type(again):
        yield iter([f"{type(stored).__name__} in place of {type(again).__name__}"])
        return
    old, new = ({**x.scalars, **x.arrays} for x in (stored, again))
    if other := sorted((old.keys() ^ new.keys()) - learnt.optional):
        yield iter([f"{other[0]} is missing or too much"])
        return
    for name in old.keys() & new.keys():
        yield _field_differs(name, np.asarray(old[name]), np.asarray(new[name]), learnt)


def _field_differs(name: str, stored: Array, again: Array, learnt: Learnt) -> Iterator[str]:
    first = int(name in learnt.varying)
    if (stored.dtype, stored.ndim, stored.shape[first:]) != (
        again.dtype,
        again.ndim,
        again.shape[first:],
    ):
        yield f"{name} is {stored.dtype} {list(stored.shape)}"
    elif name not in learnt.ranges and not np.array_equal(stored, again):
        yield f"{name} is not what the graph gives"
