# SPDX-License-Identifier: Apache-2.0
"""Causal filters and running normalisation of raw signals, in int16; export as ONNX nodes, which
are linear in the samples and the initial state, and random test cases."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array, outer_inner
from myoedge.operators.base import QuantizedNode
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.filters.definition import biquads_real, past_real
from myoedge.operators.qdq import Write, Writer, number, reshaped, sliced, transposed, whole

BIQUADS = "torch.as_tensor(signal.sosfilt((w0 / w0[:, 3:4]).numpy(), x0.numpy(), axis))"
# The last two samples and the last two results of every section, latest first.
PAST = """\
sections = (w0 / w0[:, 3:4]).numpy()
results = (signal.sosfilt(sections[: i + 1], x0, axis) for i in range(len(sections)))
edges = [(0, 0), *((2 * (i == axis), 0) for i in range(x0.ndim))]
padded = np.pad(np.stack([x0.numpy(), *results]), edges)
past = np.take(padded, [padded.shape[axis + 1] - 1, padded.shape[axis + 1] - 2], axis + 1)
torch.as_tensor(np.moveaxis(past, axis + 1, 1))
"""
# A first-order filter, from its steady state on.
POWER = """\
squares = np.moveaxis(x0.numpy() ** 2, axis, -1)
begin = np.full((*squares.shape[:-1], 1), (1 - share) * start**2)
power = signal.lfilter([share], [1.0, share - 1.0], squares, zi=begin)[0]
power = torch.as_tensor(np.moveaxis(power, -1, axis))
"""
IMPULSE = np.eye(1, 4000)[0]


def _draw_signals(d: Draw) -> tuple[Shape, int]:
    x = list(d.shape(1, 3, 4))
    axis = d.integer(0, len(x) - 1)
    x[axis] = d.integer(1, 40)
    return tuple(x), axis


def biquads(op: str, d: Draw) -> DrawnUse:
    x, axis = _draw_signals(d)
    common, sections = d.common(1, act=op == "biquads"), _draw_sections(d)
    while _peak_gain(sections) >= 2.0**14:  # a larger gain exceeds int32: E117
        sections = _draw_sections(d)
    common |= {"weights": (sections,), "slack": biquads_slack}
    if op == "biquads":
        return DrawnUse(op, {"axis": axis}, (x,), BIQUADS, **common)
    return DrawnUse(op, {"axis": axis}, (x,), PAST, unit=guarded, **common)


def guarded(case: Any) -> float:
    return float(case.params("x0").scale * 2.0**-case.step.integers.guard)


def _draw_sections(d: Draw) -> Array:
    """Draw second-order sections with poles inside the unit circle, some close to it."""
    rows = []
    for _ in range(d.integer(1, 4)):
        radius, angle = d.pick([0.3, 0.7, 0.95, 0.99]), d.rng.uniform(0, np.pi, 2)
        poles = np.array([1.0, -2 * radius * np.cos(angle[0]), radius**2])
        zeros = np.array([1.0, -2 * np.cos(angle[1]), 1.0]) * d.rng.uniform(0.02, 0.8)
        rows.append(d.pick([1.0, 2.0]) * np.concatenate([zeros, poles]))
    return np.array(rows)


def _normalise_sections(sections: Array) -> Array:
    return np.asarray(sections / sections[:, 3:4])


def _peak_gain(sections: Array) -> float:
    """Return the largest gain from the input to any section's output: the sum of |impulse
    response|."""
    rows = _normalise_sections(sections)
    return max(_cascade_gain(rows[: i + 1]) for i in range(len(rows)))


def _cascade_gain(sections: Array) -> float:
    """Return the largest gain of a cascade: the sum of its |impulse response|."""
    from scipy import signal  # optional, and only these cases need it

    return float(np.abs(signal.sosfilt(sections, IMPULSE)).sum())


def biquads_slack(case: Any) -> Array:
    """Return the largest permitted deviation in output steps, from the rounding of coefficients, of
    sums (amplified by the sections that follow) and of the output factor."""
    sections = _normalise_sections(case.weights[0].astype(np.float32).astype(np.float64))
    rings = [_cascade_gain(sections[i:]) for i in range(len(sections))]
    poles = [_cascade_gain(np.array([[1.0, 0.0, 0.0, *s[3:]]])) for s in sections]
    noise = sum(r * p for r, p in zip(rings, poles, strict=True)) * 2.0**-case.step.integers.guard
    large = np.abs(case.data[0]).max(initial=1) * max(rings) * 2.0**-27 * sum(poles) * 10
    step = case.unit(case) if case.op == "biquads_past" else case.target.scale
    return np.asarray((noise + large) * case.params("x0").scale / step)


def draw_running(op: str, d: Draw) -> DrawnUse:
    """Return a random test case of a running z-score, or of its final power (`op`), with signals
    and initial deviations of any magnitude."""
    (x, axis), common = _draw_signals(d), d.common(1, act=op == "running_norm")
    largest = max(abs(edge) for edge in common["spans"][0])
    start = max(largest, 1e-6) * d.pick([0.01, 0.1, 1.0])
    attrs = {"axis": axis, "share": d.pick([0.25, 0.1, 0.01, 1 / 4096]), "start": start}
    if op == "running_norm":
        text = POWER + "x0 / power.sqrt()"
        return DrawnUse(op, attrs, (x,), text, slack=norm_slack, **common)
    text = POWER + "power.select(axis, -1)"
    return DrawnUse(op, attrs, (x,), text, slack=power_slack, unit=squared, **common)


def squared(case: Any) -> float:
    return float(case.params("x0").scale ** 2)


def power_slack(case: Any) -> Array:
    """Return the largest permitted deviation of a running mean square, in units of 2**-16 of a
    squared input step.

    Rounding the smoothing factor (attrs["share"]) adds an error proportional to the mean square;
    each sample adds half a unit.
    """
    x0 = case.params("x0")
    largest = max((case.dequantized[0] ** 2).max(), case.attrs["start"] ** 2) / x0.scale**2
    return np.asarray((largest * 2.0**-13 * 4 + 8 / case.attrs["share"] * 2.0**-16) * 2.0**16)


def norm_slack(case: Any) -> Array:
    """Return the largest permitted deviation of a running z-score from the float oracle, in output
    steps: 2**-10 of its magnitude from the rounding of the mean square and of its root, plus
    2**-11."""
    wanted = np.abs(np.asarray(case.real(case.dequantized)))
    return np.asarray((wanted * 2.0**-10 + 2.0**-11) / case.target.scale)


CASES = {
    **{op: partial(biquads, op) for op in ("biquads", "biquads_past")},
    **{op: partial(draw_running, op) for op in ("running_norm", "running_power")},
}


TIME = {"axis": 0}


def write(*, kept: bool) -> Write:
    """Return the function that exports a biquad cascade to ONNX.

    kept   whether it exports biquads_past, which returns the final state
    """

    def node(w: Writer, step: QuantizedNode, x: str, *before: str) -> str:
        outer, steps, inner = outer_inner(step.shapes[0], step.attrs["axis"])
        sections = w.floats[step.node.inputs[1]]
        rows = _rows_of_signals(w, x, (outer, steps, inner))
        unit = w.params[step.node.inputs[0]].scale * 2.0**-step.integers.guard  # their step
        y = _write_sample_response(w, rows, sections, steps, kept)
        for state in before:
            lanes = transposed(w, reshaped(w, state, -1, outer * inner), 1, 0)
            y = w.node("Add", y, _write_state_response(w, lanes, sections, steps, kept, unit))
        if kept:
            return _multiply_constant(w, transposed(w, y, 1, 0), 1 / unit, step.out)
        return _restore_shape(w, y, (outer, inner, steps), step.out)

    return node


def _rows_of_signals(w: Writer, x: str, sizes: tuple[int, int, int]) -> str:
    """Reshape [outer, T, inner] to one row per signal."""
    return reshaped(w, transposed(w, reshaped(w, x, *sizes), 0, 2, 1), -1, sizes[1])


def _restore_shape(
    w: Writer, rows: str, sizes: tuple[int, int, int], shape: tuple[int, ...]
) -> str:
    """Reshape one row per signal back to the original shape."""
    return reshaped(w, transposed(w, reshaped(w, rows, *sizes), 0, 2, 1), *shape)


def _write_sample_response(w: Writer, rows: str, sections: Array, steps: int, kept: bool) -> str:
    """Write the response to the samples as ONNX nodes: a convolution with the impulse response."""
    if kept:
        each = past_real(TIME, np.eye(steps), sections).reshape(-1, steps)
        return w.node("MatMul", rows, w.constant(each.T.copy()))
    kernel = biquads_real(TIME, np.eye(1, steps)[0], sections)[::-1].reshape(1, 1, steps)
    images, taps = w.node("Unsqueeze", rows, whole(w, 1)), w.constant(kernel.copy())
    return w.node("Squeeze", w.node("Conv", images, taps, pads=[steps - 1, 0]), whole(w, 1))


def _write_state_response(
    w: Writer, rows: str, sections: Array, steps: int, kept: bool, unit: float
) -> str:
    """Write the response to the initial state as ONNX nodes: a product of the state and a constant
    matrix of responses."""
    count = 2 * len(sections) + 2
    before = np.eye(count).reshape(len(sections) + 1, 2, count)
    none = np.zeros((steps, count))
    responses = (past_real if kept else biquads_real)(TIME, none, sections, before)
    each = unit * responses.reshape(-1, count)
    return w.node("MatMul", rows, w.constant(each.T.astype(np.float32)))


def _multiply_constant(w: Writer, x: str, factor: float, shape: tuple[int, ...]) -> str:
    return reshaped(w, w.node("Mul", x, number(w, factor)), *shape)


def write_running(*, kept: bool) -> Write:
    """Return the function that exports running z-scores to ONNX.

    kept   whether it exports running_power, which returns the final mean square
    """

    def node(w: Writer, step: QuantizedNode, x: str, *before: str) -> str:
        outer, steps, inner = outer_inner(step.shapes[0], step.attrs["axis"])
        share, unit = step.attrs["share"], w.params[step.node.inputs[0]].scale ** 2
        rows = _rows_of_signals(w, x, (outer, steps, inner))
        fades = (1.0 - share) ** np.arange(1, steps + 1)
        images = w.node("Unsqueeze", w.node("Mul", rows, rows), whole(w, 1))
        kernel = (share / (1.0 - share) * fades[::-1]).astype(np.float32)
        recent = w.node("Conv", images, w.constant(kernel.reshape(1, 1, -1)), pads=[steps - 1, 0])
        first = w.constant(np.array([[step.attrs["start"] ** 2]], np.float32))
        for state in before:
            first = _multiply_constant(w, state, unit, (outer * inner, 1))
        old = w.node("Mul", first, w.constant(fades[None].astype(np.float32)))
        powers = w.node("Add", w.node("Squeeze", recent, whole(w, 1)), old)
        if kept:
            return _multiply_constant(w, sliced(w, powers, steps - 1, steps, 1), 1 / unit, step.out)
        y = w.node("Div", rows, w.node("Sqrt", powers))
        return _restore_shape(w, y, (outer, inner, steps), step.out)

    return node


WRITE: Mapping[str, Write] = {
    "biquads": write(kept=False),
    "biquads_past": write(kept=True),
    "running_norm": write_running(kept=False),
    "running_power": write_running(kept=True),
}
