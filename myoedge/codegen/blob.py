# SPDX-License-Identifier: Apache-2.0
"""A model as data: its weights, scales and tables in one file that replaces those of a build with
the same layout."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.codegen.constants import array_values
from myoedge.numerics.arrays import Array

BLOB = "model.blob"  # of a build folder
MAGIC, FORMAT = b"MEWB", 1
HEAD = struct.Struct("<4sI32s32sII")  # magic, format, layout, model, payload bytes, CRC-32
ALIGNED = 8  # of each array in the payload


@dataclass(frozen=True)
class ModelBlob:
    """Arrays in their order in the payload.

    layout   digest of the code and of names, types and lengths of the arrays
    model    digest of graph and weights
    """

    arrays: Mapping[str, Array]
    layout: bytes
    model: bytes

    def values(self) -> dict[str, Any]:
        """Return the values for the templates of the C that loads the blob."""
        return {
            "arrays": [array_values(name, array) for name, array in self.arrays.items()],
            "layout": [*self.layout],
            "model": [*self.model],
            "payload_bytes": len(payload(self.arrays)),
            "head_bytes": HEAD.size,
            "format": FORMAT,
        }

    def content(self) -> bytes:
        """Return the file: head and payload, the CRC-32 over both (its own field as zeros)."""
        data = payload(self.arrays)
        fields = (MAGIC, FORMAT, self.layout, self.model, len(data))
        crc = zlib.crc32(HEAD.pack(*fields, 0) + data)
        return HEAD.pack(*fields, crc) + data


def payload(arrays: Mapping[str, Array]) -> bytes:
    """Return the arrays as the C struct has them, each at a multiple of ALIGNED bytes."""
    data = b""
    for array in arrays.values():
        data += np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
        data += bytes(-len(data) % ALIGNED)
    return data


def layout_of(texts: Iterable[str], arrays: Mapping[str, Array], banner: str) -> bytes:
    """Return the digest of what two models of one layout have in common.

    texts    generated code, in which only the banner names the model
    """
    digest = hashlib.sha256(f"format {FORMAT}".encode())
    for text in texts:
        digest.update(text.replace(banner, "").encode())
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.size}\n".encode())
    return digest.digest()


def border_array(ports: Iterable[Mapping[str, Any]]) -> Array:
    """Return scale (its bits as float32) and zero point of inputs and outputs, one after another;
    zeros for ports without."""
    rows = []
    for port in ports:
        params = port["params"]
        scale = np.float32(0.0 if params is None else params.scale)
        rows += [int(scale.view(np.int32)), 0 if params is None else int(params.zero_point)]
    return np.array(rows, np.int32)


def layout_in(blob: bytes) -> str:
    """Return the layout digest of a blob as hexadecimal digits. Raises ValueError if it is none."""
    if len(blob) < HEAD.size or blob[:4] != MAGIC:
        raise ValueError("it is no model blob")
    return bytes(HEAD.unpack_from(blob)[2]).hex()
