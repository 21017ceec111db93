# SPDX-License-Identifier: Apache-2.0
"""Detection of a model file's format from its bytes; file extensions are ignored, and no file is
unpickled."""

from __future__ import annotations

import json
import pickletools
import struct
import zipfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from myoedge.errors import MyoedgeError
from myoedge.system.regular_files import in_steps

ELSEWHERE = b"location"  # field of ONNX files with external arrays


class ModelFormat(StrEnum):
    """Format of a model file; the value is its name in messages."""

    EXPORTED = "a torch.export archive"
    TORCHSCRIPT = "a TorchScript archive"
    MODULE = "a pickled nn.Module"
    CHECKPOINT = "a PyTorch checkpoint (weights without their network)"
    LEGACY = "a PyTorch checkpoint of torch 1.5 or older (weights without their network)"
    PICKLE = "a Python pickle"
    SAFETENSORS = "a safetensors file (weights without their network)"
    ONNX = "an ONNX model"
    TFLITE = "a TensorFlow Lite model"
    KERAS = "a Keras model"
    NPZ = "a NumPy .npz file"
    NUMPY = "a NumPy .npy file"
    TEXT = "a text file"
    EMPTY = "an empty file"
    TRUNCATED = "a file that was cut off"
    FOLDER = "a folder"
    MISSING = "a missing file"
    UNKNOWN = "a file of unknown format"


HEAD = 1 << 16
MAGIC = (
    (4, b"TFL3", ModelFormat.TFLITE),
    (0, b"\x89HDF\r\n\x1a\n", ModelFormat.KERAS),
    (0, b"\x93NUMPY", ModelFormat.NUMPY),
)
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
FOREIGN = (
    (0, b"\x1f\x8b", "a gzip file: unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip file: unpack it first"),
    (257, b"ustar", "a tar file: unpack it first"),
    (0, b"GGUF", "a GGUF language model"),
    (4, b"ET12", "an ExecuTorch program"),
    (0, b"\x7fELF", "a compiled program"),
    (0, b"%PDF", "a PDF document"),
    *((0, magic, "a zip file of something else") for magic in ZIP),
)
TEXTS = (
    ("version https://git-lfs", "a Git LFS pointer: the model itself was not downloaded"),
    ("<!doctype html", "a web page, saved instead of the model"),
    ("<html", "a web page, saved instead of the model"),
    ("matlab 5.0", "a MATLAB data file"),
)
# A training checkpoint's pickle is mostly names; the class of a pickled module is near its start.
PICKLE_OPS = 200_000
PICKLE_BYTES = 64 << 20
# MAGIC_NUMBER of torch/serialization.py as LONG1, the first value of every file before torch 1.6.
LEGACY_MAGIC = b"\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
# Fields of onnx.proto's ModelProto and their wire types (0 varint, 2 length-delimited).
ONNX_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}


def sniff(path: Path) -> ModelFormat:
    """Return the format of a file, from its first bytes and its directory; weights are not read."""
    try:
        if path.is_dir():
            return ModelFormat.FOLDER
        if not path.exists():
            return ModelFormat.MISSING
        if not path.is_file():
            return ModelFormat.UNKNOWN
        with path.open("rb") as file:
            return _detect_file(file, path.stat().st_size)
    except OSError as error:
        raise MyoedgeError("E101", f"{path} cannot be read", {"cause": error.strerror}) from error


def _detect_file(file: BinaryIO, size: int) -> ModelFormat:
    """Return the format of an open file of `size` bytes, determined from its first bytes."""
    head = file.read(HEAD)
    if head.startswith(ZIP):
        return _detect_zip(file)
    if not head:
        return ModelFormat.EMPTY
    return (
        next((kind for at, magic, kind in MAGIC if head.startswith(magic, at)), None)
        or _detect_pickle(head, size)
        or _detect_safetensors(file, head, size)
        or _detect_onnx(file, head, size)
        or (ModelFormat.TEXT if _is_text(head) else ModelFormat.UNKNOWN)
    )


