# SPDX-License-Identifier: Apache-2.0
"""tests/size.py counts what is to be understood: docstrings and comments cost nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.size import SourceFile, declared, fields_of, measure_functions

BARE = """\
def f(x):
    return x
"""
TOLD = '''\
"""A; file."""


def f(x):
    """Return x.

    x   a number
    """
    # why
    return x
'''
C = """\
#define TWO 2
int two(void)
{
    return TWO;
}
"""
C_TOLD = """\
/* a; b */
#define TWO 2 // two; of them
int two(void)
{
    return TWO; /* or: ";" */
}
"""


@pytest.mark.parametrize(
    ("name", "bare", "told", "count"),
    [("a.py", BARE, TOLD, 2), ("a.c", C, C_TOLD, 2), ("a.S", "nop\nret\n", "\nnop // a\n\nret", 2)],
)
def test_a_docstring_or_a_comment_is_no_statement(
    name: str, bare: str, told: str, count: int
) -> None:
    for text in (bare, told):
        assert SourceFile(Path(name), text).statements == count


def test_functions_of_headers_are_counted_but_not_those_that_a_compiler_inlines() -> None:
    text = (
        "void me_a(const int *x,\n          int n);\nstatic inline int me_b(void) { return 1; }\n"
    )
    assert declared([SourceFile(Path("a.h"), f"/* me_c(); */\n{text}")]) == {"me_a"}


def test_fields_of_a_class_are_counted() -> None:
    text = "class A:\n    x: int\n    y: int = 0\n    def f(self): ...\n"
    root = Path(__file__).resolve().parents[2]
    assert fields_of([SourceFile(root / "a.py", text)], "a.py", "A") == ("x", "y")


FRAGMENTS = '''\
def _once(x):
    """Return x."""
    return x


def _twice(x):
    return x


def _handed_on(x):
    return x


def _long(x):
    a = x
    b = a
    c = b
    d = c
    return d


def public(x):
    return _once(x) + _twice(_twice(x)) + sum(map(_handed_on, x)) + _long(x)
'''


def test_short_private_functions_with_one_call_are_counted() -> None:
    root = Path(__file__).resolve().parents[2]
    functions = measure_functions([SourceFile(root / "a.py", FRAGMENTS)])
    assert [x.place for x in functions if x.is_fragment] == ["a.py:1 _once"]
