# SPDX-License-Identifier: Apache-2.0
"""LSTM and GRU as rows of both import tables: for every layer and direction gates, then steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    concat,
    reshape,
    slice_axis,
    transpose,
    weights,
)
from myoedge.operators.import_rows import Arguments, AtenRow, Calls, OnnxCall, OnnxRow, calls

GATES = {"lstm": 4, "gru": 3}


@dataclass(frozen=True)
class Weights:
    """Weights of one direction of one layer, gate by gate in the order of the operators.

    w [G * H, C], r [G * H, H]   of the input and of h     bias_w, bias_r [G * H]
    """

    w: Array
    r: Array
    bias_w: Array
    bias_r: Array

    @property
    def units(self) -> int:
        return int(self.r.shape[1])

    def in_order(self, gates: Sequence[int]) -> Weights:
        """With the gates in this order."""
        parts = (self.w, self.r, self.bias_w, self.bias_r)
        return Weights(*(_gate_by_gate(x, len(gates))[list(gates)].reshape(x.shape) for x in parts))


@dataclass(frozen=True)
class Run:
    """One direction of a layer: h of all steps [T, N, H]; the last h and c, each [1, N, H]."""

    steps: str
    h: str
    c: str | None


def _gate_by_gate(rows: Array, gates: int) -> Array:
    return rows.reshape(gates, len(rows) // gates, *rows.shape[1:])


def _unit_by_unit(rows: Array, gates: int) -> Array:
    return np.asarray(_gate_by_gate(rows, gates).swapaxes(0, 1).reshape(rows.shape))


def run(
    d: GraphBuilder,
    kind: str,
    x: str,
    learnt: Weights,
    first: Sequence[str],
    reverse: bool,
    reset_first: bool = False,
) -> Run:
    """x [T, N, C] -> all steps; first: h, of an LSTM c too, each [N, H]."""
    gates, attrs = GATES[kind], dict[str, Any](reverse=reverse)
    added, own = learnt.bias_w + learnt.bias_r, tuple[str, ...]()
    r = d.constant(_unit_by_unit(learnt.r, gates))
    if kind == "gru":
        attrs["reset_first"] = reset_first
        kept = np.zeros_like(learnt.bias_r)
        if not reset_first:  # the new gate's bias is reset together with what h adds
            kept[2 * learnt.units :] = learnt.bias_r[2 * learnt.units :]
        added = added - kept
        own = (d.constant(_unit_by_unit(kept, gates)),)
    w = d.constant(_unit_by_unit(learnt.w, gates))
    sums = d.add("gates", x, w, d.constant(_unit_by_unit(added, gates)))
    y = d.add(kind, sums, *first, r, *own, **attrs)
    steps = d.shape(y)[0]
    last = 0 if reverse else steps - 1
    c = d.add("lstm_cell", sums, *first, r, reverse=reverse) if kind == "lstm" else None
    alone = None if c is None else reshape(d, c, (1, *d.shape(c)))
    return Run(y, slice_axis(d, y, 0, last, last + 1), alone)


def _state(d: GraphBuilder, name: str | None, index: int, batch: int, units: int) -> str:
    """Part `index` of a first state [L, N, H] as [N, H]; zeros without one."""
    if name is None:
        return d.constant(np.zeros((batch, units), np.float32))
    found = d.constants.get(name)
    if found is not None:
        return d.constant(found[index])
    return reshape(d, slice_axis(d, name, 0, index, index + 1), (batch, units))


# ---- ATen


def aten(kind: str) -> AtenRow:
    """lstm.input and gru.input: any number of layers, one or two directions."""

    def row(d: GraphBuilder, a: Arguments, out: Any) -> tuple[str, ...]:
        x = transpose(d, a["input"], (1, 0, 2)) if a["batch_first"] else a["input"]
        both, layers = (1 + bool(a["bidirectional"])), int(a["num_layers"])
        learnt = _learnt(d, a, kind, layers * both)
        first = list(a["hx"]) if kind == "lstm" else [a["hx"]]
        runs: list[Run] = []
        for layer in range(layers):
            these = []
            for way in range(both):
                at = layer * both + way
                states = [_state(d, s, at, d.shape(x)[1], learnt[at].units) for s in first]
                these.append(run(d, kind, x, learnt[at], states, bool(way)))
            x = concat(d, [r.steps for r in these], 2)
            runs += these
        y = transpose(d, x, (1, 0, 2)) if a["batch_first"] else x
        return (y, *_last(d, runs, 0))

    return row


def _last(d: GraphBuilder, runs: Sequence[Run], axis: int) -> tuple[str, ...]:
    """The last states of all runs behind each other: h, of an LSTM c too."""
    h = concat(d, [run.h for run in runs], axis)
    cells = [run.c for run in runs if run.c is not None]
    return (h, concat(d, cells, axis)) if cells else (h,)


def _learnt(d: GraphBuilder, a: Arguments, kind: str, count: int) -> list[Weights]:
    each = 4 if a["has_biases"] else 2
    names = a["params"]
    if len(names) != each * count:
        raise Unsupported("projections of h (proj_size)")
    found = []
    for at in range(0, len(names), each):
        parts = names[at : at + each]
        w, r, *bias = (weights(d, name, "a recurrent layer's weight") for name in parts)
        bias = bias or [np.zeros(len(w), np.float32)] * 2
        found.append(Weights(w, r, *bias))  # i, f, g, o and r, z, n: the order of the operators
    return found


# ---- ONNX

ORDER = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2)}  # of ONNX: i, o, f, c and z, r, h
ACTIVATIONS = {"lstm": ["sigmoid", "tanh", "tanh"], "gru": ["sigmoid", "tanh"]}


def onnx(kind: str) -> OnnxRow:
    """LSTM and GRU of ONNX: one layer, one or two directions."""

    def row(c: OnnxCall) -> tuple[str, ...]:
        d, turned = c.builder, bool(c.attrs.get("layout", 0))
        _refuse_odd(c, kind)
        x = transpose(d, c.x(), (1, 0, 2)) if turned else c.x()
        direction = c.attrs.get("direction", "forward")
        ways = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[direction]
        learnt = _of_onnx(c, kind, len(ways))
        first = [_given(c, 5 + i, turned) for i in range(2 if kind == "lstm" else 1)]
        runs = []
        for at, reverse in enumerate(ways):
            states = [_state(d, s, at, d.shape(x)[1], learnt[at].units) for s in first]
            early = kind == "gru" and not c.attrs.get("linear_before_reset", 0)
            runs.append(run(d, kind, x, learnt[at], states, reverse, early))
        steps, batch, units = d.shape(runs[0].steps)
        y = concat(d, [reshape(d, r.steps, (steps, 1, batch, units)) for r in runs], 1)
        found = (transpose(d, y, (2, 0, 1, 3)) if turned else y, *_last(d, runs, 0))
        return (found[0], *(transpose(d, s, (1, 0, 2)) if turned else s for s in found[1:]))

    return row


def _refuse_odd(c: OnnxCall, kind: str) -> None:
    given = [name.lower() for name in c.attrs.get("activations") or ()]
    usual = ACTIVATIONS[kind]
    if given and given != usual * (len(given) // len(usual)):
        raise Unsupported(f"activations {', '.join(given)}")
    for name in ("clip", "input_forget"):
        if c.attrs.get(name):
            raise Unsupported(f"{name}={c.attrs[name]}")
    if kind == "lstm" and c.has(7) and np.any(c.array(7, "peepholes")):
        raise Unsupported("peepholes")
    steps = c.shape()[1 if c.attrs.get("layout", 0) else 0]
    if c.has(4) and np.any(c.array(4, "the list of lengths") != steps):
        raise Unsupported("sequences of different lengths")


def _of_onnx(c: OnnxCall, kind: str, ways: int) -> list[Weights]:
    w, r = c.weights(1, "a recurrent layer's weight"), c.weights(2, "a recurrent layer's weight")
    rows, units = r.shape[1], r.shape[2]
    b = c.weights(3, "a bias") if c.has(3) else np.zeros((ways, 2 * rows), np.float32)
    columns = c.shape()[-1]
    wanted = ((ways, rows, columns), (ways, GATES[kind] * units, units), (ways, 2 * rows))
    if (w.shape, r.shape, b.shape) != wanted:
        raise ValueError(f"weights {list(w.shape)}, {list(r.shape)}, {list(b.shape)}")
    parts = (Weights(w[i], r[i], b[i, :rows], b[i, rows:]) for i in range(ways))
    return [part.in_order(ORDER[kind]) for part in parts]


def _given(c: OnnxCall, index: int, turned: bool) -> str | None:
    """A first state [ways, N, H]; None without one."""
    if not c.has(index):
        return None
    return transpose(c.builder, c.x(index), (1, 0, 2)) if turned else c.x(index)


ATEN_LSTM, ATEN_GRU = calls(aten("lstm"), "lstm.input"), calls(aten("gru"), "gru.input")
ONNX_LSTM, ONNX_GRU = {"LSTM": onnx("lstm")}, {"GRU": onnx("gru")}
ATEN: Calls = {
    "gates": {**ATEN_LSTM, **ATEN_GRU},
    "lstm": ATEN_LSTM,
    "lstm_cell": ATEN_LSTM,
    "gru": ATEN_GRU,
}
ONNX: Calls = {
    "gates": {**ONNX_LSTM, **ONNX_GRU},
    "lstm": ONNX_LSTM,
    "lstm_cell": ONNX_LSTM,
    "gru": ONNX_GRU,
}
