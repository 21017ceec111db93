# SPDX-License-Identifier: Apache-2.0
"""The assembler's macros of Xpulpv2 instructions: as numbers in a format, and as mnemonics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.isa.xpulp_table import Row, Table, codes


@dataclass(frozen=True)
class Macro:
    """One instruction: format and its operands (xpulp_r, xpulp_i, xpulp_s), and its mnemonic."""

    name: str
    takes: str
    encoded: str
    native: str
    says: str = ""

    def text(self, body: str) -> str:
        says = f"/* {self.says} */\n" if self.says else ""
        return f"{says}.macro {self.name} {self.takes}\n    {body}\n.endm\n"


def encoded_macros(rows: Table) -> Iterator[str]:
    for macro in _macros(rows):
        yield macro.text(macro.encoded)


def native_macros(rows: Table) -> Iterator[str]:
    for macro in _macros(rows):
        yield macro.text(macro.native)


def _macros(rows: Table) -> Iterator[Macro]:
    for name, row in rows["memory"].items():
        if "macro" in row:
            yield _of_memory(name, row)
    known = codes(rows)
    for name, row in rows["macros"].items():
        form = {**rows["scalar"], **rows["words"]}.get(row["of"], {"form": "two"})["form"]
        yield _of_registers(name, row, form, known[row["of"]])


def _of_memory(name: str, row: Row) -> Macro:
    """Loads and stores, by a constant (format i or s) or a register (format r)."""
    opcode, funct3, *funct7 = row["code"]
    code = ", ".join([f"0x{opcode:02x}", str(funct3), *(f"0x{f:02x}" for f in funct7)])
    register = "rs" if row["form"].startswith("store") else "rd"
    offset = "offset" if row["form"] == "load_at" else "step"
    operands = {
        "load": f"xpulp_i {code}, \\rd, \\at, \\step",
        "store": f"xpulp_s {code}, \\rs, \\at, \\step",
        "store_r": f"xpulp_r {code}, \\step, \\at, \\rs",
        "load_r": f"xpulp_r {code}, \\rd, \\at, \\step",
        "load_at": f"xpulp_r {code}, \\rd, \\at, \\offset",
    }
    place = "\\offset(\\at)" if offset == "offset" else "\\step(\\at!)"
    native = f"{name.rsplit('.', 1)[0]} \\{register}, {place}"
    return Macro(row["macro"], f"{register}, {offset}, at", operands[row["form"]], native)


def _of_registers(name: str, row: Row, form: str, code: tuple[int, ...]) -> Macro:
    takes = row["takes"].split()
    given = [f"\\{operand}" for operand in takes]
    funct7, rs2, native = _constants(row, form, code[2], given)
    head = f"xpulp_r 0x{code[0]:02x}, {code[1]}, {funct7}"
    encoded = f"{head}, {', '.join(given[:2])}, {rs2}"
    native = f"{row['of']} {', '.join([*given[:2], *native])}"
    return Macro(name, ", ".join(takes), encoded, native, row.get("says", ""))


def _constants(row: Row, form: str, code: int, given: list[str]) -> tuple[str, str, list[str]]:
    """funct7, rs2, and the operands behind rd and a as they are written with a mnemonic."""
    if ".sci." in row["of"]:
        return f"0x{code | row['n'] & 1:02x}", f"x{row['n'] >> 1}", [str(row["n"])]
    if form == "clip":
        return f"0x{code:02x}", f"x{row['n']}", [str(row["n"])]
    if form == "field":
        size, at = row["size"] - 1, row["at"]
        return f"0x{code | size:02x}", f"x{at}", [str(size), str(at)]
    if form == "round":
        b = given[2] if "b" in row["takes"].split() else "x0"
        if "n" in row:
            return f"0x{code | row['n']:02x}", b, [b, str(row["n"])]
        return f"0x{code:02x}|{given[-1]}", b, [b, given[-1]]
    return f"0x{code:02x}", *((given[2], given[2:]) if given[2:] else ("x0", []))
