# SPDX-License-Identifier: Apache-2.0
"""Misspelt names of packages, of their places, and beside a package that cannot be loaded: the
first remedy, applied as printed, mends the package or the command."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from myoedge import cli
from myoedge.building import plugins
from myoedge.building.applications import CORE
from myoedge.building.config_tables import Config
from myoedge.extension import kinds
from myoedge.quantization.recordings import files
from myoedge.system import hooks as found_hooks
from myoedge.system.hooks import hooks
from tests.conftest import myoedge as command
from tests.unit.test_extension import site
from tests.unit.test_hook_places import write_module

__all__ = ["site"]
SOURCE = """import click
from myoedge.extension import CommandHook, Extension

@click.command("lamp")
def lamp():
    click.echo("on")

def read(path):
    return [[1.0]]

EXTENSION = Extension(commands=(CommandHook("lamp", "tells", place="wrong_lamp:lamp"),))
"""
POINTS = '[myoedge.extensions]\nlamp = "wrong_lamp:EXTENSION"\n'
READER = '[myoedge.calibration]\nlmp = "wrong_lamp:read"\n'


def install(site: Path, source: str, points: str) -> None:
    """Leave a package in the folder; it is not loaded yet."""
    about = site / "lamp-1.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lamp\nVersion: 1\n")
    (about / "top_level.txt").write_text("wrong_lamp\n")
    (about / "entry_points.txt").write_text(points.replace('"', ""))
    write_module(site / "wrong_lamp.py", source)
    sys.modules.pop("wrong_lamp", None)
    importlib.invalidate_caches()
    for forgotten in (found_hooks._installed_extensions, cli.commands):
        forgotten.cache_clear()


def applied(remedy: str, text: str) -> str:
    """A text with a remedy as printed: "name  ->  other", or the line of an entry point."""
    if "  ->  " in remedy:
        name, _, other = remedy.partition("  ->  ")
        assert re.search(rf"\b{name}\b", text), remedy
        return re.sub(rf"\b{name}\b", other, text)
    line = remedy.partition(" in its ")[0]
    name = line.partition(" = ")[0]
    return re.sub(rf"(?m)^{name} = .*$", line, text)


def tries(told: str) -> list[str]:
    return re.findall(r"(?m)^  try +(.+)$", told)


FAULTS = {
    "name of the entry point": ("wrong_lamp:EXTENSION", "wrong_lamp:EXTENSOIN"),
    "another object": ("wrong_lamp:EXTENSION", "wrong_lamp:lamp"),
    "module of the entry point": ("wrong_lamp:EXTENSION", "wrong_lmap:EXTENSION"),
    "name at a place": ("wrong_lamp:lamp", "wrong_lamp:lmap"),
    "module of a place": ("wrong_lamp:lamp", "wrong_lmap:lamp"),
    "imported name": ("import CommandHook, Extension", "import CommandHok, Extension"),
    "imported module": ("from myoedge.extension import", "from myoedge.extnsion import"),
    "kind of hooks": ("Extension(commands=", "Extension(comands="),
    "field of a hook": ('place="wrong_lamp:lamp"', 'plac="wrong_lamp:lamp"'),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_first_remedy_mends_an_extension(fault: str, site: Path, tmp_path: Path) -> None:
    right, wrong = FAULTS[fault]
    source, points = SOURCE.replace(right, wrong), POINTS.replace(right, wrong)
    assert (source, points) != (SOURCE, POINTS)
    install(site, source, points)
    ran = command("lamp", cwd=tmp_path)
    assert (ran.code, "E257" in ran.err) == (2, True), ran.err
    first, last = tries(ran.err)
    assert last == "pip uninstall lamp"
    checked = command("plugin", "check", "lamp", cwd=tmp_path)
    assert checked.code == 2
    assert f"try {first}" in checked.out
    name = first.partition("  ->  ")[0]
    in_source = "->" in first and re.search(rf"\b{name}\b", source) is not None
    source = applied(first, source) if in_source else source
    points = points if in_source else applied(first, points)
    install(site, source, points)
    ran = command("lamp", cwd=tmp_path)
    assert (ran.code, ran.out) == (0, "on\n"), (first, ran.err)
    assert command("plugin", "check", "lamp", cwd=tmp_path).code == 0


@pytest.mark.parametrize("wrong", ["wrong_lamp:reda", "wrong_lmap:read"])
def test_the_first_remedy_mends_a_reader(
    wrong: str, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "_LOADED", {})
    monkeypatch.setattr(files, "ADDED", {})
    (tmp_path / "myoedge.toml").write_text('[plugins]\ncalibration = ["lmp"]\n')
    points = READER.replace("wrong_lamp:read", wrong)
    install(site, SOURCE, points)
    ran = command("ops", cwd=tmp_path)
    first, last = tries(ran.err)
    assert (ran.code, last) == (2, "[plugins] calibration without lmp")
    assert f"try {first}" in command("plugin", "check", "lamp", cwd=tmp_path).out
    install(site, SOURCE, applied(first, points))
    assert command("ops", cwd=tmp_path).code == 0


def test_names_near_none_are_not_guessed(site: Path, tmp_path: Path) -> None:
    install(site, SOURCE.replace("place=", "qqqq="), POINTS)
    assert tries(command("lamp", cwd=tmp_path).err) == ["pip uninstall lamp"]
    install(site, "import no_such_package_of_anybody\n", POINTS)
    assert tries(command("lamp", cwd=tmp_path).err) == ["pip uninstall lamp"]


@pytest.mark.parametrize("group", [f"myoedge.{kind}" for kind in (*plugins.KINDS, "extensions")])
def test_the_first_remedy_mends_a_group_of_entry_points(
    group: str, site: Path, tmp_path: Path
) -> None:
    install(site, SOURCE, f"[{group[:-1]}]\nlamp = wrong_lamp:EXTENSION\n")
    ran = command("plugin", "check", "lamp", cwd=tmp_path)
    assert (ran.code, tries(ran.err)) == (2, [f"{group[:-1]}  ->  {group}"])
    assert f"has    {group[:-1]}\n" in ran.err


def test_the_first_remedy_names_an_installed_package(site: Path, tmp_path: Path) -> None:
    install(site, SOURCE, POINTS)
    ran = command("plugin", "check", "wrong_lmap", cwd=tmp_path)
    assert tries(ran.err)[0] == "wrong_lmap  ->  wrong_lamp"
    assert command("plugin", "check", "wrong_lamp", cwd=tmp_path).code == 0


def test_a_misspelt_name_is_told_beside_a_package_that_cannot_be_loaded(
    site: Path, tmp_path: Path
) -> None:
    """Commands, applications and tables: of the core, and of this package's extensions."""
    install(site, "1 / 0\n", POINTS)
    assert {"commands", "applications", "tables"} <= {*kinds()}
    tables = [name for name in Config.__dataclass_fields__ if name != "tables"]
    of_tables = [*tables, *(hook.name for hook in hooks("tables"))]
    rows = [(("sweeep",), "sweeep  ->  sweep"), (("biuld", "m.pt2"), "biuld  ->  build")]
    apps = [hook.name for hook in (*CORE, *hooks("applications"))]
    rows += [(("build", "m.pt2", "--app", f"{x}x"), f"{x}x  ->  {x}") for x in apps]
    rows += [((f"[{name}x]\nkey = 1\n",), f"{name}x  ->  {name}") for name in of_tables]
    for words, remedy in rows:
        (tmp_path / "myoedge.toml").unlink(missing_ok=True)
        if words[0][0] == "[":
            (tmp_path / "myoedge.toml").write_text(words[0])
            words = ("build", "m.pt2")
        ran = command(*words, cwd=tmp_path)
        asked = remedy.partition(" ")[0]
        assert f"  asked    {asked}, which nothing else has\n" in ran.err
        assert (ran.code, tries(ran.err)) == (2, [remedy, "pip uninstall lamp"])
