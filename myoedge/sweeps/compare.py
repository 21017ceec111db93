# SPDX-License-Identifier: Apache-2.0
"""Results against earlier ones: what is worse than the bounds allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from myoedge.errors import MyoedgeError
from myoedge.sweeps.results import name_of
from myoedge.sweeps.settings import Bounds
from myoedge.sweeps.worker import DIFFERS, OK, Result

GONE = "result"


@dataclass(frozen=True, slots=True)
class Judged:
    """A figure that is held to a bound.

    sign       1: less is worse, -1: more is worse
    relative   the bound is a part of the earlier value
    only_with  figures that have to be the same, or the two cannot be compared
    """

    figure: str
    bound: str
    sign: int = -1
    relative: bool = True
    only_with: tuple[str, ...] = ()


JUDGED = (
    Judged("latency_s", "latency", only_with=("cycles_source",)),
    Judged("energy_uj", "energy", only_with=("cycles_source", "coefficients")),
    Judged("l1_bytes", "memory", only_with=("cycles_source",)),
    Judged("l2_bytes", "memory"),
    Judged("l3_bytes", "memory"),
    Judged("code_bytes", "memory"),
    Judged("sqnr_db", "sqnr_db", sign=1, relative=False),
    Judged("accuracy_int8", "accuracy", sign=1, relative=False),
)


@dataclass(frozen=True, slots=True)
class Regression:
    """A figure of a result that is worse than its bound allows; `what` "result": it is gone."""

    name: str
    what: str
    old: Any
    new: Any
    bound: float | None = None

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def regressions(old: Sequence[Result], new: Sequence[Result], bounds: Bounds) -> list[Regression]:
    """Regressions of results that were valid before; matched by name, as digests may change."""
    now = {name_of(row): row for row in new}
    good = [row for row in old if row["status"] == OK]
    return [found for row in good for found in _of(row, now.get(name_of(row)), bounds)]


MOST_NAMED = 8


def raise_worse(found: Sequence[Regression]) -> None:
    """Errors: E305 with the first of them, where there are any."""
    if not found:
        return
    facts = {"worse": _listed([_line(row) for row in found])}
    tries = ["[bounds] in the sweep's file, if that will do", "a new sweep to compare with"]
    raise MyoedgeError("E305", "the sweep is worse than the earlier one", facts, tries)


def raise_wrong(rows: Sequence[Result]) -> None:
    """Errors: E401 where outputs are not the reference's, E307 where no result is in order."""
    differing = [name_of(row) for row in rows if row["status"] == DIFFERS]
    if differing:
        tries = ["myoedge validate, on a build of it: the first layer that differs"]
        facts = {"differ": _listed(differing)}
        raise MyoedgeError("E401", "outputs in the sweep are not the reference's", facts, tries)
    if all(row["status"] != OK for row in rows):
        facts = {
            "refused": _listed([f"{name_of(row)}: {row['code']} {row['title']}" for row in rows])
        }
        raise MyoedgeError("E307", "nothing in the sweep could be built", facts)


def _listed(lines: Sequence[str]) -> str:
    more = [f"{len(lines) - MOST_NAMED} more"] if len(lines) > MOST_NAMED else []
    return "\n".join([*lines[:MOST_NAMED], *more])


def _line(row: Regression) -> str:
    return f"{row.name}: {row.what} {row.old} -> {row.new}"


def _of(old: Result, new: Result | None, bounds: Bounds) -> Iterator[Regression]:
    name = name_of(old)
    if new is None or new["status"] != OK:
        now = "not in the sweep" if new is None else f"{new['status']} {new['code'] or ''}".strip()
        yield Regression(name, GONE, OK, now)
        return
    for judged in JUDGED:
        if _is_worse(judged, old, new, getattr(bounds, judged.bound)):
            bound = getattr(bounds, judged.bound)
            figure = judged.figure
            yield Regression(name, figure, old.get(figure), new.get(figure), bound)


def _is_worse(judged: Judged, old: Mapping[str, Any], new: Mapping[str, Any], bound: float) -> bool:
    before, after = old.get(judged.figure), new.get(judged.figure)
    if before is None or any(old.get(key) != new.get(key) for key in judged.only_with):
        return False
    if after is None:
        return True
    allowed = bound * abs(before) if judged.relative else bound
    return bool(judged.sign * (before - after) > allowed + 1e-12 * abs(before))
