# SPDX-License-Identifier: Apache-2.0
"""Generated C between guard pages: a step over either end of a buffer is a fault, not a guess."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import DTypeLike

from myoedge.backends.host import Library, Spec, invoke
from myoedge.errors import MyoedgeError
from myoedge.numerics.arrays import Array
from myoedge.system import toolchain, tools
from myoedge.system.library import ObjectOptions, compile_objects

Placement = Literal["start", "end"]

PROT_NONE, PROT_READ = 0, 1
TRAPS = (-signal.SIGILL, -signal.SIGTRAP)  # by clang's UBSan without messages: x86-64, AArch64
ALIGNMENT = 4  # the C asks for no more; wider elements get their own
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Fenced:
    """An array in pages of its own, with a page nobody may touch before and behind them."""

    array: Array
    slack: tuple[Array, ...]
    canary: int

    @property
    def address(self) -> int:
        return int(self.array.ctypes.data)

    @property
    def intact(self) -> bool:
        return all(bool((part == self.canary).all()) for part in self.slack)


def fenced(array: Array, at: Placement, canary: int, *, writable: bool) -> Fenced:
    """A copy of the array right behind the first guard page, or right before the last.

    Before the last, up to three bytes are left where the size is not a multiple of four; these
    and the rest of the pages hold the canary.
    """
    size, page = array.nbytes, mmap.PAGESIZE
    body = max(page, -(-size // page) * page)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = np.frombuffer(mmap.mmap(-1, body + 2 * page, flags=flags), np.uint8)
    align = max(ALIGNMENT, array.dtype.alignment)
    start = page if at == "start" else page + (body - size) // align * align
    memory[page : page + body] = canary
    view = memory[start : start + size].view(array.dtype).reshape(array.shape)
    view[...] = array
    base = int(memory.ctypes.data)
    _protect(base, page, PROT_NONE)
    _protect(base + page + body, page, PROT_NONE)
    if not writable:
        _protect(base + page, body, PROT_READ)
    return Fenced(view, (memory[page:start], memory[start + size : page + body]), canary)


def _protect(address: int, size: int, rights: int) -> None:
    if _LIBC.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), rights) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")


@contextmanager
def guarded(
    arrays: Sequence[Array], at: Placement, canary: int = 0xA5, *, writable: bool = False
) -> Iterator[list[Fenced]]:
    """Fenced copies of the arrays, checked for touched canaries at the end."""
    copies = [fenced(array, at, canary, writable=writable) for array in arrays]
    yield copies
    for index, copy in enumerate(copies):
        assert copy.intact, f"bytes beside buffer {index} (at the {at} of its pages) were written"


def run_guarded(
    library: Library, symbol: str, inputs: Sequence[Array], outputs: Sequence[Spec]
) -> list[Array]:
    """The results of a function, run with its buffers at both ends of their pages.

    Unwritten outputs and reads of the slack show as a difference of the two runs, as their
    canaries differ; writes to an input fault.
    """
    last = _run_at("end", 0xA5, library, symbol, inputs, outputs)
    first = _run_at("start", 0x5A, library, symbol, inputs, outputs)
    for index, (one, two) in enumerate(zip(last, first, strict=True)):
        same = one.tobytes() == two.tobytes()
        assert same, f"{symbol}: output {index} depends on what lies around the buffers"
    return last


def _run_at(
    at: Placement,
    canary: int,
    library: Library,
    symbol: str,
    inputs: Sequence[Array],
    outputs: Sequence[Spec],
) -> list[Array]:
    blank = [_filled(shape, dtype, canary) for shape, dtype in outputs]
    with guarded(inputs, at, canary) as given, guarded(blank, at, canary, writable=True) as made:
        invoke(library, symbol, [g.address for g in given], [m.address for m in made])
        return [m.array.copy() for m in made]


def _filled(shape: tuple[int, ...], dtype: DTypeLike, canary: int) -> Array:
    array: Array = np.empty(shape, dtype)
    array.reshape(-1).view(np.uint8)[...] = canary
    return array


# argc is 1 without arguments: then the last byte is written, else the byte after it.
_PLANTED_OVERFLOW = """\
#include <stdlib.h>
int main(int argc, char **argv) {
    volatile char *block = malloc(8);
    (void)argv;
    block[6 + argc] = 1;
    free((void *)block);
    return 0;
}
"""


@functools.cache
def can_asan(cc: toolchain.Compiler) -> bool:
    """Whether AddressSanitizer stops a planted heap overflow; tried once a process."""
    with tools.scratch() as folder:
        source, program = folder / "planted.c", folder / "planted"
        source.write_text(_PLANTED_OVERFLOW, encoding="utf-8")
        flags = toolchain.CompileOptions(sanitize=("address",)).flags(cc)
        done = toolchain.compile_sources([source], program, cc, flags)
        if done.returncode != 0:
            return False
        # Looking for leaks needs ptrace, which containers often forbid.
        env = {"ASAN_OPTIONS": "detect_leaks=0"}
        clean = tools.run([program], cwd=folder, env=env, timeout_s=60)
        caught = tools.run([program, "overflow"], cwd=folder, env=env, timeout_s=60)
    return clean.returncode == 0 and "heap-buffer-overflow" in caught.stderr


def run_sanitized(src: Path) -> tools.CompletedProcess:
    """The self-test of generated C with both sanitizers; skips where the system's compiler has
    none. Objects of kernels are compiled once for all networks."""
    try:
        cc = toolchain.compiler("cc")
    except MyoedgeError as error:
        pytest.skip(str(error))
    if not can_asan(cc):
        pytest.skip("the system's compiler does not catch a planted overflow")
    options = toolchain.CompileOptions(sanitize=("address", "undefined"), optimize="-O0")
    flags = options.flags(cc)
    kernels = ObjectOptions(src.resolve(), cc, flags, [src, src / "library"])
    sources = [*src.resolve().glob("library/*.c"), *src.resolve().glob("*.c")]
    objects, finished = compile_objects(sorted(sources), kernels)
    assert finished.returncode == 0, finished.stderr
    with tools.scratch() as folder:
        program = folder / "selftest"
        done = toolchain.compile_sources(objects, program, cc, flags)
        assert done.returncode == 0, done.stderr
        return tools.run([str(program)], cwd=src)


def asan_at_hand() -> dict[str, str]:
    """The environment for a library that the system's compiler built; skips where it cannot."""
    try:
        cc = toolchain.compiler("cc")
    except MyoedgeError as error:
        pytest.skip(error.notice.title)
    if cc.is_clang or not can_asan(cc):
        pytest.skip(f"no AddressSanitizer to load first in {cc.version}")
    return asan_environment(cc)


def asan_environment(cc: toolchain.Compiler) -> dict[str, str]:
    """What a Python process needs in its environment to load a library gcc built with ASan.

    Only gcc has a libasan.so that can be loaded first.
    """
    asked = [*cc.command, "-print-file-name=libasan.so"]
    found = tools.run(asked, cwd=Path.cwd(), timeout_s=60).stdout.strip()
    if not os.path.isabs(found):
        raise FileNotFoundError(f"libasan.so of {cc.version}")
    return {"LD_PRELOAD": found, "ASAN_OPTIONS": "detect_leaks=0"}
