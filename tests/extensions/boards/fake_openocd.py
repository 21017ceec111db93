#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An OpenOCD with a GAP9 behind it: speaks the Tcl port, holds memory, and runs the flasher.

$FAKE_OPENOCD is a JSON file that says what goes wrong ("trouble", "after": so many commands) and
that the state at the end is written to.
"""

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import struct
import sys
from pathlib import Path

STATE = Path(os.environ["FAKE_OPENOCD"])
PLAN = json.loads(STATE.read_text())
TROUBLE, AFTER = PLAN.get("trouble", ""), PLAN.get("after", 0)
POINTER, STRUCT, BUFFER, FLASHER = 0x1C010090, 0x1C030000, 0x1C040000, 0x1C010080
HOST_READY, BOARD_READY, BUF, BUF_BYTES, RUN, ADDRESS, SIZE = range(0, 28, 4)

EXIT = 0x1A1040C0
EXITED_BEFORE = 0x80000007  # an earlier program's exit code


class Chip:
    semihosting = False

    def __init__(self):
        self.memory, self.flashes, self.commands = {}, {}, []
        self.pc, self.halted, self.running, self.loaded, self.target = 0, False, None, "", ""
        self.write(EXIT, EXITED_BEFORE.to_bytes(4, "little"))

    def write(self, at, data):
        for i, byte in enumerate(data):
            self.memory[at + i] = byte

    def read(self, at, size):
        return bytes(self.memory.get(at + i, 0) for i in range(size))

    def word(self, at):
        return int.from_bytes(self.read(at, 4), "little")

    def put(self, at, value):
        self.write(at, value.to_bytes(4, "little"))
        if self.running == FLASHER and at == STRUCT + HOST_READY and value == 1:
            self.flasher()

    def flasher(self):
        """One round of its loop: what is in the buffer goes to flash, then it is ready again."""
        if TROUBLE == "no flasher":
            return
        size = self.word(STRUCT + SIZE)
        if size:
            at = self.word(STRUCT + ADDRESS)
            flash = self.flashes.setdefault(self.loaded, bytearray())
            flash[at : at + size] = self.read(BUFFER, size)
            self.put(STRUCT + SIZE, 0)
            if self.word(STRUCT + RUN) == 0:
                self.put(STRUCT + RUN, 1)
        self.put(STRUCT + BOARD_READY, 1)

    def resume(self):
        self.running, self.halted = self.pc, False
        if TROUBLE == "cannot start":  # printed over semihosting
            print("myoedge gap-sdk gap9 00: cannot start, code 5 of app.c", flush=True)
        if not self.loaded and self.semihosting and TROUBLE != "hangs":
            self.simulate()
        if self.pc == FLASHER:
            self.put(POINTER, STRUCT)
            self.put(STRUCT + BUF, BUFFER)

    def simulate(self):
        """The program's run on the simulated chip, which has the files of the current folder."""
        from myoedge.simulator import simulate

        ran = simulate(self.elf, folder=Path.cwd())
        print(ran.output, flush=True)
        if TROUBLE == "wrong byte":
            data = bytearray(Path("output.bin").read_bytes())
            data[0] ^= 1
            Path("output.bin").write_bytes(data)
        if TROUBLE == "no files":
            Path("output.bin").unlink()
        self.put(EXIT, 0x80000000 | (103 if TROUBLE == "fails" else ran.exit_code))


def segments(data):
    at, count = struct.unpack_from("<I", data, 28)[0], struct.unpack_from("<H", data, 44)[0]
    for index in range(count):
        kind, offset, _, address, size = struct.unpack_from("<5I", data, at + 32 * index)
        if kind == 1:
            yield address, data[offset : offset + size]


def set_target(chip, name):
    chip.target = name
    return ""


def halt(chip):
    chip.halted = True
    return ""


def capture(chip, text):
    return executed(chip, text)


def scan_chain(chip):
    code = "0x10102001" if TROUBLE == "other chip" else "0x20020bcb"
    return f"   0 gap9.riscv  Y  {code} 0x20020bcb 5 0x01 0x03\n"


def mdw(chip, at):
    return f"{at}: {chip.word(int(at, 0)):08x} \n"


def mww(chip, at, value):
    chip.put(int(at, 0), int(value, 0))
    return ""


def arm(chip, *words):
    assert words == ("semihosting", "enable")
    chip.semihosting = True
    return "semihosting is enabled"


