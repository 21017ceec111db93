# SPDX-License-Identifier: Apache-2.0
"""The six networks of MLPerf Tiny v1.4, with true weights, beside what is published.

python -m tests.records.mlperf_tiny            the tables, from builds and simulated runs
python -m tests.records.mlperf_tiny --record   the same, kept in tests/fixtures/mlperf_tiny.json and
                                       docs/developers/mlperf-tiny.md
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import myoedge
from myoedge.backends.build import Build
from myoedge.building.config import Found
from myoedge.building.config_tables import Config, StreamTable
from myoedge.numerics.arrays import Array
from tests.conftest import ROOT
from tests.support.pages import head, put, shown

FIXTURES = ROOT / "tests" / "fixtures"
MODELS, RECORDED = FIXTURES / "mlperf", FIXTURES / "mlperf_tiny.json"
PAGE = ROOT / "docs" / "developers" / "mlperf-tiny.md"
POINTS = ("high", "low")  # 0.80 V and 370 MHz, 0.65 V and 240 MHz
SAMPLES, SEED = 8, 5
WAKE_WORD = "sww"
SLEEP = "0.05 mW"  # of the chip, where it is not left open
# Frames of 64 ms every 32 ms, along the third axis of the input.
EVERY_32_MS = StreamTable(axis=2, rate=16000, hop=512, window=1024)

Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]


@dataclass(frozen=True)
class Published:
    """Results on other hardware, 0 where there are none: cycles and microjoules of GAP9 with NE16
    (v1.0, at 0.80 and 0.65 V), microjoules of Syntiant's NDP9120 and of STM32U385 (v1.3)."""

    cycles: int = 0
    uj: Mapping[str, float] | None = None
    ndp9120_uj: float = 0
    stm32u385_uj: float = 0


@dataclass(frozen=True)
class Task:
    """A network of tests/fixtures/mlperf, and how inputs in its range are drawn.

    target   cycles that are wanted at most
    """

    title: str
    file: str
    shape: tuple[int, ...]
    draw: Draw
    target: int
    published: Published = Published()

    @property
    def samples(self) -> Array:
        """Samples for calibration: in the range of the data, without meaning."""
        return self.draw(np.random.default_rng(SEED), (SAMPLES, *self.shape)).astype(np.float32)


def uniform(high: float) -> Draw:
    return lambda rng, shape: rng.uniform(0, high, shape)


def normal(mean: float, deviation: float) -> Draw:
    return lambda rng, shape: rng.normal(mean, deviation, shape)


def gap9(cycles: int, high: float, low: float) -> dict[str, Any]:
    return {"cycles": cycles, "uj": dict(zip(POINTS, (high, low), strict=True))}


IMAGE = (3, 32, 32)
AD = Published(**gap9(65_000, 7.294, 5.252), stm32u385_uj=31.8)
IC = Published(**gap9(227_900, 40.36, 27.71), ndp9120_uj=101.8, stm32u385_uj=965.6)
KWS = Published(**gap9(175_800, 26.66, 18.56), ndp9120_uj=31.5, stm32u385_uj=245.3)
VWW = Published(**gap9(416_000, 58.36, 40.80), ndp9120_uj=71.7, stm32u385_uj=519.0)
TASKS = {
    "ad": Task("anomaly detection", "ad.onnx", (640,), normal(-28, 11), 45_000, AD),
    "ic": Task("image classification", "ic.onnx", IMAGE, uniform(255), 190_000, IC),
    "kws": Task("keyword spotting", "kws.pt2", (1, 49, 10), normal(-4, 28), 118_000, KWS),
    "vww": Task("visual wake words", "vww.onnx", (3, 96, 96), uniform(1), 330_000, VWW),
    WAKE_WORD: Task("streaming wake word", "sww.pt2", (40, 30, 1), uniform(1), 57_000),
    "ic02": Task("image classification, large", "ic02.onnx", IMAGE, uniform(255), 920_000),
}


def built(name: str, folder: Path, **options: Any) -> Build:
    """A build of the task's network. Errors: E401 where the simulated run is not exact."""
    task = TASKS[name]
    return myoedge.build(
        MODELS / task.file, calib=task.samples, output=folder, simulate=True, **options
    )


