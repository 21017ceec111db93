# SPDX-License-Identifier: Apache-2.0
"""The table of Xpulpv2 instructions that kernels use, xpulp/instructions.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from myoedge.codegen.render import template_dir

Row = Mapping[str, Any]
Table = Mapping[str, Mapping[str, Row]]

SIZES = {"h": (0, 16), "b": (1, 8)}  # funct3, bits of a lane


def table() -> Table:
    return tomllib.loads((template_dir() / "xpulp" / "instructions.toml").read_text())


def codes(rows: Table) -> dict[str, tuple[int, ...]]:
    """Instruction -> opcode, funct3, funct7 (memory with a constant has no funct7)."""
    found = {
        n: tuple(r["code"]) for part in ("scalar", "memory", "words") for n, r in rows[part].items()
    }
    for name, row in [*rows["lanes"].items(), *rows["dot"].items()]:
        for size, (funct3, _) in SIZES.items():
            found[f"{name}.{size}"] = (0x57, funct3, row["code"])
            found[f"{name}.sc.{size}"] = (0x57, funct3 | 4, row["code"])
            found[f"{name}.sci.{size}"] = (0x57, funct3 | 6, row["code"])
    return found
