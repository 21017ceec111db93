# SPDX-License-Identifier: Apache-2.0
"""Charts of a report as SVG and PDF, and its tables as CSV and LaTeX, for papers and slides.

Equal reports and equal versions of matplotlib give equal bytes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from myoedge.errors import MyoedgeError
from myoedge.reports import evaluation_lines, speed, wording
from myoedge.reports.charts import is_on_scale
from myoedge.reports.facts import facts
from myoedge.reports.report_json import CAUSES, Report, dims
from myoedge.reports.tables import ReportTable, on_one_line
from myoedge.system.control_characters import document_bytes
from myoedge.system.tools import install_command

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES = 40  # in a confusion matrix
MAX_NAME_CHARS = 32  # of a layer
LEAST_PART = 0.01  # of the cycles: smaller causes are drawn as one
OTHERS = "others"
WIDTH_INCHES = 6.4
INCHES_PER_LAYER = 0.2
KIB = 1024
# Text stays text, and ids and dates do not depend on the run.
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "myoedge",
    "pdf.fonttype": 42,
    "font.size": 8.0,
}
NO_DATE: Mapping[str, Mapping[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
FORMATS = tuple(NO_DATE)
LATEX = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"µ": r"$\mu$", "→": r"$\rightarrow$", "–": "--", "<": r"\textless{}", ">": r"\textgreater{}"}
)

Chart = Callable[[Report, "Axes"], None]


def figure_files(report: Report) -> dict[str, bytes]:
    """Return the files of all charts and tables that a report has values for: file name -> content.

    cycles.svg, sqnr.svg, memory.svg, confusion.svg and each as .pdf; layers.csv, summary.csv,
    classes.csv, errors.csv and each as .tex. Errors: E501 matplotlib is missing.
    """
    files: dict[str, bytes] = {}
    for name, chart, size in _charts_of_report(report):
        files |= {
            f"{name}.{suffix}": data for suffix, data in _draw_chart(report, chart, size).items()
        }
    for name, table in _latex_tables(report):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([table.titles, *table.rows])
        table_as_csv = document_bytes(text.getvalue())
        files |= {f"{name}.csv": table_as_csv, f"{name}.tex": _table_as_latex(table)}
    return files


# --- charts ---------------------------------------------------------------------------------------


def _charts_of_report(report: Report) -> Iterator[tuple[str, Chart, tuple[float, float]]]:
    """Yield (name, function that draws the chart, width and height in inches)."""
    tall = (WIDTH_INCHES, 1.0 + INCHES_PER_LAYER * len(report["layers"]))
    if speed.cycles(report) is not None and report["layers"]:
        yield "cycles", _draw_cycles, tall
    if any(is_on_scale(row["sqnr_local_db"]) for row in report["layers"]):
        yield "sqnr", _draw_sqnr, tall
    if report["memory"]["buffers"]:
        yield "memory", _draw_memory, (WIDTH_INCHES, 3.6)
    confusion = (report["quantization"].get("classes") or {}).get("confusion")
    if confusion and len(confusion["int8"]) <= MOST_CLASSES:
        side = 2.0 + 0.25 * len(confusion["int8"])
        yield "confusion", _draw_confusion, (side, side)


def _draw_chart(report: Report, chart: Chart, size: tuple[float, float]) -> dict[str, bytes]:
    """Return a chart in each format."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        tries = [install_command("figures")]
        raise MyoedgeError("E501", "--figures needs matplotlib", {"cause": error}, tries) from None
    files = {}
    with mpl.rc_context(STYLE):
        for suffix in FORMATS:
            figure: Figure = Figure(figsize=size, layout="constrained")
            chart(report, figure.subplots())
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, metadata=dict(NO_DATE[suffix]))
            files[suffix] = buffer.getvalue()
    return files


