# SPDX-License-Identifier: Apache-2.0
"""WAV files: 8- to 32-bit integers or floats, with any number of channels."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.reading import ONLY, Content, Reading, check_size, unreadable

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE  # format tags of mmreg.h
SHORTER = ("sox long.wav short.wav trim 0 600",)
AS_16_BITS = ("sox in.wav -e signed-integer -b 16 out.wav",)
_CHUNK, _FORMAT = struct.Struct("<4sI"), struct.Struct("<HHIIHH")
_SUBFORMAT = struct.Struct("<H")  # tag of an extensible format, at byte 24 of the chunk
_SUBFORMAT_AT = 24


@dataclass(frozen=True, slots=True)
class WavFormat:
    """Sample format of a WAV file.

    tag        1 for integers, 3 for floats
    channels   number of channels
    bits       bits per sample
    """

    tag: int
    channels: int
    bits: int


def read_wav(path: Path, reading: Reading) -> Content:
    """Read a WAV file as float32 [rows, channels]; integers are scaled to -1 .. 1.

    Errors: E211 damaged, compressed, or an unknown number format; E247 too large.
    """
    check_size(path.name, path.stat().st_size, SHORTER, reading)
    chunks = _chunks(path.read_bytes())
    if not {b"fmt ", b"data"} <= chunks.keys() or len(chunks[b"fmt "]) < _FORMAT.size:
        raise unreadable(path, "the RIFF file has no format or no data", AS_16_BITS)
    found = _format(chunks[b"fmt "])
    numbers = _numbers(chunks[b"data"], found)
    if numbers is None:
        cause = f"format {found.tag:#x} with {found.bits} bits; integers and floats are read"
        raise unreadable(path, cause, AS_16_BITS)
    if not found.channels:
        raise unreadable(path, "it has no channels", AS_16_BITS)
    whole = len(numbers) // found.channels * found.channels  # the file may end inside a row
    return Content({ONLY: numbers[:whole].reshape(-1, found.channels)})


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """Return the first chunk of each name; a chunk that exceeds the file is cut at its end."""
    chunks, at = dict[bytes, bytes](), 12  # after "RIFF", the size and "WAVE"
    while at + _CHUNK.size <= len(data):
        name, size = _CHUNK.unpack_from(data, at)
        at += _CHUNK.size
        chunks.setdefault(name, data[at : at + size])
        at += size + size % 2
    return chunks


def _format(chunk: bytes) -> WavFormat:
    tag, channels, _, _, _, bits = _FORMAT.unpack_from(chunk)
    if tag == EXTENSIBLE and len(chunk) >= _SUBFORMAT_AT + _SUBFORMAT.size:
        (tag,) = _SUBFORMAT.unpack_from(chunk, _SUBFORMAT_AT)
    return WavFormat(tag, channels, bits)


def _numbers(data: bytes, found: WavFormat) -> Array | None:
    """Convert the bytes of samples to float32; None for an unknown sample format."""
    data = data[: len(data) // max(found.bits // 8, 1) * max(found.bits // 8, 1)]
    if (found.tag, found.bits) in {(FLOAT, 32), (FLOAT, 64)}:
        return np.frombuffer(data, f"<f{found.bits // 8}").astype(np.float32)
    if found.tag != PCM:
        return None
    if found.bits == 8:  # 8-bit samples are unsigned, the others signed
        return ((np.frombuffer(data, np.uint8) - np.float32(128)) / 128).astype(np.float32)
    if found.bits == 24:
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return (wide.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
    if found.bits not in (16, 32):
        return None
    return (np.frombuffer(data, f"<i{found.bits // 8}") / 2.0 ** (found.bits - 1)).astype(
        np.float32
    )
