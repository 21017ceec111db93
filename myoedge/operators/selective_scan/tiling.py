# SPDX-License-Identifier: Apache-2.0
"""Tiling of selective scans: all time steps of a block of channels per tile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, round_up
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.selective_scan import wide
from myoedge.targets.chip import Engine

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
        operands=_operands(step, batch, filled),
        op={"n": n, "states": states, **({"keeps": 1} if gives_states(step) else {})},
        tile=_tile,
        scratch=lambda sizes: _scratch(sizes, engine.cores, filled, is_wide=is_wide),
        work=work,
    )
    if is_wide:
        return wide.in_tiles(step, tiled)
    y_wide = {"y_wide": 1} if step.element_type == INT16 else {}
    numbers = step.integers.named(NUMBERS)
    op = {**y_wide, **tiled.op, **numbers, "powers": "@powers", "scratch": "@scratch"}
    return replace(tiled, op=op)


def _scratch(sizes: Sizes, cores: int, filled: int, *, is_wide: bool) -> Any:
    """Return the scratch bytes: operands of all channels, each core's steps, states."""
    reads, own, states = WIDE_BYTES if is_wide else (READ_BYTES, STEP_BYTES, STATE_BYTES)
    of_states = round_up(sizes["d"] * filled * states, 4)
    return STEPS * reads * filled + cores * STEPS * own + of_states


def _operands(step: QuantizedNode, batch: int, filled: int) -> tuple[Operand, ...]:
    """Return the operands of a scan.

    filled   states per channel, rounded up to whole blocks
    """
    (*_, n, channels), states = step.shapes[0], step.shapes[2][-1]
    lane, channel = (("b", 1),), (("d", 1),)
    rows: tuple[AffineExpr, ...] = (lane, (), channel)
    each, read = (batch, n, channels), (batch, n, states)
    decay = np.pad(step.integers.decay, ((0, 0), (0, filled - states)))
    packed = _channels(step)
    return (
        *(Operand(name, i, each, rows) for i, name in enumerate(("delta", "x"))),
        *(Operand(name, i, read, (lane, (), ())) for i, name in ((2, "b"), (3, "c"))),
        Operand("decay", "decay", decay.shape, (channel, ()), itemsize=decay.itemsize, array=decay),
        Operand("channels", "channels", packed.shape, (channel, ()), itemsize=4, array=packed),
        Operand.whole("powers", step.integers.powers),
        *_before_and_result(step, Operand("y", OUT, each, rows), batch),
    )


def _before_and_result(step: QuantizedNode, result: Operand, batch: int) -> Iterator[Operand]:
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


def _channels(step: QuantizedNode) -> Array:
    """Return the per-channel constants as the kernel reads them: me_selective_channel or
    me_selective_wide_channel, int32 [D, 6]."""
    names = ("term", "mult", "offset", "shift", "skip", "delta_up")
    columns = [
        getattr(step.integers, name) for name in (wide.CHANNEL if wide.is_wide(step) else names)
    ]
    return np.ascontiguousarray(np.stack(columns, -1), np.int32)


def _tile(regions: Mapping[str, Region]) -> Fields:
    batch, _, channels = regions["delta"].extent
    names = (name for name in regions if name != "powers")
    return {**{name: f"@{name}" for name in names}, "batch": batch, "width": channels}
