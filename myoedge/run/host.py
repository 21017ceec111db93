# SPDX-License-Identifier: Apache-2.0
"""The host rung: generated C as a shared library in this process, with the integers of the chip."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from myoedge.errors import MyoedgeError
from myoedge.ir import Array, Shape
from myoedge.library import (
    Library,
    build_library,
    load_library,
    open_library,
    with_symbols,
)

__all__ = [
    "Library",
    "build_library",
    "call",
    "invoke",
    "load_library",
    "open_library",
    "run",
    "run_traced",
    "with_symbols",
]

Spec = tuple[Shape, DTypeLike]

ENTRY = "me_run"

_SIGNATURE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_void_p)
)
_TRACE = ctypes.CFUNCTYPE(None, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32)


def run(
    library: Library,
    inputs: Sequence[Array],
    outputs: Sequence[Spec],
    *,
    takes: Sequence[Spec] | None = None,
    l3: bytes | None = None,
) -> list[Array]:
    """Run the network: `int me_run(const void *const in[], void *const out[])`; see `call`.

    l3   what l3.bin holds, for a network with weights there
    """
    return call(library, ENTRY, inputs, outputs, takes=takes, l3=l3)


def call(
    library: Library,
    symbol: str,
    inputs: Sequence[Array],
    outputs: Sequence[Spec],
    *,
    takes: Sequence[Spec] | None = None,
    l3: bytes | None = None,
) -> list[Array]:
    """Call a function with the signature of me_run on copies as C wants them.

    outputs   shape and dtype of each result, which are new arrays
    takes     shape and dtype each input must have; a difference is a ValueError
    Raises E911 where the function does not return 0.
    """
    if takes is not None:
        _check(inputs, takes)
    given = [_plain(index, array) for index, array in enumerate(inputs)]
    results: list[Array] = [np.zeros(shape, dtype) for shape, dtype in outputs]
    places = [[a.ctypes.data for a in group] for group in (given, results)]
    invoke(library, symbol, *places, l3=l3)
    return results


def run_traced(
    library: Library, inputs: Sequence[Array], outputs: Sequence[Spec], l3: bytes | None = None
) -> tuple[dict[int, bytes], list[Array]]:
    """Run a network compiled with ME_TRACE: (what each layer wrote, by its number; the outputs)."""
    seen: dict[int, bytes] = {}

    def note(layer: int, data: int, size_bytes: int) -> None:
        seen[layer] = ctypes.string_at(data, size_bytes)

    callback = _TRACE(note)
    hook = ctypes.c_void_p.in_dll(library.handle, "me_trace")
    hook.value = ctypes.cast(callback, ctypes.c_void_p).value
    try:
        return seen, run(library, inputs, outputs, l3=l3)
    finally:
        hook.value = None


def invoke(
    library: Library,
    symbol: str,
    inputs: Sequence[int],
    outputs: Sequence[int],
    *,
    l3: bytes | None = None,
) -> None:
    """Call a function with the signature of me_run on buffers by address, one call at a time."""
    try:
        function = _SIGNATURE((symbol, library.handle))
    except AttributeError:
        raise ValueError(f"the library has no function {symbol}") from None
    addresses = [(ctypes.c_void_p * len(group))(*group) for group in (inputs, outputs)]
    with library.lock:
        if l3 is not None:  # the C may be another network's too
            ctypes.c_char_p.in_dll(library.handle, "me_l3").value = l3
        returned = function(*addresses)
    if returned != 0:
        raise MyoedgeError("E911", f"{symbol} of the generated C failed", {"returned": returned})


def _check(inputs: Sequence[Array], takes: Sequence[Spec]) -> None:
    if len(inputs) != len(takes):
        raise ValueError(f"{len(inputs)} inputs where {len(takes)} are needed")
    for index, (array, (shape, dtype)) in enumerate(zip(inputs, takes, strict=True)):
        has, needs = (array.shape, array.dtype), (tuple(shape), np.dtype(dtype))
        if has != needs:
            raise ValueError(f"input {index} is {has[1]}{has[0]}, needs {needs[1]}{needs[0]}")


def _plain(index: int, array: Array) -> Array:
    """The array as C reads it: contiguous, aligned, numbers in the byte order of the machine."""
    if array.dtype.kind not in "biuf" or not array.dtype.isnative:
        raise ValueError(f"input {index} has dtype {array.dtype}, which C cannot read")
    return np.require(array, requirements=["C", "A"])
