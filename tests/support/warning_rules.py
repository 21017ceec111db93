# SPDX-License-Identifier: Apache-2.0
"""Warnings of one rule, for tests of its condition and its remedies; the test of each remedy."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from myoedge.building.quantized import Finding, Known
from myoedge.building.warning_rules import RULES, warned, warnings_by
from myoedge.catalogue import entries
from myoedge.errors import Notice
from myoedge.quantization.scales import QuantGraph
from myoedge.quantization.stated_widths import LayerRule

Condition = Callable[[Known], Iterator[Finding]]
TESTS = Path(__file__).resolve().parents[1]


def warnings_of(when: Condition, known: Known) -> list[Notice]:
    rules = {rule.when: rule for each in RULES.values() for rule in each}
    return [*warnings_by([rules[when]], known)]


def network_warnings(network: QuantGraph, rules: Sequence[LayerRule] = ()) -> list[Notice]:
    """Warnings about a quantised network alone, without samples."""
    return [*warned(Known(network=network, rules=rules), "network")]


def written() -> set[tuple[str, str]]:
    """(code, remedy) of all warnings; the remedy's conditions are words in front of it."""
    rows = [(code, row) for code, entry in entries().items() for row in entry.rows]
    return {(code, " ".join((*row.when, row.text))) for code, row in rows if row.key == "try"}


def printed(remedy: str) -> tuple[str, str]:
    """A remedy as users read it: (lines before its first table, TOML from there on)."""
    text = Notice("E302", "refused", tries=(remedy,)).text("error")
    lines = textwrap.dedent(" " * 8 + text.partition("  try   ")[2].rpartition("  more  ")[0])
    at = re.search(r"(?m)^(?=\[[\w.]+\]$)", lines)
    return (lines.strip(), "") if at is None else (lines[: at.start()].strip(), lines[at.start() :])


def applies(code: str, *starts: str) -> Callable[[Any], Any]:
    """Marks the test that applies a warning's remedies; they begin with these words."""
    return lambda case: case


def applied() -> Iterator[tuple[str, str]]:
    """(code, first words of a remedy) of all marks."""
    for file in sorted(TESTS.rglob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "@applies(" in text else ():
            for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
                if isinstance(mark, ast.Call) and getattr(mark.func, "id", "") == "applies":
                    code, *starts = map(ast.literal_eval, mark.args)
                    yield from ((code, start) for start in starts)
