# SPDX-License-Identifier: Apache-2.0
"""The zip archive of an exported program; only members that torch.export.save writes are
accepted."""

from __future__ import annotations

import io
import math
import pickletools
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.frontend.file_refusals import damaged
from myoedge.frontend.refusals import EXPORT_LINES
from myoedge.frontend.torch.program import NeedsTorch
from myoedge.numerics.arrays import Array

MAX_BYTES = 4 << 30
MODEL = "models/model.json"
LAYOUT = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)|"
    r"\.format_version|\.storage_alignment|models/model\.json|data/sample_inputs/model\.pt|"
    r"data/weights/(model_weights_config\.json|model\.pt|weight_\d{1,9})|"
    r"data/constants/(model_constants_config\.json|model\.pt|tensor_\d{1,9})|extra/.+"
)
TORCH = "torch>=2.9,<2.16"  # as in pyproject.toml: the releases that are tested
# torch/_export/serde/schema.py of torch 2.9 to 2.15; fields added later may contain code.
SCHEMA_MAJOR, SCHEMA_MINOR = 8, 20
RUNS = (
    (r"data/aotinductor/", "it is compiled code, which loading would run"),
    (r"data/constants/(custom|opaque)_obj_", "it is a pickled object, which loading would run"),
)
REEXPORT = (f"if the file is your own, export it again with {TORCH}:", EXPORT_LINES)


def archive_bytes(path: Path) -> bytes:
    """Return the bytes of an archive. Errors: E101 not readable, E104 too large."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise strange(path, path.name, "it is larger than 4 GiB")
        return path.read_bytes()
    except OSError as error:
        raise MyoedgeError("E101", f"{path} cannot be read", {"cause": error.strerror}) from error


def read_members(data: bytes, path: Path, inside: str = "") -> dict[str, bytes]:
    """Read all members of a zip archive by name, without the common root folder.

    The archive must be as torch writes it: uncompressed, each name once, together no larger than
    the file.
    inside   name of the outer member, if the archive is in another archive
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if min((e.header_offset for e in entries), default=0) != 0:
                raise damaged(path, "its first member is not at its start")
            _check_entries(entries, len(data), path, inside)
            return {e.filename.partition("/")[2]: archive.read(e) for e in entries}
    except (zipfile.BadZipFile, EOFError, ValueError, OSError, OverflowError) as error:
        raise damaged(path, f"{inside + ': ' if inside else ''}{error}") from error
    except (NotImplementedError, RuntimeError) as error:
        raise strange(path, inside or path.name, str(error)) from error


def _check_entries(entries: list[zipfile.ZipInfo], size: int, path: Path, inside: str) -> None:
    total = sum(entry.file_size for entry in entries)
    seen: set[str] = set()
    roots = {entry.filename.partition("/")[0] for entry in entries}
    for entry in entries:
        if why := _explain_bad_entry(entry, seen):
            raise strange(path, f"{inside}/{entry.filename}".lstrip("/"), why)
        seen.add(entry.filename.lower())
    if total > min(size, MAX_BYTES):
        raise strange(path, path.name, f"{total} bytes are declared, the file has {size}")
    if len(roots) > 1:
        raise strange(path, max(roots), "there is more than one folder at the top")


def _explain_bad_entry(entry: zipfile.ZipInfo, seen: set[str]) -> str:
    """Return why torch cannot have written a zip entry; "" if it can.

    seen   lower-case names of the entries before it
    """
    parts = entry.filename.split("/")
    if len(parts) < 2 or "\\" in entry.filename or {"", ".", ".."} & set(parts):
        return "its name does not stay inside the archive's one folder"
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        return "it is compressed or encrypted"
    # torch ignores case in names
    return "its name appears twice" if entry.filename.lower() in seen else ""


def check_layout(members: Mapping[str, bytes], path: Path) -> None:
    """Raise E107 for an unexpected member of an archive, E108 for a missing one."""
    for name in members:
        if LAYOUT.fullmatch(name):
            continue
        for pattern, why in RUNS:
            if re.match(pattern, name):
                raise runs_code(path, name, why)
        raise strange(path, name, "torch.export.save writes no such member for one model")
    missing = [n for n in (MODEL, "archive_format", "archive_version") if n not in members]
    if missing:
        facts = {"not in the archive": ", ".join(missing)}
        raise MyoedgeError("E108", f"{path} has the layout of another torch", facts, REEXPORT)


def check_schema(program: Mapping[str, Any], path: Path) -> None:
    """Raise E108 for a schema version with unknown fields, before torch reads the program."""
    stated = program.get("schema_version")
    major, minor = (
        (stated.get("major"), stated.get("minor")) if isinstance(stated, dict) else (0, 0)
    )
    if not (isinstance(major, int) and isinstance(minor, int)):
        raise damaged(path, f"{MODEL}: no schema_version")
    if major == SCHEMA_MAJOR and minor <= SCHEMA_MINOR:
        return
    facts = {
        "its schema": f"{major}.{minor}",
        "known": f"{SCHEMA_MAJOR}.0 to {SCHEMA_MAJOR}.{SCHEMA_MINOR}",
        "torch that wrote it": program.get("torch_version", "2.4 or older"),
    }
    tries = (f"export it again with {TORCH}:", EXPORT_LINES)
    raise MyoedgeError("E108", f"{path} has a schema that is not known", facts, tries)


