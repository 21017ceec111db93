# SPDX-License-Identifier: Apache-2.0
"""Images of flashes: as the vendor's tools write them, and read back; damage is seen."""

from __future__ import annotations

import binascii
import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myoedge.backends.flash_image import (
    BootImage,
    Segment,
    read_boot,
    read_files,
    write_boot,
    write_files,
)
from myoedge.errors import MyoedgeError

WORDS = st.integers(0, 2**32 - 1)
BYTES = st.binary(max_size=200)
NAMES = st.text("abcXYZ._-0123456789", min_size=1, max_size=20)


@given(WORDS, st.lists(st.tuples(WORDS, BYTES), max_size=6))
def test_programs_for_the_rom_round_trip(entry: int, rows: list[tuple[int, bytes]]) -> None:
    image = BootImage(entry, tuple(Segment(address, data) for address, data in rows))
    assert read_boot(write_boot(image)) == image


@given(WORDS, st.lists(st.tuples(WORDS, BYTES, NAMES), max_size=6))
def test_programs_for_the_boot_loader_round_trip(
    entry: int, rows: list[tuple[int, bytes, str]]
) -> None:
    image = BootImage(entry, tuple(Segment(*row) for row in rows), sections=True)
    assert read_boot(write_boot(image)) == image


@given(st.dictionaries(NAMES, BYTES, max_size=6))
def test_file_systems_round_trip(files: dict[str, bytes]) -> None:
    image = write_files(files)
    assert read_files(image) == files
    assert all(image.find(content) >= 0 for content in files.values())


def test_every_word_of_a_program_lies_where_the_decoded_images_have_it() -> None:
    data = b"\x13\x00\x00\x00" * 5
    image = write_boot(
        BootImage(0x1C010100, (Segment(0x1C010000, data), Segment(0x1C020000, b"x")))
    )
    head = struct.unpack_from("<13I", image)
    assert head == (0, 2, 0x1C010100, 0, 2, 0x20000000, 0, 0, 0, 0x1C18E000, 16, 0, 0)
    assert not any(image[52:0x534])
    offset, address, size, crc = struct.unpack_from("<4I", image, 0x534)
    assert (address, size, crc) == (0x1C010000, 20, binascii.crc32(data))
    assert image[offset : offset + size] == data


def test_sections_have_their_names_and_the_magic() -> None:
    image = write_boot(BootImage(0x1C010100, (Segment(0x1C010000, b"abcd", ".text"),), True))
    assert struct.unpack_from("<I", image) == (0xC001B001,)
    row = struct.unpack_from("<5I32s", image, 0x534)
    assert row[1:] == (0x1C010000, 4, binascii.crc32(b"abcd"), 0, b".text".ljust(32, b"\0"))


def test_a_file_system_of_one_file_is_as_decoded() -> None:
    """A name of 28 letters makes a header of 0x35 bytes, as in the image that was decoded."""
    name = "n" * 28
    image = write_files({name: b"\x01\x02"})
    assert struct.unpack_from("<6I", image) == (0x35, 0, 1, 0x38, 2, 29)
    assert image[24:53] == name.encode() + b"\0"
    assert image[0x38:] == b"\x01\x02"


PROGRAM = write_boot(BootImage(0x1C010100, (Segment(0x1C010000, bytes(range(64))),)))
FILES = write_files({"l3.bin": bytes(range(64))})


@pytest.mark.parametrize("cut", [0, 40, 0x534, 0x540, len(PROGRAM) - 1])
def test_a_program_that_is_cut_off_is_damaged(cut: int) -> None:
    with pytest.raises(MyoedgeError) as caught:
        read_boot(PROGRAM[:cut])
    assert (caught.value.code, caught.value.exit_code) == ("E244", 2)


@pytest.mark.parametrize("at", [0x540, len(PROGRAM) - 1])
def test_a_bit_that_flips_is_seen(at: int) -> None:
    flipped = bytearray(PROGRAM)
    flipped[at] ^= 4
    with pytest.raises(MyoedgeError) as caught:
        read_boot(bytes(flipped))
    assert "crc32" in str(caught.value)


@given(st.binary(max_size=3000))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (read_boot, read_files):
        with contextlib.suppress(MyoedgeError):  # anything else would be a failure
            read(data)


@pytest.mark.parametrize("cut", [4, 20, 26, len(FILES) - 1])
def test_a_file_system_that_is_cut_off_is_damaged(cut: int) -> None:
    with pytest.raises(MyoedgeError) as caught:
        read_files(FILES[:cut])
    assert caught.value.code == "E244"
