# SPDX-License-Identifier: Apache-2.0
"""The cores, with the memories of the boards that QEMU emulates, and published runs of MLPerf Tiny
v1.0 on Cortex-M, by the instructions of the same C.

Code and weights are read in place from flash; activations are in RAM, which the planner calls L2.
QEMU counts instructions; cycles are estimated from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from myoedge.system.toolchain import InstructionSet
from myoedge.targets.chip import Chip, Engine, OperatingPoint
from myoedge.targets.costs import CycleFactor, PublishedRun
from myoedge.targets.program import LibraryArchive, ProgramTarget

L4R5_HZ, NRF5340_HZ = 120_000_000, 128_000_000
ON_M4 = CycleFactor(
    (
        PublishedRun("ic, nn", L4R5_HZ, 2.567, 31_946_880),
        PublishedRun("kws, nn", L4R5_HZ, 10.019, 8_444_920),
        PublishedRun("vww, nn", L4R5_HZ, 3.320, 24_823_520),
        PublishedRun("ad, nn", L4R5_HZ, 116.212, 599_400),
        PublishedRun("ic", L4R5_HZ, 2.569, 33_821_120),
        PublishedRun("kws", L4R5_HZ, 6.943, 10_050_160),
        PublishedRun("ad", L4R5_HZ, 85.339, 954_320),
    ),
    "MLPerf Tiny v1.0, STM32L4R5 at 120 MHz",
)
ON_M33 = CycleFactor(
    (
        PublishedRun("ic, nn", NRF5340_HZ, 3.163, 31_975_650),
        PublishedRun("kws, nn", NRF5340_HZ, 13.143, 8_443_650),
        PublishedRun("vww, nn", NRF5340_HZ, 4.310, 24_731_050),
        PublishedRun("ad, nn", NRF5340_HZ, 159.579, 591_950),
    ),
    "MLPerf Tiny v1.0, nRF5340 at 128 MHz",
)


# --- chips ----------------------------------------------------------------------------------------


KIB = 1024
TEMPLATES = (
    *("runtime/exit_codes.h", "runtime/host.c", "runtime/host.h", "runtime/memory.c"),
    *("cortex_m/aeabi.c", "cortex_m/start.S", "cortex_m/platform.c", "cortex_m/platform.h"),
    *("cortex_m/cluster.h", "cortex_m/layers.c", "cortex_m/marks.h", "cortex_m/results.h.j2"),
    "cortex_m/link.ld.j2",
)
REPLACED = tuple(
    f"cortex_m/replaced/{name}"
    for name in (
        *("me_share.h", "me_intrinsics.h", "me_gemm_s8_block.c", "me_gemm_s8_dsp.h"),
        *("me_gemm_s8_mve.h", "me_two_pixels.h", "me_linear_s16_rows.c"),
        *("me_depthwise_rows.c", "me_depthwise_dsp.h", "me_depthwise_mve.h"),
    )
)
PACKAGES = {
    "CMakeLists.txt": "cortex_m/packages/CMakeLists.txt.j2",
    "zephyr/module.yml": "cortex_m/packages/module.yml.j2",
    "library.json": "cortex_m/packages/library.json.j2",  # of PlatformIO
}
_EXAMPLE = "examples/GoldenSample"
ARCHIVES = (
    LibraryArchive(
        "-arduino.zip",
        sources="src",
        templates={"library.properties": "cortex_m/packages/arduino/library.properties.j2"},
        example={
            f"{_EXAMPLE}/{name}": f"cortex_m/packages/arduino/{name}.j2"
            for name in ("GoldenSample.ino", "golden_sample.c")
        },
        golden=f"{_EXAMPLE}/golden.h",
    ),
)
# GCC 12.2 takes 2,480 bytes at -Os for the largest of the networks of tests/extensions/qemu, and at
# -O0 2,980 on M4, 6,160 on M55 (measured in QEMU).
STACK_BYTES = 4 * KIB
FLASHING = (
    "make -C src firmware  after ORIGIN and LENGTH of VECTORS, FLASH and RAM in "
    "src/firmware/link.ld are those of your chip (VECTORS: the first KiB of the flash)",
    "probe-rs run --chip CHIP src/firmware.elf",
    "west flash  in an application of Zephyr with the C of src/",
)
# One core runs what several do on other chips, with nine those that are large.
ENGINES = tuple(
    Engine(name, cores=1, macs_per_cycle=0, shown="core") for name in ("cluster", "nine cores")
)


@dataclass(frozen=True, slots=True)
class EmulatedBoard:
    """A board of QEMU.

    machine   its name there
    clock_hz  clock of SysTick, by which instructions are counted
    """

    machine: str
    clock_hz: int

    @property
    def tick_instructions(self) -> Fraction:
        """Instructions in a tick of SysTick; one takes a nanosecond of the board's time."""
        return Fraction(10**9, self.clock_hz)


