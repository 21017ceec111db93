# SPDX-License-Identifier: Apache-2.0
"""OpenOCD, by its Tcl port: programs to a board's memory and, through a flasher, to its flashes."""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from myoedge.errors import MyoedgeError
from myoedge.system import tools as tool
from myoedge.targets.boards import Board, Flash, Probe

END = b"\x1a"  # of a command and of its result
CONNECT_S = 15.0
COMMAND_S = 60.0
FLASHER_S = 20.0
NO_PROBE = re.compile(r"(?i)unable to open \w+ device|no device found|could not be opened")
TAP = re.compile(r"^\s*\d+\s+\S+\s+[YN]\s+(0x[0-9a-fA-F]+)", re.MULTILINE)  # found, not expected
HOW = "the OpenOCD of GreenWaves' gap_utils or SDK: MYOEDGE_OPENOCD=its path, or on PATH"
TOOLS = "GAP_OPENOCD_TOOLS=the folder openocd_tools of gap_utils or SDK"
_CLONE = "git clone https://github.com/GreenWaves-Technologies/gap_utils && export "
GET = f'{_CLONE}MYOEDGE_OPENOCD="$PWD/gap_utils/openocd_ubuntu2204/bin/openocd"'
GET_TOOLS = f'{_CLONE}GAP_OPENOCD_TOOLS="$PWD/gap_utils/openocd_tools"'

# What a flasher and its host tell each other, 4 bytes each.
HOST_READY, BOARD_READY, BUFFER, BUFFER_BYTES, RUN, ADDRESS, SIZE, TYPE = range(0, 32, 4)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OpenOcd:
    """The program, and the folder with its scripts (tcl/) and flashers (gap_bins/)."""

    program: str
    tools: Path


def find_program() -> str:
    """$MYOEDGE_OPENOCD, else openocd on PATH. Errors: E501 none there."""
    wanted = os.environ.get("MYOEDGE_OPENOCD", "openocd")
    found = shutil.which(wanted)
    if found is None:
        raise MyoedgeError("E501", "OpenOCD is missing", {"looked for": wanted}, [HOW])
    return found


def version(program: str) -> str | None:
    """As it tells it, on its error stream; None where it does not run."""
    try:
        told = tool.run([program, "--version"], cwd=Path.cwd(), timeout_s=20)
    except MyoedgeError:
        return None
    found = re.search(r"Open On-Chip Debugger (\S+)", told.stderr + told.stdout)
    return found.group(1) if found else None


def find() -> OpenOcd:
    """OpenOCD and the vendor's scripts. Errors: E501 what is missing."""
    tools = Path(os.environ.get("GAP_OPENOCD_TOOLS", "")).absolute()
    program = find_program()
    if not (tools / "tcl").is_dir():
        raise MyoedgeError("E501", "the scripts for OpenOCD are missing", tries=[TOOLS])
    return OpenOcd(program, tools)


class Session:
    """A connection to a running OpenOCD."""

    def __init__(self, connection: socket.socket, running: tool.Background) -> None:
        self.connection, self.running = connection, running

    def ask(self, command: str) -> str:
        """The result of a Tcl command. Errors: E609 it fails, or OpenOCD is gone."""
        text = f'if {{[catch {{{command}}} r]}} {{set r "error $r"}} else {{set r "ok $r"}}'
        try:
            self.connection.sendall(text.encode() + END)
            result = self._until_end()
        except OSError as error:
            raise _gone(self.running, command, str(error)) from None
        state, _, value = result.partition(" ")
        if state != "ok":
            raise _failed(self.running, command, value)
        return value

    def word(self, address: int) -> int:
        """Four bytes of memory."""
        shown = self.ask(f"capture {{mdw {address:#x}}}")
        found = re.search(r":\s*([0-9a-fA-F]{1,8})\s*$", shown.strip())
        if found is None:
            raise _failed(self.running, f"mdw {address:#x}", shown)
        return int(found.group(1), 16)

    def put_word(self, address: int, value: int) -> None:
        self.ask(f"mww {address:#x} {value:#x}")

    def _until_end(self) -> str:
        data = b""
        while not data.endswith(END):
            came = self.connection.recv(65536)
            if not came:
                raise ConnectionResetError("the connection was closed")
            data += came
        return data[:-1].decode("utf-8", "replace")


@contextmanager
def session(found: OpenOcd, probe: Probe) -> Iterator[Session]:
    """OpenOCD with the board's scripts, until the end. Errors: E601 no probe, E609 it ends."""
    scripts = [part for script in probe.scripts for part in ("-f", found.tools / script)]
    port = _free_port()
    ports = f"gdb_port disabled; telnet_port disabled; tcl_port {port}"
    command = [found.program, "-c", ports, *scripts, "-c", f"adapter speed {probe.speed_khz}"]
    with tool.beside(command, cwd=found.tools) as running:
        connection = _connected(running, port)
        with connection:
            connection.settimeout(COMMAND_S)
            yield Session(connection, running)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _connected(running: tool.Background, port: int) -> socket.socket:
    end = time.monotonic() + CONNECT_S
    while time.monotonic() < end and not running.has_ended:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1.0)
        except OSError:
            time.sleep(0.05)
    raise _gone(running, "start", "it ended" if running.has_ended else "its port does not open")


