# SPDX-License-Identifier: Apache-2.0
"""report.html: one file, no script that runs, nothing fetched; report.json inside."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

from myoedge.codegen.render import new_environment
from myoedge.operators import layer_names as naming
from myoedge.reports import energy, maps, picture, speed, streams, words
from myoedge.reports.int16 import costs, wide
from myoedge.reports.rows import EXACT_DB, WEAK_DB, Report, dims
from myoedge.reports.verdict import verdict
from myoedge.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

# What ends a script element or opens another; escaped, it is the same JSON.
JSON_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def report_html(report: Report) -> str:
    """The whole report as one page; every text from the user's program is escaped."""
    from markupsafe import Markup

    embedded = json.dumps(report, allow_nan=False, sort_keys=True).translate(JSON_ESCAPES)
    return (
        environment()
        .get_template("report/report.html.j2")
        .render(
            r=report,
            version=__version__,
            memory=maps.l2(report),
            l1=maps.l1(report),
            noise=picture.noise(report),
            budget=maps.budget(report),
            time=picture.time(report),
            wide=wide(report),
            places=words.layer_places(report),
            embedded=Markup(embedded),
        )
    )


@cache
def environment() -> Environment:
    """As for the C, but with escaping."""
    env = new_environment(escape=True)
    env.globals.update(
        words=words, naming=naming, speed=speed, energy=energy, verdict=verdict, costs=costs
    )
    env.globals.update(streams=streams)
    env.globals.update(EXACT_DB=EXACT_DB, WEAK_DB=WEAK_DB)
    env.filters.update(
        dims=dims,
        size=words.size,
        count=words.count,
        firm=words.firm,
        db=words.decibels,
        percent=words.percent,
        what=words.what,
    )
    return env
