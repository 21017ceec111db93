# SPDX-License-Identifier: Apache-2.0
"""Summary of a build on a terminal: one screen, also without colour and in 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from myoedge.backends.names import backend_text
from myoedge.errors import Notice, printable
from myoedge.reports import energy as joules
from myoedge.reports import evaluation_lines, fidelity, near_memory, speed, streams, wording
from myoedge.reports.budget import budget_lines, over_goals
from myoedge.reports.duty_lines import on_average
from myoedge.reports.report_json import BUSY, WEAK_DB, Report, dims
from myoedge.reports.sections import sections
from myoedge.reports.tables import (
    GAP_CHARS,
    ReportTable,
    column_chars,
    columns,
    drawn,
    facts,
    in_lines,
    shortened,
    show,
    styled,
)
from myoedge.system.hooks import load
from myoedge.targets import ACCELERATOR

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

MAX_LAYERS = 14  # table rows, so that the report fits a screen
COMPARISON_STYLES = {True: "green", False: "bold red"}
# Columns of the layer table in order -> priority on a narrow terminal (0 first).
COLUMNS = {
    "layer": 0, "operator": 4, "engine": 7, "output": 10, "MACs": 5, "cycles": 1,
    "instructions": 1, "share": 6,
    "MAC/cycle": 2, "weights": 8, "dB alone": 3, "dB so far": 9,
}  # fmt: skip
STYLES = {"layer": "bold", "output": "dim"}
MIN_NAME_CHARS, USUAL_NAME_CHARS = 8, 24  # per line of a layer's name; left by other columns
MAX_OPERATOR_CHARS = 16
ENGINE_TITLES = ("layer", "engine", "why not the other")


def print_report(report: Report, console: Console, *, html: str = "") -> None:
    """Print a report: model, SQNR, memory, equivalence, layers and warnings.

    html   path of report.html, to which the text refers
    """
    from rich.padding import Padding

    console.print(_report_title(report))
    show(Padding(facts(_fact_rows(report)), (1, 0)), console)
    if passes := streams.pass_table(report):
        show(Padding(drawn(passes), (0, 0, 1, 0)), console)
    for table in evaluation_lines.tables(report["quantization"]):
        if len(report["layers"]) + len(table.rows) <= MAX_LAYERS:
            show(Padding(drawn(table), (0, 0, 1, 0)), console)
    if report["layers"]:
        for block in _layers_table(report, console.width):
            show(block, console)
        engines = _engine_table(report)
        if engines and len(report["layers"]) + len(engines.rows) <= MAX_LAYERS:
            show(Padding(drawn(engines), (1, 0, 0, 0)), console)
    for text in (*_notice_lines(report), *_measured_suggestions(report)):
        _print_lines(text, console)
    if html:
        console.print(styled("\n").append(f"report: {printable(html)}"), soft_wrap=True)


def _print_lines(text: Text, console: Console) -> None:
    """Print lines wrapped to the console; commands are not wrapped, because users copy them."""
    for line in text.split("\n", allow_blank=True):
        if " myoedge " in line.plain:
            console.print(line, soft_wrap=True)
        else:
            show(line, console)


def _report_title(report: Report) -> Text:
    from rich.text import Text

    model, target = report["model"], report["target"]
    title = Text.assemble((printable(model["name"]), "bold"), " for ", (target["chip"], "bold"))
    return title.append(f"  model {model['integer_digest'][:16]}", "dim")


def _fact_rows(report: Report) -> Iterable[tuple[str, Text]]:
    memory = report["memory"]
    model, count, known = report["model"], wording.several, fidelity.facts(report)
    work = f"{wording.count(model['macs'])} MAC{'s' * (model['macs'] != 1)}"
    shapes = (wording.shapes(streams.frame_ports(report, name)) for name in ("inputs", "outputs"))
    sizes = (count(model["params"], "parameter"), work, count(len(report["layers"]), "layer"))
    yield "network", styled(f"{', '.join(sizes)}; {' -> '.join(shapes)}")
    yield from _fill_row("loops", wording.loops(report))
    for title, (first, *others) in evaluation_lines.result_lines(report["quantization"]):
        yield title, styled(f"{first}\n").append("\n".join(others), "dim")
    yield from _fill_row("SQNR", known.get("SQNR", ""))
    if report.get("reused"):
        yield "reused", styled(wording.reused(report["reused"]))
    yield from _time_rows(report)
    yield from _fill_row("engines", wording.engines(report))
    if "stream" in report:
        lines = (*streams.by_point(report), *streams.measured_on(report))
        yield "stream", styled("\n".join([streams.one_line(report), *lines]))
    for section in sections(report):
        yield from _fill_row(section.row, load(section, "line")(report))
    yield near_memory.title(report), _l2_row(report)
    if flash := near_memory.flash_sizes(report):  # weights are read in place
        text = near_memory.of_limit(near_memory.used_bytes(flash), report["target"]["flash_bytes"])
        yield "flash", styled(text, "bold").append(f"\n{near_memory.sized(flash)}")
    yield from _fill_row("activations", near_memory.arena_bound(report))
    yield from _fill_row("int16", speed.int16_costs(report))
    yield from _fill_row("refined", known.get("refined", ""))
    yield from _fill_row("reachable", known.get("reachable", ""))
    yield from _fill_row("budget", "\n".join(budget_lines(report)))
    style = "yellow" if fidelity.on_examples(report) else ""
    yield "scales", styled(known["scales"], style)
    yield "exact", _equivalence_row(report)
    if parts := near_memory.l1_parts(report):
        used, limit = memory["l1_planned_bytes"], report["target"]["l1_bytes"]
        yield "L1 memory", styled(f"{wording.size(used)} of {wording.size(limit)}: {parts}")


def _fill_row(title: str, text: str) -> Iterable[tuple[str, Text]]:
    if text:
        yield title, styled(text)


def _time_rows(report: Report) -> Iterable[tuple[str, Text]]:
    """Yield rows for cycles, modelled or measured, and energy."""
    if speed.is_modelled(report):
        yield "modelled", styled(speed.one_line(report))
    elif speed.cycles(report):
        total = report["cycles"]["total"]
        yield "latency", styled(speed.latency(report))
        text = styled(f"{total:,}", "bold").append(f", {speed.work_rate(report)}", "")
        yield "cycles", text.append(f"   {speed.measured_on(report)}", "dim")
    if joules.energy_row(report):
        yield "energy", styled(joules.one_line(report))
        if report.get("duty") and (average := on_average(report)):
            yield "on average", styled(average)
    yield from _fill_row("clocks", speed.at_other_clocks(report))


def _l2_row(report: Report) -> Text:
    used = near_memory.of_limit(near_memory.bytes_in_use(report), report["target"]["l2_bytes"])
    if external := near_memory.external_parts(report):
        used += f", external parts: {external}"
    others = (*near_memory.beside(report), *near_memory.behind_l2(report))
    parts = "; ".join([near_memory.sized(near_memory.sizes(report)), *others])
    return styled(used, "bold").append(f"\n{parts}")


def _equivalence_row(report: Report) -> Text:
    text, missing = styled("NumPy int8"), []
    for backend, is_exact in report["exact"].items():
        name = backend_text(backend)
        if speed.outputs_compared(report, backend):
            text.append(f" = {name} (outputs)", COMPARISON_STYLES[True])
        elif is_exact is None:
            missing.append(name)
        else:
            text.append(f" {'=' if is_exact else '≠'} {name}", COMPARISON_STYLES[is_exact])
    return text.append(f"; not run: {', '.join(missing)}", "dim") if missing else text


def shown_layers(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the layers to print, in network order: the slowest, and those with the lowest SQNR."""
    if len(layers) <= MAX_LAYERS:
        return layers

    def cost(row: dict[str, Any]) -> tuple[int, ...]:
        return speed.layer_cycles(row) or 0, row["macs"], row["weights_bytes"]

    by_cost = sorted(layers, key=cost, reverse=True)
    measured = [row for row in layers if row["sqnr_local_db"] is not None]
    weakest = sorted(measured, key=lambda row: float(row["sqnr_local_db"]))[:3]
    chosen = list(dict.fromkeys(row["name"] for row in (*weakest, *by_cost)))[:MAX_LAYERS]
    return [row for row in layers if row["name"] in chosen]


