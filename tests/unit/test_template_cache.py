# SPDX-License-Identifier: Apache-2.0
"""Translated templates are cached; what is damaged or not writable is translated again."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from myoedge.codegen.render import new_environment
from myoedge.system.tools import cache_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MYOEDGE_CACHE", str(tmp_path / "cache"))
    return cache_folder("templates")


def name_of_a_template() -> str:
    return min(new_environment(escape=False).list_templates(["j2"]))


def translated(monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many templates are translated when one is read."""
    count, inner = [0], jinja2.Environment.compile

    def compile(*given: object, **named: object) -> object:
        count[0] += 1
        return inner(*given, **named)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(jinja2.Environment, "compile", compile)
        assert new_environment(escape=False).get_template(name_of_a_template())
    return count[0]


def test_a_template_is_translated_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert translated(monkeypatch) == 1
    assert translated(monkeypatch) == 0
    (kept,) = folder.iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert translated(monkeypatch) == 1
    assert translated(monkeypatch) == 0


def test_a_cache_that_is_a_file_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("MYOEDGE_CACHE", str(tmp_path / "cache"))
    assert translated(monkeypatch) == 1
