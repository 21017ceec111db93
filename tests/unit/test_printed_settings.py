# SPDX-License-Identifier: Apache-2.0
"""Settings in remedies: what is printed is TOML, to copy as it stands."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import myoedge
from myoedge.catalogue import entries
from tests.support.warning_rules import printed

# A table and a key of it on one line, in the texts of the package.
ONE_LINE = re.compile(r'\[[a-z][\w.]*\] (?:[\w-]+|"[^"]*") = ')
VALUES = ("1", '"a"', "[1, 2]")  # of the fields of a text


def literal(node: ast.AST, value: str) -> str:
    """The text of a string or an f-string whose fields have this value; "" for other nodes."""
    if isinstance(node, ast.JoinedStr):
        parts = (str(x.value) if isinstance(x, ast.Constant) else value for x in node.values)
        return "".join(parts)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def texts() -> Iterator[list[str]]:
    """Texts of the package with a setting on one line, with each value of their fields."""
    for path in sorted(Path(myoedge.__file__).parent.rglob("*.py")):
        nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
        inner = {id(x) for node in nodes if isinstance(node, ast.JoinedStr) for x in node.values}
        inner |= {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            found = [literal(node, value) for value in VALUES]
            if id(node) not in inner and ONE_LINE.search(found[0]):
                yield found
    for row in (row for entry in entries().values() for row in entry.rows):
        if row.key == "try" and ONE_LINE.search(row.text):
            texts = (re.sub(r"(?<!\{)\{[\w.]+\}", value, row.text) for value in VALUES)
            yield [x.replace("{{", "{").replace("}}", "}") for x in texts]


def is_toml(text: str) -> bool:
    try:
        return bool(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        return False


def test_every_setting_in_a_text_is_printed_as_toml() -> None:
    found = [*texts()]
    assert len(found) > 40
    open_values = re.compile(r"= \.\.\.|\[\.\.\.\]")
    wrong = [each[0] for each in found if not any(is_toml(printed(text)[1]) for text in each)]
    assert [x for x in wrong if not open_values.search(x)] == []


@pytest.mark.parametrize(
    ("remedy", "begins", "tables"),
    [
        ('[quant] "*" = { weights = 4 }', "", {"quant": {"*": {"weights": 4}}}),
        ('[calib] classes = ["a: b", "c"]  # names', "", {"calib": {"classes": ["a: b", "c"]}}),
        ("[wake] rest = 1, another class", "", {"wake": {"rest": 1}}),
        ("[stream] past = 4, future = 2 does", "", {"stream": {"past": 4, "future": 2}}),
        (
            '[budget] external = "ram", and [quant] "*" = { weights = 4 }',
            "",
            {"budget": {"external": "ram"}, "quant": {"*": {"weights": 4}}},
        ),
        (
            '--memory mram=auto, and [quant] "a" = { weights = 2 }: 30 dB',
            "--memory mram=auto, and",
            {"quant": {"a": {"weights": 2}}},
        ),
        ("[stream] axis counts from 0", "[stream] axis counts from 0", {}),
        ("[budget] latency = ..., if so", "[budget] latency = ..., if so", {}),
        ("35 dB, with [budget] sqnr = 35", "35 dB, with [budget] sqnr = 35", {}),
    ],
)
def test_lines(remedy: str, begins: str, tables: dict[str, object]) -> None:
    rest, toml = printed(remedy)
    assert (rest, tomllib.loads(toml)) == (begins, tables)
