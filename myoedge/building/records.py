# SPDX-License-Identifier: Apache-2.0
"""Serialisation of stage results as safetensors: dataclasses by name, containers and numbers as
JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array

_PLAIN = (str, bool, int, type(None))
_STORED = frozenset(
    f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)
) | {"bool"}


class NotRecordable(TypeError):
    """Raised for a value that cannot be serialised, such as a function."""


def packed(value: Any) -> bytes:
    """Serialise a value to the bytes of a safetensors file. Errors: NotRecordable."""
    from safetensors.numpy import save

    writer = _RecordWriter(shares=True)
    text = json.dumps(writer.json(value))
    named = {str(number): array for number, array in enumerate(writer.arrays)}
    return bytes(save(named, metadata={"value": text}))


def unpacked(data: bytes, classes: Mapping[str, type]) -> Any:
    """Restore a value that `packed` serialised.

    classes   class name -> dataclass
    Errors: ValueError if the bytes are not the result of `packed`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    header_bytes = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + header_bytes])
        reader = _RecordReader(load(data), classes)
        return reader.value(json.loads(header["__metadata__"]["value"]))
    except (LookupError, TypeError, AttributeError, SafetensorError) as error:
        raise ValueError("no record") from error


def digest(*values: Any) -> str:
    """Return the sha256 of values; equal values have equal digests. Errors: NotRecordable."""
    writer = _RecordWriter(shares=False)
    sha = hashlib.sha256(json.dumps(writer.json(values)).encode())
    for array in writer.arrays:
        sha.update(f"{array.dtype} {array.size} ".encode())
        sha.update(array.view(np.uint8).data)
    return sha.hexdigest()


class _RecordWriter:
    """Converts a value to JSON, and collects its arrays separately.

    shares   write dataclasses and arrays that occur several times only once
    """

    def __init__(self, *, shares: bool) -> None:
        self.arrays: list[Array] = []
        self.shares = shares
        self.seen: dict[int, tuple[int, Any]] = {}  # by id, which the stored value keeps valid

    def json(self, value: Any) -> Any:
        if type(value) in _PLAIN or (type(value) is float and math.isfinite(value)):
            return value
        if type(value) is tuple:
            return [self.json(item) for item in value]
        if id(value) in self.seen:
            return {"again": self.seen[id(value)][0]}
        if isinstance(value, np.ndarray):
            written = self._array(value)
        elif is_dataclass(value):
            written = self._write_fields(value)
        else:
            return self._write_container(value)
        if self.shares:
            self.seen[id(value)] = len(self.seen), value
        return written

    def _write_container(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {"map": [[self.json(key), self.json(item)] for key, item in value.items()]}
        if type(value) is list:
            return {"list": [self.json(item) for item in value]}
        if type(value) is frozenset:
            return {"set": [self.json(item) for item in sorted(value)]}
        if type(value) is float:
            return {"float": str(value)}
        if isinstance(value, np.generic):
            return {"scalar": self.json(np.asarray(value))}
        if type(value) is bytes:
            return {"bytes": self.json(np.frombuffer(value, np.uint8))}
        raise NotRecordable(type(value).__name__)

    def _write_fields(self, value: Any) -> Any:
        held = {f.name: self.json(getattr(value, f.name)) for f in fields(value) if f.init}
        return {"is": [type(value).__name__, held]}

    def _array(self, value: Array) -> Any:
        """Store an array in its memory order, because the order of float sums depends on it bit for
        bit."""
        is_stored = value.dtype.name in _STORED and value.dtype.isnative
        if value.dtype.hasobject or (self.shares and not is_stored):
            raise NotRecordable(str(value.dtype))
        axes = sorted(range(value.ndim), key=lambda axis: -value.strides[axis])
        once = tuple(slice(None if stride else 1) for stride in value.strides)
        ordered = np.asarray(value[once].transpose(axes), order="C")
        self.arrays.append(ordered.reshape(-1))
        return {"array": [len(self.arrays) - 1, axes, ordered.shape, value.shape]}


class _RecordReader:
    """Restores values from the JSON of a _RecordWriter."""

    def __init__(self, arrays: Mapping[str, Array], classes: Mapping[str, type]) -> None:
        self.arrays, self.classes = arrays, classes
        self.seen: list[Any] = []

    def value(self, written: Any) -> Any:
        if isinstance(written, list):
            return tuple(map(self.value, written))
        if not isinstance(written, dict):
            return written
        ((kind, content),) = written.items()
        readers: dict[str, Callable[[Any], Any]] = {
            "again": self._seen_value,
            "map": self._map,
            "list": self._list,
            "set": self._set,
            "float": self._float,
            "scalar": self._scalar,
            "bytes": self._bytes,
            "is": self._is,
            "array": self._array,
        }
        return readers[kind](content)

    def _seen_value(self, place: int) -> Any:
        return self.seen[place]

    def _map(self, pairs: list[Any]) -> dict[Any, Any]:
        return {self.value(key): self.value(item) for key, item in pairs}

    def _list(self, items: list[Any]) -> list[Any]:
        return [*map(self.value, items)]

    def _set(self, items: list[Any]) -> frozenset[Any]:
        return frozenset(map(self.value, items))

    def _float(self, text: str) -> float:
        return float(text)

    def _scalar(self, written: Any) -> Any:
        return self.value(written)[()]

    def _bytes(self, written: Any) -> bytes:
        return bytes(self.value(written).data)

    def _is(self, content: list[Any]) -> Any:
        name, held = content
        made = self.classes[name](**{key: self.value(item) for key, item in held.items()})
        self.seen.append(made)
        return made

    def _array(self, content: list[Any]) -> Array:
        number, axes, ordered, shape = content
        stored = np.array(self.arrays[str(number)]).reshape(ordered).transpose(np.argsort(axes))
        made = stored if stored.shape == tuple(shape) else np.broadcast_to(stored, shape)
        self.seen.append(made)
        return made
