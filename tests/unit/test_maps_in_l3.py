# SPDX-License-Identifier: Apache-2.0
"""Feature maps in L3: which ones, and how many bytes at once; what tiles find in windows there is
what lies in the map."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.operators.kernel import OUT, Operand, TiledKernel
from myoedge.plan.cost.network import modelled_cycles, moved_bytes
from myoedge.plan.l1.tile_iteration import Transfer, spans
from myoedge.plan.l1.tile_search import TileChoice
from myoedge.plan.l1.tiling import Tiling, lives, make_tiling
from myoedge.plan.levels import spill
from myoedge.plan.levels.feature_maps import SLOTS, access
from myoedge.plan.schedule import make_plan
from myoedge.plan.timeline import WORD
from myoedge.targets import find_chip
from tests.e2e.test_less_l2 import quantized

GAP9 = find_chip("gap9")


class Scores(nn.Module):
    """Products of all pairs of rows, each of which exceeds half of a small L2."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.inner(x)
        return torch.tanh(torch.softmax(y @ x.transpose(1, 2), -1)) @ y


@pytest.mark.parametrize("room_bytes", [80_000, 98_000])
def test_a_plan_that_waits_for_l3_is_compared_with_other_parts(
    room_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of another size have other tiles, and may leave more maps in L2."""
    torch.manual_seed(0)
    x = torch.zeros(1, 256, 16)
    calib = np.random.default_rng(0).standard_normal((4, *x.shape), np.float32)
    network = quantized(torch.export.export(Scores().eval(), (x,)), calib)
    chip = replace(GAP9, l2_bytes=GAP9.l2_reserved_bytes + room_bytes)
    plan = make_plan(network, chip)
    monkeypatch.setattr(spill, "PARTS", spill.PARTS[:1])
    first = make_plan(network, chip)
    assert modelled_cycles(plan) < 0.95 * modelled_cycles(first)
    assert moved_bytes(plan)["l3"] <= moved_bytes(first)["l3"]


class Recurrent(nn.Module):
    """A loop that reads rows of a large input and writes rows of a large result."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(1008, 8), nn.Linear(8, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, found = torch.zeros(1, 8), []
        for row in x.unbind(1):
            h = torch.tanh(self.inner(torch.cat([row, h], 1)))
            found.append(torch.tanh(self.outer(h)))
        return torch.stack(found, 1)


def test_maps_that_a_loop_accesses_stay_in_l2() -> None:
    torch.manual_seed(0)
    x = torch.zeros(1, 40, 1000)
    calib = np.random.default_rng(0).standard_normal((2, *x.shape), np.float32)
    network = quantized(torch.export.export(Recurrent().eval(), (x,)), calib)
    chip = replace(GAP9, l2_bytes=GAP9.l2_reserved_bytes + 60_000)
    with pytest.raises(MyoedgeError) as refused:
        make_plan(network, chip)
    assert refused.value.notice.code == "E301"
    title, *largest = dict(refused.value.notice.facts)["stays in L2"].splitlines()
    assert title.endswith("or in loops")
    assert [line.split()[0] for line in largest[:2]] == ["40,000", "40,000"]


class LongGru(nn.Module):
    """Weights, and gates of all steps, which each exceed a small L2."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.GRU(4, 256, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cells(x)[0]


def test_gates_stay_in_l2_beside_weights_that_come_again_in_each_step() -> None:
    torch.manual_seed(0)
    x = torch.zeros(1, 150, 4)
    calib = np.random.default_rng(0).standard_normal((2, *x.shape), np.float32)
    network = quantized(torch.export.export(LongGru().eval(), (x,)), calib)
    chip = replace(GAP9, l2_bytes=GAP9.l2_reserved_bytes + 100_000)
    with pytest.raises(MyoedgeError) as refused:
        make_plan(network, chip)
    title, gates, *_ = dict(refused.value.notice.facts)["stays in L2"].splitlines()
    assert title.endswith("are loaded in each step")
    assert gates.split()[0] == f"{150 * 3 * 256 * 2:,}"


# --- windows --------------------------------------------------------------------------------------


def turned(channels: int, rows: int, halo: int, size: int, *, back: bool = False) -> Tiling:
    """Tiles of rows of an operand that has all rows of a channel before those of the next; `back`:
    so has the one that is written."""
    x = Operand("x", 0, (channels, rows + halo), ((("c", 1),), (("r", 1), ("k", 1))))
    shape, ways = (rows, channels), ((("r", 1),), (("c", 1),))
    y = Operand("y", OUT, shape[::-1], ways[::-1]) if back else Operand("y", OUT, shape, ways)
    axes = {"r": rows, "k": halo + 1, "c": channels}
    kernel = TiledKernel("k", axes, ("r",), (x, y), {}, lambda r: {}, lambda s: s["r"] * 5.0)
    choice = TileChoice({"r": min(size, rows)}, ("r",), 0.0, 0)
    placed = [(*found, 0) for found in lives(0, kernel, choice, 0, None)]
    return make_tiling(kernel, choice, 0, None, placed, {})


def read(memory: Array, x: Transfer) -> bytes:
    lines = range(x.bytes // x.line)
    return b"".join(memory[x.at + n * x.stride :][: x.line].tobytes() for n in lines)


@given(
    st.integers(1, 5),
    st.integers(1, 40),
    st.integers(0, 4),
    st.integers(1, 9),
    st.integers(0, 7),
    st.integers(1, 90),
)
def test_what_tiles_read_in_a_window_is_the_map(
    channels: int, rows: int, halo: int, size: int, offset: int, most: int
) -> None:
    tiling = turned(channels, size + rows, halo, size)
    operand = tiling.kernel.operands[0]
    found = access(0, tiling, operand, "map", offset, most)
    assert found is not None
    whole = np.arange(offset + math.prod(operand.shape), dtype=np.int64).astype(np.uint8)
    whole = np.append(whole, np.zeros(WORD, np.uint8))
    for n, part in enumerate(found.parts):
        slot = np.full(found.slot_bytes, 255, np.uint8)
        taken = np.zeros(found.slot_bytes, bool)
        for start, count, at in found.chunks(n):
            assert (start + offset) % WORD == 0
            assert at % WORD == 0
            assert not taken[at : at + count].any()
            taken[at : at + -(-count // WORD) * WORD] = True
            slot[at : at + count] = whole[offset + start :][:count]
        for t in range(part.first, part.last + 1):
            for x in tiling.tiles[t].loads:
                if x.operand == "x" and found.part_of(t) == n:
                    assert read(slot, found.placed(n, x)) == read(whole[offset:], x)
    assert found.window(9).size_bytes == found.slot_bytes * min(SLOTS, len(found.parts))
    assert found.part_of(len(spans(tiling.kernel, tiling.choice)) - 1) == len(found.parts) - 1


@given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 9), st.integers(0, 7))
def test_what_is_written_is_moved_in_words_or_not_at_all(
    channels: int, rows: int, size: int, offset: int
) -> None:
    """A word that begins before a part would take bytes of what lies before it along."""
    rows = max(rows, size + 1)  # two tiles at least
    tiling = turned(channels, rows, 0, size, back=True)
    operand = next(x for x in tiling.kernel.operands if x.written)
    found = access(0, tiling, operand, "map", offset, rows * channels)
    starts = [strip * rows + offset for strip in range(channels)]
    assert (found is not None) == all(start % WORD == 0 for start in starts)
