# SPDX-License-Identifier: Apache-2.0
"""report.html: one file, no script that runs, nothing fetched; report.json inside."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

from myoedge.codegen.render import new_environment
from myoedge.operators import layer_names as naming
from myoedge.reports import charts, energy, memory_maps, speed, streams, wording
from myoedge.reports.int16 import costs, int16_layers
from myoedge.reports.report_json import EXACT_DB, WEAK_DB, Report, dims
from myoedge.reports.verdict import verdict
from myoedge.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

# What ends a script element or opens another; escaped, it is the same JSON.
JSON_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def report_html(report: Report) -> str:
    """The report as one page; every text from the user's program is escaped."""
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
            int16=int16_layers(report),
            places=wording.layer_places(report),
            embedded=Markup(embedded),
        )
    )


@cache
def environment() -> Environment:
    """The jinja2 environment of the pages: code generation's, with HTML escaping."""
    env = new_environment(escape=True)
    env.globals.update(
        wording=wording, naming=naming, speed=speed, energy=energy, verdict=verdict, costs=costs
    )
    env.globals.update(streams=streams)
    env.globals.update(EXACT_DB=EXACT_DB, WEAK_DB=WEAK_DB)
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
