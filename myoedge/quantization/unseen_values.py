# SPDX-License-Identifier: Apache-2.0
"""Values far outside the calibrated range: of held-out samples, and of branches that no calibration
sample takes."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np

from myoedge.graph.ir import Graph
from myoedge.numerics.pointwise import FLOAT_MAX
from myoedge.numerics.quant_params import QuantParams, dequantize
from myoedge.operators.interpreter import PRE
from myoedge.operators.turns import IN_LOOPS
from myoedge.quantization.calibrate import InputArrays, each_sample
from myoedge.quantization.float_runs import float_values
from myoedge.quantization.masked_ranges import Range
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.unseen_branches import branch_runs

FAR_SHARE = 0.25  # fraction of the calibrated range; new samples usually exceed it a little


@dataclass(frozen=True, slots=True)
class Unseen:
    """The first tensor of a network with values far outside the calibrated range.

    name         name of the tensor
    calibrated   its range on the calibration samples
    reached      its range on the held-out samples
    samples      number of held-out samples in which any tensor has such values
    """

    name: str
    calibrated: Range
    reached: Range
    samples: int


def unseen_values(q: QuantGraph, samples: InputArrays) -> Unseen | None:
    """Return the first tensor that saturates on samples, far outside the calibrated range; None if
    there is none."""
    seen, reached, count = q.calibration.seen, dict[str, Range](), 0
    names = _calibrated_tensors(q)
    for sample in each_sample(samples):
        real = float_values(q.graph, sample)
        spans = {x: (float(real[x].min()), float(real[x].max())) for x in names}
        far = {x: span for x, span in spans.items() if _is_far_outside(span, seen[x], q.params[x])}
        reached = {
            x: _union_of_ranges(far.get(x), reached.get(x)) for x in far.keys() | reached.keys()
        }
        count += bool(far)
    first = next(filter(reached.__contains__, names), None)
    return None if first is None else Unseen(first, seen[first], reached[first], count)


def saturated_branch(q: QuantGraph, samples: InputArrays) -> tuple[str, Range, Range] | None:
    """Return (tensor, range over the calibration samples, values) of the first tensor that is far
    from the float network's in branches that no calibration sample takes, as values in them
    saturate; None if there is none.

    samples   whose arguments are replaced by those of the branches
    Tensors that only operators on elements read are not counted, as these may hide a value.
    """
    points, found = q.calibration.unseen, dict[str, Range]()
    limits = {name: _represented_range(params) for name, params in q.params.items()}
    exact = branch_runs(q.graph, each_sample(samples), points)
    cut = branch_runs(q.graph, each_sample(samples), points, limits)
    for (values, real), (_, limited) in zip(exact, cut, strict=True):
        for name in filter(partial(_is_output_or_operator_input, q.graph, real), real):
            low, high = q.calibration.seen[name]
            far = FAR_SHARE * (max(high, 0.0) - min(low, 0.0))
            lost = np.abs(real[name]) < FLOAT_MAX
            lost &= np.abs(real[name] - limited[name]) > far
            new = real[name][lost & (real[name] != values[name])]
            if new.size:
                found[name] = _union_of_ranges(
                    (float(new.min()), float(new.max())), found.get(name)
                )
    first = next(filter(found.__contains__, _calibrated_tensors(q)), None)
    return None if first is None else (first, q.calibration.seen[first], found[first])


def _is_output_or_operator_input(graph: Graph, real: Container[str], name: str) -> bool:
    """Return whether a tensor is an output, or an operator reads it that runs of branches leave
    out."""
    readers = graph.users.get(name, ())
    return name in graph.tensors and (
        name in graph.outputs or any(node.name not in real for node in readers)
    )


def _calibrated_tensors(q: QuantGraph) -> list[str]:
    """Return the tensors with calibrated ranges, inputs first; states and rows of loops have the
    ranges of the tensors that they carry."""
    nodes = (node for node in q.graph.nodes if node.op not in IN_LOOPS)
    computed = chain.from_iterable((node.name + PRE, node.name) for node in nodes)
    known = q.calibration.seen.keys() & q.params.keys()
    return [name for name in (*q.graph.inputs, *computed) if name in known]


def _is_far_outside(span: Range, seen: Range, params: QuantParams) -> bool:
    """Return whether values are far outside the calibrated range and the integers' range."""
    low, high = _represented_range(params)
    beyond = max(seen[0] - span[0], span[1] - seen[1])
    return beyond > FAR_SHARE * (seen[1] - seen[0]) and (span[0] < low or high < span[1])


def _represented_range(params: QuantParams) -> Range:
    low, high = (float(dequantize(np.array(end), params)) for end in (params.low, params.high))
    return low, high


def _union_of_ranges(*spans: Range | None) -> Range:
    known = [span for span in spans if span is not None]
    return min(low for low, _ in known), max(high for _, high in known)
