# SPDX-License-Identifier: Apache-2.0
"""Who makes the peak, and the maps of L1 and L2: held against the plan, byte by byte."""

from __future__ import annotations

import io
import itertools
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from myoedge.building.broken_budgets import check
from myoedge.building.budget import Budget
from myoedge.building.build_files import with_digest
from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Tensor
from myoedge.operators import layer_names as naming
from myoedge.plan.plan import Plan
from myoedge.plan.schedule import make_plan
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.scales import quantize_graph
from myoedge.quantization.sqnr import measure
from myoedge.reports import memory_maps, near_memory, speed, wording
from myoedge.reports.html import report_html
from myoedge.reports.peaks import Peak, peaks, print_peaks
from myoedge.reports.report_json import Outcome, Report, make_report
from myoedge.targets import Chip, find_chip
from tests.conftest import Ran
from tests.support.pages import summary
from tests.unit.test_report import FLAT, HOSTILE, SAMPLES, Page, quantized, residual

Run = Callable[..., Ran]
LETTER_HEIGHT = 11


def planned(blocks: int = 3, path: str = "enc.0", on: Chip | None = None) -> Plan:
    return make_plan(quantized(residual(path, blocks=blocks)), on or find_chip("gap9"))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned()


@pytest.fixture(scope="module")
def report(plan: Plan) -> Report:
    return make_report(plan, Outcome("net"))


def of(report: Report) -> dict[str, Peak]:
    return {peak.memory: peak for peak in peaks(report)}


# --- who makes the peak ---------------------------------------------------------------------------


def test_what_is_held_adds_up_to_the_peak(report: Report) -> None:
    found, memory = of(report), report["memory"]
    assert set(found) == {"L1", "L2"}
    assert found["L1"].used_bytes == memory["l1_peak_bytes"]
    assert found["L2"].used_bytes == memory["l2_peak_bytes"]
    for peak in found.values():
        sizes = [part.size_bytes for part in peak.held]
        assert sum(sizes) == peak.used_bytes
        assert sizes == sorted(sizes, reverse=True)
        assert min(sizes) > 0


def test_l2_is_fullest_where_the_plan_says() -> None:
    plan = planned(on=FLAT)
    report = make_report(plan, Outcome("net"))
    alive = [
        {life.name for life in plan.lives if life.first <= step <= life.last}
        for step in range(len(plan.steps))
    ]
    sizes = {life.name: life.size_bytes for life in plan.lives}
    most = max(alive, key=lambda names: sum(sizes[name] for name in names))
    peak = of(report)["L2"]
    results = [part for part in peak.held if part.what == "result"]
    assert peak.step == alive.index(most)
    assert sorted(part.size_bytes for part in results) == sorted(sizes[name] for name in most)
    weights = sum(part.size_bytes for part in peak.held if part.what == "weights")
    assert weights == plan.weight_bytes


def test_l1_is_fullest_where_the_plan_says(plan: Plan, report: Report) -> None:
    """Counted tile by tile from the plan's buffers."""
    buffers = [b for tiling in plan.tilings for b in tiling.buffers]
    counts = [len(tiling.tiles) for tiling in plan.tilings]
    steps = [step for step, count in enumerate(counts) for _ in range(count)]
    held = [sum(b.size_bytes for b in buffers if b.first <= t <= b.last) for t in range(len(steps))]
    peak = of(report)["L1"]
    assert peak.step == steps[held.index(max(held))]
    fixed = {"stacks and runtime", "gaps"}
    assert sum(part.size_bytes for part in peak.held if part.what not in fixed) == max(held)
    top = max(b.offset + b.size_bytes for b in buffers)
    assert peak.used_bytes == top + plan.chip.l1_reserved_bytes


def middles(counts: Sequence[int]) -> list[tuple[float, int]]:
    """(time, step) in the middle of every tile, of steps with so many."""
    return [(i + (t + 0.5) / count, i) for i, count in enumerate(counts) for t in range(count)]


