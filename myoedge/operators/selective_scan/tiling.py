# SPDX-License-Identifier: Apache-2.0
"""Tiling of selective scans: all time steps of a block of channels per tile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Attrs, Shape
from myoedge.nest.c import WORKERS
from myoedge.numerics.arrays import Array, round_up
from myoedge.numerics.element_type import INT16, INT32
from myoedge.numerics.quant_params import QuantParams
from myoedge.numerics.requant import INT32_MAX
from myoedge.operators.base import QuantizedNode, QuantizeInputs
from myoedge.operators.kernel import OUT, AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.selective_scan import wide
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule, StreamState
from myoedge.operators.traits import (
    BOUND,
    INTEGERS_32,
    REQUANT,
    SHIFT,
    SYMMETRIC_32,
    Learnt,
    Span,
    inside,
)
from myoedge.targets.chip import Engine

ENTRIES = 1 << 13  # entries of the table of powers of 1/2
DROP = 12  # fraction bits of a table index, the product of delta and decay
MOST_HALVINGS = 12.0  # range of the table's exponents; beyond, nothing is left of 8 bits
EVEN_RATES = 16.0  # from the fastest to the slowest decay; the table has two entries per delta step
UP_MAX = 8  # maximum left shift of delta
DECAY_MAX = (1 << 16) - 1
DECAY_BITS = 15  # fraction bits of a decay, and of the addend of a state
STATE_MAX = 32000  # largest state by its bound; int16 is the limit
INT16_MAX = (1 << 15) - 1
FINEST = 16  # largest ratio of the channels' state steps: multipliers then keep 10 of 14 bits
SKIP_MAX = 1 << 21  # times 255 it is a quarter of int32
HALF = 1 << DECAY_BITS >> 1

NARROW: dict[str, Span] = {
    **REQUANT,
    "term": (0, 1 << 14),
    "term_shift": SHIFT,
    "skip": SYMMETRIC_32,
    "limited": (0, 1),
    "delta_up": (0, UP_MAX),
    "decay": (0, DECAY_MAX),
    "powers": (0, INT16_MAX),
}


def _products_fit(integers: Any, site: QuantizeInputs) -> bool:
    """Return whether the products of delta and decay stay inside the table of powers, and sums in
    int32."""
    if isinstance(integers, wide.WideScanParams):
        return wide.fits(integers, site)
    if not inside(integers, NARROW):
        return False
    delta, x, _, c = (site.params(i) for i in range(4))
    moved = np.int64(wide.highest(delta)) << integers.delta_up.astype(np.int64)
    last = (moved[:, None] * integers.decay.astype(np.int64)) >> DROP
    sums = site.shapes[3][-1] * c.reach * (INT16_MAX + 1)
    mult, skip, offset = (
        np.abs(v.astype(np.int64)) for v in (integers.mult, integers.skip, integers.offset)
    )
    most = ((sums >> integers.pre) + 1) * mult + skip * x.reach + offset
    return bool(
        (integers.limited or last.max(initial=0) < ENTRIES)
        and max(sums, int(most.max(initial=0))) <= INT32_MAX
    )


LEARNT = Learnt(
    {**dict.fromkeys((*NARROW, *wide.LEARNT), INTEGERS_32), "acc_bound": BOUND}, _products_fit
)


STATE = QuantParams(1.0, 0, INT32)  # in the steps of each channel's states


def with_parity(state: Array, count: int, before: Sequence[Array]) -> Array:
    """Return states with the number of steps behind them, modulo 2, on which the rounding of int16
    operands depends."""
    parity = (count + (before[0][..., -1:] if before else np.zeros((*state.shape[:-1], 1)))) % 2
    return np.concatenate([state, parity.astype(state.dtype)], -1)


def first_states(step: QuantizedNode, x: Array, before: Sequence[Array]) -> Array:
    """Return the states before the first step, int64 [..., D, N]."""
    if before:
        return np.asarray(before[0][..., :-1].astype(np.int64))
    return np.zeros((*x.shape[:-2], *step.integers.decay.shape), np.int64)


def last_shape(attrs: Attrs, delta: Shape, x: Shape, b: Shape, c: Shape, *more: Shape) -> Shape:
    """Return the shape of the states [..., D, N + 1] for delta, x [..., T, D] and b, c [..., T, N].

    more   of a, and of d and the states before the first step, if any
    Errors: ValueError for operands of other shapes, which C does not broadcast.
    """
    shape = (*x[:-2], x[-1], b[-1] + 1)
    known = (x[-1], b[-1]), x[-1:], shape
    if delta != x or b != c or b[:-1] != x[:-1] or more != known[: len(more)]:
        raise ValueError(f"delta {list(delta)}, x {list(x)}, B {list(b)} and C {list(c)}")
    return shape


def scan_shape(attrs: Attrs, *operands: Shape) -> Shape:
    """Return the shape of the readouts, that of x. Errors: as last_shape."""
    last_shape(attrs, *operands)
    return operands[1]


def streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a selective scan: along time with the states, along the axes
    before it frame by frame; None along others."""
    time = len(at.shapes[0]) - 2
    if at.operand > 3 or at.axis > time:
        return None
    if at.axis < time:
        return StreamingRule(at.axis)
    shape = last_shape(at.attrs, *at.shapes)
    state = StreamState(6, "h", shape, STATE, last="selective_scan_last")
    return StreamingRule(at.axis, carries=(state,))


