# SPDX-License-Identifier: Apache-2.0
"""Slots of flash that survive power cuts: the C on a flash in Python that tears pages and blocks,
with two geometries, and adapt.elf on the simulated flash."""

from __future__ import annotations

import ctypes
import random
import shutil
import struct
import zlib
from collections import Counter

import pytest

from myoedge.codegen.render import template_dir
from myoedge.system.library import load_library

WORD, FUNCTION = ctypes.c_uint32, ctypes.CFUNCTYPE
READ = FUNCTION(ctypes.c_int32, WORD, ctypes.c_void_p, WORD)
ERASE = FUNCTION(ctypes.c_int32, WORD)


class FlashStruct(ctypes.Structure):
    """me_flash of me_flash.h."""

    _fields_ = (
        ("page_bytes", WORD),
        ("block_bytes", WORD),
        ("read", READ),
        ("program", READ),
        ("erase", ERASE),
    )


class SlotsStruct(ctypes.Structure):
    """me_slots of me_slots.h."""

    _fields_ = (
        ("flash", ctypes.POINTER(FlashStruct)),
        ("first", WORD),
        ("slot_bytes", WORD),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("slots")
    for name in ("me_slots.c", "me_slots.h", "me_crc32.c", "me_crc32.h", "me_flash.h"):
        shutil.copy(template_dir() / "storage" / name, folder)
    shutil.copy(template_dir() / "include" / "me_status.h", folder)
    return load_library(folder).handle


class Device:
    """A flash: pages are programmed once between two erasures; power goes during operation `left`,
    and what it changes gets drawn bits; later operations do nothing."""

    def __init__(
        self, library: ctypes.CDLL, page: int, block: int, blocks: int, rng: random.Random
    ):
        self.library, self.rng, self.page, self.block = library, rng, page, block
        self.first, self.slot_bytes = 3 * block, blocks * block
        self.bytes = bytearray(rng.randbytes((3 + 2 * blocks) * block))
        self.left: int | None = None
        self.operations, self.misused = 0, False
        self.reads = 0
        self.fails: int | None = None  # number of the read that fails
        calls = READ(self._read), READ(self._program), ERASE(self._erase)
        self.flash = FlashStruct(page, block, *calls)
        self.slots = SlotsStruct(ctypes.pointer(self.flash), self.first, self.slot_bytes)

    def _goes_on(self, at: int, wanted: bytes) -> int:
        self.operations += 1
        left, self.left = self.left, None if self.left is None else self.left - 1
        if left is None or left > 0:
            self.bytes[at : at + len(wanted)] = wanted
        elif left == 0:
            for n, byte in enumerate(wanted, at):
                mask = self.rng.randrange(256)
                self.bytes[n] = self.bytes[n] & ~mask | byte & mask
        return 0

    def _read(self, at: int, to: int, size: int) -> int:
        ctypes.memmove(to, bytes(self.bytes[at : at + size]), size)
        self.reads += 1
        return -1 if self.fails == self.reads - 1 else 0

    def _program(self, at: int, source: int, size: int) -> int:
        pages = range(at, at + size, self.page)
        self.misused |= at % self.page != 0 or size % self.page != 0 or at < self.first
        for number, place in enumerate(pages):
            if self.left is None or self.left >= 0:
                self.misused |= self.bytes[place : place + self.page] != b"\xff" * self.page
            self._goes_on(place, ctypes.string_at(source + number * self.page, self.page))
        return 0

    def _erase(self, at: int) -> int:
        self.misused |= at % self.block != 0 or not self.first <= at < len(self.bytes)
        return self._goes_on(at, b"\xff" * self.block)

    def save(self, record: bytes, cut: int | None = None) -> int:
        self.left, self.operations, self.reads = cut, 0, 0
        result = self.library.me_slots_save(ctypes.byref(self.slots), record, len(record))
        self.left = None
        assert not self.misused
        return int(result)

    def load(self, most: int = 1 << 16) -> bytes | None:
        buffer = ctypes.create_string_buffer(b"\xa5" * most, most)
        self.reads = 0
        size = self.library.me_slots_load(ctypes.byref(self.slots), buffer, most)
        if size < 0:
            assert buffer.raw == b"\xa5" * most
        return None if size < 0 else buffer.raw[:size]


GEOMETRIES = [(16, 8192, 1), (256, 4096, 2), (1, 64, 3)]


@pytest.fixture(params=GEOMETRIES, ids=str)
def device(request: pytest.FixtureRequest, library: ctypes.CDLL) -> Device:
    return Device(library, *request.param, random.Random(7))


def test_flash_that_was_never_written_has_no_record(device: Device) -> None:
    assert device.load() is None
    assert device.save(b"") == 0
    assert device.load() == b""


def test_the_last_record_comes_back(device: Device) -> None:
    rng, before = random.Random(1), bytes(device.bytes[: device.first])
    most = device.slot_bytes - max(device.page, -(-20 // device.page) * device.page)
    for size in (most, 0, 1, *(rng.randrange(most) for _ in range(20)), most):
        record = rng.randbytes(size)
        assert device.save(record) == 0
        assert device.load() == record
        assert device.load(size) == record
        assert not size or device.load(size - 1) is None
    assert device.save(bytes(most + 1)) == -1
    assert device.load() == record
    assert device.bytes[: device.first] == before


def test_power_cuts_leave_the_old_record_or_the_new_one(device: Device) -> None:
    """A cut in every operation, often in the one after another that was cut."""
    rng, seen = random.Random(2), Counter()
    old = None
    for number in range(300):
        new = number.to_bytes(4) + rng.randbytes(rng.randrange(device.slot_bytes // 2))
        device.save(
            new, rng.randrange(device.operations + 2) if number % 3 else device.operations - 1
        )
        found = device.load()
        seen["old" if found == old else "new" if found == new else "neither"] += 1
        if rng.random() < 0.2:
            assert device.save(new) == 0
            found = new
        old = found
    assert seen["neither"] == 0
    assert min(seen["old"], seen["new"]) > 10


def test_damaged_bytes_give_the_record_before(device: Device) -> None:
    device.save(b"the one before")
    device.save(b"the last one")
    where = device.bytes.index(b"the last one")
    head = device.bytes.index(struct.pack("<I", zlib.crc32(b"the last one")))
    for at in (*range(where, where + 12), *range(head - 12, head + 8)):
        device.bytes[at] ^= 4
        assert device.load() == b"the one before", at - where
        device.bytes[at] ^= 4
    assert device.load() == b"the last one"


def test_sequence_numbers_wrap_around(device: Device) -> None:
    device.save(b"a")
    words = [0x3153454D, 0xFFFFFFFE, 1, zlib.crc32(b"a")]
    head = struct.pack("<4I", *words)
    head += struct.pack("<I", zlib.crc32(head))
    device.bytes[device.first : device.first + len(head)] = head
    for record in (b"b", b"c", b"d", b"e"):
        assert device.save(record) == 0
        assert device.load() == record


def test_a_flash_that_fails_is_reported(device: Device) -> None:
    device.save(b"kept")
    device.left = -1  # nothing is written any more
    assert device.library.me_slots_save(ctypes.byref(device.slots), b"lost", 4) == -1
    assert device.load() == b"kept"


def test_a_read_that_fails_erases_nothing(device: Device) -> None:
    """Each single read of a save that finds the newest record in either slot."""
    unreadable = -2
    for newest in (b"one", b"two"):
        assert device.save(newest) == 0
        device.fails = None
        before, device.reads = bytes(device.bytes), 0
        assert device.load() == newest
        for number in range(device.reads - 1):  # the last one copies the record
            device.fails = number
            assert device.load() is None
            assert device.save(b"lost") == unreadable
            assert device.bytes == before
        device.fails = None
        assert device.load() == newest
