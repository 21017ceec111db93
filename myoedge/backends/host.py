# SPDX-License-Identifier: Apache-2.0
"""The host rung: generated C as a shared library in this process, with the integers of the chip."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import DTypeLike

from myoedge.errors import MyoedgeError
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.system.library import Library, build_library, load_library, open_library, with_symbols

__all__ = [
    "Library",
    "build_library",
    "call",
    "invoke",
    "load_library",
    "open_library",
    "push",
    "reset",
    "run",
    "run_traced",
    "traced",
    "with_symbols",
]

Spec = tuple[Shape, DTypeLike]

ENTRY, PUSH = "me_run", "me_push"

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
    given, results = _plain(inputs), _room(outputs)
    invoke(library, symbol, *_addresses(given, results), l3=l3)
    return results


def push(
    library: Library, frame: Sequence[Array], outputs: Sequence[Spec], *, l3: bytes | None = None
) -> list[Array]:
    """Push a frame: `int me_push(const void *const frame[], void *const out[])`.

    frame     one of each input
    outputs   shape and dtype of what there is room for; the first axis counts frames
    -> those that are ready
    Raises E911 where me_push returns less than 0.
    """
    given, results = _plain(frame), _room(outputs)
    ready = _called(library, PUSH, *_addresses(given, results), l3=l3)
    if ready < 0:
        raise _failed(PUSH, ready)
    return [y[:ready] for y in results]


def reset(library: Library) -> None:
    """`void me_reset(void)`."""
    with library.lock:
        ctypes.CFUNCTYPE(None)(("me_reset", library.handle))()


def run_traced(
    library: Library, inputs: Sequence[Array], outputs: Sequence[Spec], l3: bytes | None = None
) -> tuple[dict[int, bytes], list[Array]]:
    """Run a network compiled with ME_TRACE: (what each layer wrote, by its number; the outputs)."""
    with traced(library) as seen:
        return seen, run(library, inputs, outputs, l3=l3)


@contextmanager
def traced(library: Library) -> Iterator[dict[int, bytes]]:
    """What each layer writes meanwhile, by its number: of C compiled with ME_TRACE."""
    seen: dict[int, bytes] = {}

    def note(layer: int, data: int, size_bytes: int) -> None:
        seen[layer] = ctypes.string_at(data, size_bytes)

    callback = _TRACE(note)
    hook = ctypes.c_void_p.in_dll(library.handle, "me_trace")
    hook.value = ctypes.cast(callback, ctypes.c_void_p).value
    try:
        yield seen
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
    returned = _called(library, symbol, inputs, outputs, l3=l3)
    if returned != 0:
        raise _failed(symbol, returned)


def _failed(symbol: str, returned: int) -> MyoedgeError:
    return MyoedgeError("E911", f"{symbol} of the generated C failed", {"returned": returned})


def _called(
    library: Library,
    symbol: str,
    inputs: Sequence[int],
    outputs: Sequence[int],
    *,
    l3: bytes | None = None,
) -> int:
    try:
        function = _SIGNATURE((symbol, library.handle))
    except AttributeError:
        raise ValueError(f"the library has no function {symbol}") from None
    addresses = [(ctypes.c_void_p * len(group))(*group) for group in (inputs, outputs)]
    with library.lock:
        if l3 is not None:  # the C may be another network's too
            ctypes.c_char_p.in_dll(library.handle, "me_l3").value = l3
        return int(function(*addresses))


def _check(inputs: Sequence[Array], takes: Sequence[Spec]) -> None:
    if len(inputs) != len(takes):
        raise ValueError(f"{len(inputs)} inputs where {len(takes)} are needed")
    for index, (array, (shape, dtype)) in enumerate(zip(inputs, takes, strict=True)):
        has, needs = (array.shape, array.dtype), (tuple(shape), np.dtype(dtype))
        if has != needs:
            raise ValueError(f"input {index} is {has[1]}{has[0]}, needs {needs[1]}{needs[0]}")


def _plain(arrays: Sequence[Array]) -> list[Array]:
    """The arrays as C reads them: contiguous, aligned, in the byte order of the machine."""
    for index, array in enumerate(arrays):
        if array.dtype.kind not in "biuf" or not array.dtype.isnative:
            raise ValueError(f"input {index} has dtype {array.dtype}, which C cannot read")
    return [np.require(array, requirements=["C", "A"]) for array in arrays]


def _room(outputs: Sequence[Spec]) -> list[Array]:
    return [np.zeros(shape, dtype) for shape, dtype in outputs]


def _addresses(*groups: Sequence[Array]) -> list[list[int]]:
    """Good as long as the arrays are held."""
    return [[array.ctypes.data for array in group] for group in groups]
