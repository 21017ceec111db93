# SPDX-License-Identifier: Apache-2.0
"""Many cases as one test: every failing case is named, none is left out."""

from __future__ import annotations

import inspect

import pytest
from _pytest.outcomes import Skipped

from tests.support.each import each


def test_every_failing_case_is_named() -> None:
    seen = []

    @each("b", [10, 20], ids=str)
    @each(("a", "name"), [(1, "one"), pytest.param(2, "two", id="second"), (3, "three")])
    def judged(a: int, name: str, b: int, folder: str) -> None:
        seen.append((a, b, folder))
        if (a, b) == (1, 10):
            pytest.skip("not here")
        if a == 3:
            pytest.fail("three is wrong")
        assert (a, b) != (2, 20)

    assert [*inspect.signature(judged).parameters] == ["folder"]
    with pytest.raises(AssertionError) as failed:
        judged(folder="f")
    said = str(failed.value)
    assert said.startswith("2 of 2 cases")
    assert "[10] AssertionError: 1 of 3 cases:\n[2: 3, 'three'] Failed: three is wrong" in said
    assert "[20] AssertionError: 2 of 3 cases:\n[second]" in said
    assert seen == [(a, b, "f") for b in (10, 20) for a in (1, 2, 3)]


def test_a_slow_case_is_not_joined() -> None:
    with pytest.raises(TypeError, match="case 1 has marks"):
        each("a", [1, pytest.param(2, marks=pytest.mark.slow)])


def test_a_test_without_a_case_that_runs_is_skipped() -> None:
    @each("case", [1, 2])
    def all_skip(case: int) -> None:
        pytest.skip("not here")

    with pytest.raises(Skipped, match="not here"):
        all_skip()
