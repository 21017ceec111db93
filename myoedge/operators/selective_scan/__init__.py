# SPDX-License-Identifier: Apache-2.0
"""Selective scans of state-space models (Mamba) as one operator; export as ONNX nodes (decays and
addends of all time steps at once, then the states step by step), and random test cases."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.cases import Draw, DrawnUse
from myoedge.operators.qdq import Write, Writer, number, reshaped, sliced, whole
from myoedge.operators.selective_scan.tiling import DECAY_BITS
from myoedge.operators.selective_scan.wide import is_wide

STATES = """\
state, ys = torch.zeros(()), []
for delta, x, b, c in zip(*(v.unbind(-2) for v in xs)):
    decay = torch.exp(delta[..., None] * ws[0])
    state = decay * state + delta[..., None] * x[..., None] * b[..., None, :]
    ys.append((state * c[..., None, :]).sum(-1))
"""
SELECTIVE_SCAN = STATES + "torch.stack(ys, -2) + (x1 * ws[1] if len(ws) > 1 else 0)\n"
# After an even number of steps.
LAST = STATES + "torch.cat([state, torch.zeros(*state.shape[:-1], 1)], -1)\n"


def selective_scan(d: Draw) -> DrawnUse:
    """Return a random test case of a selective scan with slow and fast decays, 1 to 9 states per
    channel, and up to 40 time steps."""
    around = d.pick([(), (1,), (2,), (2, 1)])
    steps, width, states = d.integer(1, 6), d.integer(1, 9), d.integer(1, 9)
    steps = d.pick([steps, steps, 40])
    rate = 10.0 ** d.rng.uniform(-2, 1.5, (width, 1)) * (1.0 + np.arange(states))
    common = d.common(4, act=False)
    most = d.pick([0.05, 0.5, 4.0])
    common["spans"] = ((0.0, most), *common["spans"][1:])
    common["int16"] = d.pick([(), (), (0, 1, 2, 3), (0,), (1, 3), (2,)])
    common["positive"] = (0,)
    weights: tuple[Array, ...] = (-rate, d.rng.normal(size=width))[: d.integer(1, 2)]
    shapes = (*[(*around, steps, width)] * 2, *[(*around, steps, states)] * 2)
    return DrawnUse(
        "selective_scan",
        {},
        shapes,
        SELECTIVE_SCAN,
        weights=weights,
        slack=_result_error_bound,
        **common,
    )


def selective_scan_last(d: Draw) -> DrawnUse:
    """Return a random test case of the last states: as of `selective_scan`, in int8, and in the
    step of the only channel's states."""
    use = selective_scan(d)
    *around, steps, _ = use.shapes[0]
    channels, reads = (*around, 2 * steps, 1), (*around, 2 * steps, use.shapes[2][-1])
    return replace(
        use, op="selective_scan_last", shapes=(channels, channels, reads, reads), torch=LAST,
        weights=tuple(w[:1] for w in use.weights), int16=(),
        slack=_last_state_error_bound, unit=_state_unit,
    )  # fmt: skip


def _state_unit(case: Any) -> float:
    """Return the real value of 1 in a state."""
    step, q = case.step, [case.params(f"x{i}") for i in range(3)]
    scale = q[0].scale * q[1].scale * q[2].scale
    exponent = 15 - step.integers.b_shift + step.integers.term_shift
    return float(math.ldexp(scale, exponent) / max(int(step.integers.term[0]), 1))


def _result_error_bound(case: Any) -> Array:
    """Return the error bound in output steps [..., T, D]: rounding errors of states, propagated
    through all steps, and of the readout sum."""
    if case.int16:
        return _int16_error_bound(case)
    step, x = case.step, case.params("x1")
    each = [*_float_states(case)]
    errors = [(error * np.abs(read)).sum(-1) for _, error, read in each]
    sums = [(state * read).sum(-1) for state, _, read in each]
    factor = step.integers.mult / 2.0**step.integers.shift  # output steps per step of sum >> pre
    of_factor = (
        np.abs(np.stack(sums, -2)) / case.target.scale / (2 * np.maximum(step.integers.mult, 1))
    )
    of_skip = x.reach / 2.0 ** (step.integers.shift + 1)
    return np.asarray(np.stack(errors, -2) / case.target.scale + factor + of_factor + of_skip)


