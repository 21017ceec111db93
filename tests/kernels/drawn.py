# SPDX-License-Identifier: Apache-2.0
"""Cases of kernels: what they read, what they must give; run on a host and on the simulator."""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from myoedge.codegen.firmware import check_instructions, link
from myoedge.codegen.library import library_files
from myoedge.codegen.render import template_dir
from myoedge.codegen.runtime import runtime
from myoedge.numerics.arrays import Array
from myoedge.simulator.machine import simulate
from myoedge.system import toolchain, tools
from myoedge.system.library import ObjectOptions, compile_objects
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES

PROGRAMS = Path(__file__).parent / "programs"
SHIM = Path(__file__).parents[1] / "firmware" / "programs"
GUARD, GUARD_BYTE = 32, 0x5A
# pv.shuffle2.b, and one that counts the bytes of its two registers the other way round; x4 is free
SHUFFLE = "    xpulp_r 0x57, 1, 0x64, \\rd, \\a, \\order\n"
ASKED_OTHERWISE = "    xor \\order, \\order, tp\n"
REVERSED = f"    li tp, 0x04040404\n{ASKED_OTHERWISE}{SHUFFLE}{ASKED_OTHERWISE}"


@dataclass(frozen=True)
class Case:
    """One call of a kernel.

    numbers   what the program makes the kernel's structs of
    data      what lies in L1, from an address that is a multiple of 64 on
    expected  int8, flat: the bytes of the result
    """

    name: str
    numbers: tuple[int, ...]
    data: bytes
    expected: Array


@dataclass(frozen=True)
class Blob:
    """Operands behind each other, and where each of them starts."""

    data: bytes
    starts: tuple[int, ...]


def blob(*arrays: Array, shift: int = 0) -> Blob:
    """Each at a multiple of 4, and int8 ones `shift` bytes behind it."""
    data, starts = b"", []
    for array in arrays:
        data += bytes(-len(data) % 4 + (shift if array.dtype == np.int8 else 0))
        starts.append(len(data))
        data += array.tobytes()
    return Blob(data, tuple(starts))


