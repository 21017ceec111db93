# SPDX-License-Identifier: Apache-2.0
"""Images of flashes: as the vendor's tools write them, and read back."""

from __future__ import annotations

import binascii
import struct

from hypothesis import given
from hypothesis import strategies as st

from myoedge.backends.flashing import boot_image, file_system
from tests.boards.flash_images import read_boot, read_files

WORDS = st.integers(0, 2**32 - 1)
BYTES = st.binary(max_size=200)
NAMES = st.text("abcXYZ._-0123456789", min_size=1, max_size=20)


@given(WORDS, st.lists(st.tuples(WORDS, BYTES), max_size=6))
def test_programs_for_the_rom_round_trip(entry: int, rows: list[tuple[int, bytes]]) -> None:
    assert read_boot(boot_image(entry, rows)) == (entry, rows)


@given(st.dictionaries(NAMES, BYTES, max_size=6))
def test_file_systems_round_trip(files: dict[str, bytes]) -> None:
    image = file_system(files)
    assert read_files(image) == files
    assert all(image.find(content) >= 0 for content in files.values())


def test_every_word_of_a_program_lies_where_the_decoded_images_have_it() -> None:
    data = b"\x13\x00\x00\x00" * 5
    image = boot_image(0x1C010100, [(0x1C010000, data), (0x1C020000, b"x")])
    head = struct.unpack_from("<13I", image)
    assert head == (0, 2, 0x1C010100, 0, 2, 0x20000000, 0, 0, 0, 0x1C18E000, 16, 0, 0)
    assert not any(image[52:0x534])
    offset, address, size, crc = struct.unpack_from("<4I", image, 0x534)
    assert (address, size, crc) == (0x1C010000, 20, binascii.crc32(data))
    assert image[offset : offset + size] == data


def test_a_file_system_of_one_file_is_as_decoded() -> None:
    """A name of 28 letters makes a header of 0x35 bytes, as in the image that was decoded."""
    name = "n" * 28
    image = file_system({name: b"\x01\x02"})
    assert struct.unpack_from("<6I", image) == (0x35, 0, 1, 0x38, 2, 29)
    assert image[24:53] == name.encode() + b"\0"
    assert image[0x38:] == b"\x01\x02"
