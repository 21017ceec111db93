# SPDX-License-Identifier: Apache-2.0
"""Conditioning of raw signals: filters added before a network, causal versions of the preprocessing
of its training data."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.constants import Constant
from myoedge.graph.ir import Attrs, Graph, Node, Tensor
from myoedge.graph.origin import Origin
from myoedge.numerics.arrays import Array
from myoedge.operators.filters.quantized import is_stable
from myoedge.system.tools import install_command

LEAST_GAIN = 2.0**-14  # minimum gain of a section: with less, integers keep at most 14 bits


@dataclass(frozen=True, slots=True)
class Conditioning:
    """[conditioning]: a Butterworth band-pass and a notch filter, as in scipy.signal, and a running
    z-score.

    rate_hz     samples per second
    band_hz     band edges at -3 dB; None: no band-pass
    order       order of the low-pass from which the band-pass is derived
    notch_hz    mains frequency; None: no notch
    notch_q     quality factor of the notch
    zscore_s    time constant of the running z-score in seconds; None: no z-score
    deviation   initial standard deviation in the input's unit, such as the training set's
    rectify     whether to take absolute values at the end
    axis        time axis of the input; None: the longest axis
    """

    rate_hz: float | None = None
    band_hz: tuple[float, float] | None = None
    order: int = 4
    notch_hz: float | None = None
    notch_q: float = 30.0
    zscore_s: float | None = None
    deviation: float | None = None
    rectify: bool = False
    axis: int | None = None


def sections(filters: Conditioning) -> Array:
    """Return the filters' second-order sections, float64 [sections, 6]: b0, b1, b2, a0, a1, a2.

    Errors: E238 impossible filters, E501 without scipy.
    """
    try:
        from scipy import signal
    except ImportError:
        tries = [install_command("conditioning")]
        raise MyoedgeError("E501", "scipy is not installed", tries=tries) from None
    if filters.rate_hz is None:
        raise _filter_error("rate_hz is not given")
    _check_edge_frequencies(filters, filters.rate_hz / 2)
    sos = []
    try:
        if filters.band_hz is not None:
            edges, rate = filters.band_hz, filters.rate_hz
            band = signal.butter(filters.order, edges, "bandpass", fs=rate, output="sos")
            sos.append(_distribute_gain(band))
        if filters.notch_hz is not None:
            notch = signal.iirnotch(filters.notch_hz, filters.notch_q, filters.rate_hz)
            sos.append(np.hstack(notch)[None])
        if filters.zscore_s is not None and filters.band_hz is None:
            weight = _new_sample_weight(filters)  # subtracts the running mean
            sos.append(np.array([[1.0 - weight, weight - 1.0, 0.0, 1.0, weight - 1.0, 0.0]]))
    except (ValueError, ArithmeticError) as error:
        raise _filter_error(str(error).splitlines()[0]) from None
    if not sos:
        raise _filter_error("there is neither a band nor a notch nor a z-score")
    coefficients: Array = np.vstack(sos)
    rounded = coefficients.astype(np.float32).astype(np.float64)
    finite = np.isfinite(coefficients).all()
    if not finite or max(np.abs(np.roots(row[3:])).max() for row in rounded) >= 1.0:
        raise _filter_error("its poles are not inside the unit circle: a lower order, a wider band")
    if not is_stable(coefficients.astype(np.float32)):
        raise _filter_error("it rings for more than 131,072 samples: a wider band, a lower notch_q")
    return coefficients


def _distribute_gain(sections: Array) -> Array:
    """Distribute the filter's gain over all second-order sections by powers of two.

    scipy puts the whole gain of a narrow band, such as 1e-9, into the first section, whose
    coefficients would vanish with a shared number of fraction bits.
    """
    peaks = np.abs(sections[:, :3]).max(axis=1)
    if not 0.0 < peaks.min() < LEAST_GAIN:
        return sections
    shifts = np.rint(np.log2(peaks).mean() - np.log2(peaks)).astype(int)
    shifts[0] -= shifts.sum()
    return np.hstack([np.ldexp(sections[:, :3], shifts[:, None]), sections[:, 3:]])


def _filter_error(reason: str) -> MyoedgeError:
    return MyoedgeError(
        "E238",
        f"[conditioning] cannot be: {reason}",
        {
            "needs": "rate_hz, and band_hz between 0 and half of it, notch_hz, or zscore_s with "
            "deviation; one input"
        },
        [
            "[conditioning] rate_hz = 200, band_hz = [20, 90], notch_hz = 50",
            "[conditioning] rate_hz = 200, zscore_s = 0.5, deviation = 8.0",
        ],
    )


def _check_edge_frequencies(filters: Conditioning, nyquist_hz: float) -> None:
    """Check the filters' frequencies. Errors: E238 above half the sample rate."""
    low, high = filters.band_hz or (0.0, nyquist_hz)
    if filters.band_hz is not None and not 0 < low < high < nyquist_hz:
        raise _filter_error(f"band_hz has to rise, between 0 and {nyquist_hz:g}, half of rate_hz")
    if filters.notch_hz is not None and not 0 < filters.notch_hz < nyquist_hz:
        raise _filter_error(f"notch_hz must be between 0 and {nyquist_hz:g}, half of rate_hz")


