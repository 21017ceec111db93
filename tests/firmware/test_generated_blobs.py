# SPDX-License-Identifier: Apache-2.0
"""Models as data whose layers are generated C: two trainings have the same C, and a program of one
computes the other's integers with its blob."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.backends.build import Build
from myoedge.simulator import simulate
from tests.conftest import save_exported
from tests.firmware.status import STATUS
from tests.firmware.test_loading import references
from tests.firmware.test_model_blob import blob_of, load, program_with_blob
from tests.support.networks.loops import ClosedForm

SHAPE = (1, 6, 8)
BANNER = 2  # lines with the model's name and digest


class Formulas(nn.Module):
    """Chains of sums, products, functions and choices, joined operands, sums along an axis,
    averages with shorter windows at the border, and a loop of a cell with products."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.own = ClosedForm(), nn.Linear(8, 32)
        self.slopes, self.norm, self.last = nn.PReLU(32), nn.LayerNorm(64), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        states = self.cell(x)
        gate = torch.sigmoid(self.own(x)) * states + states * 0.3
        slopes = self.slopes((gate - states).transpose(1, 2)).transpose(1, 2)
        both = torch.cat([torch.relu(gate * states), torch.maximum(gate, slopes)], 2)
        kept = torch.where(both > 0.1, both, both.cumsum(1) * both)
        near = torch.nn.functional.avg_pool1d(
            kept.transpose(1, 2), 3, 2, 1, count_include_pad=False
        )
        normal = self.norm(near.transpose(1, 2)) - kept.mean(1, keepdim=True)
        return self.last(normal)


def trained(folder: Path, seed: int) -> Build:
    torch.manual_seed(seed)
    model = save_exported(Formulas().eval(), (torch.zeros(SHAPE),), folder / f"{seed}.pt2")
    noise = np.random.default_rng(seed).standard_normal((16, *SHAPE), np.float32)
    (folder / "widths.toml").write_text("[budget]\nsqnr = 3\n")  # all layers have 8 bits
    return myoedge.build(
        model,
        calib=(1 + seed) * (noise + seed / 3),
        output=folder / str(seed),
        prefix="gesture",
        config=folder / "widths.toml",
        weights_blob=True,
        simulate=False,
    )


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Build]:
    folder = tmp_path_factory.mktemp("formulas")
    return trained(folder, 0), trained(folder, 1)


def code_of(build: Build) -> dict[str, list[str]]:
    """File -> lines, of all C that has no data."""
    src = build.folder / "src"
    files = [
        src / "network.c",
        src / "network.h",
        src / "me_runtime.h",
        *(src / "library").iterdir(),
    ]
    return {str(x.relative_to(src)): x.read_text().splitlines()[BANNER:] for x in files}


def test_two_trainings_have_the_same_c(trainings: tuple[Build, Build]) -> None:
    first, second = trainings
    assert code_of(first) == code_of(second)
    assert sum("me_chain_" in name for name in code_of(first)) >= 8
    assert myoedge.diff(first, second).blob_suffices


def test_a_program_computes_the_integers_of_another_training(
    trainings: tuple[Build, Build],
) -> None:
    first, second = trainings
    rng = np.random.default_rng(2)
    inputs = [rng.integers(-128, 128, SHAPE).astype(np.int8) for _ in range(9)]
    for build in (second, first):
        assert load(first, blob_of(build)) == STATUS["ME_OK"]
        found = [first.run_raw([x]) for x in inputs]
        np.testing.assert_array_equal(found, references(build, inputs))
    assert not np.array_equal(references(first, inputs), references(second, inputs))


def test_so_does_the_chip(trainings: tuple[Build, Build], tmp_path: Path) -> None:
    made = program_with_blob(*trainings)
    assert simulate(made.elf, folder=tmp_path).exit_code == 0