def _layers_table(report: Report, width: int) -> Iterator[Table | Text]:
    """Yield the table of layers with the columns that fit, and a line on what it omits."""
    names, layers = wording.layer_names(report), shown_layers(report["layers"])
    rows = [layer_cells(report, row, names[row["name"]]) for row in layers]
    weak = {**STYLES, "dB alone": "bold red"}
    styles = [weak if fidelity.is_weak(report, row) else STYLES for row in layers]
    if outside := speed.outside_layers(report):
        percent = wording.rough_percent(outside[1], report["cycles"]["total"])
        rows.append({"layer": outside[0], "cycles": f"{outside[1]:,}", "share": percent})
        styles.append(dict.fromkeys(COLUMNS, "dim"))
    titles = _column_titles(report)
    chars = column_chars(titles, rows)
    chars["operator"] = min(chars["operator"], MAX_OPERATOR_CHARS + GAP_CHARS)
    shown = _columns_that_fit(chars, width)
    name_chars = width - sum(chars[name] for name in shown[1:]) - GAP_CHARS
    short = shortened([row["layer"] for row in rows], max(name_chars, MIN_NAME_CHARS))
    table = columns((titles[name] for name in shown), no_wrap=True)
    for cells, name, looks in zip(rows, short, styles, strict=True):
        broken = in_lines(cells.get("operator", ""), MAX_OPERATOR_CHARS)
        row = {**cells, "layer": name, "operator": broken}
        table.add_row(*(styled(row.get(x, ""), looks.get(x, "")) for x in shown))
    yield table
    yield from _omitted_columns_line(report, titles, shown)


