# SPDX-License-Identifier: Apache-2.0
"""Import of LSTM, GRU and plain RNN layers: for every layer and direction, gate sums and then the
recurrence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
from myoedge.operators.import_rows import Arguments, ImportRow, Row
from myoedge.operators.recurrent.cells import CELLS

# ONNX's direction -> whether each part runs backwards
DIRECTIONS = {
    "forward": {"": False}, "reverse": {"": True},
    "bidirectional": {"forward": False, "reverse": True},
}  # fmt: skip


class DirectionWeights(NamedTuple):
    """Weights of one direction of a recurrent layer, in the gate order of the operators (G gates).

    w, r             weights of the input [G * H, C] and of h [G * H, H]
    bias_w, bias_r   biases of both products, [G * H]
    projection       optional matrix [P, H] applied to h after every time step; r is then [G * H, P]
    """

    w: Array
    r: Array
    bias_w: Array
    bias_r: Array
    projection: Array | None = None


class Run(NamedTuple):
    """Names of h of all time steps [T, N, H] and of the final states [1, N, H] of a direction."""

    steps: str
    h: str
    c: str | None


def _interleave_gates(rows: Array, gates: int) -> Array:
    """Reorder rows that lie gate by gate."""
    apart = rows.reshape(gates, -1, *rows.shape[1:])
    return np.asarray(apart.swapaxes(0, 1).reshape(rows.shape))


def _add_projected(
    d: GraphBuilder, x: str, learnt: DirectionWeights, first: Sequence[str], back: bool
) -> Run:
    """Add one direction of an LSTM with projections, whose recurrent weights include them.

    An initial h is multiplied by the projection's pseudoinverse, the smallest h with that
    projection.
    """
    matrix = learnt.projection
    assert matrix is not None
    r = learnt.r.astype(np.float64) @ matrix
    inverse = d.constant(np.linalg.pinv(matrix.astype(np.float64)).astype(np.float32))
    h, *cells = first
    if np.any(d.arrays.get(h, np.ones(1))):
        h = d.add("linear", h, inverse)
    else:
        h = d.constant(np.zeros((d.shape(h)[0], matrix.shape[1]), np.float32))
    whole = run(d, "lstm", x, learnt._replace(r=r, projection=None), [h, *cells], back)
    steps = d.add("linear", whole.steps, d.constant(matrix))
    return Run(steps, _last_time_step(d, steps, back), whole.c)


def _last_time_step(d: GraphBuilder, steps: str, reverse: bool) -> str:
    last = 0 if reverse else d.shape(steps)[0] - 1
    return slice_axis(d, steps, 0, last, last + 1)


def run(
    d: GraphBuilder,
    kind: str,
    x: str,
    learnt: DirectionWeights,
    first: Sequence[str],
    reverse: bool,
    reset_first: bool = False,
) -> Run:
    """Add the nodes of one direction of a recurrent layer over x [T, N, C]; return its outputs.

    kind          a cell's name
    first         initial states, h first, each [N, H]
    reverse       whether it runs backwards in time
    reset_first   whether a GRU applies the reset gate before the product with h
    """
    if learnt.projection is not None:
        return _add_projected(d, x, learnt, first, reverse)
    cell, attrs = CELLS[kind], dict[str, Any](reverse=reverse)
    gates = len(cell.order)
    added, own = learnt.bias_w + learnt.bias_r, tuple[str, ...]()
    r = d.constant(_interleave_gates(learnt.r, gates))
    if kind == "gru":
        attrs["reset_first"] = reset_first
        kept, new = np.zeros_like(learnt.bias_r), 2 * learnt.r.shape[1]
        if not reset_first:  # the bias of the new gate is reset together with h's contribution
            kept[new:] = learnt.bias_r[new:]
        added = added - kept
        own = (d.constant(_interleave_gates(kept, gates)),)
    w = d.constant(_interleave_gates(learnt.w, gates))
    sums = d.add(cell.sums, x, w, d.constant(_interleave_gates(added, gates)))
    y = d.add(kind, sums, *first, r, *own, **attrs)
    if kind != "lstm":
        return Run(y, _last_time_step(d, y, reverse), None)
    c = d.add("lstm_cell", sums, *first, r, reverse=reverse)
    return Run(y, _last_time_step(d, y, reverse), reshape(d, c, (1, *d.shape(c))))


def _state(d: GraphBuilder, name: str | None, index: int, shape: tuple[int, int]) -> str:
    """Return number `index` of the initial states; None: zeros."""
    if name is None:
        return d.constant(np.zeros(shape, np.float32))
    if name in d.constants:
        return d.constant(d.array(name)[index])
    return reshape(d, slice_axis(d, name, 0, index, index + 1), shape)


def layer(
    d: GraphBuilder,
    kind: str,
    x: str,
    learnt: Sequence[DirectionWeights],
    first: Sequence[str | None],
    ways: Mapping[str, bool],
    at: int = 0,
    reset_first: bool = False,
) -> list[Run]:
    """Add one layer over x [T, N, C]; return the outputs of each direction.

    first   initial states [L, N, H] of all layers and directions; None: zeros
    ways    name of each direction -> whether it runs backwards in time
    at      index of this layer's first state in `first`; the others as for `run`
    """
    runs, batch = [], d.shape(x)[1]
    for index, (w, part) in enumerate(zip(learnt, ways, strict=True), start=at):
        sizes = (w.r.shape[1], len(w.w) // len(CELLS[kind].order))
        states = [_state(d, name, index, (batch, n)) for n, name in zip(sizes, first, strict=False)]
        with d.part(part):
            runs.append(run(d, kind, x, w, states, ways[part], reset_first))
    return runs


def aten(kind: str) -> Row:
    """Return a function that imports torch's layers of a cell, one or more, with one or two
    directions."""

    def row(d: GraphBuilder, a: Arguments, out: Any) -> tuple[str, ...]:
        x = transpose(d, a["input"], (1, 0, 2)) if a["batch_first"] else a["input"]
        layers, directions = int(a["num_layers"]), 2 if a["bidirectional"] else 1
        learnt = _torch_weights(d, a, layers * directions)
        first = list(a["hx"]) if kind == "lstm" else [a["hx"]]
        runs: list[Run] = []
        for number in range(layers):
            at = number * directions
            ways = _direction_suffixes(number, layers, directions)
            made = layer(d, kind, x, learnt[at : at + directions], first, ways, at)
            x = concat(d, [r.steps for r in made], 2)
            runs += made
        y = transpose(d, x, (1, 0, 2)) if a["batch_first"] else x
        return (y, *_join_last_states(d, runs))

    return row


def _direction_suffixes(number: int, layers: int, directions: int) -> dict[str, bool]:
    """Return torch's weight-name suffix of each direction of a layer ("l1_reverse") -> whether it
    runs backwards; {"": False} for a single-layer module with one direction."""
    if layers == directions == 1:
        return {"": False}
    forward = f"l{number}"
    return {forward: False, f"{forward}_reverse": True} if directions > 1 else {forward: False}


def cell(kind: str) -> Row:
    """Return a function that imports torch's cell, as a layer of one time step."""

    def row(d: GraphBuilder, a: Arguments, out: Any) -> Any:
        w, r = (weights(d, a[name], "a recurrent cell's weight") for name in ("w_ih", "w_hh"))
        none, given = np.zeros(len(w), np.float32), (a["b_ih"], a["b_hh"])
        biases = [none if x is None else weights(d, x, "a cell's bias") for x in given]
        states = list(a["hx"]) if kind == "lstm" else [a["hx"]]
        x = reshape(d, a["input"], (1, *d.shape(a["input"])))
        made = run(d, kind, x, DirectionWeights(w, r, *biases), states, reverse=False)
        after = [made.h] if made.c is None else [made.h, made.c]
        found = tuple(reshape(d, name, d.shape(name)[1:]) for name in after)
        return found if kind == "lstm" else found[0]

    return row


