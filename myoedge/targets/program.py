# SPDX-License-Identifier: Apache-2.0
"""Programs for a chip: how they are compiled and linked, and the systems of public GVSoC that run
them, as data of the chip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from myoedge.system.toolchain import InstructionSet
from myoedge.targets.clocks import ClockGenerator
from myoedge.targets.memories import FlashLayout


@dataclass(frozen=True, slots=True)
class Erratum:
    """An instruction on which chip and simulators differ.

    pattern    16 or 32 bits, highest first: 0, 1, or - for any; blanks are ignored
    why        the difference
    asked_by   names of functions that may contain it, because they test for the difference
    """

    name: str
    pattern: str
    why: str
    asked_by: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return len(self._field_mask()) // 8

    @property
    def mask(self) -> int:
        return int("".join("0" if bit == "-" else "1" for bit in self._field_mask()), 2)

    @property
    def match(self) -> int:
        return int(self._field_mask().replace("-", "0"), 2)

    def _field_mask(self) -> str:
        return self.pattern.replace(" ", "")


@dataclass(frozen=True, slots=True)
class LevelDriver:
    """Files of firmware_templates for programs that use a memory level.

    driver    of the level
    reads     for constants that are read from it
    library   names, without suffix, of the library's C files for these
    """

    driver: tuple[str, ...]
    reads: tuple[str, ...]
    library: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LibraryArchive:
    """A zip file of the library, for a build system that cannot use src/ as it is.

    name        of the file, after the network's prefix
    sources     folder of the C in the archive
    templates   path in the archive -> template
    example     templates of a program that runs the golden sample, likewise
    golden      path of golden.h for that program
    """

    name: str
    sources: str
    templates: Mapping[str, str]
    example: Mapping[str, str]
    golden: str


@dataclass(frozen=True, slots=True)
class ProgramTarget:
    """Programs for a chip: their compiler, start-up and memories.

    isa            compiler flags that choose the instruction set
    make           variable of src/Makefile with a compiler for the chip, and its default
    runs_on        what runs firmware.elf, in the Makefile
    regions        region of the linker script -> its bytes
    origins        region of the linker script -> its first address
    templates      files of firmware_templates with start-up, drivers and linker script
    drivers        memory level -> what programs have that use it
    replaced       files of firmware_templates that replace those with the same name in include/ and
                   among the kernels, and headers that these include
    defines        macros to define
    headers        headers of include/ that these macros add to the C
    forbidden      instructions that no program may have
    applications   whether there are programs of `--app` for the chip
    cores          which cores run the network, as a comment in main.c
    packages       path in src/ -> template of a file by which other build systems know the library
    archives       further forms of the library
    clocks         generator that the programs set; None: the clock of the reset
    flash          flash on the chip, with programs, weights and saved records; None: none
    stack_bytes    stack that a run needs, compiled with optimisation; 0: ME_STACK_BYTES per core
    flashing       what puts a program into a chip's flash, if it is not `myoedge flash`
    """

    isa: InstructionSet
    make: tuple[str, str]
    runs_on: str
    regions: Mapping[str, int]
    origins: Mapping[str, int]
    templates: tuple[str, ...]
    drivers: Mapping[str, LevelDriver] = field(default_factory=dict)
    replaced: tuple[str, ...] = ()
    defines: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    forbidden: tuple[Erratum, ...] = ()
    applications: bool = False
    cores: str = "All nine cores run the network; me_tiles.h defines what each core does."
    packages: Mapping[str, str] = field(default_factory=dict)
    archives: tuple[LibraryArchive, ...] = ()
    clocks: ClockGenerator | None = None
    flash: FlashLayout | None = None
    stack_bytes: int = 0
    flashing: tuple[str, ...] = ()


def made_hz(program: ProgramTarget | None, clock_hz: int) -> int:
    """Return the clock that a chip's programs set for one that is asked for."""
    clocks = None if program is None else program.clocks
    return clock_hz if clocks is None else clocks.settings(clock_hz).hz


# --- public GVSoC ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GvsocSystem:
    """A system that gvsoc/ describes.

    target       its name there
    clock_hz     clock of controller and cluster
    first_core   mhartid of the fabric controller, by which programs choose drivers
    models       engine -> its model in an installation, which may lack it
    """

    target: str
    clock_hz: int
    first_core: int
    models: Mapping[str, str]
