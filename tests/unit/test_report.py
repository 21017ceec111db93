# SPDX-License-Identifier: Apache-2.0
"""What is seen of a build: report.json, layers.csv, the terminal, report.html, differences."""

from __future__ import annotations

import copy
import csv
import io
import itertools
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import myoedge.operators  # noqa: F401  (fills the table of operators)
from myoedge.errors import notice
from myoedge.graph.constants import as_constants
from myoedge.graph.input_normalization import InputNormalization
from myoedge.graph.ir import Graph, Node, Tensor
from myoedge.graph.origin import Origin
from myoedge.numerics.pointwise import FUNCTIONS
from myoedge.operators import layer_names as naming
from myoedge.operators.layer_names import activation
from myoedge.plan.schedule import make_plan
from myoedge.quantization.calibrate import Observer, calibrate
from myoedge.quantization.evaluation import Evaluation
from myoedge.quantization.scales import QuantGraph, quantize_graph
from myoedge.quantization.sqnr import measure
from myoedge.reports import speed, wording
from myoedge.reports.diff import compare, print_diff
from myoedge.reports.documents import layers_csv
from myoedge.reports.evaluations import EXACT_DB
from myoedge.reports.facts import verdict_of
from myoedge.reports.html import comparison_html, report_html
from myoedge.reports.report_json import Outcome, Report, decibels, make_report
from myoedge.reports.tables import on_one_line, shortened, styled
from myoedge.reports.text import MAX_LAYERS, print_report, shown_layers
from myoedge.targets import Chip, find_chip
from tests.support.pages import COLUMNS, summary

HOSTILE = "</script><script>alert(1)</script>\x1b[31m[bold]&\"'"
VOID = {"meta", "br"}
WARNING = notice("W101", "enc.0 is dead", {"found": "0"}, ["calibrate with samples of every class"])


def conv(name: str, source: str, path: str, act: tuple[Any, ...] = ()) -> Node:
    attrs = {"stride": (1,), "dilation": (1,), "pads": ((1, 1),), "groups": 1, "act": act}
    return Node(
        "conv", (source, f"{name}.w", f"{name}.b"), (name,), attrs, (Origin(path, "net.py:7"),)
    )


def residual(path: str = "enc.0", blocks: int = 1) -> Graph:
    """conv + relu -> (conv, skip) -> add, `blocks` times, behind a border with two channels."""
    rng = np.random.default_rng(0)
    relu = (("clamp", 0.0, float("inf")),)
    nodes, constants, source = [], {}, "x"
    for i in range(blocks):
        names = (f"a{i}", f"b{i}", f"y{i}")
        nodes += [
            conv(names[0], source, path if i == 0 else f"enc.{2 * i}", relu),
            conv(names[1], names[0], f"enc.{2 * i + 1}"),
            Node("add", names[:2], (names[2],), {}, (Origin("", "net.py:9"),)),
        ]
        for name in names[:2]:
            constants[f"{name}.w"] = rng.normal(size=(4, 3, 2 if name == "a0" else 4)) * 0.3
            constants[f"{name}.b"] = rng.normal(size=4) * 0.1
        source = names[2]
    tensors = {"x": Tensor("x", (1, 20, 2))}
    tensors |= {n.name: Tensor(n.name, (1, 20, 4)) for n in nodes}
    held = as_constants({name: value.astype(np.float32) for name, value in constants.items()})
    graph = Graph(("x",), (source,), tuple(nodes), tensors, held, ("logits",))
    return graph.with_input_normalization("x", InputNormalization((0.5, 2.0), (0.0, 1.0), 2))


SAMPLES = {"x": np.random.default_rng(1).normal(size=(5, 1, 20, 2)).astype(np.float32)}


def quantized(graph: Graph) -> QuantGraph:
    return quantize_graph(graph, calibrate(graph, SAMPLES, Observer(), "5 samples of calib.npz"))


# 40 labels, of which the float network has 36 right and the integers 35
RIGHT = [np.repeat([0, 1], [20 - n, 20 + n]) for n in (0, 4, 5)]
FLAT = replace(find_chip("gap9"), l1_bytes=0, l1_reserved_bytes=0)  # all results lie in L2