def _last_state_error_bound(case: Any) -> Array:
    """Return the error bound of the last states, in their step."""
    *_, (_, error, _) = _float_states(case)
    error = np.concatenate([error, np.zeros((*error.shape[:-1], 1))], -1)
    return np.asarray(error / _state_unit(case) + 1.0)


def _float_states(case: Any) -> Iterator[tuple[Array, Array, Array]]:
    """Yield (states, their error bound, C) of every step, in floats."""
    step, (delta, x, b, c) = case.step, (np.asarray(v) for v in case.dequantized)
    q, a = [case.params(f"x{i}") for i in range(4)], case.weights[0].astype(np.float32)
    term, of_term = (
        step.integers.term * 2.0**-step.integers.term_shift,
        0.5 / step.integers.term[:, None],
    )
    size = (
        q[0].scale * q[1].scale * q[2].scale * 2.0 ** (15 - step.integers.b_shift) / term[:, None]
    )
    # Error of a decay: half a step of its own per step of delta, half an index step of the table of
    # powers of 1/2, its 15-bit entries and its end.
    rate = float(np.abs(a).max()) * max(q[0].high - q[0].zero_point, 1) * q[0].scale
    most = 12.0 * math.log(2.0) if step.integers.limited else math.inf
    place = min(rate * 1.001, most) / 2**13
    moved = (
        delta[..., None] / q[0].scale * 2.0 ** step.integers.delta_up.astype(np.float64)[:, None]
    )
    wrong_rate = moved * (place * 2.0**-13)
    state = error = np.zeros(())
    for t in range(delta.shape[-2]):
        now, more, into = delta[..., t, :, None], x[..., t, :, None], b[..., t, None, :]
        decay, read = np.exp(now * a), c[..., t, None, :]
        wrong = decay * (wrong_rate[..., t, :, :] + 0.51 * place) + 2.0**-12
        error = decay * error + (np.abs(state) + error) * wrong
        state, added = decay * state + now * more * into, np.abs(now * more * into)
        error = error + size + of_term * added
        yield state, error, read


def _int16_error_bound(case: Any) -> Array:
    """Return the error bound for 16-bit operands: rounding errors of states, propagated through all
    steps, and of y."""
    step, (delta, x, b, c) = case.step, (np.asarray(v) for v in case.dequantized)
    q, a = [case.params(f"x{i}") for i in range(4)], case.weights[0].astype(np.float32)
    moved = sum(getattr(step.integers, f"{name}_up") for name in ("delta", "x", "v", "b"))
    size = q[0].scale * q[1].scale * q[2].scale * 2.0 ** (96 - moved) / step.integers.term[:, None]
    # exponents are rounded to 2^-21 and interpolated; u by a step of v and one of its own
    of_decay = 2.0 ** (step.integers.decay_up - 20) + 2.0**-22
    halvings = (
        step.integers.decay
        * 2.0 ** (step.integers.delta_up + step.integers.decay_up - 53)
        / q[0].scale
    )
    of_u = 2.0 ** (step.integers.v_up - 32) * step.integers.term[:, None] + 1
    state = error = np.zeros(())
    sums, errors = [], []
    for t in range(delta.shape[-2]):
        now, more, into = delta[..., t, :, None], x[..., t, :, None], b[..., t, None, :]
        decay, read = np.exp(now * a), c[..., t, None, :]
        wrong = decay * of_decay + np.abs(np.exp2(-now * halvings) - decay) + 2.0**-30
        error = decay * error + (np.abs(state) + error) * wrong
        state, added = decay * state + now * more * into, np.abs(now * more * into)
        error = error + size * (of_u / 2 + 1) + added / step.integers.term[:, None]
        errors.append((error * np.abs(read)).sum(-1))
        sums.append((state * read).sum(-1))
    of_sums = np.abs(np.stack(sums, -2)) / case.target.scale
    of_factors = of_sums / (2.0 * np.maximum(step.integers.sum_mult, 1))
    of_factors += q[1].reach * 2.0 ** (step.integers.x_up - 33 - step.integers.out_shift)
    ones = 2.0**step.integers.out_shift
    cut = np.where(of_sums > 2.0**28 / ones, np.inf, 2.5 / ones)  # sums saturate
    return np.asarray(np.stack(errors, -2) / case.target.scale + of_factors + cut)


