# SPDX-License-Identifier: Apache-2.0
"""Programs for GAP9, compiled without an SDK."""

from __future__ import annotations

from myoedge.system.toolchain import RV32IMC
from myoedge.targets.gap9.errata import FORBIDDEN
from myoedge.targets.program import ProgramTarget

PROGRAM = ProgramTarget(
    isa=RV32IMC,
    make=("CC_RISCV", "riscv64-unknown-elf-gcc"),
    runs_on="GAP9 and its simulators",
    regions={"L2": 0x180000, "L1": 0x20000},  # as in link.ld
    defines=("ME_GAP9",),
    forbidden=FORBIDDEN,
    applications=True,
)