def reg(chip, _, value):
    if not chip.halted:
        raise ValueError("target not halted")
    chip.pc = int(value, 0)
    return ""


def resume(chip):
    chip.resume()
    return ""


def dump_image(chip, file, at, size):
    Path(file).write_bytes(chip.read(int(at, 0), int(size, 0)))
    return ""


def load_image(chip, file, first, kind, least="0", most="0"):
    data = Path(file).read_bytes()
    if kind == "elf":
        return load_elf(chip, data)
    shift = (int(least, 0) - int(first, 0)) % 2**32
    chip.write(int(least, 0), data[shift : shift + int(most, 0)])
    if TROUBLE == "bad cable in flash":
        chip.write(int(least, 0) + 2, bytes([data[shift + 2] ^ 8]))
    return "loaded"


def load_elf(chip, data):
    home = sys.argv[sys.argv.index("-s") + 1]
    flashers = Path(home, "openocd_tools", "gap_bins").iterdir()
    chip.loaded = next((file.name for file in flashers if file.read_bytes() == data), "")
    chip.elf = data
    for at, part in segments(data):
        chip.write(at, part)
    if TROUBLE == "bad cable":
        chip.write(at, bytes([part[0] ^ 8]))
    return "loaded"


def verify_image(chip, file, *_):
    data = Path(file).read_bytes()
    if any(chip.read(at, len(part)) != part for at, part in segments(data)):
        raise ValueError("checksum mismatch, diff 0 address 0x1c010000")
    return "verified"


LIKE_THEIR_FUNCTIONS = (
    *(halt, capture, scan_chain, mdw, mww, arm, reg, resume),
    *(dump_image, load_image, verify_image),
)
COMMANDS = {"targets": set_target, **{f.__name__: f for f in LIKE_THEIR_FUNCTIONS}}


def executed(chip, text):
    chip.commands.append(text)
    name, *words = (word.strip("{}") for word in re.findall(r"\{[^{}]*\}|\S+", text))
    if name not in COMMANDS:
        raise ValueError(f'invalid command name "{name}"')
    return COMMANDS[name](chip, *words)


def serve(port):
    chip = Chip()
    with socket.create_server(("127.0.0.1", port)) as server:
        connection, _ = server.accept()
    data = b""
    while came := connection.recv(65536):
        *commands, data = (data + came).split(b"\x1a")
        for command in commands:
            if TROUBLE == "unplugged" and len(chip.commands) >= AFTER:
                print("Error: ftdi_write error, device disconnected", file=sys.stderr, flush=True)
                sys.exit(1)
            text = re.fullmatch(r"if \{\[catch \{(.*)\} r\]\} .*", command.decode()).group(1)
            try:
                answer = f"ok {executed(chip, text)}"
            except (ValueError, OSError) as error:
                answer = f"error {error}"
            flashes = {name: flash.hex() for name, flash in chip.flashes.items()}
            state = {"flashes": flashes, "running": chip.running, "commands": chip.commands}
            state["options"] = sys.argv[1:]
            STATE.with_suffix(".end").write_text(json.dumps(state))
            connection.sendall(answer.encode() + b"\x1a")


def sourced(script, folders):
    """Whether a script is there, and every other one that it finds in these folders."""
    places = [folder / script for folder in folders if (folder / script).is_file()]
    if not places:
        return False
    found = re.findall(r"source \[find (\S+)\]", places[0].read_text())
    return all(sourced(Path(name), folders) for name in found)


def main():
    options = sys.argv[1:]
    if "--version" in options:
        print("Open On-Chip Debugger 0.12.0-fake", file=sys.stderr)
        return 0
    pairs = list(itertools.pairwise(options))
    folders = [Path(), *(Path(value) for option, value in pairs if option == "-s")]
    scripts = [value for option, value in pairs if option == "-f"]
    missing = [script for script in scripts if not sourced(Path(script), folders)]
    if missing:
        print(f"Error: can't find what {missing[0]} sources", file=sys.stderr)
        return 1
    if TROUBLE == "no probe":
        print("Error: unable to open ftdi device with vid 0403, pid 6010", file=sys.stderr)
        return 1
    with contextlib.suppress(ConnectionError):
        serve(int(re.search(r"tcl_port (\d+)", " ".join(options)).group(1)))
    signal.pause()  # OpenOCD waits for the next connection
    return 0


sys.exit(main())
