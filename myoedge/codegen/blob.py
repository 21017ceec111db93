# SPDX-License-Identifier: Apache-2.0
"""A model as data: weights, scales and tables in one file, which a program of the same layout
loads."""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.codegen.names import array_aliases, array_values, slice_crcs
from myoedge.codegen.port_values import fills
from myoedge.numerics.arrays import Array
from myoedge.plan.plan import Plan
from myoedge.streaming.stream import Stream

BLOB = "model.blob"  # in a build folder
MAGIC, FORMAT = b"MEWB", 1
HEAD = struct.Struct("<4sI32s32sII")  # magic, format, layout, model, payload bytes, CRC-32
ALIGNED = 8  # alignment of each array in the payload
CRCS = "slice_crcs"  # array in a build with --checks
# A C string or character literal (group 1), or a comment.
TOKEN = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])')|/\*.*?\*/|//[^\n]*""", re.DOTALL)


@dataclass(frozen=True)
class ModelBlob:
    """The constants of a network as data of a blob.

    arrays   C name -> array, in the order of the payload
    l3       content of l3.bin, which follows the arrays
    layout   digest of the code, of names, types and lengths of the arrays, and of the length of l3
    model    digest of the network and all of its integers
    """

    arrays: Mapping[str, Array]
    l3: bytes
    layout: bytes
    model: bytes

    def values(self) -> dict[str, Any]:
        """Return the values for the templates of the C that loads the blob."""
        checked = {name: array for name, array in self.arrays.items() if name != CRCS}
        return {
            "arrays": [array_values(name, array) for name, array in self.arrays.items()],
            "layout": [*self.layout],
            "model": [*self.model],
            "model_bytes": len(payload(self.arrays)),
            "checked_bytes": len(payload(checked)),
        }

    def content(self) -> bytes:
        """Return the file: header and payload; the header has the CRC-32 of both, computed with a
        CRC field of zeros."""
        data = payload(self.arrays) + self.l3
        fields = (MAGIC, FORMAT, self.layout, self.model, len(data))
        crc = zlib.crc32(HEAD.pack(*fields, 0) + data)
        return HEAD.pack(*fields, crc) + data


def payload(arrays: Mapping[str, Array]) -> bytes:
    """Return the arrays as laid out in the C struct, each at a multiple of ALIGNED bytes."""
    data = b""
    for array in arrays.values():
        data += np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
        data += bytes(-len(data) % ALIGNED)
    return data


def model_blob(
    plan: Plan, arrays: Mapping[str, Array], code: Iterable[str], common: Mapping[str, Any]
) -> ModelBlob:
    """Return a network's model as data.

    code     texts of the generated files that contain no data
    common   values that all templates share; "checks", "digest", ports and classes are read
    """
    l3 = plan.image("l3")
    arrays = with_crcs(arrays, l3) if common["checks"] else arrays
    texts = [*map(without_comments, code), str(array_aliases(plan)), _interface(common)]
    layout = layout_of(texts, arrays, plan.image_bytes("l3"))
    return ModelBlob(arrays, l3, layout, bytes.fromhex(common["digest"]))


def with_crcs(arrays: Mapping[str, Array], l3: bytes) -> dict[str, Array]:
    """Return the arrays and, after them, an array that <prefix>_check compares: the CRC-32 of each
    slice of SLICE_BYTES of their payload, then of each slice of l3."""
    crcs = [*slice_crcs(payload(arrays)), *slice_crcs(l3)]
    return {**arrays, CRCS: np.array(crcs, np.uint32)}


def without_comments(code: str) -> str:
    """Return a text in C without its comments."""
    return TOKEN.sub(r"\1", code)


def layout_of(texts: Iterable[str], arrays: Mapping[str, Array], l3_bytes: int) -> bytes:
    """Return the digest of the code and of names, types and lengths of the data, which is equal
    for two models if the same program can load either.

    texts    code without comments, which name the model, its layers and lines of the user's program
    """
    digest = hashlib.sha256(f"format {FORMAT}, {l3_bytes} bytes in L3\n".encode())
    for text in texts:
        digest.update(text.encode())
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.size}\n".encode())
    return digest.digest()


def numbers_as_data(
    scalars: Mapping[str, Sequence[int]], stream: Stream | None, common: Mapping[str, Any]
) -> dict[str, Array]:
    """Return the arrays of a blob in addition to weights and tables: arguments of kernel calls,
    scales, zero points and factors of inputs and outputs, initial integers of a stream.

    scalars   C array -> numbers in kernel calls
    common    values that all templates share, of which "inputs" and "outputs" are read
    """
    numbers = {name: np.array(values, np.int32) for name, values in scalars.items()}
    numbers["border"] = border_array([*common["inputs"], *common["outputs"]])
    if stream is not None:
        numbers["initial_integers"] = np.array(fills(stream), np.int32)
    return numbers


def border_array(ports: Iterable[Mapping[str, Any]]) -> Array:
    """Return scale and zero point of each port, zeros for a port that is not quantised, then
    factors and offsets of each port that has them. Floats are the bits of a float32."""
    rows, normalized = [], []
    for port in ports:
        params, border = port["params"], port["border"]
        scale = 0.0 if params is None else params.scale
        rows += [*_float32_bits([scale]), 0 if params is None else int(params.zero_point)]
        normalized += (
            [] if border is None else _float32_bits(border.scale) + _float32_bits(border.offset)
        )
    return np.array(rows + normalized, np.int32)


def _float32_bits(values: Sequence[float]) -> list[int]:
    return [int(bits) for bits in np.array(values, np.float32).view(np.int32)]


def _interface(common: Mapping[str, Any]) -> str:
    """Return the types, shapes, axes and names that programs may use without <prefix>_info."""
    ports = [*common["inputs"], *common["outputs"]]
    axes = [None if port["border"] is None else port["border"].axis for port in ports]
    kinds = [(port["type"], port["shape"]) for port in ports]
    # A program tells ports apart by their names; a single one needs none.
    sides = (common["inputs"], common["outputs"])
    names = [[port["name"] for port in side] if len(side) > 1 else [] for side in sides]
    return f"{kinds} {axes} {common['class_names']} {names}"


def layout_in(blob: bytes) -> str:
    """Return the layout digest of a blob as hexadecimal digits. Raises ValueError if the bytes are
    not a blob."""
    if len(blob) < HEAD.size or blob[:4] != MAGIC:
        raise ValueError("it is no model blob")
    return bytes(HEAD.unpack_from(blob)[2]).hex()
