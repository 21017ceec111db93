# SPDX-License-Identifier: Apache-2.0
"""Samples of a network's inputs: validation, selection, random samples, archive examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.frontend.port_names import under_port_names
from myoedge.graph.ir import Graph, Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.embedding import id_limits
from myoedge.quantization.computed_ids import check_samples
from myoedge.quantization.labels import fitted_labels
from myoedge.quantization.recordings.reading import (
    LABEL,
    MAKE_CALIBRATION,
    ONLY,
    UNLABELLED,
    Scales,
    label_lines,
    one_each,
)
from myoedge.quantization.recordings.windows import layout

IN_RANGE = (
    "ids of the vocabulary with which the network was trained",
    "0 and 1, or False and True, in a mask",
)
FINITE = ("leave such windows out", "in masks use -1e9 instead of -inf")

RANDOM = "random"
MOST_AXES = 5  # maximum axes of samples for which other orders are tried


@dataclass(frozen=True)
class Data:
    """Samples of every input.

    inputs        name -> [samples, *input shape], float32 or integers; names are the file's until
                  `fit`
    labels        as given until `fit`, then as converted by fitted_labels; None without labels
    source        description for reports: "300 samples of calib.npz"
    renamed       name of the array used for the only input, if it differs from the input's; else ""
    numbers       index of each sample in the file; None: all samples in order
    lengths       rows of each file, in order, until `fit`; (): one file
    columns       names of a recording's columns, if known
    aside         names of its columns that are neither signal nor label: time, texts
    is_random     whether the samples are random, for a first build
    class_names   class names in order; () for unnamed classes
    scales        scale factors applied when reading, as in Reading
    """

    inputs: Mapping[str, Array]
    labels: Array | None
    source: str
    renamed: str = ""
    numbers: Array | None = None
    lengths: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    is_random: bool = False
    class_names: tuple[str, ...] = ()
    scales: Scales = ()

    @property
    def count(self) -> int:
        return len(next(iter(self.inputs.values())))


class Indexed(Protocol):
    """Protocol of samples accessed by index, as in a torch Dataset."""

    def __getitem__(self, index: Any, /) -> Any: ...


# A file, folder or "pkg.mod:fn"; arrays or tensors by input name, or one for the only input; a
# list, Dataset or DataLoader of windows or (window, class) pairs; a function that returns arrays.
Given = str | Path | Mapping[str, Any] | Array | Callable[[], Any] | Iterable[Any] | Indexed | Data


def fit(data: Data, graph: Graph) -> Data:
    """Convert samples to the graph's input names, shapes [samples, *input shape] and element types.

    If an input's first axis is 1, it may be missing: [samples, *input shape[1:]]. Arrays may have
    the names of the model's file: onnx::Add_0 for the input onnx__Add_0. Errors: E212 names, E213
    shapes, E214 element types, E215 no samples, E216 NaN, E218 counts, E225 labels, E229 integers
    out of range.
    """
    data = label_as_input(data, graph)
    matched = _match_inputs(data, graph)
    given = data.inputs if len(matched) == 1 else matched  # a single array may have any name
    inputs = {
        name: _fit_to_input_shape(name, x, graph, _array_title(array, data))
        for array, (name, x) in zip(given, matched.items(), strict=True)
    }
    counts = {name: len(x) for name, x in inputs.items()}
    tries = ["the same number of samples in every array: x[:n], y[:n]"]
    if data.labels is not None and len({*counts.values()}) == 1:
        tries = [*one_each(data.labels, *{*counts.values()}), UNLABELLED]
    if data.labels is not None:
        counts[LABEL] = len(data.labels)
    if len(set(counts.values())) > 1:
        title = f"{data.source}: the arrays have different numbers of samples"
        raise MyoedgeError("E218", title, counts, tries)
    if not next(iter(counts.values())):
        raise MyoedgeError("E215", f"{data.source} holds no samples", tries=[MAKE_CALIBRATION])
    count = next(iter(counts.values()))
    labels, names = data.labels, data.class_names
    if labels is not None:
        labels, names = fitted_labels(labels, graph, names, f"{LABEL} of {data.source}")
    check_samples(graph, inputs, count)
    unknown = {*under_port_names(data.inputs, graph.inputs)} - {*graph.inputs, ONLY}
    renamed = next(iter(unknown), "")
    source = f"{count} sample{'s' * (count > 1)} of {data.source}"
    return Data(inputs, labels, source, renamed, class_names=names, scales=data.scales)


def _array_title(array: str, data: Data) -> str:
    """Return the name of an array in messages: "array emg of calib.npz", "the array given"."""
    return (
        data.source
        if array == ONLY and data.source.startswith("the ")
        else (f"array {array} of {data.source}")
    )


def _match_inputs(data: Data, graph: Graph) -> dict[str, Array]:
    names = graph.inputs
    if len(names) == len(data.inputs) == 1:
        return dict(zip(names, data.inputs.values(), strict=True))
    arrays = under_port_names(data.inputs, names)
    if set(names) != set(arrays):
        signal = (
            [f'[calib] array = "{_likeliest_input_array(data, graph)}"'] if len(names) == 1 else []
        )
        labels = label_lines(data.inputs) if len(data.inputs) == len(names) + 1 else ()
        chosen = [*labels] or signal
        needs = ", ".join(names) if len(names) > 1 else "one array, of any name, for the only input"
        raise MyoedgeError(
            "E212",
            f"{data.source}: the arrays are not named as the model's inputs",
            {"needs": needs, "has": ", ".join(data.inputs)},
            [*chosen, _renaming_code(data, names)],
        )
    return {name: arrays[name] for name in names}


def _renaming_code(data: Data, names: Sequence[str]) -> str:
    """Return Python code that renames the arrays to the input names: a dict for arrays in memory,
    otherwise code that saves a file."""
    is_in_memory = data.source.startswith("the ")
    if len(data.inputs) != len(names):
        shown = names if len(names) > 1 else (ONLY,)
        if is_in_memory:
            return f"{{{', '.join(f'{name!r}: ...' for name in shown)}}}"
        return f"np.savez(..., {', '.join(f'{name}=...' for name in shown)})"
    renamed = zip(names, data.inputs, strict=True)
    pairs = ", ".join(f"{name!r}: d[{old!r}]" for name, old in renamed)
    if is_in_memory:
        return f"{{{pairs}}}  # d: the dict given"
    return f"d = np.load(...); np.savez('renamed.npz', **{{{pairs}}})"


def _likeliest_input_array(data: Data, graph: Graph) -> str:
    """Return the array that most likely holds the only input: the one with its name, otherwise the
    largest that fits."""
    (name,) = graph.inputs
    shape = graph.shape(name)

    def likelihood(array: str) -> tuple[bool, bool, int]:
        x = data.inputs[array]
        is_recording = x.ndim == 2 and layout(shape, x.shape[1]) is not None
        fits = x.shape[1:] in (shape, window(shape)) or is_recording
        return fits, name in array, x.size

    return max(data.inputs, key=likelihood)


def label_as_input(data: Data, graph: Graph) -> Data:
    """Use the array `label` as an input if the network has an input of that name.

    Errors: E215 labels without samples.
    """
    if LABEL in graph.inputs and data.labels is not None and LABEL not in data.inputs:
        shape = graph.shape(LABEL)
        is_flat = data.labels.size == len(data.labels) * math.prod(shape)
        x = data.labels.reshape(-1, *shape) if is_flat else data.labels
        data = replace(data, inputs={**data.inputs, LABEL: x}, labels=None)
    if not data.inputs:
        raise MyoedgeError("E215", f"{data.source} holds no arrays", tries=[MAKE_CALIBRATION])
    return data


def check_integers(graph: Graph, name: str, x: Array, title: str) -> None:
    """Check the values of an integer input.

    title   name of the samples in messages
    Errors: E214 values that are not integers, E229 a value out of range for a reader of input
    `name`.
    """
    limits = id_limits(graph, name)
    assert limits is not None, name
    low, high = limits
    whole = x.dtype.kind in "iub" or (
        x.dtype.kind == "f" and bool(np.isfinite(x).all() and (x == np.rint(x)).all())
    )
    if not whole:
        facts = {"needs": f"whole numbers, {low} to {high}", "has": str(x.dtype)}
        raise MyoedgeError("E214", f"{title} holds no whole numbers", facts)
    least, most = (int(bound(x)) if x.size else low for bound in (np.min, np.max))
    if least < low or most > high:
        facts = {"needs": f"{low} to {high}", "has": f"{least} to {most}"}
        raise MyoedgeError("E229", f"{title} holds integers out of range", facts, IN_RANGE)


def _fit_to_input_shape(name: str, x: Array, graph: Graph, title: str) -> Array:
    shape, dtype = graph.shape(name), graph.tensors[name].dtype
    if dtype != "float32":
        check_integers(graph, name, x, title)
    elif x.dtype.kind not in "fiub":
        raise MyoedgeError(
            "E214",
            f"{title} holds {x.dtype}",
            {"needs": "float32 (or other real numbers)", "has": str(x.dtype)},
            [f"{name}{'.real' * (x.dtype.kind == 'c')}.astype(np.float32)"],
        )
    # without a batch axis of 1
    short = shape[:1] == (1,) and x.ndim == len(shape) and x.shape[1:] == shape[1:]
    if not short and (x.ndim == 0 or x.shape[1:] != shape):
        raise MyoedgeError(
            "E213",
            f"{title} does not have the shape of the model's input",
            {
                "needs": f"[{', '.join(('samples', *map(str, window(shape))))}]",
                "has": list(x.shape),
            },
            [*_shape_remedies(x, shape)],
        )
    with np.errstate(over="ignore"):
        values = (x[:, None] if short else x).astype(dtype)
    if not np.isfinite(values).all():
        bad = int(np.argmax(~np.isfinite(values).reshape(len(values), -1).all(axis=1)))
        raise MyoedgeError(
            "E216",
            f"{title} holds NaN or infinite values, as float32",
            {"first in sample": bad},
            FINITE,
        )
    return values


def _without_unit_axes(shape: Shape) -> list[int]:
    return [extent for extent in shape if extent != 1]


def _shape_remedies(x: Array, shape: Shape) -> Iterator[str]:
    """Yield remedies for samples of the wrong shape: exporting without a batch, transposing, adding
    axes of size 1."""
    short, given = window(shape), x.shape[1:]
    if shape[:1] > (1,) and given in (shape[1:], (1, *shape[1:])):
        yield from one_window()
    orders = permutations(range(1, x.ndim)) if 1 < x.ndim <= MOST_AXES else ()
    order = next((o for o in orders if tuple(x.shape[i] for i in o) == short), None)
    if order is not None:
        yield f"windows.transpose{(0, *order)}"
    elif x.ndim and _without_unit_axes(given) == _without_unit_axes(short):
        yield f"windows.reshape({', '.join(map(str, (len(x), *short)))})"
    yield "the first axis counts samples; the others are the input's own"


def one_window() -> tuple[str, str]:
    """Return the lines of code, for messages, that export a model for one window instead of a
    batch."""
    return (
        "torch.export.export(model, (example[:1],)): a batch of one",
        'torch.onnx.export(model, (example[:1],), "model.onnx")',
    )


def window(shape: Shape) -> Shape:
    """Return the shape of a sample without a leading axis of size 1."""
    return shape[1:] if shape[:1] == (1,) and len(shape) > 1 else shape


def thin(data: Data, limit: int) -> Data:
    """Select at most `limit` samples, evenly spaced over the data."""
    if data.count <= limit:
        return data
    return taken(data, np.linspace(0, data.count - 1, limit).round().astype(int), "of")


def taken(data: Data, picked: Array, relation: str) -> Data:
    """Select samples by index, and describe the selection in `source` as a part of the original
    samples: "256 of 500 samples".

    picked     indices
    relation   word between both counts: "of"
    """
    inputs = {name: x[picked] for name, x in data.inputs.items()}
    labels = None if data.labels is None else data.labels[picked]
    numbers = picked if data.numbers is None else data.numbers[picked]
    source = f"{len(picked)} {relation} {data.source.removeprefix(f'{data.count} of ')}"
    return replace(data, inputs=inputs, labels=labels, source=source, numbers=numbers)


def from_examples(graph: Graph, examples: Sequence[Array]) -> Data:
    """Return the model archive's example inputs as one sample."""
    inputs = {name: np.asarray(x)[None] for name, x in zip(graph.inputs, examples, strict=True)}
    fitted = fit(Data(inputs, None, ""), graph)
    return replace(fitted, source=f"{fitted.count} example input{'s' * (fitted.count > 1)}")
