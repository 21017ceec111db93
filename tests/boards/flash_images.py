# SPDX-License-Identifier: Apache-2.0
"""Readers of flash images, by the layouts that were decoded from images of the vendor's tools."""

from __future__ import annotations

import binascii
import struct


def read_boot(data: bytes) -> tuple[int, list[tuple[int, bytes]]]:
    """Entry, and (address, bytes) of the segments; every CRC-32 must match."""
    magic, count, entry = struct.unpack_from("<3I", data)
    assert magic == 0, "the ROM loads it"
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
        assert (name[-1], offset % 4, offset + size <= len(data)) == (0, 0, True)
        files[name[:-1].decode()] = data[offset : offset + size]
        at += 12 + length
    assert at == header
    return files
