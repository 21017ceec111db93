# SPDX-License-Identifier: Apache-2.0
"""report.html: one file without active scripts or external resources, which contains report.json
and a summary in two or three sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from myoedge.backends.names import BACKENDS
from myoedge.codegen.render import new_environment
from myoedge.operators import layer_names as naming
from myoedge.reports import (
    charts,
    duty_lines,
    energy,
    evaluation_lines,
    fidelity,
    memory_maps,
    network_map,
    speed,
    streams,
    wording,
)
from myoedge.reports.adaptation_lines import adaptation_table
from myoedge.reports.budget import budget_lines
from myoedge.reports.report_json import EXACT_DB, WEAK_DB, Report, dims
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
            version=__version__,
            memory=memory_maps.l2(report),
            l1=memory_maps.l1(report),
            noise=charts.noise(report),
            budget=memory_maps.budget(report),
            time=charts.time(report),
            network=network_map.network_map(report),
            layer_names=wording.layer_names(report),
            embedded=Markup(embedded),
        )
    )


@cache
def environment() -> Environment:
    """Return the jinja2 environment of the HTML pages, which escapes text."""
    env = new_environment(escape=True)
    env.globals.update(
        adaptation_table=adaptation_table,
        backends=BACKENDS,
        budget_lines=budget_lines,
        duty_lines=duty_lines,
        energy=energy,
        evaluation=evaluation_lines,
        fidelity=fidelity,
        naming=naming,
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
    l2_bytes = report["target"]["l2_bytes"]
    limit = f" of {wording.size(l2_bytes)}" if l2_bytes else ""
    space = f"It takes {wording.size(wording.l2_bytes(report))}{limit} of L2 memory."
    parts = [_fidelity(report), space, _speed(report)]
    exact, same, wrong = report["exact"], "", ""
    if names := [BACKENDS[name].text for name, is_exact in exact.items() if is_exact]:
        same = f"Bit for bit the same as the reference: {', '.join(names)}."
    if names := [BACKENDS[name].text for name in exact if exact[name] is False]:
        wrong = f"Wrong integers: {', '.join(names)}."
    return " ".join(filter(None, [wrong, *parts] if wrong else [*parts, same]))


def _fidelity(report: Report) -> str:
    q = report["quantization"]
    if q["accuracy_int8"] is not None:
        of_int8, of_float = (wording.percent(q[f"accuracy_{name}"]) for name in ("int8", "float"))
        other = "" if q["accuracy_float"] is None else f", in float {of_float}"
        return f"In int8 the network gets {of_int8} of {_labelled(q)} right{other}."
    if q.get("targets"):
        return f"{evaluation_lines.sentence(q['targets']['all'])} of {_labelled(q)}."
    if q["sqnr_db"] is None:
        return ""
    return f"The SQNR of the int8 outputs is {fidelity.sqnr(q)}."


def _labelled(q: Mapping[str, Any]) -> str:
    is_test = evaluation_lines.is_of_test_set(q)
    return "the test set" if is_test else "the calibration recording"


def _speed(report: Report) -> str:
    if speed.cycles(report) is None:
        return ""
    time, point = speed.latencies(report)[0]
    run = "A pass of the stream" if "stream" in report else "An inference"
    if speed.is_modelled(report):
        return f"{run} takes an estimated {time} at {point}; the firmware has not run yet."
    row = energy.energy_row(report)
    cost = f", and about {energy.in_joules(row)} by the energy model" if row else ""
    return f"{run} takes {time} at {point} on {speed.the_place(report)}{cost}."
