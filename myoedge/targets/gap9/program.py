# SPDX-License-Identifier: Apache-2.0
"""Programs for GAP9, compiled without an SDK."""

from __future__ import annotations

from myoedge.system.toolchain import RV32IMC
from myoedge.targets.gap9.clock import CLOCKS
from myoedge.targets.gap9.errata import FORBIDDEN
from myoedge.targets.gap9.mram_map import LAYOUT
from myoedge.targets.program import LevelDriver, ProgramTarget

TEMPLATES = (
    *("clock.h.j2", "cluster.c", "cluster.h", "cluster_cores.h", "crt0.S", "dma.c", "dma.h"),
    *("exit_codes.h", "host.c", "host.h", "l3.c", "l3.h", "l3_drivers.c", "l3_drivers.h"),
    *("link.ld.j2", "marks.c", "marks.h", "memory.c", "platform.c", "platform.h", "registers.h"),
)
HEADERS = (
    *("me_intrinsics_gap9.h", "me_intrinsics_sdk.h", "me_register_numbers.h", "me_runtime.h"),
)
MRAM_READS = ("runtime/mram.c", "runtime/mram.h", "runtime/mram_map.h.j2")
MRAM_DRIVER = ("storage/me_mram.c", "storage/me_mram.h")

PROGRAM = ProgramTarget(
    isa=RV32IMC,
    make=("CC_RISCV", "riscv64-unknown-elf-gcc"),
    runs_on="GAP9 and its simulators",
    regions={"L2": 0x180000, "L2_PRIVATE": 0x10000, "L1": 0x20000},
    origins={"L2": 0x1C010000, "L2_PRIVATE": 0x1C000000, "L1": 0x10000000},
    templates=tuple(f"runtime/{name}" for name in TEMPLATES),
    drivers={"mram": LevelDriver(MRAM_DRIVER, MRAM_READS, ("me_weights",))},
    defines=("ME_GAP9",),
    headers=HEADERS,
    forbidden=FORBIDDEN,
    applications=True,
    clocks=CLOCKS,
    flash=LAYOUT,
)
