# SPDX-License-Identifier: Apache-2.0
"""What a run has shown, in every form of the report: figures worked out by hand."""

from __future__ import annotations

import copy
import csv
import io
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from myoedge.backends.measurement import Activity, Inference, LayerCost, Measurement
from myoedge.backends.simulator import _make_measurement as measurement_of
from myoedge.operators import layer_names as naming
from myoedge.plan.schedule import make_plan
from myoedge.power.model import PUBLISHED
from myoedge.reports import energy, fidelity, speed, streams, wording
from myoedge.reports.charts import MAX_BARS, time
from myoedge.reports.cycles import cycles_table, stall_percents, with_cycles
from myoedge.reports.diff import Change, compare
from myoedge.reports.documents import layers_csv
from myoedge.reports.energy import costliest, source, with_energy
from myoedge.reports.facts import COUNT, DECIBELS, SHARE, Fact, ValueUnit
from myoedge.reports.html import report_html, verdict
from myoedge.reports.peaks import peaks
from myoedge.reports.report_json import CAUSES, Outcome, Report, make_report
from myoedge.reports.text import MAX_LAYERS, shown_layers
from myoedge.simulator.result import STALLS, CoreCounts, Mark, Simulation
from myoedge.targets import OperatingPoint, find_chip
from tests.support.pages import COLUMNS, summary
from tests.support.schemas import validators
from tests.unit.test_report import HOSTILE, Page, quantized, report, residual

HIGH = OperatingPoint("high", 0.80, 370_000_000)
LOW = OperatingPoint("low", 0.65, 240_000_000)
# of eight cores: 8 x 1000 cycles are 8000 of core time
FIRST = LayerCost(1_000, 4_000, {"outside": 2_000, "sleep": 1_200, "bank": 800}, 40, 10)
SECOND = LayerCost(2_400, 14_400, {"outside": 4_320, "sleep": 480, "bank": 0})
LAST = LayerCost(600, 1_200, {"outside": 0, "sleep": 3_600, "bank": 0})
TOTAL = 1_000 + 2_400 + 600
MACS = 480 + 960  # 20 rows of 4 channels from 3 taps of 2, then of 4 channels
SIMULATED = Measurement(
    "simulated",
    (Inference((), TOTAL, (FIRST, SECOND, LAST)), Inference((), 4_100, (SECOND, LAST, FIRST))),
    startup_cycles=123_456,
    l1_bytes=96 * 1024,
)
BARE = tuple(LayerCost(cost.cycles) for cost in (FIRST, SECOND, LAST))
STREAM = {
    "pass_frames": 4, "state_bytes": 8, "first_output_frames": 4, "points": [], "frame_hz": None,
    "inputs": ["x"], "outputs": ["y"], "future_frames": 0,
}  # fmt: skip
ON_GVSOC = Measurement("gvsoc", (Inference((), TOTAL, BARE),))


def test_a_layer_may_take_longer_than_the_chip_s_timer_counts() -> None:
    lasts = (5, 3 * 2**32 + 100, 2**32 - 10)
    ends = [1_000 + sum(lasts[:i]) + 7 * i for i in range(4)]  # marks are a few cycles off
    counts = (CoreCounts(stalls=dict.fromkeys(STALLS, 0)),) * 10
    marks = tuple(Mark(i - 1, end, 8, counts, 0, 0, 0, 0) for i, end in enumerate(ends))
    run = Simulation(0, ends[-1], "", counts, {}, 0, 0, marks=marks)
    read = (), tuple(cycles % 2**32 for cycles in lasts), sum(lasts) % 2**32
    (inference,) = measurement_of(run, [read], {}).inferences
    assert tuple(layer.cycles for layer in inference.layers) == lasts
    assert inference.cycles == sum(lasts)


@pytest.fixture(scope="module")
def built() -> Report:
    return report(exact={"host": True, "simulator": True})


@pytest.fixture(scope="module")
def ran(built: Report) -> Report:
    return with_cycles(built, SIMULATED, HIGH)


@pytest.fixture(scope="module")
def on_gvsoc(built: Report) -> Report:
    return with_cycles(built, ON_GVSOC, LOW)


def large(blocks: int, first: int = 1_000) -> Report:
    """Many layers; the n-th takes `first` + n cycles."""
    found = report(residual(blocks=blocks))
    costs = tuple(LayerCost(first + i) for i in range(3 * blocks))
    total = sum(cost.cycles for cost in costs)
    return with_cycles(found, Measurement("simulated", (Inference((), total, costs),)), HIGH)


# --- report.json, layers.csv ----------------------------------------------------------------------


