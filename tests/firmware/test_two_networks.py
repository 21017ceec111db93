# SPDX-License-Identifier: Apache-2.0
"""Two builds in one program, on a host and on the simulated chip: names, memory, results."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import ziglang

from myoedge.backends.build import Build
from myoedge.codegen.firmware import link
from myoedge.codegen.names import check_prefix, default_prefix, public_names
from myoedge.errors import MyoedgeError
from myoedge.simulator import read_elf, simulate
from tests.firmware.two_networks import built, samples, sources

RUNS_BOTH = r"""
#include <string.h>
#include "golden.h"
#include "gesture.h"
#include "wake.h"

#ifdef ME_SHARED_L1
#define LARGER (GESTURE_L1_BYTES > WAKE_L1_BYTES ? GESTURE_L1_BYTES : WAKE_L1_BYTES)
_Alignas(16) int8_t me_l1[LARGER];
#endif

static int differs(const me_network_info *of, const int8_t *in, int8_t *out, const int8_t *wanted)
{
    memset(out, 0x55, (size_t)of->outputs[0].size_bytes);
    return of->run((const void *const[]){ in }, (void *const[]){ out })
        || memcmp(out, wanted, (size_t)of->outputs[0].size_bytes);
}

int main(void)
{
    int wrong = strlen(GESTURE_DIGEST) != 64 || strcmp(WAKE_DIGEST, wake_info.digest) != 0;
    for (int turn = 0; turn < 3; turn++) {
        wrong += differs(&gesture_info, gesture_input, gesture_found, gesture_output);
        wrong += differs(&wake_info, wake_input, wake_found, wake_output);
    }
    return wrong;
}
"""

RUNS_BOTH_ON_CHIP = r"""
#include "cluster.h"
#include "golden.h"
#include "gesture/gesture.h"
#include "marks.h"
#include "platform.h"
#include "wake/wake.h"

#define LARGER (GESTURE_L1_BYTES > WAKE_L1_BYTES ? GESTURE_L1_BYTES : WAKE_L1_BYTES)
_Alignas(16) int8_t me_l1[LARGER] ME_L1;
volatile uint32_t me_marks[GESTURE_LAYERS + WAKE_LAYERS + 2] ME_L1;

static const void *in;
static void *out;

static void on_each_core(int32_t core, void *of)
{
    (void)core;
    ((const me_network_info *)of)->run(&in, &out);
}

static int differs(const me_network_info *of, const int8_t *from, int8_t *to, const int8_t *wanted)
{
    int wrong = 0;
    in = from, out = to;
    me_cluster_run(on_each_core, (void *)(uintptr_t)of);
    for (int32_t i = 0; i < of->outputs[0].size_bytes; i++)
        wrong += to[i] != wanted[i];
    return wrong;
}

