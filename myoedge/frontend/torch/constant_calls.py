# SPDX-License-Identifier: Apache-2.0
"""Computation of an exported program's calls on constants, once at import."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from myoedge.frontend.folding import check_einsum, check_elements
from myoedge.frontend.torch.known_calls import KnownCall
from myoedge.frontend.torch.program import NeedsTorch, NumberType
from myoedge.frontend.torch.traced import arguments_of, array
from myoedge.operators.graph_builder import GraphBuilder, Unsupported


def folded(builder: GraphBuilder, values: Mapping[str, Any], node: Any) -> Any:
    """Compute a call on constants once at import, with torch or, where this gives the same values,
    with NumPy; return its value or constant.

    values   node name -> imported value
    """
    value = node.meta.get("val")
    results = value if isinstance(value, list | tuple) else [value]
    check_elements(sum(math.prod(map(int, v.shape)) for v in results if hasattr(v, "shape")))
    if isinstance(node.target, KnownCall):
        return _known(builder, values, node, node.target)
    import torch

    if "aten.einsum" in str(node.target):
        shapes = [builder.array(values[n.name]).shape for n in node.args[1]]
        check_einsum(node.args[0], shapes)

    def tensor(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(tensor(item) for item in value)
        if hasattr(value, "all_input_nodes"):
            return torch.from_numpy(builder.array(values[value.name]).copy())
        return value

    try:
        with torch.no_grad():
            kwargs = {k: tensor(v) for k, v in node.kwargs.items() if k != "device"}
            result = node.target(*tensor(node.args), **kwargs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise Unsupported(f"torch refuses it: {str(error).splitlines()[0]}") from None
    return _kept(builder, result)


def _known(builder: GraphBuilder, values: Mapping[str, Any], node: Any, target: KnownCall) -> Any:
    """Compute a known call on constants. Errors: NeedsTorch if its values are not known."""
    if target.values is None:
        raise NeedsTorch(f"{target} of constants")

    def given(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [given(item) for item in value]
        if isinstance(value, NumberType):
            return np.dtype(value.name)
        return builder.array(values[value.name]) if hasattr(value, "users") else value

    try:
        made = target.values({name: given(x) for name, x in arguments_of(node).items()})
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise NeedsTorch(f"{target} of constants: {error}") from error
    keep = builder.constant
    return tuple(map(keep, made)) if isinstance(made, tuple) else keep(made)


def _kept(builder: GraphBuilder, result: Any) -> Any:
    if isinstance(result, list | tuple):
        return tuple(_kept(builder, item) for item in result)
    if not hasattr(result, "detach"):
        raise Unsupported("a result that is no tensor")
    return builder.constant(array(result))
