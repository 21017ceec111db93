# SPDX-License-Identifier: Apache-2.0
"""Products of two activations on NE16: equal integers on the host and on the simulated chip."""

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
CASES: dict[str, tuple[Callable[..., Tensor], Shape, Shape]] = {
    "several in a tile": (lambda a, b: a @ b, (1, 4, 64, 64), (1, 4, 64, 64)),
    "rows of b": (lambda a, b: a @ b.mT, (1, 4, 50, 64), (1, 4, 50, 64)),
    "last columns, and a clamp": (lambda a, b: (a @ b).relu(), (1, 4, 33, 20), (1, 4, 20, 39)),
    "one b for all, and a table": (lambda a, b: (a @ b).tanh(), (1, 4, 33, 20), (1, 20, 70)),
    "one a for all": (lambda a, b: a @ b, (1, 1, 9, 32), (1, 5, 32, 65)),
    "tiles of rows and columns": (lambda a, b: a @ b, (1, 200, 128), (1, 128, 200)),
}


@pytest.mark.parametrize("name", CASES)
def test_products_of_activations_are_exact(name: str, tmp_path: Path) -> None:
    function, *shapes = CASES[name]
    rng = np.random.default_rng(3)
    inputs = tuple(torch.zeros(shape) for shape in shapes)
    model = save_exported(Function(function).eval(), inputs, tmp_path / "model.pt2")
    samples = [rng.normal(size=(2, *s[1:])).astype(np.float32) for s in shapes]
    names = torch.export.load(model).graph_signature.user_inputs
    calib = dict(zip(names, samples, strict=True))
    build = myoedge.build(model, calib=calib, output=tmp_path / "out", engine="ne16")
    run = myoedge.simulate(build)
    assert run.exact
    assert any("me_ne16_matmul_s8" in x.name for x in (tmp_path / "out/src/library").iterdir())
