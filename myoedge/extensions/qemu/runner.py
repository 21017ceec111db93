# SPDX-License-Identifier: Apache-2.0
"""Backend "qemu": the program of a build for Cortex-M on an emulated board.

QEMU gives a program access to files of this computer (semihosting). It runs only programs that are
compiled here, from C that myoedge generates, and not firmware.elf of a folder.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from math import ceil
from pathlib import Path
from typing import Any

from myoedge.backends.build import Build, own_sources
from myoedge.backends.doctor import ToolRow, tool_row
from myoedge.backends.equivalence import chip_inputs
from myoedge.backends.measurement import FirmwareFiles, Inference, LayerCost, Measurement
from myoedge.backends.runner import Case, Runner
from myoedge.building.request import board_with
from myoedge.codegen.firmware import make_application, make_firmware
from myoedge.codegen.project import Sources
from myoedge.errors import MyoedgeError
from myoedge.system import tools
from myoedge.system.toolchain import FIRMWARE_FLAGS
from myoedge.targets import find_chip
from myoedge.targets.boards import Board
from myoedge.targets.cortex_m.chips import BOARDS, EmulatedBoard

QEMU = "qemu-system-arm"
INSTALL = f"sudo apt-get install {QEMU}"
LIMIT_S = 3600.0
FLAGS = (
    *("-nographic", "-monitor", "none", "-serial", "none"),
    *("-semihosting-config", "enable=on,target=native"),
    *("-icount", "shift=0"),  # an instruction takes 1 ns of the board's time
)
HEAD = struct.Struct("<II")  # number of a result, and its bytes, in layers.bin
OPTIMIZE = next(flag for flag in FIRMWARE_FLAGS if flag.startswith("-O"))
INTERVAL = ("value", "low", "high")
END = 0xFFFFFFFF  # number after the results of an inference


@dataclass
class Emulator:
    """QEMU's emulation of a board.

    program   path of QEMU
    board     that QEMU emulates
    own       the user's board, of which time and energy are estimated
    counted   inferences of the last run, whose "cycles" are instructions
    compiler  that made its program, and the level of optimisation
    """

    program: Path
    board: EmulatedBoard
    own: Board | None = None
    counted: Sequence[Inference] = field(default_factory=tuple)
    compiler: str = ""


def find() -> Path:
    """Return the path of QEMU for Arm. Errors: E501 it is missing."""
    program = shutil.which(QEMU)
    if program is None:
        raise MyoedgeError("E501", f"{QEMU} is missing", tries=[INSTALL])
    return Path(program)


def tool() -> ToolRow:
    """Return the row of `doctor`."""
    program = shutil.which(QEMU)
    place = None if program is None else ("", program)
    return tool_row("qemu", "", ("validate --on qemu",), INSTALL, place)


def _connect(build: Build, board: str | None, port: str | None) -> Emulator:
    """Return the emulator for a build's chip. Errors: E204 a board of another chip, E252, E253."""
    chip = str(build.manifest["target"])
    return Emulator(find(), BOARDS[chip], None if board is None else board_with(chip, board))


def _measure(build: Build, runs: Sequence[Case]) -> Measurement:
    """Run all cases. Errors: E502 too slow, E710 damaged results, E711 the program failed."""
    emulator: Emulator = build.devices["qemu"]
    files = build.files(chip_inputs(build.stream, runs))
    firmware = make_firmware(_sources(build))
    elf, emulator.compiler = firmware.elf, f"{firmware.compiler} {OPTIMIZE}"
    with tools.scratch() as folder:
        files.write(folder)
        finished = _run(emulator, elf, folder)
        found = _inferences(emulator.board, files, folder, finished)
        written = _layers(folder / "layers.bin", [name for _, name in build.results])
        pairs = zip(found, written, strict=True)
        emulator.counted = tuple(replace(one, written=layers) for one, layers in pairs)
    step = ceil(emulator.board.tick_instructions)
    return Measurement("", emulator.counted, step_cycles=step)


