# SPDX-License-Identifier: Apache-2.0
"""Suggestions to improve a build, measured by building and simulating variations of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import myoedge
from myoedge.backends.arguments import Arguments, build_command, inside, recalled
from myoedge.backends.build import Build
from myoedge.backends.names import backends
from myoedge.backends.report_folder import REPLACED
from myoedge.backends.runner import check_chip
from myoedge.building.build_files import changed_report
from myoedge.building.config import Found, find
from myoedge.building.energy import coefficients, renewable
from myoedge.building.model_inputs import NAMED
from myoedge.building.operating_points import at_operating_point, cheapest_point
from myoedge.building.stream_rate import keeps_up
from myoedge.errors import MyoedgeError, Notice, set_in
from myoedge.extensions.sweeps.executors import RESULTS, on_processes
from myoedge.extensions.sweeps.figures import changes, figures
from myoedge.extensions.sweeps.suggestions import Suggestion, ordered, suggestions
from myoedge.extensions.sweeps.variations import BASE, Variation, variations
from myoedge.power.model import Coefficients
from myoedge.reports import near_memory, speed
from myoedge.reports.budget import broken_latency
from myoedge.reports.energy import with_energy
from myoedge.reports.period import clocked_by
from myoedge.reports.report_json import Report
from myoedge.reports.streams import with_passes
from myoedge.system import tools
from myoedge.system.notebook import Card, Tabular
from myoedge.targets import find_chip

Say = Callable[[str], None]
MODULE = ("others_mw", "sleep_mw")  # powers in addition to the network's, which reports store


@dataclass(frozen=True)
class Tried:
    """A variation of a build, with the report of its own build.

    variation   the variation
    report      report of its build; None if it ended with an error
    code        code of that error
    digests     file name -> sha256 of its build, without reports
    """

    variation: Variation
    report: Report | None
    code: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Advice(Tabular):
    """Measured suggestions for a build.

    suggestions   the suggestions, the best first
    tried         number of measured builds
    refused       variations that cannot be built, with the code of the error: "16 bits at conv2
                  (E244)"
    pointless     variations that were not built, as they can hardly gain anything
    left          number of builds that an interrupt left unmeasured
    cause         what takes the time if layers mostly start instead of computing; otherwise ""
    folder        folder in which the suggested commands are to be run
    unwritten     W210 if the reports of the build could not be replaced
    """

    suggestions: tuple[Suggestion, ...]
    tried: int
    refused: tuple[str, ...] = ()
    pointless: tuple[str, ...] = ()
    left: int = 0
    cause: str = ""
    folder: str = "."
    unwritten: Notice | None = None

    def plain(self) -> dict[str, Any]:
        """Return the suggestions as JSON values, which do not depend on the computer."""
        suggested = [asdict(suggestion) for suggestion in self.suggestions]
        lists = {"refused": [*self.refused], "pointless": [*self.pointless]}
        return {"suggestions": suggested, "tried": self.tried, **lists, "left": self.left}

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per suggestion: title, text, commands, old and new figures."""
        return [
            {
                "title": x.title,
                "text": x.text,
                "how": x.how,
                **{f"old_{name}": figure for name, figure in x.old.items()},
                **{f"new_{name}": figure for name, figure in x.new.items()},
            }
            for x in self.suggestions
        ]

    def _card(self) -> Card:
        refused = ("cannot be built", ", ".join(self.refused))
        rows = [{"suggestion": x.text, "how": x.how} for x in self.suggestions]
        facts = [("small layers", self.cause), refused, ("warning", self.unwritten)]
        return Card(f"{self.tried} builds measured", facts, rows)


def advise(build: Build, jobs: int, say: Say) -> Advice:
    """Implement api.advise, which documents the arguments."""
    check_chip(build, backends()["simulator"])
    build.firmware()
    arguments, by = recalled(build), coefficients()

    def renewed(stored: Report) -> Report:
        """The stored report, also its playback, may be of other coefficients than all builds."""
        return with_passes(with_energy(renewable(stored, by), by), by)

    report = renewed(build.report)
    digests = _file_digests(build)  # the path may be relative to this folder
    with inside(arguments.folder):
        found = find(arguments.given.get("config"))
        powers = {name: (report.get("every") or {}).get(name) for name in MODULE}
        measured = partial(_measure_variation, arguments=arguments, found=found, powers=powers)
        again = build_command(arguments, {"model": "model.pt2"}, build.folder)
        place = f"no argument of {build.folder}, nor [model] of {found.file}"
        say("building and simulating the unchanged network")
        with set_in(place, {NAMED: again}, code="E202"):
            base = measured(BASE)
        assert base.report is not None
        _check_same(build, digests, base, arguments.given.get("model") or found.settings.model.path)
        points = _operating_points(base.report, by)
        is_timed = bool(near_memory.levels(base.report))  # cycles of transfers depend on the clock
        asked = [*variations(report, found.settings, arguments.given), *points * is_timed]
        builds, pointless = ordered(asked, base.report, by, arguments.given)
        say(f"unchanged build simulated; {len(builds)} builds to compare")
        rest = [] if is_timed else [*_of_same_run(points, base, say)]
        rest += (results := _measure_all(builds, measured, base, jobs, say))
    whole = []
    for one in rest:
        variation = one.variation
        if variation.options:
            typed = build_command(arguments, variation.options, build.folder)
            variation = replace(variation, command=typed)
        whole.append(replace(one, variation=variation))
    found_mw = _played_more_mw(report, base)
    advice = replace(
        _best_suggestions(base, sorted(whole, key=lambda x: x.variation.title), found_mw),
        pointless=tuple(one.title for one in pointless),
        left=len(builds) - len(results),
    )
    _, unwritten = changed_report(build, lambda x: {**renewed(x), "advice": advice.plain()})
    return replace(advice, folder=arguments.folder, unwritten=unwritten)


