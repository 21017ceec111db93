# SPDX-License-Identifier: Apache-2.0
"""Summary of a build on a terminal: one screen, also without colour and on 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from myoedge.backends.names import BACKENDS
from myoedge.errors import Notice
from myoedge.reports import energy as joules
from myoedge.reports import speed, streams, wording
from myoedge.reports.budget_check import over_latency
from myoedge.reports.report_json import WEAK_DB, Report, dims

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.padding import Padding
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text

MAX_LAYERS = 15  # rows of the table, so that the whole fits a screen
COMPARISON_STYLES = {True: "green", False: "bold red"}
# the width of the terminal from which on a column is shown: without cycles, modelled, measured
NEVER = 1 << 30
COLUMNS = {
    "layer": (0, 0, 0),
    "operator": (72, 72, 72),
    "engine": (48, 64, 72),
    "output": (100, 112, 124),
    "MACs": (0, 48, 48),
    "cycles": (NEVER, 0, 0),
    "share": (64, 96, 64),
    "MAC/cycle": (NEVER, NEVER, 0),
    "weights": (56, 64, 112),
    "dB alone": (0, 0, 72),
    "dB so far": (48, 56, 100),
}
LEFT = ("layer", "operator", "engine", "output")
MIN_NAME_CHARS = 8  # of a layer's name


def print_report(report: Report, console: Console, *, html: str = "") -> None:
    """Prints model, fidelity, memory, equivalence, layers and warnings."""
    from rich.padding import Padding

    console.print(_title(report))
    show(Padding(facts(_fact_rows(report)), (1, 0)), console)
    if report["layers"]:
        show(_layers(report, console.width), console)
        omitted = len(report["layers"]) - len(shown_layers(report["layers"]))
        if omitted:
            console.print(_text(f"{omitted} smaller layers are in layers.csv", "dim"))
        engines = [*_engine_rows(report)]
        if engines and len(report["layers"]) + len(engines) <= MAX_LAYERS:
            show(Padding(_engines(engines), (1, 0, 0, 0)), console)
    for line in _notices(report):
        show(line, console)
    if html:
        console.print(_text("\n").append(f"report: {clean(html)}"), soft_wrap=True)


def show(block: Table | Padding | Text, console: Console) -> None:
    """Prints a block without trailing blanks, which rich leaves at line ends."""
    console.print(Lines(lambda _: [block]), end="")


@dataclass(frozen=True, slots=True)
class Lines:
    """Blocks for rich, rendered at the console's width, without trailing blanks."""

    draw: Callable[[int], Iterable[Table | Padding | Text]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for block in self.draw(options.max_width):
            for line in console.render_lines(block, options, pad=False):
                segments = list(line)
                while segments and not segments[-1].text.strip():
                    segments.pop()
                if segments:
                    segments[-1] = segments[-1]._replace(text=segments[-1].text.rstrip())
                yield from (*segments, Segment.line())


def clean(text: str) -> str:
    """Text from a user's program on one line, without terminal control characters."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(clean(text) if "\n" not in text else text, style)


def _title(report: Report) -> Text:
    from rich.text import Text

    model, target = report["model"], report["target"]
    title = Text.assemble((clean(model["name"]), "bold"), " for ", (target["chip"], "bold"))
    return title.append(f"  model {model['digest'][:16]}", "dim")


def columns(titles: Iterable[str], *, left: Container[str] = LEFT, **options: Any) -> Table:
    """A table without lines; numbers are at the right. options: of every column, as rich has."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in titles:
        table.add_column(title, justify="left" if title in left else "right", **options)
    return table


def facts(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """A table of names and values, values folded beside the names."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def _fact_rows(report: Report) -> Iterable[tuple[str, Text]]:
    memory = report["memory"]
    model, count = report["model"], wording.several
    work = f"{wording.count(model['macs'])} MAC{'s' * (model['macs'] != 1)}"
    shapes = (wording.shapes(streams.frame_ports(report, name)) for name in ("inputs", "outputs"))
    sizes = (count(model["params"], "parameter"), work, count(len(report["layers"]), "layer"))
    yield "network", _text(f"{', '.join(sizes)}; {' -> '.join(shapes)}")
    yield from _fidelity(report)
    if report.get("reused"):
        yield "reused", _text(wording.reused(report["reused"]))
    yield from _time(report)
    if engines := wording.engines(report):
        yield "engines", _text(engines)
    if "stream" in report:
        yield "stream", _text("\n".join([streams.one_line(report), *streams.by_point(report)]))
    yield "L2 memory", _l2(report)
    yield "activations", _text(wording.arena_bound(report))
    if int16_text := speed.int16_costs(report):
        yield "int16", _text(int16_text)
    if choices := report["quantization"].get("choices"):
        yield "refined", _text("\n".join(map(wording.refined, choices)))
    style = "yellow" if wording.on_examples(report) else ""
    yield "scales", _text(wording.calibrated(report), style)
    yield "exact", _equivalence(report)
    if memory["l1_peak_bytes"] is not None:
        ran = speed.cycles(report) is not None and not speed.is_modelled(report)
        source = "written by the run" if ran else "planned, at its peak"
        yield "L1 memory", _text(f"{wording.size(memory['l1_peak_bytes'])} {source}")


def _fidelity(report: Report) -> Iterable[tuple[str, Text]]:
    q = report["quantization"]
    if q["accuracy_int8"] is not None or q["accuracy_float"] is not None:
        text = _text(f"float {wording.percent(q['accuracy_float'])}   ")
        text.append(f"int8 {wording.percent(q['accuracy_int8'])}", "bold")
        notes = filter(None, (wording.points(report), q["accuracy_source"]))
        yield "accuracy", text.append(f"   {', '.join(notes)}", "dim")
    if q["sqnr_db"] is not None:
        ports = streams.frame_ports(report, "outputs")
        where = wording.at_outputs(ports, q.get("sqnr_before", ()))
        yield "SQNR", _text(f"{wording.decibels(q['sqnr_db'])} {where}; {wording.judged(report)}")


def _time(report: Report) -> Iterable[tuple[str, Text]]:
    """Cycles, modelled or measured, and energy."""
    if speed.is_modelled(report):
        yield "modelled", _text(speed.one_line(report))
    elif speed.cycles(report):
        total, macs = report["cycles"]["total"], report["model"]["macs"]
        yield "latency", _text(speed.latency(report))
        text = _text(f"{total:,}", "bold").append(f", {speed.rate(macs, total) or 0} MAC/cycle", "")
        yield "cycles", text.append(f"   {speed.measured_on(report)}", "dim")
    if joules.energy_row(report):
        yield "energy", _text(joules.one_line(report))
        if average := joules.on_average(report):
            yield "on average", _text(average)


def _l2(report: Report) -> Text:
    memory, l2_bytes = report["memory"], report["target"]["l2_bytes"]
    peak, ports = memory["l2_peak_bytes"], memory["input_bytes"] + memory["output_bytes"]
    weights, arena = wording.size(memory["weights_bytes"]), wording.size(memory["arena_bytes"])
    text = _text(wording.size(peak), "bold")
    if l2_bytes:
        text.append(
            f" of {wording.size(l2_bytes)} ({wording.percent(wording.fraction(peak, l2_bytes))})"
        )
    parts = f"weights {weights}, activations {arena}, in and out {wording.size(ports)}"
    if memory["l3_bytes"]:
        parts += f"; from L3 in every run: {wording.from_l3(report)}"
    return text.append(f"\n{parts}")


def _equivalence(report: Report) -> Text:
    text, missing = _text("NumPy int8"), []
    for backend, is_exact in report["exact"].items():
        name = BACKENDS[backend].text
        if speed.outputs_compared(report, backend):
            text.append(f" = {name} (outputs)", COMPARISON_STYLES[True])
        elif is_exact is None:
            missing.append(name)
        else:
            text.append(f" {'=' if is_exact else '≠'} {name}", COMPARISON_STYLES[is_exact])
    return text.append(f"; not run: {', '.join(missing)}", "dim") if missing else text


def shown_layers(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All layers, or the slowest and the weakest, in network order."""
    if len(layers) <= MAX_LAYERS:
        return layers

    def cost(row: dict[str, Any]) -> tuple[int, ...]:
        return speed.layer_cycles(row) or 0, row["macs"], row["weights_bytes"]

    by_cost = sorted(layers, key=cost, reverse=True)
    measured = [row for row in layers if row["sqnr_local_db"] is not None]
    weakest = sorted(measured, key=lambda row: float(row["sqnr_local_db"]))[:3]
    chosen = list(dict.fromkeys(row["name"] for row in (*weakest, *by_cost)))[:MAX_LAYERS]
    return [row for row in layers if row["name"] in chosen]


def _layers(report: Report, width: int) -> Table:
    modelled = speed.is_modelled(report)
    kind = 0 if speed.cycles(report) is None else 1 if modelled else 2
    titles = {
        name: "modelled" if modelled and name == "cycles" else name
        for name, min_widths in COLUMNS.items()
        if width >= min_widths[kind] and (name != "engine" or wording.engines(report))
    }
    places = wording.layer_places(report)
    rows = [_cells(row, report, places[row["name"]]) for row in shown_layers(report["layers"])]
    chars = {
        name: max(len(title), *(len(row[name]) for row in rows)) + 2
        for name, title in titles.items()
    }
    free = width - sum(n for name, n in chars.items() if name not in ("layer", "operator"))
    # names and operators share what the numbers leave
    operator = min(chars.get("operator", 0), max(free - chars["layer"], free // 2))
    table = columns(titles.values(), no_wrap=True)
    names = [row["layer"].plain for row in rows]
    short = wording.shortened(names, max(free - operator - 2, MIN_NAME_CHARS))
    for name, row in zip(short, rows, strict=True):
        row["layer"] = _text(name, "bold")
        row["operator"].truncate(max(operator - 2, MIN_NAME_CHARS), overflow="ellipsis")
        table.add_row(*(row[column] for column in titles))
    if (outside := speed.outside_layers(report)) and "cycles" in titles:
        percent = wording.rough_percent(outside[1], report["cycles"]["total"])
        cells = {"layer": outside[0], "cycles": f"{outside[1]:,}", "share": percent}
        table.add_row(*(_text(cells.get(column, ""), "dim") for column in titles))
    return table


def _engine_rows(report: Report) -> Iterator[tuple[str, str, str]]:
    """(layer, its engine, why not the other) of shown layers that multiply, where there are two."""
    names = wording.layer_names(report)
    for row in shown_layers(report["layers"]):
        if row["macs"] and row.get("other_engine"):
            yield names[row["name"]], wording.engine(row), row["other_engine"]


def _engines(rows: Iterable[tuple[str, str, str]]) -> Table:
    titles = ("layer", "engine", "why not the other")
    table = columns(titles, left=titles, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*map(_text, row))
    return table


def _cells(row: dict[str, Any], report: Report, place: str) -> dict[str, Text]:
    counts, cycles = speed.cycles(report), speed.layer_cycles(row)
    fraction_of = (
        (cycles or 0, counts["total"]) if counts else (row["macs"], report["model"]["macs"])
    )
    weak = row["sqnr_local_db"] is not None and row["sqnr_local_db"] < WEAK_DB
    return {
        "layer": _text(place, "bold"),
        "operator": _text(wording.operator(row)),
        "engine": _text(wording.engine(row)),
        "output": _text(dims(row["out_shape"]), "dim"),
        "MACs": _text(wording.count(row["macs"]) if row["macs"] else ""),
        "cycles": _text(f"{cycles:,}" if cycles is not None else ""),
        "share": _text(wording.rough_percent(*fraction_of)),
        "MAC/cycle": _text(speed.rate(row["macs"], cycles)),
        "weights": _text(_weights(row)),
        "dB alone": _text(wording.decibels(row["sqnr_local_db"], ""), "bold red" if weak else ""),
        "dB so far": _text(wording.decibels(row["sqnr_db"], "")),
    }


def _weights(row: dict[str, Any]) -> str:
    """Size of a layer's weights, with their bits where these are fewer than 8."""
    if not row["weights_bytes"]:
        return ""
    bits = row.get("weight_bits") or 8
    return wording.size(row["weights_bytes"]) + (f", {bits} bits" if bits < 8 else "")


def _notices(report: Report) -> Iterable[Text]:
    advice = wording.advice(report)
    if advice:
        weak = report["quantization"]["weakest"]["sqnr_local_db"] < WEAK_DB
        yield _text("\n").append(clean(advice), "yellow" if weak else "dim")
    rows = (Notice(w["code"], w["title"], w["facts"], w["tries"]) for w in report["warnings"])
    notices = [(row.text("warning"), "bold yellow") for row in rows]
    if over := over_latency(report):
        notices.append((over.text("error"), "bold red"))
    for text, style in notices:
        kind, _, rest = "\n".join(map(clean, text.split("\n"))).partition(" ")
        yield _text(f"\n{kind} ", style).append(rest)
