# SPDX-License-Identifier: Apache-2.0
"""HTML pages in one file, without active scripts or external resources: report.html, which contains
report.json and a summary in two or three sentences, and the comparison of two builds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.backends.names import backend_text
from myoedge.codegen.render import new_environment
from myoedge.errors import printable
from myoedge.operators import layer_names as naming
from myoedge.reports import (
    charts,
    duty_lines,
    energy,
    evaluation_lines,
    fidelity,
    memory_maps,
    near_memory,
    speed,
    streams,
    wording,
)
from myoedge.reports.budget import budget_lines
from myoedge.reports.diff import (
    Change,
    cells,
    compare,
    kind_of,
    paired_facts,
    paired_layers,
)
from myoedge.reports.evaluation_lines import class_names, interval, matrix, samples_of
from myoedge.reports.evaluations import EXACT_DB
from myoedge.reports.facts import FACT_OF, verdict_of
from myoedge.reports.network_map import network_map
from myoedge.reports.period import decision
from myoedge.reports.report_json import WEAK_DB, Report, dims
from myoedge.reports.sections import sections
from myoedge.system.hooks import hooks, load
from myoedge.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment


MOST_ROWS = 40  # classes
# Text that ends a script element or begins another; escaped, it is the same JSON.
JSON_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def report_html(report: Report) -> str:
    """Return the report as an HTML page; text from the user's program is escaped."""
    from markupsafe import Markup

    embedded = json.dumps(report, allow_nan=False, sort_keys=True).translate(JSON_ESCAPES)
    return (
        environment()
        .get_template("report/report.html.j2")
        .render(
            r=report,
            sections=[
                (x, load(x, "line")(report), load(x, "table")(report)) for x in sections(report)
            ],
            cards={x.name: load(x, "card")(report) for x in sections(report) if x.card},
            version=__version__,
            memory=memory_maps.l2(report),
            l1=memory_maps.l1(report),
            noise=charts.noise(report),
            budget=memory_maps.budget(report),
            time=charts.time(report),
            network=network_map(report),
            panels=[Markup(load(x)(report)) for x in hooks("panels") if x.name in report],
            application=duty_lines.of_application(report) if report.get("duty") else {},
            decision=decision(report),
            layer_names=wording.layer_names(report),
            embedded=Markup(embedded),
        )
    )


@cache
def environment(folder: Path | None = None) -> Environment:
    """Return the jinja2 environment of the HTML pages, which escapes text.

    folder   of an extension's templates
    """
    env = new_environment(escape=True, folder=folder)
    env.globals.update(
        backend_text=backend_text,
        budget_lines=budget_lines,
        duty_lines=duty_lines,
        energy=energy,
        evaluation=evaluation_lines,
        fidelity=fidelity,
        naming=naming,
        near_memory=near_memory,
        speed=speed,
        streams=streams,
        verdict=verdict,
        wording=wording,
        EXACT_DB=EXACT_DB,
        MOST_ROWS=MOST_ROWS,
        WEAK_DB=WEAK_DB,
    )
    env.filters.update(
        dims=dims,
        size=wording.size,
        count=wording.count,
        no_break=wording.no_break,
        db=wording.decibels,
        percent=wording.percent,
        operator=wording.operator,
    )
    return env


def verdict(report: Report) -> str:
    """Return two or three sentences that sum up a report, made of measured values only."""
    parts = [_fidelity_section(report), _memory_section(report), _speed_section(report)]
    exact, same, wrong = report["exact"], "", ""
    if names := [backend_text(name) for name, is_exact in exact.items() if is_exact]:
        same = f"Bit for bit the same as the reference: {', '.join(names)}."
    if names := [backend_text(name) for name in exact if exact[name] is False]:
        wrong = f"Wrong integers: {', '.join(names)}."
    return " ".join(filter(None, [wrong, *parts] if wrong else [*parts, same]))


def _memory_section(report: Report) -> str:
    l2_bytes = report["target"]["l2_bytes"]
    limit = f" of {wording.size(l2_bytes)}" if l2_bytes else ""
    space = f"It takes {wording.size(near_memory.bytes_in_use(report))}{limit} of "
    space += near_memory.title(report)
    if flash := near_memory.flash_sizes(report):  # weights are read in place
        limit = report["target"]["flash_bytes"]
        space += f" and {near_memory.of_limit(near_memory.used_bytes(flash), limit)} of flash"
    if external := near_memory.external_parts(report):
        boot_image = wording.size(report["memory"]["boot_image_bytes"])
        space += f", a boot image of {boot_image}, and {external.replace('none', 'no part')} beside"
        space += " the chip"
    return f"{space}."


def _fidelity_section(report: Report) -> str:
    q = report["quantization"]
    if q["accuracy_int8"] is not None:
        of_int8, of_float = (wording.percent(q[f"accuracy_{name}"]) for name in ("int8", "float"))
        other = "" if q["accuracy_float"] is None else f", in float {of_float}"
        return f"In int8 the network gets {of_int8} of {_label_output(q)} right{other}."
    if q.get("targets"):
        return f"{evaluation_lines.sentence(q['targets']['all'])} of {_label_output(q)}."
    if q["sqnr_db"] is None:
        return ""
    return f"The SQNR of the int8 outputs is {fidelity.sqnr(q)}."


