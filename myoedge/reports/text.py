# SPDX-License-Identifier: Apache-2.0
"""The summary of a build on a terminal: one screen, also without colour and on 80 columns."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from myoedge.errors import Notice
from myoedge.reports import energy as joules
from myoedge.reports import speed, streams, words
from myoedge.reports.int16 import costs, wide
from myoedge.reports.latency_check import over_latency
from myoedge.reports.rows import WEAK_DB, Report, dims

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.padding import Padding
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text

MOST_LAYERS = 16  # rows of the table, so that the whole fits a screen
ANSWER_STYLES = {True: "green", False: "bold red"}
# with the width of the terminal from which on a column is shown
COLUMNS: tuple[tuple[str, int], ...] = (
    ("layer", 0),
    ("operator", 72),
    ("output", 100),
    ("MACs", 0),
    ("share", 64),
    ("weights", 56),
    ("dB alone", 0),
    ("dB so far", 48),
)
MODELLED_COLUMNS = (
    ("layer", 0),
    ("operator", 72),
    ("output", 112),
    ("MACs", 48),
    ("cycles", 0),
    ("share", 96),
    ("weights", 64),
    ("dB alone", 0),
    ("dB so far", 56),
)
MEASURED_COLUMNS = (
    ("layer", 0),
    ("operator", 72),
    ("output", 124),
    ("MACs", 48),
    ("cycles", 0),
    ("share", 64),
    ("MAC/cycle", 0),
    ("weights", 112),
    ("dB alone", 72),
    ("dB so far", 100),
)
LEFT = ("layer", "operator", "output")
LEAST_CHARS = 8  # of a layer's name


def summary(report: Report, *, width: int = 80, html: str = "") -> str:
    """The summary as plain text. html: where report.html lies, shown on the last line."""
    from rich.console import Console

    text = io.StringIO()
    print_report(report, Console(file=text, width=width, no_color=True), html=html)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def print_report(report: Report, console: Console, *, html: str = "") -> None:
    """Model, fidelity, memory, ladder of exactness, layers and warnings."""
    from rich.padding import Padding

    console.print(_title(report))
    show(Padding(facts(_fact_rows(report)), (1, 0)), console)
    if report["layers"]:
        show(_layers(report, console.width), console)
        hidden = len(report["layers"]) - len(shown_layers(report["layers"]))
        if hidden:
            console.print(_text(f"{hidden} smaller layers are in layers.csv", "dim"))
    for line in _notices(report):
        show(line, console)
    if html:
        console.print(_text("\n").append(f"report: {clean(html)}"), soft_wrap=True)


def show(block: Table | Padding | Text, console: Console) -> None:
    """Prints without blanks at line ends, where rich leaves them."""
    console.print(Lines(lambda _: [block]), end="")


@dataclass(frozen=True, slots=True)
class Lines:
    """Blocks for rich, drawn for a width; their lines end without blanks."""

    draw: Callable[[int], Iterable[Table | Padding | Text]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for block in self.draw(options.max_width):
            for line in console.render_lines(block, options, pad=False):
                yield from (*_stripped(line), Segment.line())


def _stripped(line: list[Segment]) -> list[Segment]:
    kept = list(line)
    while kept and not kept[-1].text.strip():
        kept.pop()
    if kept:
        kept[-1] = kept[-1]._replace(text=kept[-1].text.rstrip())
    return kept


def clean(text: str) -> str:
    """Text from a user's program on one line, without anything that steers a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def clean_lines(text: str) -> str:
    return "\n".join(map(clean, text.split("\n")))


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(clean(text) if "\n" not in text else text, style)


def _title(report: Report) -> Text:
    from rich.text import Text

    model, target = report["model"], report["target"]
    title = Text.assemble((clean(model["name"]), "bold"), " for ", (target["chip"], "bold"))
    return title.append(f"  model {model['digest'][:16]}", "dim")