def _join_last_states(d: GraphBuilder, runs: Sequence[Run]) -> tuple[str, ...]:
    """Concatenate the last states of all directions: h, and c for an LSTM."""
    h = concat(d, [run.h for run in runs], 0)
    cells = [run.c for run in runs if run.c is not None]
    return (h, concat(d, cells, 0)) if cells else (h,)


def _torch_weights(d: GraphBuilder, a: Arguments, count: int) -> list[DirectionWeights]:
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
    """Return a function that imports ONNX's "lstm", "gru" or "rnn", with one or two directions."""

    def row(d: GraphBuilder, a: Arguments, out: Any) -> tuple[str, ...]:
        batch_first, kind = bool(a["layout"]), name
        if name == "rnn":
            relu = "relu" in (first.lower() for first in (a["activations"] or ())[:1])
            kind = "rnn_relu" if relu else "rnn_tanh"
        _refuse_other(d, a, kind)

        def swapped(x: str, *perm: int) -> str:
            return transpose(d, x, perm) if batch_first else x

        x = swapped(a["input"], 1, 0, 2)
        ways = DIRECTIONS[a["direction"]]
        learnt = _onnx_weights(d, a, kind, len(ways))
        given = [a["h"], a["c"]] if kind == "lstm" else [a["h"]]
        _check_states_fit(d, a, given, learnt)
        first = [None if name is None else swapped(name, 1, 0, 2) for name in given]
        early = kind == "gru" and not a["linear_before_reset"]
        runs = layer(d, kind, x, learnt, first, ways, reset_first=early)
        steps, batch, units = d.shape(runs[0].steps)
        y = concat(d, [reshape(d, r.steps, (steps, 1, batch, units)) for r in runs], 1)
        last = _join_last_states(d, runs)
        return (swapped(y, 2, 0, 1, 3), *(swapped(state, 1, 0, 2) for state in last))

    return row


