# SPDX-License-Identifier: Apache-2.0
"""src/ of a build for Cortex-M in other build systems: CMake, Zephyr, PlatformIO."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from myoedge.extensions.qemu import runner
from myoedge.system import tools
from myoedge.targets import find_chip
from myoedge.targets.cortex_m.chips import BOARDS
from tests.extensions.qemu.test_qemu import built, in_qemu
from tests.firmware import two_networks
from tests.firmware.test_two_networks import RUNS_BOTH

CC = "arm-none-eabi-gcc"
EXAMPLE = Path(__file__).parents[3] / "examples" / "zephyr"
has_cmake = pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
# As Zephyr 3.4: modules by module.yml, libraries with every object, the application as one of them.
ZEPHYR_CONFIG = """set(ZEPHYR_BASE ${CMAKE_CURRENT_LIST_DIR})
project(Zephyr-Kernel LANGUAGES C)
add_library(zephyr_interface INTERFACE)
target_include_directories(zephyr_interface INTERFACE ${ZEPHYR_BASE})
target_compile_options(zephyr_interface INTERFACE -Os -std=c99 -Wall -Werror)
macro(zephyr_library_named name)
  set(ZEPHYR_CURRENT_LIBRARY ${name})
  add_library(${name} STATIC "")
  set_property(GLOBAL APPEND PROPERTY ZEPHYR_LIBS ${name})
  target_link_libraries(${name} PUBLIC zephyr_interface)