def measured(name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        report = built(name, Path(folder) / "out").report
    memory = report["memory"]
    return {
        "macs": sum(row["macs"] for row in report["layers"]),
        "parameters": report["model"]["params"],
        "cycles": report["cycles"]["total"],
        "l1_bytes": memory["l1_peak_bytes"],
        "l2_bytes": memory["l2_peak_bytes"],
        "code_bytes": memory["code_bytes"],
        "uj": {p["name"]: [p[k] for k in ("value", "low", "high")] for p in energies(report)},
    }


def energies(report: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [p for p in report["energy_uj"]["points"] if p["name"] in POINTS]


def streamed() -> dict[str, Any]:
    """The wake word with a frame a pass: the last of four passes, and averages by point."""
    found = Found(Config(stream=EVERY_32_MS), Path())
    with tempfile.TemporaryDirectory() as folder:
        build = built(WAKE_WORD, Path(folder) / "out", stream=True, config=found)
        report = myoedge.simulate(build).report
        points = {name: _every_32_ms(build, name) for name in POINTS}
    cycles = report["cycles"]
    return {
        "cycles": cycles["total"],
        "first_cycles": cycles["inferences"][0],
        "state_bytes": report["stream"]["state_bytes"],
        "points": points,
    }


def _every_32_ms(build: Build, point: str) -> dict[str, Any]:
    open_sleep = myoedge.energy(build, operating_point=point, reset=True)
    known_sleep = myoedge.energy(build, operating_point=point, sleep=SLEEP)
    (energy,) = (p for p in energies(known_sleep) if p["name"] == point)
    return {
        "duty_cycle": open_sleep["duty"]["share"],
        "uj": _rounded(energy[key] for key in ("value", "low", "high")),
        "average_mw": _rounded(known_sleep["duty"]["average_mw"]),
        "open_average_mw": _rounded(open_sleep["duty"]["average_mw"]),
    }


def _rounded(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


# --- tables ---------------------------------------------------------------------------------------

Rows = list[list[str]]
Recorded = Mapping[str, Any]


def cycles_rows(found: Recorded) -> Rows:
    rows = []
    for name, task in TASKS.items():
        row, published = found["tasks"][name], task.published.cycles
        ratio = f"{row['cycles'] / published:.2f}" if published else ""
        sizes = [f"{row['macs'] / 1e6:.2f} M", f"{row['parameters']:,}", f"{row['cycles']:,}"]
        aim = [f"{task.target:,}", f"{row['macs'] / row['cycles']:.1f}"]
        rows.append([_title(name), *sizes, *aim, _number(published), ratio])
    return rows


def energy_rows(found: Recorded) -> Rows:
    rows = []
    for name, task in TASKS.items():
        cells, other = [], task.published
        for point in POINTS:
            gap9_uj = (other.uj or {}).get(point, 0)
            cells += [_interval(found["tasks"][name]["uj"][point]), _number(gap9_uj)]
        rows.append([_title(name), *cells, _number(other.ndp9120_uj), _number(other.stm32u385_uj)])
    return rows


def memory_rows(found: Recorded) -> Rows:
    sizes = ("l2_bytes", "code_bytes", "l1_bytes")
    rows = [(name, found["tasks"][name]) for name in TASKS]
    return [[_title(name), *(f"{row[size]:,}" for size in sizes)] for name, row in rows]


def stream_rows(found: Recorded) -> Rows:
    stream, rows = found["stream"], Rows()
    for name, volts in zip(POINTS, ("0.80 V, 370 MHz", "0.65 V, 240 MHz"), strict=True):
        point = stream["points"][name]
        average = [_interval(point["average_mw"]), _interval(point["open_average_mw"])]
        cycles = [f"{stream['cycles']:,}", f"{100 * point['duty_cycle']:.2f} %"]
        rows.append([volts, *cycles, _interval(point["uj"]), *average])
    return rows


def _title(name: str) -> str:
    return f"{TASKS[name].title} ({name.upper()})"


def _number(value: float) -> str:
    return f"{value:,}" if value else ""


def _interval(values: Sequence[float]) -> str:
    value, low, high = (f"{x:.3g}" for x in values)
    return f"{value} ({low} to {high})"


GAP9_UJ, UJ = "GAP9, published, {}", "µJ at {}"
TABLES: dict[tuple[str, ...], Callable[[Recorded], Rows]] = {
    (
        *("task", "MACs", "parameters", "cycles", "target", "MAC/cycle"),
        *("GAP9 with NE16, published", "divided by published"),
    ): cycles_rows,
    (
        *("task", UJ.format("0.80 V"), GAP9_UJ.format("0.80 V")),
        *(UJ.format("0.65 V"), GAP9_UJ.format("0.65 V"), "NDP9120", "STM32U385"),
    ): energy_rows,
    ("task", "L2: weights and maps, bytes", "L2: code, bytes", "L1, bytes"): memory_rows,
    (
        *("a pass every 32 ms", "cycles", "duty cycle", "µJ per pass"),
        *(f"mW, asleep at {SLEEP}", "mW, sleep unknown"),
    ): stream_rows,
}


def main() -> None:
    found = {"tasks": {name: measured(name) for name in TASKS}, "stream": streamed()}
    for columns, rows in TABLES.items():
        Console().print(shown(columns, rows(found)))
    if "--record" in sys.argv[1:]:
        RECORDED.write_text(json.dumps(found, indent=1) + "\n")
        for columns, rows in TABLES.items():
            put(head(*columns), rows(found), PAGE)


if __name__ == "__main__":
    main()
