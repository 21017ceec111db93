# SPDX-License-Identifier: Apache-2.0
"""Stack that a run takes on Cortex-M, measured in QEMU, beside what the header states."""

from __future__ import annotations

from pathlib import Path

import pytest

from myoedge.backends.build import Build
from myoedge.extensions.qemu import runner
from myoedge.targets import find_chip
from myoedge.targets.cortex_m.chips import BOARDS
from tests.extensions.qemu.test_arduino import CC, has_gcc, run
from tests.extensions.qemu.test_qemu import MODULES, built, in_qemu

# Fills the stack below itself, runs the network, and prints how much of it changed.
MAIN = """#include <string.h>
#include "golden.h"
#include "network.h"
#include "firmware/host.h"
enum { OWN = 256, PATTERN = 0x5A }; /* bytes below main's frame that stay as they are */
extern unsigned char me_stack[];
int main(void);
static unsigned char result[RESULT];
int main(void)
{
    const void *const in[] = { golden_input0 };
    void *const out[] = { result };
    unsigned char *const top = (unsigned char *)__builtin_frame_address(0) - OWN;
    for (unsigned char *at = me_stack + 4; at < top; at++)
        *at = PATTERN;
    if (me_run(in, out) != 0 || memcmp(result, golden_output0, sizeof golden_output0) != 0)
        return 1;
    const unsigned char *at = me_stack + 4;
    while (*at == PATTERN)
        at++;
    me_print_number((int32_t)(top + OWN - at));
    return 0;
}
"""


def taken_bytes(build: Build, target: str, level: str, folder: Path) -> int:
    """Stack of a run with GCC at a level of optimisation."""
    folder.mkdir()
    src, program = build.folder / "src", find_chip(target).program  # type: ignore[union-attr]
    assert program is not None
    (folder / "main.c").write_text(MAIN.replace("RESULT", "ME_OUTPUT0_BYTES"))
    own = [p for p in sorted(src.glob("*.c")) if p.name != "selftest.c"]
    start = [p for p in (src / "firmware").glob("*.[cS]") if p.name not in {"main.c", "layers.c"}]
    sources = (*own, *sorted(src.glob("library/*.c")), *sorted(start), folder / "main.c")
    flags = (*program.isa.gcc, level, "-ffreestanding", "-nostdlib", f"-I{src}")
    linked = ("-T", src / "firmware" / "link.ld", *sources, "-lgcc", "-o", "stack.elf")
    run(CC, *flags, *linked, folder=folder)
    command = (runner.find(), "-machine", BOARDS[target].machine, "-kernel", "stack.elf")
    return int(run(*command, *runner.FLAGS, folder=folder))


@in_qemu
@has_gcc
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("target", BOARDS)
def test_a_run_takes_less_than_the_header_states(name: str, target: str, tmp_path: Path) -> None:
    build = built(name, tmp_path, target)
    taken = {
        level: taken_bytes(build, target, level, tmp_path / level)
        for level in ("-O0", "-Os", "-O2", "-O3")
    }
    print(name, target, taken)
