# SPDX-License-Identifier: Apache-2.0
"""Control of OpenOCD over its Tcl port: writes programs to RAM and, with a flasher, to flash."""

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
from myoedge.system import tools
from myoedge.targets.boards import Board, Flash, Probe

END = b"\x1a"  # terminates a command and its result
CONNECT_S = 15.0
COMMAND_S = 60.0
FLASHER_S = 20.0
NO_PROBE = re.compile(r"(?i)unable to open \w+ device|no device found|could not be opened")
TAP = re.compile(r"^\s*\d+\s+\S+\s+[YN]\s+(0x[0-9a-fA-F]+)", re.MULTILINE)  # the ID that was found
INSTALL_HINT = "the OpenOCD of GreenWaves' gap_utils or SDK: MYOEDGE_OPENOCD=its path, or on PATH"
TOOLS_FOLDER = "openocd_tools"  # the vendor's scripts expect this name
TOOLS = f"GAP_OPENOCD_TOOLS=the folder {TOOLS_FOLDER} of gap_utils or SDK"
_URL = "https://github.com/GreenWaves-Technologies/gap_utils"
_CLONE = f"[ -d gap_utils ] || git clone {_URL} && export "
GET = f'{_CLONE}MYOEDGE_OPENOCD="$PWD/gap_utils/openocd_ubuntu2204/bin/openocd"'
GET_TOOLS = f'{_CLONE}GAP_OPENOCD_TOOLS="$PWD/gap_utils/openocd_tools"'

# Offsets in the struct shared by flasher and host, 4 bytes each.
HOST_READY, BOARD_READY, BUFFER, BUFFER_BYTES, RUN, ADDRESS, SIZE, TYPE = range(0, 32, 4)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OpenOcd:
    """An OpenOCD installation.

    program   its executable
    tools     folder with the vendor's scripts (tcl/) and flashers (gap_bins/)
    version   its version
    """

    program: str
    tools: Path
    version: str


def find_program() -> str:
    """Return the path of OpenOCD: $MYOEDGE_OPENOCD, otherwise on PATH. Errors: E501 none."""
    name = os.environ.get("MYOEDGE_OPENOCD", "openocd")
    program = shutil.which(name)
    if program is None:
        raise MyoedgeError("E501", "OpenOCD is missing", {"looked for": name}, [INSTALL_HINT, GET])
    return str(Path(program).absolute())  # OpenOCD's working folder is another one


def find_tools() -> Path:
    """Return the folder $GAP_OPENOCD_TOOLS. Errors: E501 not set, or a folder without scripts."""
    folder = os.environ.get("GAP_OPENOCD_TOOLS", "")
    place = Path(folder).absolute()
    if not folder or place.name != TOOLS_FOLDER or not os.path.isdir(place / "tcl"):
        facts = {"GAP_OPENOCD_TOOLS": folder or "not set", "needs": f"{TOOLS_FOLDER}/tcl"}
        raise MyoedgeError("E501", "the scripts for OpenOCD are missing", facts, [TOOLS, GET_TOOLS])
    return place


def version(program: str) -> str | None:
    """Return the version text that OpenOCD prints; None if it does not run."""
    try:
        finished = tools.run([program, "--version"], cwd=Path.cwd(), timeout_s=20)
    except MyoedgeError:
        return None
    match = re.search(r"Open On-Chip Debugger (\S+)", finished.stderr + finished.stdout)
    return match.group(1) if match else None


def find() -> OpenOcd:
    """Find OpenOCD and the vendor's scripts. Errors: E501 one of them is missing, or OpenOCD does
    not run."""
    program, vendor_tools = find_program(), find_tools()
    printed = version(program)
    if printed is None:
        tries = [f"ldd {program}  names libraries that it lacks", INSTALL_HINT, GET]
        raise MyoedgeError("E501", "OpenOCD does not start", {"program": program}, tries)
    return OpenOcd(program, vendor_tools, printed)


