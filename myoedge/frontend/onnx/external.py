# SPDX-License-Identifier: Apache-2.0
"""Weights that lie beside an ONNX file: only plain files inside its own folder are opened."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from myoedge.errors import MyoedgeError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto

EXTERNAL = 1  # TensorProto.EXTERNAL
ONE_FILE = (
    "make it one file, where it came from:\n"
    'import onnx\nonnx.save(onnx.load("model.onnx"), "whole.onnx")'
)


def load_external(model: ModelProto, path: Path, limit: int) -> None:
    """Puts the bytes of external initialisers into the model itself.

    limit   on the bytes of all of them together
    Errors: E121 for a place outside the model's folder, a missing or too short file, wrong sizes.
    """
    total = 0
    for tensor in model.graph.initializer:
        if tensor.data_location == EXTERNAL:
            size = _size_bytes(tensor, path)
            total += size
            if total > limit:
                raise _refused(path, tensor, f"more than {limit >> 30} GiB in all")
            tensor.raw_data = _read(path, tensor, size)
            tensor.ClearField("external_data")
            tensor.data_location = 0
    for tensor in _inner_tensors(model.graph):
        if tensor.data_location == EXTERNAL:
            raise _refused(path, tensor, "only initialisers of the graph may lie outside")


def _inner_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Tensors of attributes, of subgraphs, and of sparse initialisers."""
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for attribute in (a for node in graph.node for a in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for inner in (attribute.g, *attribute.graphs):
            yield from inner.initializer
            yield from _inner_tensors(inner)


def _size_bytes(tensor: TensorProto, path: Path) -> int:
    """Size of a tensor by its type and shape."""
    from onnx import helper

    try:
        itemsize = int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except (KeyError, ValueError, TypeError) as error:
        raise _refused(path, tensor, f"element type {tensor.data_type}") from error
    if any(n < 0 for n in tensor.dims):
        raise _refused(path, tensor, f"the shape {list(tensor.dims)}")
    return int(math.prod(tensor.dims)) * itemsize


def _read(path: Path, tensor: TensorProto, size: int) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    numbers: dict[str, int] = {}
    for key in {"offset", "length"} & entries.keys():
        text = entries[key]
        if not (text.isascii() and text.isdecimal() and len(text) < 16):
            raise _refused(path, tensor, f"its {key} is {text[:40]!r}")
        numbers[key] = int(text)
    offset, length = numbers.get("offset", 0), numbers.get("length", size)
    if length != size:
        raise _refused(path, tensor, f"{length} bytes are declared, its shape needs {size}")
    place = _inside(path, tensor, entries.get("location", ""))
    try:
        with place.open("rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise _refused(path, tensor, f"{place.name} is no plain file")
            if offset + size > state.st_size:
                raise _refused(path, tensor, f"{place.name} ends before it")
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise _refused(path, tensor, f"{place.name}: {error.strerror}") from error


def _inside(path: Path, tensor: TensorProto, location: str) -> Path:
    """The file named, which must be in the model's folder, links followed; not opened yet."""
    parts = PurePosixPath(location).parts
    windows = PureWindowsPath(location)
    leaves_folder = not parts or ".." in parts or parts[0] == "/" or "\0" in location
    if leaves_folder or windows.drive or windows.root or "\\" in location:
        raise _refused(path, tensor, f"{location[:80]!r} does not stay in the model's folder")
    folder = path.absolute().parent.resolve()
    try:
        place = (folder / location).resolve()
        plain, there = place.is_file(), place.exists()
    except (OSError, RuntimeError) as error:  # a name that is too long, links in a circle
        raise _refused(path, tensor, f"{location[:80]!r}: {error}"[:200]) from error
    if not place.is_relative_to(folder):
        raise _refused(path, tensor, f"{location[:80]!r} is a link out of the model's folder")
    if not plain:  # opening a pipe would wait for somebody to write
        what = "is no plain file" if there else "is not there"
        raise _refused(path, tensor, f"{location[:80]!r} {what}")
    return place


def _refused(path: Path, tensor: TensorProto, why: str) -> MyoedgeError:
    facts = {"tensor": tensor.name[:80] or "(without a name)", "because": why}
    return MyoedgeError(
        "E121", f"{path} has weights outside that cannot be used", facts, [ONE_FILE]
    )
