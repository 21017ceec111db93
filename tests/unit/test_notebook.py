# SPDX-License-Identifier: Apache-2.0
"""HTML and pandas of results: nothing around them changes, every text is escaped, every verb's
result has them; `dir` and `help` of the package."""

from __future__ import annotations

import ast
import importlib
import inspect
import pydoc
import subprocess
import sys
import typing
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import myoedge
from myoedge import api
from myoedge.errors import MyoedgeError
from myoedge.extensions.boards.flashing import FlashResult
from myoedge.extensions.boards.measured_power import MeasuredEnergy
from myoedge.extensions.sweeps.advise import Advice
from myoedge.extensions.sweeps.suggestions import Suggestion
from myoedge.extensions.sweeps.sweep import Swept
from myoedge.power.calibrate import Measured, Residual
from myoedge.reports.diff import Changes, compare
from myoedge.system.notebook import MOST_ROWS, Card, PlainText, Shown, Tabular, card_html, framed
from myoedge.system.notebook import cell as shown
from myoedge.system.tools import install_command
from tests.support.each import each

HOSTILE = "</td></div></iframe><style>*{display:none}</style><script>x()</script>\"'&"
PLAIN = {"div", "b", "span", "table", "tr", "th", "td", "pre"}  # elements that bring no names


class Parsed(HTMLParser):
    """Elements, attributes and text of HTML, whose elements are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def check_card(html: str) -> Parsed:
    """A card has no style sheet, script, class or id, and so no effect outside it."""
    parsed = Parsed(html)
    for tag, attributes in parsed.elements:
        assert tag in PLAIN
        assert attributes.keys() <= {"style"}
        style = attributes.get("style") or ""
        assert "url(" not in style
        assert "position" not in style
    return parsed


def test_texts_of_a_card_are_escaped() -> None:
    rows = [{"layer": HOSTILE, "cycles": 7}]
    parsed = check_card(card_html(Card(HOSTILE, [(HOSTILE, HOSTILE)], rows)))
    assert parsed.text.count(HOSTILE) == 4
    assert parsed.text[-2:] == [HOSTILE, "7"]


def test_a_large_table_is_cut_and_says_so() -> None:
    parsed = check_card(card_html(Card("all", rows=[{"n": n} for n in range(1_234 + MOST_ROWS)])))
    assert len([tag for tag, _ in parsed.elements if tag == "tr"]) == MOST_ROWS + 1
    assert parsed.text[-1].startswith("1,234 more")


def test_facts_without_a_value_are_left_out() -> None:
    assert check_card(card_html(Card("net", [("a", None), ("b", 0)]))).text == ["net", "b", "0"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(None, ""), (True, "yes"), (False, "no"), (1_234_567, "1,234,567"), (0.123456, "0.1235")],
        *[((1, 8, 40), "1x8x40"), ((), ""), (("a", "b"), "a, b"), ((True,), "True")],
        *[(Path("a/b"), "a/b"), (0.0, "0")],
    ],
)
def test_values_as_people_read_them(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_page_is_in_a_frame_whole_and_runs_no_script() -> None:
    page = f"<!doctype html><title>{HOSTILE}</title>"
    ((tag, attributes),) = Parsed(framed(page, HOSTILE)).elements
    assert (tag, attributes["srcdoc"], attributes["title"]) == ("iframe", page, HOSTILE)
    assert "allow-scripts" not in (attributes["sandbox"] or "")


def test_an_explanation_keeps_its_lines() -> None:
    text = myoedge.explain("E501")
    assert isinstance(text, str)
    parsed = check_card(text._repr_html_())
    assert [tag for tag, _ in parsed.elements] == ["pre"]
    assert "".join(parsed.text) == text
    assert "pre-wrap" in check_card(PlainText(HOSTILE)._repr_html_()).elements[0][1]["style"]


# --- every verb -----------------------------------------------------------------------------------

WITHOUT = {"check_regressions", "monitor"}  # raises, or gives nothing; an iterator


def verbs() -> dict[str, Callable[..., Any]]:
    named = {name: getattr(api, name) for name in api.__all__}
    return {name: f for name, f in named.items() if inspect.isfunction(f) and name not in WITHOUT}


def typed_only(module: str) -> dict[str, Any]:
    """Names that a module imports for type checkers alone."""
    names: dict[str, Any] = {}
    for node in ast.parse(Path(sys.modules[module].__file__ or "").read_text()).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            exec(ast.unparse(ast.Module(node.body, [])), names)
    return names


@each("name", sorted(verbs()))
def test_every_verb_has_a_result_that_notebooks_show(name: str) -> None:
    verb = verbs()[name]
    results = typing.get_type_hints(verb, localns=typed_only(verb.__module__))["return"]
    for result in typing.get_args(results) or (results,):
        assert issubclass(result, Shown)
        own = [c for c in result.__mro__ if "_card" in vars(c) or "_repr_html_" in vars(c)]
        assert own[0] is not Shown, f"{result.__name__} shows nothing of its own"
        assert "rows" not in dir(result) or issubclass(result, Tabular)


def test_results_that_need_no_build() -> None:
    results = (myoedge.ops(), myoedge.doctor(), myoedge.boards())
    for result in results:
        check_card(result._repr_html_())
        assert len(result.to_pandas()) == len(result) > 1
        assert isinstance(result, tuple)


def test_results_of_boards_and_sweeps() -> None:
    flashed = FlashResult("EVK", "ram", 70_000, 0, HOSTILE)
    assert "70,000" in check_card(flashed._repr_html_()).text
    measured = check_card(MeasuredEnergy(20, 1e-6, 1e-7, 2e-3, 0.5e-3)._repr_html_())
    assert {"1.0 µJ, +- 0.1", "0.50 mW while the pad is high", "2.00 ms"} <= {*measured.text}
    swept = Swept(Path("out"), (), 0, ())
    assert [tag for tag, _ in Parsed(swept._repr_html_()).elements] == ["iframe"]
    assert swept.to_pandas().empty
    figures = {"cycles": 5.0}
    advice = Advice((Suggestion("t", HOSTILE, "--tune", {"cycles": 9.0}, figures),), 3, ("u (E1)",))
    assert {"3 builds measured", "u (E1)", "--tune"} <= {*check_card(advice._repr_html_()).text}
    assert advice.to_pandas().loc[0, "old_cycles"] == 9.0


def test_a_calibration_has_a_row_a_measurement() -> None:
    from myoedge.backends.measurement import Activity
    from myoedge.building.energy_calibration import EnergyCalibration
    from myoedge.power.model import PUBLISHED
    from myoedge.targets import OperatingPoint

    measured = Measured(HOSTILE, [(Activity(1e6), OperatingPoint("high", 0.8, 370_000_000))], 4.0)
    result = EnergyCalibration(PUBLISHED, (Residual(measured, 3.0, 5.0),), PUBLISHED, Path("e"))
    assert HOSTILE in check_card(result._repr_html_()).text
    assert result.to_pandas().loc[0, "residual"] == 0.25


def test_no_pandas_is_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MyoedgeError, match="E501") as raised:
        myoedge.ops().to_pandas()
    assert raised.value.notice.tries[0] == install_command("notebook")
    assert len(myoedge.ops().rows()) == len(myoedge.ops()), "rows need none"


# --- a build --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(small: Path, tmp_path_factory: pytest.TempPathFactory) -> myoedge.Build:
    output = tmp_path_factory.mktemp("built") / "out"
    calib = small / "calib.npz"
    return myoedge.build(
        small / "model.pt2", target="gap9", calib=calib, output=output, simulate=True
    )


def test_a_build_shows_its_report_and_gives_its_layers(built: myoedge.Build) -> None:
    ((tag, attributes),) = Parsed(built._repr_html_()).elements
    assert (tag, attributes["srcdoc"]) == ("iframe", (built.folder / "report.html").read_text())
    table, report = built.to_pandas(), myoedge.report(built)
    assert table["cycles"].tolist() == [row["cycles"] for row in built.report["layers"]]
    assert report == built.report
    assert report.to_pandas().equals(table)
    ((_, attributes),) = Parsed(report._repr_html_()).elements
    assert attributes["srcdoc"] == (built.folder / "report.html").read_text()


def test_results_are_printed_as_their_cards(built: myoedge.Build) -> None:
    report, printed = myoedge.report(built), str(built)
    assert printed.startswith(f"{report['model']['name']} for gap9\nfolder ")
    assert f"{report['cycles']['total']:,}" in printed
    title, *table = printed.splitlines()[-1 - len(report["layers"]) :]
    assert title.split() == ["layer", "operator", "cycles", "dB", "alone"]
    pairs = [*zip(report["layers"], table, strict=True)]
    for row, line in pairs:
        assert {row["op"], f"{row['cycles']:,}"} <= {*line.split()}
    ends = {line.index(f"{row['cycles']:,}") + len(f"{row['cycles']:,}") for row, line in pairs}
    assert len(ends) == 1, "numbers are at the right"
    assert str(report) == repr(report), "a dictionary for programs"
    assert str(myoedge.Build(Path("away"))).startswith("away\nE")
    assert str(myoedge.explain("E501")) == myoedge.explain("E501")


def test_notebooks_keep_no_whole_report_as_text(built: myoedge.Build) -> None:
    from IPython.lib.pretty import pretty

    for report in (myoedge.report(built), myoedge.energy(built)):
        assert len(pretty(report)) < 500
        assert "out_shape" in repr(report), "a dictionary for programs"


def test_a_build_that_is_gone_is_shown_by_name(built: myoedge.Build) -> None:
    gone = myoedge.Build(Path(HOSTILE) / "gone")
    assert check_card(gone._repr_html_()).text[0] == "gone"


def test_a_run_has_a_row_a_layer(built: myoedge.Build) -> None:
    simulated = myoedge.simulate(built)
    assert simulated.run is not None
    total = simulated.report["cycles"]["total"] - simulated.report["cycles"]["outside_layers"]
    assert simulated.to_pandas()["cycles"].sum() == total
    assert f"{simulated.report['cycles']['total']:,} cycles" in simulated._repr_html_()
    check_card(simulated._repr_html_())
    check_card(simulated.run._repr_html_())
    cores = simulated.run.to_pandas()
    assert cores["instructions"].sum() == sum(c.instructions for c in simulated.run.counts)


def test_other_verbs_on_a_build(built: myoedge.Build) -> None:
    validated = myoedge.validate(built, on="simulator")
    rows = validated.to_pandas().set_index("backend")
    assert rows.loc["simulator", ["exact", "samples"]].tolist() == [True, 3]
    assert "same integers" in check_card(validated._repr_html_()).text
    energy = myoedge.energy(built)
    assert energy.to_pandas()["value"].tolist() == [
        p["value"] for p in energy["energy_uj"]["points"]
    ]
    assert "parts" in check_card(energy._repr_html_()).text
    assert check_card(myoedge.peaks(built)._repr_html_())
    assert myoedge.peaks(built).to_pandas()["memory"].tolist()[0] == "L1"


def test_differences_of_two_reports(built: myoedge.Build) -> None:
    faster = {**built.report, "latency_s": built.report["latency_s"] / 2}
    changes = Changes(compare(built.report, faster))
    ((what, percent),) = changes.to_pandas()[["what", "percent"]].values.tolist()
    assert (what, percent) == ("latency_s", pytest.approx(-50.0))
    assert check_card(changes._repr_html_()).text[-1] == "-50.0 %"
    assert len(myoedge.report(built, against=built)) == 0


def test_models_and_their_integers(small: Path) -> None:
    model, found = myoedge.load(small / "model.pt2"), myoedge.inspect(small / "model.pt2")
    assert model.to_pandas()["macs"].sum() == found.macs
    assert model.to_pandas().equals(found.to_pandas())
    quantized = myoedge.quantize(small / "model.pt2", calib=small / "calib.npz")
    assert len(quantized.to_pandas()) == len(found.layers)
    for result in (model, found, quantized):
        check_card(result._repr_html_())
        assert len(repr(result)) < 1_000, "weights are not printed"


# --- the package ----------------------------------------------------------------------------------


def test_dir_lists_the_public_names() -> None:
    assert dir(myoedge) == sorted(myoedge.__all__)
    assert {*api.__all__} - {*myoedge.__all__} == {"Operator"}


def test_help_says_what_each_verb_does() -> None:
    text = pydoc.plain(pydoc.render_doc(myoedge))
    assert "myoedge - Trained sEMG networks" in text
    for name, verb in verbs().items():
        assert f"    {name}(" in text
        assert (inspect.getdoc(verb) or "").splitlines()[0] in text
        assert name in (myoedge.__doc__ or "")


def test_pandas_is_loaded_by_to_pandas_alone() -> None:
    code = "import sys, myoedge; myoedge.ops()._repr_html_(); sys.exit('pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(myoedge.__file__).parent / "py.typed").is_file()
    assert importlib.import_module("myoedge").__all__ == sorted(myoedge.__all__)
