# SPDX-License-Identifier: Apache-2.0
"""Cost of new samples beyond the calibrated ranges, estimated from the calibration samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Graph, Node
from myoedge.numerics.quant_params import round_up_12_bits
from myoedge.operators.turns import STATE
from myoedge.quantization.calibrate import Calibration, read_ranges
from myoedge.quantization.fidelity import Fidelity
from myoedge.quantization.masked_ranges import Range
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.search.state import Design, Workshop
from myoedge.quantization.sqnr import measure
from myoedge.quantization.unseen_values import FAR_SHARE

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
    """Yield (state of a loop, its range, its range without the samples that set its ends) for
    ranges that one sample extends by more than a quarter."""
    for node in q.graph.nodes:
        inner = q.calibration.inner.get(node.name) if node.op == STATE else None
        if inner is not None:
            (low, high), (least, most) = q.calibration.seen[node.name], inner[0]
            if max(least - low, high - most) > FAR_SHARE * (most - least):
                yield node, (low, high), (least, most)
