# SPDX-License-Identifier: Apache-2.0
"""LSTM and GRU over time, one layer and direction a node: what the steps before add to the gates.

Columns of the gates and rows of the weights go unit by unit: (input, forget, cell, output) of an
LSTM, (reset, update, new) of a GRU. What a step's input adds to them comes from `gates`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.fixedpoint import (
    INT32_MAX,
    Combine,
    QParams,
    choose_combine,
    combine,
    rescale,
)
from myoedge.ir import Array, Attrs, Shape
from myoedge.op import Carried, Integers, InTime, Nest, OpDef, Site, Step, exact_matmul, register
from myoedge.ops import conv
from myoedge.ops.gates import GATE
from myoedge.ops.packing import up
from myoedge.ops.wide import channels_in_blocks, in_blocks
from myoedge.tiled import OUT, Dim, Fields, Operand, Region, Tiled

LSTM_GATES, GRU_GATES = 4, 3
HIDDEN = QParams(2.0**-7, 0)  # h, as it is multiplied and put out
CELL_BITS = 11  # fraction of an LSTM's c: int16, +-16
STATE_BITS = 14  # fraction of a GRU's h between steps: 15 bits, +-1
CELL_REACH, STATE_REACH = 16.0, 1.0
TABLE = 512  # intervals of a table, between which values are interpolated
SIGMOID_REACH, TANH_REACH = 16.0, 8.0  # beyond them the functions do not change
HALF = np.iinfo(np.int16)
STATE = (-(1 << STATE_BITS), (1 << STATE_BITS) - 1)

# ---- meaning in floats


def lstm_real(attrs: Attrs, gates: Array, h: Array, c: Array, r: Array) -> Array:
    """gates [T, N, 4H], h and c [N, H], r [4H, H] -> h of every step [T, N, H]."""
    steps = _lstm_floats(attrs, gates, h, c, r)
    return _in_order(attrs, [h for h, _ in steps])


def cell_real(attrs: Attrs, gates: Array, h: Array, c: Array, r: Array) -> Array:
    """The same arguments -> c of the last step [N, H]."""
    (*_, (_, last)) = _lstm_floats(attrs, gates, h, c, r)
    return last


def _lstm_floats(
    attrs: Attrs, gates: Array, h: Array, c: Array, r: Array
) -> Iterator[tuple[Array, Array]]:
    for now in _in_time(attrs, gates):
        i, f, g, o = np.moveaxis((now + h @ r.T).reshape(*h.shape, LSTM_GATES), -1, 0)
        c = np.asarray(_sigmoid(f) * c + _sigmoid(i) * np.tanh(g))
        h = np.asarray(_sigmoid(o) * np.tanh(c))
        yield h, c


def gru_real(attrs: Attrs, gates: Array, h: Array, r: Array, b: Array) -> Array:
    """gates [T, N, 3H], h [N, H], r [3H, H], b [3H] -> h of every step [T, N, H].

    attrs["reset_first"]: h is reset before it is multiplied for the new gate, else behind that.
    """

    def added(h: Array) -> Array:
        return np.moveaxis((h @ r.T + b).reshape(*h.shape, GRU_GATES), -1, 0)

    found = []
    for now in _in_time(attrs, gates):
        x_r, x_z, x_n = np.moveaxis(now.reshape(*h.shape, GRU_GATES), -1, 0)
        h_r, h_z, h_n = added(h)
        reset = _sigmoid(x_r + h_r)
        h_n = added(reset * h)[2] if attrs["reset_first"] else reset * h_n
        n = np.tanh(x_n + h_n)
        h = np.asarray(n + _sigmoid(x_z + h_z) * (h - n))
        found.append(h)
    return _in_order(attrs, found)


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


def _in_time(attrs: Attrs, gates: Array) -> Array:
    return gates[::-1] if attrs["reverse"] else gates


def _in_order(attrs: Attrs, found: Sequence[Array]) -> Array:
    return np.stack(found[::-1] if attrs["reverse"] else found)


# ---- shapes and loops


def _sequence_shape(attrs: Attrs, gates: Shape, h: Shape, *_: Shape) -> Shape:
    return (gates[0], *h)


def _state_shape(attrs: Attrs, gates: Shape, h: Shape, *_: Shape) -> Shape:
    return h


def _nest(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> Nest:
    """Loops over the products by what came of the step before."""
    (t, n, columns), units = shapes[0], out[-1]
    per_unit = columns // units
    time: Dim = (("t", 1),)
    batch: Dim = (("n", 1),)
    unit: Dim = (("j", 1),)
    row: Dim = (("j", per_unit), ("g", 1))
    states = ("h", "c") if per_unit == LSTM_GATES else ("h",)
    operands = {
        "x": (time, batch, row),
        **dict.fromkeys(states, (batch, unit)),
        "w": (row, (("c", 1),)),
        "y": (time, batch, unit) if len(out) > 2 else (batch, unit),
    }
    axes = {"t": t, "n": n, "j": units, "g": per_unit, "c": units}
    summed = {"g", "c"} if len(out) > 2 else {"g", "c", "t"}
    return Nest(axes, operands, frozenset(summed))


# ---- integers


def table(function: str) -> Array:
    """int16 [513]: the function in Q15 at equal distances over its reach."""
    reach = SIGMOID_REACH if function == "sigmoid" else TANH_REACH
    x = np.linspace(-reach, reach, TABLE + 1)
    y = _sigmoid(x) if function == "sigmoid" else np.tanh(x)
    return np.asarray(np.minimum(np.rint(2.0**15 * y), HALF.max), np.int16)


def interpolated(values: Array, x: Array, bits: int) -> Array:
    """Q15 of the function: a step of the table is 2**bits of x."""
    limit = TABLE // 2 << bits
    at = np.clip(x, -limit, limit - 1) + limit
    low, wide = at >> bits, values.astype(np.int64)
    part = (wide[low + 1] - wide[low]) * (at & ((1 << bits) - 1))
    return np.asarray(wide[low] + ((part + (1 << bits >> 1)) >> bits))


SIGMOID_STEP, TANH_STEP, CELL_STEP = 6, 5, 6  # bits between entries: of Q10, Q10 and Q11


def _recurrent_quantize(site: Site, weights: tuple[Array | None, ...]) -> Integers:
    """Weights per row, from int8 h to the gates' steps; the two tables."""
    inner = replace(site, inputs=(HIDDEN,), constants=(None, *weights), target=GATE)
    found = conv.quantize(inner)
    tables = {name: table(name) for name in ("sigmoid", "tanh")}
    return Integers(found.scalars, {**found.arrays, **tables})