class Session:
    """Connection to a running OpenOCD; commands name files in its working folder."""

    def __init__(self, connection: socket.socket, running: tools.Background, folder: Path) -> None:
        self.connection, self.running, self.folder = connection, running, folder

    def ask(self, command: str) -> str:
        """Run a Tcl command and return its result. Errors: E609 it fails, or OpenOCD has ended."""
        text = f'if {{[catch {{{command}}} r]}} {{set r "error $r"}} else {{set r "ok $r"}}'
        data = b""
        try:
            self.connection.sendall(text.encode() + END)
            while not data.endswith(END):
                received = self.connection.recv(65536)
                if not received:
                    raise ConnectionResetError("the connection was closed")
                data += received
        except OSError as error:
            raise _openocd_ended_error(self.running, command, str(error)) from None
        state, _, value = data[:-1].decode("utf-8", "replace").partition(" ")
        if state != "ok":
            raise _command_failed_error(self.running, command, value)
        return value

    def word(self, address: int) -> int:
        """Read and return the 32-bit word at an address of the chip."""
        output = self.ask(f"capture {{mdw {address:#x}}}")
        match = re.search(r":\s*([0-9a-fA-F]{1,8})\s*$", output.strip())
        if match is None:
            raise _command_failed_error(self.running, f"mdw {address:#x}", output)
        return int(match.group(1), 16)

    def put_word(self, address: int, value: int) -> None:
        self.ask(f"mww {address:#x} {value:#x}")


@contextmanager
def session(installation: OpenOcd, probe: Probe, folder: Path) -> Iterator[Session]:
    """Context manager that runs OpenOCD with the board's scripts. Errors: E601 no probe, E609 it
    ends.

    folder   working folder of OpenOCD, for programs and semihosting files
    Scripts of gap_utils a4f3579 and of the SDK find each other from the folder that holds
    openocd_tools (`find openocd_tools/tcl/gap9revb_common.tcl`), wherever OpenOCD runs.
    """
    scripts = [option for x in probe.scripts for option in ("-f", f"{TOOLS_FOLDER}/{x}")]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])  # free after this server closes
    ports = f"gdb_port disabled; telnet_port disabled; tcl_port {port}"
    speed = f"adapter speed {probe.speed_khz}"
    home = str(installation.tools.parent)
    command = [installation.program, "-s", home, "-c", ports, *scripts, "-c", speed]
    with (
        tools.background(command, cwd=folder) as running,
        _connect(running, port) as connection,
    ):
        connection.settimeout(COMMAND_S)
        yield Session(connection, running, folder)


def _connect(running: tools.Background, port: int) -> socket.socket:
    end = time.monotonic() + CONNECT_S
    while time.monotonic() < end and not running.has_ended:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1.0)
        except OSError:
            time.sleep(0.05)
    raise _openocd_ended_error(
        running, "start", "it ended" if running.has_ended else "its port does not open"
    )


def _openocd_ended_error(running: tools.Background, command: str, cause: str) -> MyoedgeError:
    output = running.says.strip()
    if NO_PROBE.search(output):
        tries = ["connect the board's USB and switch it on", "on Linux: udev rules for the probe"]
        return MyoedgeError("E601", "no probe is connected", {"OpenOCD says": output[-300:]}, tries)
    facts = {"at": command, "cause": cause, "OpenOCD says": output[-400:] or "nothing"}
    tries = ["is the board connected and switched on?", "close other programs that use the probe"]
    return MyoedgeError("E609", "OpenOCD has ended", facts, tries)


def _command_failed_error(running: tools.Background, command: str, answer: str) -> MyoedgeError:
    facts = {
        "command": command,
        "answer": answer.strip()[-300:],
        "OpenOCD says": running.says[-300:],
    }
    tries = ["reset the board and try again", "is the board still connected?"]
    return MyoedgeError("E609", "an OpenOCD command failed", facts, tries)


def check_chain(link: Session, board: Board, probe: Probe) -> None:
    """Raise E610 unless the probe reads the IDCODE of the board's chip."""
    chain = link.ask("capture {scan_chain}")
    if probe.idcode in (int(code, 16) for code in TAP.findall(chain)):
        return
    facts = {"needs": f"a TAP {probe.idcode:#010x}, {board.chip}", "has": chain.strip()[-300:]}
    raise MyoedgeError("E610", f"the connected chip is not of a {board.name}", facts, ["--board"])


