# SPDX-License-Identifier: Apache-2.0
"""Flash images of GAP9: boot images, and the read-only file system.

Layouts decoded from images of the vendor's tools; every CRC is zlib.crc32; files of the
read-only file system begin at multiples of 4, as in gap_sdk 4.12 (utils/gapy/gen_readfs.py).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from myoedge.errors import MyoedgeError

# next image, segments, entry, 0, then fields for execution in place, which we do not use: device,
# address, page command, flash base, pages, L2 of the pages, pages there; sizes of two keys
_HEAD = struct.Struct("<13I")
_XIP = (2, 0x20000000, 0, 0, 0, 0x1C18E000, 16)
_SEGMENT = struct.Struct("<4I")  # offset, address, size, crc32
_SECTION = struct.Struct("<5I32s")  # the same, flags, name
_FILE = struct.Struct("<3I")  # offset, size, length of the name with its end
_READFS = struct.Struct("<3I")  # bytes of the header, 0, files

TABLE = 0x534  # behind the head and the room for keys: 1024 + 256 bytes
MAGIC = 0xC001B001  # in the place of the next image's offset: loaded by the second boot loader
MAX_ENTRIES = 4096  # segments or files: damaged images may have any number


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes copied to an address before the program starts; sections have names."""

    address: int
    data: bytes
    name: str = ""


@dataclass(frozen=True, slots=True)
class BootImage:
    """A program in flash.

    sections   the second boot loader loads it (named sections); else the ROM does (segments)
    """

    entry: int
    segments: tuple[Segment, ...]
    sections: bool = False


def write_boot(image: BootImage) -> bytes:
    """A boot image as bytes; segments begin at multiples of 16 behind the table."""
    row = _SECTION if image.sections else _SEGMENT
    start = _aligned(TABLE + len(image.segments) * row.size, 16)
    rows, body = b"", b""
    for segment in image.segments:
        placement = (
            start + len(body),
            segment.address,
            len(segment.data),
            zlib.crc32(segment.data),
        )
        rows += row.pack(*placement, *((0, segment.name.encode()) if image.sections else ()))
        body += segment.data + bytes(-len(segment.data) % 16)
    first = MAGIC if image.sections else 0
    head = _HEAD.pack(first, len(image.segments), image.entry, 0, *_XIP, 0, 0)
    return (head.ljust(TABLE, b"\0") + rows).ljust(start, b"\0") + body


def read_boot(data: bytes) -> BootImage:
    """A boot image from bytes. Errors: E244 truncated, or a CRC differs."""
    head = _unpacked(_HEAD, data, 0, "the head")
    count, entry, sections = head[1], head[2], head[0] == MAGIC
    if count > MAX_ENTRIES:
        raise _damaged("the head", f"{count:,} segments")
    row = _SECTION if sections else _SEGMENT
    segments = []
    for index in range(count):
        part = f"segment {index}"
        row_values = _unpacked(row, data, TABLE + index * row.size, part)
        offset, address, size, crc = row_values[:4]
        content = _slice(data, offset, size, part)
        if zlib.crc32(content) != crc:
            raise _damaged(part, f"crc32 {zlib.crc32(content):08x}, should be {crc:08x}")
        segments.append(Segment(address, content, _text(row_values[5], part) if sections else ""))
    return BootImage(entry, tuple(segments), sections)


def write_files(files: Mapping[str, bytes]) -> bytes:
    """A read-only file system as bytes."""
    names = [name.encode() + b"\0" for name in files]
    header = _READFS.size + sum(_FILE.size + len(name) for name in names)
    rows, at = b"", header
    places: list[int] = []
    for name, content in zip(names, files.values(), strict=True):
        at = _aligned(at, 4)
        places.append(at)
        rows += _FILE.pack(at, len(content), len(name)) + name
        at += len(content)
    image = _READFS.pack(header, 0, len(files)) + rows
    for place, content in zip(places, files.values(), strict=True):
        image = image.ljust(place, b"\0") + content
    return image


def read_files(data: bytes) -> dict[str, bytes]:
    """Files of a read-only file system by name. Errors: E244 truncated."""
    _, zero, count = _unpacked(_READFS, data, 0, "the head")
    if zero or count > MAX_ENTRIES:
        raise _damaged("the head", f"{count:,} files")
    contents, at = {}, _READFS.size
    for index in range(count):
        part = f"file {index}"
        offset, size, length = _unpacked(_FILE, data, at, part)
        name = _text(_slice(data, at + _FILE.size, length, part), part)
        contents[name] = _slice(data, offset, size, part)
        at += _FILE.size + length
    return contents


def _aligned(at: int, to: int) -> int:
    return -(-at // to) * to


def _unpacked(row: struct.Struct, data: bytes, at: int, part: str) -> tuple[Any, ...]:
    return row.unpack(_slice(data, at, row.size, part))


def _slice(data: bytes, at: int, size: int, part: str) -> bytes:
    if at + size > len(data):
        raise _damaged(part, f"to byte {at + size:,}, the image has {len(data):,}")
    return data[at : at + size]


def _text(raw: bytes, part: str) -> str:
    try:
        return raw.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        raise _damaged(part, "a name that is not UTF-8") from None


def _damaged(part: str, has: str) -> MyoedgeError:
    return MyoedgeError("E244", "the flash image is damaged", {"where": part, "has": has})
