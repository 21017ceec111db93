# SPDX-License-Identifier: Apache-2.0
"""Images of GAP9's flashes: a program for the ROM, a read-only file system, partition tables.

Layouts are decoded from images of the vendor's tools (gap_utils a4f3579) and from the debug
information of its test_elf/mobilenet, a program of SDK 5.x. The table of SDK 4.x follows gap_sdk
3c2f102b, bsp/flash_partition.h. CRCs are zlib.crc32; numbers are little endian.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from myoedge.numerics.arrays import round_up
from myoedge.targets.gap9.program import MAP

# Header of a boot image: offset of the next image or table (0: none), number of segments, entry, 0,
# eight unused fields for execution in place (device, address, page command, flash base, pages, L2
# of the pages, number of pages there), sizes of two keys.
_HEAD = struct.Struct("<13I")
_XIP = (2, 0x20000000, 0, 0, 0, 0x1C18E000, 16)
_SEGMENT = struct.Struct("<4I")  # offset, address, size, crc32
SEGMENTS_AT = 0x534  # after the header and the space for keys: 1024 + 256 bytes
_FILE = struct.Struct("<3I")  # offset, size, length of the name with its zero byte
_READFS = struct.Struct("<3I")  # header bytes, 0, number of files
ALIGNMENT = 16
ERASED = b"\xff"


def boot_image(entry: int, segments: Sequence[tuple[int, bytes]]) -> bytes:
    """Return a program as an image that the chip's ROM boots.

    entry      entry address
    segments   (address, bytes), placed at multiples of 16 after the table
    """
    start = round_up(SEGMENTS_AT + len(segments) * _SEGMENT.size, ALIGNMENT)
    rows, body = b"", b""
    for address, data in segments:
        rows += _SEGMENT.pack(start + len(body), address, len(data), zlib.crc32(data))
        body += data + bytes(-len(data) % ALIGNMENT)
    head = _HEAD.pack(0, len(segments), entry, 0, *_XIP, 0, 0)
    return (head.ljust(SEGMENTS_AT, b"\0") + rows).ljust(start, b"\0") + body


def file_system(files: Mapping[str, bytes]) -> bytes:
    """Return a read-only file system; files begin at multiples of 4 bytes, as in gap_sdk 4.12
    (utils/gapy/gen_readfs.py)."""
    names = [name.encode() + b"\0" for name in files]
    header = _READFS.size + sum(_FILE.size + len(name) for name in names)
    rows, at = b"", header
    places: list[int] = []
    for name, content in zip(names, files.values(), strict=True):
        at = round_up(at, 4)
        places.append(at)
        rows += _FILE.pack(at, len(content), len(name)) + name
        at += len(content)
    image = _READFS.pack(header, 0, len(files)) + rows
    for place, content in zip(places, files.values(), strict=True):
        image = image.ljust(place, b"\0") + content
    return image


# --- partition tables -----------------------------------------------------------------------------

DEVICES = {"mram": 0, "octospi": 1}  # their interface and chip select are both 0


class PartitionType(NamedTuple):
    """Type and subtype of a partition, as the SDK numbers them."""

    type: int
    subtype: int


APPLICATION, READFS = PartitionType(0, 0x71), PartitionType(1, 0x81)
META_TABLE, PARTITION_TABLE = PartitionType(2, 0xE4), PartitionType(2, 0xE0)
VOLUME_TABLE = PartitionType(2, 0xE1)


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of a flash memory.

    label                name, of at most 16 letters
    type                 its type and subtype
    memory               the flash: "mram" or "octospi"
    offset, size_bytes   position and size in bytes
    """

    label: str
    type: PartitionType
    memory: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Placed:
    """File systems that an application reads; None: there is none.

    files     of the octal flash, with l3.bin: at its first free sector
    weights   of MRAM, with mram.bin: in the weights' partition (targets/gap9/program.py)
    """

    files: bytes | None = None
    weights: bytes | None = None


def flash_images(
    program: bytes | None, to: str, placed: Placed, table: str, sector_bytes: int
) -> dict[str, bytes]:
    """Return the image of each flash ("mram", "octospi") for an application with files.

    program        boot image of the application; None: it is loaded into RAM
    to             flash of the boot image
    table          "mram": one partition table for SDK 5.x; "octospi": for SDK 4.x, in each flash
                   that has files
    sector_bytes   sector size of the octal flash

    Where program and tables reach into the weights' partition, the weights follow them.
    """
    images = _without_files(program, to, placed, table, 0)
    at = round_up(len(images.get("octospi", b"")), sector_bytes)
    if placed.files is not None:
        images = _without_files(program, to, placed, table, at)
        images["octospi"] = images.get("octospi", b"").ljust(at, b"\0") + placed.files
    if placed.weights is not None:
        images["mram"] = images["mram"].ljust(MAP.weights.offset, ERASED) + placed.weights
    return images


