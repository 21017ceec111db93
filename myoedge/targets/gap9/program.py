# SPDX-License-Identifier: Apache-2.0
"""Programs for GAP9, compiled without an SDK: the clock generator, the flash on the chip (eMRAM),
and instructions that firmware must not contain, because the chip and its simulators differ on
them."""

from __future__ import annotations

from myoedge.system.toolchain import RV32IMC
from myoedge.targets.clocks import ClockGenerator
from myoedge.targets.memories import FlashLayout
from myoedge.targets.program import Erratum, LevelDriver, ProgramTarget

CLOCKS = ClockGenerator(370_500_000, most_multiplier=376, most_divider=255)


# --- eMRAM ----------------------------------------------------------------------------------------


MRAM_BYTES = 2048 * 1024
SECTOR_BYTES = 8192  # unit of erasing
MRAM_CLOCK_HZ = 30_000_000  # highest clock of the flash, as SDK 5 sets it
HEAD_BYTES = 64  # ME_WEIGHTS_HEAD_BYTES: the header before the weights' image

LAYOUT = FlashLayout(
    MRAM_BYTES,
    SECTOR_BYTES,
    MRAM_CLOCK_HZ,
    HEAD_BYTES,
    application_bytes=22 * SECTOR_BYTES,  # those built here have 11,000 to 148,000 bytes
    boot_bytes=37_632,  # SDK 5's, in the vendor's images
    slot_head_bytes=64,  # of me_slots.c
)
MAP = LAYOUT.areas()


# --- instructions ---------------------------------------------------------------------------------


NO_FLOAT = "no float at run time; GVSoC computes it in the integer registers, silicon differs"
SHUFFLE = "GVSoC and silicon differ in which operand comes first, or in the immediate"
ROUNDING = "silicon needs an instruction before the new rounding mode counts; GVSoC does not"


def _float(name: str, opcode: str) -> Erratum:
    return Erratum(name, f"------- ----- ----- --- ----- {opcode}", NO_FLOAT)


FORBIDDEN = (
    Erratum("pv.shuffle2.h", "110010- ----- ----- 000 ----- 1010111", SHUFFLE),
    Erratum(
        "pv.shuffle2.b",
        "110010- ----- ----- 001 ----- 1010111",
        SHUFFLE,
        asked_by=("me_interleave_columns", "me_scatter_words", "me_turn_columns"),
    ),
    Erratum("pv.shuffle.sci.h", "110000- ----- ----- 110 ----- 1010111", SHUFFLE),
    _float("flw", "0000111"),
    _float("fsw", "0100111"),
    _float("fmadd", "1000011"),
    _float("fmsub", "1000111"),
    _float("fnmsub", "1001011"),
    _float("fnmadd", "1001111"),
    _float("an operation on floats", "1010011"),
    # 10 in the highest bits of opcode OP, except p.extract ... p.bset, which have 1000000.
    *(
        Erratum("a vector of small floats", f"10{bits} ----- ----- --- ----- 0110011", NO_FLOAT)
        for bits in ("1----", "01---", "001--", "0001-", "00001")
    ),
    Erratum("c.flw", "011 --- --- -- --- 00", NO_FLOAT),
    Erratum("c.fsw", "111 --- --- -- --- 00", NO_FLOAT),
    Erratum("c.flwsp", "011 - ----- ----- 10", NO_FLOAT),
    Erratum("c.fswsp", "111 ------ ----- 10", NO_FLOAT),
    *(
        Erratum(f"a write to {name}", f"{csr} ----- {kind} ----- 1110011", ROUNDING)
        for name, csr in (("frm", "000000000010"), ("fcsr", "000000000011"))
        for kind in ("-01", "-10", "-11")
    ),
)


# --- programs -------------------------------------------------------------------------------------


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
