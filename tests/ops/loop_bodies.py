# SPDX-License-Identifier: Apache-2.0
"""The loops of generated functions in machine code for the chip, and the bytes of their bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from myoedge.codegen.firmware import link
from myoedge.codegen.library import library_files
from myoedge.codegen.render import template_dir
from myoedge.codegen.runtime import runtime
from myoedge.system.elf import Program, instructions, read_elf

MAIN = """#include <stdint.h>
{headers}
void *volatile kept[] = {{ {functions} }};
int main(void) {{ return kept[0] == 0; }}
"""
BRANCH, JUMP, HARDWARE_LOOP = 0x63, 0x6F, 0x7B
# immediate bits of an encoding, most significant first: RISC-V manual, tables of formats
BRANCH_BITS = (31, 7, *range(30, 24, -1), *range(11, 7, -1))
JUMP_BITS = (31, *range(19, 11, -1), 20, *range(30, 20, -1))
SHORT_BRANCH_BITS = (12, 6, 5, 2, 11, 10, 4, 3)
SHORT_JUMP_BITS = (12, 8, 10, 9, 6, 7, 2, 11, 5, 4, 3)


@dataclass(frozen=True, order=True)
class LoopBody:
    """The body of a loop.

    start, end   addresses
    """

    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        return self.end - self.start

    def contains(self, other: LoopBody) -> bool:
        return self != other and self.start <= other.start and other.end <= self.end


def compiled(sources: Mapping[str, str]) -> Program:
    """A program that holds generated functions.

    sources   file name -> text of C and headers
    """
    names = sorted(name.removesuffix(".c") for name in sources if name.endswith(".c"))
    library = library_files(names, sources)
    headers = "".join(f'#include "library/{name}.h"\n' for name in names)
    functions = ", ".join(f"(void *){name}" for name in names)
    include = {path.name: path.read_text() for path in (template_dir() / "include").iterdir()}
    main = {"program.c": MAIN.format(headers=headers, functions=functions)}
    return read_elf(link({**include, **runtime(), **library, **main}).elf)


def loops(program: Program, prefix: str) -> dict[str, list[LoopBody]]:
    """The loops of the functions whose names begin with a prefix, by name: backward branches and
    hardware loops."""
    found = dict[str, list[LoopBody]]()
    for address, code in program.code:
        for start, end, name in program.functions:
            if name.startswith(prefix) and address <= start < address + len(code):
                own = code[start - address : end - address]
                found[name] = sorted({*bodies(own, start)})
    return found


def bodies(code: bytes, address: int) -> Iterator[LoopBody]:
    """Yield the loops in the code of a function."""
    for at, size, word in instructions(code, address):
        distance = branch_distance(size, word)
        if distance < 0 and at + distance >= address:
            yield LoopBody(at + distance, at + size)
        if size == 4 and word & 0x7F == HARDWARE_LOOP and word >> 12 & 7 in (4, 5):
            length = word >> 20 if word >> 12 & 7 == 4 else word >> 15 & 31
            yield LoopBody(at + 4, at + 4 + 2 * length)


def branch_distance(size: int, word: int) -> int:
    """The distance of a branch's or jump's target in bytes; 0 of other instructions."""
    if size == 2 and word & 3 == 1 and word >> 13 in (5, 6, 7):
        return signed(word, SHORT_JUMP_BITS if word >> 13 == 5 else SHORT_BRANCH_BITS)
    if size == 4 and word & 0x7F == BRANCH:
        return signed(word, BRANCH_BITS)
    if size == 4 and word & 0xFFF == JUMP:  # that keeps no return address
        return signed(word, JUMP_BITS)
    return 0


def signed(word: int, bits: tuple[int, ...]) -> int:
    """Bits of an encoding as a signed number of pairs of bytes, in bytes."""
    value = sum((word >> bit & 1) << (len(bits) - at) for at, bit in enumerate(bits))
    return value - ((word >> bits[0] & 1) << (len(bits) + 1))


def own_bytes(body: LoopBody, loops: Sequence[LoopBody]) -> int:
    """The bytes of a loop's body that are in no loop inside."""
    inside = [other for other in loops if body.contains(other)]
    covered = {at for other in inside for at in range(other.start, other.end)}
    return body.size_bytes - len(covered)
