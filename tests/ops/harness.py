# SPDX-License-Identifier: Apache-2.0
"""Many cases of an operator: drawn, compiled as one translation unit, run between guard pages."""

from __future__ import annotations

import os
import pickle
import shutil
import warnings
import zlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from myoedge.backends import host
from myoedge.codegen.addresses import Outside
from myoedge.codegen.job_tables import slots
from myoedge.codegen.library import called, headers, library_files
from myoedge.codegen.names import arrays, function_name
from myoedge.codegen.network import layer_fields
from myoedge.codegen.render import C_TYPES, initializer, template_dir
from myoedge.codegen.tiled_layer import OutsideL1, tiled_layer
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.cases import Draw, drawn_uses
from myoedge.operators.kernel import Operand, Written
from myoedge.plan.l1.layer_kernels import NetworkKernels
from myoedge.plan.l1.layers import plan_l1
from myoedge.plan.l1.tiling import Tiling
from myoedge.system import toolchain
from myoedge.system.library import ObjectOptions, compile_objects
from myoedge.targets import find_chip
from tests.ops.case import Case
from tests.support.guard import run_guarded

ARGUMENTS = "(const void *const in[], void *const out[])"


USES = drawn_uses()
BATCH = 6  # operators of a batch


def batches(names: Sequence[str]) -> list[list[str]]:
    """Operators whose cases are one C program: a compiler's start costs as much as ten cases."""
    return [[*names[at : at + BATCH]] for at in range(0, len(names), BATCH)]


class Layer(Protocol):
    """A quantised layer and its operands."""

    @property
    def step(self) -> QuantizedNode: ...

    @property
    def data(self) -> Sequence[Array]: ...

    @property
    def size(self) -> int: ...


REPLACED: dict[str, Path] = {}  # headers and kernels of another chip than a host, by name
GUARD_BYTES = 4096  # behind the buffers of a case, in which no kernel may write
GUARDS = f"""
static void guard(int at) {{ memset(me_l1 + at, 0x5A, {GUARD_BYTES}); }}
static int guarded(int at)
{{
    for (int i = at; i < at + {GUARD_BYTES}; i++)
        if (me_l1[i] != 0x5A)
            return 1;
    return 0;
}}
"""


@cache
def drawn(op: str, count: int, number: int = 0) -> tuple[Case, ...]:
    """`count` cases of an operator, all different; the same for the same number."""
    draw = Draw(np.random.default_rng([zlib.crc32(op.encode()), number]))
    found: dict[str, Case] = {}
    while len(found) < count:
        case = Case(**vars(USES[op](draw)))
        found[repr(case)] = case
    return tuple(found.values())


HOST = find_chip("host")


def on_host(case: Layer) -> Tiling:
    """The case as one tile of operands where they lie."""
    (tiling,) = plan_l1(NetworkKernels.of([case.step], HOST), 0)
    assert tiling is not None
    return tiling


def generated(tilings: Sequence[Tiling]) -> dict[str, str]:
    """File name -> text of the C that is outside the library."""
    return {name: text for tiling in tilings for name, text in tiling.kernel.sources.items()}


def c_text(cases: Sequence[Layer], tilings: Sequence[Tiling]) -> str:
    """One file with a function case_<index> for every case."""
    names = sorted({tiling.kernel.function for tiling in tilings if not tiling.kernel.jobs})
    each = enumerate(zip(cases, tilings, strict=True))
    functions = [_functions(index, *pair) for index, pair in each]
    size = max((b.offset + b.size_bytes for t in tilings for b in t.buffers), default=0) or 1
    unions = [slots(max(1, *(words for words, _ in functions)))] * any(
        x.kernel.jobs for x in tilings
    )
    unions += [
        f"static union {{ {' '.join(f'{n}{end} {n};' for n in names)} }} {variable};"
        for end, variable in (("_params", "me_op[2]"), ("_tile", "me_tile[2]"))
        if names
    ]
    kernels = headers(called(tilings), generated(tilings))
    head = ("me_math.h", "me_share.h", *kernels, "me_tiles.h")
    lines = ["#include <string.h>", *(f'#include "{name}"' for name in head)]
    lines += [f"_Alignas(16) static int8_t me_l1[{size} + {GUARD_BYTES}];", GUARDS]
    return "\n".join([*lines, *unions, *(text for _, texts in functions for text in texts)])