def test_figures_worked_out_by_hand(ran: Report) -> None:
    assert ran["cycles"] == {
        "total": 4_000,
        "clock_hz": 370_000_000,
        "outside_layers": 0,
        "source": "simulated",
        "shown": 0,
        "startup": 123_456,
        "inferences": [4_000, 4_100],
        "macs_per_cycle": 0.36,
        # 19600 instructions, 6320, 5280 and 800 cycles of 32000
        "stalls": {"busy": 61.2, "outside": 19.8, "sleep": 16.5, "bank": 2.5},
    }
    assert ran["latency_s"] == pytest.approx(4_000 / 370e6)
    assert ran["memory"]["l1_peak_bytes"] == 98_304
    first, second, last = ran["layers"]
    assert first["stalls"] == {"busy": 50.0, "outside": 25.0, "bank": 10.0, "sleep": 15.0}
    assert (first["cycles"], first["cycles_dma"], first["instructions"]) == (1_000, 10, 4_000)
    assert [row["macs_per_cycle"] for row in (first, second, last)] == [0.48, 0.4, None]
    assert second["stalls"] == {"busy": 75.0, "outside": 22.5, "sleep": 2.5}


def test_busy_and_idle_cycles_of_ne16_where_it_ran(built: Report, ran: Report) -> None:
    costs = [LayerCost(1_000, stalls={"bank": 1}, ne16_busy_cycles=busy) for busy in (700, 0, 50)]
    (inference, *_) = SIMULATED.inferences
    inference = replace(inference, layers=tuple(costs))
    found = with_cycles(built, replace(SIMULATED, inferences=(inference,)), HIGH)
    assert found["cycles"]["ne16"] == {"busy": 750, "idle": 3_250}
    assert [row["cycles_ne16"] for row in found["layers"]] == [700, 0, 50]
    assert "750 cycles busy, 3,250 idle (81 %)" in speed.accelerator(found)
    rows = [line.split() for line in table(found, 100)]
    total = next(" ".join(row[-6:]) for row in rows if row and row[0] == "total")
    assert total == "19 % 25 % 75 %"  # 750 of 4,000, and of the layers' 3,000
    assert "NE16" in rows[0]
    assert all("NE16" not in line for line in table(ran, 100))
    assert "ne16" not in ran["cycles"]
    assert [row["cycles_ne16"] for row in ran["layers"]] == [0, 0, 0]
    texts = [layers_csv(report) for report in (built, ran, found)]
    heads = {text.splitlines()[0] for text in texts}
    assert heads == {",".join(COLUMNS)}, "whatever has run, and wherever"


def test_the_rest_of_the_report_stays(built: Report, ran: Report) -> None:
    kept = ("schema", "model", "quantization", "exact", "inputs", "outputs", "warnings")
    assert {key: ran[key] for key in kept} == {key: built[key] for key in kept}
    assert built["layers"][0]["cycles"] is None


def test_before_a_run_cycles_are_the_model_s_and_say_so(built: Report) -> None:
    modelled = [row["cycles_modelled"] for row in built["layers"]]
    assert all(cycles > 0 for cycles in modelled)
    found = built["cycles"]
    assert (found["source"], found["total"]) == ("modelled", sum(modelled))
    assert (found["stalls"], found["startup"], found["inferences"]) == (None, None, [])
    assert built["latency_s"] == pytest.approx(sum(modelled) / 370e6)
    assert speed.measured_on(built) == "cost model of GAP9"
    assert "estimated" in verdict(built)
    rows = list(csv.DictReader(io.StringIO(layers_csv(built))))
    assert [row["cycles"] for row in rows] == ["", "", ""]
    assert [int(row["cycles_modelled"]) for row in rows] == modelled


def test_a_target_without_a_clock_has_no_cycles() -> None:
    q = quantized(residual())
    found = make_report(make_plan(q, find_chip("host")), Outcome("net"))
    assert (found["cycles"], found["latency_s"]) == (None, None)
    assert {row["cycles_modelled"] for row in found["layers"]} == {None}
    text = summary(found, width=160)
    assert not any(word in text for word in ("latency", "cycle", "modelled", "None"))
    page = report_html(found)
    assert not any(word in page for word in ("<h2>Time", "MAC/cycle", "Latency"))
    Page(page)


def test_what_was_not_counted_is_unknown(on_gvsoc: Report) -> None:
    assert on_gvsoc["cycles"]["stalls"] is None
    for row in on_gvsoc["layers"]:
        assert (row["stalls"], row["instructions"], row["cycles_dma"]) == (None, None, None)


def test_counters_of_a_simulation_stay_with_the_cycles_of_a_later_run(built: Report) -> None:
    def run(source: str, *costs: LayerCost) -> Measurement:
        return Measurement(source, (Inference((), sum(cost.cycles for cost in costs), costs),))

    counters = Activity(1_000, 4_000, 300, 900, 256, 64, 120)
    costs = [replace(cost, activity=replace(counters, cycles=cost.cycles)) for cost in BARE]
    ran = with_energy(with_cycles(built, run("simulated", *costs), HIGH), PUBLISHED)
    slower = tuple(LayerCost(2 * cost.cycles) for cost in BARE)
    later = with_energy(with_cycles(ran, run("jtag", *slower), HIGH), PUBLISHED)
    for row, cost in zip(later["layers"], slower, strict=True):
        assert row["activity"] == asdict(replace(counters, cycles=cost.cycles))
    first, then = (found["energy_uj"]["parts"] for found in (ran, later))
    for part in first:  # leakage and clock trees go with the cycles
        assert then[part] == pytest.approx(first[part] * (1 + (part in ("leakage", "clocks"))))
    assert source(ran).startswith("counters of the simulated GAP9;")
    assert source(later).startswith("simulated counters, cycles of the ")
    alone = with_energy(with_cycles(built, run("jtag", *slower), HIGH), PUBLISHED)
    assert not alone["energy_uj"]["counted"]


