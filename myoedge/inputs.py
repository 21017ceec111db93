# SPDX-License-Identifier: Apache-2.0
"""What a person gives to a network, floats or integers -> its integers, in the model's order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myoedge.errors import MyoedgeError
from myoedge.fixedpoint import quantize
from myoedge.ir import Array, Shape
from myoedge.quant.choose import QuantGraph
from myoedge.reference import at_border
from myoedge.samples import as_inputs


def integers(q: QuantGraph, given: Any, shapes: Mapping[str, Shape], raw: bool) -> list[Array]:
    """One array, a sequence in order, or a mapping by name; axes of extent 1 may be left out.

    shapes   of the inputs that are given, by name
    raw      they are integers as they are
    Errors: E212 names or count, E213 shapes, E214 types, E216 NaN.
    """
    named = as_inputs(tuple(shapes), given)
    shaped = {name: _shaped(name, x, shapes[name]) for name, x in named.items()}
    if raw:
        return [_raw(q, name, x) for name, x in shaped.items()]
    return [quantize(at_border(q.graph, n, x), q.params[n]) for n, x in shaped.items()]


def _shaped(name: str, x: Array, shape: Shape) -> Array:
    """The array with all axes of its shape; those of extent 1 may be left out."""
    if [n for n in x.shape if n > 1] != [n for n in shape if n > 1]:
        facts = {"needs": list(shape), "has": list(x.shape)}
        several = x.shape[1:] in (shape, shape[1:])
        tries = ["one window at a time: [b.run(x) for x in windows]"] if several else []
        raise MyoedgeError("E213", f"input {name} has the wrong shape", facts, tries)
    return x.reshape(shape)


def _raw(q: QuantGraph, name: str, x: Array) -> Array:
    needed = q.dtype(name)
    if x.dtype != needed:
        raise MyoedgeError("E214", f"input {name} must be {needed} with raw=True", {"has": x.dtype})
    return x