def _without_files(
    program: bytes | None, to: str, placed: Placed, table: str, at: int
) -> dict[str, bytes]:
    """Return the images up to the file systems; `at`: offset of that of the octal flash."""
    images = {} if program is None else {to: program}
    partitions = []
    if placed.files is not None:
        row = Partition("readfs_flash", READFS, "octospi", at, len(placed.files))
        partitions.append(row)
    if placed.weights is not None:
        row = Partition("readfs_mram", READFS, "mram", MAP.weights.offset, len(placed.weights))
        partitions.append(row)
    tables = ["mram"] if table == "mram" else [row.memory for row in partitions]
    partitions += [
        Partition("app", APPLICATION, memory, 0, len(image)) for memory, image in images.items()
    ]
    for memory in tables:
        image = images.get(memory, boot_image(0, ()))
        made = with_table_of_5(image, partitions) if table == "mram" else None
        images[memory] = made or with_table_of_4(image, partitions, memory)
    return images


def _pad_to_table(offset: int, image: bytes) -> bytes:
    """Pad a boot image to `offset`, the place of its partition table, and store it in word 0."""
    return struct.pack("<I", offset) + image[4:].ljust(offset - 4, b"\0")


# Magic number, version, number of entries, whether the MD5 is used, MD5 of the entries.
_HEADER_OF_4 = struct.Struct("<HBBB11x16s")
_ENTRY_OF_4 = struct.Struct("<HBBII16sI")  # magic, type, subtype, offset, bytes, label, flags


def with_table_of_4(image: bytes, partitions: Sequence[Partition], memory: str) -> bytes:
    """Append a partition table of format 1 (SDK 4.x) for a flash to its boot image."""
    entries = b"".join(
        _ENTRY_OF_4.pack(0x01BA, *row.type, row.offset, row.size_bytes, row.label.encode(), 0)
        for row in partitions
        if row.memory == memory
    )
    count = len(entries) // _ENTRY_OF_4.size
    header = _HEADER_OF_4.pack(0x02BA, 1, count, 1, hashlib.md5(entries).digest())
    return _pad_to_table(round_up(len(image), ALIGNMENT), image) + header + entries


# Each header ends with its own CRC, which the struct omits.
_HEADER = struct.Struct("<HBBBHI")  # magic, version, entries, maximum entries, flags, their CRC
_ENTRY = struct.Struct("<HBBHBBBIII11x")  # uuid, type, subtype, flags, device, offset, size, 0
_VOLUMES = struct.Struct("<HBII")  # magic, number of volumes, bytes, CRC
_VOLUME = struct.Struct("<HH16sBBBB")  # flags, uuid, label, partitions, maximum, order, boots
_MEMBER = struct.Struct("<HH16s")  # flags, uuid of the partition, label
_ACTIVE = 1  # flag of the volume that boots
_META_WORDS, _TABLE_WORD = 24, 17
_NONE = 0xDEADBEEF
_NONE_WORDS = (9, 13, 21)  # absent: second-stage boot loaders a and b, partition table b


def with_table_of_5(image: bytes, partitions: Sequence[Partition]) -> bytes:
    """Append the tables of all flashes (format 2, SDK 5.x) to a boot image for MRAM.

    The first word points to 96 bytes of offsets, which point to the partition table. A volume table
    in one of the partitions holds the labels.
    """
    meta_at, count = round_up(len(image), ALIGNMENT), len(partitions) + 3
    table_at = meta_at + 4 * _META_WORDS
    table_bytes = ALIGNMENT + count * _ENTRY.size
    volumes_bytes = _VOLUMES.size + 4 + 2 * _VOLUME.size + count * _MEMBER.size
    own = (
        Partition("meta_table", META_TABLE, "mram", meta_at, 4 * _META_WORDS),
        Partition("partition_table", PARTITION_TABLE, "mram", table_at, table_bytes),
        Partition("volume_table", VOLUME_TABLE, "mram", table_at + table_bytes, volumes_bytes),
    )
    words = {_TABLE_WORD: table_at} | dict.fromkeys(_NONE_WORDS, _NONE)
    meta = struct.pack(f"<{_META_WORDS}I", *(words.get(i, 0) for i in range(_META_WORDS)))
    volumes = _volume_table_entry("app", _ACTIVE, 0, partitions, 0)
    volumes += _volume_table_entry("factory", 0, 1, own, len(partitions))
    behind = _partition_table([*partitions, *own]) + _append_crc(
        _VOLUMES.pack(0x01BA, 2, len(volumes), zlib.crc32(volumes))
    )
    return _pad_to_table(meta_at, image) + meta + behind + volumes


def _partition_table(partitions: Sequence[Partition]) -> bytes:
    entries = b"".join(
        _ENTRY.pack(
            uuid,
            *row.type,
            0,
            DEVICES[row.memory],
            0,
            0,
            row.offset,
            row.size_bytes,
            row.size_bytes,
        )
        for uuid, row in enumerate(partitions)
    )
    count = len(partitions)
    header = _append_crc(_HEADER.pack(0x02BA, 2, count, count, 0, zlib.crc32(entries)))
    return header.ljust(ALIGNMENT, b"\0") + entries


def _volume_table_entry(
    label: str, flags: int, uuid: int, partitions: Sequence[Partition], first: int
) -> bytes:
    """Return the bytes of a volume in the volume table; `first`: uuid of its first partition."""
    count = len(partitions)
    members = (
        _MEMBER.pack(0, number, row.label.encode()) for number, row in enumerate(partitions, first)
    )
    return _VOLUME.pack(flags, uuid, label.encode(), count, count, 0, 0) + b"".join(members)


def _append_crc(data: bytes) -> bytes:
    """Return data followed by its CRC-32."""
    return data + struct.pack("<I", zlib.crc32(data))