def test_a_second_run_replaces_the_first(ran: Report, on_gvsoc: Report) -> None:
    assert with_cycles(ran, ON_GVSOC, LOW) == {**on_gvsoc, "memory": ran["memory"]}


def test_csv_has_a_column_for_every_cause(built: Report, ran: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(layers_csv(ran))))
    assert rows[0]["outside_percent"] == "25.0"
    assert (rows[0]["cycles"], rows[0]["macs_per_cycle"]) == ("1000", "0.48")
    assert [row["busy_percent"] for row in rows] == ["50.0", "75.0", "25.0"]
    assert rows[1]["fetch_percent"] == ""
    before = list(csv.DictReader(io.StringIO(layers_csv(built))))
    assert list(before[0]) == list(rows[0]) == list(COLUMNS)
    assert not any(row[column] for row in before for column in COLUMNS if "percent" in column)


def test_every_cause_of_the_simulator_has_a_name_and_a_meaning() -> None:
    assert set(speed.CAUSE_NAMES) == set(speed.CAUSE_MEANINGS) == set(CAUSES)
    assert set(CAUSES) == {"busy", "engine", *STALLS}
    css = report_html(report())
    assert all(re.search(rf"\.{cause}\b[^{{]*{{ background", css) for cause in CAUSES)


def test_sleep_is_what_nothing_else_accounts_for() -> None:
    # 800 cycles of eight cores: 200 busy, 200 in L2; of the sleep only 100 were counted so far
    late = LayerCost(100, 200, {"outside": 200, "sleep": 100})
    assert stall_percents([late], 8) == {"busy": 25.0, "outside": 25.0, "sleep": 50.0}
    # cores that ran a little ahead of the mark: 820 cycles awake, of 800
    ahead = LayerCost(100, 410, {"outside": 410, "sleep": 30})
    assert stall_percents([ahead], 8) == {"busy": 50.0, "outside": 50.0}


def test_shares_of_no_time() -> None:
    assert (
        stall_percents([], 8)
        == stall_percents([LayerCost(0, 0, {"sleep": 0})], 8)
        == stall_percents([LayerCost(7)], 8)
        == {}
    )


# --- words ----------------------------------------------------------------------------------------


def _of_layers(*cycles: int, loops: tuple[dict[str, int], ...] = ()) -> Report:
    rows = [{"name": str(i), "cycles": n} for i, n in enumerate(cycles)]
    counts = {"total": sum(cycles), "source": "simulated", "stalls": {"fetch": 31.2}}
    return {"layers": rows, "cycles": counts, "model": {"loops": loops}}


def test_small_layers_are_named_as_the_cause() -> None:
    starting = _of_layers(1_100, 900, 3_000)  # 1,000 + 900 + 1,000 of 5,000
    assert speed.start_percent(starting) == "58 %"
    assert speed.small_layers(starting) == (
        "starting 3 layers takes about 58 % of the cycles; cores wait for instructions 31 % of "
        "the time; fewer, wider layers are faster"
    )
    assert speed.small_layers(_of_layers(20_000, 30_000)) == ""
    assert "wider" not in speed.small_layers(_of_layers(2_000)), "one layer cannot become fewer"
    loop = {"first": 1, "last": 1, "steps": 40}
    repeated = _of_layers(10_000, 12_000, loops=(loop,))  # 1,000, and 1,000 + 39 x 150
    assert speed.start_percent(repeated) == "36 %"
    assert "starting 41 layers" in speed.small_layers(repeated)
    whole = _of_layers(10_000, 12_000, loops=({**loop, "in_one_call": True},))
    assert speed.start_percent(whole) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.56e-5, "45.6 µs"),
        (3.344e-3, "3.34 ms"),
        (9.999e-4, "1 ms"),
        (1.25, "1.25 s"),
        (0, "0 µs"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert speed.duration(seconds) == text


def test_latency_at_both_operating_points_the_chosen_one_first(
    ran: Report, on_gvsoc: Report
) -> None:
    # 4000 cycles: / 370 MHz = 10.81 us, / 240 MHz = 16.67 us
    assert speed.latency(ran) == "10.8 µs at 0.80 V, 370 MHz; 16.7 µs at 0.65 V, 240 MHz"
    assert speed.latency(on_gvsoc) == "16.7 µs at 0.65 V, 240 MHz; 10.8 µs at 0.80 V, 370 MHz"


def test_where_figures_come_from(ran: Report, on_gvsoc: Report) -> None:
    assert speed.measured_on(ran) == "simulated GAP9"
    assert speed.measured_on(on_gvsoc) == "GVSoC"
    assert speed.exactness(ran) == "outputs bit for bit those of the reference"
    assert speed.exactness(on_gvsoc) == ""
    wrong = {**ran, "exact": {**ran["exact"], "simulator": False}}
    assert "NOT bit for bit" in speed.exactness(wrong)


def test_outputs_that_build_has_compared_are_told_from_layers(ran: Report, built: Report) -> None:
    exact = {**ran["exact"], "simulator": None}
    assert speed.outputs_compared({**ran, "exact": exact}, "simulator")
    assert not speed.outputs_compared({**ran, "exact": exact}, "gvsoc")
    assert not speed.outputs_compared(ran, "simulator"), "validate has compared every layer"
    assert not speed.outputs_compared({**built, "exact": exact}, "simulator"), "it has not run"


def test_most_time_names_the_longest_layer_and_the_worst_cause(
    ran: Report, on_gvsoc: Report
) -> None:
    text = "enc.1 takes 60 % of the time"
    assert speed.slowest_layer(on_gvsoc) == text
    assert speed.slowest_layer(ran) == f"{text}; largest stall cause: L2, 20 % of the cores' time"


# --- terminal -------------------------------------------------------------------------------------


def table(of: Report, width: int) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=width, highlight=False, no_color=True).print(cycles_table(of))
    return text.getvalue().splitlines()


