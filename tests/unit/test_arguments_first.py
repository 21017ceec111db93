# SPDX-License-Identifier: Apache-2.0
"""Arguments that are wrong are told before a model is loaded, which imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from myoedge.building import loading
from myoedge.errors import MyoedgeError
from myoedge.system.user_code import UserFunction
from tests.conftest import myoedge as command

WRONG = (
    (("--calib", "nowhere.npz"), "E210"),
    (("--calib", "model.pt2"), "E215"),
    (("--method", "minmax", "--percentile", "99"), "E203"),
    (("--samples", "0"), "E203"),
    (("--holdout", "2"), "E203"),
    (("--target", "gap8"), "E201"),
    (("--operating-point", "middle"), "E204"),
    (("--engine", "gpu"), "E204"),
    (("--app", "sdk"), "E204"),
    (("--l2", "much"), "E232"),
    (("--l1", "1GiB"), "E232"),
    (("--config", "none.toml"), "E231"),
    (("--tune", "--no-simulate"), "E204"),
    (("--reuse", "nothing"), "E222"),
    (("-o", "model.pt2"), "E221"),
    (("--factory", "pkg.mod:fn"), "E206"),
)


@pytest.mark.parametrize(
    ("options", "code"), WRONG, ids=[" ".join(options) for options, _ in WRONG]
)
def test_before_the_model_is_loaded(
    options: tuple[str, ...], code: str, small: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("loaded")

    monkeypatch.setattr(loading, "_load_model", refuse)
    (tmp_path / "model.pt2").symlink_to(small / "model.pt2")
    ran = command("build", "model.pt2", *options, cwd=tmp_path)
    assert f"error[{code}]" in ran.err, ran.err


@pytest.mark.parametrize("factory", ["net", "net:", ":make", "no_such_module_anywhere:make"])
def test_a_factory_is_looked_for_before_torch(
    factory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from myoedge.frontend.torch import checkpoint

    torch.save({"w": torch.zeros(2)}, tmp_path / "w.pt")

    def refuse() -> Any:
        raise AssertionError("imported")

    monkeypatch.setattr(checkpoint, "import_torch", refuse)
    ran = command("build", "w.pt", "--factory", factory, "--calib", "random", cwd=tmp_path)
    assert "error[E206]" in ran.err, ran.err


def test_a_factory_from_a_folder_that_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(MyoedgeError) as caught:
        UserFunction("no_such_module_anywhere:make", "--factory", "E206", ()).imported()
    assert caught.value.code == "E206"


def test_a_missing_model_is_told_first_and_its_neighbour(small: Path, tmp_path: Path) -> None:
    (tmp_path / "model.pt2").symlink_to(small / "model.pt2")
    (tmp_path / "myoedge.toml").write_text('[model]\npath = "modl.pt2"\n')
    ran = command("build", "--calib", "nowhere.npz", cwd=tmp_path)
    assert "error[E101]" in ran.err
    assert "[model] path of myoedge.toml" in ran.err
    assert "model.pt2, which is there" in ran.err
