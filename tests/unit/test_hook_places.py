# SPDX-License-Identifier: Apache-2.0
"""What stands at the places of hooks: in this package, in the example, on the page for authors; and
whatever else stands there is found by `plugin check` and refused on use."""

from __future__ import annotations

import builtins
import importlib
import inspect
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, replace
from importlib import metadata
from inspect import Parameter
from pathlib import Path
from typing import Any

import pytest

import myoedge
from myoedge.errors import MyoedgeError
from myoedge.extension import TABLE, TYPES, Extension, kinds, places
from myoedge.system import hooks as found_hooks
from myoedge.system.hooks import GROUP, hooks, load, load_extension
from tests.conftest import ROOT
from tests.conftest import myoedge as command
from tests.support.pages import code_of, fenced
from tests.unit.test_extension import install, lamp, site

__all__ = ["lamp", "site"]
PAGE = ROOT / "docs" / "developers" / "extensions.md"
PLACES = [(kind, f, text) for kind, hook in kinds().items() for f, text in places(hook).items()]
EACH = pytest.mark.parametrize(
    ("kind", "field", "text"), PLACES, ids=[f"{kind}-{field}" for kind, field, _ in PLACES]
)
FUNCTIONS = [row for row in PLACES if row[2].startswith("(")]


def write_module(path: Path, text: str) -> None:
    """Writes a module in place of one whose bytecode may be of the same second and size."""
    shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)
    path.write_text(text)


def imported(place: str) -> Any:
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)


def stated(text: str) -> inspect.Signature:
    """A signature as Python reads it."""
    made: dict[str, Any] = {}
    exec(f"from __future__ import annotations\ndef f{text}: ...", made)
    return inspect.signature(made["f"])


@pytest.mark.usefixtures("lamp")
@EACH
def test_every_hook_has_at_its_places_what_is_stated(kind: str, field: str, text: str) -> None:
    """The hooks of this package, and of the example."""
    found = [imported(place) for hook in hooks(kind) if (place := getattr(hook, field))]
    assert found
    for it in found:
        if text == TABLE:
            assert repr(it()) == repr(replace(it())), it
            assert {x.name for x in fields(it)} == {*inspect.signature(it).parameters}
        elif text in TYPES:
            assert isinstance(it, imported(f"{TYPES[text]}:{text}"))
        else:
            assert inspect.isfunction(it)
            wanted = stated(text).parameters.values()
            given = list(inspect.signature(it).parameters.values())
            both = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_KEYWORD)
            for sort in both:
                counted = [sum(p.kind == sort for p in rows) for rows in (wanted, given)]
                assert counted[0] == counted[1], it
            named = {p.name for p in wanted if p.kind == Parameter.KEYWORD_ONLY}
            assert named <= {p.name for p in given}


@pytest.mark.usefixtures("lamp")
@pytest.mark.parametrize("kind", kinds())
def test_every_place_is_in_the_table(kind: str) -> None:
    """No field of a hook but these has a place."""
    assert [*kinds()] == [field.name for field in fields(Extension)]
    for hook in hooks(kind):
        values = {field.name: str(getattr(hook, field.name)) for field in fields(hook)}
        has = {name for name, value in values.items() if re.fullmatch(r"[\w.]+:\w+", value)}
        assert has <= {*places(type(hook))} <= {*values}
        assert {name for name in places(type(hook)) if values[name]} == has


def words_of(text: str) -> set[str]:
    """Names of types in a signature."""
    return {*re.findall(r"\w+", re.sub(r"\w+:", "", text))}


def test_every_type_is_where_the_table_has_it() -> None:
    used = {word for _, _, text in PLACES if text != TABLE for word in words_of(text)}
    assert {*TYPES} == {word for word in used if not hasattr(builtins, word)}
    for name, module in TYPES.items():
        assert imported(f"{module}:{name}") is not None


def test_the_page_has_the_hooks_and_the_modules_of_their_types() -> None:
    lines = []
    for hook in kinds().values():
        lines += [f"{hook.__name__}: {first_sentence(hook)}"]
        lines += [f"  {field:<9}{text}" for field, text in places(hook).items()]
    modules = [
        f"{module:<42}{' '.join(name for name in TYPES if TYPES[name] == module)}"
        for module in sorted({*TYPES.values()})
    ]
    shown = [content.splitlines() for language, _, content in fenced(PAGE) if language == "text"]
    assert shown == [lines, modules], "\n".join([*lines, *modules])


