# SPDX-License-Identifier: Apache-2.0
"""A board card: what the owner of a board measured with a build, as one JSON document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from myoedge.errors import MyoedgeError
from myoedge.extensions.boards.mram_rate import MramRate
from myoedge.operators.layer_names import unique_names
from myoedge.reports.energy import activity, counted
from myoedge.reports.report_json import Report
from myoedge.system.folder import to_json, write_file
from myoedge.system.notebook import Card, Shown

CARD = "myoedge.board-card/1"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BoardCard(Shown):
    """Measurements of a build by a board's owner, as JSON; `failed` has the steps that failed."""

    document: Mapping[str, Any]

    @property
    def failed(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(row for row in self.document["steps"] if row["state"] == "failed")

    def write(self, file: Path) -> None:
        """Write the card's document to a file. Errors: E220, E281."""
        write_file(file, to_json(dict(self.document)).encode())

    def lines(self) -> list[str]:
        """Return the card's steps, cycles and energy as lines of text for people."""
        rows = [f"{r['step']:<8} {r['state']} {r['code'] or ''}".rstrip() for r in self._card_steps]
        cycles, energy, mram = (self.document[name] for name in ("cycles", "energy", "mram"))
        if cycles["board"] is not None:
            simulated = f"{cycles['simulated'] or 0:,}"
            rows.append(f"cycles   {cycles['board']:,} on the board, {simulated} simulated")
        if energy is not None:
            rows.append(f"energy   {energy['joules'] * 1e6:,.1f} uJ an inference")
        if mram is not None:
            rows.append(f"mram     {MramRate(**mram).line()}")
        return rows

    def _card(self) -> Card:
        return Card("board card", [("", line) for line in self.lines()])

    @property
    def _card_steps(self) -> Sequence[Mapping[str, Any]]:
        return tuple(self.document["steps"])

    def raise_failed(self) -> None:
        """Raise E617 if a step failed."""
        if not self.failed:
            return
        facts = {row["step"]: f"{row['code']} {row['title']}" for row in self.failed}
        codes = dict.fromkeys(row["code"] for row in self.failed)
        tries = [f"myoedge explain {code}" for code in codes]
        tries.append("send the file all the same: failures help too")
        raise MyoedgeError("E617", "not every step of the board card succeeded", facts, tries)


def figures(before: Report, after: Report | None, exact: bool | None) -> dict[str, Any]:
    """Return the card's figures: model, operating point, exactness, cycles by layer, and the
    counters that calibration of the energy coefficients needs.

    before   report of the simulated run     after   report of the board's run; None: it failed
    """
    simulated = _measured_cycles(before)
    layers = before["layers"] if after is None else after["layers"]
    found = {} if after is None else dict(zip(unique_names(layers), layers, strict=True))
    rows = [
        {
            "layer": name,
            "op": row["op"],
            "simulated": row.get("cycles"),
            "board": found.get(name, {}).get("cycles"),
        }
        for name, row in zip(unique_names(before["layers"]), before["layers"], strict=True)
    ]
    return {
        "model": {key: before["model"][key] for key in ("name", "digest", "integer_digest")},
        "operating_point": before["target"]["operating_point"],
        "exact": exact,
        "cycles": {
            "simulated": simulated,
            "board": None if after is None else _measured_cycles(after),
            "layers": rows,
        },
        "counters": asdict(activity(before)) if counted(before) else None,
    }


def _measured_cycles(report: Report) -> int | None:
    return (report["cycles"] or {}).get("total")


def run_step(
    steps: list[dict[str, Any]], name: str, do: Callable[[], T], is_possible: bool = True
) -> T | None:
    """Run a step and record its outcome in `steps`; return its result, None if it failed or is
    impossible."""
    if not is_possible:
        steps.append(_step_row(name, "skipped"))
        return None
    try:
        found = do()
    except MyoedgeError as error:
        steps.append(_step_row(name, "failed", error))
        return None
    steps.append(_step_row(name, "ok"))
    return found


def _step_row(name: str, state: str, error: MyoedgeError | None = None) -> dict[str, Any]:
    facts: Mapping[str, Any] = {} if error is None else dict(error.notice.facts)
    return {
        "step": name,
        "state": state,
        "code": None if error is None else error.code,
        "title": None if error is None else error.notice.title,
        "facts": {key: str(value) for key, value in facts.items()},
    }
