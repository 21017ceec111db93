# SPDX-License-Identifier: Apache-2.0
"""JUnit XML: the elements, attributes and counts of the schema that GitLab and Jenkins read."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from myoedge.extensions.sweeps.results import Regression, junit_cases
from myoedge.reports.junit import JunitCase, junit_xml
from tests.conftest import edit_as_if_generated
from tests.conftest import myoedge as command
from tests.extensions.sweeps.test_sweep import row

# Jenkins' junit-10.xsd: allowed children, required and optional attributes of each element.
SCHEMA = {
    "testsuites": (("testsuite",), set(), {"name", "time", "tests", "failures", "errors"}),
    "testsuite": (
        ("properties", "testcase", "system-out", "system-err"),
        {"name", "tests"},
        {"failures", "errors", "skipped", "time", "timestamp", "hostname", "id", "package"},
    ),
    "testcase": (
        ("skipped", "error", "failure", "system-out", "system-err"),
        {"name", "classname"},
        {"assertions", "time", "status"},
    ),
    **{name: ((), set(), {"message", "type"}) for name in ("failure", "error", "skipped")},
    "system-out": ((), set(), set()),
}


def check(element: ElementTree.Element) -> None:
    children, required, optional = SCHEMA[element.tag]
    assert required <= element.attrib.keys() <= required | optional, element.tag
    for child in element:
        assert child.tag in children
        check(child)


def checked(document: bytes) -> dict[str, str]:
    """How each case ended, by its name."""
    root = ElementTree.fromstring(document)
    assert root.tag == "testsuites"
    check(root)
    (suite,) = root
    kinds = {case.attrib["name"]: _kind(case) for case in suite}
    for counter, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[counter]) == [*kinds.values()].count(kind)
    assert int(suite.attrib["tests"]) == len(kinds) == len(suite)
    return kinds


def _kind(case: ElementTree.Element) -> str:
    kinds = [child.tag for child in case if child.tag != "system-out"]
    return kinds[0] if kinds else "passed"


def test_any_text_is_well_formed() -> None:
    hostile = 'a]]>&<b> "\x00\x1b[31m\ud800 µ'
    case = JunitCase(hostile, hostile, "failure", hostile, f"{hostile}\n{hostile}")
    document = junit_xml(hostile, [case])
    assert [*checked(document).values()] == ["failure"]
    assert document == junit_xml(hostile, [case])


def test_results_of_a_sweep() -> None:
    names = ("same", "worse", "wrong", "never")
    rows = [row(model=name) for name in names]
    rows[2] |= {"status": "differs"}
    rows[3] |= {"status": "refused", "code": "E302", "title": "over budget: latency"}
    worse = [
        Regression("worse / free / o / high", "latency_s", 1.0, 2.0, 0.02),
        Regression("gone / free / o / high", "result", "ok", "not in the sweep"),
    ]
    rows[1] |= dict(
        zip(("budget", "options", "operating_point"), ("free", "o", "high"), strict=True)
    )
    found = checked(junit_xml("myoedge sweep", junit_cases(rows, worse)))
    assert {name.partition(" ")[0]: kind for name, kind in found.items()} == {
        "same": "passed", "worse": "failure", "wrong": "error", "never": "skipped",
        "gone": "failure",
    }  # fmt: skip
    nothing = junit_cases(rows[3:], [])
    assert [*checked(junit_xml("myoedge sweep", nothing)).values()] == ["failure"], "exits with 3"


@pytest.mark.parametrize("is_wrong", [False, True])
def test_validate_writes_a_case_for_each_backend(
    host_build: Path, tmp_path: Path, is_wrong: bool
) -> None:
    if is_wrong:
        edit_as_if_generated(host_build, lambda text: text.replace("shift = ", "shift = 1 + "))
    ran = command("validate", host_build, "--junit", "out.xml", cwd=tmp_path)
    assert ran.code == (4 if is_wrong else 0), ran.err
    found = checked((tmp_path / "out.xml").read_bytes())
    assert found == {"C on the host, bit for bit": "failure" if is_wrong else "passed"}


def test_validate_writes_the_accuracy_of_labelled_samples(
    host_build: Path, small: Path, tmp_path: Path
) -> None:
    calib = np.load(small / "calib.npz")
    name = next(name for name in calib.files if name != "label")
    label = np.arange(len(calib[name])) % 3
    np.savez(tmp_path / "test.npz", **{name: calib[name], "label": label})
    words = ("validate", host_build, "--test", "test.npz", "--junit", "out.xml")
    ran = command(*words, cwd=tmp_path)
    document = (tmp_path / "out.xml").read_bytes()
    assert checked(document)["accuracy"] == "passed"
    (told,) = ElementTree.fromstring(document).iter("system-out")
    (line,) = [x.strip() for x in ran.out.splitlines() if x.startswith("accuracy: ")]
    assert (told.text or "").startswith(line.removeprefix("accuracy: "))
    scaled = {name: calib[name] * 1000, "label": label}
    np.savez(tmp_path / "test.npz", **scaled)
    ran = command(*words, cwd=tmp_path)
    assert "W207" in ran.err
    assert b"warning[W207]" in (tmp_path / "out.xml").read_bytes()


@pytest.mark.parametrize("verb", ["validate", "sweep"])
def test_an_error_is_a_case_and_a_file_that_cannot_be_written_is_told_first(
    verb: str, tmp_path: Path
) -> None:
    ran = command(verb, "nothing", "--junit", "out.xml", cwd=tmp_path)
    assert ran.code == 2
    ((code, kind),) = checked((tmp_path / "out.xml").read_bytes()).items()
    assert (f"error[{code}]" in ran.err, kind) == (True, "error")
    for place in ("missing/out.xml", tmp_path):
        ran = command(verb, "nothing", "--junit", place, cwd=tmp_path)
        assert (ran.code, "E220" in ran.err) == (2, True), "before there is anything to do"


@pytest.fixture
def host_build(small: Path, tmp_path: Path) -> Path:
    arguments = (small / "model.pt2", "--calib", small / "calib.npz", "--target", "host")
    assert command("build", *arguments, "-o", tmp_path / "b", cwd=tmp_path).code == 0
    return tmp_path / "b"