def _label_layer_axis(report: Report, axes: Axes) -> None:
    """Label the vertical axis with the layers, the first at the top."""
    names = on_one_line([*wording.layer_names(report).values()], MAX_NAME_CHARS)
    axes.set_yticks(range(len(names)), [name.replace("$", r"\$") for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)


def _place_legend_above(axes: Axes) -> None:
    figure = axes.get_figure()
    assert figure is not None
    figure.legend(loc="outside upper center", ncols=5, frameon=False)


def _draw_cycles(report: Report, axes: Axes) -> None:
    """Draw a bar per layer, divided by cause if the run counted causes."""
    _label_layer_axis(report, axes)
    cycles = speed.cycles_by_layer(report)
    left = [0.0] * len(cycles)
    for cause, widths in _cycles_by_cause(report).items():
        label, colour = (cause, "0.6") if cause == OTHERS else (speed.CAUSE_NAMES[cause], None)
        axes.barh(range(len(cycles)), widths, left=left, label=label, color=colour)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    if any(left):
        _place_legend_above(axes)
    uncounted = [n - known for n, known in zip(cycles, left, strict=True)]
    if any(n > 0.5 for n in uncounted):
        axes.barh(range(len(cycles)), uncounted, left=left, color="0.8")
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("modelled cycles" if speed.is_modelled(report) else "cycles")


def _cycles_by_cause(report: Report) -> dict[str, list[float]]:
    """Return cause -> its cycles in each layer; causes of less than LEAST_PART together as others;
    {} if a run did not count them."""
    cycles, found = speed.cycles_by_layer(report), dict[str, list[float]]()
    for cause in CAUSES:
        rows = zip(cycles, (row["stalls"] or {} for row in report["layers"]), strict=True)
        widths = [n * part.get(cause, 0.0) / max(sum(part.values()), 1e-9) for n, part in rows]
        shown = cause if sum(widths) >= LEAST_PART * sum(cycles) else OTHERS
        before = found.get(shown, [0.0] * len(cycles))
        found[shown] = [a + b for a, b in zip(before, widths, strict=True)]
    ordered = sorted(found.items(), key=lambda item: item[0] == OTHERS)
    return {cause: widths for cause, widths in ordered if any(widths)}


def _draw_sqnr(report: Report, axes: Axes) -> None:
    """Draw each layer's own SQNR and the accumulated SQNR as points."""
    _label_layer_axis(report, axes)
    for key, label, marker in (("sqnr_local_db", "alone", "o"), ("sqnr_db", "so far", "x")):
        rows = [(row[key], i) for i, row in enumerate(report["layers"]) if is_on_scale(row[key])]
        axes.plot([db for db, _ in rows], [i for _, i in rows], marker, label=label)
    axes.grid(axis="x", linewidth=0.3)
    _place_legend_above(axes)
    axes.set_xlabel("SQNR, dB")


def _draw_memory(report: Report, axes: Axes) -> None:
    """Draw the buffers of the L2 arena: layers to the right, offsets upwards."""
    memory = report["memory"]
    for buffer in memory["buffers"]:
        low, width = buffer["first_step"], buffer["last_step"] - buffer["first_step"] + 1
        at, size = buffer["offset"] / KIB, buffer["size_bytes"] / KIB
        is_peak = buffer["name"] in memory["peak_buffers"]
        colour = "C0" if is_peak else "C9"
        axes.bar(low, size, width, at, align="edge", color=colour, edgecolor="white", linewidth=0.5)
    axes.set_xlim(0, len(report["layers"]))
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("layer")
    axes.set_ylabel("offset in L2, KiB")


def _draw_confusion(report: Report, axes: Axes) -> None:
    """Draw the int8 network's confusion matrix: counts, coloured by their fraction of the label."""
    classes = report["quantization"]["classes"]
    counts: Sequence[Sequence[int]] = classes["confusion"]["int8"]
    names = evaluation_lines.class_names(classes, len(counts))
    shares = [[n / max(sum(row), 1) for n in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    for label, row in enumerate(counts):
        for chosen, n in enumerate(row):
            if n:
                colour = "white" if shares[label][chosen] > 0.5 else "black"
                axes.text(chosen, label, str(n), ha="center", va="center", color=colour)
    shown = [name.replace("$", r"\$") for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=90)
    axes.set_yticks(range(len(names)), shown)
    axes.set_xlabel("int8 decides")
    axes.set_ylabel("label")


# --- tables ---------------------------------------------------------------------------------------


def _latex_tables(report: Report) -> Iterator[tuple[str, ReportTable]]:
    summary = tuple((fact.title, fact.text) for fact in facts(report))
    yield "summary", ReportTable(("figure", "value"), summary, ("figure", "value"))
    if report["layers"]:
        yield "layers", _layer_table(report)
    quantization = report["quantization"]
    if classes := quantization.get("classes"):
        yield "classes", evaluation_lines.class_table(classes, len(classes["rows"]))
    if targets := quantization.get("targets"):
        yield "errors", evaluation_lines.error_table(targets["rows"])


def _layer_table(report: Report) -> ReportTable:
    titles = ("layer", "operator", "engine", "output", "MACs", "cycles", "SQNR alone, dB")
    names = wording.layer_names(report)
    rows = (
        (
            names[row["name"]],
            wording.operator(row),
            wording.engine(row),
            dims(row["out_shape"]),
            str(row["macs"] or ""),
            str(cycles or ""),
            wording.decibels(row["sqnr_local_db"], "").replace(wording.UNKNOWN, ""),
        )
        for row, cycles in zip(report["layers"], speed.cycles_by_layer(report), strict=True)
    )
    return ReportTable(titles, tuple(rows), words=titles[:4])


def _table_as_latex(table: ReportTable) -> bytes:
    r"""Return a tabular of the package booktabs, to be read by \input."""
    columns = "".join("l" if title in table.words else "r" for title in table.titles)
    head, *rows = (
        " & ".join(cell.translate(LATEX) for cell in cells) + r" \\"
        for cells in (table.titles, *table.rows)
    )
    lines = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        head,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return document_bytes("\n".join(lines) + "\n")