def kernel_files(
    *kernels: str, program: str = "", generated: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The files of these kernels and of a program's text, and what they include, by name.

    generated   files that are not of the library
    """
    files = library_files([*kernels, "program"], {"program.c": program, **(generated or {})})
    named = {name.removeprefix("library/"): text for name, text in files.items()}
    return {name: text for name, text in named.items() if name != "program.c"}


def _includes() -> dict[str, str]:
    return {p.name: p.read_text() for p in sorted((template_dir() / "include").iterdir())}


def _packed(cases: Sequence[Case]) -> bytes:
    whole = b""
    for case in cases:
        head = (len(case.numbers), len(case.data), case.expected.size, 0, *case.numbers)
        whole += struct.pack(f"<{len(head)}i", *head) + case.data + bytes(-len(case.data) % 4)
    return whole


def _results(raw: bytes, cases: Sequence[Case]) -> list[tuple[Array, int]]:
    at, found = 0, []
    for case in cases:
        size = case.expected.size + 2 * GUARD
        (cycles,) = struct.unpack_from("<i", raw, at)
        found.append((np.frombuffer(raw, np.int8, size, at + 4), cycles))
        at += 4 + size + -size % 4
    assert at == len(raw)
    return found


@functools.cache
def firmware(program: str, *kernels: str) -> bytes:
    """programs/<program>.c with the library on the runtime, as an ELF."""
    return firmware_of((PROGRAMS / f"{program}.c").read_text(), *kernels)


def firmware_of(
    text: str, *kernels: str, shuffle: str = SHUFFLE, generated: Mapping[str, str] | None = None
) -> bytes:
    """A program that includes drawn.h with the library on the runtime, as an ELF.

    shuffle   body of the macro of pv.shuffle2.b
    """
    own = {"drawn.h": (PROGRAMS / "drawn.h").read_text(), "program.c": text}
    library = kernel_files(*kernels, program=text, generated=generated)
    assert sum(file.count(SHUFFLE) for file in library.values()) <= 1
    library = {name: file.replace(SHUFFLE, shuffle) for name, file in library.items()}
    made = link({**_includes(), **runtime(), **library, **own})
    check_instructions(made)
    return made.elf


def on_simulator(
    program: str,
    kernels: Sequence[str],
    cases: Sequence[Case],
    folder: Path,
    costs: Mapping[str, int] = GAP9_CYCLES,
) -> list[tuple[Array, int]]:
    """(bytes with guards, cycles) of every case."""
    return simulated(firmware(program, *kernels), cases, folder, costs)


def on_simulator_reversed(
    program: str, kernels: Sequence[str], cases: Sequence[Case], folder: Path
) -> list[tuple[Array, int]]:
    """The same where pv.shuffle2.b counts the bytes of its two registers the other way round."""
    text = (PROGRAMS / f"{program}.c").read_text()
    return simulated(firmware_of(text, *kernels, shuffle=REVERSED), cases, folder)


def simulated(
    elf: bytes, cases: Sequence[Case], folder: Path, costs: Mapping[str, int] = GAP9_CYCLES
) -> list[tuple[Array, int]]:
    """As on_simulator, of a program's ELF."""
    (folder / "cases.bin").write_bytes(_packed(cases))
    assert simulate(elf, folder=folder, cycles=costs).exit_code == 0
    return _results((folder / "results.bin").read_bytes(), cases)


def on_host(
    program: str, kernels: Sequence[str], cases: Sequence[Case], folder: Path
) -> list[tuple[Array, int]]:
    """The same by the C bodies, where undefined behaviour ends the program."""
    return _on_host(program, kernels, cases, folder, "", ())


def on_host_as_sdk(
    program: str, kernels: Sequence[str], cases: Sequence[Case], folder: Path
) -> list[tuple[Array, int]]:
    """The C bodies with the builtins of the SDK's compiler, which a shim stands in for."""
    start = '#define ME_SDK\n#include "sdk_shim.h"\n'
    return _on_host(
        program, kernels, cases, folder, start, (SHIM / "sdk_shim.h", SHIM / "sdk_shim.c")
    )


def _on_host(
    program: str,
    kernels: Sequence[str],
    cases: Sequence[Case],
    folder: Path,
    start: str,
    shim: tuple[Path, ...],
) -> list[tuple[Array, int]]:
    headers = {path.name: path.read_text() for path in (PROGRAMS / "drawn.h", *shim)}
    text = (PROGRAMS / f"{program}.c").read_text()
    files = {**_includes(), **kernel_files(*kernels, program=text), **headers}
    for name, written in files.items():
        is_kernel = name.endswith(".c") and name.startswith("me_")
        (folder / name).write_text(start + written if is_kernel else written)
    source, binary = folder / f"{program}.c", folder / "host"
    source.write_text(start + text)
    cc = toolchain.compiler()
    options = toolchain.CompileOptions(sanitize=("undefined",))
    others = sorted(file for file in folder.glob("*.c") if file != source)
    shared = ObjectOptions(folder, cc, options.flags(cc), (folder,))
    objects, done = compile_objects(others, shared)
    assert done.returncode == 0, done.stderr
    # zig makes its run-time library for each way of linking: 20 s where that is optimised, or 4.
    link = replace(options, optimize="-O1").flags(cc)
    main, done = compile_objects([source], replace(shared, flags=link))
    assert done.returncode == 0, done.stderr
    done = toolchain.compile_sources([*main, *objects], binary, cc, link)
    assert done.returncode == 0, done.stderr
    (folder / "cases.bin").write_bytes(_packed(cases))
    ran = tools.run([str(binary)], cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return _results((folder / "results.bin").read_bytes(), cases)


RUNS = (on_host, pytest.param(on_host_as_sdk, marks=pytest.mark.slow), on_simulator)
SHUFFLED_RUNS = (*RUNS, on_simulator_reversed)


def check(cases: Sequence[Case], found: Sequence[tuple[Array, int]]) -> None:
    """Every byte as expected, every guard untouched."""
    for case, (whole, _) in zip(cases, found, strict=True):
        guards = np.concatenate([whole[:GUARD], whole[-GUARD:]])
        assert (guards == GUARD_BYTE).all(), f"{case.name}: wrote outside"
        y = whole[GUARD:-GUARD]
        wrong = np.flatnonzero(y != case.expected.reshape(-1))
        assert wrong.size == 0, f"{case.name}: {wrong.size} of {y.size} differ, first {wrong[:8]}"
