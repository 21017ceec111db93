# SPDX-License-Identifier: Apache-2.0
"""Activity on the simulated chip of the networks whose power is published, recorded.

python -m tests.records.energy_counters [NAME ...]    records these, or all (TinyMyo takes minutes)
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

import myoedge
from myoedge.backends.measurement import Activity
from myoedge.extensions.zoo import tinymyo
from tests.conftest import ROOT, save_exported
from tests.support.networks.small import autoencoder, keywords, mobilenet, resnet8

RECORDED = ROOT / "tests" / "fixtures" / "energy_counters.json"
Network = tuple[Callable[[], torch.nn.Module], tuple[int, ...]]
ON_CORES = ", cores"  # ends the name of a network whose build leaves NE16 idle

TINY: dict[str, Network] = {  # MLPerf Tiny
    "AD": (autoencoder, (1, 640)),
    "IC": (resnet8, (1, 3, 32, 32)),
    "KWS": (keywords, (1, 1, 49, 10)),
    "VWW": (mobilenet, (1, 3, 96, 96)),
}
NETWORKS: dict[str, Network] = {
    **TINY,
    **{name + ON_CORES: network for name, network in TINY.items()},
    f"TinyMyo small{ON_CORES}": (tinymyo.small_epn, (1, 8, 200)),
    f"TinyMyo{ON_CORES}": (tinymyo.epn, (1, 8, 1000)),
}


def counted(name: str, folder: Path) -> Activity:
    """Of one inference, all layers in sum."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    model = save_exported(make().eval(), (torch.zeros(shape),), folder / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, *shape)).astype(np.float32)
    engine = "cores" if name.endswith(ON_CORES) else "auto"
    build = myoedge.build(model, calib=calib, output=folder / "out", engine=engine)
    layers = myoedge.simulate(build).measurement.inferences[0].layers
    return sum((layer.activity for layer in layers if layer.activity), Activity(0))


def recorded() -> dict[str, Activity]:
    """By network."""
    return {name: Activity(**row) for name, row in json.loads(RECORDED.read_text()).items()}


def main(names: list[str]) -> None:
    known = recorded() if RECORDED.exists() else {}
    for name in names or NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            known[name] = counted(name, Path(folder))
        print(name, known[name], flush=True)
        rows = {key: asdict(known[key]) for key in NETWORKS if key in known}
        RECORDED.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