def test_layers_of_one_place_are_told_apart(ran: Report) -> None:
    origins = ([{"path": "e", "source": "n.py:1"}],) * 2 + ([{"path": "", "source": "n.py:2"}],)
    layers = [
        {**row, "op": op, "origin": origin, "label": "n.py:2"}
        for row, op, origin in zip(
            ran["layers"], ("transpose", "conv", "mean"), origins, strict=True
        )
    ]
    alike = {**ran, "layers": layers}
    for width in (80, 120):
        shown = [row[:11] for row in table(alike, width)[1:4]]
        assert shown == ["e (transpos", "e (conv)   ", "n.py:2 (mea"]
    assert layers_csv(alike).count(",(n.py:2),") == 1


def test_a_layer_has_one_name_everywhere(ran: Report) -> None:
    """The second and the third of the same operator at the same place."""
    twice = [
        {**row, "op": "conv", "origin": [{"path": "e", "source": ""}]} for row in ran["layers"]
    ]
    weakest = {**ran["quantization"]["weakest"], "name": twice[1]["name"]}
    alike = {
        **ran,
        "layers": twice,
        "quantization": {**ran["quantization"], "weakest": weakest},
    }
    named = ["e (conv)", "e (conv 2)", "e (conv 3)"]
    assert wording.layer_names(alike) == {
        row["name"]: n for row, n in zip(twice, named, strict=True)
    }
    assert fidelity.advice(alike).startswith("e (conv 2) adds the most noise")
    for lines in (table(alike, 80), table(alike, 120), summary(alike, width=130).splitlines()):
        assert all(any(row.startswith(f"{name} ") for row in lines) for name in named)
    held = {part.layer for peak in peaks(alike) for part in peak.held if part.what == "weights"}
    assert {"e (conv)", "e (conv 2)"} <= held <= {*named}
    page = report_html(alike)
    assert ">e (conv 2)<span>" in page
    assert all(page.count(f"{name}:") >= 2 for name in named), "noise, and the maps of memory"


@pytest.mark.parametrize("width", [50, 60, 80, 100, 120, 200])
def test_table_fits_its_width_with_whole_numbers(ran: Report, width: int) -> None:
    lines = table(ran, width)
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if line != line.rstrip()]
    head, first, second, last, total = lines[:5]
    columns = ["layer", *(["operator"] if width >= 100 else []), "MACs", "cycles", "MAC/cycle"]
    assert head.split()[: len(columns)] == columns
    for line, wanted in (
        (first, "480 1,000 0.48"),
        (second, "960 2,400 0.40"),
        (last, "600"),
        (total, "1,440 4,000 0.36"),
    ):
        assert wanted in re.sub(r" +", " ", line)
    assert [line.split()[0] for line in (first, last, total)] == ["enc.0", "net.py:9", "total"]
    assert last.split()[1:3] == ["(add)", "add"] if width >= 100 else ["(add)", "600"]


def test_shares_stand_below_their_causes(ran: Report) -> None:
    lines = table(ran, 80)
    head = lines[0]
    shown = {}
    for name in ("busy", "L2", "waiting", "L1 banks"):
        end = head.index(name) + len(name)
        shown[name] = [line[end - max(len(name), 4) : end].strip() for line in lines[1:5]]
    assert shown == {
        "busy": ["50 %", "75 %", "25 %", "61 %"],
        "L2": ["25 %", "22 %", "", "20 %"],
        "waiting": ["15 %", "2 %", "75 %", "16 %"],
        "L1 banks": ["10 %", "", "", "2 %"],
    }


