# SPDX-License-Identifier: Apache-2.0
"""The archive for Arduino, compiled by the rules of Arduino's library specification: all files
below src/, which alone is searched for headers, in an archive; sketches are C++."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

import pytest

from myoedge.backends.build import Build
from myoedge.extensions.qemu import runner
from myoedge.system import tools
from myoedge.targets import find_chip
from myoedge.targets.cortex_m.chips import BOARDS
from tests.extensions.qemu.test_qemu import built, in_qemu

CC, CXX, AR = "arm-none-eabi-gcc", "arm-none-eabi-g++", "arm-none-eabi-ar"
TARGET = "cortex-m4"
EXAMPLE = Path("examples", "GoldenSample")
# What Arduino's cores declare, on the board of QEMU.
ARDUINO_H = """#include <stdint.h>
extern "C" void me_print(const char *text);
extern "C" void me_print_number(int32_t number);
static struct {
    void begin(long) { }
    explicit operator bool() const { return true; }
    void print(const char *text) { me_print(text); }
    void print(unsigned long number) { me_print_number((int32_t)number); }
    void println(const char *text) { me_print(text), me_print("\\n"); }
} Serial;
static inline unsigned long micros() { return 0; }
void setup();
void loop();
extern "C" int main() { setup(); return 0; }
"""
has_gcc = pytest.mark.skipif(
    not all(map(shutil.which, (CC, CXX, AR))), reason="no GCC for Arm with C++"
)


def archive_of(build: Build) -> zipfile.ZipFile:
    return zipfile.ZipFile(build.folder / f"{build.prefix}-arduino.zip")


def run(*command: str | Path, folder: Path) -> str:
    finished = tools.run(tuple(map(str, command)), cwd=folder, timeout_s=300)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stderr  # where QEMU writes the program's text


def flags() -> tuple[str, ...]:
    program = find_chip(TARGET).program  # type: ignore[union-attr]
    assert program is not None
    return (*program.isa.gcc, "-Os", "-ffreestanding", "-ffunction-sections", "-Wall", "-Werror")


def compiled(sources: list[Path], folder: Path, *options: str) -> list[Path]:
    """Objects of C files, assembler files and sketches."""
    objects = []
    for source in sources:
        objects.append(folder / f"{len(objects)}-{source.parent.name}-{source.name}.o")
        if source.suffix == ".ino":
            command = (CXX, "-x", "c++", "-fno-exceptions", "-fno-rtti", "-include", "Arduino.h")
        else:
            command = (CC,)
        run(*command, *flags(), *options, "-c", source, "-o", objects[-1], folder=folder)
    return objects


def library(build: Build, folder: Path) -> tuple[Path, Path]:
    """C of the unpacked library, and its archive of objects."""
    archive_of(build).extractall(folder)
    (own,) = folder.iterdir()  # what a library manager takes: one folder
    src, objects = own / "src", folder / "objects"
    objects.mkdir()
    sources = [path for path in sorted(src.rglob("*")) if path.suffix in {".c", ".cpp", ".S"}]
    run(AR, "rcs", "library.a", *compiled(sources, objects, f"-I{src}"), folder=folder)
    return src, folder / "library.a"


def printed(build: Build, sketch: Path, libraries: list[tuple[Path, Path]], folder: Path) -> str:
    """What a sketch prints on QEMU's board, with the start-up of firmware/."""
    folder.mkdir()
    (folder / "Arduino.h").write_text(ARDUINO_H)
    start = build.folder / "src" / "firmware"
    options = (f"-I{folder}", *(f"-I{src}" for src, _ in libraries))
    of_sketch = compiled([p for p in sketch.iterdir() if p.suffix != ".h"], folder, *options)
    core = [p for p in sorted(start.glob("*.[cS]")) if p.name not in {"main.c", "layers.c"}]
    of_core = compiled(core, folder, f"-I{build.folder / 'src'}")
    archives = [archive for _, archive in libraries]
    linked = (CC, *flags(), "-nostdlib", "-T", start / "link.ld", *of_sketch, *of_core)
    run(*linked, *archives, "-lgcc", "-o", "sketch.elf", folder=folder)
    command = (runner.find(), "-machine", BOARDS[TARGET].machine, "-kernel", "sketch.elf")
    return run(*command, *runner.FLAGS, folder=folder)


