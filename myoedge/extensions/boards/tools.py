# SPDX-License-Identifier: Apache-2.0
"""Rows of `doctor` for programs, packages and probes that only boards need."""

from __future__ import annotations

from myoedge.backends.doctor import ToolRow, package_row, tool_row
from myoedge.errors import MyoedgeError
from myoedge.extensions.boards import openocd as programs
from myoedge.extensions.boards.board import plugged_in
from myoedge.targets.boards import all_boards

BOARD_VERBS = ("flash", "run", "validate --on board", "bench")
ON_JTAG = ("run --on jtag", "validate --on jtag")
ON_FLASH = ("flash", *ON_JTAG)
PYSERIAL = "pyserial>=3.5"


def pyserial() -> ToolRow:
    """Return the row of pyserial."""
    return package_row("pyserial", PYSERIAL, BOARD_VERBS, False, "serial")


def openocd() -> ToolRow:
    """Return the row of OpenOCD, whose version is that which it prints."""
    return tool_row("openocd", "", ON_FLASH, programs.GET, _find_openocd())


def openocd_tools() -> ToolRow:
    """Return the row of the vendor's scripts for OpenOCD."""
    try:
        found = "", str(programs.find_tools())
    except MyoedgeError:
        found = None
    return tool_row("openocd_tools", "", ON_FLASH, programs.GET_TOOLS, found)


def probe() -> ToolRow:
    """Return the row of the connected probe."""
    connect = "myoedge boards  (connect and power one)"
    # ("", serial ports) with the USB id of a known board's probe; None if none is connected
    probes = [board.probe for board in all_boards() if board.probe]
    ids = {usb_id.lower() for probe in probes for usb_id in probe.usb_ids}
    ports = [device for device, usb_id in plugged_in() if usb_id.lower() in ids]
    return tool_row(
        "probe", "", (*BOARD_VERBS, *ON_JTAG), connect, ("", ", ".join(ports)) if ports else None
    )


def _find_openocd() -> tuple[str, str] | None:
    try:
        program = programs.find_program()
    except MyoedgeError:
        return None
    version = programs.version(program)
    return None if version is None else (version, program)