def report(graph: Graph | None = None, on: Chip | None = None, **outcome: Any) -> Report:
    q = quantized(graph or residual())
    known: dict[str, Any] = {
        "fidelity": measure(q, SAMPLES),
        "evaluation": Evaluation(RIGHT[0], *RIGHT[1:], "test", "40 samples of test.npz", 40),
        "exact": {"host": True},
        "warnings": (WARNING,),
    }
    return make_report(
        make_plan(q, on or find_chip("gap9")), Outcome("net", **{**known, **outcome})
    )


@pytest.fixture(scope="module")
def usual() -> Report:
    return report()


# --- report.json ----------------------------------------------------------------------------------

SCHEMA: Mapping[str, set[str]] = {
    "model": {"name", "digest", "params", "macs"},
    "target": {"chip", "operating_point", "clock_hz", "l3_bytes_per_s"},
    "quantization": {"sqnr_db", "accuracy_float", "accuracy_int8", "calibration"},
    "exact": {"host", "simulator", "gvsoc", "board"},
    "memory": {"l1_peak_bytes", "l2_peak_bytes", "l3_bytes", "code_bytes"},
}
LAYER = {"name", "op", "origin", "macs", "cycles", "cycles_compute", "cycles_dma"} | {
    "l1_bytes",
    "tile",
    "sqnr_db",
    "engine",
    "weights_in",
}


def test_schema(usual: Report) -> None:
    assert usual["schema"] == "myoedge.report/1"
    for part, keys in SCHEMA.items():
        assert keys <= set(usual[part]), part
    for row in usual["layers"]:
        assert set(row) >= LAYER
    assert {"cycles", "latency_s", "energy_uj"} <= set(usual)
    assert usual["exact"] == {"host": True, "simulator": None, "gvsoc": None, "board": None}


def test_json_is_strict_and_survives(usual: Report) -> None:
    text = json.dumps(usual, allow_nan=False)
    assert json.loads(text) == usual


def test_same_input_same_report() -> None:
    first, second = report(), report()
    assert first == second
    assert report_html(first) == report_html(second)


def test_numbers_counted_by_hand() -> None:
    usual = report(on=find_chip("gap9").cores_alone())
    assert usual["model"]["macs"] == 20 * 4 * 3 * 2 + 20 * 4 * 3 * 4
    assert usual["model"]["params"] == 4 * 3 * 2 + 4 + 4 * 3 * 4 + 4
    first, _, last = usual["layers"]
    assert [row["label"] for row in usual["layers"]] == ["enc.0", "enc.1", "net.py:9"]
    assert (first["activation"], first["out_shape"], first["out_bytes"]) == ("relu", [1, 20, 4], 80)
    # int8 weights, six of a channel filled to two words; int32 bias, multiplier, offset and shift
    weights = 4 * 8 + 4 * 4 * 4
    assert first["weights_bytes"] == weights
    assert first["read_bytes"] == 40 + weights  # the input once, its padding not
    assert last["read_bytes"] == 2 * 80
    assert (last["macs"], last["weights_in"]) == (0, None)


def test_memory_adds_up() -> None:
    memory = report(on=FLAT)["memory"]
    assert [b["size_bytes"] for b in memory["buffers"]] == [80, 80]
    assert memory["arena_bytes"] == memory["lower_bound_bytes"] == 160
    assert memory["peak_step"] == 1
    assert memory["peak_buffers"] == ["a0", "b0"]
    assert (memory["input_bytes"], memory["output_bytes"]) == (40, 80)
    parts = ("arena_bytes", "weights_bytes", "input_bytes", "output_bytes")
    assert memory["l2_peak_bytes"] == sum(memory[part] for part in parts)


def test_peak_buffers_are_the_lower_bound() -> None:
    memory = report(residual(blocks=3), FLAT)["memory"]
    sizes = {b["name"]: b["size_bytes"] for b in memory["buffers"]}
    assert sum(sizes[name] for name in memory["peak_buffers"]) == memory["lower_bound_bytes"] == 240


def test_the_last_layer_is_the_network_where_nothing_follows(usual: Report) -> None:
    assert "The last layer's is the network's." in unescape(report_html(usual))
    squashed = {**usual, "quantization": {**usual["quantization"], "sqnr_before": ["sigmoid"]}}
    page = unescape(report_html(squashed))
    assert "The network's SQNR is that before the sigmoid." in page
    assert "The last layer's" not in page
    several = {**usual, "outputs": usual["outputs"] * 2}
    assert "The last layer's" not in unescape(report_html(several))
    assert "SQNR at the worst output" in report_html(several)
    assert "SQNR at the output" in report_html(usual)