endmacro()
function(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endfunction()
function(zephyr_library_include_directories)
  target_include_directories(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endfunction()
function(zephyr_library_compile_options)
  if(NOT TARGET late${ARGN})
    add_library(late${ARGN} INTERFACE)
    target_compile_options(late${ARGN} INTERFACE ${ARGN})
  endif()
  target_link_libraries(${ZEPHYR_CURRENT_LIBRARY} PRIVATE late${ARGN})
endfunction()
function(zephyr_include_directories)
  target_include_directories(zephyr_interface INTERFACE ${ARGN})
endfunction()
zephyr_library_named(app)
foreach(module ${EXTRA_ZEPHYR_MODULES})
  file(STRINGS ${module}/zephyr/module.yml name REGEX "^name: ")
  string(REPLACE "name: " "" name ${name})
  list(APPEND ZEPHYR_MODULE_NAMES ${name})
  add_subdirectory(${module} ${CMAKE_BINARY_DIR}/modules/${name})
endforeach()
file(WRITE ${CMAKE_BINARY_DIR}/empty.c "")
add_executable(zephyr_final ${CMAKE_BINARY_DIR}/empty.c)
get_property(libraries GLOBAL PROPERTY ZEPHYR_LIBS)
target_link_libraries(zephyr_final -Wl,--whole-archive ${libraries} -Wl,--no-whole-archive)
"""
KERNEL_H = """#include <stdint.h>
#include <stdio.h>
#define printk printf
static inline uint32_t k_cycle_get_32(void) { return 0; }
"""


def own_sources(src: Path) -> set[str]:
    """The files of the library in src/: neither the start-up nor the self-test of a host."""
    paths = (path.relative_to(src) for path in [*src.glob("*.c"), *src.glob("library/*.c")])
    return {str(path) for path in paths if path.name != "selftest.c"}


def cmake(folder: Path, *arguments: str | Path) -> str:
    finished = tools.run(("cmake", *map(str, arguments)), cwd=folder, timeout_s=600)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def in_zephyr(folder: Path, application: Path, *modules: Path, **config: str) -> None:
    """Configure an application in the imitation of Zephyr; its build is in made/."""
    (folder / "zephyr").mkdir(exist_ok=True)
    (folder / "ZephyrConfig.cmake").write_text(ZEPHYR_CONFIG)
    (folder / "zephyr" / "kernel.h").write_text(KERNEL_H)
    options = {
        "Zephyr_DIR": folder,
        "EXTRA_ZEPHYR_MODULES": ";".join(map(str, modules)),
        "CMAKE_EXPORT_COMPILE_COMMANDS": "ON",
        **config,
    }
    given = (f"-D{name}={value}" for name, value in options.items())
    cmake(folder, "-S", application, "-B", folder / "made", *given)


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
def test_zephyr_compiles_all_sources_for_speed(name: str, tmp_path: Path) -> None:
    """The compiled files and the last -O of each: Zephyr's own is -Os."""
    src = built(name, tmp_path, "cortex-m4").folder / "src"
    in_zephyr(tmp_path, EXAMPLE, src)
    commands = json.loads((tmp_path / "made" / "compile_commands.json").read_text())
    levels = {
        str(Path(of["file"]).relative_to(src)): re.findall(r" (-O\S)", of["command"])[-1]
        for of in commands
        if Path(of["file"]).is_relative_to(src)
    }
    assert levels == dict.fromkeys(own_sources(src), "-O2")


@has_cmake
def test_unaligned_accesses_that_zephyr_traps_are_not_compiled(tmp_path: Path) -> None:
    src = built("mlp", tmp_path, "cortex-m4").folder / "src"
    found = []
    for config in ({}, {"CONFIG_TRAP_UNALIGNED_ACCESS": "y"}):
        in_zephyr(tmp_path, EXAMPLE, src, **config)
        commands = json.loads((tmp_path / "made" / "compile_commands.json").read_text())
        of_src = [of for of in commands if Path(of["file"]).is_relative_to(src)]
        found.append({"-mno-unaligned-access" in of["command"] for of in of_src})
    assert found == [{False}, {True}]


@has_cmake
def test_the_example_for_zephyr_runs_the_golden_sample(tmp_path: Path) -> None:
    in_zephyr(tmp_path, EXAMPLE, built("conv", tmp_path, "cortex-m4", prefix="app").folder / "src")
    cmake(tmp_path, "--build", tmp_path / "made")
    ran = tools.run((str(tmp_path / "made" / "zephyr_final"),), cwd=tmp_path, timeout_s=60)
    assert (ran.returncode, ran.stdout) == (0, "exact, bit for bit, 0 cycles\n")


@has_cmake
def test_the_example_for_zephyr_names_what_is_missing(tmp_path: Path) -> None:
    """No module, and a network with several inputs."""
    with pytest.raises(AssertionError, match="no network: set EXTRA_ZEPHYR_MODULES"):
        in_zephyr(tmp_path, EXAMPLE)
    in_zephyr(tmp_path, EXAMPLE, built("stream", tmp_path, "cortex-m4").folder / "src")
    with pytest.raises(AssertionError, match="pass all inputs and outputs"):
        cmake(tmp_path, "--build", tmp_path / "made")


@has_cmake
def test_two_networks_run_in_one_application_of_zephyr(tmp_path: Path) -> None:
    """Modules with kernels of the same names, which must be equal."""
    pair = [two_networks.built(tmp_path, name, target="cortex-m4") for name in ("gesture", "wake")]
    application, modules = tmp_path / "application", [build.folder / "src" for build in pair]
    shutil.copytree(EXAMPLE, application)
    (application / "src" / "main.c").write_text(RUNS_BOTH)
    (application / "src" / "golden.h").write_text(two_networks.samples(*pair))
    in_zephyr(tmp_path, application, *modules)
    cmake(tmp_path, "--build", tmp_path / "made")
    assert tools.run((str(tmp_path / "made" / "zephyr_final"),), cwd=tmp_path).returncode == 0
    first, second = ({path.name for path in src.glob("library/*.c")} for src in modules)
    for name in first & second:
        (modules[1] / "library" / name).write_text("")
    with pytest.raises(AssertionError, match=r"wake:\s+library/\S+\s+differs"):
        in_zephyr(tmp_path, application, *modules)


@pytest.mark.parametrize("name", ["conv", "stream"])
def test_platformio_gets_all_sources(name: str, tmp_path: Path) -> None:
    build = built(name, tmp_path, "cortex-m4")
    src = build.folder / "src"
    manifest = json.loads((src / "library.json").read_text())
    assert {"name", "version"} <= {*manifest}
    patterns = [pattern[2:-1] for pattern in manifest["build"]["srcFilter"]]
    found = {str(path.relative_to(src)) for pattern in patterns for path in src.glob(pattern)}
    assert found == own_sources(src)
    assert not (built("mlp", tmp_path, "gap9").folder / "src" / "library.json").exists()