def test_the_map_of_l1_is_the_plan_s_in_every_tile() -> None:
    small = replace(find_chip("gap9"), l1_bytes=find_chip("gap9").l1_reserved_bytes + 230)
    plan = make_plan(quantized(residual(blocks=2)), small)
    counts = [len(tiling.tiles) for tiling in plan.tilings]
    assert max(counts) > 1
    rows = make_report(plan, Outcome("net"))["memory"]["l1_buffers"]
    buffers = [(i, b) for i, tiling in enumerate(plan.tilings) for b in tiling.buffers]
    for tile, (at, _) in enumerate(middles(counts)):
        drawn = {(r["step"], r["operand"], r["slot"]) for r in rows if r["from"] <= at < r["to"]}
        assert drawn == {(i, b.operand, b.slot) for i, b in buffers if b.first <= tile <= b.last}


def test_results_that_stay_in_l1_are_drawn_whole(plan: Plan, report: Report) -> None:
    kept = [
        (i, n) for i, t in enumerate(plan.tilings) for n in t.resident if n == t.kernel.out.name
    ]
    assert kept
    rows = {(row["step"], row["operand"]): row for row in report["memory"]["l1_buffers"]}
    for step, name in kept:
        row = rows[step, name]
        assert math.prod(row["shape"]) == row["size_bytes"] == report["layers"][step]["out_bytes"]
        assert row["to"] > step + 1


