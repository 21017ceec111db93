# SPDX-License-Identifier: Apache-2.0
"""Readers of flash images, by the layouts that were decoded from images of the vendor's tools.

They read the four images of gap_utils a4f3579, test_elf/, too, which are not part of the project.
"""

from __future__ import annotations

import binascii
import hashlib
import struct
from collections.abc import Mapping

META_BYTES, TABLE_AT = 96, 68  # of what the first word of MRAM leads to


def read_boot(data: bytes) -> tuple[int, list[tuple[int, bytes]]]:
    """Entry, and (address, bytes) of the segments; every CRC-32 must match."""
    following, count, entry = struct.unpack_from("<3I", data)
    assert following <= len(data)
    segments = []
    for offset, address, size, crc in struct.iter_unpack("<4I", data[0x534 : 0x534 + 16 * count]):
        content = data[offset : offset + size]
        assert (len(content), binascii.crc32(content)) == (size, crc)
        segments.append((address, content))
    return entry, segments


def read_files(data: bytes) -> dict[str, bytes]:
    """Files of a read-only file system by name."""
    header, zero, count = struct.unpack_from("<3I", data)
    assert zero == 0
    files, at = {}, 12
    for _ in range(count):
        offset, size, length = struct.unpack_from("<3I", data, at)
        name = data[at + 12 : at + 12 + length]
        assert (name[-1], offset + size <= len(data)) == (0, True)
        files[name[:-1].decode()] = data[offset : offset + size]
        at += 12 + length
    assert at == header
    return files


def mounted_by_5(flashes: Mapping[str, bytes], label: str = "readfs_flash") -> dict[str, bytes]:
    """Files that the mount of SDK 5.x finds, step by step as in a program of it (mobilenet)."""
    mram = flashes["mram"]
    (meta_at,) = struct.unpack_from("<I", mram)
    meta = mram[meta_at : meta_at + META_BYTES]
    (table_at,) = struct.unpack_from("<I", meta, TABLE_AT)
    header = mram[table_at : table_at + 15]
    magic, version, count, _, _, crc = struct.unpack_from("<HBBBHI", header)
    table = mram[table_at + 16 : table_at + 16 + 32 * count]
    assert (magic, version, checked(header)) == (0x02BA, 2, header[:11])
    assert crc == binascii.crc32(table)
    rows = {row[0]: row[1:] for row in struct.iter_unpack("<HBBHBBBIII11x", table)}
    (volumes_at,) = (row[6] for row in rows.values() if row[:2] == (2, 0xE1))
    kind, subtype, _, device, interface, select, offset, size, _ = rows[
        active_volume(mram[volumes_at:])[label]
    ]
    assert (kind, subtype, interface, select) == (1, 0x81, 0, 0)
    return read_files(flashes[("mram", "octospi")[device]][offset : offset + size])


def active_volume(data: bytes) -> dict[str, int]:
    """uuid of each partition of the application's volume, by label."""
    magic, count, size, crc = struct.unpack_from("<HBII", data)
    assert (magic, checked(data[:15])) == (0x01BA, data[:11])
    assert crc == binascii.crc32(data[15 : 15 + size])
    found, at = [], 15
    for _ in range(count):
        flags, _, _, members, room, order, _ = struct.unpack_from("<HH16sBBBB", data, at)
        rows = struct.iter_unpack("<HH16s", data[at + 24 : at + 24 + 20 * members])
        if flags & 1:
            found.append((order, {label.rstrip(b"\0").decode(): uuid for _, uuid, label in rows}))
        at += 24 + 20 * room
    return min(found, key=lambda volume: volume[0])[1]


def checked(data: bytes) -> bytes:
    """Data in front of a CRC that must match."""
    assert binascii.crc32(data[:-4]) == int.from_bytes(data[-4:], "little")
    return data[:-4]


def mounted_by_4(octospi: bytes) -> dict[str, bytes]:
    """Files that the mount of SDK 4.12 finds in the flash that it is given (read_fs.c)."""
    (at,) = struct.unpack_from("<I", octospi)
    magic, version, count, has_md5, md5 = struct.unpack_from("<HBBB11x16s", octospi, at)
    table = octospi[at + 32 : at + 32 + 32 * count]
    assert (magic, version, has_md5, hashlib.md5(table).digest()) == (0x02BA, 1, 1, md5)
    rows = [*struct.iter_unpack("<HBBII16sI", table)]
    assert {row[0] for row in rows} == {0x01BA}
    offset, size = next(row[3:5] for row in rows if row[1:3] == (1, 0x81))
    return read_files(octospi[offset : offset + size])
