# SPDX-License-Identifier: Apache-2.0
"""Tensors of a torch.save file, read from its pickle without importing or calling anything.

Opcodes are those of pickletools; containers, numbers and texts become Python's, tensors become
views of the archive's storages, and every other object becomes an UnreadObject.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myoedge.frontend.refusals import damaged
from myoedge.frontend.torch.archive import read_members
from myoedge.frontend.torch.preflight import import_torch

if TYPE_CHECKING:
    from torch import Tensor

MAX_OPCODES = 4_000_000
MAX_AXES = 64
MAX_ELEMENTS = 1 << 32
# torch/storage.py, _storage_type_to_dtype_map
STORAGE_DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
UNTYPED = ("storage.UntypedStorage", "storage._UntypedStorage")  # the tensor has the dtype
BUILTINS = ("builtins.", "__builtin__.", "typing.")  # say least of a file
ORDERED = "collections.OrderedDict"
DTYPES = (*STORAGE_DTYPES.values(), "uint16", "uint32", "uint64")
KEYS = (str, bytes, int, float, type(None))  # whose hash takes no deep recursion


class UnreadObject(dict[Any, Any]):
    """Placeholder for an object whose class is not imported, with the items it has as a mapping."""


@dataclass(frozen=True, slots=True)
class GlobalName:
    """A class or function that a pickle names, "module.name"."""

    name: str


@dataclass(frozen=True, slots=True)
class Storage:
    """A member with elements of tensors; dtype is "" where each tensor has its own."""

    key: str
    dtype: str


@dataclass(slots=True)
class _Reader:
    """State of one pickle: stack, positions of marks on it, memo, names of classes in it."""

    members: Mapping[str, bytes]
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    names: dict[str, None] = field(default_factory=dict)
    storages: dict[Storage, Tensor] = field(default_factory=dict)


def read_pickled_tensors(path: Path) -> tuple[Any, tuple[str, ...]]:
    """(content, names of classes and functions that were not imported) of a torch.save archive.

    Errors: E104 damaged, E107 an archive that torch does not write.
    """
    members = read_members(path.read_bytes(), path)
    try:
        if members.get("byteorder", b"little") != b"little":
            raise ValueError("its tensors are big-endian")
        reader = _Reader(members)
        content = _read(reader, members["data.pkl"])
    # what pickletools and the operations below raise for bytes that are no pickle
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, RuntimeError) as error:
        raise damaged(path, f"its pickle, {type(error).__name__}: {error}") from error
    names = (name for name in reader.names if not _is_read(name))
    return content, tuple(sorted(names, key=lambda name: (name.startswith(BUILTINS), name)))


def _is_read(name: str) -> bool:
    """Whether the class or function is one whose meaning is built in here."""
    is_of_tensor = name.removeprefix("torch.") in (*STORAGE_DTYPES, *DTYPES, *UNTYPED)
    return is_of_tensor or name in REBUILT or name == ORDERED


def _read(reader: _Reader, data: bytes) -> Any:
    """The object that a pickle describes."""
    for count, (opcode, value, _) in enumerate(pickletools.genops(data)):
        if count >= MAX_OPCODES:
            raise ValueError(f"more than {MAX_OPCODES:,} opcodes")
        _step(reader, opcode.name, value)
    return reader.stack.pop()


def _step(reader: _Reader, name: str, value: Any) -> None:
    stack, memo = reader.stack, reader.memo
    if name in PUSHED:
        stack.append(value)
    elif name in MADE:
        stack.append(MADE[name]())
    elif name in TAKES:
        count, operation = TAKES[name]
        stack.append(operation(reader, *_popped(reader, count)))
    elif name in TAKES_MARKED:
        values = _popped_to_mark(reader)
        stack.append(TAKES_MARKED[name](reader, values))
    elif name in ADDS_MARKED:
        values = _popped_to_mark(reader)
        ADDS_MARKED[name](stack[-1], values)
    elif name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
        memo[len(memo) if value is None else value] = stack[-1]
    elif name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[value])
    elif name == "DUP":
        stack.append(stack[-1])
    elif name == "MARK":
        reader.marks.append(len(stack))
    elif name in ("POP", "POP_MARK"):
        _discard(reader, name)
    elif name == "GLOBAL":
        stack.append(_global_name(reader, *value.split(" ", 1)))
    elif name not in WITHOUT_EFFECT:
        stack.append(UnreadObject())


def _popped(reader: _Reader, count: int) -> list[Any]:
    """The last values, none of them from below the last mark."""
    if len(reader.stack) - count < (reader.marks[-1] if reader.marks else 0):
        raise ValueError("more values are taken than there are")
    values = reader.stack[-count:]
    del reader.stack[-count:]
    return values


def _popped_to_mark(reader: _Reader) -> list[Any]:
    start = reader.marks.pop()
    values = reader.stack[start:]
    del reader.stack[start:]
    return values


def _discard(reader: _Reader, name: str) -> None:
    if name == "POP_MARK":
        _popped_to_mark(reader)
    elif reader.marks and reader.marks[-1] == len(reader.stack):
        reader.marks.pop()
    else:
        _popped(reader, 1)


# ---- containers


def _append(target: Any, values: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(values)


def _set_items(target: Any, values: list[Any]) -> None:
    """Keys of other types than KEYS are left out: no entry that is looked for has one."""
    if isinstance(target, dict):
        pairs = zip(values[::2], values[1::2], strict=True)
        target.update((key, value) for key, value in pairs if type(key) in KEYS)


def _appended(_: _Reader, target: Any, value: Any) -> Any:
    _append(target, [value])
    return target


def _set_item(_: _Reader, target: Any, key: Any, value: Any) -> Any:
    _set_items(target, [key, value])
    return target


def _dictionary(_: _Reader, values: list[Any]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    _set_items(made, values)
    return made


# ---- objects


def _global_name(reader: _Reader, module: Any, name: Any) -> GlobalName:
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("a class without a name")
    found = GlobalName(f"{module}.{name}")
    reader.names[found.name] = None
    return found


def _object(*_: Any) -> UnreadObject:
    return UnreadObject()


def _result(reader: _Reader, function: Any, arguments: Any) -> Any:
    """Value in the place of a call: a tensor, a dictionary, or an object that is not read."""
    name = function.name if isinstance(function, GlobalName) else ""
    if name == ORDERED and arguments == ():
        return {}
    if name in REBUILT and isinstance(arguments, tuple):
        return REBUILT[name](reader, *arguments)
    return UnreadObject()


def _stored(_: _Reader, identity: Any) -> Any:
    """A storage by its persistent id: ("storage", class, key, device, elements)."""
    match identity:
        case ("storage", GlobalName(name), str(key), str(), int()):
            dtype = STORAGE_DTYPES.get(name.removeprefix("torch."), "")
            return Storage(key, dtype)
    return UnreadObject()


def _tensor(
    reader: _Reader, storage: Any, offset: Any, size: Any, stride: Any, *others: Any
) -> Any:
    """A view of a storage, from arguments of torch._utils._rebuild_tensor and its successors."""
    named = next((x.name for x in others if isinstance(x, GlobalName)), "")
    if not isinstance(storage, Storage):
        return UnreadObject()
    dtype = named.removeprefix("torch.") or storage.dtype
    if dtype not in DTYPES:
        return UnreadObject()
    flat = _elements(reader, Storage(storage.key, dtype))
    _check_view(offset, size, stride, flat.numel())
    return flat.as_strided(size, stride, offset)


def _elements(reader: _Reader, storage: Storage) -> Tensor:
    """All of a storage as one axis."""
    torch = import_torch()
    if storage not in reader.storages:
        data = reader.members[f"data/{storage.key}"]
        dtype = getattr(torch, storage.dtype)
        made = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0).to(dtype)
        reader.storages[storage] = made
    return reader.storages[storage]


def _check_view(offset: Any, size: Any, stride: Any, elements: int) -> None:
    """Checks that a view lies in a storage of so many elements. Errors: ValueError."""
    if type(size) is not tuple or type(stride) is not tuple or len(size) != len(stride):
        raise ValueError("a tensor's size or strides are no tuples of one length")
    if any(type(n) is not int or n < 0 for n in (offset, *size, *stride)) or len(size) > MAX_AXES:
        raise ValueError("a tensor's offset, size or strides are no small integers")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if prod(size) > MAX_ELEMENTS or (prod(size) > 0 and last >= elements):
        raise ValueError(f"a tensor goes beyond its storage of {elements} elements")


def _parameter(_: _Reader, data: Any, *__: Any) -> Any:
    return data


REBUILT: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}

# ---- opcodes

PUSHED = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "BINUNICODE8"),
        *("SHORT_BINUNICODE", "BINBYTES", "BINBYTES8", "SHORT_BINBYTES", "BYTEARRAY8"),
    )
)
MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
# how many values an opcode takes from the stack, and what it puts there in their place
TAKES: dict[str, tuple[int, Callable[..., Any]]] = {
    **{f"TUPLE{n}": (n, lambda _, *values: values) for n in (1, 2, 3)},
    "APPEND": (2, _appended),
    "SETITEM": (3, _set_item),
    "STACK_GLOBAL": (2, _global_name),
    "REDUCE": (2, _result),
    "NEWOBJ": (2, _object),
    "NEWOBJ_EX": (3, _object),
    "BUILD": (2, lambda _, built, state: built),
    "BINPERSID": (1, _stored),
}
TAKES_MARKED: dict[str, Callable[[_Reader, list[Any]], Any]] = {
    "TUPLE": lambda _, values: tuple(values),
    "LIST": lambda _, values: values,
    "DICT": _dictionary,
    "FROZENSET": _object,
    "OBJ": _object,
    "INST": _object,
}
ADDS_MARKED: dict[str, Callable[[Any, list[Any]], None]] = {
    "APPENDS": _append,
    "SETITEMS": _set_items,
    "ADDITEMS": lambda target, values: None,
}
WITHOUT_EFFECT = ("PROTO", "FRAME", "STOP", "READONLY_BUFFER")
