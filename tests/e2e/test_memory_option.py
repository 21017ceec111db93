# SPDX-License-Identifier: Apache-2.0
"""--memory mram=auto: weights in the flash on the chip, beside L3, of programs that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.errors import MyoedgeError
from tests.conftest import save_exported

CONFIG = """[budget]
l2 = "{l2}"
[quant]
"*" = {{ weights = 8 }}
"""


class Feedback(nn.Module):
    """A loop whose cell reads the previous output: its weights are read in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.LSTMCell(72, 128), nn.Linear(128, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, c, y = (torch.zeros(1, size) for size in (128, 128, 8))
        for step in range(x.shape[1]):
            h, c = self.cell(torch.cat([x[:, step], y], 1), (h, c))
            y = self.out(h)
        return y


def dense() -> nn.Module:
    inner = (nn.Sequential(nn.Linear(128, 128), nn.ReLU()) for _ in range(6))
    return nn.Sequential(*inner, nn.Linear(128, 4))


def causal() -> nn.Module:
    inner = (nn.Sequential(nn.Conv1d(64, 64, 3), nn.ReLU()) for _ in range(6))
    return nn.Sequential(*inner)


NETWORKS: dict[str, tuple[Any, tuple[int, ...], dict[str, Any]]] = {
    "whole": (dense, (1, 128), {"l2": "64KiB"}),
    "stream": (causal, (1, 64, 24), {"l2": "64KiB", "stream": True}),
    "loop": (Feedback, (1, 12, 64), {"l2": "110KiB"}),
}


@pytest.fixture(params=NETWORKS)
def built(request: pytest.FixtureRequest, tmp_path: Path) -> myoedge.Build:
    make, shape, options = NETWORKS[request.param]
    torch.manual_seed(0)
    model = save_exported(make().eval(), (torch.zeros(shape),), tmp_path / "model.pt2")
    config = tmp_path / "myoedge.toml"
    config.write_text(CONFIG.format(l2=options["l2"]))
    return myoedge.build(
        model,
        calib=np.random.default_rng(0).normal(size=(32, *shape[1:])).astype(np.float32),
        config=config,
        output=tmp_path / "out",
        memory="mram=auto",
        simulate=False,
        stream=options.get("stream", False),
    )


def test_weights_in_mram_are_exact_on_host_and_chip(built: myoedge.Build) -> None:
    assert len(built.images["mram.bin"]) > 20_000
    checked = myoedge.validate(built, on="host,simulator")
    assert (checked.exact["host"], checked.exact["simulator"]) == (True, True)


@pytest.mark.parametrize(
    ("options", "table", "named"),
    [
        ({"weights_blob": True}, "", "--weights-blob"),
        ({"app": "mlperf"}, '[mlperf]\nmodel = "ad01"\ninput = "int8"\n', "--app mlperf"),
        ({}, '[adapt]\nmethods = ["prototypes"]\n', "[adapt]"),
    ],
)
def test_programs_that_cannot_read_them_are_refused(
    tmp_path: Path, options: dict[str, Any], table: str, named: str
) -> None:
    model = save_exported(dense().eval(), (torch.zeros(1, 128),), tmp_path / "model.pt2")
    config = tmp_path / "myoedge.toml"
    config.write_text(table)
    common = {"calib": "random", "config": config, "simulate": False, **options}
    with pytest.raises(MyoedgeError) as caught:
        myoedge.build(model, output=tmp_path / "out", memory="mram=auto", **common)
    assert (caught.value.code, named in caught.value.notice.title) == ("E204", True)
    assert caught.value.notice.tries == (f"without {named}", "--memory mram=off")
    myoedge.build(model, output=tmp_path / "out", memory="mram=off", **common)
