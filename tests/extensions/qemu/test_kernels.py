# SPDX-License-Identifier: Apache-2.0
"""Kernels and operations for Cortex-M equal those in portable C, their meaning, in QEMU."""

from __future__ import annotations

from pathlib import Path

import pytest

from myoedge.codegen.library import library_files, with_replaced
from myoedge.codegen.render import template_dir
from myoedge.extensions.qemu import runner
from myoedge.system import tools
from myoedge.targets import find_chip
from myoedge.targets.cortex_m.chips import BOARDS
from tests.extensions.qemu.test_qemu import CORES, built, in_qemu, linked

HERE = Path(__file__).resolve().parent
# Test's main.c -> the kernels' file of the library, and its functions
KERNELS = {
    "blocks": (
        "library/me_gemm_s8_block",
        *("me_block_kernels", "me_block_1x8", "me_copy_windows", "me_interleave_rows"),
        *("me_interleave_columns", "me_sum_rows"),
    ),
    "rows": (
        "operators/linear/me_linear_s16_rows",
        *("me_split_row", "me_split_sums", "me_split_sum", "me_split_store"),
    ),
    "depthwise": (
        "operators/conv/me_depthwise_rows",
        *("me_depthwise_pairs", "me_depthwise_strip", "me_depthwise_strip_limits"),
        *("me_depthwise_strip_pre", "me_depthwise_strip_table", "me_depthwise_row_2"),
        *("me_depthwise_rows_2", "me_depthwise_pixel"),
    ),
}


def with_portable(kernels: tuple[str, ...]) -> dict[str, str]:
    """The library's files for kernels, and a file in portable C with other names of functions."""
    file, *names = kernels
    stem = Path(file).name
    files = with_replaced(library_files([stem]), find_chip("cortex-m4").program)  # type: ignore[union-attr]
    text = (template_dir() / f"{file}.c").read_text()
    include, other = f'#include "{stem}.h"', "\n".join(f"#define {x} c_{x}" for x in names)
    assert files[f"library/{stem}.c"] != text
    return {**files, "library/portable.c": text.replace(include, f"{include}\n{other}", 1)}


@in_qemu
@pytest.mark.parametrize("target", CORES)
@pytest.mark.parametrize("name", ["operations", *KERNELS])
def test_c_for_the_chip_equals_portable_c(name: str, target: str, tmp_path: Path) -> None:
    build, text = built("conv", tmp_path, target), (HERE / f"{name}.c").read_text()
    more = with_portable(KERNELS[name]) if name in KERNELS else {}
    (tmp_path / "firmware.elf").write_bytes(linked(build, text, more))
    command = (runner.find(), "-machine", BOARDS[target].machine, "-kernel", "firmware.elf")
    assert tools.run((*command, *runner.FLAGS), cwd=tmp_path, timeout_s=300).returncode == 0
