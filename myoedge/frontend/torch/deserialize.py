# SPDX-License-Identifier: Apache-2.0
"""Work that torch.export.load, torch 2.13, does again for every call of an archive, done once.

It asks for the fields and the types of torch's own schema for every object, and sends every empty
tensor through its dispatcher. The loaded program is the same.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Convert = Callable[[Any], Any]
PLAIN = (str, int, bool)


@contextmanager
def once_for_all() -> Iterator[None]:
    """Loading by torch within this context takes less time."""
    from torch._export.serde import serialize

    converter, deserializer = _converters(serialize), serialize.GraphModuleDeserializer
    tensor = _empty_tensors(deserializer.deserialize_tensor_meta, serialize)
    with (
        _replaced(serialize, "_dict_to_dataclass", lambda cls, data: converter(cls)(data)),
        _replaced(deserializer, "deserialize_tensor_meta", tensor),
    ):
        yield


@contextmanager
def _replaced(owner: Any, name: str, function: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, function)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _converters(serialize: Any) -> Callable[[Any], Convert]:
    """Conversions from JSON by type of the schema, to the objects of `_dict_to_dataclass`."""

    @functools.cache
    def converter(cls: Any) -> Convert:
        cls = serialize._resolve_schema_cls(cls)
        if typing.get_origin(cls) is typing.Annotated:
            return converter(cls.__origin__)
        given = typing.get_args(cls)
        if typing.get_origin(cls) in (typing.Union, types.UnionType) and type(None) in given:
            inner = later(given[0])
            return lambda data: None if data is None else inner(data)
        if cls in PLAIN:
            return lambda data: data
        if isinstance(cls, type) and issubclass(cls, serialize._Union):
            return _union(cls, fields_of(cls))
        if dataclasses.is_dataclass(cls):
            return _object(cls, fields_of(cls))
        if given:
            return _container(later(given[0]), later(given[-1]))
        return float if cls is float else lambda data: data

    def later(cls: Any) -> Convert:
        """Types name each other: looked up when the first value comes."""
        return lambda data: converter(cls)(data)

    def fields_of(cls: Any) -> dict[str, Convert]:
        hints = typing.get_type_hints(cls, globalns=vars(serialize.schema))
        return {field.name: later(hints[field.name]) for field in dataclasses.fields(cls)}

    return converter


def _union(cls: Any, fields: dict[str, Convert]) -> Convert:
    def convert(data: Any) -> Any:
        ((name, value),) = data.items()
        return cls.create(**{name: fields[name](value)})

    return convert


def _object(cls: Any, fields: dict[str, Convert]) -> Convert:
    def convert(data: Any) -> Any:
        return cls(**{name: f(data[name]) for name, f in fields.items() if name in data})

    return convert


def _container(item: Convert, value: Convert) -> Convert:
    def convert(data: Any) -> Any:
        if isinstance(data, list):
            return [item(x) for x in data]
        return {key: value(x) for key, x in data.items()} if isinstance(data, dict) else data

    return convert


def _empty_tensors(made: Callable[[Any, Any], Any], serialize: Any) -> Callable[[Any, Any], Any]:
    """Tensors without values, each its own, made without the dispatcher that torch asks."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensor

    def tensor(self: Any, stated: Any) -> Any:
        sizes, strides = stated.sizes, stated.strides
        static = all(n.type == "as_int" for n in (*sizes, *strides))
        if stated.requires_grad or not static:
            return made(self, stated)
        empty = torch.empty_strided(
            [n.value for n in sizes],
            [n.value for n in strides],
            device="meta",
            dtype=serialize._SERIALIZE_TO_TORCH_DTYPE[stated.dtype],
        )
        return FakeTensor(self.fake_tensor_mode, empty, serialize.deserialize_device(stated.device))

    return tensor
