# SPDX-License-Identifier: Apache-2.0
"""Weights and masks that layers share are stored once, and the network stays exact."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import myoedge
from myoedge.api import peaks
from myoedge.plan.levels.equal_constants import stored_once
from myoedge.plan.levels.transfers import LevelTransfer
from myoedge.plan.timeline import Chunk
from myoedge.targets.memories import MemoryLevel
from tests.conftest import save_exported, thinned
from tests.regression.networks import networks
from tests.regression.run import built
from tests.support.stored_weights import plan_of, stored_weights

WIDTH, TIMES = 256, 4


class Again(nn.Module):
    """One layer, time after time, and one of its own at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.again, self.last = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(TIMES):
            x = torch.relu(self.again(x))
        y: Tensor = self.last(x)
        return y


@pytest.mark.parametrize("l2", thinned([None, "100KiB", "56KiB"]))
def test_shared_weights_are_stored_once(l2: str | None, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = save_exported(Again().eval(), (torch.zeros(8, WIDTH),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, 8, WIDTH)).astype(np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", l2=l2, engine="cores")
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.exact["host"]
    assert checked.exact["simulator"]
    memory, layers = build.report["memory"], build.report["layers"]
    each = sum(row["weights_bytes"] for row in layers)
    numbers = (TIMES + 1) * 16 * WIDTH  # bias, multiplier, offset, shift of each channel
    assert each == (TIMES + 1) * WIDTH**2 + numbers
    kept = memory["weights_bytes"] + memory["l3_weights_bytes"]
    assert kept == 2 * WIDTH**2 + numbers
    assert sum(row["weights_l2_bytes"] + row["weights_l3_bytes"] for row in layers) == kept
    assert (memory["l3_weights_bytes"] > 0) == (l2 is not None)
    shown = build.written("src/weights.h").decode()
    same = re.findall(r"#define \w+_weights (\w+) /\* the same bytes", shown)
    assert len(same) == TIMES - 1, "a part of what is shared stays"


class Masked(nn.Module):
    """Layers of attention with one mask, which is given to every head of its own accord."""

    def __init__(self, apart: bool) -> None:
        super().__init__()
        self.qkv, self.apart = nn.ModuleList(nn.Linear(8, 24) for _ in range(LAYERS)), apart
        hidden = torch.rand(FRAMES, FRAMES, generator=torch.Generator().manual_seed(1)) < 0.3
        self.register_buffer("hidden", hidden & ~torch.eye(FRAMES, dtype=torch.bool))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        mask = self.hidden[None, None].expand(1, HEADS, FRAMES, FRAMES)
        seen = []
        for layer in self.qkv:
            q, k, v = layer(x).view(1, FRAMES, 3, HEADS, 4).permute(2, 0, 3, 1, 4)
            shares = (q @ k.mT / 2.0).masked_fill(mask, -torch.inf).softmax(-1)
            seen += [shares] if self.apart else []
            x = x + (shares @ v).transpose(1, 2).reshape(1, FRAMES, 8)
        return x, *seen


LAYERS, HEADS, FRAMES = 3, 2, 16


@pytest.mark.parametrize("apart", [False, True])
def test_a_mask_of_several_layers_and_heads_is_stored_once(apart: bool, tmp_path: Path) -> None:
    """Also where the attention is no single operator, because the network gives its shares."""
    torch.manual_seed(1)
    example = (torch.zeros(1, FRAMES, 8),)
    model = save_exported(Masked(apart).eval(), example, tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, 1, FRAMES, 8)).astype(np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out")
    assert myoedge.validate(build, on=("host", "simulator")).difference is None
    ops = [row["op"] for row in build.report["layers"]]
    reader = "softmax" if apart else "attention"
    memory = build.report["memory"]
    assert (ops.count("softmax"), ops.count("attention")) == ((3, 0) if apart else (0, 3))
    assert memory["constants_bytes"] == FRAMES * FRAMES
    (only,) = memory["constants"]
    assert (only["step"], only["size_bytes"]) == (ops.index(reader), FRAMES * FRAMES)
    held = [part for peak in peaks(build) for part in peak.held if part.what == "constant"]
    source = build.report["layers"][only["step"]]["origin"][0]["source"]
    assert [part.layer for part in held] == [f"{Path(source).name} ({reader})"]
    assert [part.size_bytes for part in held] == [FRAMES**2]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([b"a", b"b", b"ab", b""]), st.integers(1, 3)), max_size=9)
)
def test_every_haul_finds_its_bytes(drawn: list[tuple[bytes, int]]) -> None:
    """Whatever pieces are alike: each is found where its haul says, and no byte is there twice."""
    level = MemoryLevel("l3", 1 << 25, bytes_per_cycle=0.5)
    contents = [(text * count).ljust(8, b"\0") for text, count in drawn]
    transfers = [LevelTransfer(Chunk(n, "w", 0, 8, n, n), "", 0, 0, 0) for n in range(len(drawn))]
    found = stored_once(transfers, [level] * len(drawn), lambda chunk: contents[chunk.step])
    image: dict[int, bytes] = {}
    for transfer in found:
        assert (
            image.setdefault(transfer.address, contents[transfer.chunk.step])
            == contents[transfer.chunk.step]
        )
    assert sorted(image) == [8 * n for n in range(len({*contents}))]


# --- bytes of recorded networks -------------------------------------------------------------------


MOST = 1.05  # stored bytes, of parameters x bits / 8
LEAST_BYTES = 2000  # of networks in which words and rows of a few bytes do not matter
QUICK = ("autoencoder", "keywords", "recurrent 3", "sleepecg_bigru", "two lstms")
WHOLE = [
    name
    for name, entry in networks().items()
    if not (entry.l1 or entry.l2) and name != "unsupported"
]


@pytest.mark.parametrize(
    "name", [x if x in QUICK else pytest.param(x, marks=pytest.mark.slow) for x in WHOLE]
)
@pytest.mark.parametrize("engine", ["auto", "cores"])
def test_weights_take_no_more_than_their_bits(name: str, engine: str, tmp_path: Path) -> None:
    """Channel tables come on top, and what layouts of NE16 add; layers that the cores share with
    NE16 have their weights in both layouts."""
    build = built(networks()[name], tmp_path / "models", tmp_path, engine)
    found = stored_weights(plan_of(build))
    print(name, engine, found)
    if found.needed >= LEAST_BYTES:
        assert found.share <= MOST, found
    assert engine == "auto" or not found.again, "one engine, one layout"
