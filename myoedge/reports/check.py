# SPDX-License-Identifier: Apache-2.0
"""Comparison of a build with an accepted build: `myoedge check NEW --against OLD`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from myoedge.errors import MyoedgeError, command
from myoedge.reports.diff import Change, differ, paired_facts
from myoedge.reports.facts import POWERS, TOLERATED
from myoedge.reports.junit import JunitCase, junit_xml
from myoedge.reports.period import clocked_by
from myoedge.reports.report_json import Report
from myoedge.system.notebook import Card, Tabular

BOUNDS = {**TOLERATED, "cycles": 0.02}
OK, WORSE, GONE, SKIPPED, DIFFERS = "ok", "worse", "gone", "skipped", "differs"
# Settings that the builds must share, with their names; figures that are not comparable otherwise,
# apart from POWERS, which are at any clock.
CHIP, POINT = "target.chip", "target.operating_point"
SETTINGS = {CHIP: "chip", POINT: "operating point"}
BY_SETTINGS = ("cycles", "latency", "energy", "power", "memory")


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A figure of a build, compared with the accepted build.

    change    old and new value
    allowed   largest accepted loss: decibels, fractions of 1, parts, or a fraction of the old
              value; None for a yes/no figure
    status    "ok", "worse", "gone" (only the accepted build has it), "skipped" (not comparable:
              measured on other samples, say), "differs" (a setting that both must share)
    unlike    what the builds would have to share to be comparable; "" if they are
    """

    change: Change
    allowed: float | None
    status: str
    unlike: str = ""

    @property
    def text(self) -> str:
        """Return the figure as one line: "latency: 1.2 ms -> 1.4 ms (+16.7 %), worse: 2 % more
        are allowed"."""
        fact, values = self.change.fact, (self.change.old, self.change.new)
        old, new = ("not measured" if v is None else fact.unit.show(v) for v in values)
        difference = f" ({self.change.text})" if self.change.text else ""
        line = f"{fact.title}: {old} -> {new}{difference}"
        is_plain = self.status in (OK, GONE)
        why = f": other {self.unlike}" * bool(self.unlike)
        return line if is_plain else f"{line}, {self.status}{self._allowed_changes}{why}"

    @property
    def _allowed_changes(self) -> str:
        if self.status != WORSE or self.allowed is None:
            return ""
        return f": {self.change.fact.loss(self.allowed)} are allowed"

    def plain(self) -> dict[str, Any]:
        return {
            "what": self.change.fact.key,
            "old": self.change.old,
            "new": self.change.new,
            "delta": self.change.delta,
            "allowed": self.allowed,
            "status": self.status,
        }