def test_weakest_layer_is_the_one_with_least_sqnr(usual: Report) -> None:
    least = min(usual["layers"], key=lambda row: float(row["sqnr_local_db"]))
    assert usual["quantization"]["weakest"]["name"] == least["name"]


def test_unknown_and_endless_numbers_have_a_json_value() -> None:
    assert [decibels(x) for x in (None, float("nan"), float("inf"), 31.00049)] == [
        None,
        None,
        EXACT_DB,
        31.0,
    ]
    bare = report(fidelity=None, evaluation=None, exact={}, warnings=())
    assert bare["quantization"]["sqnr_db"] is None
    assert bare["layers"][0]["sqnr_local_db"] is None
    for text in (json.dumps(bare, allow_nan=False), report_html(bare), summary(bare)):
        assert not re.search(r"\b(nan|None|Infinity)\b", text)


def test_csv_holds_the_rows_of_the_json(usual: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(layers_csv(usual))))
    assert list(rows[0]) == list(COLUMNS) == list(dict.fromkeys(COLUMNS))
    causes = {column for column in COLUMNS if column.endswith("_percent")}  # of "stalls"
    assert set(COLUMNS) - causes == set(usual["layers"][0]) - {
        "stalls",
        "activity",
        "members",
        "reads",
        "writes",
    }
    for line, row in zip(rows, usual["layers"], strict=True):
        assert line["out_shape"] == "x".join(map(str, row["out_shape"]))
        for key in ("name", "label", "op", "macs", "weights_bytes", "sqnr_db", "sqnr_local_db"):
            assert line[key] == str(row[key])
        assert line["cycles"] == ""