def start_in_memory(
    link: Session, probe: Probe, elf: bytes, entry: int, progress: Progress
) -> None:
    """Load a program into RAM, verify it and start it. Errors: E609, E611 RAM differs.

    elf, entry   the program, and its entry address
    """
    (link.folder / "program.elf").write_bytes(elf)
    link.ask(f"targets {probe.target}")
    link.ask("halt")
    progress("load")
    link.ask("load_image program.elf 0x0 elf")
    progress("verify")
    try:
        link.ask("verify_image program.elf 0x0 elf")
    except MyoedgeError as error:
        if link.running.has_ended:
            raise
        raise _sector_difference_error(
            "memory", dict(error.notice.facts).get("answer", "")
        ) from None
    link.ask(f"reg pc {entry:#x}")
    progress("start")
    link.ask("resume")


def write_flash(
    link: Session,
    probe: Probe,
    flash: Flash,
    flasher: bytes,
    image: bytes,
    progress: Progress,
) -> None:
    """Write an image to the start of a flash, sector by sector, with a flasher (an ELF program).

    The flasher's buffer in RAM is read back; the flash itself cannot be read by the flasher.
    Errors: E609, E611 a sector in RAM differs, E612 the flasher does not answer.
    """
    (link.folder / "image.bin").write_bytes(image)
    start_in_memory(link, probe, flasher, probe.flasher_entry, lambda _: None)
    base = _wait_for(link, probe.flasher_struct, lambda word: word not in (0, 0xDEADBEEF))
    for field, value in ((BOARD_READY, 0), (TYPE, 0), (RUN, 1), (HOST_READY, 1)):
        link.put_word(base + field, value)
    for at in range(0, len(image), flash.sector_bytes):
        sector = image[at : at + flash.sector_bytes]
        end, size = at + len(sector), len(sector)
        progress(f"flash {end:,} of {len(image):,} bytes")
        _wait_for(link, base + BOARD_READY, lambda word: word == 1)
        buffer = link.word(base + BUFFER)
        link.put_word(base + HOST_READY, 0)
        if end == len(image):
            link.put_word(base + RUN, 0)
        link.put_word(base + ADDRESS, at)
        link.put_word(base + SIZE, size)
        link.ask(f"load_image image.bin {(buffer - at) % 2**32:#x} bin {buffer:#x} {size}")
        _check_sector(link, buffer, sector, at)
        link.put_word(base + BOARD_READY, 0)
        link.put_word(base + HOST_READY, 1)
    _wait_for(link, base + RUN, lambda word: word == 1)
    for field in (BOARD_READY, HOST_READY):
        link.put_word(base + field, 0)


def _wait_for(link: Session, address: int, condition: Callable[[int], bool]) -> int:
    deadline = time.monotonic() + FLASHER_S
    while time.monotonic() < deadline:
        if condition(word := link.word(address)):
            return word
        time.sleep(0.002)
    facts = {"waited": f"{FLASHER_S:g} s for the word at {address:#x}"}
    raise MyoedgeError("E612", "the flasher does not answer", facts, ["reset the board, try again"])


def _check_sector(link: Session, buffer: int, sector: bytes, at: int) -> None:
    link.ask(f"dump_image sector.bin {buffer:#x} {len(sector)}")
    readback = (link.folder / "sector.bin").read_bytes()
    if readback != sector:
        pairs = enumerate(zip(readback, sector, strict=False))
        offset = next((i for i, (a, b) in pairs if a != b), 0)
        raise _sector_difference_error("the flasher's buffer", f"byte {at + offset:,} of the image")


def _sector_difference_error(location: str, first: str) -> MyoedgeError:
    tries = ["a lower speed_khz in board.toml", "another cable, or a USB port without a hub"]
    return MyoedgeError(
        "E611", f"{location} differs from the written data", {"first": first}, tries
    )
