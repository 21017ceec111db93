# SPDX-License-Identifier: Apache-2.0
"""The backend "host": generated C as a shared library in this process."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import DTypeLike

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.system.library import Library, build_library, load_library, open_library
from myoedge.system.toolchain import CompileOptions

__all__ = [
    "CompileOptions",
    "Library",
    "build_library",
    "invoke",
    "load_library",
    "named",
    "open_library",
    "push",
    "reset",
    "run",
    "traced",
]

Spec = tuple[Shape, DTypeLike]

_SIGNATURE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_void_p)
)
_TRACE = ctypes.CFUNCTYPE(None, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32)


def run(
    library: Library,
    inputs: Sequence[Array],
    outputs: Sequence[Spec],
    *,
    symbol: str | None = None,
    l3: bytes | None = None,
) -> list[Array]:
    """Run the generated C once: `int me_run(const void *const in[], void *const out[])`, or another
    function of this signature, on contiguous copies of the inputs.

    outputs   shape and dtype of each result, which are new arrays
    symbol    name of the function
    l3        contents of l3.bin, for a network with weights in L3
    Raises E911 if the function does not return 0.
    """
    arrays = _make_contiguous(inputs)
    results = [np.zeros(shape, dtype) for shape, dtype in outputs]
    invoke(library, symbol or named(library, "run"), *_take_addresses(arrays, results), l3=l3)
    return results


def push(
    library: Library, frame: Sequence[Array], outputs: Sequence[Spec], *, l3: bytes | None = None
) -> list[Array]:
    """Pass a frame to `int <prefix>_push(const void *const frame[], void *const out[])`.

    frame     an array for each input
    outputs   shape and dtype of the result buffers; the first axis counts frames
    -> the output frames that are ready
    Raises E911 if the function returns less than 0.
    """
    arrays = _make_contiguous(frame)
    results = [np.zeros(shape, dtype) for shape, dtype in outputs]
    symbol = named(library, "push")
    ready = _call_function(library, symbol, _take_addresses(arrays, results), l3)
    if ready < 0:
        raise _call_error(symbol, ready)
    return [y[:ready] for y in results]


def reset(library: Library) -> None:
    """Call the C function `void <prefix>_reset(void)`."""
    with library.lock:
        ctypes.CFUNCTYPE(None)((named(library, "reset"), library.handle))()


def named(library: Library, name: str) -> str:
    """Return the C name of a network's function or variable, with the network's prefix.

    name   name without prefix, such as "run"
    """
    return f"{library.prefix}_{name}"


@contextmanager
def traced(library: Library) -> Iterator[dict[int, bytes]]:
    """Context manager that collects the bytes of the results that the layers write, by number.

    library   compiled with ME_TRACE
    """
    written: dict[int, bytes] = {}

    def note(result: int, data: int, size_bytes: int) -> None:
        written[result] = ctypes.string_at(data, size_bytes)

    callback = _TRACE(note)
    hook = ctypes.c_void_p.in_dll(library.handle, named(library, "trace"))
    hook.value = ctypes.cast(callback, ctypes.c_void_p).value
    try:
        yield written
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
    """Call a function with the signature of <prefix>_run on buffer addresses; calls do not run
    concurrently."""
    returned = _call_function(library, symbol, (inputs, outputs), l3)
    if returned != 0:
        raise _call_error(symbol, returned)


def _call_error(symbol: str, returned: int) -> MyoedgeError:
    title = f"{symbol} of the generated C returned an error"
    return MyoedgeError("E911", title, {"returned": returned})


def _call_function(
    library: Library, symbol: str, groups: Sequence[Sequence[int]], l3: bytes | None
) -> int:
    try:
        function = _SIGNATURE((symbol, library.handle))
    except AttributeError:
        raise ValueError(f"the library has no function {symbol}") from None
    addresses = [(ctypes.c_void_p * len(group))(*group) for group in groups]
    with library.lock:
        if l3 is not None:  # another network may use the same library
            ctypes.c_char_p.in_dll(library.handle, named(library, "l3")).value = l3
        return int(function(*addresses))


def _make_contiguous(arrays: Sequence[Array]) -> list[Array]:
    """Return arrays as C reads them, contiguous, aligned. Errors: ValueError for other dtypes."""
    for index, array in enumerate(arrays):
        if array.dtype.kind not in "biuf" or not array.dtype.isnative:
            raise ValueError(f"input {index} has dtype {array.dtype}, which C cannot read")
    return [np.require(array, requirements=["C", "A"]) for array in arrays]


def _take_addresses(*groups: Sequence[Array]) -> list[list[int]]:
    """Return the data addresses of arrays by group, valid as long as the arrays exist."""
    return [[array.ctypes.data for array in group] for group in groups]
