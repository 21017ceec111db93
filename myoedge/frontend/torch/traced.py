# SPDX-License-Identifier: Apache-2.0
"""Nodes of an exported program: origin, arguments, shapes, types."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PureWindowsPath
from typing import Any

import numpy as np

from myoedge.frontend.refusals import dynamic
from myoedge.graph.ir import Origin
from myoedge.numerics.arrays import Array

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
# What torch checks on its way, without a result.
HARMLESS = ("aten._assert_tensor_metadata.default", "aten._assert_async.msg")


def origin_of(node: Any) -> Origin:
    """Module path, and the last frame outside installed packages as basename:line."""
    stack = node.meta.get("nn_module_stack") or {}
    path = str([*stack.values()][-1][0]) if stack else ""
    frames = _FRAME.findall(str(node.meta.get("stack_trace") or ""))
    own = [f for f in frames if "site-packages" not in f[0] and "dist-packages" not in f[0]]
    source = ":".join((PureWindowsPath(own[-1][0]).name, own[-1][1])) if own else ""
    return Origin(path.removeprefix("L['self'].").removeprefix("L['self']"), source)


def arguments_of(node: Any) -> dict[str, Any]:
    """Arguments of a call by the names of its schema; empty for a node that is no operator."""
    schema = getattr(node.target, "_schema", None)
    bound: dict[str, Any] = {}
    for position, argument in enumerate(() if schema is None else schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        given = node.args[position] if position < len(node.args) else default
        bound[argument.name] = node.kwargs.get(argument.name, given)
    return bound


def static(shape: Iterable[Any], name: str) -> tuple[int, ...]:
    """A shape in numbers. Errors: E110 an extent that is none, with the tensor's name."""
    sizes = tuple(shape)
    for axis, size in enumerate(sizes):
        if not isinstance(size, int):
            raise dynamic(name, axis, sizes)
    return sizes


def type_of(dtype: Any) -> str:
    """ "float32", as people write it."""
    return str(dtype).removeprefix("torch.")


def is_complex(node: Any) -> bool:
    """Whether a call gives complex numbers; transforms do, and stand for their magnitudes."""
    dtype = getattr(node.meta.get("val"), "dtype", None)
    return dtype is not None and bool(dtype.is_complex)


def array(tensor: Any) -> Array:
    """Floats of any width as float32, integers as they are."""
    import torch

    tensor = tensor.detach().to("cpu")
    floats = tensor.to(torch.float32) if tensor.is_floating_point() else tensor
    return np.asarray(floats.contiguous().numpy())