def first_sentence(it: Any) -> str:
    return " ".join(inspect.getdoc(it).partition("\n\n")[0].split())


def test_the_page_can_be_followed(site: Path, tmp_path: Path) -> None:
    """As after `pip install -e .`: the module can be imported, and the entry point is known."""
    project = tomllib.loads(code_of(PAGE, "pyproject.toml"))["project"]
    ((name, place),) = project["entry-points"]["myoedge.extensions"].items()
    install(site, name, place, project["name"], project["version"])
    source = code_of(PAGE, "myoedge_lamp.py")
    write_module(site / "myoedge_lamp.py", source)
    blocks = {language: content.splitlines() for language, _, content in fenced(PAGE)}
    pip, check, run = (line.split()[1:] for line in blocks["sh"])
    assert pip == ["install", "-e", "."]
    done = command(*check, cwd=tmp_path)
    told = [line.split() for line in done.out.splitlines()]
    assert (done.code, told[0]) == (0, [project["name"], project["version"]])
    assert told[1:] == [["ok", "extensions", "lamp"], ["ok", "commands", "lamp"]]
    assert command(*run, cwd=tmp_path).out == "on\n"
    del sys.modules["myoedge_lamp"]
    write_module(site / "myoedge_lamp.py", source.replace("lamp:lamp", "lamp:lmap"))
    found_hooks._installed_extensions.cache_clear()
    done = command(*check, cwd=tmp_path)
    assert (done.code, done.out.splitlines()) == (2, blocks["console"])


# --- packages with what is stated, and with something else ----------------------------------------


def right(text: str) -> str:
    """Python that defines `right` as it is stated."""
    if text == TABLE:
        return "@dataclass\nclass right:\n    pin: int = 3\n"
    if text in TYPES:
        return f"from {TYPES[text]} import {text}\nright = object.__new__({text})\n"
    return f"def right{text}: {RETURNS.get(text, '...')}\n"


TOOL, RULES = "() -> ToolRow", "(table: object) -> Iterable[tuple[str, bool]]"
REQUEST = "(options: BuildOptions, settings: Config) -> "
# Functions that the check calls, as their arguments need no model -> what they return
RETURNS = {
    TOOL: "from myoedge.backends.doctor import ToolRow; return object.__new__(ToolRow)",
    RULES: "return [('pin must be 0', True)]",
    f"{REQUEST}ApplicationRequest": "right.application = len; return right",
    f"{REQUEST}PartRequest | None": "return None",
}


def wrong(text: str) -> Iterator[tuple[str, str]]:
    """(Python of a module, part of the cause) of what else may stand there."""
    yield right(text).replace("right", "left"), "AttributeError"
    yield "1 / 0\n", "ZeroDivisionError: division by zero (wrong_place.py:3)"
    yield "raise SystemExit(3)\n", "SystemExit: 3"
    yield "import no_such_module\n", "no_such_module"
    yield "right = 3\n", "has int"
    if text == TABLE:
        yield "class right:\n    pin: int = 3\n", f"TypeError: needs {TABLE}, has class right"
        yield "@dataclass\nclass right:\n    pin: int\n", f"TypeError: needs {TABLE}; pin has none"
        yield "@dataclass\nclass Pin:\n    pin: int = 3\nright = Pin()", f"{TABLE}, has Pin"
    elif text in TYPES:
        yield f"{right(text)}right = {text}\n", f"TypeError: needs {text}, has class {text}"
        yield "def right(*given, **named): ...\n", f"TypeError: needs {text}, has function"
    else:
        for parameters in others([*stated(text).parameters.values()]):
            source = f"def right{inspect.Signature(parameters)}: ...\n"
            yield source, f"TypeError: needs a function {text}: "


def others(given: list[Parameter]) -> Iterator[list[Parameter]]:
    """Parameters of functions that cannot be called with the given ones."""
    named = [p for p in given if p.kind == Parameter.VAR_KEYWORD]
    before = [p for p in given if p not in named]
    yield [Parameter("another", Parameter.POSITIONAL_OR_KEYWORD), *given]
    yield [*before, Parameter("another", Parameter.KEYWORD_ONLY), *named]
    for left_out in given:
        if not named or left_out.kind != Parameter.KEYWORD_ONLY:  # **options takes it
            yield [p for p in given if p is not left_out]


