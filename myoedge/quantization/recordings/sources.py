# SPDX-License-Identifier: Apache-2.0
"""Samples from any source that a user may pass: files, folders, arrays, functions, lists, and
torch's Dataset and DataLoader, recognised by methods."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.files import files_of, read_file
from myoedge.quantization.recordings.reading import (
    LABEL,
    MAKE_CALIBRATION,
    ONLY,
    Content,
    Reading,
    check_size,
    factor_of,
    found_name,
    is_array,
    no_such_name,
    one_each,
    plain,
)
from myoedge.quantization.samples import Data, Given
from myoedge.system.user_code import NAME, UserFunction, cause_of

# --- in memory ------------------------------------------------------------------------------------


PAIR = "calib={'input': windows, 'label': classes}"
ITEMS = "items that are a window, (window, class), or {'input': window, 'label': class}"
FEWER = "torch.utils.data.Subset(data, range(256)): some hundred windows of every class are enough"
KINDS = "a file, array or tensor, arrays by name, a list, Dataset or DataLoader, or a function"


def is_collection(given: object) -> bool:
    """Return whether an object iterates over samples or batches of samples."""
    return hasattr(given, "__iter__") or hasattr(given, "__getitem__")


def collected(given: Any, reading: Reading) -> dict[str, Array]:
    """Collect the samples of an iterable as the array "input"; second elements of pairs become the
    labels.

    Items of a DataLoader are batches, as are items of a list whose first axes differ. Errors: E216
    masked values, E247 too large, E248 the object raises an error or has no samples.
    """
    is_pair = isinstance(given, tuple) and len(given) == 2
    tries = (PAIR, ITEMS) if is_pair else (ITEMS,)
    named = UserFunction(type(given).__name__, "the given", "E248", tries)
    parts: dict[str, list[Array]] = {}
    count, total_bytes = 0, 0
    with named.guarded("raised an error"):
        for item in _iterate_items(given):
            arrays = _arrays_by_name(item, str(reading.label), named)
            for name, x in arrays.items():
                parts.setdefault(name, []).append(x)
                total_bytes += x.nbytes
            count += 1
            check_size(f"this {named.name}", total_bytes, (FEWER,), reading)
    if any(len(each) != count for each in parts.values()):
        raise named.error("has items with different names", f"it gives {', '.join(parts)}")
    batched = getattr(given, "batch_size", None) or getattr(given, "batch_sampler", None)
    return {name: _join_parts(each, bool(batched), named) for name, each in parts.items()}


def not_samples(given: object) -> MyoedgeError:
    """Return error E248 for an object that is neither array, file nor collection."""
    facts = {"needs": KINDS, "has": type(given).__name__}
    return MyoedgeError(
        "E248",
        "this object gives no samples",
        facts,
        ["calib=windows  # an array or tensor [samples, *input shape]"],
    )


def _iterate_items(given: Any) -> Iterator[Any]:
    """Yield all items of a collection; a Dataset is indexed up to its length, because it may not
    raise IndexError."""
    if hasattr(given, "__len__") and hasattr(given, "__getitem__"):
        yield from (given[i] for i in range(len(given)))
    else:
        yield from given


def _arrays_by_name(item: Any, label: str, named: UserFunction) -> dict[str, Array]:
    """Return the arrays of an item by name: a mapping, a pair (sample, label), or one array."""
    if isinstance(item, Mapping):
        pairs = {str(name): x for name, x in item.items()}
    elif isinstance(item, tuple | list) and item and is_array(item[0]):
        if len(item) > 2:
            raise named.error("has items that are no samples", f"a tuple of {len(item)}")
        pairs = dict(zip((ONLY, label), item, strict=False))
    else:
        pairs = {ONLY: item}
    arrays = {name: plain(x, f"{name} of {named.name}") for name, x in pairs.items()}
    if any(x.dtype == object for x in arrays.values()):
        raise named.error("has items that are no samples", f"it gives {type(item).__name__}")
    return arrays


def _join_parts(parts: Sequence[Array], batched: bool, named: UserFunction) -> Array:
    """Stack samples, or concatenate batches."""
    shapes = {x.shape for x in parts}
    rest = {x.shape[1:] for x in parts}
    is_concatenated = batched or (len(shapes) > 1 and len(rest) == 1)
    try:
        return np.concatenate(parts) if is_concatenated else np.stack(parts)
    except ValueError as error:
        raise named.error("has items of different shapes", cause_of(error)) from None


# --- sources --------------------------------------------------------------------------------------


AS_GIVEN = Reading()
RETURNS = "return {'input': windows, 'label': classes}  # float32 [samples, *input shape]"


def read(given: Given, reading: Reading = AS_GIVEN) -> Data:
    """Read samples from files or memory, scaled to the unit of training; `fit` checks their shapes
    later.

    Errors: E210, E211, E215 .. E217, E246, E247 files, E248 a function or object without samples,
    E501 without scipy.
    """
    if isinstance(given, Data):
        return given
    data = _read_source(given, reading)
    if not reading.scales:
        return data
    pairs = ", ".join(f"{factor:g} ({pattern})" for pattern, factor in reading.scales)
    source = f"{data.source}, times {pairs.removesuffix(' (*)')}"
    return replace(data, source=source, scales=reading.scales)


def _read_source(given: Given, reading: Reading) -> Data:
    if is_function(given):
        named = _user_function(str(given))
        return _call_user_function(named.imported(), named, reading)
    if isinstance(given, str | os.PathLike):
        return _read_files(Path(given), reading)
    if not is_array(given) and not isinstance(given, Mapping) and callable(given):
        named = _user_function(getattr(given, "__qualname__", type(given).__name__))
        return _call_user_function(given, named, reading)
    return _read_object(given, reading)


def _read_object(given: Any, reading: Reading) -> Data:
    """Read samples from an array or tensor, a mapping of arrays, or a collection. Errors: E216,
    E247, E248."""
    if is_array(given):
        title = "the array given"
        return _separate_labels(Content({ONLY: plain(given, title)}), title, reading)
    if isinstance(given, Mapping):
        given_arrays = _user_function("of arrays by name")
        with given_arrays.guarded("has a value that is no array"):
            arrays = {str(name): plain(x, f"array {name}") for name, x in given.items()}
        return _separate_labels(Content(arrays), "the arrays given", reading)
    if isinstance(given, bytes) or not is_collection(given):
        raise not_samples(given)
    return _separate_labels(
        Content(collected(given, reading)), f"the {type(given).__name__}", reading
    )


def is_function(given: object) -> bool:
    """Return whether a text names a Python function (pkg.mod:fn) and not a file."""
    return isinstance(given, str) and bool(NAME.fullmatch(given)) and not Path(given).exists()


def _user_function(name: str) -> UserFunction:
    tries = ("--calib pkg.mod:windows, a function without arguments", RETURNS)
    return UserFunction(name, "--calib", "E248", tries)


def _call_user_function(function: Callable[[], Any], named: UserFunction, reading: Reading) -> Data:
    """Call a user's function and return its array, or arrays by name, as samples. Errors: E248."""
    with named.guarded("raised an error"):
        made = function()
    arrays = made if isinstance(made, Mapping) else {ONLY: made}
    try:
        found = {str(n): plain(x, f"array {n} of {named.name}") for n, x in arrays.items()}
    except MyoedgeError:
        raise
    except Exception as error:  # lists of different lengths, tensors that need gradients
        raise named.error("did not return arrays", cause_of(error)) from None
    inputs = [x for name, x in found.items() if name != str(reading.label)]
    if any(x.dtype.kind not in "fiubc" for x in inputs):
        raise named.error("did not return arrays", f"it returned {type(made).__name__}")
    return _separate_labels(Content(found), named.name, reading)