def test_weights_from_l3_are_told_where_they_pass_and_where_they_lie() -> None:
    q = quantized(residual(blocks=20))
    whole = make_plan(q, find_chip("gap9"))
    less = replace(find_chip("gap9"), l2_bytes=whole.l2_bytes * 2 // 3, l2_reserved_bytes=0)
    less = less.with_level("l3", bytes_per_cycle=1 / 370)  # so slow that layers wait for it
    streamed = make_plan(q, less)
    assert streamed.transfers
    report = make_report(streamed, Outcome("net"))
    found, memory = of(report), report["memory"]
    assert found["L2"].used_bytes == memory["l2_peak_bytes"] <= less.l2_bytes
    assert found["L3"].used_bytes == memory["l3_bytes"] == streamed.image_bytes("l3")
    for peak in found.values():
        assert sum(part.size_bytes for part in peak.held) == peak.used_bytes
    transfers = [row for row in memory["buffers"] if row["kind"] == "weights"]
    assert sum(row["size_bytes"] for row in transfers) == streamed.image_bytes("l3")
    for a, b in itertools.combinations(memory["buffers"], 2):
        apart = a["to"] <= b["from"] or b["to"] <= a["from"]
        above = a["offset"] >= b["offset"] + b["size_bytes"]
        below = b["offset"] >= a["offset"] + a["size_bytes"]
        assert apart or above or below, (a, b)
    assert "weights from L3" in report_html(report)
    assert near_memory.from_l3(report) == f"weights {wording.size(streamed.image_bytes('l3'))}"
    ends = streamed.timeline_steps.enters
    for moment, (at, _) in enumerate(middles([b - a for a, b in itertools.pairwise(ends)])):
        named = {row["name"] for row in transfers if row["from"] <= at < row["to"]}
        assert named == {
            f"{streamed.steps[h.chunk.step].node.name} {h.chunk.array} {h.chunk.start}"
            for h in streamed.transfers
            if h.begins <= moment <= h.chunk.last
        }
    waited = sum(row["waiting_modelled"] for row in report["layers"])
    assert report["cycles"]["total"] == sum(row["cycles_modelled"] for row in report["layers"])
    late = {**report, "budget": {"latency_s": 1e-6}}
    with pytest.raises(MyoedgeError) as raised:
        check(Budget(), late, q, measure(q, SAMPLES), sooner=lambda report: ())
    lines = dict(raised.value.notice.facts)["most"].splitlines()
    assert (len(lines), waited > 0) == (4, True)
    assert lines[-1].startswith(f"{waited:,} cycles of all layers: waiting for transfers")


def test_results_in_l3_and_the_windows_on_them() -> None:
    """Four results of 8 KB where L2 has 16 KB for them."""
    wide = residual(blocks=2)
    samples = {"x": np.random.default_rng(1).normal(size=(3, 1, 2000, 2)).astype(np.float32)}
    tensors = {n: Tensor(n, (t.shape[0], 2000, *t.shape[2:])) for n, t in wide.tensors.items()}
    graph = replace(wide, tensors=tensors)
    q = quantize_graph(graph, calibrate(graph, samples, Observer(), "samples"))
    l1_bytes = find_chip("gap9").l1_reserved_bytes + (12 << 10)  # too small to keep results there
    small = replace(find_chip("gap9"), l1_bytes=l1_bytes, l2_bytes=28 << 10, l2_reserved_bytes=0)
    plan = make_plan(q, small)
    assert plan.maps
    report = make_report(plan, Outcome("net"))
    found, memory = of(report), report["memory"]
    for peak in found.values():
        assert sum(part.size_bytes for part in peak.held) == peak.used_bytes
    assert found["L2"].used_bytes <= 28 << 10
    assert {row["name"] for row in memory["l3_maps"]} == set(plan.maps)
    assert memory["l3_bytes"] >= sum(row["size_bytes"] for row in memory["l3_maps"])
    assert {row["kind"] for row in memory["buffers"]} >= {"window"}
    assert "feature maps" in summary(report)
    assert "window on L3" in report_html(report)


def test_without_its_largest_part_another_time_is_the_fullest(report: Report) -> None:
    """One buffer of 100 B beside two of 10 B, and 70 B later: 50 B are saved, not 100."""
    rows = [(0, 100, 0, 1), (100, 10, 0, 3), (110, 10, 0, 1), (0, 60, 2, 3)]
    keys = ("offset", "size_bytes", "from", "to")
    kind = "result"
    names = [row["name"] for row in report["layers"]]
    pairs = zip(rows, names, strict=False)
    buffers = [dict(zip(keys, r, strict=True), name=name, kind=kind) for r, name in pairs]
    memory = {**report["memory"], "buffers": buffers, "l2_peak_bytes": 120, "constants": []}
    layers = [{**row, "weights_l2_bytes": 0} for row in report["layers"]]
    found = of({**report, "memory": memory, "layers": layers, "inputs": [], "outputs": []})["L2"]
    assert found.shrink is not None
    assert (found.used_bytes, found.shrink.size_bytes, found.without_bytes) == (120, 100, 70)


def test_the_table_names_layers_and_advice() -> None:
    report = make_report(planned(on=FLAT), Outcome("net"))
    text = io.StringIO()
    print_peaks(peaks(report), Console(file=text, width=80, no_color=True))
    shown = text.getvalue()
    assert "L2: " in shown
    assert "of 1.5 MiB at its peak, in step" in shown
    assert "without the" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("chip", "external", "parts"),
    [
        ("gap9", ["flash"], "flash"),
        ("gap9", [], "none"),
        ("gap9", ["flash", "ram"], "RAM and flash"),
        ("host", [], ""),
    ],
)
def test_every_build_for_a_chip_names_the_parts_beside_it(
    chip: str, external: list[str], parts: str
) -> None:
    """Also one whose data is all in L2, in the terminal, report.html and report.json; and the image
    that it starts from."""
    made = make_report(planned(on=find_chip(chip)), Outcome("net"))
    assert made["memory"]["external"] == []
    report = {**made, "memory": {**made["memory"], "external": external}}
    assert near_memory.external_parts(report) == parts
    shown = " ".join(summary(report).split())
    assert (f"external parts: {parts}" in shown) == bool(parts)
    boots, said = 33 << 10, f"and {parts.replace('none', 'no part')} beside the chip"
    report["memory"] |= {"boot_image_bytes": boots} if parts else {}
    assert (f", a boot image of 33 KiB, {said}" in report_html(report)) == bool(parts)