def _execute(build: Build, program: str, folder: Path) -> tuple[int, str]:
    """Run another program of a build. Errors: E502 too slow."""
    elf = make_application(_sources(build), program).elf
    finished = _run(_connect(build, None, None), elf, folder)
    return finished.returncode, finished.stdout + finished.stderr


def _run(emulator: Emulator, elf: bytes, folder: Path) -> tools.CompletedProcess:
    """Run a program, which has access to the files of a folder. Errors: E502 too slow."""
    (folder / "firmware.elf").write_bytes(elf)
    machine = ("-machine", emulator.board.machine, "-kernel", "firmware.elf")
    return tools.run((emulator.program, *machine, *FLAGS), cwd=folder, timeout_s=LIMIT_S)


def _sources(build: Build) -> Sources:
    """Return the C of a build as myoedge generates it."""
    files = {name: text.decode() for name, text in own_sources(build).items()}
    digest = str(build.manifest["model"]["integer_digest"])
    return Sources(files, digest, find_chip(str(build.manifest["target"])).program)


def _inferences(
    board: EmulatedBoard, files: FirmwareFiles, folder: Path, done: tools.CompletedProcess
) -> list[Inference]:
    """Return the outputs of all inferences, and their instructions in place of cycles; those of the
    layers add up as their ticks do."""
    found = []
    for outputs, ticks, total in files.read(folder, done.returncode, done.stdout + done.stderr):
        ends = [round(end * board.tick_instructions) for end in accumulate(ticks, initial=0)]
        costs = tuple(LayerCost(end - start) for start, end in pairwise(ends))
        found.append(Inference(outputs, round(total * board.tick_instructions), costs))
    return found


def _layers(file: Path, names: Sequence[str]) -> Iterator[Mapping[str, bytes]]:
    """Yield for each inference what its layers wrote last, by the name of the tensor. Errors: E710
    a damaged file."""
    data = file.read_bytes() if file.is_file() else b""
    at, layers = 0, dict[str, bytes]()
    while at + HEAD.size <= len(data):
        number, size = HEAD.unpack_from(data, at)
        at += HEAD.size
        if number == END:
            yield layers
            layers = {}
        elif number < len(names) and at + size <= len(data):
            layers[names[number]] = data[at : at + size]
            at += size
        else:
            raise MyoedgeError("E710", "layers.bin of the firmware is damaged")


def _entries(build: Build) -> Mapping[str, Any]:
    """Return `instructions` of report.json, of the first inference that was run."""
    emulator: Emulator = build.devices["qemu"]
    first = next(iter(emulator.counted), None)
    if first is None:
        return {}
    of_layers = [cost.cycles for cost in first.layers]
    found = {"machine": emulator.board.machine, "total": first.cycles, "layers": of_layers}
    found["compiler"] = emulator.compiler
    pairs = zip(build.report["layers"], of_layers, strict=True)
    rows = {"layers": [{**row, "instructions": count} for row, count in pairs]}
    factor = find_chip(str(build.manifest["target"])).factor
    if factor is None:
        return {**rows, "instructions": {**found, "cycles": None}}
    cycles = dict(zip(INTERVAL, factor.cycles(first.cycles), strict=True))
    found |= _on_board(emulator.own, cycles)
    return {**rows, "instructions": {**found, "cycles": {**cycles, "source": factor.source}}}


def _on_board(board: Board | None, cycles: Mapping[str, int]) -> dict[str, Any]:
    """Return latency and energy on a board that states its core's clock and current.

    cycles   estimate, and the ends of its interval
    """
    if board is None or (core := board.core) is None:
        return {}
    return {
        "board": board.id,
        "clock_hz": core.clock_hz,
        "latency_s": {name: core.latency_s(x) for name, x in cycles.items()},
        "energy_uj": {name: core.energy_uj(x) for name, x in cycles.items()},
    }


RUNNER = Runner(measure=_measure, find=find, connect=_connect, entries=_entries, execute=_execute)