def _start(site: Site, index: int, name: str, bits: int) -> dict[str, int]:
    """Factor and offset from a first state to so many bits of fraction."""
    return _from(site.params(index), name, bits)


def _from(q: QParams, name: str, bits: int) -> dict[str, int]:
    c = choose_combine([q.scale * 2.0**bits], [-q.low], [q.zero_point], 0.0)
    return {f"{name}_mult": c.mult[0], f"{name}_offset": c.offset, f"{name}_shift": c.shift}


def lstm_quantize(site: Site) -> Integers:
    found = _recurrent_quantize(site, (site.constant(3),))
    starts = {**_start(site, 1, "h", 7), **_start(site, 2, "c", CELL_BITS)}
    return Integers({**found.scalars, **starts}, found.arrays)


def cell_quantize(site: Site) -> Integers:
    """The same, and from c to the output."""
    found, y = lstm_quantize(site), site.target
    c = choose_combine([2.0**-CELL_BITS / y.scale], [-HALF.min], [0], y.zero_point)
    last = {"y_mult": c.mult[0], "y_offset": c.offset, "y_shift": c.shift}
    return Integers({**found.scalars, **last}, found.arrays)


def gru_quantize(site: Site) -> Integers:
    found = _recurrent_quantize(site, (site.constant(2), site.constant(3)))
    return Integers({**found.scalars, **_start(site, 1, "h", STATE_BITS)}, found.arrays)


def _first(step: Step, name: str, x: Array, limits: tuple[int, int]) -> Array:
    """A first state in the bits that the steps keep of it."""
    scaled = x.astype(np.int64) * step[f"{name}_mult"] + step[f"{name}_offset"]
    return np.asarray(np.clip(scaled >> step[f"{name}_shift"], *limits))


def _recurrent(step: Step, h: Array, per_unit: int) -> tuple[Array, ...]:
    """What h adds to the gates, each [N, H]."""
    acc = exact_matmul(h, step["weight"].T) + step["bias"]
    assert np.abs(acc).max(initial=0) <= INT32_MAX
    sums = np.clip(rescale(acc, conv.requant_of(step)), HALF.min, HALF.max)
    return tuple(np.moveaxis(sums.reshape(*h.shape, per_unit), -1, 0))


def _parts(now: Array, h: Array, per_unit: int) -> tuple[Array, ...]:
    return tuple(np.moveaxis(now.astype(np.int64).reshape(*h.shape, per_unit), -1, 0))


