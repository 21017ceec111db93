# SPDX-License-Identifier: Apache-2.0
"""Images of flashes: as the vendor's tools write them, and read back."""

from __future__ import annotations

import binascii
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myoedge.errors import MyoedgeError
from myoedge.extensions.boards import flashing
from myoedge.extensions.boards.flash_image import Placed, boot_image, file_system, flash_images
from myoedge.extensions.boards.flashing import FlashRequest
from myoedge.targets.boards import find_board
from myoedge.targets.gap9.program import MAP
from tests.extensions.boards.flash_images import mounted_by_4, mounted_by_5, read_boot, read_files

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
    words = range(0, len(image) + 1, 4)
    assert all(any(image.startswith(x, at) for at in words) for x in files.values())


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


# ---- an application finds its files


@pytest.mark.parametrize("to", ["ram", "mram", "octospi"])
@given(st.lists(st.tuples(WORDS, BYTES), max_size=6), st.dictionaries(NAMES, BYTES, max_size=6))
def test_mounts_find_files_beside_a_program(
    to: str, rows: list[tuple[int, bytes]], files: dict[str, bytes]
) -> None:
    program = None if to == "ram" else boot_image(0x1C010100, rows)
    for table in ("mram", "octospi"):
        images = flash_images(program, to, Placed(file_system(files)), table, 8192)
        assert images.keys() == {"octospi", table} | ({to} - {"ram"})
        found = mounted_by_5(images) if table == "mram" else mounted_by_4(images["octospi"])
        assert found == files
        if to != "ram":
            assert read_boot(images[to]) == (0x1C010100, rows)


@pytest.mark.parametrize("has_l3", [False, True])
@pytest.mark.parametrize("table", ["mram", "octospi"])
@pytest.mark.parametrize("to", ["ram", "mram", "octospi"])
def test_mounts_find_weights_in_mram_beside_program_and_slots(
    to: str, table: str, has_l3: bool
) -> None:
    rows = [(0x1C010000, bytes(range(200)) * 500)]
    program = None if to == "ram" else boot_image(0x1C010100, rows)
    weights = {"mram.bin": bytes(range(256)) * 7000}
    placed = Placed(file_system({"l3.bin": b"l3"}) if has_l3 else None, file_system(weights))
    images = flash_images(program, to, placed, table, 8192)
    assert images.keys() == {"mram"} | {"octospi"} & ({"octospi"} if has_l3 else {to})
    assert images["mram"].index(placed.weights) == MAP.weights.offset
    assert len(images["mram"]) <= MAP.weights.end
    found = {"readfs_mram": weights} | ({"readfs_flash": {"l3.bin": b"l3"}} if has_l3 else {})
    for label, files in found.items():
        flash = {"readfs_mram": "mram", "readfs_flash": "octospi"}[label]
        by_4 = mounted_by_4(images[flash]) if table == "octospi" else files
        by_5 = mounted_by_5(images, label) if table == "mram" else files
        assert (by_4, by_5) == (files, files)
    if to != "ram":
        assert read_boot(images[to]) == (0x1C010100, rows)


def test_a_program_that_reaches_into_the_weights_is_refused() -> None:
    request, weights = FlashRequest(find_board(), "mram"), Placed(weights=b"w")
    for size, fits in ((MAP.weights.offset - 0x1000, True), (MAP.weights.offset - 0x400, False)):
        program = boot_image(0, [(0x1C010000, bytes(size))])
        if fits:
            image = flashing._flash_images(request, program, weights, "mram")["mram"]
            assert image[MAP.weights.offset :] == b"w"
        else:
            with pytest.raises(MyoedgeError, match="does not fit MRAM"):
                flashing._flash_images(request, program, weights, "mram")


def test_the_file_system_begins_with_a_sector() -> None:
    """So that a sector of it is written without the program's."""
    program, files = boot_image(0, [(0x1C010000, b"x" * 9000)]), file_system({"a": b"b"})
    assert flash_images(program, "mram", Placed(files), "mram", 8192)["octospi"] == files
    assert flash_images(program, "octospi", Placed(files), "mram", 8192)["octospi"][16384:] == files
    assert flash_images(None, "ram", Placed(files), "octospi", 8192)["octospi"][8192:] == files


def test_a_table_in_mram_is_as_decoded() -> None:
    """Words of the image of a program in MRAM with one file system of 40 bytes."""
    image = flash_images(boot_image(0, ()), "mram", Placed(bytes(40)), "mram", 8192)["mram"]
    meta = 0x540  # the program has no segment
    assert struct.unpack_from("<I", image) == (meta,)
    expected = [0] * 24
    expected[9] = expected[13] = expected[21] = 0xDEADBEEF
    expected[17] = table = meta + 96
    assert [*struct.unpack_from("<24I", image, meta)] == expected
    assert image[table : table + 7] == bytes.fromhex("ba020205050000")
    assert image[table + 16 : table + 37] == struct.pack(
        "<HBBHBBBIII", 0, 1, 0x81, 0, 1, 0, 0, 0, 40, 40
    )
    volumes = table + 16 + 5 * 32
    assert image[volumes : volumes + 3] == bytes.fromhex("ba0102")
    assert image[volumes + 19 : volumes + 39] == b"app".ljust(16, b"\0") + bytes([2, 2, 0, 0])


def test_a_table_in_the_octal_flash_is_as_4_12_defines_it() -> None:
    image = flash_images(None, "ram", Placed(bytes(40)), "octospi", 8192)["octospi"]
    (at,) = struct.unpack_from("<I", image)
    assert image[at : at + 5] == bytes.fromhex("ba02010101")
    entry = b"\xba\x01" + struct.pack("<BBII16sI", 1, 0x81, 8192, 40, b"readfs_flash", 0)
    assert image[at + 32 : at + 64] == entry
