# SPDX-License-Identifier: Apache-2.0
"""Kernels and operations for Cortex-M equal those in portable C, their meaning, in QEMU."""

from __future__ import annotations

from pathlib import Path

import pytest

from myoedge.codegen.render import template_dir
from myoedge.extensions.qemu import runner
from myoedge.system import tools
from myoedge.targets.cortex_m.chips import BOARDS
from tests.extensions.qemu.test_qemu import CORES, built, in_qemu, linked

HERE = Path(__file__).resolve().parent
NAMES = (
    *("me_block_kernels", "me_block_1x8", "me_copy_windows", "me_interleave_rows"),
    *("me_interleave_columns", "me_sum_rows"),
)


def portable() -> str:
    """me_gemm_s8_block.c in C, with other names than the functions for Cortex-M."""
    text = (template_dir() / "library" / "me_gemm_s8_block.c").read_text()
    include, names = '#include "me_gemm_s8_block.h"', "\n".join(f"#define {x} c_{x}" for x in NAMES)
    return text.replace(include, f"{include}\n{names}", 1)


@in_qemu
@pytest.mark.parametrize("target", CORES)
@pytest.mark.parametrize("name", ["operations", "blocks"])
def test_c_for_the_chip_equals_portable_c(name: str, target: str, tmp_path: Path) -> None:
    build, text = built("conv", tmp_path, target), (HERE / f"{name}.c").read_text()
    more = {"library/portable.c": portable()} if name == "blocks" else {}
    (tmp_path / "firmware.elf").write_bytes(linked(build, text, more))
    command = (runner.find(), "-machine", BOARDS[target].machine, "-kernel", "firmware.elf")
    assert tools.run((*command, *runner.FLAGS), cwd=tmp_path, timeout_s=300).returncode == 0
