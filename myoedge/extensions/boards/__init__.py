# SPDX-License-Identifier: Apache-2.0
"""Boards: the application of a build flashed, run and measured on a board, over its serial line or
its JTAG probe."""

from __future__ import annotations

from myoedge.extension import BackendHook, CommandHook, Extension, StepHook, ToolHook

_PLACE = "myoedge.extensions.boards"

EXTENSION = Extension(
    commands=(
        CommandHook(
            "flash",
            "write the application to a board, verify and start it",
            f"{_PLACE}.commands:flash",
            after="adapt",
        ),
        CommandHook(
            "run",
            "run the application on a board: outputs and cycles",
            f"{_PLACE}.commands:run",
            after="flash",
        ),
        CommandHook(
            "bench",
            "measure the energy per inference on a board with a power meter",
            f"{_PLACE}.commands:bench",
            after="run",
        ),
        CommandHook("boards", "list the known boards", f"{_PLACE}.commands:boards", after="ops"),
    ),
    backends=(
        BackendHook(
            "board",
            "board",
            f"{_PLACE}.runners:BOARD",
            "{} board",
            "board",
            is_listed=True,
        ),
        BackendHook(
            "jtag",
            "board over JTAG",
            f"{_PLACE}.runners:JTAG",
            "{} board over JTAG",
            "jtag",
        ),
    ),
    steps=(StepHook("flash", f"{_PLACE}.commands:flash_step", after="image"),),
    tools=(
        ToolHook("pyserial", f"{_PLACE}.tools:pyserial", after="gvsoc"),
        ToolHook("openocd", f"{_PLACE}.tools:openocd", after="pyserial"),
        ToolHook("openocd_tools", f"{_PLACE}.tools:openocd_tools", after="openocd"),
        ToolHook("probe", f"{_PLACE}.tools:probe"),
    ),
)
