# SPDX-License-Identifier: Apache-2.0
"""Random torch networks: built, exact layer by layer on host and chip, close to torch's floats;
LSTMs and GRUs in L1 of any size."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import myoedge
from tests.conftest import save_exported, thinned
from tests.support.networks.drawn import Random, Recurrent, windows

LEAST_DB = 15.0  # SQNR of each output over the calibration samples


def sqnr_db(real: np.ndarray, found: np.ndarray) -> float:
    noise = float(np.sum((real.astype(float) - found) ** 2))
    return 10 * math.log10(float(np.sum(real.astype(float) ** 2)) / noise) if noise else math.inf


def judge(seed: int, folder: Path) -> None:
    model = Random(seed).eval()
    samples = windows(model.shape, seed)
    archive = save_exported(model, (torch.zeros(model.shape),), folder / "m.pt2")
    build = myoedge.build(archive, calib=samples, output=folder / "out")
    checked = myoedge.validate(build, on=("host", "simulator"), input=samples[:2])
    assert checked.exact["host"], f"seed {seed}: {checked.difference}"
    assert checked.exact["simulator"], f"seed {seed}: {checked.difference}"
    with torch.no_grad():
        real = [model(torch.from_numpy(x)) for x in samples]
    found = [build.run(x) for x in samples]
    for index in range(len(real[0])):
        wanted = np.stack([outputs[index].numpy() for outputs in real])
        got = np.stack([y[index] if isinstance(y, tuple) else y for y in found])
        db = sqnr_db(wanted, got)
        assert db >= LEAST_DB, f"seed {seed}: output {index} at {db:.1f} dB"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", thinned(range(25), 12))
def test_a_few(seed: int, tmp_path: Path) -> None:
    judge(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", range(40))
def test_many(block: int, tmp_path: Path) -> None:
    for seed in range(100 + 10 * block, 110 + 10 * block):
        judge(seed, tmp_path)


def simulate_recurrent(seed: int, folder: Path) -> None:
    """A sample simulated at the end of each build gives the bytes of the reference."""
    model, rng = Recurrent(seed).eval(), np.random.default_rng(seed)
    archive = save_exported(model, (torch.zeros(model.shape),), folder / "m.pt2")
    calib = rng.standard_normal((4, *model.shape), np.float32)
    for app in ("baremetal", "gap-sdk"):
        l1, output = f"{rng.integers(44, 129)}KiB", folder / app
        build = myoedge.build(archive, calib=calib, l1=l1, app=app, output=output, simulate=True)
        assert build.report["cycles"]["source"] == "simulated", f"seed {seed}, {app}, {l1}"


@pytest.mark.parametrize("seed", thinned(range(4)))
def test_a_few_recurrent_ones(seed: int, tmp_path: Path) -> None:
    simulate_recurrent(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_200_recurrent_ones(block: int, tmp_path: Path) -> None:
    for seed in range(10 * block, 10 * block + 10):
        simulate_recurrent(seed, tmp_path)
