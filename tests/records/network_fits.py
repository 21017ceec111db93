# SPDX-License-Identifier: Apache-2.0
"""README's answer to "does my network fit": parameters, time, energy and memory of three networks.

python -m tests.records.network_fits           the table, from builds and simulations
python -m tests.records.network_fits --record  the same, kept in fixtures/network_fits.json, README
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import myoedge
from tests.conftest import save_exported
from tests.records import network_cycles, tinymyo_cost

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests" / "fixtures" / "network_fits.json"
NETWORKS = {  # title in README -> name in tinymyo_cost or network_cycles
    "TinyMyo EPN-612, 8 x 1000": "epn, version 1",
    "emg2qwerty's LSTM, 125 frames": "emg2qwerty's LSTM, 125 frames",
    "All-ConvNet, 16 x 8": "All-ConvNet 16 x 8",
}
HEAD = (
    "| network | parameters | time | energy | L2 | external RAM |",
    "|---|---|---|---|---|---|",
)


def measured(name: str) -> dict[str, Any]:
    """Return the figures of a default build, simulated once."""
    with tempfile.TemporaryDirectory() as folder:
        simulated = myoedge.simulate(_built(name, Path(folder)))
        assert simulated.exact
        report = simulated.report
        memory, energy = report["memory"], report["energy_uj"]
        return {
            "parameters": report["model"]["params"],
            "cycles": report["cycles"]["total"],
            "latency_s": report["latency_s"],
            "energy_uj": [energy["value"], energy["low"], energy["high"]],
            "l2_bytes": memory["l2_peak_bytes"] + memory["code_bytes"],
            "l3_bytes": memory["l3_bytes"],
        }


def _built(name: str, folder: Path) -> myoedge.Build:
    if name in tinymyo_cost.FULL:
        return tinymyo_cost.built(tinymyo_cost.FULL[name], folder, engine="auto")
    row = network_cycles.ROWS[name]
    torch.manual_seed(0)
    model = save_exported(row.make().eval(), (torch.zeros(row.shape),), folder / "model.pt2")
    calib = np.random.default_rng(0).standard_normal((4, *row.shape)).astype(np.float32)
    return myoedge.build(model, calib=calib, output=folder / "out")


def table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the lines of README's table."""
    return [*HEAD, *(f"| {title} | {' | '.join(_cells(row))} |" for title, row in found.items())]


def _cells(row: Mapping[str, Any]) -> list[str]:
    millijoules = [_two_digits(x / 1e3) for x in row["energy_uj"]]
    return [
        f"{row['parameters']:,}",
        f"{1e3 * row['latency_s']:.3g} ms",
        f"{millijoules[0]} mJ ({millijoules[1]} to {millijoules[2]})",
        f"{row['l2_bytes'] / 2**20:.2f} MiB",
        f"{row['l3_bytes'] / 2**20:.2f} MiB" if row["l3_bytes"] else "none",
    ]


def _two_digits(x: float) -> str:
    return f"{x:.0f}" if x >= 10 else f"{x:.1f}" if x >= 1 else f"{x:.2g}"


def recorded() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text())
    return found


def main() -> None:
    found = {title: measured(name) for title, name in NETWORKS.items()}
    lines = table(found)
    print("\n".join(lines))
    if "--record" in sys.argv:
        RECORDED.write_text(json.dumps(found, indent=1) + "\n")
        page = ROOT / "README.md"
        before, _, rest = page.read_text().partition(HEAD[0])
        _, _, after = rest.partition("\n\n")
        page.write_text(before + "\n".join(lines) + "\n\n" + after)


if __name__ == "__main__":
    main()