def packed_again(members: Mapping[str, bytes]) -> io.BytesIO:
    """Return a zip archive of the members that loading needs, without those in extra/."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            if not name.startswith("extra/"):
                archive.writestr(f"model/{name}", data)
    packed.seek(0)
    return packed


def runs_code(path: Path, member: str, why: str) -> MyoedgeError:
    """Return error E107 for a member that torch.export.load would unpickle, import, evaluate or
    execute.

    why   the reason
    """
    return _unsafe_archive_error(f"{path} would run code when loaded", member, why)


def strange(path: Path, member: str, why: str) -> MyoedgeError:
    """Return error E107 for a member that torch.export.save never writes.

    why   the reason
    """
    return _unsafe_archive_error(f"{path} is not as torch.export.save writes it", member, why)


def _unsafe_archive_error(title: str, member: str, why: str) -> MyoedgeError:
    needs = f"what torch.export.save writes for tensors and calls of {TORCH}; nothing was run"
    return MyoedgeError("E107", title, {"needs": needs, "has": f"{member}: {why}"}, REEXPORT)


def shortened(text: str, limit: int = 80) -> str:
    """Return a text cut to a maximum number of characters, with an ellipsis."""
    return text if len(text) <= limit else f"{text[:limit]}..."


# --- tensors in a file of torch.save, read from the opcodes of its pickle without unpickling it ---

STORAGES: Mapping[str, str] = {
    "Byte": "uint8", "Char": "int8", "Short": "int16", "Int": "int32", "Long": "int64",
    "Half": "float16", "Float": "float32", "Double": "float64", "Bool": "bool",
}  # fmt: skip
MOST_OPCODES = 100_000


def pickled_tensors(data: bytes | None, path: Path, member: str) -> tuple[Array, ...] | None:
    """Return the example inputs in a file of torch.save, positional ones first, floats as float32;
    None if there are none, or some are no tensors.

    path, member   the archive, and the file's name in it, for messages
    Errors: E104, E107 as read_members; NeedsTorch for opcodes and names that a pickle of tensors
    does not have.
    """
    if data is None:
        return None
    members = read_members(data, path, member)
    try:
        stored = _PickleReader(members).run(members["data.pkl"])
        flat = [] if stored is None else [*stored[0], *stored[1].values()]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise NeedsTorch("example inputs") from error
    return tuple(flat) if flat and all(isinstance(x, np.ndarray) for x in flat) else None


@dataclass
class _PickleReader:
    """Reader of a pickle of plain containers and tensors."""

    members: Mapping[str, bytes]
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, pickle: bytes) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(pickle)):
            if opcode.name == "STOP":
                return self.stack.pop()
            if count > MOST_OPCODES:
                break
            if opcode.name in LITERALS:
                self.stack.append(argument)
            else:
                self._run_opcode(opcode.name, argument)
        raise NeedsTorch("example inputs")

    def _run_opcode(self, name: str, argument: Any) -> None:
        """Carry out one opcode."""
        stack = self.stack
        if name in MADE:
            stack.append(MADE[name]())
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name in GROUPS:
            change, count = GROUPS[name]
            at = len(stack) - count if count else self.marks.pop()
            items, stack[at:] = stack[at:], []
            change(stack, items)
        elif name == "BINPERSID":
            stack.append(self._storage_elements(*stack.pop()))
        elif name == "REDUCE":
            given = stack.pop()
            stack.append(CALLS[stack.pop()](*given))
        elif name.endswith("BINPUT"):
            self.memo[argument] = stack[-1]
        elif name.endswith("BINGET"):
            stack.append(self.memo[argument])
        elif name != "PROTO":
            raise NeedsTorch("example inputs")

    def _storage_elements(self, _: str, kind: str, key: str, __: str, size: int) -> Array:
        """Return the elements in data/KEY."""
        name = STORAGES[kind.removeprefix("torch ").removesuffix("Storage")]
        if not key.isdigit():
            raise NeedsTorch("example inputs")
        return np.frombuffer(self.members[f"data/{key}"], name, size)


def _strided_tensor(storage: Array, offset: int, sizes: Any, strides: Any, *_: Any) -> Array:
    reach = sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
    count, ends = math.prod(sizes), offset + reach
    if (
        min((offset, *sizes, *strides)) < 0
        or count > len(storage)
        or (count and ends >= len(storage))
    ):
        raise ValueError("elements outside of the storage, or some of them repeated")
    steps = [n * storage.itemsize for n in strides]
    x = np.ndarray(sizes, storage.dtype, storage.data, offset * storage.itemsize, steps)
    return x.astype(np.float32) if x.dtype.kind == "f" else np.array(x)


LITERALS = frozenset(("GLOBAL", "BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"))
MADE: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}


def _append_items(stack: list[Any], items: list[Any]) -> None:
    stack[-1].extend(items)


def _set_items(stack: list[Any], items: list[Any]) -> None:
    stack[-1].update(zip(items[::2], items[1::2], strict=True))


def _make_tuple(stack: list[Any], items: list[Any]) -> None:
    stack.append(tuple(items))


# opcode -> what becomes of the values on top of the stack, and their number; 0: down to the mark
GROUPS: Mapping[str, tuple[Callable[[list[Any], list[Any]], None], int]] = {
    "APPEND": (_append_items, 1),
    "APPENDS": (_append_items, 0),
    "SETITEM": (_set_items, 2),
    "SETITEMS": (_set_items, 0),
    "TUPLE1": (_make_tuple, 1),
    "TUPLE2": (_make_tuple, 2),
    "TUPLE3": (_make_tuple, 3),
    "TUPLE": (_make_tuple, 0),
}
CALLS: Mapping[str, Callable[..., Any]] = {
    "torch._utils _rebuild_tensor_v2": _strided_tensor,
    "collections OrderedDict": dict,
}
