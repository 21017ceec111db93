# SPDX-License-Identifier: Apache-2.0
"""How host and chip run the cases of the dense kernels."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from myoedge.codegen.firmware import Firmware, check_instructions, link
from myoedge.codegen.render import template_dir
from myoedge.codegen.runtime import runtime
from myoedge.numerics.arrays import Array, round_up
from myoedge.simulator.machine import simulate
from myoedge.system.library import load_library
from myoedge.targets.gap9.simulator_costs import GAP9_CYCLES
from tests.kernels.dense_cases import GAP, KERNELS, Case, Fields
from tests.kernels.drawn import kernel_files
from tests.support.guard import fenced

POINTERS = ("table", "x", "weights", "channels", "y", "scratch", "padded", "a", "b")
HEADER_WORDS = 24
ARENA, ARENA_BYTES = "me_arena", 114688

# ---- on this machine


class Scale(ctypes.Structure):
    """me_scale"""

    _fields_ = (
        ("pre", ctypes.c_int32),
        ("low", ctypes.c_int32),
        ("high", ctypes.c_int32),
        ("table", ctypes.c_void_p),
    )


SCALE = tuple(name for name, _ in Scale._fields_)


def _struct(fields: Fields, addresses: Mapping[str, int]) -> ctypes.Structure:
    """The C struct of these fields, those of me_scale in a struct of their own."""
    values = {n: addresses[v] if isinstance(v, str) else v for n, v in fields.items()}
    kinds: dict[str, Any] = {}
    for name in fields:
        if name in SCALE:
            kinds["scale"] = Scale
        else:
            kinds[name] = ctypes.c_void_p if name in POINTERS else ctypes.c_int32
    if "scale" in kinds:
        values["scale"] = Scale(*(values[n] for n in SCALE))
    kind = type("Fields", (ctypes.Structure,), {"_fields_": list(kinds.items())})
    return kind(*(values[name] for name in kinds))


@functools.cache
def host_library(optimize: str = "-O1") -> ctypes.CDLL:
    """The kernels with UBSan, compiled once."""
    from myoedge.system import tools
    from myoedge.system.toolchain import CompileOptions

    with tools.scratch() as folder:
        for file in sorted((template_dir() / "include").iterdir()):
            shutil.copy(file, folder / file.name)
        for name, text in kernel_files(*KERNELS).items():
            if not name.endswith(".S"):
                (folder / name).write_text(text)
        options = CompileOptions(sanitize=("undefined",), optimize=optimize)
        library = load_library(folder, options=options)
    return library.handle


def run_on_host(case: Case) -> Array:
    """y, all operands between guard pages and read-only, at both ends of their pages."""
    results = [_run_fenced(case, at, canary) for at, canary in (("end", 0xA5), ("start", 0x33))]
    assert results[0].tobytes() == results[1].tobytes(), case.name
    return results[0]


def _run_fenced(case: Case, at: str, canary: int) -> Array:
    given = {
        n: fenced(_shifted(v, case.shift.get(n, 0)), at, canary, writable=False)
        for n, v in case.operands.items()
    }
    y = fenced(
        np.full(case.expected.size + case.shift.get("y", 0), GAP, np.int8),
        at,
        canary,
        writable=True,
    )
    scratch = fenced(np.full(case.scratch, GAP, np.int8), at, canary, writable=True)
    padded = fenced(np.full(case.padded, GAP, np.int8), at, canary, writable=True)
    kept = {**given, "y": y, "scratch": scratch, "padded": padded}
    addresses = {name: f.address + case.shift.get(name, 0) for name, f in kept.items()}
    run = getattr(host_library(), case.kernel)
    run.restype = None
    op, tile = (_struct(fields, addresses) for fields in (case.op, case.tile))
    run(ctypes.byref(op), ctypes.byref(tile))
    for name, f in kept.items():
        assert f.intact, f"{case.name}: bytes beside {name} were written"
    return y.array[case.shift.get("y", 0) :].copy()


def _shifted(values: Array, by: int) -> Array:
    flat = values.reshape(-1).view(np.int8)
    return np.concatenate([np.full(by, GAP, np.int8), flat])


# ---- on the chip


@functools.cache
def firmware(old: str = "", new: str = "") -> Firmware:
    """programs/dense.c with the kernels on the runtime, one text of them replaced."""
    folder = template_dir()
    files = {path.name: path.read_text() for path in sorted((folder / "include").iterdir())}
    files |= kernel_files(*KERNELS)
    if old:
        assert sum(text.count(old) for text in files.values()) == 1
        files = {name: text.replace(old, new) for name, text in files.items()}
    source = (Path(__file__).parent / "programs" / "dense.c").read_text()
    made = link({**files, **runtime(), "dense.c": source})
    check_instructions(made)
    return made


@dataclass(frozen=True)
class Ran:
    """y, and the cycles of a run with cold and of one with warm instruction caches."""

    y: Array
    cold: int
    warm: int


def _image(case: Case) -> tuple[Array, dict[str, int]]:
    """L1 with the operands in it, and where they are."""
    at, places, parts = 0, {}, []
    sizes = {**case.operands, "y": case.expected, "scratch": np.empty(case.scratch, np.int8)}
    sizes["padded"] = np.empty(case.padded, np.int8)
    for name, values in sizes.items():
        start = round_up(at, 4) + 8 + case.shift.get(name, 0)
        parts.append((start, values if name in case.operands else None))
        places[name] = start
        at = start + values.nbytes
    image = np.full(round_up(at, 4) + 16, GAP, np.int8)
    assert image.size <= ARENA_BYTES, case.name
    for start, values in parts:
        if values is not None:
            image[start : start + values.nbytes] = values.reshape(-1).view(np.int8)
    return image, places


def _words(fields: Fields, places: Mapping[str, int], base: int) -> bytes:
    values = [base + places[v] if isinstance(v, str) else v or 0 for v in fields.values()]
    padded = [*values, *([0] * (HEADER_WORDS - len(values)))]
    return struct.pack(f"<{HEADER_WORDS}i", *padded)


def run_on_chip(
    cases: Sequence[Case],
    folder: Path,
    runs: int = 1,
    costs: Mapping[str, int] = GAP9_CYCLES,
    made: Firmware | None = None,
) -> list[Ran]:
    """Checks as well that nothing but y and scratch has changed."""
    program = (made or firmware()).program
    base = program.symbols[ARENA]
    images = [_image(case) for case in cases]
    with (folder / "cases.bin").open("wb") as file:
        for case, (image, places) in zip(cases, images, strict=True):
            file.write(struct.pack("<3i", KERNELS.index(case.kernel), runs, image.size))
            file.write(_words(case.op, places, base) + _words(case.tile, places, base))
            file.write(image.tobytes())
    run = simulate(program, folder=folder, cycles=costs)
    assert run.exit_code == 0, run.output
    data, results = (folder / "results.bin").read_bytes(), []
    for case, (image, places) in zip(cases, images, strict=True):
        cold, warm = struct.unpack("<2I", data[:8])
        after = np.frombuffer(data[8 : 8 + image.size], np.int8)
        data = data[8 + image.size :]
        results.append(Ran(_checked(case, image, after, places), cold, warm))
    assert not data
    return results


def _checked(case: Case, image: Array, after: Array, places: Mapping[str, int]) -> Array:
    same = after == image
    y = slice(places["y"], places["y"] + case.expected.size)
    same[y] = True
    for name, size in (("scratch", case.scratch), ("padded", case.padded)):
        same[places[name] : places[name] + size] = True
    assert same.all(), f"{case.name}: byte {np.argmin(same)} of L1 was written, {places}"
    return after[y]


def in_child(action: Callable[[], None], told: Path) -> str:
    """What went wrong in a process of its own: a fault is its status, not the end of this one."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        except BaseException as error:
            told.write_text(f"{told.read_text() if told.exists() else ''}: {error}")
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return f"status {status:#x}, {told.read_text()}" if status else ""
