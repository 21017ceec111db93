# SPDX-License-Identifier: Apache-2.0
"""Picture of the network: boxes as wide as their cycles, arcs over what lies between."""

from __future__ import annotations

import re
from typing import Any

import pytest

from myoedge.reports.network_map import LEFT, NARROWEST, WIDTH, network_map


def row(name: str, cycles: int, *reads: str, macs: int = 0, engine: str = "cluster") -> Any:
    origin = [{"path": name, "source": ""}]
    shown = {"name": name, "label": name, "op": "conv", "activation": "", "origin": origin}
    return {**shown, "cycles": cycles, "macs": macs, "engine": engine, "reads": list(reads),
            "out_shape": [1, 4]}  # fmt: skip


def report(*rows: Any) -> Any:
    total = sum(row["cycles"] for row in rows)
    target = {"clock_hz": 1_000_000, "chip": "gap9"}
    return {"layers": list(rows), "cycles": {"total": total, "source": "simulated"},
            "target": target}  # fmt: skip


RESIDUAL = (
    row("stem", 600, "x", macs=10),
    row("body", 300, "stem", macs=10, engine="ne16"),
    row("sum", 100, "body", "stem"),
)


def test_boxes_lie_side_by_side_as_wide_as_their_cycles() -> None:
    found = network_map(report(*RESIDUAL))
    assert found is not None
    per_cycle = (WIDTH - 3 * NARROWEST) / 1000
    at = LEFT
    for box, cycles in zip(found.boxes, (600, 300, 100), strict=True):
        assert box.x == pytest.approx(at, abs=0.01)
        at += NARROWEST + cycles * per_cycle
        assert box.x < box.x + box.width <= at
    assert at == pytest.approx(LEFT + WIDTH)
    assert [box.look for box in found.boxes] == ["cores", "ne16", "moves"]
    assert found.boxes[0].title == "stem: conv, 1x4; 600 cycles, 60 % of the time, 0.02 MAC/cycle"
    assert [tick.text for tick in found.ticks] == ["0", "600 µs", "900 µs", "1 ms"]


def test_an_arc_leads_from_a_result_to_its_later_reader() -> None:
    found = network_map(report(*RESIDUAL))
    assert found is not None
    (skip,) = found.skips
    assert skip.title == "sum reads stem"
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", skip.path)]
    stem, _, total = found.boxes
    assert numbers[0] == pytest.approx(stem.x + stem.width / 2, abs=1)
    assert numbers[-2] == pytest.approx(total.x + total.width / 2, abs=1)
    high = 0.25 * numbers[1] + 0.75 * numbers[3]  # a cubic curve in its middle
    assert 0 < high < found.top, "above the boxes, inside the drawing"


def test_many_layers_are_all_to_be_seen() -> None:
    rows = [row(f"l{n}", 10**6 if n == 7 else 1, macs=1) for n in range(500)]
    found = network_map(report(*rows))
    assert found is not None
    assert min(box.width for box in found.boxes) >= 0.9
    last = found.boxes[-1]
    assert last.x + last.width <= LEFT + WIDTH + 0.1
    assert all(box.lines == () for box in found.boxes if box.width < 20)


def test_without_cycles_there_is_no_picture() -> None:
    assert network_map({**report(*RESIDUAL), "cycles": None}) is None
