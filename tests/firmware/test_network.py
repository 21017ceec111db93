# SPDX-License-Identifier: Apache-2.0
"""firmware.elf of whole networks: files in, files out, bit for bit what the reference says."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import myoedge
from myoedge.backends.build import Build
from myoedge.system import tools
from tests.firmware.programs import Platform, platforms, riscv_gcc
from tests.support.networks.small import Small, Two

ON = pytest.mark.parametrize("run", platforms().values(), ids=platforms().keys())
MAGIC = 0x4359454D


class Copied(torch.nn.Module):
    """Its second output is part of a tensor that is used: it is copied at the end."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.relu(x)
        return y.sum(1), y[:, :6]


NETWORKS = {
    "small": (Small(), [(1, 2, 12)]),
    "two": (Two(), [(1, 5), (1, 7)]),
    "copied": (Copied(), [(1, 11)]),
}


@pytest.fixture(scope="module", params=NETWORKS.keys())
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    torch.manual_seed(0)
    network, shapes = NETWORKS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    given = tuple(torch.zeros(shape) for shape in shapes)
    torch.export.save(torch.export.export(network.eval(), given), folder / "model.pt2")
    return myoedge.build(folder / "model.pt2", calib="random", output=folder / "out")


def golden(build: Build, name: str) -> bytes:
    """The integers of the golden sample, one array behind the other."""
    with np.load(build.folder / "golden" / f"{name}.npz", allow_pickle=False) as arrays:
        return b"".join(arrays[key].tobytes() for key in arrays.files if key.endswith(".q"))


def check_rows(folder: Path, inferences: int, layers: int) -> None:
    words = np.frombuffer((folder / "cycles.bin").read_bytes(), "<u4")
    assert words[:4].tolist() == [MAGIC, 1, inferences, layers]
    rows = words[4:].reshape(inferences, layers + 1)
    assert (rows > 0).all()
    assert (rows[:, -1] >= rows[:, :-1].sum(axis=1)).all()


@ON
def test_inferences_one_after_another_are_exact(
    build: Build, run: Platform, tmp_path: Path
) -> None:
    elf = (build.folder / "firmware.elf").read_bytes()
    (tmp_path / "input.bin").write_bytes(golden(build, "input") * 3)
    assert run(elf, tmp_path) == 0
    assert (tmp_path / "output.bin").read_bytes() == golden(build, "output") * 3
    check_rows(tmp_path, 3, len(build.layers))


@ON
@pytest.mark.parametrize(
    "cut", [slice(0, 0), slice(0, -1), slice(0, 1)], ids=["empty", "short", "1"]
)
def test_inputs_that_are_not_whole_are_told(
    build: Build, run: Platform, tmp_path: Path, cut: slice
) -> None:
    elf = (build.folder / "firmware.elf").read_bytes()
    (tmp_path / "input.bin").write_bytes(golden(build, "input")[cut])
    assert run(elf, tmp_path) == 103


@pytest.fixture
def sources(build: Build, tmp_path: Path) -> Path:
    return Path(shutil.copytree(build.folder / "src", tmp_path / "src"))


@pytest.mark.skipif(riscv_gcc() is None, reason="riscv64-unknown-elf-gcc is not installed")
def test_make_firmware_needs_no_python(sources: Path, build: Build, tmp_path: Path) -> None:
    done = tools.run(["make", "firmware", f"CC_RISCV={riscv_gcc()}"], cwd=sources)
    assert done.returncode == 0, done.stderr
    (tmp_path / "input.bin").write_bytes(golden(build, "input"))
    run = platforms()["simulator"]
    assert run((sources / "firmware.elf").read_bytes(), tmp_path) == 0
    assert (tmp_path / "output.bin").read_bytes() == golden(build, "output")


@pytest.mark.slow
def test_more_layers_than_words_on_the_controller_s_stack(tmp_path: Path) -> None:
    network = torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(1030)))
    exported = torch.export.export(network.eval(), (torch.zeros(1, 1),))
    torch.export.save(exported, tmp_path / "model.pt2")
    build = myoedge.build(tmp_path / "model.pt2", calib="random", output=tmp_path / "out")
    assert myoedge.simulate(build).exact
