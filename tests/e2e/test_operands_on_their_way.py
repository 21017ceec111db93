# SPDX-License-Identifier: Apache-2.0
"""Products of two activations whose operands come while their kernel starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import myoedge
from myoedge.backends.simulator import run_firmware
from myoedge.codegen.firmware import make_firmware
from myoedge.codegen.project import Sources
from myoedge.errors import MyoedgeError
from myoedge.targets.gap9.chip import GAP9
from tests.conftest import save_exported
from tests.support.networks.layers import Function

LEFT, RIGHT = (64, 1024), (4, 1024)  # 8,192 and 512 cycles of the DMA


class Product(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ b


class OfRows(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ b.transpose(-1, -2)


class Scores(nn.Module):
    """The right operand in rows, more of them than fit; then the other way round."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.softmax(a @ b.transpose(-1, -2), -1) @ b


class OfSums(nn.Module):
    """Both operands are in L1 before the product starts."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(32, 48)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        y = self.layer(a)
        return (y @ b) + (y @ y.transpose(-1, -2)) @ a[..., :24]


NETWORKS = {
    "a long one": (OfRows, (LEFT, RIGHT), "112KiB"),
    "tiles": (Product, ((2, 70, 130), (130, 90)), "40KiB"),
    "rows": (Scores, ((3, 60, 64), (3, 200, 64)), "40KiB"),
    "all in L1": (OfSums, ((40, 32), (48, 24)), "64KiB"),
}


def built(name: str, folder: Path) -> myoedge.Build:
    kind, shapes, l1 = NETWORKS[name]
    torch.manual_seed(0)
    inputs = tuple(torch.zeros(shape) for shape in shapes)
    model = save_exported(kind().eval(), inputs, folder / "model.pt2")
    rng = np.random.default_rng(0)
    calib = {
        key: rng.standard_normal((2, *shape)).astype(np.float32)
        for key, shape in zip("ab", shapes, strict=True)
    }
    return myoedge.build(model, calib=calib, l1=l1, output=folder / "out")


@pytest.mark.parametrize("name", NETWORKS)
def test_products_are_exact(name: str, tmp_path: Path) -> None:
    checked = myoedge.validate(built(name, tmp_path), on=("host", "simulator"))
    assert checked.exact["host"], checked.difference
    assert checked.exact["simulator"], checked.difference


def run_changed(build: myoedge.Build, old: str, new: str) -> None:
    """A run on the simulated chip, where the control core does something else."""
    src = build.folder / "src"
    files = {str(p.relative_to(src)): p.read_text() for p in sorted(src.rglob("*.*"))}
    assert old in files["me_tiles.h"]
    files["me_tiles.h"] = files["me_tiles.h"].replace(old, new)
    made = make_firmware(Sources(files, build.network.digest, GAP9.program))
    sample = [np.ones(shape, np.int8) for shape in (LEFT, RIGHT)]
    run_firmware(made.program, build.files([sample]))


def test_the_chip_shows_when_nobody_waits_for_it(tmp_path: Path) -> None:
    build = built("a long one", tmp_path)
    before = "me_first_arguments(layer);"
    wait = f"{before}\n        me_wait_for(&me_of_next);"
    run_changed(build, wait, wait)
    with pytest.raises(MyoedgeError, match="yet to write") as raised:
        run_changed(build, wait, before)
    assert raised.value.code == "E705"


# --- small products -------------------------------------------------------------------------------


Shape = tuple[int, ...]
# Cycles at most: a third of what one product after the other takes (126,092, 202,923, 380,316 and
# 621,500 for the first four).
CASES: dict[str, tuple[Callable[..., Tensor], Shape, Shape, int]] = {
    "8 x 8 x 8": (lambda a, b: a @ b, (64, 8, 8), (64, 8, 8), 38_000),
    "odd sizes": (lambda a, b: a @ b, (64, 5, 7), (64, 7, 3), 15_000),
    "a vector each": (lambda a, b: a @ b, (320, 16, 8), (320, 8, 1), 48_000),
    "capsules": (lambda a, b: a @ b, (64, 5, 16, 8), (64, 1, 8, 1), 76_000),
    "rows of b, a table": (lambda a, b: (a @ b.mT).tanh(), (40, 9, 12), (1, 3, 12), 24_000),
    "one row": (lambda a, b: a @ b, (24, 1, 30), (24, 30, 10), 24_000),
}


@pytest.mark.parametrize("name", CASES)
def test_small_products_share_the_cores(name: str, tmp_path: Path) -> None:
    function, *shapes, most_cycles = CASES[name]
    rng = np.random.default_rng(3)
    inputs = tuple(torch.zeros(1, *shape) for shape in shapes)
    model = save_exported(Function(function).eval(), inputs, tmp_path / "model.pt2")
    offsets = (0.5, 0.0 if name == "8 x 8 x 8" else 2.0)  # zero points of a, and of b or not
    samples = [
        (rng.normal(size=(2, *shape)) + offset).astype(np.float32)
        for shape, offset in zip(shapes, offsets, strict=True)
    ]
    names = torch.export.load(model).graph_signature.user_inputs
    given = {"calib": dict(zip(names, samples, strict=True)), "simulate": True}
    build = myoedge.build(model, output=tmp_path / "out", target="gap9", **given)
    checked = myoedge.validate(build, on=("host", "simulator"))
    assert checked.difference is None
    assert checked.exact["host"]
    (layer,) = [x for x in build.report["layers"] if x["op"] == "matmul"]
    assert "me_matmul_in_place_s8" in (tmp_path / "out/src/network.c").read_text()
    assert layer["cycles"] <= most_cycles
