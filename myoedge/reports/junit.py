# SPDX-License-Identifier: Apache-2.0
"""JUnit XML: test results for continuous integration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from myoedge.errors import Notice, printable

# Kinds of failed cases, by the suite's attribute that counts them.
COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}


@dataclass(frozen=True, slots=True)
class JunitCase:
    """A test case of a JUnit suite.

    group     name of the class under which viewers list it
    name      name of the case
    kind      "passed", or a key of COUNTED
    message   one line, for a case that did not pass
    text      details, or the results of a passed case
    """

    group: str
    name: str
    kind: str = "passed"
    message: str = ""
    text: str = ""


def junit_xml(suite: str, cases: Sequence[JunitCase]) -> bytes:
    """Return a test suite as a JUnit XML file; equal cases give equal bytes."""
    counts = {
        "tests": str(len(cases)),
        **{key: str(sum(case.kind == kind for case in cases)) for key, kind in COUNTED.items()},
    }
    root = ElementTree.Element("testsuites")
    element = ElementTree.SubElement(root, "testsuite", {"name": printable(suite), **counts})
    for case in cases:
        names = {"classname": printable(case.group), "name": printable(case.name)}
        row = ElementTree.SubElement(element, "testcase", names)
        if case.kind != "passed":
            why = ElementTree.SubElement(row, case.kind, {"message": printable(case.message)})
            why.text = _text_lines(case.text)
        elif case.text:
            ElementTree.SubElement(row, "system-out").text = _text_lines(case.text)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, "utf-8", xml_declaration=True)) + b"\n"


def error_xml(suite: str, error: Notice) -> bytes:
    """Return the JUnit XML file of a suite that ended with an error."""
    case = JunitCase(suite, error.code, "error", error.title, error.text("error"))
    return junit_xml(suite, [case])


def _text_lines(text: str) -> str | None:
    return "\n".join(map(printable, text.split("\n"))) or None
