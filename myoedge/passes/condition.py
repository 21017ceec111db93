# SPDX-License-Identifier: Apache-2.0
"""What recordings went through before a network was trained, in front of it, but causal."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Attrs, Graph, Node, Origin, Tensor
from myoedge.numerics.arrays import Array


@dataclass(frozen=True, slots=True)
class Conditioning:
    """A Butterworth band-pass and a notch, as scipy.signal designs them.

    rate_hz    samples a second      band_hz  its edges, 3 dB down; None: no band-pass
    order      of the low-pass that the band-pass is made of
    notch_hz, notch_q   the line and its sharpness; None: no notch
    zscore_s   time over which a running z-score forgets; None: no z-score
    deviation  what it begins with, in the input's unit: the training set's, say
    rectify    whether magnitudes come behind all of it
    axis       of time in the input; None: its longest
    """

    rate_hz: float | None
    band_hz: tuple[float, float] | None = None
    order: int = 4
    notch_hz: float | None = None
    notch_q: float = 30.0
    zscore_s: float | None = None
    deviation: float | None = None
    rectify: bool = False
    axis: int | None = None


def sections(filters: Conditioning) -> Array:
    """float64 [sections, 6]: b0, b1, b2, a0, a1, a2 of each. Errors: E238, E501 without scipy."""
    try:
        from scipy import signal
    except ImportError:
        tries = ["pip install 'myoedge[conditioning]'"]
        raise MyoedgeError("E501", "scipy is not installed", tries=tries) from None
    if filters.rate_hz is None:
        raise _no_filter("rate_hz is not given")
    _check_edges(filters, filters.rate_hz / 2)
    parts = []
    try:
        if filters.band_hz is not None:
            edges, rate = filters.band_hz, filters.rate_hz
            parts.append(signal.butter(filters.order, edges, "bandpass", fs=rate, output="sos"))
        if filters.notch_hz is not None:
            made = signal.iirnotch(filters.notch_hz, filters.notch_q, filters.rate_hz)
            parts.append(np.hstack(made)[None])
        if filters.zscore_s is not None and filters.band_hz is None:
            parts.append(_without_mean(_share(filters)))
    except (ValueError, ArithmeticError) as error:
        raise _no_filter(str(error).splitlines()[0]) from None
    if not parts:
        raise _no_filter("there is neither a band nor a notch nor a z-score")
    found: Array = np.vstack(parts)
    if not (np.isfinite(found).all() and _stable(found)):
        raise _no_filter("its poles do not lie inside the unit circle: a lower order, a wider band")
    return found


def _check_edges(filters: Conditioning, most_hz: float) -> None:
    """Errors: E238 frequencies that samples of this rate do not have."""
    low, high = filters.band_hz or (0.0, most_hz)
    if filters.band_hz is not None and not 0 < low < high < most_hz:
        raise _no_filter(f"band_hz has to rise, between 0 and {most_hz:g}, half of rate_hz")
    if filters.notch_hz is not None and not 0 < filters.notch_hz < most_hz:
        raise _no_filter(f"notch_hz has to lie between 0 and {most_hz:g}, half of rate_hz")


def _share(filters: Conditioning) -> float:
    """Of a new sample in the running mean and power."""
    assert filters.rate_hz is not None
    if filters.zscore_s is None or filters.deviation is None:
        raise _no_filter("zscore_s and deviation go together")
    if not LEAST_SAMPLES <= filters.zscore_s * filters.rate_hz <= MOST_SAMPLES:
        raise _no_filter(f"zscore_s has to be {LEAST_SAMPLES} to {MOST_SAMPLES:,} samples")
    return 1.0 / (filters.zscore_s * filters.rate_hz)


def _without_mean(share: float) -> Array:
    """The section that takes from each sample the running mean with it."""
    return np.array([[1.0 - share, share - 1.0, 0.0, 1.0, share - 1.0, 0.0]])


def _stable(found: Array) -> bool:
    """In float32, which is what constants are, too."""
    rows = found.astype(np.float32).astype(np.float64)
    return all(np.abs(np.roots(row[3:])).max() < 1.0 for row in rows)


def conditioned(graph: Graph, filters: Conditioning) -> Graph:
    """The network with these filters behind its input, at rest before the first sample.

    Errors: E238 several inputs, no such axis, filters that cannot be; E501.
    """
    if len(graph.inputs) != 1:
        raise _no_filter(f"the network has {len(graph.inputs)} inputs")
    (x,) = graph.inputs
    shape, given = graph.shape(x), filters.axis
    if given is not None and not -len(shape) <= given < len(shape):
        raise _no_filter(f"there is no axis {given} in {list(shape)}")
    axis = int(np.argmax(shape)) if given is None else given % len(shape)
    nodes = _chain(filters, x, axis)
    last, made = nodes[-1].name, {n.name: Tensor(n.name, shape) for n in nodes}
    readers = (n.but(inputs=tuple(last if i == x else i for i in n.inputs)) for n in graph.nodes)
    return replace(
        graph,
        nodes=(*nodes, *readers),
        tensors={**graph.tensors, **made},
        constants={**graph.constants, SECTIONS: sections(filters).astype(np.float32)},
        outputs=tuple(last if name == x else name for name in graph.outputs),
    )


def _chain(filters: Conditioning, x: str, axis: int) -> list[Node]:
    """Filters, then the z-score, then magnitudes."""
    nodes = [Node("biquads", (x, SECTIONS), ("conditioning",), {"axis": axis}, (ORIGIN,))]

    def then(op: str, attrs: Attrs) -> None:
        before = nodes[-1].name
        nodes.append(Node(op, (before,), (f"conditioning.{op}",), attrs, (ORIGIN,)))

    if filters.zscore_s is not None:
        start = filters.deviation
        then("running_norm", {"axis": axis, "share": _share(filters), "start": start})
    if filters.rectify:
        then("table", {"chain": (("abs",),)})
    return nodes


ORIGIN = Origin("conditioning", "")
SECTIONS = "conditioning.sections"
LEAST_SAMPLES, MOST_SAMPLES = 4, 4096  # that a running mean forgets over


def _no_filter(why: str) -> MyoedgeError:
    return MyoedgeError(
        "E238",
        f"[conditioning] cannot be: {why}",
        {"needs": "rate_hz, and band_hz between 0 and half of it, notch_hz or zscore_s; one input"},
        ["[conditioning] rate_hz = 200, band_hz = [20, 90], notch_hz = 50"],
    )
