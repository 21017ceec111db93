# SPDX-License-Identifier: Apache-2.0
"""Work that torch.export.load (2.9 to 2.15) does again for every call of an archive, done once.

It asks for the fields and the types of torch's own schema for every object, sends every empty
tensor through its dispatcher, looks for sizes that depend on values where there are none, and
writes the program's Python source twice. The loaded program is the same.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

Convert = Callable[[Any], Any]
Fields = Callable[[], Mapping[str, Convert]]  # types name each other: asked for by the first value
PLAIN = (str, int, bool)


@contextmanager
def once_for_all() -> Iterator[None]:
    """Loading by torch within this context takes less time."""
    from torch._export.serde import serialize
    from torch.export import exported_program
    from torch.fx._lazy_graph_module import _LazyGraphModule
    from torch.fx.experimental import symbolic_shapes

    converter, deserializer = _converters(serialize), serialize.GraphModuleDeserializer
    tensor = _empty_tensors(deserializer.deserialize_tensor_meta, serialize)
    sizes = "_free_unbacked_symbols_with_path"
    with (
        _replaced(serialize, "_dict_to_dataclass", lambda cls, data: converter(cls)(data)),
        _replaced(deserializer, "deserialize_tensor_meta", tensor),
        _replaced(symbolic_shapes, sizes, _pending_sizes(getattr(symbolic_shapes, sizes))),
        # source is written, and compiled, when somebody calls the module
        _replaced(exported_program, "_create_graph_module_for_export", _LazyGraphModule),
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
    from torch._export.serde import schema  # torch 2.9 has no serialize.schema

    @functools.cache
    def converter(cls: Any) -> Convert:
        if isinstance(cls, typing.ForwardRef | str):
            name = cls if isinstance(cls, str) else cls.__forward_arg__
            return converter(getattr(schema, name))
        if typing.get_origin(cls) is typing.Annotated:
            return converter(cls.__origin__)
        given = typing.get_args(cls)
        if typing.get_origin(cls) in (typing.Union, types.UnionType) and type(None) in given:
            inner = converter(given[0])
            return lambda data: None if data is None else inner(data)
        if cls in PLAIN:
            return lambda data: data
        if isinstance(cls, type) and issubclass(cls, serialize._Union):
            return _union(cls, functools.cache(lambda: fields_of(cls)))
        if dataclasses.is_dataclass(cls):
            return _object(cls, functools.cache(lambda: fields_of(cls)))
        if given:
            return _container(converter(given[0]), converter(given[-1]))
        return float if cls is float else lambda data: data

    def fields_of(cls: Any) -> dict[str, Convert]:
        hints = typing.get_type_hints(cls, globalns=vars(schema))
        return {field.name: converter(hints[field.name]) for field in dataclasses.fields(cls)}

    return converter


def _union(cls: Any, fields: Fields) -> Convert:
    """Objects with one field that is set, as `create` of torch's unions makes them."""

    @functools.cache
    def alone(name: str) -> tuple[Convert, Mapping[str, Any]]:
        convert = fields()[name]
        return convert, object.__getattribute__(cls.create(**{name: None}), "__dict__")

    def convert(data: Any) -> Any:
        ((name, value),) = data.items()
        convert_field, unset = alone(name)
        union = object.__new__(cls)
        object.__getattribute__(union, "__dict__").update(unset, **{name: convert_field(value)})
        return union

    return convert


def _object(cls: Any, fields: Fields) -> Convert:
    def convert(data: Any) -> Any:
        return cls(**{name: f(data[name]) for name, f in fields().items() if name in data})

    return convert


def _container(item: Convert, value: Convert) -> Convert:
    def convert(data: Any) -> Any:
        if isinstance(data, list):
            return [item(x) for x in data]
        return {key: value(x) for key, x in data.items()} if isinstance(data, dict) else data

    return convert


def _numbers(sizes: Sequence[Any]) -> list[int] | None:
    """Sizes in a tensor's description; None where one is an expression."""
    # torch's own attributes ask for the schema's fields first
    numbers = [object.__getattribute__(size, "as_int") for size in sizes]
    return None if None in numbers else numbers


def _empty_tensors(made: Callable[[Any, Any], Any], serialize: Any) -> Callable[[Any, Any], Any]:
    """Tensors without values, each its own, made without the dispatcher that torch asks."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensor

    def tensor(self: Any, stated: Any) -> Any:
        sizes, strides = _numbers(stated.sizes), _numbers(stated.strides)
        if sizes is None or strides is None:
            return made(self, stated)
        empty = torch.empty_strided(
            sizes,
            strides,
            device="meta",
            dtype=serialize._SERIALIZE_TO_TORCH_DTYPE[stated.dtype],
            requires_grad=stated.requires_grad,
        )
        return FakeTensor(self.fake_tensor_mode, empty, serialize.deserialize_device(stated.device))

    return tensor


def _pending_sizes(found: Callable[..., Any]) -> Callable[..., Any]:
    """Sizes that depend on values, of a tensor; none where the program has none."""

    def pending_sizes(value: Any, path: Any, **options: Any) -> Any:
        return found(value, path, **options) if options.get("pending") else {}

    return pending_sizes