def test_causes_stand_in_one_order_for_every_network(ran: Report) -> None:
    """Whichever of them takes longest."""
    heads = set()
    for cause in ("outside", "sleep", "bank"):
        stalls = {**ran["cycles"]["stalls"], cause: 90.0}
        heads.add(table({**ran, "cycles": {**ran["cycles"], "stalls": stalls}}, 80)[0])
    assert len(heads) == 1


def test_causes_without_room_are_summed(ran: Report) -> None:
    head, first = (line.split() for line in table(ran, 62)[:2])
    assert head[-2:] == ["L2", "other"]
    assert first[-2:] == ["25", "%"]  # 10 % banks and 15 % waiting
    assert first[-4:-2] == ["25", "%"]


def test_below_the_table_latency_and_startup_apart(ran: Report, on_gvsoc: Report) -> None:
    text = "\n".join(table(ran, 100))
    assert "latency   10.8 µs at 0.80 V, 370 MHz; 16.7 µs at 0.65 V, 240 MHz" in text
    assert "start-up  123,456 cycles" in text
    assert "repeated  2 inferences of 4,000 to 4,100 cycles" in text
    assert "simulated GAP9; percentages" in text
    bare = "\n".join(table(on_gvsoc, 100))
    assert "measured  GVSoC" in bare
    assert not any(word in bare for word in ("start-up", "repeated", "%", "busy"))


def test_of_a_stream_the_last_pass_is_shown(ran: Report) -> None:
    """The first pass finds no code in the caches: its cycles are told apart."""
    stream = with_cycles({**report(residual()), "stream": {}}, SIMULATED, HIGH)
    assert (ran["cycles"]["total"], stream["cycles"]["total"]) == (TOTAL, 4_100)
    assert [row["cycles"] for row in stream["layers"]] == [2_400, 600, 1_000]
    assert stream["latency_s"] == pytest.approx(4_100 / 370e6)
    told = f"the last of 2 passes; the first, with cold instruction caches, took {TOTAL:,} cycles"
    assert speed.repeats(stream) == told


def test_rows_add_up_to_the_total_of_a_stream(ran: Report) -> None:
    """4,100 cycles, 4,000 of them in layers: the others copy what is kept."""
    stream = with_cycles({**report(residual()), "stream": STREAM}, SIMULATED, HIGH)
    for told in (table(stream, 100), summary(stream, width=130).splitlines()):
        assert [row.split()[2] for row in told if row.startswith("states copied")] == ["100"]
    page = report_html(stream)
    assert '<th scope="row">states copied</th>' in page
    assert '<span class="name rest">states copied</span><span class="n">100</span>' in page, "bars"
    assert "name rest" not in report_html(ran)
    assert "One pass on the simulated GAP9" in page
    assert not any("kept" in row for row in table(ran, 100))


def test_a_page_lists_the_ports_that_a_caller_of_a_stream_hands_over(ran: Report) -> None:
    (x,), (y,) = ran["inputs"], ran["outputs"]
    states = ({**x, "name": "conv_past"}, {**y, "name": "conv_kept"})
    ports = {"inputs": [x, states[0]], "outputs": [y, states[1]]}
    given = {**STREAM, "inputs": [x["name"]], "outputs": [y["name"]]}
    page = report_html({**ran, **ports, "stream": given})
    rows = [f'<th scope="row">{port["name"]}<span>' for port in (x, y, *states)]
    assert [row in page for row in rows] == [True, True, False, False]
    assert rows[2] in report_html({**ran, **ports}), "without a stream it is an input"


def test_energies_of_layers_and_of_what_is_outside_add_up(ran: Report) -> None:
    layers = [{**row, "activity": asdict(Activity(row["cycles"], 5e3, 7))} for row in ran["layers"]]
    total = sum(row["cycles"] for row in layers) + 3_000
    cycles = {**ran["cycles"], "total": total, "outside_layers": 3_000}
    found = with_energy({**ran, "layers": layers, "cycles": cycles}, PUBLISHED)
    whole, outside = found["energy_uj"], found["energy_uj"]["outside_layers"]
    rows = sum(row["energy_uj"] for row in found["layers"])
    assert rows + outside["value"] == pytest.approx(whole["value"], rel=1e-4)
    assert outside["low"] < outside["value"] < outside["high"]
    assert costliest(found)[-1].endswith(")  outputs copied")
    assert with_energy(ran, PUBLISHED)["energy_uj"]["outside_layers"] is None


