# SPDX-License-Identifier: Apache-2.0
"""Many small products of two activations: the cores share their results instead of each product."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import myoedge
from tests.conftest import save_exported
from tests.support.networks.layers import Function

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
