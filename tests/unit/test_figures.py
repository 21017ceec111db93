# SPDX-License-Identifier: Apache-2.0
"""`report --figures`: charts and tables for a paper."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.reports.figures import figure_files
from myoedge.reports.report_json import Report
from tests.conftest import myoedge as command

CHARTS = ("cycles", "sqnr", "memory", "confusion")


@pytest.fixture(scope="module")
def build(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures") / "built"
    myoedge.build(small / "model.pt2", calib=small / "calib.npz", output=folder, simulate=True)
    return folder


@pytest.fixture(scope="module")
def report(build: Path) -> Report:
    return dict(myoedge.report(build))


def texts(svg: bytes) -> list[str]:
    found = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()).strip() for element in found]


def test_charts_are_whole_files_with_text_and_the_same_again(report: Report) -> None:
    files = figure_files(report)
    assert files == figure_files(report)
    shown = [name for name in CHARTS if f"{name}.svg" in files]
    assert {"cycles", "sqnr"} <= {*shown}
    assert ("memory" in shown) == bool(report["memory"]["buffers"])
    for name in shown:
        assert texts(files[f"{name}.svg"]), "text is text"
        assert files[f"{name}.pdf"].startswith(b"%PDF-")
        assert files[f"{name}.pdf"].rstrip().endswith(b"%%EOF")
    assert "cycles" in texts(files["cycles.svg"])
    assert "SQNR, dB" in texts(files["sqnr.svg"])


def test_bars_are_as_long_as_the_layers_take(report: Report) -> None:
    """Rectangles of a layer, by their row, add up to its cycles in proportion to the others."""
    svg = ElementTree.fromstring(figure_files(report)["cycles.svg"])
    rows: dict[float, float] = {}
    for path in svg.iter("{http://www.w3.org/2000/svg}path"):
        points = [
            tuple(map(float, part.split()[:2]))
            for part in path.get("d", "").replace("\n", " ").replace("z", "").split(" L ")[0:4]
            if not part.startswith("M")
        ]
        if path.get("clip-path") and len(points) == 3:
            (right, low), (_, high), (left, _) = points
            middle = round((low + high) / 2)
            rows[middle] = rows.get(middle, 0.0) + right - left
    lengths = [length for _, length in sorted(rows.items())]
    cycles = [row["cycles"] for row in report["layers"]]
    assert len(lengths) == len(cycles)
    for length, n in zip(lengths, cycles, strict=True):
        assert length / sum(lengths) == pytest.approx(n / sum(cycles), abs=2e-3)


def test_tables_have_the_figures_of_the_report(report: Report) -> None:
    files = figure_files(report)
    rows = [*csv.DictReader(io.StringIO(files["layers.csv"].decode()))]
    assert [int(row["cycles"]) for row in rows] == [x["cycles"] for x in report["layers"]]
    assert [int(row["MACs"] or 0) for row in rows] == [x["macs"] for x in report["layers"]]
    summary = dict(csv.reader(io.StringIO(files["summary.csv"].decode())))
    assert summary["cycles"] == f"{report['cycles']['total']:,}"
    latex = files["layers.tex"].decode()
    lines = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert len(lines) == len(report["layers"]) + 1
    assert {line.count(" & ") for line in lines} == {6}
    assert r"\toprule" in latex


def test_names_are_escaped(report: Report) -> None:
    name = r"a_b%&#$\x{}~^<µ"
    hostile = {**report, "model": {**report["model"], "name": name}}
    latex = figure_files(hostile)["summary.tex"].decode()
    assert (
        r"a\_b\%\&\#\$\textbackslash{}x\{\}\textasciitilde{}\textasciicircum{}\textless{}$\mu$"
        in latex
    )


def test_a_confusion_matrix_of_few_classes(report: Report) -> None:
    confusion = {name: [[3, 1], [0, 4]] for name in ("int8", "float")}
    row = {"samples": 4, "right_int8": 3, "right_float": 4, "interval_int8": [0.1, 0.9]}
    rows = [{"class": c, "name": n, **row} for c, n in enumerate(("rest", "fist"))]
    classes = {"names": ["rest", "fist"], "confusion": confusion, "rows": rows, **row}
    quantization = {**report["quantization"], "classes": classes}
    files = figure_files({**report, "quantization": quantization})
    shown = texts(files["confusion.svg"])
    assert {"rest", "fist", "3", "1", "4"} <= {*shown}
    assert "0" not in shown, "empty cells are blank"
    assert b"rest,4,100.0 %,75.0 %" in files["classes.csv"]


def test_the_command(build: Path, tmp_path: Path) -> None:
    ran = command("report", build, "--figures", tmp_path / "f", cwd=tmp_path)
    assert ran.code == 0
    assert {"cycles.svg", "cycles.pdf", "layers.csv", "layers.tex"} <= {
        path.name for path in (tmp_path / "f").iterdir()
    }
    again = command("report", build, "--figures", tmp_path / "f", cwd=tmp_path)
    assert again.code == 0
    both = command("report", build, "--against", build, "--figures", "f", cwd=tmp_path)
    assert (both.code, "without --against" in both.err) == (2, True)
    (tmp_path / "file").touch()
    taken = command("report", build, "--figures", tmp_path / "file", cwd=tmp_path)
    assert (taken.code, "E220" in taken.err) == (2, True)


def test_without_matplotlib(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MyoedgeError) as raised:
        figure_files(report)
    assert raised.value.code == "E501"
    assert "matplotlib>=3.9" in raised.value.notice.tries[0]