def test_a_layer_that_waits_consumes_less_than_one_that_computes(ran: Report) -> None:
    """Two layers of equal cycles, one of which waits for half of them, and the summary's share."""
    costs = {"cycles": None, "activity": None, "cycles_modelled": 50_000}
    layers = [{**ran["layers"][1], **costs, "waiting_modelled": wait} for wait in (0, 25_000)]
    total = sum(row["cycles_modelled"] for row in layers)
    cycles = {**ran["cycles"], "source": "modelled", "total": total, "outside_layers": 0}
    found = with_energy({**ran, "layers": layers, "cycles": cycles}, PUBLISHED)
    busy, waits = (row["energy_uj"] for row in found["layers"])
    assert 0.5 * busy < waits < 0.95 * busy
    assert busy + waits == pytest.approx(found["energy_uj"]["value"], rel=1e-4)
    assert speed.work_rate(found).endswith(", 25 % of them waiting for transfers")
    assert [speed.waiting({**row, "cycles": 20_000}) for row in layers] == [0, 20_000]


@pytest.mark.parametrize(("least", "said"), [(4, False), (2, True), (None, False)])
def test_other_passes_are_named_where_they_would_do(least: int | None, said: bool) -> None:
    point = {"name": "high", "keeps_up": True, "real_time_factor": 2.0, "duty_cycle": 0.5}
    row = {**point, "latency_s": 0.01, "least_frames": least}
    (told,) = streams.by_point({"stream": {**STREAM, "points": [row]}})
    assert ("would do" in told) == said


def test_a_stream_without_a_rate_says_what_a_rate_would_tell(ran: Report) -> None:
    (told,) = streams.by_point({**ran, "stream": STREAM})
    assert told.startswith("rate unknown: with [stream] rate")
    assert streams.by_point({"cycles": None, "stream": STREAM}) == []
    assert not streams.pass_table({**ran, "stream": STREAM})