def facts(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Names and what there is to say of them, folded beside the names."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def _fact_rows(report: Report) -> Iterable[tuple[str, Text]]:
    memory, found = report["memory"], wide(report)
    yield "network", _text(_network(report))
    yield from _fidelity(report)
    if report.get("reused"):
        yield "reused", _text(words.reused(report["reused"]))
    yield from _time(report)
    if "stream" in report:
        yield "stream", _text("\n".join([streams.in_short(report), *streams.by_point(report)]))
    yield "L2 memory", _l2(report)
    yield "activations", _text(words.bound(report))
    if found is not None:
        yield "16 bits", _text(costs(report, found))
    yield "scales", _text(words.calibrated(report), "yellow" if words.on_examples(report) else "")
    yield "exact", _ladder(report)
    if memory["l1_peak_bytes"] is not None:
        ran = speed.cycles(report) is not None and not speed.is_modelled(report)
        said = "written to by the run" if ran else "planned, at its peak"
        yield "L1 memory", _text(f"{words.size(memory['l1_peak_bytes'])} {said}")


def _network(report: Report) -> str:
    model = report["model"]
    work = f"{words.count(model['macs'])} MAC{'s' * (model['macs'] != 1)}"
    border = (words.shapes(streams.given(report, ports)) for ports in ("inputs", "outputs"))
    layers = words.several(len(report["layers"]), "layer")
    return f"{words.several(model['params'], 'parameter')}, {work}, {layers}; {' -> '.join(border)}"


def _fidelity(report: Report) -> Iterable[tuple[str, Text]]:
    q = report["quantization"]
    if q["accuracy_int8"] is not None or q["accuracy_float"] is not None:
        yield "accuracy", _accuracy(report)
    if q["sqnr_db"] is not None:
        samples = words.several(q["samples"], "calibration sample")
        ports = streams.given(report, "outputs")
        each = {port["name"]: port.get("sqnr_db") for port in ports}
        place = words.at_outputs(each, q.get("sqnr_before", ()))
        yield "SQNR", _text(f"{words.decibels(q['sqnr_db'])} {place}, {samples}")


def _time(report: Report) -> Iterable[tuple[str, Text]]:
    """Cycles, modelled or measured, and the energy that goes with them."""
    if speed.is_modelled(report):
        yield "modelled", _text(speed.in_short(report))
    elif speed.cycles(report):
        yield "latency", _text(speed.latency(report))
        yield "cycles", _cycles(report)
    if joules.known(report):
        yield "energy", _text(joules.in_short(report))
        if average := joules.on_average(report):
            yield "on average", _text(average)


def _accuracy(report: Report) -> Text:
    q = report["quantization"]
    text = _text(f"float {words.percent(q['accuracy_float'])}   ")
    text.append(f"int8 {words.percent(q['accuracy_int8'])}", "bold")
    change = words.points(report)
    notes = filter(None, (change, q["accuracy_source"]))
    return text.append(f"   {', '.join(notes)}", "dim")


def _cycles(report: Report) -> Text:
    total, macs = report["cycles"]["total"], report["model"]["macs"]
    text = _text(f"{total:,}", "bold").append(f", {speed.rate(macs, total) or 0} MAC/cycle", "")
    return text.append(f"   {speed.measured_on(report)}", "dim")


def _l2(report: Report) -> Text:
    memory, l2_bytes = report["memory"], report["target"]["l2_bytes"]
    peak, ports = memory["l2_peak_bytes"], memory["input_bytes"] + memory["output_bytes"]
    weights, arena = words.size(memory["weights_bytes"]), words.size(memory["arena_bytes"])
    text = _text(words.size(peak), "bold")
    if l2_bytes:
        text.append(f" of {words.size(l2_bytes)} ({words.percent(words.share(peak, l2_bytes))})")
    parts = f"weights {weights}, activations {arena}, in and out {words.size(ports)}"
    if memory["l3_bytes"]:
        parts += f"; from L3 in every run: {words.from_l3(report)}"
    return text.append(f"\n{parts}")


def _ladder(report: Report) -> Text:
    from rich.text import Text

    text, exact = Text("NumPy int8"), report["exact"]
    for rung, answer in exact.items():
        if answer is not None:
            text.append(" = " if answer else " ≠ ", ANSWER_STYLES[answer])
            text.append(words.RUNG_NAMES[rung], ANSWER_STYLES[answer])
    missing = [words.RUNG_NAMES[rung] for rung, answer in exact.items() if answer is None]
    return text.append(f"; not run: {', '.join(missing)}", "dim") if missing else text


def shown_layers(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All layers, or those that cost most together with the weakest, in network order."""
    if len(layers) <= MOST_LAYERS:
        return layers
    by_cost = sorted(layers, key=_cost, reverse=True)
    measured = [row for row in layers if row["sqnr_local_db"] is not None]
    weakest = sorted(measured, key=lambda row: float(row["sqnr_local_db"]))[:3]
    kept = list(dict.fromkeys(row["name"] for row in (*weakest, *by_cost)))[:MOST_LAYERS]
    return [row for row in layers if row["name"] in kept]


def _cost(row: dict[str, Any]) -> tuple[int, ...]:
    return speed.layer_cycles(row) or 0, row["macs"], row["weights_bytes"]


def _layers(report: Report, width: int) -> Table:
    from rich.table import Table

    heads = [head for head, least in _columns(report) if width >= least]
    titles = {"cycles": "modelled"} if speed.is_modelled(report) else {}
    places = words.layer_places(report)
    rows = [_cells(row, report, places[row["name"]]) for row in shown_layers(report["layers"])]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    least = {
        head: max(len(titles.get(head, head)), *(len(row[head]) for row in rows)) + 2
        for head in heads
    }
    free = width - sum(least[head] for head in heads if head not in ("layer", "operator"))
    # names and operators share what the numbers leave
    operator = min(least.get("operator", 0), max(free - least["layer"], free // 2))
    for head in heads:
        justify: Literal["left", "right"] = "left" if head in LEFT else "right"
        table.add_column(titles.get(head, head), justify=justify, no_wrap=True)
    names = [row["layer"].plain for row in rows]
    short = words.shortened(names, max(free - operator - 2, LEAST_CHARS))
    for name, row in zip(short, rows, strict=True):
        row["layer"] = _text(name, "bold")
        row["operator"].truncate(max(operator - 2, LEAST_CHARS), overflow="ellipsis")
        table.add_row(*(row[head] for head in heads))
    if (outside := speed.outside_layers(report)) and "cycles" in heads:
        table.add_row(*_outside(*outside, heads, report))
    return table


def _outside(name: str, cycles: int, heads: Iterable[str], report: Report) -> Iterator[Text]:
    share = words.rough_percent(cycles, report["cycles"]["total"])
    cells = {"layer": name, "cycles": f"{cycles:,}", "share": share}
    return (_text(cells.get(head, ""), "dim") for head in heads)


def _columns(report: Report) -> tuple[tuple[str, int], ...]:
    if speed.cycles(report) is None:
        return COLUMNS
    return MODELLED_COLUMNS if speed.is_modelled(report) else MEASURED_COLUMNS


def _cells(row: dict[str, Any], report: Report, place: str) -> dict[str, Text]:
    found, cycles = speed.cycles(report), speed.layer_cycles(row)
    part = (cycles or 0, found["total"]) if found else (row["macs"], report["model"]["macs"])
    weak = row["sqnr_local_db"] is not None and row["sqnr_local_db"] < WEAK_DB
    return {
        "layer": _text(place, "bold"),
        "operator": _text(words.what(row)),
        "output": _text(dims(row["out_shape"]), "dim"),
        "MACs": _text(words.count(row["macs"]) if row["macs"] else ""),
        "cycles": _text(f"{cycles:,}" if cycles is not None else ""),
        "share": _text(words.rough_percent(*part)),
        "MAC/cycle": _text(speed.rate(row["macs"], cycles)),
        "weights": _text(words.size(row["weights_bytes"]) if row["weights_bytes"] else ""),
        "dB alone": _text(words.decibels(row["sqnr_local_db"], ""), "bold red" if weak else ""),
        "dB so far": _text(words.decibels(row["sqnr_db"], "")),
    }


def _notices(report: Report) -> Iterable[Text]:
    advice = words.advice(report)
    if advice:
        weak = report["quantization"]["weakest"]["sqnr_local_db"] < WEAK_DB
        yield _text("\n").append(clean(advice), "yellow" if weak else "dim")
    told = [Notice(w["code"], w["title"], w["facts"], w["tries"]) for w in report["warnings"]]
    over = over_latency(report)
    for text in (*(n.text("warning") for n in told), *([over.text("error")] if over else ())):
        kind, _, rest = clean_lines(text).partition(" ")
        yield _text(f"\n{kind} ", "bold red" if kind.startswith("error") else "bold yellow").append(
            rest
        )