def _read_files(path: Path, reading: Reading) -> Data:
    files = files_of(path)
    read_files = []
    total_bytes = 0
    for file in files:
        found = _separate_labels(read_file(file, reading), file.name, reading)
        total_bytes += sum(x.nbytes for x in found.inputs.values())
        tries = (f"--calib {quote(str(file))}  # one of {len(files)} files",)
        check_size(str(path), total_bytes, tries, reading)
        read_files.append(found)
    return read_files[0] if path.is_file() else _join_files(read_files, path, reading)


def _check_equal_files(first: Data, part: Data, path: Path, reading: Reading) -> None:
    if (has := _describe_arrays(part)) != (needs := _describe_arrays(first)):
        tries = [f"--calib {quote(str(path / part.source))}"] if path.is_dir() else []
        raise _unequal_files_error(path, {first.source: needs, part.source: has}, tries)
    if reading.columns is None and part.columns != first.columns:
        names = {p.source: ", ".join(p.columns) for p in (first, part)}
        raise _unequal_files_error(path, names, [*_column_remedies(first, part)])


def _join_files(parts: Sequence[Data], path: Path, reading: Reading) -> Data:
    """Concatenate the data of several files.

    Errors: E218 labels, E246 if names or shapes of their arrays, or columns, differ.
    """
    first = parts[0]
    for part in parts:
        _check_equal_files(first, part, path, reading)
        _check_labels(part)
    inputs = {
        name: np.concatenate([np.atleast_1d(p.inputs[name]) for p in parts])
        for name in first.inputs
    }
    labels = None
    if first.labels is not None:
        labels = np.concatenate([p.labels for p in parts if p.labels is not None])
    files = f"{len(parts)} file{'s' if len(parts) > 1 else ''} of {path.name or path}"
    return replace(
        first, inputs=inputs, labels=labels, source=files, lengths=tuple(map(_count_samples, parts))
    )