# --- terminal -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_summary_fits_its_width(usual: Report, width: int) -> None:
    text = summary(usual, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text


def test_long_operators_do_not_cut_numbers_and_lines_end_without_blanks(usual: Report) -> None:
    usual = copy.deepcopy(usual)
    for row in usual["layers"]:
        row["activation"] = "affine(1, 1e-06) + sqrt + elu(0.5)"
        row["origin"] = [{"path": "a.long.module.path.of.many.parts", "source": ""}]
        row["macs"] = 123_456
    text = summary(usual, width=80)
    assert text.count("123 k") == len(usual["layers"])
    assert text.count("sqrt +") == len(usual["layers"]), "operators are folded, not left out"
    assert "dB so far" in text
    assert "in and out 120 B\n" in text
    shown = io.StringIO()
    print_report(usual, Console(file=shown, width=80))
    print_diff(compare(report(residual(blocks=3)), usual), Console(file=shown, width=80))
    assert not [line for line in shown.getvalue().splitlines() if line != line.rstrip()]


def test_long_names_stay_apart() -> None:
    """Without the modules that all share, then by their last ones; in lines where these are the
    same."""
    places = ("query", "key", "value")
    usual = ["stem", "block.0.conv + relu"]
    assert shortened(usual, 19) == usual
    assert shortened(usual, 12) == ["stem", "block.0.conv"]  # the operator's column has the relu
    assert shortened(["a.b.conv + relu (2)", "a.b.conv + relu"], 12) == ["a.b.conv (2)", "a.b.conv"]
    onnx = [f"/model/encoder/layer.{n}/attention/{x}/MatMul" for n in (0, 1) for x in places]
    for most in (40, 24, 19):
        found = shortened(onnx, most)
        assert len(set(found)) == len(onnx), most
        assert max(len(line) for name in found for line in name.split("\n")) <= most
    assert shortened(onnx, 40)[0] == "…layer.0/attention/query/MatMul"
    assert shortened(onnx, 24)[0] == "…layer.0/attention/\nquery/MatMul"
    blocks = ["stem.conv", "blocks.0.branch.conv", "blocks.1.branch.conv"]
    assert shortened(blocks, 15) == ["stem.conv", "…0.branch.conv", "…1.branch.conv"]
    ends = [f"a_name_that_is_long_{n}" for n in range(3)]
    assert shortened(ends, 9)[1] == "a_name_th\nat_is_lon\ng_1"
    assert shortened(["a.b", "a_name_that_is_long"], 9) == ["a.b", "a_name_th\nat_is_lon\ng"]
    assert on_one_line(ends, 9) == [f"a_na…ng_{n}" for n in range(3)]


def test_energies_of_a_comparison_are_rounded(usual: Report) -> None:
    old, new = copy.deepcopy(usual), copy.deepcopy(usual)
    old["energy_uj"] = {"value": 20.512345, "low": 1234.5678, "high": 3.0}
    new["energy_uj"] = {"value": 25.612345, "low": 2345.6789, "high": 3.0}
    found = io.StringIO()
    print_diff(compare(old, new), Console(file=found, width=80))
    rows = [line.split() for line in found.getvalue().splitlines()[3:]]
    assert rows[0] == ["energy", "20.5", "µJ", "25.6", "µJ", "+24.9", "%"]
    assert rows[1][3:7] == ["1.23", "mJ", "2.35", "mJ"]


def test_labels_that_say_nothing_are_not_asked_for_again(usual: Report) -> None:
    silent = copy.deepcopy(usual)
    silent["quantization"] |= {"accuracy_float": None, "accuracy_int8": None}
    assert "Give samples with a <code>label</code>" in report_html(silent)
    told = {"code": "W202", "title": "accuracy not measured", "facts": [], "tries": []}
    page = report_html({**silent, "warnings": [told]})
    assert "Give samples" not in page
    assert "Labels were given" in page


def test_a_number_and_its_unit_stay_together() -> None:
    text = wording.no_break("cores 57 %, 40.7 µJ (29.3 to 52.1) at 0.80 V, 370 MHz in 3 samples")
    assert text.split(" ") == [
        *("cores", "57\xa0%,", "40.7\xa0µJ", "(29.3", "to", "52.1)", "at", "0.80\xa0V,"),
        *("370\xa0MHz", "in", "3", "samples"),
    ]


def test_usual_parameters_of_a_function_are_not_shown() -> None:
    def shown(*act: tuple[Any, ...]) -> str:
        return activation(Node("conv", (), ("y",), {"act": act}, ()))

    assert shown(("elu", 1.0, 1.0, 1.0), ("clamp", 0.0, math.inf)) == "elu + relu"
    assert shown(("elu", 0.5, 1.0, 2.0)) == "elu(0.5, 1, 2)"
    assert shown(("leaky_relu", 0.01), ("sqrt",), ("clamp", -1.0, 1.0)) == (
        "leaky_relu + sqrt + clamp(-1, 1)"
    )


def test_functions_that_exporters_write_out_have_their_name() -> None:
    def shown(*chain: tuple[Any, ...]) -> str:
        return activation(Node("table", ("x",), ("y",), {"chain": chain}, ()))

    half, third = np.float32(0.5**0.5).item(), ("affine", 1.0 / 3.0, 0.0)
    normal = (("affine", half, 0.0), ("erf",), ("affine", 1.0, 1.0))
    assert shown(("product", (), normal), ("affine", 0.5, 0.0)) == "gelu"
    assert shown(("product", (("sigmoid",),), ())) == "silu"
    assert shown(("product", (), (("hardsigmoid",),))) == "hardswish"
    assert shown(("product", (), normal), third) == (
        "product(x, affine(0.707107, 0) then erf then affine(1, 1)) + affine(0.333333, 0)"
    )


def test_whatever_can_be_fused_has_a_text() -> None:
    names = sorted(FUNCTIONS)
    parameters: list[tuple[Any, ...]] = [(), (0.5,), (1, 1e-6), (-math.inf, 2.0), (("add", 1.0),)]
    chains = [((name, *p),) for name in names for p in parameters]
    pairs = itertools.product(chains, chains[::7])
    for chain in (*chains, *(a + b for a, b in pairs), chains[0] + chains[9] + chains[-1]):
        text = activation(Node("conv", (), ("y",), {"act": chain}, ()))
        assert len(text.split(" + ")) == len(chain)
    nested = (("table", (("exp", ()), ("affine", (2.0, 1))), "x"),)
    node = Node("add", (), ("y",), {"act": nested}, ())
    assert activation(node) == "table([[exp, []], [affine, [2, 1]]], x)"


def test_summary_fits_one_screen_and_says_what_matters() -> None:
    large = report(residual(blocks=20))
    text = summary(large, html="out/report.html")
    assert len(text.splitlines()) <= 40
    for chunk in (
        "90.0 %",
        "87.5 %",
        "test set: 40 samples of test.npz; 95 % interval",
        "C on the host",
        "W101",
        "out/report.html",
    ):
        assert chunk in text
    assert f"{60 - MAX_LAYERS} smaller layers" in text


def test_shown_layers_hold_the_weakest() -> None:
    large = report(residual(blocks=20))
    for row in large["layers"]:
        row["sqnr_local_db"] = 10.0 if row["name"] == "y13" else 40.0
    assert "y13" in [row["name"] for row in shown_layers(large["layers"])]


def test_hostile_names_do_not_steer_the_terminal() -> None:
    bad = report(residual(HOSTILE))
    text = io.StringIO()
    print_report(bad, Console(file=text, width=200, force_terminal=True, no_color=True))
    assert "\x1b[31m" not in text.getvalue()
    assert "[bold]" in text.getvalue()


# --- report.html ----------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects elements and attributes, and holds every end tag against its start."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1]] = self.text.get(self.open[-1], "") + data


def test_html_is_one_balanced_file_that_fetches_nothing(usual: Report) -> None:
    text = report_html(usual)
    page = Page(text)
    assert not re.search(r"(https?:)?//\w|@import|url\(", text)
    assert not {"src", "href", "srcset"} & {key for _, attrs in page.tags for key in attrs}
    assert {tag for tag, _ in page.tags} & {"link", "iframe", "img", "object"} == set()


def test_long_names_break_so_that_pages_are_not_wider_than_a_phone(usual: Report) -> None:
    style = Page(report_html(usual)).text["style"]
    rules = dict(re.findall(r"^([\w.]+) \{([^}]*)\}", style, re.MULTILINE))
    assert "overflow-wrap: anywhere" in rules["body"]
    assert "overflow-x: auto" in rules[".scroll"]


def test_html_holds_the_json(usual: Report) -> None:
    assert json.loads(Page(report_html(usual)).text["script"]) == usual


def test_html_draws_every_buffer_and_layer(usual: Report) -> None:
    tags = Page(report_html(usual)).tags
    boxes = [a for tag, a in tags if tag == "rect" and "buffer" in (a.get("class") or "")]
    memory = usual["memory"]
    assert len(boxes) == len(memory["buffers"]) + len(memory["l1_buffers"])
    dots = [a for tag, a in tags if tag == "circle" and a.get("class") == "sofar"]
    assert len(dots) == len(usual["layers"])


def test_hostile_names_are_inert() -> None:
    bad = report(residual(HOSTILE))
    bad["model"]["name"] = bad["inputs"][0]["name"] = bad["warnings"][0]["title"] = HOSTILE
    bad["quantization"]["calibration"]["source"] = HOSTILE
    page = Page(report_html(bad))
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert [attrs.get("type") for attrs in scripts] == ["application/json"]
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    assert json.loads(page.text["script"]) == bad
    assert not set("<>&") & set(page.text["script"])


def test_network_without_buffers_has_a_page_too() -> None:
    graph = residual()
    node = graph.nodes[0]
    alone = Graph(
        ("x",),
        ("a0",),
        (node,),
        {name: graph.tensors[name] for name in ("x", "a0")},
        {name: value for name, value in graph.constants.items() if name.startswith("a0")},
        ("y",),
    )
    small = report(alone)
    assert small["memory"]["buffers"] == []
    assert "No buffers" in report_html(small)
    Page(report_html(small))


# --- 16 bits --------------------------------------------------------------------------------------


def test_results_of_16_bits_are_listed_with_their_cost(usual: Report) -> None:
    assert {row["dtype"] for row in usual["layers"]} == {"int8"}
    assert (speed.int16_layers(usual), speed.int16_costs(usual)) == ([], "")
    assert "int16" not in summary(usual)
    assert "int16 results" not in report_html(usual)
    other = copy.deepcopy(usual)
    first, second, last = other["layers"]
    first |= {"dtype": "int16", "out_bytes": 2 * first["out_bytes"]}
    second["in_dtypes"] = ["int16"]
    last["in_dtypes"] = ["int8", "int8"]
    other["cycles"]["total"] = 100
    for row, cycles in zip(other["layers"], (20, 30, 50), strict=True):
        row["cycles_modelled"] = cycles
    assert [row["name"] for row in speed.int16_layers(other)] == ["a0"]
    text = (
        "1 tensor, 80 B more than in int8; layers that read or write them take 50 % of the cycles"
    )
    assert text in " ".join(summary(other, width=160).split())
    page = report_html(other)
    assert text in page
    assert "int16 results" in page
    alike = {"op": "add", "origin": [], "label": "net.py:19", "dtype": "int16"}
    page = report_html({**other, "layers": [{**row, **alike} for row in other["layers"]]})
    assert all(f'">net.py:19 (add{number}) <b>' in page for number in ("", " 2", " 3"))
    Page(page)


def test_weights_of_16_bits_are_told_beside_them(usual: Report) -> None:
    assert [row["weight_dtype"] for row in usual["layers"]].count("int16") == 0
    other = copy.deepcopy(usual)
    other["layers"][0] |= {"dtype": "int16"}
    other["layers"][1] |= {"weight_dtype": "int16", "weights_bytes": 2048}
    assert "; 1 layer with int16 weights, 2 KiB" in " ".join(summary(other, width=160).split())


# --- differences ----------------------------------------------------------------------------------


def test_equal_reports_do_not_differ(usual: Report) -> None:
    assert compare(usual, copy.deepcopy(usual)) == []
    assert "nothing changed" in printed([])


def test_changes_carry_sign_and_percent(usual: Report) -> None:
    other = copy.deepcopy(usual)
    other["quantization"]["accuracy_int8"] = 0.885
    other["memory"]["l2_peak_bytes"] = usual["memory"]["l2_peak_bytes"] * 2
    other["layers"][1]["sqnr_local_db"] = usual["layers"][1]["sqnr_local_db"] - 3
    other["exact"]["host"] = False
    changes = {(c.where, c.fact.key): c for c in compare(usual, other)}
    assert len(changes) == 4
    accuracy = changes["", "quantization.accuracy_int8"]
    assert (accuracy.text, accuracy.is_better) == ("+1.0 points", True)
    memory = changes["", "memory.l2_peak_bytes"]
    assert (memory.text, memory.is_better) == ("+100.0 %", False)
    assert changes["enc.1", "sqnr_local_db"].text == "-3.0 dB"
    assert "DIFFERENT" in printed(list(changes.values()))


def test_a_comparison_has_a_verdict(usual: Report) -> None:
    same, better, worse = (copy.deepcopy(usual) for _ in range(3))
    same["quantization"]["sqnr_db"] -= 0.4
    better["memory"]["l2_peak_bytes"] //= 2
    worse["quantization"]["accuracy_int8"] -= 0.03
    worse["exact"]["host"] = False
    mixed = {**worse, "memory": better["memory"]}
    found = [verdict_of(compare(usual, new)) for new in (same, better, worse, mixed)]
    assert [verdict.result for verdict in found] == ["same", "better", "worse", "mixed"]
    assert str(found[1]) == "better: L2 without code -50.0 %"
    assert str(found[2]) == "worse: accuracy, int8 -3.0 points, exact on the host: DIFFERENT"
    assert printed(compare(usual, mixed)).startswith(
        "mixed: better L2 without code -50.0 %; worse acc"
    )
    assert "Mixed: better" in comparison_html(usual, mixed, ("a", "b")).replace("\u00a0", " ")


def test_differences_that_do_not_show_are_none(usual: Report) -> None:
    other = copy.deepcopy(usual)
    for row in (other["quantization"], *other["layers"]):
        row["sqnr_db"] = row["sqnr_db"] and row["sqnr_db"] + 0.04
    assert compare(usual, other) == []
    assert "not comparable" not in comparison_html(usual, other, ("a", "b"))
    other["quantization"]["sqnr_db"] += 0.02
    assert [change.text for change in compare(usual, other)] == ["+0.1 dB"]


def test_start_up_of_another_number_of_inputs_is_not_compared(usual: Report) -> None:
    old, new = (copy.deepcopy(usual) for _ in range(2))
    for report, inferences, startup in ((old, [100], 500), (new, [100, 100], 900)):
        report["cycles"] |= {"source": "simulated", "inferences": inferences, "startup": startup}
    assert compare(old, new) == []
    new["cycles"]["inferences"] = [100]
    assert [change.fact.key for change in compare(old, new)] == ["cycles.startup"]


def test_two_builds_side_by_side_on_one_page(usual: Report) -> None:
    new = copy.deepcopy(usual)
    new["model"]["name"] = HOSTILE
    new["cycles"]["total"] = usual["cycles"]["total"] // 2
    for row in new["layers"]:
        row["cycles_modelled"] //= 2
    new["layers"][0]["sqnr_local_db"] = 12.5
    page = comparison_html(usual, new, ("old/folder", HOSTILE))
    found = Page(page)
    assert not {tag for tag, _ in found.tags} & {"script", "img", "link"}
    assert f"{new['cycles']['total']:,}" in found.text["div"]
    assert "-50.0 %" in found.text["b"].replace("\u00a0", " ")
    assert "12.5" in found.text["div"]
    drawn = [a for tag, a in found.tags if tag == "rect"]
    widths = [float(a["width"] or 0) for a in drawn]
    assert len(widths) == 6
    assert sum(widths[3:]) == pytest.approx(sum(widths[:3]) / 2, rel=0.05), "both on one scale"


def test_text_in_lines_controls_no_terminal() -> None:
    assert styled("a\x1b[2J").plain == "a?[2J"
    assert styled("a\x1b[2J\nb\rc").plain == "a?[2J\nb?c"


def test_folders_of_a_comparison_may_have_any_name(usual: Report) -> None:
    page = comparison_html(usual, usual, (os.fsdecode(b"old\xff"), "new\x1b[2J"))
    assert b"old?" in page.encode()
    assert "\x1b" not in page


def test_cycles_of_a_run_are_not_compared_with_estimates(usual: Report) -> None:
    new = copy.deepcopy(usual)
    new["cycles"] |= {"source": "simulated", "total": 5}
    for row in new["layers"]:
        row["cycles"] = 2 * row["cycles_modelled"] + 1
    page = comparison_html(usual, new, ("a", "b"))
    assert "they are not compared" in page
    assert "not comparable" in page
    assert not [text for text in Page(page).text["b"] if "%" in text], "neither are those of layers"


def test_a_comparison_says_how_many_layers_it_leaves_out(usual: Report) -> None:
    many = copy.deepcopy(usual)
    row = many["layers"][0]
    places = [{"path": f"blocks.{i}", "source": ""} for i in range(63)]
    many["layers"] = [{**row, "name": p["path"], "origin": [p]} for p in places]
    page = comparison_html(many, many, ("a", "b"))
    assert page.count('<th scope="row">blocks.') == 60
    assert "3 more layers" in page
    assert "more layer" not in comparison_html(usual, usual, ("a", "b"))


def test_layers_are_matched_by_module_path(usual: Report) -> None:
    other = copy.deepcopy(usual)
    for row in other["layers"]:
        row["name"] += "_renamed"
    del other["layers"][0]
    changes = [c for c in compare(usual, other) if c.where]
    assert [(c.kind, c.where) for c in changes] == [("removed", "enc.0")]
    back = [c for c in compare(other, usual) if c.where]
    assert [(c.kind, c.where) for c in back] == [("added", "enc.0")]


def test_layers_of_one_place_have_the_names_of_their_report(usual: Report) -> None:
    """Also where the other build has one layer there: it is the same as the one of its operator."""
    place = [{"path": "mha", "source": ""}]
    new = copy.deepcopy(usual)
    for row, op in zip(new["layers"], ("slice", "linear", "linear"), strict=False):
        row |= {"op": op, "origin": place, "macs": 7}
    names = naming.unique_names(new["layers"])[:3]
    assert names == ["mha (slice)", "mha (linear)", "mha (linear 2)"]
    old = copy.deepcopy(new)
    for row in old["layers"]:
        row["macs"] += 1
    assert [c.where for c in compare(old, new) if c.fact.key == "macs"][:3] == names
    del old["layers"][2], old["layers"][0]
    found = {(c.where, c.kind) for c in compare(old, new) if c.where.startswith("mha")}
    assert found == {(names[0], "added"), (names[1], "changed"), (names[2], "added")}


def test_values_that_come_with_later_parts_are_compared(usual: Report) -> None:
    old, new = copy.deepcopy(usual), copy.deepcopy(usual)
    old["cycles"], new["cycles"] = None, {"total": 900, "source": "simulated"}
    assert [c.old for c in compare(old, new)] == [None, None]
    old["cycles"] = {"total": 1000, "source": "simulated"}
    (change,) = compare(old, new)
    assert change.text == "-10.0 %"
    assert change.plain()["delta"] == -100


def printed(changes: list[Any]) -> str:
    text = io.StringIO()
    print_diff(changes, Console(file=text, width=100, no_color=True))
    return text.getvalue()