def _lstm_steps(step: Step, gates: Array, h: Array, c: Array) -> Iterator[tuple[Array, Array]]:
    h, c = _first(step, "h", h, (-128, 127)), _first(step, "c", c, (HALF.min, HALF.max))
    sigmoid, tanh = step["sigmoid"], step["tanh"]
    for now in _in_time(step.attrs, gates):
        pairs = zip(_parts(now, h, LSTM_GATES), _recurrent(step, h, LSTM_GATES), strict=True)
        i, f, g, o = (x + r for x, r in pairs)
        i, f, o = (interpolated(sigmoid, v, SIGMOID_STEP) for v in (i, f, o))
        added = i * interpolated(tanh, g, TANH_STEP) >> (15 - CELL_BITS)
        c = np.clip((f * c + added + (1 << 14)) >> 15, HALF.min, HALF.max)
        out = o * interpolated(tanh, c, CELL_STEP)
        h = np.clip((out + (1 << 22)) >> 23, -128, 127)
        yield h, c


def lstm_integer(step: Step, gates: Array, h: Array, c: Array) -> Array:
    """gates int16 [T, N, 4H], h int8 and c int8 or int16 [N, H] -> int8 [T, N, H]."""
    found = [h for h, _ in _lstm_steps(step, gates, h, c)]
    return _in_order(step.attrs, found).astype(np.int8)


def cell_integer(step: Step, gates: Array, h: Array, c: Array) -> Array:
    """The same arguments -> c of the last step, of the same type [N, H]."""
    (*_, (_, last)) = _lstm_steps(step, gates, h, c)
    to = Combine((step["y_mult"],), step["y_offset"], step["y_shift"])
    kind = np.int16 if "wide" in step.integers.scalars else np.int8
    return combine((last,), to, step.low, step.high, kind)


def gru_integer(step: Step, gates: Array, h: Array) -> Array:
    """gates int16 [T, N, 3H], h int8 [N, H] -> int8 [T, N, H]; between steps h has 16 bits."""
    state, found = _first(step, "h", h, STATE), []
    sigmoid, tanh = step["sigmoid"], step["tanh"]
    small = _rounded(state)
    for now in _in_time(step.attrs, gates):
        x_r, x_z, x_n = _parts(now, state, GRU_GATES)
        h_r, h_z, h_n = _recurrent(step, small, GRU_GATES)
        r, z = (interpolated(sigmoid, v, SIGMOID_STEP) for v in (x_r + h_r, x_z + h_z))
        if step.attrs["reset_first"]:
            (_, _, h_n) = _recurrent(step, _rounded((r * state + (1 << 14)) >> 15), GRU_GATES)
        else:
            h_n = (r * h_n + (1 << 14)) >> 15
        n = (interpolated(tanh, x_n + h_n, TANH_STEP) + 1) >> 1
        state = np.clip(n + ((z * (state - n) + (1 << 14)) >> 15), *STATE)
        small = _rounded(state)
        found.append(small)
    return _in_order(step.attrs, found).astype(np.int8)


def _rounded(state: Array) -> Array:
    return np.asarray(np.clip((state + (1 << (STATE_BITS - 8))) >> (STATE_BITS - 7), -128, 127))


def recurrent_bound(step: Step) -> int:
    """Of the sums over h, and of c' before its last shift."""
    return max(conv.acc_bound(step), 2**30 + 2**26 + 2**14)


def gru_bound(step: Step) -> int:
    """Of the sums over h, and of z (h - n) with both within +-1."""
    return max(conv.acc_bound(step), 2**15 * (2**15 - 1) + 2**14)


