# SPDX-License-Identifier: Apache-2.0
"""Descriptions of boards: memories, probe and console, read from boards/<id>/board.toml."""

from __future__ import annotations

import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from myoedge.errors import MyoedgeError
from myoedge.system.control_characters import with_controls
from myoedge.system.regular_files import read_text
from myoedge.targets import CHIPS
from myoedge.targets.core import Core
from myoedge.targets.sensor import SensorTable

FILE = "board.toml"
DEFAULT_BOARD = "gap9_evk"  # if none is named
NO_BOARD = "E253"
FLASHES = ("mram", "octospi")
FILLS = "octospi"  # the flash beside the chip, from which L3 is filled


@dataclass(frozen=True, slots=True)
class Ram:
    """External RAM of a board, used as L3."""

    part: str
    bytes: int
    interface: str = ""


@dataclass(frozen=True, slots=True)
class Flash:
    """A flash memory of a board, for programs.

    part           name of the component
    bytes          its size
    sector_bytes   a power of two that divides the size
    flasher        program in gap_bins/ that writes the flash; "" for none
    clock_hz       highest clock at which the application reads the flash; 0: unknown
    """

    part: str
    bytes: int
    sector_bytes: int
    flasher: str = ""
    interface: str = ""
    clock_hz: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """Debug probe, with OpenOCD's parameters.

    usb_ids          "vendor:product" of possible probes, hexadecimal
    target           OpenOCD's name of the core that loads and starts programs
    idcode           IDCODE of the chip's JTAG TAP
    scripts          scripts of the SDK's openocd_tools, in order
    flasher_entry    entry address of a flasher, the program that writes a flash
    flasher_struct   address at which a flasher stores the address of its struct
    """

    kind: Literal["ftdi", "jlink", "cmsis-dap"]
    usb_ids: tuple[str, ...]
    speed_khz: int
    target: str
    idcode: int
    scripts: tuple[str, ...]
    flasher_entry: int = 0
    flasher_struct: int = 0


@dataclass(frozen=True, slots=True)
class Console:
    """Serial console of a board, over which the application is controlled.

    uart        number of the chip's UART
    baud_rate   bits per second
    port        path of the serial device, if fixed
    """

    kind: Literal["uart"]
    uart: int
    baud_rate: int
    port: str = ""


@dataclass(frozen=True, slots=True)
class Power:
    """Wiring of a board for power measurement.

    pad        pad that is high while the network runs
    supply_v   supply voltage
    """

    pad: int
    supply_v: float


@dataclass(frozen=True, slots=True)
class BoardEnergy:
    """Mean powers in milliwatts for `energy --board`; None if unknown.

    others_mw   front end, radio and other parts that are always on
    sleep_mw    the sleeping chip, L3 included
    """

    others_mw: float | None = None
    sleep_mw: float | None = None


@dataclass(frozen=True, slots=True)
class Oscillator:
    """Oscillator from which the chip's clocks are derived."""

    oscillator_hz: int


@dataclass(frozen=True, slots=True)
class Board:
    """Description of a board; unknown parts are None.

    tried   whether myoedge has been tried on such a board
    """

    id: str
    name: str
    chip: str
    tried: bool
    sources: tuple[str, ...] = ()
    clock: Oscillator | None = None
    core: Core | None = None
    ram: Ram | None = None
    flash: dict[str, Flash] = field(default_factory=dict)
    probe: Probe | None = None
    console: Console | None = None
    power: Power | None = None
    energy: BoardEnergy | None = None
    sensor: SensorTable | None = None

    @property
    def external(self) -> Literal["none", "flash", "ram"]:
        """Parts beside the chip that hold data of a network: a flash, from which L3 is filled, and
        RAM."""
        if FILLS not in self.flash:
            return "none"
        return "flash" if self.ram is None else "ram"


TABLES = (Board, Ram, Flash, Probe, Console, Power, BoardEnergy, Oscillator, Core, SensorTable)
ADDED: dict[str, Path] = {}  # id -> board.toml of plug-ins


