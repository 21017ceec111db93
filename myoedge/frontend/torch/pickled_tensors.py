# SPDX-License-Identifier: Apache-2.0
"""Tensors in a file of torch.save, read from the opcodes of its pickle without unpickling it."""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.frontend.torch.archive import read_members
from myoedge.frontend.torch.program import NeedsTorch
from myoedge.numerics.arrays import Array

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
