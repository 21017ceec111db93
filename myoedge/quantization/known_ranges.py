# SPDX-License-Identifier: Apache-2.0
"""Ranges that follow from operators: of outputs, such as probabilities from 0 to 1, and of tensors
with few possible values, also if the samples do not show all of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.pointwise import COMPARISONS, Chain, evaluate
from myoedge.numerics.quant_params import QuantParams, dequantize, quantize
from myoedge.operators.base import OPS
from myoedge.operators.embedding import table_range
from myoedge.operators.interpreter import PRE, result_bounds
from myoedge.operators.library.known_values import truth_range
from myoedge.quantization.masked_ranges import Range

REACH = np.arange(-1024, 1025) / 64.0  # arguments of functions, up to near their bounds
NEAR = 2.0**-8  # fraction of the distance between the bounds: one int8 step
PROBABILITY = (0.0, 1.0)


def full_ranges(graph: Graph, seen: Mapping[str, Range]) -> dict[str, Range]:
    """Return tensor -> range: the full range of bounded outputs, such as 0 .. 1, and matching
    ranges of their operators' inputs.

    seen   range of every tensor over the samples
    """
    found: dict[str, Range] = {}
    for node, bounds in bounded_results(graph):
        found[node.name] = bounds
        chain, operand = _fused_functions(node)
        if chain and operand in seen:
            found[operand] = _extend_range_to_bound(chain, bounds, seen[operand], seen[node.name])
    return found


def bounded_results(graph: Graph) -> Iterator[tuple[Node, Range]]:
    """Yield (node, bounds) of the bounded operators whose results are outputs, possibly through
    data movement."""
    left, done = [*graph.outputs], set[str]()
    while left:
        node = graph.producer.get(name := left.pop())
        if node is None or name in done:
            continue
        done.add(name)
        if OPS[node.op].same_scale:
            left += node.inputs
        elif (bounds := result_bounds(node)) is not None:
            yield node, bounds


def _fused_functions(node: Node) -> tuple[Chain, str]:
    """Return the pointwise functions of a table or fused activation, and their input tensor."""
    if node.op == "table":
        return node.attrs["chain"], node.inputs[0]
    return node.attrs.get("act", ()), node.name + PRE


def _extend_range_to_bound(chain: Chain, bounds: Range, operand: Range, result: Range) -> Range:
    """Return the operand's range, extended to where the function nears a bound if no sample's
    result was in that half of the bounds."""
    low, high = bounds
    values, near = evaluate(chain, REACH), NEAR * (high - low)
    middle, ends = (low + high) / 2, [*operand]
    for is_unseen, is_reached in (
        (result[1] <= middle, values >= high - near),
        (result[0] >= middle, values <= low + near),
    ):
        if is_unseen and is_reached.any():
            ends.append(float(min(REACH[is_reached], key=abs)))
    return min(ends), max(ends)


def probability_ranges(
    graph: Graph, seen: Mapping[str, Range], params: Mapping[str, QuantParams]
) -> Iterator[tuple[Node, Range, Range]]:
    """Yield (node, range over the samples, range of its integers) for outputs that are
    probabilities.

    seen     range of every tensor over the samples
    params   quantisation parameters of every tensor
    A probability is bounded by 0 and 1, or by limits between them on both sides of 0.5. For a
    softmax, the range over the samples is (0, 1), because with many classes all its values may be
    small.
    """
    for node, bounds in bounded_results(graph):
        after = params.get(node.name)
        if 0.0 <= bounds[0] < 0.5 < bounds[1] <= 1.0 and after is not None:
            chain, operand = _fused_functions(node)
            found, before, sampled = np.array((after.low, after.high)), params.get(operand), bounds
            if chain and before is not None:
                given = dequantize(np.arange(before.low, before.high + 1), before)
                found = quantize(np.nan_to_num(evaluate(chain, given)), after)
                sampled = seen.get(node.name, PROBABILITY)
            y = dequantize(found, after)
            yield node, sampled, (float(y.min()), float(y.max()))


# --- few possible values --------------------------------------------------------------------------


Values = tuple[float, ...]
TRUTH: Values = (0.0, 1.0)
JOINED: Mapping[str, Callable[[Sequence[float]], float]] = {"mul": math.prod, "maximum": max}
VALUES_MAX = 4
COMPARE = "integer_compare"


def fixed_ranges(graph: Graph) -> dict[str, Range]:
    """Return the ranges that do not depend on the samples: of rows of tables, and of
    comparisons."""
    ops = {node.op for node in graph.nodes}
    found = table_range(graph) if "embedding" in ops else {}
    return found | (truth_range(graph) if any(op.startswith(COMPARE) for op in ops) else {})


def choice_ranges(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Return the ranges of tensors with few possible values.

    ranges   tensor -> range over the samples
    """
    if not any(node.op.startswith(("table", COMPARE)) for node in graph.nodes):
        return {}
    known = few_values(graph).items()
    return {name: (min(values), max(values)) for name, values in known if name in ranges}


def few_values(graph: Graph) -> dict[str, Values]:
    """Return the possible values of tensors that are computed from comparisons alone, at most
    VALUES_MAX each; also before a fused function (name + PRE)."""
    known: dict[str, Values] = {}
    for node in graph.nodes:
        given, functions = _possible_values(node, [known.get(x, ()) for x in node.inputs])
        values = _distinct_values(evaluate(functions, np.array(given)))
        if 0 < len(given) <= VALUES_MAX and np.isfinite(values).all():
            known[node.name] = values
            known |= {node.name + PRE: given} if "act" in node.attrs else {}
    return known


def _possible_values(node: Node, read: Sequence[Values]) -> tuple[Values, Chain]:
    """Return the possible values of an operator before functions of its result, and these
    functions; () if the values are not known.

    read   possible values of the operands
    """
    chain = node.attrs.get("chain", node.attrs.get("act", ()))
    if node.op.startswith(COMPARE):
        return TRUTH, chain
    if node.op == "table":
        at = [i for i, call in enumerate(chain) if call[0] in COMPARISONS]
        return (TRUTH, chain[at[-1] + 1 :]) if at else (read[0], chain)
    if node.op in JOINED:
        return _distinct_values(map(JOINED[node.op], itertools.product(*read))), chain
    moved = OPS[node.op].is_data_movement and all(read)
    return _distinct_values(itertools.chain(*read)) if moved else (), chain


def _distinct_values(values: Iterable[float]) -> Values:
    return tuple(sorted({float(value) for value in values}))
