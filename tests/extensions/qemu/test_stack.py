# SPDX-License-Identifier: Apache-2.0
"""Stack that a run takes on Cortex-M, measured in QEMU, beside what the header states."""

from __future__ import annotations

from pathlib import Path

import pytest

from myoedge.backends.build import Build
from myoedge.extensions.qemu import runner
from myoedge.targets import find_chip
from myoedge.targets.cortex_m.chips import BOARDS
from tests.extensions.qemu.test_arduino import CC, archive_of, has_gcc, run
from tests.extensions.qemu.test_qemu import MODULES, built, in_qemu

# Fills the stack below itself, runs the golden sample, and prints how much of it changed.
MAIN = """#include "firmware/host.h"
enum { OWN = 256, PATTERN = 0x5A }; /* bytes below main's frame that stay as they are */
extern unsigned char me_stack[];
int main(void);
int golden_sample_is_exact(void);
int main(void)
{
    unsigned char *const top = (unsigned char *)__builtin_frame_address(0) - OWN;
    for (unsigned char *at = me_stack + 4; at < top; at++)
        *at = PATTERN;
    if (!golden_sample_is_exact())
        return 1;
    const unsigned char *at = me_stack + 4;
    while (*at == PATTERN)
        at++;
    me_print_number((int32_t)(top + OWN - at));
    return 0;
}
"""
LEVELS = ("-Os", "-O1", "-O2", "-O3")


def taken_bytes(build: Build, target: str, level: str, folder: Path) -> int:
    """Stack of a run with GCC at a level of optimisation."""
    archive_of(build).extractall(folder)
    own, start = folder / build.prefix, build.folder / "src" / "firmware"
    (folder / "main.c").write_text(MAIN)
    core = [p for p in sorted(start.glob("*.[cS]")) if p.name not in {"main.c", "layers.c"}]
    program = find_chip(target).program  # type: ignore[union-attr]
    assert program is not None
    flags = (*program.isa.gcc, level, "-ffreestanding", "-nostdlib")
    searched = (f"-I{own / 'src'}", f"-I{build.folder / 'src'}", "-T", start / "link.ld")
    sources = (*sorted(own.rglob("*.c")), *core, folder / "main.c")
    run(CC, *flags, *searched, *sources, "-lgcc", "-o", "stack.elf", folder=folder)
    command = (runner.find(), "-machine", BOARDS[target].machine, "-kernel", "stack.elf")
    return int(run(*command, *runner.FLAGS, folder=folder))


def stated_bytes(build: Build) -> int:
    header = (build.folder / "src" / f"{build.prefix}.h").read_text()
    return int(header.split("_RUN_STACK_BYTES ")[1].split()[0])


@in_qemu
@has_gcc
@pytest.mark.parametrize("name", ["conv", "attention", "loop"])
@pytest.mark.parametrize("target", BOARDS)
def test_a_run_takes_less_than_the_header_states(name: str, target: str, tmp_path: Path) -> None:
    """-Os takes the most of the levels that optimise."""
    build = built(name, tmp_path, target)
    taken = taken_bytes(build, target, "-Os", tmp_path / "os")
    assert 0.2 * stated_bytes(build) < taken < stated_bytes(build)


@in_qemu
@has_gcc
@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("target", BOARDS)
def test_the_header_holds_at_each_level(name: str, target: str, tmp_path: Path) -> None:
    build = built(name, tmp_path, target)
    taken = {level: taken_bytes(build, target, level, tmp_path / level) for level in LEVELS}
    assert max(taken.values()) < stated_bytes(build), taken