def _new_sample_weight(filters: Conditioning) -> float:
    """Return the weight of a new sample in the running mean and power of the z-score. Errors: E238
    for an impossible time constant."""
    assert filters.rate_hz is not None
    if filters.zscore_s is None or filters.deviation is None:
        raise _filter_error("zscore_s and deviation go together")
    if not MIN_SAMPLES <= filters.zscore_s * filters.rate_hz <= MAX_SAMPLES:
        raise _filter_error(f"zscore_s has to be {MIN_SAMPLES} to {MAX_SAMPLES:,} samples")
    return 1.0 / (filters.zscore_s * filters.rate_hz)


def add_conditioning_filters(graph: Graph, filters: Conditioning) -> Graph:
    """Add the filters between the network's input and its first layer, with zero initial state.

    Errors: E238 several inputs, no such axis, impossible filters; E501.
    """
    if len(graph.inputs) != 1:
        raise _filter_error(f"the network has {len(graph.inputs)} inputs")
    (x,) = graph.inputs
    shape, axis_option = graph.shape(x), filters.axis
    if axis_option is not None and not -len(shape) <= axis_option < len(shape):
        raise _filter_error(f"there is no axis {axis_option} in {list(shape)}")
    axis = int(np.argmax(shape)) if axis_option is None else axis_option % len(shape)
    nodes = [Node("biquads", (x, SECTIONS), ("conditioning",), {"axis": axis}, (ORIGIN,))]
    further: list[tuple[str, Attrs]] = []
    if filters.zscore_s is not None:
        share, start = _new_sample_weight(filters), filters.deviation
        further.append(("running_norm", {"axis": axis, "share": share, "start": start}))
    if filters.rectify:
        further.append(("table", {"chain": (("abs",),)}))
    for op, attrs in further:
        nodes.append(Node(op, (nodes[-1].name,), (f"conditioning.{op}",), attrs, (ORIGIN,)))
    last, tensors = nodes[-1].name, {n.name: Tensor(n.name, shape) for n in nodes}
    readers = (node.reading({x: last}) for node in graph.nodes)
    return replace(
        graph,
        nodes=(*nodes, *readers),
        tensors={**graph.tensors, **tensors},
        constants={**graph.constants, SECTIONS: Constant(sections(filters).astype(np.float32))},
        outputs=tuple(last if name == x else name for name in graph.outputs),
    )


ORIGIN = Origin("conditioning", "")
SECTIONS = "conditioning.sections"
MIN_SAMPLES, MAX_SAMPLES = 4, 4096  # time constant of the running mean, in samples
