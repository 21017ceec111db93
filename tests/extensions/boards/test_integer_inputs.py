# SPDX-License-Identifier: Apache-2.0
"""Ids, masks and named results over a board's serial line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.backends.build import Build
from myoedge.extensions.boards import console
from tests.conftest import myoedge as command
from tests.extensions.boards.peers import Firmware, at_the_line
from tests.extensions.gap_sdk import sdk
from tests.support.oracles.torch import Net

IDS = torch.tensor([[3, 0, 7, 9, 0, 1]])


def outputs(a: Net, ids: Tensor, seen: Tensor) -> dict[str, Tensor]:
    rows = a.e(ids + 2) * seen[..., None]
    return {"logits": a.l(rows), "best": a.l(rows).argmax(-1)}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("ids")
    torch.manual_seed(0)
    net = Net(outputs, e=nn.Embedding(12, 8), l=nn.Linear(8, 3)).eval()
    torch.export.save(torch.export.export(net, (IDS, IDS > 0)), folder / "m.pt2")
    ids = np.random.default_rng(0).integers(0, 10, (20, 1, 6))
    given = {"xs_0": ids, "xs_1": ids > 4}
    return myoedge.build(folder / "m.pt2", calib=given, output=folder / "out", app="gap-sdk")


def test_ids_and_masks_go_over_the_line_and_results_have_names(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "START_TIMEOUT_S", 60.0)
    monkeypatch.setattr(console, "ANSWER_TIMEOUT_S", 30.0)
    given = tmp_path / "ids.npz"
    np.savez(given, xs_0=IDS.numpy()[None], xs_1=(IDS.numpy() > 0)[None])
    elf = sdk.for_chip(build, "SHIM_CHECKS", *sdk.UART).elf
    with at_the_line(Firmware(elf, tmp_path)) as port:
        ran = command("run", build.folder, "--input", given, "--port", port, "--json", cwd=tmp_path)
        shown = command("run", build.folder, "--port", port, cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert ran.json["exact"] is True
    assert shown.code == 0, shown.err
    assert ran.json["output_names"] == ["logits", "best"]
    assert np.shape(ran.json["outputs"][0][1]) == (1, 6)
    assert "outputs logits, best equal to the reference" in shown.out