STEPS = 32  # time steps between barriers: STEPS of me_selective_scan_s8.c
BLOCK, WIDE_BLOCK = 8, 4  # states that are computed together; for int16 operands
STEP_BYTES = 12  # per core: the operands of a channel's step, and its sum
READ_BYTES = 4  # per state and step: two halfwords that all channels read
STATE_BYTES = 2
STREAM_BYTES = 4  # of a state between passes
OPERANDS = ("delta", "x", "b", "c")
WIDE_BYTES = (8, 24, 4)  # the same for int16 operands
# In scan steps of a state, fitted to eleven simulated layers within 2 %: per time step; per state
# of a call (STEPS time steps of a channel); per call; per state that all channels read.
PARTS = (1.57, 0.43, 43.0, 0.67)
WIDE_PARTS = (1.89, 0.43, 6.5, 0.93)  # the same for int16 operands
NUMBERS = (
    *("delta_zero", "x_zero", "b_zero", "c_zero", "b_shift", "term_shift", "limited", "pre"),
)


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel for delta, x, y [batch, T, D] and b, c [batch, T, N]; tiles divide
    sequences and channels."""
    is_wide = wide.is_wide(step)
    function = "me_selective_stream" if is_on_stream(step) else "me_selective_scan"
    *around, n, channels = step.shapes[0]
    batch, states = math.prod(around), step.shapes[2][-1]
    filled = round_up(states, WIDE_BLOCK if is_wide else BLOCK)
    calls = math.ceil(n / STEPS)
    of_step, of_blocks, of_call, of_reads = WIDE_PARTS if is_wide else PARTS
    of_channel = n * (filled + of_step) + calls * (of_blocks * filled + of_call)

    def work(sizes: Sizes) -> Any:
        """Return the scan steps of the core with the most channels, and their overhead."""
        own = np.ceil(sizes["d"] / engine.cores)
        return sizes["b"] * (own * of_channel + of_reads * filled * math.ceil(n / engine.cores))

    tiled = TiledKernel(
        function=f"{function}_s{16 if is_wide else 8}",
        axes={"b": batch, "d": channels},
        split=("b", "d"),
        operands=_scan_operands(step, batch, filled),
        op={"n": n, "states": states, **({"keeps": 1} if gives_states(step) else {})},
        tile=_tile_fields,
        scratch=lambda sizes: _tile_scratch_bytes(sizes, filled, is_wide=is_wide),
        work=work,
    )
    if is_wide:
        return wide.in_tiles(step, tiled)
    y_wide = {"y_wide": 1} if step.element_type == INT16 else {}
    numbers = step.integers.named(NUMBERS)
    op = {**y_wide, **tiled.op, **numbers, "powers": "@powers", "scratch": "@scratch"}
    return replace(tiled, op=op)


def _tile_scratch_bytes(sizes: Sizes, filled: int, *, is_wide: bool) -> Any:
    """Return the scratch bytes: operands of all channels, each core's steps, states."""
    reads, own, states = WIDE_BYTES if is_wide else (READ_BYTES, STEP_BYTES, STATE_BYTES)
    of_states = round_up(sizes["d"] * filled * states, 4)
    return STEPS * reads * filled + WORKERS * STEPS * own + of_states


def _scan_operands(step: QuantizedNode, batch: int, filled: int) -> tuple[Operand, ...]:
    """Return the operands of a scan.

    filled   states per channel, rounded up to whole blocks
    """
    (*_, n, channels), states = step.shapes[0], step.shapes[2][-1]
    lane, channel = (("b", 1),), (("d", 1),)
    rows: tuple[AffineExpr, ...] = (lane, (), channel)
    each, read = (batch, n, channels), (batch, n, states)
    decay = np.pad(step.integers.decay, ((0, 0), (0, filled - states)))
    packed = _channel_constants(step)
    return (
        *(Operand(name, i, each, rows) for i, name in enumerate(("delta", "x"))),
        *(Operand(name, i, read, (lane, (), ())) for i, name in ((2, "b"), (3, "c"))),
        Operand("decay", "decay", decay.shape, (channel, ()), itemsize=decay.itemsize, array=decay),
        Operand("channels", "channels", packed.shape, (channel, ()), itemsize=4, array=packed),
        Operand.whole("powers", step.integers.powers),
        *_state_operands(step, Operand("y", OUT, each, rows), batch),
    )


def _state_operands(step: QuantizedNode, result: Operand, batch: int) -> Iterator[Operand]:
    """Yield the states of the pass before, if the step has them, and the result: as many states if
    it is those after the last step."""
    one: tuple[AffineExpr, ...] = (("b", 1),), (("d", 1),), ()
    shape = batch, step.shapes[0][-1], step.shapes[2][-1] + 1
    if len(step.operands) > len(OPERANDS):
        yield Operand("before", len(OPERANDS), shape, one, itemsize=STREAM_BYTES)
    if gives_states(step):
        result = Operand("y", OUT, shape, one)
    yield replace(result, itemsize=step.element_type.size_bytes)


def gives_states(step: QuantizedNode) -> bool:
    """Return whether a step returns the states after the last time step."""
    return step.node.op == "selective_scan_last"


def is_on_stream(step: QuantizedNode) -> bool:
    """Return whether a step goes on from states of a pass before, or gives them to the next one."""
    return gives_states(step) or len(step.operands) > len(OPERANDS)


def _channel_constants(step: QuantizedNode) -> Array:
    """Return the per-channel constants as the kernel reads them: me_selective_channel or
    me_selective_wide_channel, int32 [D, 6]."""
    names = ("term", "mult", "offset", "shift", "skip", "delta_up")
    columns = [
        getattr(step.integers, name) for name in (wide.CHANNEL if wide.is_wide(step) else names)
    ]
    return np.ascontiguousarray(np.stack(columns, -1), np.int32)


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
    batch, _, channels = regions["delta"].extent
    names = (name for name in regions if name != "powers")
    return {**{name: f"@{name}" for name in names}, "batch": batch, "width": channels}
