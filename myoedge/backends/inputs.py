# SPDX-License-Identifier: Apache-2.0
"""Conversion of the arguments of run and push to integer arrays in the model's order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError, named_input
from myoedge.frontend.port_names import under_port_names
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.quantization.computed_ids import check_inputs
from myoedge.quantization.recordings.reading import plain
from myoedge.quantization.samples import FINITE, check_integers, window
from myoedge.quantization.scales import QuantGraph

FRAME = "one frame per call, without the time axis: [b.push(frame) for frame in frames]"


def as_argument(names: Iterable[str], inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """Combine positional and keyword inputs of a call, as of a torch module, into one value for
    `named_arrays`.

    Errors: E212 an input given twice.
    """
    if len(inputs) == 1 and not keywords:
        return inputs[0]
    ordered = dict(zip(names, inputs, strict=False))
    duplicates = sorted(ordered.keys() & keywords.keys())
    if duplicates:
        facts = {"has": f"{', '.join(duplicates)} by position and by name"}
        raise MyoedgeError("E212", "an input is given twice", facts)
    return {**ordered, **keywords} if keywords else inputs


def named_arrays(values: Any, shapes: Mapping[str, Shape]) -> dict[str, Array]:
    """Return arrays by input name, given one array, a sequence in order, or a mapping by name.

    shapes   input name -> shape
    Errors: E212 names or count.
    """
    listed = values if isinstance(values, list | tuple | Mapping) else [values]
    by_name = listed if isinstance(listed, Mapping) else dict(zip(shapes, listed, strict=False))
    by_name = under_port_names(by_name, shapes)
    if len(listed) != len(shapes) or not by_name.keys() >= shapes.keys():
        raise _wrong_inputs_error(values, by_name, len(listed), [*shapes])
    return {name: plain(by_name[name], named_input(name)) for name in shapes}


def _wrong_inputs_error(
    values: Any, by_name: Iterable[str], count: int, names: Sequence[str]
) -> MyoedgeError:
    """Return error E212 for a mapping with wrong names, or a wrong number of arrays."""
    has, tries = f"{count} arrays", []
    if isinstance(values, Mapping):
        has = ", ".join(map(str, by_name))
        tries = [f"run({{{', '.join(f'{name!r}: ...' for name in names)}}})"]
    elif len(names) == 1 and isinstance(values, list | tuple):
        tries = ["run(np.stack(windows)): one array [samples, *shape]"]
    facts = {"needs": ", ".join(names), "has": has or "no arrays"}
    return MyoedgeError("E212", "names or number of inputs are wrong", facts, tries)


def batch_size(arrays: Mapping[str, Array], shapes: Mapping[str, Shape]) -> int | None:
    """Return the number of samples in arrays [samples, *shape]; None for arrays of one sample. A
    first axis of 1 in the shape may be left out.

    Errors: E218 different numbers of samples.
    """
    counts = {}
    for name, x in arrays.items():
        shape = shapes[name]
        if x.ndim and x.shape != shape and x.shape[1:] in (shape, window(shape)):
            counts[name] = len(x)
    if not counts:
        return None
    if len({*counts.values()}) > 1 or len(counts) < len(arrays):
        facts = {name: counts.get(name, "one sample") for name in arrays}
        tries = ["the same number of samples for every input: x[:n], y[:n]"]
        raise MyoedgeError("E218", "the inputs have different numbers of samples", facts, tries)
    return next(iter(counts.values()))


def _check_values(q: QuantGraph, name: str, x: Array) -> None:
    if q.graph.tensors[name].dtype != "float32":
        check_integers(q.graph, name, x, named_input(name))
    elif x.dtype.kind not in "fiu":
        facts = {"needs": "real numbers", "has": str(x.dtype)}
        raise MyoedgeError("E214", f"{named_input(name)} is no array of real numbers", facts)
    if not np.isfinite(x).all():
        title = f"{named_input(name)} holds NaN or infinite values"
        raise MyoedgeError("E216", title, tries=FINITE)


def integers(
    q: QuantGraph,
    arrays: Mapping[str, Array],
    shapes: Mapping[str, Shape],
    raw: bool,
    is_frame: bool = False,
) -> list[Array]:
    """Quantise one sample; return integer arrays in the model's order.

    arrays     from named_arrays; axes of size 1 may be missing
    shapes     input name -> shape
    raw        whether the values are integers already
    is_frame   whether the values are a frame of a stream
    Errors: E213 shapes, E214 types, E216 NaN or infinite, E229 integers out of range.
    """
    for name, x in arrays.items():
        _check_values(q, name, x)
    shaped = {name: _reshape_input(name, x, shapes[name], is_frame) for name, x in arrays.items()}
    quantized = {n: x if raw else q.input_integers(n, x) for n, x in shaped.items()}
    for name, x in quantized.items():
        if x.dtype != (needed := q.dtype(name)):
            title = f"{named_input(name)} must be {needed} with raw=True"
            raise MyoedgeError("E214", title, {"has": x.dtype})
    if not is_frame:
        check_inputs(q, quantized, "the inputs")
    return [*quantized.values()]


def _reshape_input(name: str, x: Array, shape: Shape, is_frame: bool) -> Array:
    """Reshape an array to the input's shape; axes of size 1 may be missing. Errors: E213."""
    if [n for n in x.shape if n > 1] != [n for n in shape if n > 1]:
        facts = {"needs": list(shape), "has": list(x.shape)}
        subject, tries = (f"a frame of {name}", [FRAME]) if is_frame else (named_input(name), [])
        raise MyoedgeError("E213", f"{subject} has the wrong shape", facts, tries)
    return x.reshape(shape)