@in_qemu
@has_gcc
@pytest.mark.parametrize("name", ["conv", "stream"])
def test_the_example_runs_the_golden_sample(name: str, tmp_path: Path) -> None:
    build = built(name, tmp_path, TARGET)
    own = library(build, tmp_path / "library")
    told = printed(build, own[0].parent / EXAMPLE, [own], tmp_path / "sketch")
    assert told == "exact, bit for bit, 0 us\n"


@in_qemu
@has_gcc
def test_the_example_tells_a_wrong_result(tmp_path: Path) -> None:
    build = built("mlp", tmp_path, TARGET)
    own = library(build, tmp_path / "library")
    sketch = own[0].parent / EXAMPLE
    sample = sketch / "golden_sample.c"
    sample.write_text(
        sample.read_text().replace("    if (memcmp", "    result0[0] ^= 1;\n    if (memcmp")
    )
    assert printed(build, sketch, [own], tmp_path / "sketch") == "WRONG, 0 us\n"


@in_qemu
@has_gcc
def test_two_networks_are_in_one_sketch(tmp_path: Path) -> None:
    """Kernels of both libraries are linked once."""
    builds = []
    for name in ("conv", "mlp"):
        (tmp_path / name).mkdir()
        builds.append(built(name, tmp_path / name, TARGET, prefix=f"of_{name}"))
    libraries = [library(build, tmp_path / build.prefix) for build in builds]
    sketch = tmp_path / "both"
    sketch.mkdir()
    for build in builds:
        folder = tmp_path / build.prefix / build.prefix / EXAMPLE
        golden = f"golden_{build.prefix}.h"
        (sketch / golden).write_text((folder / "golden.h").read_text())
        text = (folder / "golden_sample.c").read_text().replace("golden.h", golden)
        (sketch / f"{build.prefix}.c").write_text(
            text.replace("golden_sample_is_exact", f"{build.prefix}_is_exact")
        )
    (sketch / "both.ino").write_text(
        "#include <of_conv.h>\n#include <of_mlp.h>\n"
        'extern "C" int of_conv_is_exact(void);\nextern "C" int of_mlp_is_exact(void);\n'
        'static_assert(OF_CONV_INPUTS == 1 && OF_MLP_INPUTS == 1, "both headers");\n'
        "void setup()\n{\n"
        '    Serial.println(of_conv_is_exact() && of_mlp_is_exact() ? "exact" : "WRONG");\n'
        "}\nvoid loop() { }\n"
    )
    assert printed(builds[0], sketch, libraries, tmp_path / "sketch") == "exact\n"


def test_equal_builds_have_equal_archives(tmp_path: Path) -> None:
    contents = []
    for i in range(2):
        (tmp_path / str(i)).mkdir()
        contents.append(
            (built("mlp", tmp_path / str(i), TARGET).folder / "model-arduino.zip").read_bytes()
        )
    assert contents[0] == contents[1]
    assert zipfile.ZipFile(io.BytesIO(contents[0])).testzip() is None


def test_the_properties_meet_the_specification(tmp_path: Path) -> None:
    build = built("mlp", tmp_path, TARGET)
    lines = archive_of(build).read("model/library.properties").decode().splitlines()
    found = dict(line.split("=", 1) for line in lines)
    needed = ("name", "version", "author", "maintainer", "sentence", "paragraph", "category")
    assert {*needed, "url", "architectures"} <= {*found}
    assert found["includes"] in {Path(name).name for name in archive_of(build).namelist()}
