# SPDX-License-Identifier: Apache-2.0
"""trace.json: what the Trace Event Format asks for, and what a run was like."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from myoedge.reports import trace
from myoedge.simulator import CoreCounts, Mark, Simulation, Span

CLOCK_HZ = 370_000_000
LAYERS = [
    {"label": name, "op": op, "macs": macs, "origin": [{"path": name, "source": "n.py:1"}]}
    for name, op, macs in (("stem", "conv", 800), ('head </script>"\x1b', "linear", 80))
]
Event = dict[str, Any]


def mark(value: int, cycle: int, dma_bytes: int = 0) -> Mark:
    done = CoreCounts(instructions=cycle // 2, macs=cycle // 4, stalls={"sleep": cycle // 10})
    return Mark(value, cycle, 8, (done,) * 10, dma_bytes, 0, 0, 0)


def run(marks: Sequence[Mark], spans: Sequence[Span] = (), lost: int = 0) -> Simulation:
    return Simulation(
        exit_code=0,
        cycles=marks[-1].cycle + 100 if marks else 100,
        output="",
        counts=(),
        devices={},
        l1_bytes=0,
        l2_bytes=0,
        marks=tuple(marks),
        spans=tuple(spans),
        spans_lost=lost,
    )


TWICE = (
    mark(-1, 1_000),
    mark(0, 1_500, 64),
    mark(1, 1_900, 96),
    mark(-1, 2_500),
    mark(0, 3_000),
    mark(1, 3_400),
)


def asleep(core: int, start: int, end: int) -> Span:
    return Span("asleep", core, start, end, 0, 0)


def transfer(what: str, start: int, end: int) -> Span:
    return Span(what, 0, start, end, 256, 0x10000040)


def read(text: bytes) -> tuple[dict[str, Any], list[Event]]:
    document = json.loads(text)
    return document, [event for event in document["traceEvents"] if event["ph"] == "X"]


def written(found: Simulation) -> tuple[dict[str, Any], list[Event]]:
    return read(trace.perfetto(found, LAYERS, CLOCK_HZ))


def names(document: dict[str, Any]) -> dict[int, str]:
    return {
        e["tid"]: e["args"]["name"] for e in document["traceEvents"] if e["name"] == "thread_name"
    }


def on(document: dict[str, Any], events: list[Event], track: str) -> list[tuple[str, float, float]]:
    tids = [tid for tid, name in names(document).items() if name == track]
    return [(e["name"], e["ts"], e["dur"]) for e in events if e["tid"] in tids]


def check_format(document: dict[str, Any]) -> None:
    """Phases with what each must have; slices of a thread nest or are apart, the outer first."""
    assert document["displayTimeUnit"] in {"ms", "ns"}
    open_slices: dict[int, list[int]] = {}
    for event in document["traceEvents"]:
        assert event["ph"] in {"M", "X", "i", "C"}
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert isinstance(event["name"], str)
        if event["ph"] == "i":
            assert event["s"] in {"g", "p", "t"}
        if event["ph"] != "X":
            continue
        start = round(event["ts"] * 1000)
        end = start + round(event["dur"] * 1000)
        assert start >= 0
        assert end > start
        stack = open_slices.setdefault(event["tid"], [])
        while stack and stack[-1] <= start:
            stack.pop()
        assert not stack or end <= stack[-1], f"{event} stands out of what it lies in"
        stack.append(end)


def test_layers_alike_are_numbered_as_in_the_reports() -> None:
    found = run(TWICE)
    (document, events) = read(trace.perfetto(found, [LAYERS[0], LAYERS[0]], CLOCK_HZ))
    names = [name for name, _, _ in on(document, events, "network")]
    assert names[2:4] == ["stem (conv)", "stem (conv 2)"]


# --- what is in it --------------------------------------------------------------------------------


def test_the_network_with_its_inferences_and_layers() -> None:
    document, events = written(run(TWICE))
    check_format(document)
    micro = 1e6 / CLOCK_HZ  # seconds of a cycle, in microseconds
    wanted = [
        ("start-up", 0, 1_000),
        ("inference 1", 1_000, 1_900),
        ("stem", 1_000, 1_500),
        (LAYERS[1]["label"], 1_500, 1_900),
        ("inference 2", 2_500, 3_400),
        ("stem", 2_500, 3_000),
        (LAYERS[1]["label"], 3_000, 3_400),
    ]
    shown = on(document, events, "network")
    assert [name for name, _, _ in shown] == [name for name, _, _ in wanted]
    for (_, ts, dur), (_, start, end) in zip(shown, wanted, strict=True):
        assert ts == pytest.approx(start * micro, abs=0.0006)
        assert ts + dur == pytest.approx(end * micro, abs=0.0006)
    stem = next(e for e in events if e["name"] == "stem")
    assert stem["args"] == {
        "op": "conv",
        "macs": 800,
        "cycles": 500,
        "dma_bytes": 64,
        "l3_bytes": 0,
    }


def counted(document: dict[str, Any], name: str) -> list[tuple[float, float]]:
    """(cycle, value) of a counter."""
    events = [e for e in document["traceEvents"] if e["ph"] == "C" and e["name"] == name]
    return [(e["ts"] * CLOCK_HZ / 1e6, *e["args"].values()) for e in events]


def test_counters_hold_from_the_start_of_a_layer_to_its_end() -> None:
    # 2 uJ in 400 cycles of 370 MHz are 1.85 W; 64 KiB in one layer, none known of the other
    rows = [LAYERS[0], {**LAYERS[1], "cycles": 400, "energy_uj": 2.0, "l1_bytes": 65536}]
    document, _ = read(trace.perfetto(run(TWICE), rows, CLOCK_HZ))
    check_format(document)
    cycles = [0, 1_000, 1_500, 1_900, 2_500, 3_000, 3_400]
    wanted = {
        "MAC/cycle": [0, 800 / 500, 80 / 400, 0, 800 / 500, 80 / 400, 0],
        "L1": [0, 0, 64, 0, 0, 64, 0],
        "power": [0, 0, 1850, 0, 0, 1850, 0],
    }
    for name, values in wanted.items():
        found = counted(document, name)
        assert [cycle for cycle, _ in found] == pytest.approx(cycles, abs=0.4)
        assert [value for _, value in found] == pytest.approx(values)


def test_transfers_have_the_names_of_their_operands() -> None:
    def buffer(operand: str, step: int, offset: int, begin: float, end: float) -> dict[str, Any]:
        sizes = {"offset": offset, "size_bytes": 512, "from": begin, "to": end}
        kind = "result" if operand == "y" else "input"
        return {"operand": operand, "kind": kind, "step": step, **sizes}

    base = 0x10000040 - 256
    buffers = [
        buffer("weights", 0, 0, 0.0, 0.5),
        buffer("y", 0, 0, 0.5, 1.0),
        buffer("weights", 1, 256, 0.5, 2.0),
        buffer("x", 1, 512, 1.0, 2.0),
    ]
    spans = [
        transfer("dma in", 1_100, 1_150),  # cycles 1,000 to 1,500 are layer 0
        transfer("dma out", 1_450, 1_490),  # y of 0 and weights of 1 lie where it goes
        transfer("dma in", 1_600, 1_700),
        transfer("l3 read", 1_600, 1_700),
        replace(transfer("dma in", 1_800, 1_900), address=base + 1024),
    ]
    operands = trace.L1Operands(base, buffers)
    _, events = read(trace.perfetto(run(TWICE, spans), LAYERS, CLOCK_HZ, operands))
    shown = [e["name"] for e in events if e["tid"] >= 100]
    head = LAYERS[1]["label"]
    assert shown[:2] == ["dma in: weights of stem", "dma out: y of stem"]
    assert shown[2:] == [f"dma in: weights of {head}", "l3 read", "dma in: jobs of NE16"]


def test_every_core_has_a_track_with_what_it_did() -> None:
    document, events = written(run(TWICE))
    tracks = names(document)
    assert {f"core {i}" for i in range(9)} <= set(tracks.values())
    (stem, *_) = (e for e in events if tracks[e["tid"]] == "core 3" and e["name"] == "stem")
    assert stem["args"] == {"instructions": 250, "macs": 125, "sleep": 50}


def test_tracks_are_in_order() -> None:
    spans = [
        transfer("dma in", 1_000, 1_100),
        transfer("l3 read", 1_000, 1_100),
        asleep(9, 0, 3_000),
    ]
    document, _ = written(run(TWICE, spans))
    order = {
        e["tid"]: e["args"]["sort_index"]
        for e in document["traceEvents"]
        if e["name"] == "thread_sort_index"
    }
    shown = [names(document)[tid] for tid in sorted(order, key=lambda tid: order[tid])]
    cores = [f"core {i}" for i in range(9)]
    assert shown == ["network", *cores, "fabric controller", "DMA", "L3"]


def test_a_core_that_sleeps_over_the_end_of_a_layer_is_cut_there() -> None:
    document, events = written(run(TWICE, [asleep(2, 900, 1_950), asleep(2, 1_960, 1_970)]))
    check_format(document)
    found = [e for e in events if e["name"] == "asleep"]
    borders = [900, 1_000, 1_500, 1_900, 1_950]
    starts = [*borders[:-1], 1_960]
    assert [e["ts"] for e in found] == [pytest.approx(s / 370, abs=0.0006) for s in starts]
    assert sum(e["dur"] for e in found) == pytest.approx((1_950 - 900 + 10) / 370, abs=0.003)


def test_transfers_at_the_same_time_lie_on_lanes_of_their_own() -> None:
    spans = [
        transfer("dma in", 1_000, 1_200),
        transfer("dma out", 1_100, 1_300),
        transfer("dma in", 1_150, 1_160),
        transfer("dma in", 1_200, 1_250),  # where the first one was
        transfer("l3 read", 1_000, 1_400),
    ]
    document, events = written(run(TWICE, spans))
    check_format(document)
    assert [name for name, _, _ in on(document, events, "DMA")] == ["dma in", "dma in"]
    assert [name for name, _, _ in on(document, events, "DMA 2")] == ["dma out"]
    assert [name for name, _, _ in on(document, events, "DMA 3")] == ["dma in"]
    assert [name for name, _, _ in on(document, events, "L3")] == ["l3 read"]
    first = next(e for e in events if e["name"] == "dma out")
    assert first["args"] == {"bytes": 256, "address": "0x10000040"}


def test_ne16_has_a_track_with_its_jobs_and_its_idle_time() -> None:
    jobs = [Span("ne16", 0, *cycles, 0, 0x10000040) for cycles in ((1_100, 1_300), (1_301, 1_900))]
    marks = [
        replace(m, ne16_busy_cycles=busy) for m, busy in zip(TWICE, (0, 399, 799) * 2, strict=True)
    ]
    found = replace(run(marks, jobs), devices={"ne16_jobs": 2})
    document, events = written(found)
    (track,) = [tid for tid, name in names(document).items() if name == "NE16"]
    shown = [e for e in events if e["tid"] == track]
    assert [e["args"]["idle_before"] for e in shown] == [1_100, 1]
    assert [e["args"]["cycles"] for e in shown] == [200, 599]
    layer = next(e["args"] for e in events if e["name"] == "stem")
    assert (layer["ne16_busy"], layer["ne16_idle"]) == (399, 101)


def test_any_run_is_well_formed() -> None:
    dice = random.Random(3)
    for _ in range(30):
        cycles = sorted(dice.sample(range(1, 5_000), 9))
        marks = [mark(value, c) for value, c in zip((-1, 0, 1) * 3, cycles, strict=True)]
        spans = []
        for core in range(10):
            edges = sorted(dice.sample(range(5_200), 2 * dice.randrange(30)))
            spans += [asleep(core, a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        for what in ("dma in", "dma out", "l3 read", "l3 write"):
            starts = [dice.randrange(5_000) for _ in range(40)]
            spans += [transfer(what, s, s + dice.randrange(600)) for s in starts]
        dice.shuffle(spans)
        document, events = written(run(marks, spans))
        check_format(document)
        moved = sum(e["name"] in {"dma in", "dma out", "l3 read", "l3 write"} for e in events)
        assert moved == sum(s.what != "asleep" and s.end > s.start for s in spans)


def test_a_run_without_marks_or_spans_is_a_trace_too() -> None:
    for found in (run(()), run(TWICE[:1]), run((), [asleep(0, 5, 9)])):
        check_format(written(found)[0])


# --- how large it may be --------------------------------------------------------------------------


@pytest.fixture
def busy() -> Simulation:
    """Two inferences with 400 sleeps and 100 transfers."""
    spans = [asleep(i % 9, 1_000 + 2 * (i // 9), 1_001 + 2 * (i // 9)) for i in range(400)]
    spans += [transfer("dma in", 1_000 + 9 * i, 1_008 + 9 * i) for i in range(100)]
    return run(TWICE, spans)


@pytest.mark.slow
def test_it_becomes_coarser_in_steps(busy: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sleeping cores go first, then transfers (tiles), then cores, then layers."""
    whole = len(trace.perfetto(busy, LAYERS, CLOCK_HZ))
    seen = []
    for limit in range(whole, 900, -100):
        monkeypatch.setattr(trace, "MAX_BYTES", limit)
        text = trace.perfetto(busy, LAYERS, CLOCK_HZ)
        assert len(text) <= limit
        document, events = read(text)
        check_format(document)
        kinds = {e["name"] for e in events} & {"asleep", "dma in", "stem", "inference 1"}
        by_core = "core 0" in names(document).values()
        row = (document["otherData"]["detail"], kinds, by_core)
        seen += [row] if row not in seen else []
    assert seen == [
        (
            "sleeping cores, transfers, layers by core",
            {"asleep", "dma in", "stem", "inference 1"},
            True,
        ),
        ("transfers, layers by core", {"dma in", "stem", "inference 1"}, True),
        ("layers by core", {"stem", "inference 1"}, True),
        ("layers", {"stem", "inference 1"}, False),
        ("inferences", {"inference 1"}, False),
    ]


def test_more_inferences_than_fit_end_early(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = [mark(-1 + i % 3, 10 * i + 10) for i in range(3_000)]
    monkeypatch.setattr(trace, "MAX_BYTES", 64_000)
    text = trace.perfetto(run(marks), LAYERS, CLOCK_HZ)
    assert len(text) <= 64_000
    assert len(read(text)[1]) >= 200


def test_the_limit_is_fifty_megabytes() -> None:
    assert trace.MAX_BYTES <= 50 * 1024 * 1024


def test_it_says_when_not_all_was_recorded(busy: Simulation) -> None:
    document, _ = written(replace(busy, spans_lost=12_345))
    check_format(document)
    (told,) = (e for e in document["traceEvents"] if e["ph"] == "i")
    assert told["name"].startswith("12,345 spans after this")
    assert told["ts"] == pytest.approx(max(s.end for s in busy.spans) / 370, abs=0.0006)
    assert document["otherData"]["spans_not_recorded"] == 12_345
    assert "i" not in {e["ph"] for e in written(busy)[0]["traceEvents"]}
