# SPDX-License-Identifier: Apache-2.0
"""Small C programs on the runtime: compiled here, run wherever a GAP9 is to be had."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

from myoedge.backends import gvsoc
from myoedge.codegen.firmware import Firmware, check_instructions, link
from myoedge.codegen.render import template_dir
from myoedge.codegen.runtime import runtime
from myoedge.errors import MyoedgeError
from myoedge.simulator.machine import simulate

PROGRAMS = Path(__file__).parent / "programs"
STACK_FAULT = "E706"
TIMEOUT_S = 300.0

# Runs an ELF in a folder -> its exit code.
Platform = Callable[[bytes, Path], int]


@functools.cache
def program(name: str, *defines: str, cc: str = "zig") -> Firmware:
    """programs/<name>.c on the runtime."""
    includes = sorted((template_dir() / "include").iterdir())
    files = {path.name: path.read_text() for path in includes}
    source = (PROGRAMS / f"{name}.c").read_text()
    firmware = link({**files, **runtime(), f"{name}.c": source}, cc=cc, defines=defines)
    check_instructions(firmware)
    return firmware


def on_simulator(elf: bytes, folder: Path) -> int:
    """The embedded simulator, which sees a stack overflow before the program does."""
    try:
        return simulate(elf, folder=folder).exit_code
    except MyoedgeError as error:
        if error.code != STACK_FAULT:
            raise
        return 101


def on_gvsoc(elf: bytes, folder: Path) -> int:
    file = folder / "program.elf"
    file.write_bytes(elf)
    return gvsoc.run_elf(file, folder, timeout_s=TIMEOUT_S).returncode


def platforms() -> dict[str, Platform]:
    """What runs ELFs on this machine: the simulator always, public GVSoC where it is installed."""
    found: dict[str, Platform] = {"simulator": on_simulator}
    try:
        gvsoc.find()
    except MyoedgeError:
        return found
    return found | {"gvsoc": on_gvsoc}


def riscv_gcc() -> str | None:
    """Debian's name of a stock RISC-V compiler."""
    return shutil.which("riscv64-unknown-elf-gcc")