def _measure_variation(
    variation: Variation, arguments: Arguments, found: Found, powers: Mapping[str, float | None]
) -> Tried:
    """Build and simulate a variation; return its report, or the code of the error that its build
    raised. Errors: other errors of build, which do not concern the network.

    powers   those of MODULE that were given to the existing build
    """
    given = {**arguments.given, **variation.options}
    given["config"] = found._replace(settings=variation.settings(found.settings))
    try:
        with tools.scratch() as folder, inside(arguments.folder):
            built = myoedge.build(**given, output=folder / "out", simulate=True)
            report = with_energy({**built.report, "every": powers}, coefficients())
            return Tried(variation, report, digests=_file_digests(built))
    except MyoedgeError as error:
        if variation is BASE or error.exit_code not in RESULTS:
            raise
        return Tried(variation, None, error.code)


def _check_same(build: Build, old: Mapping[str, str], base: Tried, model: object) -> None:
    """Raise E263 if a build by the same arguments gives other files than the build folder has.

    model   argument `model` of the build, named if the network in it has changed
    """
    new = base.digests
    others = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    if not others:
        return
    assert base.report is not None
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    facts = {"differ": others[0] + more}
    before, after = (x["model"]["digest"][:16] for x in (build.report, base.report))
    if before != after:
        named = model if isinstance(model, str | Path) else "the model"
        facts["model"] = f"{named} is another network now: {after}; {before} in {build.folder}"
    tries = [f"myoedge build, with the arguments of {build.folder}, then advise again"]
    title = f"{build.folder} is out of date: the same arguments give a different build today"
    raise MyoedgeError("E263", title, facts, tries)


def _file_digests(build: Build) -> dict[str, str]:
    """Return the digests of a build's files, without reports."""
    return {n: digest for n, digest in build.digests.items() if not n.startswith(REPLACED)}


def _measure_all(
    asked: Sequence[Variation],
    measured: Callable[[Variation], Tried],
    base: Tried,
    jobs: int,
    say: Say,
) -> list[Tried]:
    """Measure variations; return the results, of an interrupted run those until then."""
    found: Iterable[Tried] = map(measured, asked)
    if jobs > 1 and len(asked) > 1:
        found = on_processes(asked, jobs, measured)
    began, results = monotonic(), list[Tried]()
    try:
        for number, result in enumerate(found, 1):
            results.append(result)
            times = _times(monotonic() - began, number, len(asked))
            say(f"{number}/{len(asked)}  {_outcome(result, base)}; {times}")
    except KeyboardInterrupt:
        say(f"interrupted: {len(results)} of {len(asked)} builds are measured")
    return results


def _times(passed_s: float, done: int, count: int) -> str:
    """Format the time since the first of `count` builds, and about how much more they take."""
    passed, more = (
        f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
        for seconds in (passed_s, passed_s / done * (count - done))
    )
    return f"{passed}, about {more} more" if done < count else passed


def _outcome(result: Tried, base: Tried) -> str:
    """Return the title of a variation with its gains and costs, or with the code of its error."""
    assert base.report is not None
    if result.report is None:
        return f"{result.variation.title}: {result.code}"
    found = changes(figures(base.report), figures(result.report))
    return f"{result.variation.title}: {found.text}"


def _operating_points(report: Report, by: Coefficients) -> tuple[Variation, ...]:
    """Return variations at other operating points: the chip's, or the one of least average power
    for an application that sets the clock."""
    chip, now = find_chip(report["target"]["chip"]), report["target"]["operating_point"]
    is_clocked = clocked_by(report)
    names = [cheapest_point(report, chip, by)] if is_clocked else [x.name for x in chip.points]
    return tuple(
        Variation("operating point", f"operating point {name}", options={"operating_point": name})
        for name in names
        if name != now
    )


def _of_same_run(points: Iterable[Variation], base: Tried, say: Say) -> Iterator[Tried]:
    """Yield variations at other operating points, computed from the run of the unchanged build,
    which takes as many cycles there."""
    assert base.report is not None
    chip, by = find_chip(base.report["target"]["chip"]), coefficients()
    for one in points:
        at = chip.at(one.options["operating_point"])
        there = at_operating_point(base.report, at, False, by)
        if keeps_up(there) and broken_latency(there) is None:
            result = Tried(one, there)
            say(f"     {_outcome(result, base)}, by the same run")
            yield result


def _played_more_mw(report: Report, base: Tried) -> float:
    """Return by how much the average power of an application's last playback exceeds the planned
    one; 0 without a playback."""
    assert base.report is not None
    here, planned = (one.get("duty") or {} for one in (report, base.report))
    if here.get("source") != "played":
        return 0.0
    return float(here["average_mw"][0] - planned["average_mw"][0])


def _best_suggestions(base: Tried, rest: Sequence[Tried], more_mw: float = 0.0) -> Advice:
    """Return the best suggestions of the measured variations `rest` of the build `base`.

    more_mw   to be added to all planned average powers
    """
    assert base.report is not None
    measured = [
        (one.variation, figures(one.report, more_mw)) for one in rest if one.report is not None
    ]
    refused = tuple(f"{one.variation.title} ({one.code})" for one in rest if one.report is None)
    chosen = suggestions(figures(base.report, more_mw), measured)
    cause = speed.small_layers(base.report)
    return Advice(chosen, len(measured), refused, cause=cause)
