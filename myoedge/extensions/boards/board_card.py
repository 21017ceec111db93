# SPDX-License-Identifier: Apache-2.0
"""Board cards: what the owner of a board measured with a build, as one JSON document; the rate of
reads of MRAM, next to the clock in its board.toml."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from myoedge.backends.measurement import check_exit_code, read_content, wrong_size_error
from myoedge.codegen.firmware import Firmware, check_instructions, link
from myoedge.codegen.library import include_files
from myoedge.codegen.runtime import runtime
from myoedge.errors import MyoedgeError
from myoedge.extensions.boards.board import RUN_S, run_program
from myoedge.operators.layer_names import unique_names
from myoedge.reports.energy import activity, counted
from myoedge.reports.report_json import Report
from myoedge.system import tools
from myoedge.system.folder import to_json, write_file
from myoedge.system.notebook import Card, Shown
from myoedge.targets import find_chip
from myoedge.targets.board_memories import on_board
from myoedge.targets.boards import Board
from myoedge.targets.clocks import DividedClock

# --- reads of MRAM --------------------------------------------------------------------------------


SOURCE = Path(__file__).with_name("firmware") / "mram_rate.c"
RESULT = "rate.bin"  # that the program writes
RESULT_BYTES = 4 * (2 + 2 * 8)
SMALL_BYTES, LARGE_BYTES = 16, 16384  # as in the program


@dataclass(frozen=True, slots=True)
class MramRate:
    """Rate of reads of MRAM, in bytes per cycle of the peripherals' clock.

    divider           of the peripherals' clock, as the chip's register has it
    clock_hz          clock by which words arrive at this rate; MRAM's, if words take one period
    most_hz           highest clock of MRAM in board.toml
    described         rate by the clock in board.toml
    bytes_per_cycle   mean of several reads
    least, most       lowest and highest rate of a read
    """

    divider: int
    clock_hz: float
    most_hz: int
    described: float
    bytes_per_cycle: float
    least: float
    most: float

    def line(self) -> str:
        """Return the rate as a line of text for people."""
        least, most = (self.clock_hz * x / self.bytes_per_cycle for x in (self.least, self.most))
        return (
            f"{self.clock_hz / 1e6:.1f} MHz ({least / 1e6:.1f} to {most / 1e6:.1f}), divider "
            f"{self.divider}, {self.bytes_per_cycle:.3f} B/cycle; board.toml "
            f"{self.most_hz / 1e6:.1f} MHz"
        )


def has_mram(board: Board) -> bool:
    """Return whether a board's description has MRAM, and its chip a driver for it."""
    program = find_chip(board.chip).program
    return "mram" in board.flash and program is not None and "mram" in program.drivers


def rate_program(most_hz: int) -> Firmware:
    """Return the program that measures reads of MRAM at a clock of at most this. Errors: as
    codegen.firmware.link."""
    files = runtime(levels=["mram"], values={"mram_hz": most_hz})
    files["mram_rate.c"] = SOURCE.read_text(encoding="utf-8")
    made = link(files | include_files(files.values(), ()))
    check_instructions(made)
    return made


def measured_rate(board: Board) -> MramRate:
    """Load the program over a board's JTAG probe, run it and return what it measures.

    board   with MRAM
    Errors: as run_over_jtag and rate_program; E710 rate.bin, E711 the program's own.
    """
    clock = on_board(find_chip(board.chip).with_optional("mram"), board).level("mram").clock
    assert clock is not None, "MRAM has a clock of its own"
    program = rate_program(clock.most_hz).program
    with tools.scratch() as folder:
        code, printed = run_program(board, program, folder, RUN_S)
        check_exit_code(code, printed)
        result = read_content(folder, RESULT)
    if len(result) != RESULT_BYTES:
        raise wrong_size_error(RESULT, RESULT_BYTES, len(result))
    return _rate_of(result, clock)


def _rate_of(result: bytes, clock: DividedClock) -> MramRate:
    """Return the rate that the content of rate.bin gives. A short read takes as long to start as a
    long one."""
    periph_hz, divider, *cycles = struct.unpack(f"<{RESULT_BYTES // 4}I", result)
    taken = [large - small for small, large in zip(cycles[::2], cycles[1::2], strict=True)]
    size_bytes = LARGE_BYTES - SMALL_BYTES
    mean = size_bytes * len(taken) / sum(taken)
    return MramRate(
        divider,
        mean * periph_hz / clock.word_bytes,
        clock.most_hz,
        clock.rate(periph_hz),
        mean,
        size_bytes / max(taken),
        size_bytes / min(taken),
    )


# --- cards ----------------------------------------------------------------------------------------


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
