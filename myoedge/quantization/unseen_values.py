# SPDX-License-Identifier: Apache-2.0
"""Values far outside the calibrated range: of held-out samples, and of branches that no calibration
sample takes; their cost, estimated from the calibration samples."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.pointwise import FLOAT_MAX
from myoedge.numerics.quant_params import QuantParams, dequantize, round_up_12_bits
from myoedge.operators.interpreter import PRE
from myoedge.operators.turns import IN_LOOPS, NEXT
from myoedge.quantization.calibrate import Calibration, InputArrays, each_sample, read_ranges
from myoedge.quantization.fidelity import Fidelity
from myoedge.quantization.float_runs import float_values
from myoedge.quantization.masked_ranges import Range
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.state import Design, Workshop
from myoedge.quantization.sqnr import measure
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


# --- cost of new samples beyond the calibrated ranges, estimated from the calibration samples -----

MOST_SAMPLES = 64  # calibration samples; beyond, less than 5 % of new samples exceed an end


def beyond_ranges(workshop: Workshop, design: Design) -> Fidelity | None:
    """Return the SQNR on the calibration samples if each end of each range is that of the samples
    other than the MOST_BEYOND that reach furthest; None if there are too many samples to matter, or
    only one.

    With a confidence of 95 %, new samples exceed an end of n samples no more often than calibration
    samples exceed that of these ranges.
    """
    count, narrow = design.calibration.count, without_extremes(design.graph, design.calibration)
    if not 1 < count <= MOST_SAMPLES or narrow.ranges == design.calibration.ranges:
        return None
    with suppress(MyoedgeError):  # sums of narrower ranges may not fit in int32
        network = workshop.make(replace(design, calibration=narrow)).engined
        return measure(network, workshop.bench.samples, layers=False)
    return None


def without_extremes(graph: Graph, calibration: Calibration) -> Calibration:
    """Return a calibration in which each end of a range that comes from the samples is that of the
    samples other than the MOST_BEYOND that reach furthest, or of the last one."""
    found = dict(calibration.ranges)
    for name, (*_, (low, high)) in calibration.inner.items():
        (first, last), ends = calibration.seen[name], found.get(name)
        if ends is not None:
            lowest, highest = (round_up_12_bits(x) for x in (first, last))
            least = max(ends[0], round_up_12_bits(low)) if ends[0] >= lowest else ends[0]
            most = min(ends[1], round_up_12_bits(high)) if ends[1] <= highest else ends[1]
            found[name] = least, most
    is_minmax = calibration.observer.method == "minmax"
    return replace(calibration, ranges=read_ranges(graph, found) if is_minmax else found)


def states_of_one_sample(q: QuantGraph) -> Iterator[tuple[Node, Range, Range]]:
    """Yield (update of a loop's state, its range, its range without the samples that set its ends)
    for ranges that one sample extends by more than a quarter."""
    for node in q.graph.nodes:
        inner = q.calibration.inner.get(node.name) if node.op == NEXT else None
        if inner is not None:
            (low, high), (least, most) = q.calibration.seen[node.name], inner[0]
            if max(least - low, high - most) > FAR_SHARE * (most - least):
                yield node, (low, high), (least, most)