def test_passes_of_a_stream_have_their_latency_and_power(ran: Report) -> None:
    """At 500 frames a second, two to come: the pass of the build with its own cycles, which are
    half of its estimate, and others with half of theirs."""
    costs = [{"frames": n, "cycles": 2 * TOTAL // 4 * n, "l3_bytes": 0} for n in (4, 8, 4_000)]
    stream = {**STREAM, "frame_hz": 500.0, "future_frames": 2, "passes": costs}
    found = streams.with_passes({**ran, "stream": stream}, PUBLISHED)
    own, longer, longest = found["stream"]["passes"]
    for row, cycles in ((own, TOTAL), (longer, 8_000), (longest, 4_000_000)):
        assert row["cycles"] == cycles
        assert row["source"] == ("simulated" if row is own else "modelled")
        assert row["pass_s"] == pytest.approx(cycles / 370e6)
        assert row["latency_s"] == pytest.approx((row["frames"] + 2) / 500 + cycles / 370e6)
        _, low, high = row["average_mw"]
        assert low < high
    assert own["sleeps"]
    assert longest["keeps_up"]
    assert streams.with_passes(found, PUBLISHED) == found
    first, second, last = streams.pass_table(found).rows
    assert (first[0], second[0]) == ("4 (this build)", "8 (estimated)")
    assert re.fullmatch(r"[\d.]+ mW \([\d.]+ to [\d.]+\)", last[-1])
    slow = [costs[0], *({**row, "cycles": 10**9} for row in costs[1:])]
    found = streams.with_passes({**ran, "stream": {**stream, "passes": slow}}, PUBLISHED)
    last_cells = [row[-1] for row in streams.pass_table(found).rows]
    assert [cell == "does not keep up" for cell in last_cells] == [False, True, False]
    assert report_html(found).count("does not keep up") >= 2


def test_hostile_names_do_not_steer_the_terminal() -> None:
    bad = with_cycles(report(residual(HOSTILE)), SIMULATED, HIGH)
    shown = "\n".join(table(bad, 120))
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 120


@pytest.mark.parametrize("width", [40, 60, 72, 80, 100, 112, 124, 160])
def test_summary_with_cycles(ran: Report, width: int) -> None:
    text = summary(ran, width=width)
    assert max(map(len, text.splitlines())) <= width
    found = re.sub(r"\s+", " ", text)
    assert "latency 10.8 µs at 0.80 V, 370 MHz; 16.7 µs at 0.65 V, 240 MHz" in found
    assert "cycles 4,000, 0.36 MAC/cycle, 65 % of them to start layers simulated GAP9" in found
    (row,) = (line for line in text.splitlines() if line.startswith("enc.1 ") and "2,400" in line)
    assert "0.40" in row
    if width >= 64:
        assert "60 %" in row  # of the cycles; of the MACs it would be 67 %


def test_summary_of_a_build_that_has_not_run(built: Report) -> None:
    total = built["cycles"]["total"]
    for width in (40, 60, 80, 100, 160):
        text = summary(built, width=width)
        assert max(map(len, text.splitlines())) <= width
        found = re.sub(r"\s+", " ", text)
        assert f"modelled {total:,} cycles" in found
        assert "latency" not in found
    row = next(line for line in text.splitlines() if line.startswith("enc.1 "))
    assert f"{built['layers'][1]['cycles_modelled']:,}" in row


def test_shown_layers_are_the_slowest() -> None:
    found = large(20)
    for row in found["layers"]:
        row["sqnr_local_db"] = None
    last = [row["name"] for row in found["layers"]][-MAX_LAYERS:]
    assert [row["name"] for row in shown_layers(found["layers"])] == last


# --- report.html ----------------------------------------------------------------------------------


def styles(page: Page, cause: str) -> list[str]:
    found = [attrs for _, attrs in page.tags if attrs.get("class") == cause]
    return [attrs["style"] or "" for attrs in found if "style" in attrs]


def test_bars_are_as_long_as_their_layers_and_divided_by_cause(ran: Report) -> None:
    drawn = time(ran)
    assert drawn is not None
    assert [(bar.cycles, bar.length) for bar in drawn["bars"]] == [
        (1_000, 41.67),
        (2_400, 100.0),
        (600, 25.0),
    ]
    parts = {part.cause: part.percent for part in drawn["bars"][0].parts}
    assert parts == {"busy": 50.0, "outside": 25.0, "bank": 10.0, "sleep": 15.0}
    assert [part.cause for part in drawn["bars"][0].parts] == ["busy", "bank", "outside", "sleep"]


def test_page_shows_them(ran: Report) -> None:
    text = report_html(ran)
    page = Page(text)
    assert styles(page, "busy")[1:] == ["width: 50.00%", "width: 75.00%", "width: 25.00%"]
    for chunk in ("10.8 µs", "16.7 µs", "0.65 V, 240 MHz", "simulated GAP9", "4,000", "123,456"):
        assert chunk in text
    assert "outputs bit for bit those of the reference" in text
    assert "10.8 µs at 0.80 V, 370 MHz on the simulated GAP9" in text


def test_page_of_a_measurement_without_causes(on_gvsoc: Report) -> None:
    page = Page(report_html(on_gvsoc))
    assert styles(page, "all") == ["width: 100.00%"] * 3
    assert styles(page, "busy") == []


def test_page_of_a_build_that_has_not_run_says_modelled(built: Report) -> None:
    text = report_html(built)
    assert "<h2>Time</h2>" not in text
    for chunk in ("Time, modelled", "Cycles, modelled", ">Modelled<", "cost model of GAP9"):
        assert chunk in text
    assert "has not run" in text
    drawn = time(built)
    assert drawn is not None
    assert [bar.cycles for bar in drawn["bars"]] == [r["cycles_modelled"] for r in built["layers"]]
    assert styles(Page(text), "all") == ["width: 100.00%"] * 3


def test_page_of_many_layers_sums_the_shorter_ones() -> None:
    found = large(20)
    drawn = time(found)
    assert drawn is not None
    assert len(drawn["bars"]) == MAX_BARS
    assert drawn["bars"][0].cycles == 1_000 + 60 - MAX_BARS  # in network order
    hidden = 60 - MAX_BARS
    assert drawn["hidden_cycles"] == sum(1_000 + i for i in range(hidden))
    assert f"{hidden} shorter layers" in report_html(found)


def test_hostile_names_are_inert() -> None:
    page = Page(report_html(with_cycles(report(residual(HOSTILE)), SIMULATED, HIGH)))
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert [attrs.get("type") for attrs in scripts] == ["application/json"]
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)


# --- differences ----------------------------------------------------------------------------------


def test_cycles_of_two_runs_are_compared(built: Report, ran: Report) -> None:
    shorter = LayerCost(1_200, 7_200, {"outside": 2_400})
    first = Inference((), 2_800, (FIRST, shorter, LAST))
    other = with_cycles(built, Measurement("simulated", (first,), 123_456, 98_304), HIGH)
    changes = {(c.where, c.fact.key): c for c in compare(ran, other)}
    assert {key: change.text for key, change in changes.items()} == {
        ("", "cycles.total"): "-30.0 %",
        ("", "cycles.macs_per_cycle"): "+42.8 %",  # 0.36 -> 0.514
        ("", "latency_s"): "-30.0 %",
        ("enc.1", "cycles"): "-50.0 %",
    }
    assert all(change.is_better for change in changes.values())
    (latency,) = (change for change in changes.values() if change.fact.key == "latency_s")
    assert [latency.fact.unit.show(x) for x in (latency.old, latency.new)] == ["10.8 µs", "7.57 µs"]


@pytest.mark.parametrize(
    ("unit", "old", "new", "text"),
    [
        (SHARE, 0.5, 0.49999, "+0.0 points"),
        (DECIBELS, 30.0, 29.99, "+0.0 dB"),
        (COUNT, 1000.0, 999.99, "+0.0 %"),
        (COUNT, 1000.0, 990.0, "-1.0 %"),
    ],
)
def test_no_change_is_minus_zero(unit: ValueUnit, old: float, new: float, text: str) -> None:
    assert Change("", Fact("a", "a", unit, -1), old, new).text == text


def test_counted_cycles_are_not_compared_with_modelled_ones(built: Report, ran: Report) -> None:
    ran = copy.deepcopy(ran)  # L1 was planned in one, and written to in the other
    ran["memory"]["l1_peak_bytes"] = (built["memory"]["l1_peak_bytes"] or 0) + 100
    ran["energy_uj"] = {"value": 1.5, "low": 1.0, "high": 2.0}
    built["energy_uj"] = {"value": 1.8, "low": 0.9, "high": 2.7}
    changes: list[Any] = [*compare(built, ran), *compare(ran, built)]
    paths = {change.fact.key for change in changes}
    assert "cycles.source" in paths
    assert not paths & {"cycles.total", "latency_s", "cycles.macs_per_cycle"}
    assert not paths & {"energy_uj.value", "energy_uj.low", "energy_uj.high"}
    assert "memory.l1_peak_bytes" not in paths
    assert [change for change in changes if change.where] == []


def test_energies_are_compared_with_their_intervals(ran: Report) -> None:
    old, new = copy.deepcopy(ran), copy.deepcopy(ran)
    old["energy_uj"] = {"value": 10.0, "low": 7.0, "high": 13.0}
    new["energy_uj"] = {"value": 8.0, "low": 5.6, "high": 10.4}
    changes = compare(old, new)
    assert [(c.fact.key, c.old, c.new) for c in changes] == [
        ("energy_uj.value", 10.0, 8.0),
        ("energy_uj.low", 7.0, 5.6),
        ("energy_uj.high", 13.0, 10.4),
    ]
    assert all(change.is_better for change in changes)


def test_modelled_cycles_are_compared_with_modelled_ones(built: Report) -> None:
    other = copy.deepcopy(built)
    other["layers"][1]["cycles_modelled"] *= 2
    other["cycles"]["total"] += built["layers"][1]["cycles_modelled"]
    changes = {(c.where, c.fact.key): c for c in compare(built, other)}
    assert set(changes) == {("", "cycles.total"), ("enc.1", "cycles_modelled")}
    assert changes["enc.1", "cycles_modelled"].text == "+100.0 %"


# --- the page about it ----------------------------------------------------------------------------


PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "reports.md"


def test_the_schema_of_the_reference_has_every_key(ran: Report) -> None:
    errors = validators()[ran["schema"]].iter_errors(ran)
    assert [e.message for e in errors if e.validator == "additionalProperties"] == []


def test_the_page_names_every_column_and_cause() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [column for column in COLUMNS if f"`{column}`" not in page] == []
    for cause, name in speed.CAUSE_NAMES.items():
        meaning = speed.CAUSE_MEANINGS[cause].removesuffix(".")
        row = f"| `{cause}` | {name} | {meaning[0].lower()}{meaning[1:]} |"
        assert row in page
    assert all(f"`{key}`" in page for key in ("cycles.total", "cycles.source", "latency_s"))


def layer(op: str, path: str, line: int = 0) -> dict[str, Any]:
    return {"op": op, "origin": [{"path": path, "file": "net.py", "line": line}]}


def test_layers_of_one_module_are_told_apart() -> None:
    layers = [layer("linear", "head"), layer("add", "head"), layer("linear", "head")]
    assert naming.unique_names(layers) == ["head (linear)", "head (add)", "head (linear 2)"]
    assert naming.unique_names([layer("linear", "a"), layer("linear", "b")]) == ["a", "b"]


def test_sleep_while_ne16_computes_is_its_time() -> None:
    # 800 cycles of eight cores, 200 of them awake; NE16 computes in 50 of 100, then in 90
    waits = LayerCost(100, 200, {"sleep": 600}, ne16_busy_cycles=50)
    assert stall_percents([waits], 8) == {"busy": 25.0, "engine": 50.0, "sleep": 25.0}
    longer = replace(waits, ne16_busy_cycles=90)  # the cores were awake in the meantime
    assert stall_percents([longer], 8) == {"busy": 25.0, "engine": 75.0}


def test_the_engine_is_not_blamed(built: Report) -> None:
    busy = LayerCost(1_000, 1_600, {"bank": 320, "sleep": 6_080}, ne16_busy_cycles=700)
    measured = Measurement("simulated", (Inference((), 3_000, (busy,) * 3),))
    text = speed.slowest_layer(with_cycles(built, measured, HIGH))
    assert "; NE16 computes for 70 % of it; largest stall cause: waiting, 6 % of" in text


@pytest.mark.parametrize("show", [speed.duration, energy.amount])
@pytest.mark.parametrize("gap", [1e-3, 1e-5, 1e-8])
def test_a_limit_and_what_exceeds_it_are_told_apart(
    show: Callable[[float, int], str], gap: float
) -> None:
    """Three digits where they do; otherwise the fewest of more that do."""
    texts = wording.told_apart(show, 5e-3, 5e-3 * (1 + gap))
    values = [float(text.split()[0]) for text in texts]
    assert values[0] == 5
    assert 0 < values[1] - 5 <= 10 * 5 * gap
    assert wording.told_apart(show, 5e-3, 6e-3) == [show(5e-3, 3), show(6e-3, 3)]
