# SPDX-License-Identifier: Apache-2.0
"""What a person gives to a network, floats or integers -> its integers, in the model's order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.quant_params import quantize
from myoedge.operators.interpreter import at_border
from myoedge.quantization.samples import FINITE
from myoedge.quantization.scales import QuantGraph

FRAME = "one frame at a time, without the axis of time: [b.push(frame) for frame in frames]"


def called(names: Iterable[str], inputs: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """What `integers` is given for f(*inputs, **named), as networks are called in torch.

    Errors: E212 an input that is given twice.
    """
    if len(inputs) == 1 and not named:
        return inputs[0]
    ordered = dict(zip(names, inputs, strict=False))
    twice = sorted(ordered.keys() & named.keys())
    if twice:
        facts = {"has": f"{', '.join(twice)} by place and by name"}
        raise MyoedgeError("E212", "an input is given twice", facts)
    return {**ordered, **named} if named else inputs


def integers(
    q: QuantGraph, given: Any, shapes: Mapping[str, Shape], raw: bool, pushed: bool = False
) -> list[Array]:
    """One array, a sequence in order, or a mapping by name; axes of extent 1 may be left out.

    shapes   of the inputs that are given, by name
    raw      they are integers as they are
    pushed   they are a frame of a stream
    Errors: E212 names or count, E213 shapes, E214 types, E216 NaN or infinite.
    """
    named = _named(tuple(shapes), given)
    shaped = {name: _shaped(name, x, shapes[name], pushed) for name, x in named.items()}
    if raw:
        return [_raw(q, name, x) for name, x in shaped.items()]
    return [quantize(at_border(q.graph, n, x), q.params[n]) for n, x in shaped.items()]


def _named(graph_inputs: Sequence[str], values: Any) -> dict[str, Array]:
    """Arrays of real numbers by name."""
    listed = values if isinstance(values, list | tuple | Mapping) else [values]
    named = listed if isinstance(listed, Mapping) else dict(zip(graph_inputs, listed, strict=False))
    if len(listed) != len(graph_inputs) or any(name not in named for name in graph_inputs):
        shown = (
            ", ".join(map(str, named)) if isinstance(values, Mapping) else f"{len(listed)} arrays"
        )
        facts = {"needs": ", ".join(graph_inputs), "has": shown}
        raise MyoedgeError("E212", "these are not the inputs of the network", facts)
    return {name: _real(name, named[name]) for name in graph_inputs}


def _real(name: str, value: Any) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        facts = {"needs": "real numbers", "has": str(array.dtype)}
        raise MyoedgeError("E214", f"input {name} is no array of real numbers", facts)
    if not np.isfinite(array).all():
        raise MyoedgeError("E216", f"input {name} holds NaN or infinite values", tries=FINITE)
    return array


def _shaped(name: str, x: Array, shape: Shape, pushed: bool) -> Array:
    """The array with all axes of its shape; those of extent 1 may be left out."""
    if [n for n in x.shape if n > 1] != [n for n in shape if n > 1]:
        facts = {"needs": list(shape), "has": list(x.shape)}
        several = x.shape[1:] in (shape, shape[1:])
        tries = ["one window at a time: [b.run(x) for x in windows]"] if several else []
        what = f"a frame of {name}" if pushed else f"input {name}"
        raise MyoedgeError(
            "E213", f"{what} has the wrong shape", facts, [FRAME] if pushed else tries
        )
    return x.reshape(shape)


def _raw(q: QuantGraph, name: str, x: Array) -> Array:
    needed = q.dtype(name)
    if x.dtype != needed:
        raise MyoedgeError("E214", f"input {name} must be {needed} with raw=True", {"has": x.dtype})
    return x