def _functions(index: int, case: Layer, tiling: Tiling) -> tuple[int, list[str]]:
    """Words of the case's longest table of jobs, and its C."""
    fn, step = function_name(index, case.step), case.step
    texts = [array_text(*x) for x in arrays(index, step, tiling.kernel.arrays).items()]

    def base(operand: Operand, stays: bool = False) -> Outside:
        if isinstance(operand.source, Written):
            return Outside(f"(int8_t *)me_out[{operand.source.number}]")
        if isinstance(operand.source, int):
            return Outside(f"(const int8_t *)me_in[{operand.source}]")
        return Outside(f"(const int8_t *){fn}_{operand.source}")

    scratch, size_bytes = (
        f"scratch_{index}" * bool(tiling.l2_scratch_bytes),
        tiling.l2_scratch_bytes,
    )
    if scratch:
        texts.append(f"static _Alignas(16) int8_t {scratch}[{size_bytes}];")
    layer = tiled_layer(index, step, tiling, base, outside=OutsideL1(scratch))
    texts.append(layer.text)
    fields = " ".join(layer_fields(fn, tiling, layer))
    texts.append(f"static const me_layer layers_{index}[] = {{ {{ {fields} }}, {{ 0 }} }};")
    begin = f"me_tiles_begin(layers_{index}, in, out);"
    # fields that a kernel reads are all written for it
    there = ("me_jobs",) if tiling.kernel.jobs else ("me_op", "me_tile")
    poisoned = " ".join(f"memset({name}, 0xA5, sizeof {name});" for name in there)
    end = max((b.offset + b.size_bytes for b in tiling.buffers), default=0)
    call = f"{poisoned}\n    guard({end});\n    {begin}\n    me_run_layer(layers_{index}, 0);"
    name = f"int case_{index}{ARGUMENTS}"
    texts.append(f"{name};\n{name}\n{{\n    {call}\n    return guarded({end});\n}}\n")
    return layer.job_words, texts


def array_text(name: str, values: Array) -> str:
    """A constant array of a file of its own."""
    kind = C_TYPES[str(values.dtype)]
    return f"static const {kind} {name}[{values.size}] = {{\n{initializer(values)}\n}};"


def run_c(
    cases: Sequence[Layer],
    folder: Path,
    optimize: str,
    tilings: Sequence[Tiling] | None = None,
) -> list[Array]:
    """Every case's (first) result by the generated C, as `run_results`.

    tilings   None: of a host
    """
    return [first for first, *_ in run_results(cases, folder, optimize, tilings)]


def run_results(
    cases: Sequence[Layer],
    folder: Path,
    optimize: str,
    tilings: Sequence[Tiling] | None = None,
) -> list[list[Array]]:
    """Every case's results by the generated C, with UBSan, in a process of its own.

    A fault (a guard page, a finding of UBSan) is an AssertionError that names the case.
    """
    tilings = [on_host(case) for case in cases] if tilings is None else tilings
    return _in_child(cases, compiled(cases, folder, optimize, tilings), folder)