def boards_dir() -> Path:
    """Return the folder of the board descriptions, in the installed package or in the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_data" / "boards"
    return installed if installed.is_dir() else package.parent / "boards"


def own_ids() -> list[str]:
    """Return the sorted ids of the boards that come with the package."""
    return sorted(path.parent.name for path in boards_dir().glob(f"*/{FILE}"))


def all_boards() -> tuple[Board, ...]:
    """Return the boards of the package, sorted by id, followed by those of plug-ins."""
    own = [boards_dir() / name / FILE for name in own_ids()]
    return tuple(map(read_board, (*own, *ADDED.values())))


def find_board(name: str | None = None) -> Board:
    """Return a board by id, or by the path of a board.toml; None: DEFAULT_BOARD.

    Errors: E252 an invalid description, E253 no such board.
    """
    name = name or DEFAULT_BOARD
    path = Path(name)
    if path.suffix == ".toml" or os.path.isdir(path):
        return read_board(path / FILE if os.path.isdir(path) else path)
    if name in ADDED:
        return read_board(ADDED[name])
    if name not in own_ids():
        facts = {"has": ", ".join((*own_ids(), *ADDED))}
        tries = ["--board ./my/board.toml"]
        raise MyoedgeError(NO_BOARD, f"there is no board {name}", facts, tries)
    return read_board(boards_dir() / name / FILE)


def read_board(path: Path) -> Board:
    """Read a board description. Errors: E252 with all wrong keys and values."""
    try:
        tables = tomllib.loads(read_text(path))
    except OSError as error:
        facts = {"cause": error.strerror}
        raise MyoedgeError("E252", f"{path} cannot be read", facts, _remedies()) from None
    except (ValueError, RecursionError) as error:
        raise MyoedgeError("E252", f"{path} is not TOML", {"cause": error}, _remedies()) from None
    if key := next(with_controls(tables), None):
        facts = {key: "it has control characters"}
        raise MyoedgeError("E252", f"{path} has a wrong value", facts, _remedies())
    from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

    strict = with_config(ConfigDict(extra="forbid"))
    for kind in TABLES:
        strict(kind)
    try:
        board = TypeAdapter(Board).validate_json(json.dumps(tables), strict=True)
        problems = _problems(board)
    except ValidationError as error:
        problems = {".".join(map(str, row["loc"])): str(row["msg"]) for row in error.errors()}
    except (TypeError, ValueError) as error:  # values that JSON lacks, such as dates
        problems = {"value": str(error)}
    if problems:
        raise MyoedgeError("E252", f"{path} describes no board", problems, _remedies())
    return board


def _remedies() -> tuple[str, str]:
    """Return remedies: a board of the package by its id, or its description as a starting point."""
    example = boards_dir() / DEFAULT_BOARD / FILE
    begin = f"{shlex.join(['cp', str(example), 'my-board.toml'])}, and edit that"
    return f"--board {DEFAULT_BOARD}, or another id that myoedge boards lists", begin


U32_RANGE = (0, 2**32 - 1)
# Allowed values, by key.
LIMITS: Mapping[str, tuple[float, float]] = {
    "clock.oscillator_hz": (1, 10**9),
    "core.clock_hz": (1, 10**10),
    "core.current_ma": (0, 1e6),
    "core.supply_v": (0.5, 60),
    "core.ram_bytes": (0, 2**32),
    "core.flash_bytes": (0, 2**32),
    "ram.bytes": (1, 2**32),
    "flash.bytes": (1, 2**32),
    "flash.sector_bytes": (1, 2**24),
    "flash.clock_hz": (0, 10**9),
    "probe.speed_khz": (1, 100_000),
    "probe.idcode": U32_RANGE,
    "probe.flasher_entry": U32_RANGE,
    "probe.flasher_struct": U32_RANGE,
    "console.uart": (0, 15),
    "console.baud_rate": (300, 12_000_000),
    "power.pad": (0, 255),
    "power.supply_v": (0.5, 60),
    "energy.others_mw": (0, 1e6),
    "energy.sleep_mw": (0, 1e6),
}
ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# A single word in OpenOCD's Tcl and in a path below gap_bins/.
SAFE_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
SCRIPT = re.compile(rf"{SAFE_WORD.pattern}(/{SAFE_WORD.pattern})*")  # below the SDK's openocd_tools
USB_ID = re.compile(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{4}")


def _flash_problems(name: str, flash: Flash) -> Iterator[tuple[str, str]]:
    if name not in FLASHES:
        yield f"flash.{name}", f"is none of {', '.join(FLASHES)}"
    size = flash.sector_bytes
    if size > 0 and (size & (size - 1) or flash.bytes % size):
        text = f"{size:,} does not divide {flash.bytes:,}, or is no 2^n"
        yield f"flash.{name}.sector_bytes", text
    if flash.flasher and not SAFE_WORD.fullmatch(flash.flasher):
        text = f"{flash.flasher!r} is no file's name in gap_bins/ of the SDK"
        yield f"flash.{name}.flasher", text


def _problems(board: Board) -> dict[str, str]:
    """Return problems of a board's description that types cannot express: key -> problem."""
    problems = {}
    if not ID.fullmatch(board.id):
        problems["id"] = "is at most 64 of a-z, 0-9, _ and -"
    if board.chip not in CHIPS:
        problems["chip"] = f"{board.chip} is none of {', '.join(CHIPS)}"
    elif board.core is not None and not CHIPS[board.chip].flash_bytes:
        problems["core"] = f"{board.chip} has no program in flash"
    for name, flash in board.flash.items():
        problems.update(_flash_problems(name, flash))
    if board.probe is not None:
        problems.update(_probe_problems(board.probe))
    return problems | dict(_out_of_range(board))


def _probe_problems(probe: Probe) -> Iterator[tuple[str, str]]:
    if not SAFE_WORD.fullmatch(probe.target):
        yield "probe.target", f"{probe.target!r} is no name of OpenOCD's, as chip.core"
    for script in probe.scripts:
        if not SCRIPT.fullmatch(script):
            yield "probe.scripts", f"{script!r} is no file's path in openocd_tools of the SDK"
    for usb_id in probe.usb_ids:
        if not USB_ID.fullmatch(usb_id):
            yield "probe.usb_ids", f"{usb_id!r} is not as 0403:6010"


def _out_of_range(board: Board) -> Iterator[tuple[str, str]]:
    """Yield (key, problem) of numbers outside LIMITS."""
    flashes = {f"flash.{name}": flash for name, flash in board.flash.items()}
    for key, (low, high) in LIMITS.items():
        kind, _, field_name = key.partition(".")
        tables = flashes if kind == "flash" else {kind: getattr(board, kind)}
        for table, described in tables.items():
            value = low if described is None else getattr(described, field_name)
            if value is not None and not low <= value <= high:
                yield f"{table}.{field_name}", f"{value:,} is not {low:,} to {high:,}"