def _omitted_columns_line(
    report: Report, titles: Mapping[str, str], shown: list[str]
) -> Iterator[Text]:
    """Yield a line with the titles of omitted columns and the number of omitted layers, if any."""
    omitted = len(report["layers"]) - len(shown_layers(report["layers"]))
    names = [title for name, title in titles.items() if name not in shown]
    names += [wording.several(omitted, "smaller layer")] * (omitted > 0)
    if names:
        yield styled(f"not shown: {', '.join(names)}: in layers.csv", "dim")


def _column_titles(report: Report) -> dict[str, str]:
    """Return the table's columns that have values: column -> title."""
    ran, modelled = speed.cycles(report) is not None, speed.is_modelled(report)
    known = {
        "engine": bool(wording.engines(report)),
        "cycles": ran,
        "instructions": "instructions" in report,
        "MAC/cycle": ran and not modelled,
    }
    of_macs = not ran and "instructions" not in report
    renamed = {"cycles": "modelled"} if modelled else {"share": "of MACs"} if of_macs else {}
    return {name: renamed.get(name, name) for name in COLUMNS if known.get(name, True)}


def _columns_that_fit(chars: Mapping[str, int], width: int) -> list[str]:
    """Return the columns that fit the width, chosen by importance, in the order of the table."""
    chosen, free = ["layer"], width - min(chars["layer"], USUAL_NAME_CHARS + GAP_CHARS)
    for name in sorted(chars.keys() - {"layer"}, key=COLUMNS.__getitem__):
        if chars[name] <= free:
            chosen.append(name)
            free -= chars[name]
    return [name for name in chars if name in chosen]


def _engine_table(report: Report) -> ReportTable:
    """Return the table of MAC layers and the reasons against the other engine, if there is one."""
    names = wording.layer_names(report)
    cells = tuple(
        (names[row["name"]], wording.engine(row), row["other_engine"])
        for row in shown_layers(report["layers"])
        if row["macs"] and row.get("other_engine")
    )
    return ReportTable(ENGINE_TITLES, cells, words=ENGINE_TITLES)


def _share(report: Report, row: Mapping[str, Any]) -> str:
    """Return a layer's share of the cycles, without them of the instructions, or of the MACs."""
    if counts := speed.cycles(report):
        return wording.rough_percent(speed.layer_cycles(row) or 0, counts["total"])
    if counted := report.get("instructions"):
        return wording.rough_percent(row["instructions"] or 0, counted["total"])
    return wording.rough_percent(row["macs"], report["model"]["macs"])


def layer_cells(report: Report, row: dict[str, Any], name: str) -> dict[str, str]:
    """Return the texts of a layer in tables: title of the column -> text.

    name   display name of the layer
    """
    cycles = speed.layer_cycles(row)
    count = row["instructions"] if "instructions" in report else None  # in QEMU
    bits = row.get("weight_bits") or 8
    weights = f"{wording.size(row['weights_bytes'])}{f', {bits} bits' * (bits < 8)}"
    return {
        "layer": printable(name),
        "operator": wording.operator(row),
        "engine": wording.engine(row),
        "output": dims(row["out_shape"]),
        "MACs": wording.count(row["macs"]) if row["macs"] else "",
        "cycles": "" if cycles is None else f"{cycles:,}",
        "instructions": "" if count is None else f"{count:,}",
        "share": _share(report, row),
        "MAC/cycle": speed.rate(row["macs"], cycles),
        ACCELERATOR.text: wording.rough_percent(row.get(BUSY) or 0, cycles or 0),
        "weights": weights if row["weights_bytes"] else "",
        "dB alone": wording.decibels(row["sqnr_local_db"], ""),
        "dB so far": wording.decibels(row["sqnr_db"], ""),
    }


def _measured_suggestions(report: Report) -> Iterable[Text]:
    """Yield the suggestions of `myoedge advise` that were measured for this build, as text."""
    rows = (report.get("advice") or {}).get("suggestions", ())
    for title, row in zip(chain(["what to do next"], repeat("")), rows, strict=False):
        text = styled("\n").append(title, "bold") if title else styled("")
        how = [f"    {printable(line)}" for line in row["how"].split("\n")]
        lines = [f"  {printable(row['text'])}", *how]
        yield text.append("\n".join([*([""] if title else []), *lines]))


def _notice_lines(report: Report) -> Iterable[Text]:
    advice = fidelity.advice(report)
    if advice:
        weak = report["quantization"]["weakest"]["sqnr_local_db"] < WEAK_DB
        yield styled("\n").append(printable(advice), "yellow" if weak else "dim")
    rows = (Notice(w["code"], w["title"], w["facts"], w["tries"]) for w in report["warnings"])
    notices = [(row.text("warning"), "bold yellow") for row in rows]
    if over := over_goals(report):
        notices.append((over.text("error"), "bold red"))
    for text, style in notices:
        kind, _, rest = "\n".join(map(printable, text.split("\n"))).partition(" ")
        yield styled(f"\n{kind} ", style).append(rest)