def compiled(
    cases: Sequence[Layer], folder: Path, optimize: str, tilings: Sequence[Tiling]
) -> Path:
    """A library with a function case_<index> for every case, with UBSan."""
    files = library_files(called(tilings), generated(tilings))
    for path, text in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    alone, together = _apart(files, generated(tilings))
    (folder / "generated.c").write_text(together)
    (folder / "cases.c").write_text(c_text(cases, tilings))
    shutil.copytree(template_dir() / "include", folder / "include", dirs_exist_ok=True)
    for place in [*(folder / "include").iterdir(), *(folder / path for path in files)]:
        if own := REPLACED.get(place.name):
            shutil.copyfile(own, place)
    for folder_of_kernels in {(folder / path).parent for path in files}:
        for name, own in REPLACED.items():  # headers that kernels of the chip include
            if own.suffix == ".h" and not (folder / "include" / name).exists():
                shutil.copyfile(own, folder_of_kernels / name)
    root, library, cc = folder.resolve(), folder / "cases.so", toolchain.compiler("zig")
    include = [root / "include", root]
    options = toolchain.CompileOptions(sanitize=("undefined",), optimize=optimize)
    # UBSan names lines without debug information, a sixth of a compilation
    kernels = ObjectOptions(root, cc, ("-fPIC", *options.flags(cc), "-g0"), include)
    objects, finished = compile_objects([root / name for name in (*alone, "generated.c")], kernels)
    assert finished.returncode == 0, finished.stderr[:4000]
    calls = replace(options, optimize="-O0")  # of kernels, which are optimised; eight times faster
    unoptimised = replace(kernels, flags=("-fPIC", *calls.flags(cc), "-g0"))
    cases_object, finished = compile_objects([root / "cases.c"], unoptimised)
    assert finished.returncode == 0, finished.stderr[:4000]
    finished = toolchain.compile_library([*cases_object, *objects], library, cc, calls)
    assert finished.returncode == 0, finished.stderr[:4000]
    return library


def _apart(files: Collection[str], generated: Collection[str]) -> tuple[list[str], str]:
    """C files that are objects of their own, and the text of one that includes all generated ones:
    a compiler's start costs more than a generated function."""
    names = [name for name in files if name.endswith(".c")]
    alone = [name for name in names if Path(name).name not in generated]
    return alone, "".join(f'#include "{name}"\n' for name in names if name not in alone)


def _in_child(cases: Sequence[Layer], library: Path, folder: Path) -> list[list[Array]]:
    progress, results = folder / "progress", folder / "results"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child only calls the library
        child = os.fork()
    if child == 0:
        code = 1
        try:
            made = _run_all(cases, host.open_library(library), progress)
            results.write_bytes(pickle.dumps(made))
            code = 0
        except BaseException as error:
            progress.write_text(f"{progress.read_text()}: {error}")
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status:
        place = progress.read_text()
        index = int(place.split(":")[0])
        raise AssertionError(f"case {place} ended with status {status:#x}: {cases[index]}")
    return list(pickle.loads(results.read_bytes()))


def _run_all(cases: Sequence[Layer], library: host.Library, progress: Path) -> list[list[Array]]:
    made = []
    for index, case in enumerate(cases):
        progress.write_text(str(index))
        specs = [(x.out, x.element_type.dtype.name) for x in case.step.results]
        made.append(run_guarded(library, f"case_{index}", case.data, specs))
    return made


def mismatches(cases: Sequence[Layer], expected: Sequence[Array], got: Sequence[Array]) -> str:
    """What differs, the smallest case first; empty where nothing does."""
    wrong = [
        (case.size, index)
        for index, (case, y, c) in enumerate(zip(cases, expected, got, strict=True))
        if y.dtype != c.dtype or y.shape != c.shape or not np.array_equal(y, c)
    ]
    lines = [_told(i, cases[i], expected[i], got[i]) for _, i in sorted(wrong)[:3]]
    return f"{len(wrong)} of {len(cases)} differ\n" + "\n".join(lines) if wrong else ""


def _told(index: int, case: Layer, expected: Array, got: Array) -> str:
    if expected.shape != got.shape or expected.dtype != got.dtype:
        return f"case {index}: {expected.dtype}{expected.shape} != {got.dtype}{got.shape}: {case}"
    first: Any = tuple(int(i) for i in np.argwhere(expected != got)[0])
    values = f"expected {expected[first]}, got {got[first]}"
    numbers = f"{dict(case.step.integers.scalars)}, limits {case.step.low}, {case.step.high}"
    return f"case {index} at {first}: {values}: {case}\n  {numbers}"