LIBRARIES = ("torch", "collections", "builtins", "__builtin__")


def module_class(path: Path) -> str:
    """Return the first class that a pickled module names, "net.Net"; "" if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = pickle_globals(pickle_of(archive))
    except (OSError, zipfile.BadZipFile):
        return ""
    own = [name for name in names if name.split(".")[0] not in LIBRARIES]
    nets = [name for name in names if name.startswith("torch.nn.modules.")]
    return next(iter([*own, *nets]), "")


def describe(kind: ModelFormat, path: Path) -> str:
    """Describe a model file for messages: its format, with the class of a pickled module or the
    name of another tool's format."""
    if kind is ModelFormat.MODULE:
        name = module_class(path)
        return f"{kind} of class {name}" if name else str(kind)
    if kind is ModelFormat.TEXT:
        start = head_of(path).decode("utf-8", "ignore").lstrip().lower()
        return next((words for magic, words in TEXTS if start.startswith(magic)), str(kind))
    if kind is ModelFormat.UNKNOWN and path.is_file():
        head = head_of(path)
        return next((x for at, magic, x in FOREIGN if head.startswith(magic, at)), str(kind))
    return str(kind)


def pickle_globals(data: bytes) -> list[str]:
    """Return every "module.name" that a pickle would import, in order, without running the
    pickle."""
    names: list[str] = []
    strings: list[str] = []
    memo: dict[object, str] = {}
    for name, arg in _pickle_opcodes(data):
        if name in ("GLOBAL", "INST"):
            names.append(str(arg).replace(" ", "."))
        elif name == "STACK_GLOBAL" and len(strings) >= 2:
            names.append(".".join(strings[-2:]))
        elif isinstance(arg, str):
            strings.append(arg)
        elif name == "MEMOIZE":
            memo[len(memo)] = strings[-1] if strings else ""
        elif name in ("BINGET", "LONG_BINGET") and arg in memo:
            strings.append(memo[arg])
    return list(dict.fromkeys(names))


def head_of(path: Path) -> bytes:
    """Return the first HEAD bytes of a file."""
    with path.open("rb") as file:
        return file.read(HEAD)


def _detect_zip(file: BinaryIO) -> ModelFormat:
    try:
        with zipfile.ZipFile(file) as archive:
            # In a truncated archive, zipfile finds the directory of an inner zip.
            first_offset = min((e.header_offset for e in archive.infolist()), default=0)
            return ModelFormat.TRUNCATED if first_offset else _detect_zip_members(archive)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError):
        return ModelFormat.TRUNCATED


def _detect_zip_members(archive: zipfile.ZipFile) -> ModelFormat:
    names = {*archive.namelist()}
    inside = {name.partition("/")[2] for name in names}  # archives of torch have one root folder
    has_code = any(name.startswith("code/") for name in inside)
    has = {
        ModelFormat.EXPORTED: "archive_format" in inside
        or "serialized_exported_program.json" in names,
        ModelFormat.TORCHSCRIPT: "constants.pkl" in inside and has_code,
        ModelFormat.CHECKPOINT: "data.pkl" in inside,
        ModelFormat.KERAS: "model.weights.h5" in names or {"config.json", "metadata.json"} <= names,
        ModelFormat.NPZ: {name[-4:] for name in names} == {".npy"},
        ModelFormat.UNKNOWN: True,
    }
    kind = next(kind for kind, is_so in has.items() if is_so)
    return _detect_torch_pickle(pickle_of(archive)) if kind is ModelFormat.CHECKPOINT else kind


def pickle_of(archive: zipfile.ZipFile) -> bytes:
    """Return the pickle in a file of torch.save; b"" without one."""
    pickles = (e for e in archive.infolist() if e.filename.partition("/")[2] == "data.pkl")
    entry = next(pickles, None)
    if entry is None or not in_steps(entry):
        return b""
    with archive.open(entry) as member:
        return member.read(PICKLE_BYTES)