HEAD = "from __future__ import annotations\nfrom dataclasses import dataclass\n"


@pytest.fixture
def package(site: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Extension]:
    """Writes an installed package `wrong` with all hooks, one place of which is in wrong_place."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # sources change within a second

    def write(kind: str = "", field: str = "", source: str = "") -> Extension:
        parts, given = [HEAD], []
        for name, hook in kinds().items():
            values = {x.name: name for x in fields(hook) if x.default is MISSING}
            values |= {own: f"wrong:{name}_{own}" for own in places(hook)}
            values |= {field: "wrong_place:right"} if name == kind else {}
            parts += [
                right(places(hook)[own]).replace("right", f"{name}_{own}") for own in places(hook)
            ]
            words = ", ".join(f"{key}={value!r}" for key, value in values.items())
            given.append(f"{name}=(extension.{hook.__name__}({words}),)")
        extension = f"extension.Extension({', '.join(given)})"
        text = f"{''.join(parts)}from myoedge import extension\nEXTENSION = {extension}\n"
        write_module(site / "wrong.py", text)
        write_module(site / "wrong_place.py", HEAD + source)
        for module in ("wrong", "wrong_place"):
            sys.modules.pop(module, None)
        importlib.invalidate_caches()
        loaded = load_extension(metadata.EntryPoint("wrong", "wrong:EXTENSION", GROUP))
        assert isinstance(loaded, Extension)
        return loaded

    install(site, "wrong", "wrong:EXTENSION")
    return write


@EACH
def test_what_does_not_suit_a_place_is_found_and_refused(
    kind: str, field: str, text: str, package: Callable[..., Extension]
) -> None:
    """The check names the place, in the row of its hook only; the same place is E257 on use."""
    for source, cause in [*wrong(text), (right(text), "")]:
        (hook,) = getattr(package(kind, field, source), kind)
        found = myoedge.check_plugin("wrong")
        rows = {row.kind: row for row in found.hooks}
        assert [*rows] == [*kinds()]
        assert [row.name for row in found.hooks] == [*rows]
        bad = [row for row in found.hooks if row.state != "ok"]
        assert [row.kind for row in bad] == [kind] * bool(cause), source
        assert found.exit_code == 2 * bool(cause)
        sys.modules.pop("wrong_place", None)
        if not cause:
            assert rows[kind].cause == ""
            load(hook, field)
            continue
        assert rows[kind].cause.startswith(f"{field} wrong_place:right: "), rows[kind].cause
        assert cause in rows[kind].cause
        with pytest.raises(MyoedgeError, match="wrong_place:right of an extension cannot be") as e:
            load(hook, field)
        assert (e.value.code, e.value.notice.tries) == ("E257", ("pip uninstall wrong",))
        assert cause in str(dict(e.value.notice.facts)["cause"])


@EACH
@pytest.mark.parametrize(
    "place", ["myoedge.nope:f", "myoedge.errors:nope", "myoedge.errors:notice"]
)
def test_a_place_in_this_package_is_as_any_other(
    place: str, kind: str, field: str, text: str, package: Callable[..., Extension]
) -> None:
    """The error is of the package that has the hook, on loading or on use."""
    (hook,) = getattr(package(kind, field), kind)
    with pytest.raises(MyoedgeError, match=f"{place} of an extension") as e:
        load(replace(hook, **{field: place}), field)(*[None] * 2)
    assert (e.value.code, e.value.notice.tries) == ("E257", ("pip uninstall wrong",))


@pytest.mark.parametrize(("kind", "field", "text"), FUNCTIONS)
def test_a_function_that_fails_is_the_package_s_error(
    kind: str, field: str, text: str, package: Callable[..., Extension]
) -> None:
    """It raises, as a generator too, or does not return what is stated."""
    head, _, result = text.rpartition(" -> ")
    sources = [("raise ValueError(3)", "ValueError: 3 (wrong_place.py:3)")]
    if result.startswith("Iterable"):
        sources.append(("yield 1 / 0", "ZeroDivisionError"))
    if result != "object":
        sources.append(("return 1j", f"it returned complex, not {result}"))
    named = stated(text).parameters.values()
    words = {p.name: None for p in named if p.kind == Parameter.KEYWORD_ONLY}
    for source, cause in sources:
        (hook,) = getattr(package(kind, field, f"def right{head}: {source}\n"), kind)
        function = load(hook, field)
        with pytest.raises(MyoedgeError, match="wrong_place:right of an extension failed") as e:
            function(
                *[None] * sum(p.kind == Parameter.POSITIONAL_OR_KEYWORD for p in named), **words
            )
        assert (e.value.code, e.value.notice.tries) == ("E257", ("pip uninstall wrong",))
        assert cause in str(dict(e.value.notice.facts)["cause"])


CALLED = [row for row in FUNCTIONS if row[2] in RETURNS]


@pytest.mark.parametrize(("kind", "field", "text"), CALLED)
def test_the_check_calls_what_needs_no_model(
    kind: str, field: str, text: str, package: Callable[..., Extension]
) -> None:
    """As on use: it raises, or does not return what is stated; errors of settings are none."""
    assert {row[2] for row in CALLED} == {*RETURNS}
    head, _, result = text.rpartition(" -> ")
    refusal = "from myoedge.errors import MyoedgeError; raise MyoedgeError('E232', 'no pin')"
    for source, cause in [
        ("raise ValueError(3)", "ValueError: 3 (wrong_place.py:3)"),
        ("return 1j", f"it returned complex, not {result}"),
        (refusal, ""),
    ]:
        package(kind, field, f"def right{head}: {source}\n")
        bad = [row for row in myoedge.check_plugin("wrong").hooks if row.state != "ok"]
        assert [row.kind for row in bad] == [kind] * bool(cause)
        assert all(row.cause.startswith(f"{field} wrong_place:right: ") for row in bad)
        assert all(cause in row.cause for row in bad), bad


@pytest.mark.usefixtures("lamp")
def test_the_example_is_checked(tmp_path: Path) -> None:
    ran = command("plugin", "check", "lamp", "--json", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert [row["kind"] for row in ran.json["hooks"]] == [*kinds()]
    assert {(row["name"], row["state"], row["cause"]) for row in ran.json["hooks"]} == {
        ("lamp", "ok", "")
    }
    assert ran.json["entry_points"] == [
        {"kind": "extensions", "name": "lamp", "state": "ok", "cause": ""}
    ]
    told = command("plugin", "check", "lamp", cwd=tmp_path).out.splitlines()
    assert [line.split() for line in told[1:]] == [
        ["ok", "extensions", "lamp"],
        *(["ok", kind, "lamp"] for kind in kinds()),
    ]


def test_a_hook_that_is_none_is_found_with_the_extension(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No tuple, hooks of another kind, and something else than text at each place."""
    monkeypatch.setattr(metadata, "packages_distributions", dict)  # a search of 0.2 s
    install(site, "wrong", "wrong:EXTENSION")
    head = "from myoedge import extension\nEXTENSION = extension.Extension("
    other = "extension.CommandHook('a', 'b', 'c:d')"
    sources = [(f"tools={other}", "tools needs a tuple of ToolHook, has CommandHook")]
    for kind, hook in kinds().items():
        named = other if kind != "commands" else "extension.ToolHook('a', 'b:c')"
        sources.append((f"{kind}=({named},)", f"{kind} needs a tuple of {hook.__name__}, has ("))
        for field in places(hook):
            values = {x.name: "x" for x in fields(hook) if x.default is MISSING} | {field: 3}
            row = f"extension.{hook.__name__}(**{values})"
            sources.append((f"{kind}=({row},)", f"{hook.__name__} 'x': {field} needs \"module"))
    for words, cause in sources:
        write_module(site / "wrong.py", f"{head}{words})\n")
        found_hooks._installed_extensions.cache_clear()
        sys.modules.pop("wrong", None)
        found = myoedge.check_plugin("wrong")
        assert (found.exit_code, found.hooks, len(found.entry_points)) == (2, (), 1)
        assert found.entry_points[0].cause.startswith(f"TypeError: {cause}"), words
        assert found.entry_points[0].cause.endswith("(wrong.py:2)")
    assert command("explain", "E257", cwd=tmp_path).code == 0
    assert command("plugin", "check", "wrong", cwd=tmp_path).code == 2
