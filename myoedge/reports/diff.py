# SPDX-License-Identifier: Apache-2.0
"""Differences between two builds: of their reports (`myoedge report --against`) and of their data
layouts (`myoedge diff`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from myoedge.codegen.blob import without_comments
from myoedge.errors import and_more, printable
from myoedge.operators import layer_names as naming
from myoedge.reports import speed, wording
from myoedge.reports.facts import (
    LAYER,
    LAYER_CYCLES,
    MEASURED,
    OPTIONS,
    POWERS,
    ROW,
    SHARED,
    Fact,
    Value,
    Verdict,
    is_number,
    titled,
    value_at,
    verdict_of,
)
from myoedge.reports.report_json import Report
from myoedge.reports.tables import columns, show
from myoedge.system.notebook import Card, Rows, Shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs between two reports.

    where      "" for the whole network, otherwise the layer
    fact       the value's name and unit
    old, new   the values; None if missing
    kind       "changed", "added" or "removed" (a layer)
    unlike     what the reports would have to share for one value to be better: "samples"; "": they
               do
    """

    where: str
    fact: Fact
    old: Value
    new: Value
    kind: str = "changed"
    unlike: str = ""

    @property
    def delta(self) -> float | None:
        numbers = [v for v in (self.old, self.new) if is_number(v)]
        return float(numbers[1]) - float(numbers[0]) if len(numbers) == 2 else None  # type: ignore[arg-type]

    @property
    def percent(self) -> float | None:
        """Return the change in percent of the old value; None if the value itself is a percentage
        or in decibels."""
        if self.delta is None or not self.old or self.fact.unit.change is not None:
            return None
        return 100.0 * self.delta / self.magnitude

    @property
    def magnitude(self) -> float:
        """Return the absolute old value; 0 if it is not a number."""
        return abs(float(self.old)) if isinstance(self.old, int | float) else 0.0

    @property
    def is_better(self) -> bool | None:
        if self.fact.key.startswith("exact."):
            return self.new if isinstance(self.new, bool) else None
        if self.fact.better == 0 or self.delta is None:
            return None
        return (self.delta > 0) == (self.fact.better > 0)

    @property
    def text(self) -> str:
        """Return the difference as text: "+0.4 points", "-3.1 dB", "-12.5 %", "+1.1 MiB" from 0; ""
        if the values are not numbers."""
        delta, show = self.delta, self.fact.unit.change
        if delta is None:
            return ""
        if show is not None:
            return show(delta)
        if self.percent is None:  # from 0
            return f"{'+' * (delta > 0)}{self.fact.unit.show(self.new)}"
        return f"{self.percent:+z.1f} %"

    @property
    def look(self) -> str:
        """Return "good", "bad", or "" if nothing changed or neither direction is better."""
        return {True: "good", False: "bad", None: ""}[self.is_better]

    @property
    def is_told(self) -> bool:
        """Return whether the values differ as printed: rounding may hide a difference of two
        percentages or decibels."""
        is_hidden = self.fact.unit.change is not None and bool(self.text)
        return self.old != self.new and not (is_hidden and not re.search("[1-9]", self.text))

    def is_beyond(self, bound: float) -> bool:
        """Return whether the values differ by more than a bound, a fraction of the old value unless
        they are percentages or decibels."""
        allowed = bound * (self.magnitude if self.fact.unit.change is None else 1.0)
        return abs(self.delta or 0.0) > allowed + 1e-12 * self.magnitude

    def plain(self) -> dict[str, Any]:
        """Return the change as JSON values, for --json."""
        return {
            "kind": self.kind,
            "layer": self.where or None,
            "what": self.fact.key,
            "old": self.old,
            "new": self.new,
            "delta": self.delta,
            "percent": self.percent,
        }