int main(void)
{
    int wrong = 0;
    for (int turn = 0; turn < 3; turn++) {
        wrong += differs(&gesture_info, gesture_input, gesture_found, gesture_output);
        wrong += differs(&wake_info, wake_input, wake_found, wake_output);
    }
    return wrong;
}
"""

STRICT = ("-Wall", "-Wextra", "-Werror", "-Wconversion")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Build]:
    folder = tmp_path_factory.mktemp("pair")
    return built(folder, "gesture"), built(folder, "wake")


def archives(pair: tuple[Build, Build], folder: Path, *flags: str) -> list[Path]:
    """libnetwork.a of each, by its own Makefile."""
    found = []
    for build in pair:
        src = Path(shutil.copytree(build.folder / "src", folder / build.prefix))
        subprocess.run(["make", "-s", *flags], cwd=src, check=True)
        found.append(src / "libnetwork.a")
    return found


def symbols(file: Path) -> list[tuple[str, str, int]]:
    """(object, name, size) of what a library defines for others."""
    listed = subprocess.run(
        ["nm", "-A", "-S", "--defined-only", "--extern-only", file], capture_output=True, check=True
    )
    rows = (line.split() for line in listed.stdout.decode().splitlines() if ":" in line)
    return [(row[0].split(":")[1], row[-1], int(row[1], 16) if len(row) > 3 else 0) for row in rows]


def buffers(build: Build) -> int:
    return int(json.loads((build.folder / "plan.json").read_text())["l1_bytes"])


def test_every_symbol_of_a_network_has_its_prefix(
    pair: tuple[Build, Build], tmp_path: Path
) -> None:
    own = ("network.o", "weights.o", "info.o", "stream.o")
    for build, library in zip(pair, archives(pair, tmp_path), strict=True):
        found = symbols(library)
        assert {name for file, name, _ in found if file in own} > {f"{build.prefix}_run"}
        wrong = [x for x in found if (x[0] in own) != x[1].startswith(f"{build.prefix}_")]
        assert not wrong


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param((), id="apart", marks=pytest.mark.slow),
        pytest.param(("CPPFLAGS=-DME_SHARED_L1",), id="shared L1"),
    ],
)
def test_both_run_in_one_program(
    pair: tuple[Build, Build], tmp_path: Path, flags: tuple[str, ...]
) -> None:
    libraries = archives(pair, tmp_path, *flags)
    (tmp_path / "golden.h").write_text(samples(*pair))
    (tmp_path / "main.c").write_text(RUNS_BOTH)
    include = [f"-I{tmp_path / build.prefix}" for build in pair]
    defines = [flag.removeprefix("CPPFLAGS=") for flag in flags]
    program = ["cc", "-std=c11", *STRICT, *defines, *include, "main.c", *libraries, "-o", "both"]
    subprocess.run(program, cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "both"], check=False).returncode == 0
    arenas = {name: size for _, name, size in symbols(libraries[0]) if name.endswith("_l1")}
    assert bool(arenas) != bool(flags), "with one arena for both a network has none of its own"


def test_both_run_on_the_chip_with_one_arena_in_l1(
    pair: tuple[Build, Build], tmp_path: Path
) -> None:
    files = {**sources(*pair), "golden.h": samples(*pair), "main.c": RUNS_BOTH_ON_CHIP}
    elf = link(files, defines=("ME_SHARED_L1",)).elf
    assert simulate(elf, folder=tmp_path).exit_code == 0
    program = read_elf(elf, "both")
    sizes = [buffers(build) for build in pair]
    assert program.symbols["me_l1"] % 16 == 0
    assert not {"gesture_l1", "wake_l1"} & {*program.symbols}
    alone = [read_elf((build.folder / "firmware.elf").read_bytes(), "one") for build in pair]
    ends = [one.symbols["me_l1_end"] for one in alone]
    assert program.symbols["me_l1_end"] < max(ends) + min(sizes), "less than both arenas"


def test_headers_are_c_plus_plus_too(pair: tuple[Build, Build], tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    libraries = archives(pair, tmp_path)
    includes = [f"-I{tmp_path / build.prefix}" for build in pair]
    (tmp_path / "main.cpp").write_text(
        '#include "gesture.h"\n#include "wake.h"\n'
        "static_assert(sizeof GESTURE_DIGEST == 65, GESTURE_DIGEST);\n"
        "int main() {\n"
        "    return gesture_info.run == gesture_run && wake_info.inputs->rank == 2 ? 0 : 1;\n}\n"
    )
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", *includes, "main.cpp"]
    subprocess.run([*command, *libraries, "-o", "both"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "both"], check=False).returncode == 0


def test_prefixes_that_differ_in_case_are_both_declared(
    pair: tuple[Build, Build], tmp_path: Path
) -> None:
    """Neither header is skipped in silence: the compiler names the macros that both define."""
    first = pair[0].folder / "src"
    second = built(tmp_path, "Gesture").folder / "src"
    (tmp_path / "main.c").write_text(
        f'#include "{first}/gesture.h"\n#include "{second}/Gesture.h"\n'
        "int main(void) { return &gesture_run == &Gesture_run; }\n"
    )
    command = ["cc", "-std=c11", "-fsyntax-only", f"-I{first}", "main.c"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert re.search("GESTURE_DIGEST.* redefined", ran.stderr)


def test_one_model_with_two_prefixes(pair: tuple[Build, Build], tmp_path: Path) -> None:
    """Names alone differ: code and integers are the same."""
    again = built(tmp_path, "wake")
    texts = {p.name: p.read_text() for p in (again.folder / "src").glob("*.[ch]")}
    same = {p.name: p.read_text() for p in (pair[1].folder / "src").glob("*.[ch]")}
    assert texts == same
    assert again.report["model"]["digest"] == pair[1].report["model"]["digest"]


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        ("model", "model"),
        ("EMG net-3.1", "emg_net_3_1"),
        ("3d", "net_3d"),
        ("network", "net_network"),
        ("known", "net_known"),
        ("me_first", "net_me_first"),
        ("Gebärde", "geb_rde"),
        ("手", "net"),
        ("features", "net_features"),
        ("all", "net_all"),
        ("Arduino", "net_arduino"),
        ("arm_emg", "arm_emg"),
        ("1" * 60, "net_" + 36 * "1"),
    ],
)
def test_a_model_s_name_becomes_a_prefix(model: str, prefix: str) -> None:
    assert default_prefix(model) == prefix
    check_prefix(prefix)


@pytest.mark.parametrize(
    "prefix",
    [
        *("", "3d", "a b", "_x", "a__b", "me", "me_x", "string", "features", "x" * 41),
        *("arm_acle", "arm_mve", "Arduino", "Stream", "ALL_BUILD", "cluster", "platform"),
    ],
)
def test_a_prefix_that_cannot_be_is_refused(prefix: str) -> None:
    with pytest.raises(MyoedgeError, match="E204"):
        check_prefix(prefix)


VERSION = "cmake_minimum_required(VERSION 3.20)"


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_a_prefix_that_cmake_reserves_is_refused(tmp_path: Path) -> None:
    """Those of policy CMP0037, with CTest and CPack."""
    names = ["all", "clean", "edit_cache", "help", "install", "package", "rebuild_cache", "test"]
    reserved = []
    for name in [*names, "gesture"]:
        lines = (
            "project(x NONE)",
            "include(CTest)",
            "include(CPack)",
            f"add_library({name} INTERFACE)",
        )
        (tmp_path / "CMakeLists.txt").write_text("\n".join((VERSION, *lines)))
        command = ("cmake", "-S", tmp_path, "-B", tmp_path / "made")
        if subprocess.run(command, capture_output=True, check=False).returncode:
            reserved.append(name)
    assert reserved == names
    assert [default_prefix(name) for name in names] == [f"net_{name}" for name in names]


def headers() -> set[str]:
    """Those of zig's compiler, and of GCC for Arm with its C library."""
    folders = [Path(ziglang.__file__).parent / "lib" / "include"]
    if shutil.which("arm-none-eabi-gcc"):
        asked = ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-E", "-v", "-x", "c", os.devnull)
        told = subprocess.run(asked, capture_output=True, text=True, check=True).stderr
        folders += map(Path, re.findall(r"^ (/\S*)$", told, re.MULTILINE))
    return {path.stem for folder in folders for path in folder.glob("*.h")}


def test_a_prefix_that_hides_a_header_is_refused() -> None:
    allowed = set()
    for name in headers():
        with contextlib.suppress(MyoedgeError):
            check_prefix(name)
            allowed.add(name)
    assert not allowed


def test_names_in_comments_are_not_names() -> None:
    header = "#define A_B 1 /* not A_C, a_d */\nint a_run(void);\n"
    assert public_names("a", header) == [("ME_B", "A_B"), ("me_run", "a_run")]


def test_the_info_says_what_the_report_says(pair: tuple[Build, Build]) -> None:
    for build in pair:
        text = (build.folder / "src" / "info.c").read_text()
        (port,) = build.manifest["inputs"]
        assert f".l1_bytes = {buffers(build)}," in text
        assert f".scale = {port['scale']}f" in text
