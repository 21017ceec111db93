# SPDX-License-Identifier: Apache-2.0
"""The GAP SDK application of a build on PMSIS calls of our own, for the chip and this machine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import myoedge
from myoedge.backends.build import Build
from myoedge.codegen.firmware import Firmware, check_instructions, link
from myoedge.codegen.runtime import runtime
from myoedge.extensions.gap_sdk.gvsoc import SDK_FOLDER
from myoedge.system import toolchain
from myoedge.system.library import KERNELS, ObjectOptions, compile_objects

if TYPE_CHECKING:
    from torch import nn

SHIM = Path(__file__).parent / "pmsis"
BUILTINS = Path(__file__).parents[2] / "firmware" / "programs"
DEFINES = ("ME_PMSIS", "ME_POWER_PAD=89u", "ME_APP_MILLIVOLTS=800u", "ME_APP_CLOCK_HZ=370000000u")
# Kernels do not depend on where the program lies: compiled once for every build.
FOR_HOST = (
    *("-std=c11", "-D_DEFAULT_SOURCE=1", "-O1", "-g", "-Wall", "-Wextra", "-Werror"),
    *("-Wno-unknown-pragmas", "-fno-pie", "-no-pie", "-pthread", "-mcpu=baseline"),
    *("-fsanitize=undefined", "-fsanitize-trap=undefined", "-fdebug-compilation-dir=."),
)
SEEN_BY_KERNELS = {"ME_SDK_4"}
UART = ("ME_UART=1", "ME_BAUD_RATE=115200u")
MRAM = ("ME_MRAM_WEIGHTS", "ME_MRAM_STATUS=shim_mram_status")  # of builds with mram.bin


def made(
    folder: Path,
    network: nn.Module,
    *shapes: tuple[int, ...],
    l2: str = "1MiB",
    engine: str = "auto",
    memory: str | None = None,
) -> Build:
    import torch  # here, as stand-ins for programs of an SDK import this module in each process

    from tests.conftest import save_exported

    torch.manual_seed(0)
    model = save_exported(network, tuple(torch.zeros(s) for s in shapes), folder / "model.pt2")
    return myoedge.build(
        model,
        calib="random",
        output=folder / "out",
        app="gap-sdk",
        l2=l2,
        engine=engine,
        memory=memory,
    )


def _texts(folder: Path, pattern: str) -> dict[str, str]:
    return {str(f.relative_to(folder)): f.read_text() for f in folder.rglob(pattern)}


def renamed_runtime() -> dict[str, str]:
    """The bare-metal runtime under names that the application does not have."""
    files = {name: text for name, text in runtime().items() if not name.endswith("marks.c")}
    return {name: re.sub(r"\bme_", "bm_", text) for name, text in files.items()}


def _network(build: Build) -> dict[str, str]:
    """src/ without what is for other programs."""
    src = build.folder / "src"
    made = {**_texts(src, "*.[chS]"), **_texts(src, "*.inc")}
    ours = {n: t for n, t in made.items() if n != "selftest.c" and not n.startswith("firmware/")}
    answering = {n: t for n, t in made.items() if n.startswith("firmware/mlperf/mlperf")}
    return ours | {Path(name).name: text for name, text in answering.items()}


def _application(build: Build) -> dict[str, str]:
    return _texts(build.folder / SDK_FOLDER, "*.[ch]")


def defined(files: dict[str, str], defines: Iterable[str]) -> dict[str, str]:
    """Files with macros defined at the top of each C file."""
    lines = "".join(f"#define {define.replace('=', ' ')}\n" for define in defines)
    return {name: lines * name.endswith(".c") + text for name, text in files.items()}


def with_mram(build: Build, defines: tuple[str, ...]) -> tuple[str, ...]:
    """Defines with those for weights in MRAM, unless a test has other ones."""
    given = {define.partition("=")[0] for define in defines}
    added = (define for define in MRAM if define.partition("=")[0] not in given)
    return (*defines, *added) if (build.folder / "mram.bin").is_file() else defines


def shim_for_chip() -> dict[str, str]:
    """The shim's files on the simulated chip."""
    files = _texts(SHIM, "*.[ch]").items()
    return {name.removeprefix("chip/"): t for name, t in files if not name.endswith("host.c")}


def for_chip(build: Build, *defines: str, cc: str = "zig") -> Firmware:
    """An ELF for the simulated chip, kernels as words; SHIM_CHECKS among the defines: with every
    argument checked. Of the defines, kernels see SEEN_BY_KERNELS alone: programs share objects."""
    defines = with_mram(build, defines)
    seen = SEEN_BY_KERNELS.intersection(defines)
    own = defined({**_application(build), **shim_for_chip()}, sorted({*defines} - seen))
    files = {**_network(build), **renamed_runtime(), **own}
    made = link(files, cc=cc, defines=(*DEFINES, "ME_XPULP_WORD", "SHIM_CHIP", *seen))
    check_instructions(made)
    return made


def for_host(build: Build, folder: Path, *defines: str) -> Path:
    """A program for this machine: nine threads are the cluster's cores."""
    files = {**_network(build), **_application(build)}
    for name, text in {**files, **_texts(SHIM, "*.[ch]")}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    own = [name for name in files if name.endswith(".c") and not name.startswith(f"{KERNELS}/")]
    sources = [*(folder / name for name in own), folder / "shim.c", folder / "shim_host.c"]
    sources += [BUILTINS / "sdk_shim.c"]
    cc = toolchain.compiler()
    shim = hashlib.sha256((BUILTINS / "sdk_shim.h").read_bytes()).hexdigest()  # no include names it
    defines = with_mram(build, defines)
    macros = ("ME_GAP9", "ME_SDK", "ME_NE16_IN_C", f"SHIM=0x{shim}", *DEFINES, *defines)
    flags = [*FOR_HOST, *(f"-D{define}" for define in macros), "-include", "sdk_shim.h"]
    include = [folder, folder / KERNELS, BUILTINS]
    kernels = ObjectOptions(folder, cc, flags, include)
    objects, done = compile_objects(sorted((folder / KERNELS).glob("*.c")), kernels)
    assert done.returncode == 0, done.stderr
    program = folder / "app"
    done = toolchain.compile_sources(sources, program, cc, flags, include, objects, root=folder)
    assert done.returncode == 0, done.stderr
    return program