def _label_output(q: Mapping[str, Any]) -> str:
    is_test = evaluation_lines.is_of_test_set(q)
    return "the test set" if is_test else "the calibration recording"


def _speed_section(report: Report) -> str:
    if speed.cycles(report) is None:
        return ""
    time, point = speed.latencies(report)[0]
    run = "A pass of the stream" if "stream" in report else "An inference"
    if speed.is_modelled(report):
        return f"{run} takes an estimated {time} at {point}; the firmware has not run yet."
    row = energy.energy_row(report)
    cost = f", and about {energy.in_joules(row)} by the energy model" if row else ""
    return f"{run} takes {time} at {point} on {speed.the_place(report)}{cost}."


# --- comparison of two builds ---------------------------------------------------------------------


FIGURES = (  # metrics shown as cards, if both builds have them
    *("latency_s", "cycles.total", "energy_uj.value", "quantization.sqnr_db"),
    *("decision_s", "duty.average_mw.0"),
    *("quantization.accuracy_int8", "quantization.targets.all.rmse_int8"),
    *("memory.l2_peak_bytes", "memory.weights_bytes"),
)
MOST_LAYERS = 60  # layers with bars


def comparison_html(old: Report, new: Report, titles: tuple[str, str]) -> str:
    """Return the comparison as one HTML file without external resources or scripts.

    titles   names of the old and the new build
    """
    changes, kinds = compare(old, new), {kind_of(old), kind_of(new)}
    pairs = [*paired_layers(old, new)]  # in the new order, removed layers last
    most_cycles = max((_layer_cycles(row) or 0 for _, *pair in pairs for row in pair), default=0)
    alike = len(kinds) == 1
    layers = [_paired_layer(name, pair, most_cycles, comparable=alike) for name, *pair in pairs]
    longest = max(sum(speed.cycles_by_layer(report)) for report in (old, new))
    template = environment().get_template("report/comparison.html.j2")
    return template.render(
        titles=[*map(printable, titles)],
        reports=(old, new),
        figures=[*_key_figures(old, new)],
        matrices=[*_confusion_matrices((old, new))],
        networks=[network_map(report, longest) for report in (old, new)],
        layers=layers[:MOST_LAYERS],
        more_layers=len(layers[MOST_LAYERS:]),
        changes=[(change, *cells(change), change.look) for change in changes],
        verdict=verdict_of(changes),
        kinds=kinds,
        version=__version__,
    )


def _confusion_matrices(reports: Sequence[Report]) -> Iterator[tuple[str, list[Any], list[str]]]:
    """Yield title, rows and class names of both int8 confusion matrices, if both reports have
    one."""
    found = [report["quantization"].get("classes") or {} for report in reports]
    if not all(x.get("confusion") for x in found):
        return
    for title, report, x in zip(("old", "new"), reports, found, strict=True):
        q, rows = report["quantization"], [*matrix(x, "int8")]
        about = f"{title}, {q['accuracy_source']}{samples_of(q)}"
        yield f"{about}; {interval(q)}", rows, class_names(x, len(rows))


def _key_figures(old: Report, new: Report) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield (title, old, new, change, look) of the key figures as text, changed or not."""
    pairs = {change.fact.key: (change, is_apart) for change, is_apart in paired_facts(old, new)}
    for change, is_apart in map(pairs.__getitem__, FIGURES):
        if None not in (change.old, change.new):
            title, before, after, text = cells(change)
            is_other = is_apart or bool(change.unlike)
            note = "no change" if not change.is_told else "not comparable" * is_other
            yield title, before, after, note or text, "" if note else change.look


def _layer_cycles(row: Mapping[str, Any] | None) -> int | None:
    return None if row is None else speed.layer_cycles(row)


def _paired_layer(
    name: str, pair: Sequence[Mapping[str, Any] | None], longest: int, *, comparable: bool
) -> dict[str, Any]:
    """Return a layer of two builds for the page: name and operator, and (old, new) cycles, lengths
    of bars in percent of the longest, and SQNR."""
    (old, new), (before, after) = pair, map(_layer_cycles, pair)
    change = Change(name, FACT_OF["cycles.total"], before, after)
    text, look = {old is None: "added", new is None: "removed"}.get(True, ""), ""
    if all((comparable, before, after, change.is_told)):
        text, look = change.text, change.look
    return {
        "name": name,
        "note": wording.operator(dict(new or old or {})),
        "cycles": (before, after),
        "lengths": [round(100 * wording.fraction(n or 0, longest), 2) for n in (before, after)],
        "change": text,
        "look": look,
        "decibels": [row and wording.decibels(row["sqnr_local_db"], "") for row in pair],
    }
