# SPDX-License-Identifier: Apache-2.0
"""Real networks for Cortex-M: each layer exact in QEMU, in no more instructions than documented."""

from __future__ import annotations

import json
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
import torch

import myoedge
from myoedge.backends.build import Build
from myoedge.extensions.zoo import emg2qwerty, tinymyo
from myoedge.extensions.zoo.all_convnet import hd
from tests.conftest import ROOT, save_exported
from tests.extensions.qemu.test_qemu import in_qemu
from tests.records.mlperf_tiny import MODELS, TASKS

pytestmark = [pytest.mark.slow, in_qemu]
OF_DSP = {"ic": 1.22, "kws": 1.58, "vww": 1.5, "all-convnet": 1.06}
MOST = {  # instructions per MAC
    "cortex-m4": OF_DSP,
    "cortex-m33": OF_DSP,
    "cortex-m55": {"ic": 0.33, "kws": 0.9, "vww": 0.73, "all-convnet": 0.21},
}
MAKERS = {
    "all-convnet": (hd, (1, 1, 16, 8)),
    "tinymyo": (tinymyo.small_epn, (1, 8, 200)),
    "emg2qwerty": (emg2qwerty.lstm, (59, 1, 2, 16, 33)),
}


def demo(folder: Path) -> tuple[Path, Path]:
    """The trained network of `make demo`, and its samples for calibration."""
    code = run_path(str(ROOT / "examples" / "demo.py"))
    labelled = code["data"](code["TRAIN_REPS"])
    code["export"](code["train"](labelled), folder, labelled, labelled)
    return folder / "model.pt2", folder / "calib.npz"


def built(name: str, target: str, folder: Path) -> Build:
    options = {"output": folder / "out", "target": target}
    if name == "demo":
        model, calib = demo(folder)
        return myoedge.build(model, calib=calib, **options)  # type: ignore[arg-type]
    if name in TASKS:
        task = TASKS[name]
        return myoedge.build(MODELS / task.file, calib=task.samples, **options)  # type: ignore[arg-type]
    make, shape = MAKERS[name]
    torch.manual_seed(0)
    model = save_exported(make().eval(), (torch.zeros(shape),), folder / "model.pt2")
    samples = np.random.default_rng(0).standard_normal((2, *shape), np.float32)
    return myoedge.build(model, calib=samples, engine="cores", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*TASKS, *MAKERS, "demo"])
@pytest.mark.parametrize("target", MOST)
def test_a_network_is_exact(name: str, target: str, tmp_path: Path) -> None:
    build = built(name, target, tmp_path)
    checked = myoedge.validate(build, on="qemu")
    assert checked.exact["qemu"], checked.difference
    report = json.loads((build.folder / "report.json").read_text())
    per_mac = report["instructions"]["total"] / report["model"]["macs"]
    assert per_mac <= MOST[target].get(name, np.inf)