class Changes(Rows[Change]):
    """Differences between two reports."""

    __slots__ = ()
    noun = "change"

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per change, as with `--json`."""
        return [change.plain() for change in self]

    @property
    def verdict(self) -> Verdict:
        """Return a summary that tells whether the new report is better or worse."""
        return verdict_of(self)

    def _card(self) -> Card:
        keys = ("layer", "what", "old", "new", "change")
        rows = [dict(zip(keys, (change.where, *cells(change)), strict=True)) for change in self]
        return Card(wording.several(len(self), "change"), [("verdict", self.verdict)], rows)


def compare(old: Report, new: Report) -> list[Change]:
    """Return all differences: the network's values first, then those of its layers by module path.

    Differences in percentages and decibels that rounding hides are ignored. Start-up reads the
    inputs of all inferences of a run, so that it is compared only for equal numbers of inferences.
    Counted cycles are never compared with modelled ones, and cycles of layers only if both builds
    have them.
    """
    network = [change for change, is_apart in paired_facts(old, new) if not is_apart]
    layers = sorted(_layer_changes(old, new), key=lambda change: change.kind != "removed")
    return [change for change in (*network, *layers) if change.is_told]


def _layer_changes(old: Report, new: Report) -> Iterator[Change]:
    apart = _incomparable_paths(old, new)
    measured = [fact for fact in LAYER if fact.key not in apart]
    for name, before, after in paired_layers(old, new):
        if before is None:
            yield Change(name, ROW, None, wording.operator(after or {}), "added")
        elif after is None:
            yield Change(name, ROW, wording.operator(before), None, "removed")
        else:
            yield from (_make_change(name, fact, before, after) for fact in measured)


def paired_facts(old: Report, new: Report) -> Iterator[tuple[Change, bool]]:
    """Yield every value of the whole network as a change, and whether the two reports determine it
    differently; neither of two accuracies of other samples is better, nor of a planned and a played
    power."""
    apart = _incomparable_paths(old, new)
    for fact in titled(old, new):
        differing = (path for path in fact.alike if differ(old, new, path))
        # what the new report has lost is no other condition; an option is not lost, but not given
        found = [p for p in differing if p.startswith(OPTIONS) or value_at(new, p) is not None]
        unlike = " and ".join(dict.fromkeys(SHARED[path] for path in found))
        shown = replace(fact, better=0) if unlike else fact
        yield replace(_make_change("", shown, old, new), unlike=unlike), fact.key in apart


def differ(old: Report, new: Report, path: str) -> bool:
    """Return whether two reports have different values at a path."""
    return bool(value_at(old, path) != value_at(new, path))


def paired_layers(old: Report, new: Report) -> Iterator[tuple[str, Report | None, Report | None]]:
    """Yield (module path, old row, new row) of all layers in the new order, removed ones last.

    Module paths are stable if other layers change, and made unique in both reports.
    """
    before, after = (
        dict(zip(naming.unique_names(a["layers"], b["layers"]), a["layers"], strict=True))
        for a, b in ((old, new), (new, old))
    )
    for name in dict.fromkeys((*after, *before)):
        yield name, before.get(name), after.get(name)


def _make_change(where: str, fact: Fact, old: Mapping[str, Any], new: Mapping[str, Any]) -> Change:
    return Change(where, fact, fact.value_in(old), fact.value_in(new))


def _incomparable_paths(old: Report, new: Report) -> set[str]:
    """Return the paths of figures whose values the two reports determine differently."""
    kinds = {kind_of(old), kind_of(new)}
    found = set((*MEASURED, *POWERS) if kinds == {"counted", "modelled"} else ())
    found |= {path for path, kind in LAYER_CYCLES.items() if kinds != {kind}}
    runs = {len((report["cycles"] or {}).get("inferences", ())) for report in (old, new)}
    return found | {"cycles.startup"} if len(runs) > 1 else found


def kind_of(report: Report) -> str:
    """Return the kind of a report's cycles: "counted", "modelled" or "none"."""
    if speed.cycles(report) is None:
        return "none"
    return "modelled" if speed.is_modelled(report) else "counted"


# --- for people -----------------------------------------------------------------------------------


STYLES = {"good": "green", "bad": "red", "": ""}


def print_diff(changes: Sequence[Change], console: Console) -> None:
    """Print the verdict, a table of changes of the network, and a table of changes of its
    layers."""
    from rich.text import Text

    show(Text(f"{verdict_of(changes)}\n" if changes else "nothing changed"), console)
    network = [change for change in changes if not change.where]
    layers = [change for change in changes if change.where]
    if network:
        show(_changes_table((), network), console)
    if network and layers:
        console.print()
    if layers:
        show(_changes_table(("layer",), layers), console)


def _changes_table(first: Sequence[str], changes: Sequence[Change]) -> Table:
    """Return a table with one row per change.

    first   ("layer",) for a first column with the layer, otherwise ()
    """
    from rich.text import Text

    table = columns(
        (*first, "what", "old", "new", "change"), left=("layer", "what"), overflow="fold"
    )
    for change in changes:
        *told, size = cells(change)
        texts = [change.where, *told] if first else told
        table.add_row(*(Text(printable(text)) for text in texts), Text(size, STYLES[change.look]))
    return table


def cells(change: Change) -> tuple[str, str, str, str]:
    """Return a change as text: name, old, new, difference."""
    name = change.kind if change.kind != "changed" else change.fact.title
    is_exact = change.fact.key.startswith("exact.")
    old, new = (
        wording.UNKNOWN if x is None and not is_exact else change.fact.unit.show(x)
        for x in (change.old, change.new)
    )
    return name, old, new, change.text


# --- data layouts ---------------------------------------------------------------------------------


# Generated files that contain the model itself, and are not part of the layout.
OF_THE_MODEL = ("LICENSE", "Makefile", "golden.h", "info.c", "load.c", "selftest.c", "weights.c")
MOST_NAMES = 3  # files that are named


@dataclass(frozen=True, slots=True)
class LayoutDiff(Shown):
    """Layout digests of two builds with model.blob.

    differing   generated files with other code
    """

    old: str
    new: str
    differing: tuple[str, ...] = ()

    @property
    def blob_suffices(self) -> bool:
        return self.old == self.new

    def plain(self) -> dict[str, Any]:
        layouts = {"old": self.old, "new": self.new, "differing": [*self.differing]}
        return {"blob_suffices": self.blob_suffices, **layouts}

    def _card(self) -> Card:
        return Card(str(self))

    def __str__(self) -> str:
        if self.blob_suffices:
            return f"the blob suffices: both builds have layout {self.new[:16]}"
        layouts = f"layout {self.old[:16]} became {self.new[:16]}"
        names = and_more(self.differing, MOST_NAMES)
        other = f"\n  other code in {names}" if names else ""
        return f"the firmware has to be updated too: {layouts}{other}"


def differing_code(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of generated files whose code differs, beyond the model's own content.

    old, new   file name -> text, of the files of src/
    """
    covered = (n for n in {*old, *new} if PurePath(n).name not in OF_THE_MODEL)
    names = sorted(covered, key=lambda n: (n.count("/"), n))  # the network before its library
    return tuple(
        n
        for n in names
        if _code_without_comments(old.get(n, "")) != _code_without_comments(new.get(n, ""))
    )


def _code_without_comments(text: str) -> object:
    """Return a file's code without comments; of the public header, the class names and the names of
    further inputs and outputs."""
    if "#ifndef ME_PUBLIC_" in text:
        return re.findall(
            r"^.*_CLASS_NAMES \{.*|^/\* (?:in|out)\[[1-9]\d*\]: [^,]*", text, re.MULTILINE
        )
    return without_comments(text)