CASES = {"selective_scan": selective_scan, "selective_scan_last": selective_scan_last}


def _write_selective_scan(
    w: Writer, step: QuantizedNode, delta: str, x: str, b: str, c: str, *before: str
) -> str:
    """Write a selective scan as ONNX nodes; return the ONNX name of the result.

    delta, x, b, c   ONNX names of the operands
    before           that of the states of the pass before, if there is one

    Intermediate tensors with states are [..., T, D, N].
    """
    rank, time = len(step.out), len(step.out) - 2
    by_channel, by_state = (whole(w, axis) for axis in (rank, time + 1))
    states = _write_states(w, step, (delta, x, b), before)
    read = w.node("Mul", w.node("Concat", *states, axis=time), w.node("Unsqueeze", c, by_state))
    y = w.node("ReduceSum", read, by_channel, keepdims=0)
    skip = [w.float_constant(name) for name in step.node.inputs[5:6]]
    return w.node("Add", y, w.node("Mul", x, skip[0])) if skip else y


def _write_states(
    w: Writer, step: QuantizedNode, operands: Sequence[str], before: Sequence[str]
) -> list[str]:
    """Write the states after every step."""
    shape, (delta, x, b) = step.shapes[0], operands
    rank, time = len(shape), len(shape) - 2
    by_channel, by_state = (whole(w, axis) for axis in (rank, time + 1))
    now = w.node("Unsqueeze", delta, by_channel)
    decay = w.node("Exp", w.node("Mul", now, w.float_constant(step.node.inputs[4])))
    term = w.node("Unsqueeze", w.node("Mul", delta, x), by_channel)
    term = w.node("Mul", term, w.node("Unsqueeze", b, by_state))
    state = "".join(_write_initial_states(w, step, name) for name in before)
    states: list[str] = []
    for t in range(shape[time]):
        more = sliced(w, term, t, t + 1, time)
        if state:
            decayed = w.node("Mul", sliced(w, decay, t, t + 1, time), state)
            more = w.node("Add", decayed, more)
        states.append(state := more)
    return states


def _write_initial_states(w: Writer, step: QuantizedNode, before: str) -> str:
    """Write the states of the pass before as reals [..., 1, D, N]."""
    *around, _, channels = step.shapes[0]
    count = step.shapes[2][-1]
    states = sliced(w, before, 0, count, len(around) + 1)
    states = w.node("Mul", states, w.constant(_state_unit_per_channel(w, step)))
    return reshaped(w, states, *around, 1, channels, count)


def _state_unit_per_channel(w: Writer, step: QuantizedNode) -> Array:
    """Return the real value of 1 in a state, float32 [D, 1]: what the addend's multiplier converts
    to."""
    scale = math.prod(w.params[name].scale for name in step.node.inputs[:3])
    integers = step.integers
    if is_wide(step):
        exponent = 96 - sum(getattr(integers, f"{n}_up") for n in ("delta", "x", "v", "b"))
    else:
        exponent = DECAY_BITS - integers.b_shift + integers.term_shift
    unit = math.ldexp(scale, exponent) / np.maximum(integers.term.astype(np.float64), 1.0)
    return np.asarray(unit[:, None], np.float32)


def _write_last_states(
    w: Writer, step: QuantizedNode, delta: str, x: str, b: str, c: str, *before: str
) -> str:
    """Write the states after the last step as ONNX nodes, as last_real gives them."""
    *around, steps, channels = step.shapes[0]
    count, axis = step.shapes[2][-1], len(around) + 1
    *_, state = _write_states(w, step, (delta, x, b), before)
    shape = (*around, channels, count)
    states = w.node("Div", reshaped(w, state, *shape), w.constant(_state_unit_per_channel(w, step)))
    odd = w.constant(np.full((*around, channels, 1), steps % 2, np.float32))
    for name in before:
        total = w.node("Add", odd, sliced(w, name, count, count + 1, axis))
        odd = w.node("Mod", total, number(w, 2.0), fmod=1)
    return w.node("Concat", states, odd, axis=axis)


WRITE: Mapping[str, Write] = {
    "selective_scan": _write_selective_scan,
    "selective_scan_last": _write_last_states,
}