def literals(step: Step) -> dict[str, Any]:
    (t, n, columns), units = step.shapes[0], step.out[-1]
    sizes = {"steps": t, "batch": n, "units": units, "gates": columns // units}
    return {**sizes, "reset_first": bool(step.attrs.get("reset_first", False))}


# ---- in tiles


def _in_tiles(step: Step, kernel: str) -> Tiled:
    """Some steps at a time, in the order of time; states stay in L1 from tile to tile."""
    sizes = literals(step)
    t, n, units, gates = (sizes[key] for key in ("steps", "batch", "units", "gates"))
    weight = step["weight"].reshape(units, gates, units)
    spare = ((0, 0), (0, 4 - gates), (0, 0))
    channels = channels_in_blocks(step)[: units * gates].reshape(units, gates, 4)
    arrays: dict[str, Array] = {
        "weights": in_blocks(np.pad(weight, spare).reshape(4 * units, units)),
        "channels": np.pad(channels, spare).reshape(4 * units, 4),
        "sigmoid": step["sigmoid"],
        "tanh": step["tanh"],
    }
    whole = len(step.out) == 2  # the last c alone
    wide = step.integers.scalars.get("wide", 0)  # c as it is kept between steps
    time: Dim = (("t", 1),)
    states = [f"{name}0" for name in "hc"[: len(step.operands) - 1]]
    operands = (
        Operand("gates", 0, (t, n * units * gates), (time, ()), item=2),
        *(
            Operand(name, i + 1, (n * units,), ((),), item=2 if wide and name == "c0" else 1)
            for i, name in enumerate(states)
        ),
        *(Operand(name, name, (a.nbytes,), ((),)) for name, a in arrays.items()),
        Operand(
            "y", OUT, (1 if whole else t, n * units), (() if whole else time, ()), item=step.item
        ),
    )
    starts = {k: v for k, v in step.integers.scalars.items() if k.split("_")[0] in "hcy"}
    pointers = {name: f"@{name}" for name in (*states, *arrays)}
    rounds = 1 + sizes["reset_first"]  # parts of a step, with a barrier each
    loads = gates + sizes["reset_first"]  # rows of weights, and h once a part, for a word of h
    return Tiled(
        kernel=kernel,
        axes={"t": t},
        split=("t",),
        backwards=("t",) if step.attrs["reverse"] else (),
        operands=operands,
        op={
            "units": units,
            "batch": n,
            "reverse": int(step.attrs["reverse"]),
            "pre": step["pre"],
            "wide": wide,
            **starts,
            **pointers,
            "states": "@scratch",
        },
        tile=lambda regions: _tile(regions, t, bool(step.attrs["reverse"])),
        arrays=arrays,
        scratch=lambda _: n * (2 * up(units) + up(2 * units)) * (1 + sizes["reset_first"]),
        cycles=lambda sizes, prices: (
            sizes["t"]
            * (
                n
                * -(-units // 8)
                * (
                    up(units) // 4 * (1 + 2 * loads) * prices.recurrent_word
                    + loads * prices.recurrent_unit
                )
                + rounds * prices.recurrent_step
            )
            + prices.recurrent_call
        ),
        first=lambda sizes, prices: prices.first_recurrent,
    )


def _tile(regions: Mapping[str, Region], steps: int, reverse: bool) -> Fields:
    """`done`: steps before those of this tile."""
    x = regions["gates"]
    first, count = x.start[0], x.extent[0]
    done = steps - first - count if reverse else first
    return {"gates": "@gates", "y": "@y", "steps": count, "done": done}


CELL = QParams(2.0**-CELL_BITS, 0, "int16")


def lstm_in_time(attrs: Attrs, shapes: Sequence[Shape], index: int, axis: int) -> InTime | None:
    """Forwards, with h and c as one frame leaves them for the next: exact in their own bits."""
    if index or axis or attrs["reverse"]:
        return None

    def first_h(step: Step, x: Array) -> Array:
        return _first(step, "h", x, (-128, 127))

    def first_c(step: Step, x: Array) -> Array:
        return _first(step, "c", x, (HALF.min, HALF.max))

    cell = {**_from(CELL, "c", CELL_BITS), **_from(CELL, "y", CELL_BITS), "wide": 1}
    h = Carried(1, "h", HIDDEN, first_h, _from(HIDDEN, "h", 7))
    c = Carried(2, "c", CELL, first_c, cell, last="lstm_cell")
    return InTime(0, lambda made: attrs, carries=(h, c))


def lstm_in_tiles(step: Step) -> Tiled:
    return _in_tiles(step, "me_lstm")


def cell_in_tiles(step: Step) -> Tiled:
    return _in_tiles(step, "me_lstm_cell")


def gru_in_tiles(step: Step) -> Tiled:
    return _in_tiles(step, "me_gru_reset_first" if step.attrs["reset_first"] else "me_gru")


LSTM = register(
    OpDef(
        name="lstm",
        doc="h of every step of an LSTM, one layer and direction; c has 16 bits",
        shape=_sequence_shape,
        nest=_nest,
        real=lstm_real,
        integer=lstm_integer,
        quantize=lstm_quantize,
        acc_bound=recurrent_bound,
        template="recurrent.c.j2",
        literals=literals,
        tiled=lstm_in_tiles,
        weights=(3,),
        fixed=HIDDEN,
        multiplies=True,
        in_time=lstm_in_time,
    )
)

LSTM_CELL = register(
    OpDef(
        name="lstm_cell",
        doc="c behind the last step of an LSTM, by running it once more",
        shape=_state_shape,
        nest=_nest,
        real=cell_real,
        integer=cell_integer,
        quantize=cell_quantize,
        acc_bound=recurrent_bound,
        template="recurrent.c.j2",
        literals=literals,
        tiled=cell_in_tiles,
        weights=(3,),
        multiplies=True,
    )
)

GRU = register(
    OpDef(
        name="gru",
        doc="h of every step of a GRU, one layer and direction; between steps it has 16 bits",
        shape=_sequence_shape,
        nest=_nest,
        real=gru_real,
        integer=gru_integer,
        quantize=gru_quantize,
        acc_bound=gru_bound,
        template="recurrent.c.j2",
        literals=literals,
        tiled=gru_in_tiles,
        weights=(2, 3),
        fixed=HIDDEN,
        multiplies=True,
    )
)