def _detect_torch_pickle(data: bytes) -> ModelFormat:
    names = pickle_globals(data)
    # weights come before user classes: hyperparameters may contain modules
    if names and (names[0] == "collections.OrderedDict" or names[0][:13] == "torch._utils."):
        return ModelFormat.CHECKPOINT
    if any(name.startswith("torch.nn.modules.") for name in names):
        return ModelFormat.MODULE
    # The outermost object is an instance if its class is pushed first.
    first = next((name for name, _ in _pickle_opcodes(data) if name not in ("PROTO", "FRAME")), "")
    return ModelFormat.MODULE if first.endswith(("GLOBAL", "UNICODE")) else ModelFormat.CHECKPOINT


def _pickle_opcodes(data: bytes) -> Iterator[tuple[str, object]]:
    """Yield (name, argument) of a pickle's opcodes, as far as they can be read."""
    try:
        for count, (op, arg, _) in enumerate(pickletools.genops(data)):
            if count >= PICKLE_OPS:
                return
            yield op.name, arg
    # genops raises these and others on bytes that are no pickle; earlier opcodes still count.
    except (ValueError, IndexError, KeyError, struct.error, OverflowError, MemoryError):
        return


def _detect_pickle(head: bytes, size: int) -> ModelFormat | None:
    if head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5:
        return ModelFormat.LEGACY if head.startswith(LEGACY_MAGIC, 2) else ModelFormat.PICKLE
    if size > HEAD or not head.endswith(b"."):
        return None
    ops = [name for name, _ in _pickle_opcodes(head)]
    return ModelFormat.PICKLE if len(ops) > 2 and ops[-1] == "STOP" else None


def _detect_safetensors(file: BinaryIO, head: bytes, size: int) -> ModelFormat | None:
    """Detect safetensors: u64 little-endian header length, JSON header, tensors at data_offsets."""
    length = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{" or length > 100 << 20:
        return None
    if 8 + length > size:
        return ModelFormat.TRUNCATED
    file.seek(8)
    try:
        header = json.loads(file.read(length))
        ends = [int(v["data_offsets"][1]) for k, v in header.items() if k != "__metadata__"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return None
    return (
        ModelFormat.TRUNCATED
        if 8 + length + max(ends, default=0) > size
        else ModelFormat.SAFETENSORS
    )


def _detect_onnx(file: BinaryIO, head: bytes, size: int) -> ModelFormat | None:
    """Detect ONNX: a protobuf with the top-level fields of ModelProto, ir_version first."""
    if head[:1] != b"\x08":
        return None
    file.seek(0)
    seen: set[int] = set()
    while file.tell() < size:
        number, length = _read_field(file)
        if not number:
            return None
        seen.add(number)
        if file.tell() + length > size:
            return ModelFormat.TRUNCATED if {1, 2} <= seen else None
        file.seek(length, 1)
    return ModelFormat.ONNX if {1, 7} <= seen else None


def _read_field(file: BinaryIO) -> tuple[int, int]:
    """Read the tag of a ModelProto's next field; return (field number, bytes of content to skip),
    number 0 if it is no such field."""
    tag = _read_varint(file)
    if tag is None or ONNX_FIELDS.get(tag >> 3) != tag & 7:
        return 0, 0
    value = _read_varint(file)
    if value is None or (tag >> 3 == 1 and not 1 <= value <= 64):
        return 0, 0
    return tag >> 3, value if tag & 7 == 2 else 0


def _read_varint(file: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # the first bytes may end inside a character
        if len(head) < HEAD or error.start < HEAD - 4:
            return False
        text = head[: error.start].decode("utf-8")
    return all(char.isprintable() or char in "\t\r\n\f\ufeff" for char in text)
