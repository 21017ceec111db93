# SPDX-License-Identifier: Apache-2.0
"""Export of filters as ONNX nodes, which are linear in the samples and the initial state."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoedge.numerics.arrays import Array, outer_inner
from myoedge.operators.base import QuantizedNode
from myoedge.operators.filters.definition import biquads_real, past_real
from myoedge.operators.qdq import Write, Writer, number, reshaped, sliced, transposed, whole

TIME = {"axis": 0}


def write(*, kept: bool) -> Write:
    """Return the function that exports a biquad cascade to ONNX.

    kept   whether it exports biquads_past, which returns the final state
    """

    def node(w: Writer, step: QuantizedNode, x: str, *before: str) -> str:
        outer, steps, inner = outer_inner(step.shapes[0], step.attrs["axis"])
        sections = w.floats[step.node.inputs[1]]
        rows = _signals(w, x, (outer, steps, inner))
        unit = w.params[step.node.inputs[0]].scale * 2.0**-step.integers.guard  # their step
        y = _of_samples(w, rows, sections, steps, kept)
        for state in before:
            lanes = transposed(w, reshaped(w, state, -1, outer * inner), 1, 0)
            y = w.node("Add", y, _of_state(w, lanes, sections, steps, kept, unit))
        if kept:
            return _scaled(w, transposed(w, y, 1, 0), 1 / unit, step.out)
        return _in_place(w, y, (outer, inner, steps), step.out)

    return node


def _signals(w: Writer, x: str, sizes: tuple[int, int, int]) -> str:
    """Reshape [outer, T, inner] to one row per signal."""
    return reshaped(w, transposed(w, reshaped(w, x, *sizes), 0, 2, 1), -1, sizes[1])


def _in_place(w: Writer, rows: str, sizes: tuple[int, int, int], shape: tuple[int, ...]) -> str:
    """Reshape one row per signal back to the original shape."""
    return reshaped(w, transposed(w, reshaped(w, rows, *sizes), 0, 2, 1), *shape)


def _of_samples(w: Writer, rows: str, sections: Array, steps: int, kept: bool) -> str:
    """Write the response to the samples as ONNX nodes: a convolution with the impulse response."""
    if kept:
        each = past_real(TIME, np.eye(steps), sections).reshape(-1, steps)
        return w.node("MatMul", rows, w.constant(each.T.copy()))
    kernel = biquads_real(TIME, np.eye(1, steps)[0], sections)[::-1].reshape(1, 1, steps)
    images, taps = w.node("Unsqueeze", rows, whole(w, 1)), w.constant(kernel.copy())
    return w.node("Squeeze", w.node("Conv", images, taps, pads=[steps - 1, 0]), whole(w, 1))


def _of_state(w: Writer, rows: str, sections: Array, steps: int, kept: bool, unit: float) -> str:
    """Write the response to the initial state as ONNX nodes: a product of the state and a constant
    matrix of responses."""
    count = 2 * len(sections) + 2
    before = np.eye(count).reshape(len(sections) + 1, 2, count)
    none = np.zeros((steps, count))
    responses = (past_real if kept else biquads_real)(TIME, none, sections, before)
    each = unit * responses.reshape(-1, count)
    return w.node("MatMul", rows, w.constant(each.T.astype(np.float32)))


def _scaled(w: Writer, x: str, factor: float, shape: tuple[int, ...]) -> str:
    return reshaped(w, w.node("Mul", x, number(w, factor)), *shape)


def running(*, kept: bool) -> Write:
    """Return the function that exports running z-scores to ONNX.

    kept   whether it exports running_power, which returns the final mean square
    """

    def node(w: Writer, step: QuantizedNode, x: str, *before: str) -> str:
        outer, steps, inner = outer_inner(step.shapes[0], step.attrs["axis"])
        share, unit = step.attrs["share"], w.params[step.node.inputs[0]].scale ** 2
        rows = _signals(w, x, (outer, steps, inner))
        fades = (1.0 - share) ** np.arange(1, steps + 1)
        images = w.node("Unsqueeze", w.node("Mul", rows, rows), whole(w, 1))
        kernel = (share / (1.0 - share) * fades[::-1]).astype(np.float32)
        recent = w.node("Conv", images, w.constant(kernel.reshape(1, 1, -1)), pads=[steps - 1, 0])
        first = w.constant(np.array([[step.attrs["start"] ** 2]], np.float32))
        for state in before:
            first = _scaled(w, state, unit, (outer * inner, 1))
        old = w.node("Mul", first, w.constant(fades[None].astype(np.float32)))
        powers = w.node("Add", w.node("Squeeze", recent, whole(w, 1)), old)
        if kept:
            return _scaled(w, sliced(w, powers, steps - 1, steps, 1), 1 / unit, step.out)
        y = w.node("Div", rows, w.node("Sqrt", powers))
        return _in_place(w, y, (outer, inner, steps), step.out)

    return node


WRITE: Mapping[str, Write] = {
    "biquads": write(kept=False),
    "biquads_past": write(kept=True),
    "running_norm": running(kept=False),
    "running_power": running(kept=True),
}
