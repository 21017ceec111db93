#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An OpenOCD with a GAP9 behind it: speaks the Tcl port, holds memory, and runs the flasher.

$FAKE_OPENOCD is a JSON file that says what goes wrong ("trouble", "after": so many commands) and
that the state at the end is written to.
"""

import json
import os
import re
import socket
import struct
import sys
from pathlib import Path

STATE = Path(os.environ["FAKE_OPENOCD"])
PLAN = json.loads(STATE.read_text())
TROUBLE, AFTER = PLAN.get("trouble", ""), PLAN.get("after", 0)
POINTER, STRUCT, BUFFER, FLASHER = 0x1C010090, 0x1C030000, 0x1C040000, 0x1C010080
HOST_READY, BOARD_READY, BUF, BUF_BYTES, RUN, ADDRESS, SIZE = range(0, 28, 4)


class Chip:
    def __init__(self):
        self.memory, self.flash, self.pc, self.halted, self.running = (
            {},
            bytearray(),
            0,
            False,
            None,
        )
        self.target, self.commands = "", []

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
            self.flash[at : at + size] = self.read(BUFFER, size)
            self.put(STRUCT + SIZE, 0)
            if self.word(STRUCT + RUN) == 0:
                self.put(STRUCT + RUN, 1)
        self.put(STRUCT + BOARD_READY, 1)

    def resume(self):
        self.running, self.halted = self.pc, False
        if self.pc == FLASHER:
            self.put(POINTER, STRUCT)
            self.put(STRUCT + BUF, BUFFER)


def segments(data):
    at, count = struct.unpack_from("<I", data, 28)[0], struct.unpack_from("<H", data, 44)[0]
    for index in range(count):
        kind, offset, _, address, size = struct.unpack_from("<5I", data, at + 32 * index)
        if kind == 1:
            yield address, data[offset : offset + size]


def executed(chip, text):
    chip.commands.append(text)
    name, *words = re.findall(r"\{[^{}]*\}|\S+", text)
    words = [word.strip("{}") for word in words]
    if name == "targets":
        chip.target = words[0]
        return ""
    if name == "halt":
        chip.halted = True
        return ""
    if name == "capture":
        return executed(chip, words[0])
    if name == "scan_chain":
        code = "0x10102001" if TROUBLE == "other chip" else "0x20020bcb"
        return f"   0 gap9.riscv  Y  {code} 0x20020bcb 5 0x01 0x03\n"
    if name == "mdw":
        return f"{words[0]}: {chip.word(int(words[0], 0)):08x} \n"
    if name == "mww":
        chip.put(int(words[0], 0), int(words[1], 0))
        return ""
    if name == "reg":
        if not chip.halted:
            raise ValueError("target not halted")
        chip.pc = int(words[1], 0)
        return ""
    if name == "resume":
        chip.resume()
        return ""
    if name == "dump_image":
        Path(words[0]).write_bytes(chip.read(int(words[1], 0), int(words[2], 0)))
        return ""
    data = Path(words[0]).read_bytes()
    if name == "load_image" and words[2] == "elf":
        for at, part in segments(data):
            chip.write(at, part)
        if TROUBLE == "bad cable":
            chip.write(at, bytes([part[0] ^ 8]))
        return "loaded"
    if name == "load_image":
        first, least, most = int(words[1], 0), int(words[3], 0), int(words[4], 0)
        shift = (least - first) % 2**32
        chip.write(least, data[shift : shift + most])
        if TROUBLE == "bad cable in flash":
            chip.write(least + 2, bytes([data[shift + 2] ^ 8]))
        return "loaded"
    if name == "verify_image":
        if any(chip.read(at, len(part)) != part for at, part in segments(data)):
            raise ValueError("checksum mismatch, diff 0 address 0x1c010000")
        return "verified"
    raise ValueError(f'invalid command name "{name}"')


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
            state = {"flash": chip.flash.hex(), "running": chip.running, "commands": chip.commands}
            STATE.with_suffix(".end").write_text(json.dumps(state))
            connection.sendall(answer.encode() + b"\x1a")


def main():
    options = sys.argv[1:]
    if "--version" in options:
        print("Open On-Chip Debugger 0.12.0-fake", file=sys.stderr)
        return 0
    missing = [f for f in options if f.endswith((".cfg", ".tcl")) and not Path(f).is_file()]
    if missing:
        print(f"Error: can't find {missing[0]}", file=sys.stderr)
        return 1
    if TROUBLE == "no probe":
        print("Error: unable to open ftdi device with vid 0403, pid 6010", file=sys.stderr)
        return 1
    serve(int(re.search(r"tcl_port (\d+)", " ".join(options)).group(1)))
    return 0


sys.exit(main())
