# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of a serial line: the simulator running the firmware, or trouble."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from myoedge.extensions.boards.console import Message, decode, encode
from myoedge.simulator import simulate

# What came from the host -> what goes to it; None: the line breaks.
Peer = Callable[[bytes], bytes | None]


@contextmanager
def at_the_line(peer: Peer) -> Iterator[str]:
    """The path of a serial port whose other end is the peer, which is asked first with nothing."""
    host, device = os.openpty()
    tty.setraw(device)
    name, over = os.ttyname(device), threading.Event()
    thread = threading.Thread(target=_serve, args=(host, device, peer, over))
    thread.start()
    try:
        yield name
    finally:
        over.set()
        thread.join()


def _serve(host: int, device: int, peer: Peer, over: threading.Event) -> None:
    came: bytes = b""
    with contextlib.suppress(OSError):
        while not over.is_set():
            said = peer(came)
            if said is None:
                break
            os.write(host, said)
            came = os.read(host, 4096) if select.select([host], [], [], 0.02)[0] else b""
    for end in (host, device):
        os.close(end)


class Firmware:
    """The application on the simulated chip. It has no line while it runs, so it is run again with
    all that the host has said so far, and what it answers beyond the last time is new."""

    def __init__(self, elf: bytes, folder: Path) -> None:
        self.elf, self.folder = elf, folder
        self.received, self.said, self.pending = b"", 0, True

    def __call__(self, came: bytes) -> bytes:
        self.received += came
        if not came and not self.pending:
            return b""
        self.pending = False
        (self.folder / "uart.in").write_bytes(self.received)
        ran = simulate(self.elf, folder=self.folder)
        assert ran.exit_code == 0, ran.output
        answered = (self.folder / "uart.out").read_bytes()
        new, self.said = answered[self.said :], len(answered)
        return new


def replaced(peer: Peer, change: Callable[[int, Message], bytes]) -> Peer:
    """A peer whose n-th answer is what `change` makes of it."""
    count = 0

    def changed(came: bytes) -> bytes | None:
        nonlocal count
        said = peer(came)
        frames, _ = decode(said or b"")
        new = []
        for frame in frames:
            new.append(change(count, frame))
            count += 1
        return b"".join(new) if said is not None else None

    return changed


def noisy(peer: Peer) -> Peer:
    """Every third answer has a bit that flipped, and there is rubbish in front of each."""

    def change(n: int, frame: Message) -> bytes:
        data = bytearray(encode(frame))
        if n % 3 == 2:
            data[-1] ^= 1
        return b"\xa5\x5aM\0boot\r\n" + bytes(data)

    return replaced(peer, change)


def unplugged_after(peer: Peer, answers: int) -> Peer:
    """The line breaks instead of a later answer."""
    left = answers

    def breaking(came: bytes) -> bytes | None:
        nonlocal left
        said = peer(came)
        left -= len(decode(said or b"")[0])
        return None if left < 0 else said

    return breaking
