# SPDX-License-Identifier: Apache-2.0
"""Import of LSTM, GRU and plain RNN layers: for every layer and direction, gate sums and then the
recurrence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    concat,
    reshape,
    transpose,
    weights,
)
from myoedge.operators.import_rows import Arguments, ImportRow, Row
from myoedge.operators.recurrent.layers import (
    GATES,
    ORDER,
    DirectionWeights,
    Run,
    gate_by_gate,
    layer,
    run,
)

ACTIVATIONS = {
    "lstm": ["sigmoid", "tanh", "tanh"], "gru": ["sigmoid", "tanh"],
    "rnn_tanh": ["tanh"], "rnn_relu": ["relu"],
}  # fmt: skip
# ONNX's direction -> whether each part runs backwards
DIRECTIONS = {
    "forward": {"": False}, "reverse": {"": True},
    "bidirectional": {"forward": False, "reverse": True},
}  # fmt: skip


def aten(kind: str) -> Row:
    """Return a function that imports torch's lstm.input, gru.input or rnn_tanh.input, with any
    number of layers and one or two directions.

    kind   "lstm", "gru", "rnn_tanh" or "rnn_relu"
    """

    def row(d: GraphBuilder, a: Arguments, out: Any) -> tuple[str, ...]:
        x = transpose(d, a["input"], (1, 0, 2)) if a["batch_first"] else a["input"]
        layers, directions = int(a["num_layers"]), 2 if a["bidirectional"] else 1
        learnt = _learnt(d, a, layers * directions)
        first = list(a["hx"]) if kind == "lstm" else [a["hx"]]
        runs: list[Run] = []
        for number in range(layers):
            at = number * directions
            ways = _parts(number, layers, directions)
            made = layer(d, kind, x, learnt[at : at + directions], first, ways, at)
            x = concat(d, [r.steps for r in made], 2)
            runs += made
        y = transpose(d, x, (1, 0, 2)) if a["batch_first"] else x
        return (y, *_last(d, runs))

    return row


def _parts(number: int, layers: int, directions: int) -> dict[str, bool]:
    """Return torch's weight-name suffix of each direction of a layer ("l1_reverse") -> whether it
    runs backwards; {"": False} for a single-layer module with one direction."""
    if layers == directions == 1:
        return {"": False}
    forward = f"l{number}"
    return {forward: False, f"{forward}_reverse": True} if directions > 1 else {forward: False}


def cell(kind: str) -> Row:
    """Return a function that imports lstm_cell, gru_cell or an RNN cell, as a layer of one time
    step."""

    def row(d: GraphBuilder, a: Arguments, out: Any) -> Any:
        w, r = (weights(d, a[name], "a recurrent cell's weight") for name in ("w_ih", "w_hh"))
        given = (a["b_ih"], a["b_hh"])
        biases = [
            np.zeros(len(w), np.float32) if name is None else weights(d, name, "a cell's bias")
            for name in given
        ]
        states = list(a["hx"]) if kind == "lstm" else [a["hx"]]
        x = reshape(d, a["input"], (1, *d.shape(a["input"])))
        made = run(d, kind, x, DirectionWeights(w, r, *biases), states, reverse=False)
        after = [made.h] if made.c is None else [made.h, made.c]
        found = tuple(reshape(d, name, d.shape(name)[1:]) for name in after)
        return found if kind == "lstm" else found[0]

    return row


def _last(d: GraphBuilder, runs: Sequence[Run]) -> tuple[str, ...]:
    """Concatenate the last states of all directions: h, and c for an LSTM."""
    h = concat(d, [run.h for run in runs], 0)
    cells = [run.c for run in runs if run.c is not None]
    return (h, concat(d, cells, 0)) if cells else (h,)


def _learnt(d: GraphBuilder, a: Arguments, count: int) -> list[DirectionWeights]:
    names, biases = a["params"], 2 if a["has_biases"] else 0
    each, learnt = len(names) // count, []
    for at in range(0, len(names), each):
        parts = names[at : at + each]
        w, r, *others = (weights(d, name, "a recurrent layer's weight") for name in parts)
        bias = others[:biases] or [np.zeros(len(w), np.float32)] * 2
        # Gates i, f, g, o and r, z, n, in the operators' order; with proj_size, then a matrix.
        learnt.append(DirectionWeights(w, r, *bias, *others[biases:]))
    return learnt


def onnx(name: str) -> Row:
    """Return a function that imports ONNX's LSTM, GRU or RNN, with one or two directions.

    name   "lstm", "gru" or "rnn"
    """

    def row(d: GraphBuilder, a: Arguments, out: Any) -> tuple[str, ...]:
        batch_first, kind = bool(a["layout"]), name
        if name == "rnn":
            relu = "relu" in (first.lower() for first in (a["activations"] or ())[:1])
            kind = "rnn_relu" if relu else "rnn_tanh"
        _refuse_odd(d, a, kind)

        def swapped(x: str, *perm: int) -> str:
            return transpose(d, x, perm) if batch_first else x

        x = swapped(a["input"], 1, 0, 2)
        ways = DIRECTIONS[a["direction"]]
        learnt = _learnt_onnx(d, a, kind, len(ways))
        given = [a["h"], a["c"]] if kind == "lstm" else [a["h"]]
        _check_states(d, a, given, learnt)
        first = [None if name is None else swapped(name, 1, 0, 2) for name in given]
        early = kind == "gru" and not a["linear_before_reset"]
        runs = layer(d, kind, x, learnt, first, ways, reset_first=early)
        steps, batch, units = d.shape(runs[0].steps)
        y = concat(d, [reshape(d, r.steps, (steps, 1, batch, units)) for r in runs], 1)
        last = _last(d, runs)
        return (swapped(y, 2, 0, 1, 3), *(swapped(state, 1, 0, 2) for state in last))

    return row


def _check_states(
    d: GraphBuilder, a: Arguments, given: Sequence[str | None], learnt: Sequence[DirectionWeights]
) -> None:
    """Raise ValueError if an initial state has another number of units, as in LSTMs with
    projection."""
    batch = d.shape(a["input"])[0 if a["layout"] else 1]
    ways, units = len(learnt), learnt[0].r.shape[1]
    needs = (batch, ways, units) if a["layout"] else (ways, batch, units)
    for name in given:
        if name is not None and d.shape(name) != needs:
            raise ValueError(f"a first state {list(d.shape(name))}, not {list(needs)}")


def _refuse_odd(d: GraphBuilder, a: Arguments, kind: str) -> None:
    activations = [name.lower() for name in a["activations"] or ()]
    usual, steps = ACTIVATIONS[kind], d.shape(a["input"])[1 if a["layout"] else 0]
    odd = {
        f"activations {', '.join(activations)}": (
            activations != usual * (len(activations) // len(usual))
        ),
        **{f"{name}={a.get(name)}": a.get(name) for name in ("clip", "input_forget")},
        "peepholes": _differs(a.get("peepholes"), 0),
        "sequences of different lengths": _differs(a["lengths"], steps),
    }
    for what, is_odd in odd.items():
        if is_odd:
            raise Unsupported(what)


def _differs(given: Array | None, usual: int) -> bool:
    return given is not None and bool(np.any(given != usual))


def _learnt_onnx(d: GraphBuilder, a: Arguments, kind: str, ways: int) -> list[DirectionWeights]:
    """Return the weights of all directions from an ONNX call, with gates in the order of our
    operators."""
    w, r = d.array(a["w"]), d.array(a["r"])
    rows, units, order = r.shape[1], r.shape[2], list(ORDER[kind])
    b = np.zeros((ways, 2 * rows), np.float32) if a["bias"] is None else d.array(a["bias"])
    columns = d.shape(a["input"])[-1]
    expected = ((ways, rows, columns), (ways, GATES[kind] * units, units), (ways, 2 * rows))
    if (w.shape, r.shape, b.shape) != expected:
        raise ValueError(f"weights {list(w.shape)}, {list(r.shape)}, {list(b.shape)}")
    parts = ((w[i], r[i], b[i, :rows], b[i, rows:]) for i in range(ways))
    return [
        DirectionWeights(*(gate_by_gate(x, len(order))[order].reshape(x.shape) for x in arrays))
        for arrays in parts
    ]


INPUTS = "(input, w: weights, r: weights, bias: weights, lengths: array, h"
USES = "direction='forward', layout=0, activations=None, clip=None"

ROWS = (
    ImportRow("gates lstm lstm_cell", aten("lstm"), "lstm.input", all_results=True),
    ImportRow("gates gru", aten("gru"), "gru.input", all_results=True),
    ImportRow("sums rnn_tanh", aten("rnn_tanh"), "rnn_tanh.input", all_results=True),
    ImportRow("sums rnn_relu", aten("rnn_relu"), "rnn_relu.input", all_results=True),
    ImportRow("gates lstm lstm_cell", cell("lstm"), "lstm_cell", all_results=True),
    ImportRow("gates gru", cell("gru"), "gru_cell"),
    ImportRow("sums rnn_tanh", cell("rnn_tanh"), "rnn_tanh_cell"),
    ImportRow("sums rnn_relu", cell("rnn_relu"), "rnn_relu_cell"),
    ImportRow(
        "gates lstm lstm_cell",
        onnx("lstm"),
        onnx=f"LSTM{INPUTS}, c, peepholes: array, *, input_forget=None, {USES})",
        all_results=True,
    ),
    ImportRow(
        "gates gru",
        onnx("gru"),
        onnx=f"GRU{INPUTS}, *, linear_before_reset=0, {USES})",
        all_results=True,
    ),
    ImportRow(
        "sums rnn_tanh rnn_relu", onnx("rnn"), onnx=f"RNN{INPUTS}, *, {USES})", all_results=True
    ),
)