@dataclass(frozen=True, slots=True)
class Check(Tabular):
    """Comparison of a build with an accepted one: one row per figure that both may have.

    old, new   folders of the accepted build and of the build, for commands
    """

    name: str
    figures: tuple[CheckRow, ...]
    old: str = "OLD"
    new: str = "NEW"

    @property
    def failed(self) -> tuple[CheckRow, ...]:
        return tuple(row for row in self.figures if row.status in (WORSE, GONE, DIFFERS))

    def plain(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return {"model": self.name, "rows": self.rows()}

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per figure: its name, old and new value, and status."""
        return [row.plain() for row in self.figures]

    def _card(self) -> Card:
        verdict = f"{len(self.failed)} figures fail" if self.failed else "as good as accepted"
        return Card(f"{self.name}: {verdict}", [(row.status, row.text) for row in self.figures])

    def junit(self) -> bytes:
        """Return JUnit XML with a case for each figure."""
        kinds = {OK: "passed", WORSE: "failure", SKIPPED: "skipped"}
        cases = [
            JunitCase(self.name, row.change.fact.title, kinds.get(row.status, "error"), row.text)
            for row in self.figures
        ]
        return junit_xml("myoedge check", cases)

    def annotations(self) -> list[str]:
        """Return GitHub Actions commands that show each failed figure as an error annotation."""
        title = f"title={_escape_for_actions(f'{self.name}: myoedge check')}"
        return [f"::error {title}::{_escape_for_actions(row.text)}" for row in self.failed]

    def raise_worse(self) -> None:
        """Raise E305 if a figure is worse than allowed or gone, or a setting differs."""
        if not self.failed:
            return
        lines = {WORSE: list[str](), DIFFERS: list[str]()}
        for row in self.failed:
            lines[DIFFERS if row.status == DIFFERS else WORSE].append(row.text)
        facts = {status: "\n".join(texts) for status, texts in lines.items() if texts}
        tries = [
            *self._commands(),
            "a higher limit in [check] of myoedge.toml, if the change is acceptable",
            "a new build to compare with",
            f"{command('report', self.new, '--against', self.old)}, layer by layer",
        ]
        verdict = "is worse than" if WORSE in facts else "cannot be compared with"
        title = f"{self.name} {verdict} the accepted build"
        raise MyoedgeError("E305", title, facts, tries)

    def _commands(self) -> Iterator[str]:
        """Yield commands that measure figures that are gone, and give the new build the settings
        of the old one."""
        gone, old = (
            {x.change.fact.key: str(x.change.old) for x in self.failed if x.status == status}
            for status in (GONE, DIFFERS)
        )
        backends = [path.removeprefix("exact.") for path in gone if path.startswith("exact.")]
        if backends:
            yield command("validate", self.new, "--on", ",".join(backends))
        if "cycles.total" in gone:
            yield command("simulate", self.new)
        if CHIP in old:  # it has operating points of its own
            yield f"myoedge build --target {old[CHIP]}"
        elif POINT in old:
            yield command("energy", self.new, "--operating-point", old[POINT])


def check_reports(old: Report, new: Report, bounds: Mapping[str, float | None]) -> Check:
    """Compare the figures of the new report with those of the old one.

    bounds   from [check]; None: the default
    Errors: E232 for a bound that is NaN or below 0.
    """
    for name, bound in bounds.items():
        if bound is not None and not bound >= 0.0:
            facts = {"has": f"{bound:g}", "needs": "0 or more"}
            raise MyoedgeError("E232", f"[check] {name} is no bound", facts, [f"{name} = 0.02"])
    allowed = {
        name: default if bounds.get(name) is None else float(bounds[name] or 0.0)
        for name, default in BOUNDS.items()
    }
    return Check(str(new["model"]["name"]), tuple(_comparison_rows(old, new, allowed)))


def _comparison_rows(old: Report, new: Report, allowed: Mapping[str, float]) -> Iterator[CheckRow]:
    settings = [CHIP] if clocked_by(new) else [*SETTINGS]  # an application's clocks are chosen
    others = [path for path in SETTINGS if differ(old, new, path)]
    for change, is_apart in paired_facts(old, new):
        fact, bound = change.fact, allowed.get(change.fact.bound)
        if fact.key in settings:
            yield from [CheckRow(change, None, DIFFERS)] * (change.old != change.new)
        elif fact.key.startswith("exact."):
            is_run = (change.old, change.new) != (None, None)
            yield from [CheckRow(change, None, _figure_status(change, None))] * is_run
        elif bound is not None and change.old is not None:
            needed = {CHIP} if fact.key in POWERS else {*SETTINGS}
            of_setting = [SETTINGS[x] for x in others if x in needed and fact.bound in BY_SETTINGS]
            of_cycles = ["source of cycles"] * is_apart
            words = [*filter(None, change.unlike.split(" and ")), *of_cycles, *of_setting]
            unlike = " and ".join(dict.fromkeys(words))
            status = SKIPPED if unlike or not fact.better else _figure_status(change, bound)
            yield CheckRow(change, bound, status, unlike)


def _figure_status(change: Change, bound: float | None) -> str:
    """Return the status of a figure; without a bound, of a yes/no figure."""
    if change.new is None:
        return GONE
    is_loss = change.is_better is False and (bound is None or change.is_beyond(bound))
    return WORSE if is_loss else OK


def _escape_for_actions(text: str) -> str:
    """Escape text for a workflow command of GitHub Actions."""
    for character, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C")):
        text = text.replace(character, code)
    return text
