# SPDX-License-Identifier: Apache-2.0
"""What networks take on the simulated chip with NE16, beside the cores alone; each exact.

python -m tests.records.engine_cycles                 the table, from runs
python -m tests.records.engine_cycles --record NAME   the same, kept in fixtures/engine_cycles.json
                                              and docs/developers/ne16.md; the others stay
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

import myoedge
from myoedge.extensions.zoo import emg2qwerty
from tests.conftest import save_exported
from tests.records import network_cycles, tinymyo_cost
from tests.support import pages

RECORDED = network_cycles.RECORDED.with_name("engine_cycles.json")
PAGE = pages.PAGE.with_name("ne16.md")
COLUMNS = ("network", "eight cores", "with NE16", "target", "speed-up")
HEAD = pages.head(*COLUMNS)

SAMPLES = 4  # for calibration, which also judges what integers of NE16 lose
PASS_FRAMES, FRAMES = 16, 400  # of the typing network that is pushed
PUSHED = "emg2qwerty's TDS network, pushed, one frame (16 per pass)"
PUSH = f"[stream]\nrate = 2000\nhop = 16\nwindow = 64\nframes = {PASS_FRAMES}\n"

MOST_CYCLES: Mapping[str, int] = {  # wanted, by network
    "All-ConvNet 16 x 8": 220_000,
    "MobileNetV1 0.25, 96 x 96": 390_000,
    "ResNet-8, 32 x 32": 228_000,
    "DS-CNN, 49 x 10": 150_000,
    "auto-encoder, 640 numbers": 45_000,
    network_cycles.SPEECHNET: 92_000,
    "ResNet-18, 128 x 128": 24_800_000,
    "TinyMyo small, version 1": 3_400_000,
    "TinyMyo db5, version 1": 13_500_000,
    "TinyMyo epn, version 1": 41_000_000,
    "TinyMyo epn, version 2": 43_000_000,
    "emg2qwerty for 6 keys, 59 frames": 3_300_000,
    "emg2qwerty's LSTM, 125 frames": 7_200_000,
    "emg2qwerty's LSTM, 622 frames": 50_000_000,
    PUSHED: 600_000,
}
NOT_REACHED = {"auto-encoder, 640 numbers": 48_000}  # docs/developers/performance.md


def simulated_cycles(name: str, engine: str = "auto") -> int:
    """Cycles of an inference, or of a frame. Errors: AssertionError where it is not exact."""
    with tempfile.TemporaryDirectory() as folder:
        if name == PUSHED:
            return _pushed(Path(folder), engine)
        if name in network_cycles.ROWS:
            row = network_cycles.ROWS[name]
            return network_cycles.ran(row, Path(folder), engine, SAMPLES)["cycles"]
        full = tinymyo_cost.FULL[name.removeprefix("TinyMyo ")]
        build = tinymyo_cost.built(full, Path(folder), engine=engine)
        ran = myoedge.simulate(build, input=tinymyo_cost.held_back(full))
        assert ran.exact
        return int(ran.report["cycles"]["total"])


def _pushed(folder: Path, engine: str) -> int:
    """The pass after the first, when the caches are warm, by the frame."""
    shape = (FRAMES, *network_cycles.FRAME)
    torch.manual_seed(0)
    with torch.no_grad():
        model = save_exported(emg2qwerty.tds(), (torch.zeros(shape),), folder / "tds.pt2")
    x = np.random.default_rng(0).normal(-4, 1, (1, *shape)).astype(np.float32)
    (folder / "myoedge.toml").write_text(PUSH)
    build = myoedge.build(
        *(model,), calib=x, output=folder / "out", config=folder / "myoedge.toml", stream=True,
        engine=engine, simulate=False,
    )  # fmt: skip
    ran = myoedge.simulate(build, input=x[:, : 3 * PASS_FRAMES])
    assert ran.exact
    return ran.measurement.inferences[-1].cycles // PASS_FRAMES


def recorded() -> dict[str, dict[str, int]]:
    """(cycles with the cores alone, with NE16) by network."""
    found: dict[str, dict[str, int]] = json.loads(RECORDED.read_text())
    return found


def lines(found: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    return [
        [name, f"{row['cores']:,}", f"{row['ne16']:,}", f"{MOST_CYCLES[name]:,}",
         f"{row['cores'] / row['ne16']:.2f}"]
        for name, row in found.items()
    ]  # fmt: skip


def _of_cores(name: str) -> int:
    """As recorded by the other two modules, else simulated."""
    if name in network_cycles.ROWS:
        return int(json.loads(network_cycles.RECORDED.read_text())[name]["cycles"])
    networks = json.loads(tinymyo_cost.RECORDED.read_text())["networks"]
    full = name.removeprefix("TinyMyo ")
    return int(networks[full]["cycles"]) if full in networks else simulated_cycles(name, "cores")


def main() -> None:
    wanted = [word for word in sys.argv[1:] if word != "--record"]
    names = [name for name in MOST_CYCLES if not wanted or any(word in name for word in wanted)]
    fresh = {n: {"cores": _of_cores(n), "ne16": simulated_cycles(n)} for n in names}
    kept = recorded() if RECORDED.exists() else {}
    found = {name: row for name in MOST_CYCLES if (row := {**kept, **fresh}.get(name))}
    pages.show(found, COLUMNS, lines(found), RECORDED, PAGE)


if __name__ == "__main__":
    main()