def _check_states_fit(
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


def _refuse_other(d: GraphBuilder, a: Arguments, kind: str) -> None:
    activations = [name.lower() for name in a["activations"] or ()]
    usual, steps = list(CELLS[kind].activations), d.shape(a["input"])[1 if a["layout"] else 0]
    odd = {
        f"activations {', '.join(activations)}": (
            activations != usual * (len(activations) // len(usual))
        ),
        **{f"{name}={a.get(name)}": a.get(name) for name in ("clip", "input_forget")},
        "peepholes": _is_changed(a.get("peepholes"), 0),
        "sequences of different lengths": _is_changed(a["lengths"], steps),
    }
    for what, is_odd in odd.items():
        if is_odd:
            raise Unsupported(what)


def _is_changed(given: Array | None, usual: int) -> bool:
    return given is not None and bool(np.any(given != usual))


def _onnx_weights(d: GraphBuilder, a: Arguments, kind: str, ways: int) -> list[DirectionWeights]:
    """Return the weights of all directions from an ONNX call, with gates in the order of our
    operators."""
    w, r, order = d.array(a["w"]), d.array(a["r"]), np.argsort(CELLS[kind].order)
    rows, units = r.shape[1:]
    b = np.zeros((ways, 2 * rows), np.float32) if a["bias"] is None else d.array(a["bias"])
    columns = d.shape(a["input"])[-1]
    expected = ((ways, rows, columns), (ways, len(order) * units, units), (ways, 2 * rows))
    if (w.shape, r.shape, b.shape) != expected:
        raise ValueError(f"weights {list(w.shape)}, {list(r.shape)}, {list(b.shape)}")

    def ours(rows: Array) -> Array:
        return rows.reshape(len(order), units, *rows.shape[1:])[order].reshape(rows.shape)

    parts = ((w[i], r[i], b[i, :rows], b[i, rows:]) for i in range(ways))
    return [DirectionWeights(*map(ours, arrays)) for arrays in parts]


INPUTS = "(input, w: weights, r: weights, bias: weights, lengths: array, h"
USES = "direction='forward', layout=0, activations=None, clip=None"

USED = {
    "lstm": "gates lstm lstm_cell", "gru": "gates gru",
    "rnn_tanh": "sums rnn_tanh", "rnn_relu": "sums rnn_relu",
}  # fmt: skip
OF_ONNX = {
    "LSTM": (USED["lstm"], f"{INPUTS}, c, peepholes: array, *, input_forget=None, {USES})"),
    "GRU": (USED["gru"], f"{INPUTS}, *, linear_before_reset=0, {USES})"),
    "RNN": ("sums rnn_tanh rnn_relu", f"{INPUTS}, *, {USES})"),
}
ROWS = (
    *(ImportRow(ops, aten(kind), f"{kind}.input", all_results=True) for kind, ops in USED.items()),
    *(
        ImportRow(ops, cell(kind), f"{kind}_cell", all_results=kind == "lstm")
        for kind, ops in USED.items()
    ),
    *(
        ImportRow(ops, onnx(name.lower()), onnx=name + inputs, all_results=True)
        for name, (ops, inputs) in OF_ONNX.items()
    ),
)