BOARDS: Mapping[str, EmulatedBoard] = {
    "cortex-m4": EmulatedBoard("mps2-an386", 25_000_000),
    "cortex-m33": EmulatedBoard("mps2-an505", 20_000_000),
    "cortex-m55": EmulatedBoard("mps3-an547", 32_000_000),
}


def _chip(
    name: str,
    doc: str,
    cpu: tuple[str, str, str],
    origins: Mapping[str, int],
    flash_bytes: int,
    ram_bytes: int,
    factor: CycleFactor | None = None,
) -> Chip:
    """Return a chip.

    cpu       -mcpu of zig and GCC, and -mfpu of GCC
    origins   first addresses of VECTORS, FLASH and RAM
    """
    zig, gcc, fpu = cpu
    isa = InstructionSet(
        zig=("-target", "thumb-freestanding-eabihf", f"-mcpu={zig}"),
        clang=("--target=thumb-none-eabi", "-fuse-ld=lld"),
        gcc=("-mthumb", f"-mcpu={gcc}", "-mfloat-abi=hard", f"-mfpu={fpu}"),
        machine="EM_ARM",
    )
    regions = {"VECTORS": KIB, "FLASH": flash_bytes, "RAM": ram_bytes}
    board = BOARDS[name].machine
    program = ProgramTarget(
        isa,
        ("CC_ARM", "arm-none-eabi-gcc"),
        f"qemu-system-arm -machine {board}",
        regions,
        origins,
        TEMPLATES,
        replaced=REPLACED,
        defines=("ME_TRACE",),
        cores="The only core runs the network.",
        packages=PACKAGES,
        archives=ARCHIVES,
        stack_bytes=STACK_BYTES,
        flashing=FLASHING,
    )
    return Chip(
        name=name,
        doc=f"{doc}; memories as on QEMU's {board}",
        l1_bytes=0,
        l2_bytes=ram_bytes,
        flash_bytes=flash_bytes,
        engines=ENGINES,
        points=(OperatingPoint("any", volts=0.0, clock_hz=0),),
        program=program,
        runners=("qemu",),
        factor=factor,
    )


CORTEX_M = (
    _chip(
        "cortex-m4",
        "Arm Cortex-M4 with DSP instructions",
        ("cortex_m4", "cortex-m4", "fpv4-sp-d16"),
        {"VECTORS": 0, "FLASH": 0x400, "RAM": 0x20000000},
        flash_bytes=4096 * KIB - KIB,
        ram_bytes=4096 * KIB,
        factor=ON_M4,
    ),
    _chip(
        "cortex-m33",
        "Arm Cortex-M33 with DSP instructions",
        ("cortex_m33+dsp", "cortex-m33", "fpv5-sp-d16"),
        {"VECTORS": 0x10000000, "FLASH": 0x10000400, "RAM": 0x38000000},
        flash_bytes=4096 * KIB - KIB,
        ram_bytes=4096 * KIB,
        factor=ON_M33,
    ),
    _chip(
        "cortex-m55",
        "Arm Cortex-M55 with Helium (MVE)",
        ("cortex_m55+mve", "cortex-m55", "auto"),
        {"VECTORS": 0, "FLASH": 0x60000000, "RAM": 0x21000000},
        flash_bytes=4096 * KIB,
        ram_bytes=4096 * KIB,
    ),
)