def test_buffers_and_peaks_have_the_names_of_their_memory_levels() -> None:
    """Of weights in MRAM, without and beside L3: what the plan's transfers read."""
    chip = find_chip("gap9").with_optional("mram")
    small = chip.with_level("mram", reserved_bytes=chip.level("mram").bytes - 1024)
    whole = planned(20).l2_bytes
    for other, names in ((chip.without_external("ram"), {"mram"}), (small, {"mram", "l3"})):
        made = planned(20, on=replace(other, l2_bytes=whole * 2 // 3, l2_reserved_bytes=0))
        assert {x.level for x in made.transfers} == names
        report = make_report(made, Outcome("net"))
        rows = [row for row in report["memory"]["buffers"] if row["kind"] == "weights"]
        assert [row["level"] for row in rows] == [x.level for x in made.transfers]
        shown = report_html(report)
        for level in ("l3", "mram"):
            assert (f"weights from {level.upper()}" in shown) == (level in names)
        found = of(report)
        assert {*found} == {"L1", "L2", *(name.upper() for name in names)}
        told = {part.what for part in found["L2"].held if " from " in part.what}
        assert told <= {f"weights from {name.upper()}" for name in names}
        for name in names:
            assert found[name.upper()].used_bytes == len(made.image(name))
        data = [part["name"] for part in memory_maps.budget(report) if "data from" in part["name"]]
        listed = " and ".join(x.name.upper() for x in made.chip.levels if x.name in names)
        assert data == [f"activations, data from {listed}"]


@pytest.mark.parametrize("mram_bytes", [0, 1_887_428])
def test_the_start_up_that_writes_mram_says_so(report: Report, mram_bytes: int) -> None:
    memory = {**report["memory"], "levels": {"l3": 5, "mram": mram_bytes}}
    cycles = {**report["cycles"], "startup": 110_000_000}
    text = speed.startup({**report, "memory": memory, "cycles": cycles})
    assert text.startswith("110,000,000 cycles before the first layer, not counted above")
    assert ("write 1.8 MiB of weights into MRAM, once per device" in text) == bool(mram_bytes)


def test_a_peak_s_layer_has_the_same_name_in_its_rows() -> None:
    found = make_report(planned(), Outcome("net"))
    layers = dict(zip(naming.unique_names(found["layers"]), found["layers"], strict=True))
    for peak in peaks(found):
        assert {part.layer for part in peak.held if part.source} <= {*layers}
    fullest_l1 = of(found)["L1"]
    assert fullest_l1.layer in {part.layer for part in fullest_l1.held}


def test_hostile_names_do_not_steer_the_terminal() -> None:
    bad = make_report(planned(1, HOSTILE), Outcome("net"))
    text = io.StringIO()
    print_peaks(peaks(bad), Console(file=text, width=200, force_terminal=True, no_color=True))
    assert "\x1b[31m" not in text.getvalue()


# --- maps -----------------------------------------------------------------------------------------


def test_buffers_of_l1_never_share_bytes_at_a_time(report: Report) -> None:
    buffers = report["memory"]["l1_buffers"]
    assert buffers
    for a, b in itertools.combinations(buffers, 2):
        apart = a["to"] <= b["from"] or b["to"] <= a["from"]
        above = a["offset"] >= b["offset"] + b["size_bytes"]
        below = b["offset"] >= a["offset"] + a["size_bytes"]
        assert apart or above or below, (a, b)


def test_a_box_for_every_buffer_with_the_tile_s_shape(plan: Plan, report: Report) -> None:
    drawn = memory_maps.l1(report)
    assert drawn is not None
    assert len(drawn["boxes"]) == sum(len(t.buffers) for t in plan.tilings)
    tiled = [row for row in report["layers"] if row["tiles"]]
    for row in tiled:
        assert any(f"of results {row['tile']}" in box.title for box in drawn["boxes"])
    frame = drawn["frame"]
    in_l2 = memory_maps.l2(make_report(planned(on=FLAT), Outcome("net")))
    assert in_l2 is not None
    for box in (*drawn["boxes"], *in_l2["boxes"]):
        assert frame.x(0) <= box.x
        assert box.x + box.width <= frame.right + 0.1
        assert frame.y(1) <= box.y
        assert box.y + box.height <= frame.bottom


def test_many_layers_stay_readable() -> None:
    large = make_report(planned(40), Outcome("net"))
    assert len(large["layers"]) == 120
    text = report_html(large)
    Page(text)
    assert len(text) < 1_000_000
    in_l2 = make_report(planned(40, on=FLAT), Outcome("net"))
    for drawn in (memory_maps.l1(large), memory_maps.l2(in_l2)):
        assert drawn is not None
        frame = drawn["frame"]
        assert frame.slanted
        assert frame.column * math.sin(math.radians(40)) > LETTER_HEIGHT  # lines of slanted names
        assert frame.column > 3 * 7  # numbers of three digits


def test_a_target_without_l1_has_no_map_of_it() -> None:
    found = make_report(make_plan(quantized(residual()), find_chip("host")), Outcome("net"))
    assert found["memory"]["l1_buffers"] == []
    assert memory_maps.l1(found) is None
    assert "L1 over time" not in report_html(found)
    assert set(of(found)) == {"L2"}


# --- myoedge inspect ------------------------------------------------------------------------------


@pytest.fixture
def folder(small_build: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_build, tmp_path / "build" / "out"))


def test_inspect_of_a_build(run: Run, folder: Path, tmp_path: Path) -> None:
    for arguments in (("build/out", "--memory"), ("--memory",)):
        ran = run("inspect", *arguments)
        assert ran.code == 0, ran.err
        assert "L1: " in ran.out
        assert "L2: " in ran.out
    found: Any = run("inspect", "build/out", "--memory", "--json").json["memories"]
    assert [row["memory"] for row in found] == ["L1", "L2"]
    assert all(sum(p["size_bytes"] for p in row["held"]) == row["used_bytes"] for row in found)
    plain = run("inspect", "build/out")
    assert "L2 memory" in plain.out
    assert "inspect build/out --memory" in plain.err
    assert run("inspect", "build/out", "--json").json["schema"] == "myoedge.report/1"


def test_inspect_of_what_is_no_build(run: Run, small: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    cases = {
        ("empty", "--memory"): (2, "E222"),
        ("nowhere", "--memory"): (2, "E222"),
        ("--memory",): (2, "E222"),
        (small / "model.pt2", "--memory"): (2, "E222"),
        ("empty",): (2, "E222"),
    }
    for arguments, (code, name) in cases.items():
        ran = run("inspect", *arguments)
        assert (ran.code, name in ran.err) == (code, True), arguments


@pytest.mark.parametrize("verb", [("inspect",), ("report",), ("evidence",), ("simulate",)])
def test_a_build_without_a_digest_of_integers(verb: tuple[str], run: Run, folder: Path) -> None:
    for name in ("report.json", "manifest.json"):
        found = json.loads((folder / name).read_text())
        del found["model"]["integer_digest"]
        whole = with_digest(found) if name == "report.json" else found
        (folder / name).write_text(json.dumps(whole))
    ran = run(*verb, "build/out")
    assert (ran.code, "E222" in ran.err, "older version" in ran.err) == (2, True, True)


def test_inspect_of_an_older_version_s_build(run: Run, folder: Path) -> None:
    path = folder / "report.json"
    found = json.loads(path.read_text())
    del found["memory"]["l1_buffers"]
    path.write_text(json.dumps(with_digest(found)))
    ran = run("inspect", "build/out", "--memory")
    assert (ran.code, "E222" in ran.err, "l1_buffers" in ran.err) == (2, True, True)
    assert run("inspect", "build/out").code == 0
    assert run("inspect", "build/out", "--factory", "a:b").code == 2
