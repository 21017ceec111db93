# SPDX-License-Identifier: Apache-2.0
"""A small assembler: lines with mnemonics of Xpulpv2 become .word, all other lines stay."""

from __future__ import annotations

import re

from tests.isa.encoding import FORMS, INSTRUCTIONS, Instruction

MNEMONIC = re.compile(r"^(\s*(?:\w+:)?)\s*((?:p|pv|lp)\.[\w.]+)\s+(.+)$", re.MULTILINE)
MEMORY = re.compile(r"^(.+)\((.+?)(!?)\)$")  # offset(base!)
# operands in the order of the mnemonics, where it is not that of FORMS
ORDER = {
    "bits": ("rd", "rs1", "size", "imm"),
    "bits+": ("rd", "rs1", "size", "imm"),
    "load": ("rd", "imm", "rs1"),
    "load_r": ("rd", "rs2", "rs1"),
    "store": ("rs2", "imm", "rs1"),
    "store_r": ("rs2", "rs3", "rs1"),
}
HERE = 7000  # number of a local label


def words(text: str) -> str:
    """Assembly for any assembler, with xpulp.inc or the numbers of its registers before it.

    Operands may be parameters of macros. Errors: KeyError for a mnemonic that there is not."""
    return "\n".join(_line(line) for line in text.split("\n"))


def _line(line: str) -> str:
    found = MNEMONIC.match(line)
    if found is None:
        return line
    label, name, rest = found.groups()
    operands = [operand.strip() for operand in rest.split(",")]
    memory = MEMORY.match(operands[-1])
    if memory is None:
        return f"{label} {_word(INSTRUCTIONS[name], operands)}"
    offset, base, post = memory.groups()
    operands = [*operands[:-1], offset, base]
    by_register = _word(INSTRUCTIONS[f"{name}.postr" if post else f"{name}.reg"], operands)
    if not post:
        return f"{label} {by_register}"
    by_constant = _word(INSTRUCTIONS[f"{name}.post"], operands)
    tests = f'.ifdef ".Lnumber_{offset}"', by_register, ".else", by_constant, ".endif"
    return f"{label}\n" + "\n".join(tests)


def _word(instruction: Instruction, operands: list[str]) -> str:
    fields = FORMS[instruction.form]
    names = ORDER.get(instruction.form, tuple(fields))
    terms = [hex(instruction.match)]
    for name, operand in zip(names, operands, strict=True):
        for low, size, source in fields[name]:
            terms.append(_field(instruction.form, name, operand, low, size, source))
    here = f"{HERE}: " if instruction.form == "loop_setup" else ""
    return f"{here}.word {' | '.join(terms)}"


def _field(form: str, name: str, operand: str, low: int, size: int, source: int) -> str:
    if form == "loop_setup" and name == "imm":
        return f"(({operand} - {HERE}b) / 2) << {low}"
    if name.startswith("r") or name == "loop":
        return f".Lnumber_{operand} << {low}"
    return f"((({operand}) >> {source}) & {(1 << size) - 1}) << {low}"
