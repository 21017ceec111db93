# SPDX-License-Identifier: Apache-2.0
"""Drawn networks of loops, scans, streams and 16 bits, on NE16 and in little L1: the self-test of
their C is clean under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import myoedge
from tests.conftest import save_exported
from tests.support.guard import run_sanitized
from tests.support.networks.drawn_loops import drawn

COUNT, AT_ONCE = 78, 13  # all steps of a loop in each test
REFUSED = {"E117", "E302", "E304"}  # sums too large for int32, or too little L1


def built(seed: int, folder: Path) -> myoedge.Build | None:
    """The network of a seed; None where it is refused."""
    made = drawn(seed)
    model = save_exported(made.model.eval(), (torch.zeros(made.shape),), folder / "model.pt2")
    calib = np.random.default_rng(seed).normal(size=(8, *made.shape)).astype(np.float32)
    (folder / "myoedge.toml").write_text(made.toml)
    options = {"config": folder / "myoedge.toml", "output": folder / "out", **made.options}
    try:
        return myoedge.build(model, calib=calib, simulate=False, **options)
    except myoedge.MyoedgeError as error:
        if error.code not in REFUSED:
            raise
        return None


def test_rows_that_end_inside_a_word_are_read_within_l1(tmp_path: Path) -> None:
    """NE16's operands are converted by words, and a layer's input is the last buffer of L1."""
    torch.manual_seed(0)
    model = save_exported(torch.nn.Linear(5, 24), (torch.zeros(3, 5),), tmp_path / "model.pt2")
    calib = np.random.default_rng(0).normal(size=(8, 3, 5)).astype(np.float32)
    build = myoedge.build(
        model, calib=calib, output=tmp_path / "out", engine="ne16", simulate=False
    )
    done = run_sanitized(build.folder / "src")
    assert done.returncode == 0, done.stderr[:2000]


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, COUNT, AT_ONCE))
def test_drawn_networks_leave_no_array(first: int, tmp_path: Path) -> None:
    ran = 0
    for seed in range(first, first + AT_ONCE):
        (tmp_path / str(seed)).mkdir()
        build = built(seed, tmp_path / str(seed))
        if build is not None:
            ran += 1
            done = run_sanitized(build.folder / "src")
            assert done.returncode == 0, f"network {seed}: {done.stderr[:2000]}"
            assert "bit for bit" in done.stdout
    assert ran > AT_ONCE // 2
