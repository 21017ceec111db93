# SPDX-License-Identifier: Apache-2.0
"""Weights that layers share are stored once, in L2 and in L3, and the network stays exact."""

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
from myoedge.plan.moments import Piece
from myoedge.plan.shared import stored_once
from myoedge.plan.stream import Haul
from tests.conftest import save_exported

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


@pytest.mark.parametrize("l2", [None, "100KiB", "56KiB"])
def test_shared_weights_are_stored_once(l2: str | None, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = save_exported(Again().eval(), (torch.zeros(8, WIDTH),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, 8, WIDTH)).astype(np.float32)
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", l2=l2)
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
    assert len(same) == (0 if l2 == "56KiB" else TIMES - 1), "what is shared stays if one can"


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([b"a", b"b", b"ab", b""]), st.integers(1, 3)), max_size=9)
)
def test_every_haul_finds_its_bytes(drawn: list[tuple[bytes, int]]) -> None:
    """Whatever pieces are alike: each is found where its haul says, and no byte is there twice."""
    contents = [(text * count).ljust(8, b"\0") for text, count in drawn]
    hauls = [Haul(Piece(n, "w", 0, 8, n, n), 8 * n, 0, 0) for n in range(len(drawn))]
    found = stored_once(hauls, lambda piece: contents[piece.step])
    image: dict[int, bytes] = {}
    for haul in found:
        assert image.setdefault(haul.l3, contents[haul.piece.step]) == contents[haul.piece.step]
    assert sorted(image) == [8 * n for n in range(len({*contents}))]
