# SPDX-License-Identifier: Apache-2.0
"""src/ of a build for Cortex-M in other build systems: CMake, Zephyr, PlatformIO."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from myoedge.backends.build import Build
from myoedge.extensions.qemu import runner
from myoedge.system import tools
from myoedge.targets import find_chip
from myoedge.targets.cortex_m.chips import BOARDS
from tests.extensions.qemu.test_qemu import built, in_qemu

CC = "arm-none-eabi-gcc"
EXAMPLE = Path(__file__).parents[3] / "examples" / "zephyr"
has_cmake = pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
# Zephyr's functions, which note what they are called with.
ZEPHYR = """cmake_minimum_required(VERSION 3.20)
project(application LANGUAGES NONE)
set(ZEPHYR_BASE /zephyr)
foreach(name library_named library_sources library_include_directories include_directories)
  cmake_language(EVAL CODE "function(zephyr_${name})
    message(STATUS \\"zephyr_${name}: \\${ARGN}\\")
  endfunction()")
endforeach()
add_subdirectory(${NETWORK} network)
"""
# The same functions, by which examples/zephyr becomes a program of this computer.
ZEPHYR_CONFIG = """set(ZEPHYR_BASE ${CMAKE_CURRENT_LIST_DIR})
project(Zephyr-Kernel LANGUAGES C)
add_executable(app)
target_include_directories(app PRIVATE ${ZEPHYR_BASE})
function(zephyr_library_named name)
  add_library(${name} STATIC)
  target_link_libraries(app PRIVATE ${name})
  set(ZEPHYR_CURRENT_LIBRARY ${name} PARENT_SCOPE)
endfunction()
function(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endfunction()
function(zephyr_library_include_directories folder)
  target_include_directories(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${folder})
endfunction()
function(zephyr_include_directories folder)
  target_include_directories(app PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/${folder})
endfunction()
add_subdirectory(${ZEPHYR_EXTRA_MODULES} module)
"""
KERNEL_H = """#include <stdint.h>
#include <stdio.h>
#define printk printf
static inline uint32_t k_cycle_get_32(void) { return 0; }
"""


def own_sources(build: Build) -> set[str]:
    """The files of the library in src/: neither the start-up nor the self-test of a host."""
    src = build.folder / "src"
    paths = (path.relative_to(src) for path in [*src.glob("*.c"), *src.glob("library/*.c")])
    return {str(path) for path in paths if path.name != "selftest.c"}


def cmake(folder: Path, *arguments: str | Path) -> str:
    finished = tools.run(("cmake", *map(str, arguments)), cwd=folder, timeout_s=600)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@in_qemu
@has_cmake
@pytest.mark.skipif(shutil.which(CC) is None, reason="no GCC for Arm")
def test_the_library_of_cmake_has_the_same_integers(tmp_path: Path) -> None:
    """A program of the library and of firmware/, which uses the same integers as the reference."""
    build, folder = built("conv", tmp_path, "cortex-m4"), tmp_path / "made"
    src, program = build.folder / "src", find_chip("cortex-m4").program  # type: ignore[union-attr]
    assert program is not None
    flags = (*program.isa.gcc, "-O2", "-ffreestanding")
    options = {
        "CMAKE_SYSTEM_NAME": "Generic",
        "CMAKE_C_COMPILER": CC,
        "CMAKE_TRY_COMPILE_TARGET_TYPE": "STATIC_LIBRARY",
        "CMAKE_C_FLAGS": " ".join((*flags, "-DME_TRACE")),
    }
    cmake(
        tmp_path, "-S", src, "-B", folder, *(f"-D{name}={value}" for name, value in options.items())
    )
    cmake(tmp_path, "--build", folder)
    firmware = [str(path) for path in sorted((src / "firmware").glob("*.[cS]"))]
    linked = (CC, *flags, "-nostdlib", f"-I{src}", "-T", str(src / "firmware" / "link.ld"))
    libraries = (
        str(folder / f"lib{build.prefix}.a"),
        "-lgcc",
        "-o",
        str(tmp_path / "firmware.elf"),
    )
    finished = tools.run((*linked, *firmware, *libraries), cwd=tmp_path, timeout_s=300)
    assert finished.returncode == 0, finished.stderr
    integers = [
        next(
            x
            for name, x in np.load(build.folder / "golden" / f"{kind}.npz").items()
            if ".q" in name
        )
        for kind in ("input", "output")
    ]
    integers[0].tofile(tmp_path / "input.bin")
    command = (runner.find(), "-machine", BOARDS["cortex-m4"].machine, "-kernel", "firmware.elf")
    assert tools.run((*command, *runner.FLAGS), cwd=tmp_path, timeout_s=300).returncode == 0
    assert (tmp_path / "output.bin").read_bytes() == integers[1].tobytes()


@has_cmake
@pytest.mark.parametrize("name", ["conv", "stream"])
def test_zephyr_gets_all_sources(name: str, tmp_path: Path) -> None:
    """module.yml leads to CMakeLists.txt, which calls Zephyr's functions."""
    build = built(name, tmp_path, "cortex-m4")
    src = build.folder / "src"
    module = (src / "zephyr" / "module.yml").read_text()
    assert f"name: {build.prefix}\nbuild:\n  cmake: .\n" in module
    (tmp_path / "CMakeLists.txt").write_text(ZEPHYR)
    told = cmake(tmp_path, "-S", tmp_path, "-B", tmp_path / "made", f"-DNETWORK={src}")
    calls = dict(line[3:].split(": ", 1) for line in told.splitlines() if "zephyr_" in line)
    assert calls["zephyr_library_named"] == build.prefix
    assert {*calls["zephyr_library_sources"].split(";")} == own_sources(build)
    assert calls["zephyr_include_directories"] == "."


@has_cmake
def test_the_example_for_zephyr_runs_the_golden_sample(tmp_path: Path) -> None:
    src = built("conv", tmp_path, "cortex-m4").folder / "src"
    (tmp_path / "zephyr").mkdir()
    (tmp_path / "ZephyrConfig.cmake").write_text(ZEPHYR_CONFIG)
    (tmp_path / "zephyr" / "kernel.h").write_text(KERNEL_H)
    options = (f"-DZephyr_DIR={tmp_path}", f"-DZEPHYR_EXTRA_MODULES={src}")
    cmake(tmp_path, "-S", EXAMPLE, "-B", tmp_path / "made", *options)
    cmake(tmp_path, "--build", tmp_path / "made")
    ran = tools.run((str(tmp_path / "made" / "app"),), cwd=tmp_path, timeout_s=60)
    assert (ran.returncode, ran.stdout) == (0, "exact, bit for bit, 0 cycles\n")


@pytest.mark.parametrize("name", ["conv", "stream"])
def test_platformio_gets_all_sources(name: str, tmp_path: Path) -> None:
    build = built(name, tmp_path, "cortex-m4")
    src = build.folder / "src"
    manifest = json.loads((src / "library.json").read_text())
    assert {"name", "version"} <= {*manifest}
    patterns = [pattern[2:-1] for pattern in manifest["build"]["srcFilter"]]
    found = {str(path.relative_to(src)) for pattern in patterns for path in src.glob(pattern)}
    assert found == own_sources(build)
    assert not (built("mlp", tmp_path, "gap9").folder / "src" / "library.json").exists()
