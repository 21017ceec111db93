# SPDX-License-Identifier: Apache-2.0
"""Samples in memory: lists, and torch's Dataset and DataLoader, recognised by methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.quantization.recordings.reading import ONLY, Reading, check_size, is_array, plain
from myoedge.system.user_code import UserFunction, cause_of

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