def _gone(running: tool.Background, command: str, why: str) -> MyoedgeError:
    says = running.says.strip()
    if NO_PROBE.search(says):
        tries = ["plug the board's USB in, and switch it on", "on Linux: udev rules for the probe"]
        return MyoedgeError("E601", "no probe is plugged in", {"OpenOCD says": says[-300:]}, tries)
    facts = {"at": command, "cause": why, "OpenOCD says": says[-400:] or "nothing"}
    tries = ["is the board plugged in, and switched on?", "no other OpenOCD may have the probe"]
    return MyoedgeError("E609", "OpenOCD is gone", facts, tries)


def _failed(running: tool.Background, command: str, value: str) -> MyoedgeError:
    facts = {
        "command": command,
        "answer": value.strip()[-300:],
        "OpenOCD says": running.says[-300:],
    }
    tries = ["reset the board, and try again", "is the board still plugged in?"]
    return MyoedgeError("E609", "OpenOCD could not do it", facts, tries)


def check_chain(talk: Session, board: Board, probe: Probe) -> None:
    """Errors: E610 the chip at the probe is another."""
    shown = talk.ask("capture {scan_chain}")
    if probe.idcode in (int(code, 16) for code in TAP.findall(shown)):
        return
    facts = {"needs": f"a TAP {probe.idcode:#010x}, {board.chip}", "has": shown.strip()[-300:]}
    raise MyoedgeError("E610", f"what is plugged in is no {board.name}", facts, ["--board"])


def start_in_memory(talk: Session, probe: Probe, elf: Path, entry: int, say: Say) -> None:
    """Loads a program, compares what is there with it, starts it. Errors: E609, E611 differs."""
    talk.ask(f"targets {probe.target}")
    talk.ask("halt")
    say("load")
    talk.ask(f"load_image {{{elf}}} 0x0 elf")
    say("verify")
    try:
        talk.ask(f"verify_image {{{elf}}} 0x0 elf")
    except MyoedgeError as error:
        if talk.running.has_ended:
            raise
        raise _differs("memory", dict(error.notice.facts).get("answer", "")) from None
    talk.ask(f"reg pc {entry:#x}")
    say("start")
    talk.ask("resume")


def write_flash(
    talk: Session, probe: Probe, flash: Flash, flasher: Path, entry: int, image: Path, say: Say
) -> None:
    """Writes an image from the flash's first byte on, a sector at a time, through the flasher.

    What the flasher is given is read back; what it wrote cannot be: it has no way to read.
    Errors: E609, E611 a sector in memory differs, E612 the flasher does not answer.
    """
    data = image.read_bytes()
    start_in_memory(talk, probe, flasher, entry, lambda _: None)
    base = _waited(talk, probe.flasher_struct, lambda word: word not in (0, 0xDEADBEEF))
    for field, value in ((BOARD_READY, 0), (TYPE, 0), (RUN, 1), (HOST_READY, 1)):
        talk.put_word(base + field, value)
    for at in range(0, len(data), flash.sector_bytes):
        part = data[at : at + flash.sector_bytes]
        say(f"flash {at + len(part):,} of {len(data):,} bytes")
        _write_part(talk, base, image, part, at, last=at + len(part) == len(data))
    _waited(talk, base + RUN, lambda word: word == 1)
    for field in (BOARD_READY, HOST_READY):
        talk.put_word(base + field, 0)


def _write_part(talk: Session, base: int, image: Path, part: bytes, at: int, *, last: bool) -> None:
    """Bytes from `at` on of the image, for the flasher whose words lie at `base`."""
    _waited(talk, base + BOARD_READY, lambda word: word == 1)
    buffer = talk.word(base + BUFFER)
    talk.put_word(base + HOST_READY, 0)
    if last:
        talk.put_word(base + RUN, 0)
    talk.put_word(base + ADDRESS, at)
    talk.put_word(base + SIZE, len(part))
    talk.ask(f"load_image {{{image}}} {(buffer - at) % 2**32:#x} bin {buffer:#x} {len(part)}")
    _check_part(talk, buffer, part, at, image.with_suffix(".back"))
    talk.put_word(base + BOARD_READY, 0)
    talk.put_word(base + HOST_READY, 1)


def _waited(talk: Session, address: int, holds: Callable[[int], bool]) -> int:
    end = time.monotonic() + FLASHER_S
    while time.monotonic() < end:
        if holds(word := talk.word(address)):
            return word
        time.sleep(0.002)
    facts = {"waited": f"{FLASHER_S:g} s for the word at {address:#x}"}
    raise MyoedgeError("E612", "the flasher does not answer", facts, ["reset the board, try again"])


def _check_part(talk: Session, buffer: int, part: bytes, at: int, back: Path) -> None:
    talk.ask(f"dump_image {{{back}}} {buffer:#x} {len(part)}")
    found = back.read_bytes()
    if found != part:
        where = next((i for i, (a, b) in enumerate(zip(found, part, strict=False)) if a != b), 0)
        raise _differs("the flasher's buffer", f"byte {at + where:,} of the image")


def _differs(where: str, what: str) -> MyoedgeError:
    tries = ["a lower speed_khz in board.toml", "another cable, or a USB port without a hub"]
    return MyoedgeError("E611", f"{where} differs from what was written", {"first": what}, tries)
