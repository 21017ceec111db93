# SPDX-License-Identifier: Apache-2.0
"""Networks that others measure too: bit for bit on the simulated chip, and not slower than said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import myoedge
from myoedge.extensions.zoo.all_convnet import hd
from tests.conftest import save_exported
from tests.support.networks.small import autoencoder, mobilenet, resnet8


@dataclass(frozen=True)
class Bench:
    """A network with random weights: its input, how many MACs it has, most cycles it may take."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    macs: int
    cycles: int | None = None


MOST_ERROR = 0.25  # of estimated cycles of a whole network

NETWORKS = {
    "all_convnet_16x8": Bench(hd, (1, 1, 16, 8), 14_368_768, 900_000),
    "mobilenet_96": Bench(mobilenet, (1, 3, 96, 96), 7_489_664, 900_000),
    "resnet_8": Bench(resnet8, (1, 3, 32, 32), 12_501_632, 900_000),
    "autoencoder": Bench(autoencoder, (1, 640), 264_192, 50_000),
}
LONG = ("mobilenet_96", "resnet_8")  # to plan: make test-all
NAMES = [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in NETWORKS]


def built(bench: Bench, folder: Path) -> myoedge.Build:
    torch.manual_seed(0)
    model = save_exported(bench.make().eval(), (torch.zeros(bench.shape),), folder / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, *bench.shape)).astype(np.float32)
    return myoedge.build(model, calib=calib, output=folder / "out")


@pytest.fixture(scope="module", params=NAMES)
def ran(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, myoedge.Simulated]:
    """(name, what the simulated chip made of it), the C on the host being exact."""
    build = built(NETWORKS[request.param], tmp_path_factory.mktemp("bench"))
    assert myoedge.validate(build, on=("host",)).exact["host"] is True
    return request.param, myoedge.simulate(build)


def test_exact_and_fast(ran: tuple[str, myoedge.Simulated]) -> None:
    name, found = ran
    bench = NETWORKS[name]
    assert found.exact
    assert found.report["model"]["macs"] == bench.macs
    if bench.cycles is not None:
        assert found.report["cycles"]["total"] <= bench.cycles


def test_cycles_are_about_as_estimated(ran: tuple[str, myoedge.Simulated]) -> None:
    _, found = ran
    estimated = sum(row["cycles_modelled"] for row in found.report["layers"])
    cycles = sum(row["cycles"] for row in found.report["layers"])
    assert estimated == pytest.approx(cycles, rel=MOST_ERROR)