def _column_remedies(first: Data, part: Data) -> Iterator[str]:
    """Yield remedies for files whose columns differ in name or order.

    Column numbers are suggested only if there is no label column, which they would count.
    """
    if {*first.columns} == {*part.columns}:
        yield f"[calib] columns = {json.dumps(first.columns, ensure_ascii=False)}"
    if first.labels is None:
        yield f"[calib] columns = {[*range(len(first.columns))]}  # by place"
    yield "the same names in the first line of all files"


def _unequal_files_error(
    path: Path, facts: Mapping[str, str], tries: Sequence[str]
) -> MyoedgeError:
    return MyoedgeError("E246", f"files of {path} do not go together", facts, tries)


def _count_samples(data: Data) -> int:
    """Return the number of samples, or of rows, in a file."""
    first = next(iter(data.inputs.values()), data.labels)
    return 0 if first is None else len(np.atleast_1d(first))


def _check_labels(part: Data) -> None:
    """Raise E218 if the numbers of labels and samples in a file differ, which would shift the
    labels of later files."""
    if part.labels is not None and len(part.labels) != _count_samples(part):
        facts = {"samples": _count_samples(part), LABEL: len(part.labels)}
        title = f"{part.source}: the labels are not one for every sample"
        raise MyoedgeError("E218", title, facts, one_each(part.labels, _count_samples(part)))


def _describe_arrays(data: Data) -> str:
    """Describe the names and shapes of the arrays, without the sample axis, as text."""
    labels = {} if data.labels is None else {LABEL: data.labels}
    arrays = {**data.inputs, **labels}.items()
    return ", ".join(f"{name} [{', '.join(['..', *map(str, x.shape[1:])])}]" for name, x in arrays)


def _separate_labels(content: Content, source: str, reading: Reading) -> Data:
    """Separate the labels, and select the array that [calib] names.

    Errors: E211 no array of that name, E215 without samples.
    """
    arrays, named = dict(content.arrays), str(reading.label)
    has_label = found_name(arrays, named) is not None
    labels = _take_array(arrays, source, named) if has_label or named != LABEL else None
    if reading.array is not None:
        arrays = {ONLY: _take_array(arrays, source, reading.array)}
    if not arrays and labels is None:
        raise MyoedgeError("E215", f"{source} holds no arrays", tries=[MAKE_CALIBRATION])
    if labels is not None:
        labels = np.asarray(labels)
        frames = labels[0].size if labels.ndim > 1 and len(labels) else 1
        labels = labels.reshape(len(labels), -1) if frames > 1 else labels.reshape(-1)
    names = reading.classes
    found = Data(arrays, labels, source, class_names=names)
    found = replace(found, columns=content.columns, aside=content.aside)
    return _scale_data(found, reading)


def _scale_data(data: Data, reading: Reading) -> Data:
    """Scale the data to the unit of training. Errors: E232 a scale for several arrays."""
    factor = factor_of(reading.scales, data.source)
    if factor == 1.0:
        return data
    if len(data.inputs) > 1:
        facts = {"needs": "one array", "has": ", ".join(data.inputs)}
        tries = ["scale each array before it is written to the file"]
        raise MyoedgeError("E232", "[calib] scale is for one input", facts, tries)
    inputs = {n: x * factor if x.dtype.kind in "fiu" else x for n, x in data.inputs.items()}
    return replace(data, inputs=inputs)


def _take_array(arrays: dict[str, Array], source: str, name: str) -> Array:
    """Remove an array from a mapping and return it; case and blanks of its name do not count.
    Errors: E211 if there is none of this name."""
    found = found_name(arrays, name)
    if found is None:
        raise no_such_name(source, name, ", ".join(arrays))
    return arrays.pop(found)
